"""Every kind of catalogue, on a disk and in an object store."""

import csv
import io
import json
import tarfile
import zipfile
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from poster2plot import InputError, Poster2PlotError, read_image
from poster2plot.batch.catalogues.item import named_item
from poster2plot.batch.catalogues.listing import items
from poster2plot.errors import DamagedImageError
from support.poster_server import ID, serve_posters
from tests.batch.conftest import catalogue, pixels, poster, tar_of


def test_each_kind_of_catalogue_leads_to_its_pictures(tmp_path: Path):
    expected = [read_image(poster(i)).tobytes() for i in range(3)]
    folder = catalogue(tmp_path / "posters", 3)
    tar = tar_of(tmp_path / "posters.tar", ["0.png", "1.png", "2.png"])
    table = tmp_path / "posters.csv"
    table.write_text("title,file_name\n" + "".join(f"x,posters/{i}.png\n" for i in range(3)))
    paths = tmp_path / "paths.parquet"
    pq.write_table(pa.table({"path": [f"posters/{i}.png" for i in range(3)]}), paths)
    pictures = pa.array([{"bytes": poster(i), "path": None} for i in range(3)])
    inside = tmp_path / "pictures.parquet"
    pq.write_table(pa.table({"image": pictures}), inside)
    saved = tmp_path / "saved"  # as Dataset.save_to_disk leaves it
    saved.mkdir()
    (saved / "dataset_info.json").write_text("{}")
    with pa.OSFile(str(saved / "data-00000-of-00001.arrow"), "wb") as file:
        batch = pa.table({"image": pictures})
        with pa.ipc.new_stream(file, batch.schema) as stream:
            stream.write_table(batch)
    for source in (folder, tar, table, paths, inside, saved):
        assert [pixels(each) for each in items(str(source))] == expected


def test_a_catalogue_in_an_object_store(store: str, tmp_path: Path):
    expected = [read_image(poster(i)).tobytes() for i in range(3)]
    fs = fsspec.filesystem("s3")
    for i in range(3):
        fs.pipe_file(f"{store}/posters/{i}.png", poster(i))
    tar = tar_of(tmp_path / "posters.tar", ["0.png", "1.png", "2.png"])
    fs.put_file(str(tar), f"{store}/posters.tar")
    cells = ["posters/0.png", f"{store}/posters/1.png", "/posters/2.png"]
    fs.pipe_file(f"{store}/posters.csv", "\n".join(["path", *cells]).encode())
    pictures = pa.table({"image": [poster(i) for i in range(3)]})
    buffer = io.BytesIO()
    pq.write_table(pictures, buffer, row_group_size=2)
    fs.pipe_file(f"{store}/pictures.parquet", buffer.getvalue())
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, pictures.schema) as stream:
        stream.write_table(pictures)
    fs.pipe_file(f"{store}/saved/data.arrow", buffer.getvalue())
    fs.pipe_file(f"{store}/saved/dataset_info.json", b"{}")
    for name in ("posters", "posters.tar", "posters.csv", "pictures.parquet", "saved"):
        assert [pixels(each) for each in items(f"{store}/{name}")] == expected
    assert next(items(f"{store}/posters")).source == f"{store}/posters/0.png"
    with pytest.raises(InputError, match="no file or folder"):
        list(items(f"{store}/missing"))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing", None, "no file or folder"),
        ("text.doc", b"", "no catalogue"),
        ("bad.tar", b"x" * 2000, "not a tar"),
        ("bad.parquet", b"x", "cannot be read as a table"),
        ("bad.csv", b"name\nx\n", "none of the columns"),
    ],
)
def test_what_is_no_catalogue_is_said(tmp_path: Path, name: str, content: bytes | None, says: str):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says):
        list(items(str(tmp_path / name)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "\ufefftitle,path\r\nx, 1.png \r\nx\r\nx,\r\n\r\n,2.png,more\r\n"),
        ("a.tsv", "title\tpath\nx, y\t1.png\nz\t2.png\n"),
        ("a.txt", 'path,title\n1.png,"two\nlines"\n2.png\n'),
    ],
)
def test_the_cells_of_a_table_as_text(tmp_path: Path, name: str, content: str):
    (tmp_path / name).write_bytes(content.encode())
    found = list(items(str(tmp_path / name)))
    assert [(item.kind, item.source) for item in found] == [("file", "1.png"), ("file", "2.png")]
    assert [item.file for item in found] == [str(tmp_path / "1.png"), str(tmp_path / "2.png")]


TITLED = ["The Séa", "Two\x1b[2J\u202e\nlines", None, ID, "7"]
CLEANED = ["The Séa", "Two [2J lines", "", "", "7"]


def test_titles_come_with_the_posters_of_every_kind_of_table(tmp_path: Path):
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerows([["title", "path"], *([title, "a.png"] for title in TITLED)])
    pictures = [{"bytes": b"", "path": "a.png"}] * len(TITLED)
    for name, posters in (("paths", ["a.png"] * len(TITLED)), ("pictures", pictures)):
        table = pa.table({"image": posters, "title": TITLED})
        pq.write_table(table, tmp_path / f"{name}.parquet", row_group_size=2)
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "dataset_info.json").write_text("{}")
    with (
        pa.OSFile(str(tmp_path / "saved" / "data.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, table.schema) as stream,
    ):
        stream.write_table(table)
    for name in ("a.csv", "paths.parquet", "pictures.parquet", "saved"):
        found = list(items(str(tmp_path / name)))
        assert [item.title for item in found] == CLEANED, name
        with serve_posters() as server, pytest.raises(Poster2PlotError):
            found[0].load(server.finder())  # there is no such file


def test_a_title_that_is_no_text_is_none(tmp_path: Path):
    table = tmp_path / "a.parquet"
    pq.write_table(pa.table({"path": ["a.png", "", "b.png"], "title": [1917, 2, 2012]}), table)
    assert [(item.source, item.title) for item in items(str(table))] == [
        ("a.png", ""),
        ("b.png", ""),
    ]


def test_a_row_may_end_before_its_title(tmp_path: Path):
    (tmp_path / "a.csv").write_text("path,title\na.png\n,x\nb.png,B\n")
    found = [(item.source, item.title) for item in items(str(tmp_path / "a.csv"))]
    assert found == [("a.png", ""), ("b.png", "B")]


def test_titles_of_a_webdataset_are_in_what_is_beside_a_picture(tmp_path: Path):
    files = {
        "1.jpg": b"",
        "1.json": b'{"title": "The Sea"}',
        "2.txt": b"Another",
        "2.json": b'{"title": "Two"}',
        "2.front.png": b"",
        "2.back.png": b"",
        "3.jpg": b"",
        "a/3.json": b'{"title": "another folder\'s"}',
        "4.json": b'{"title": 4}',
        "4.jpg": b"",
        "5.json": b"[1]",
        "5.jpg": b"",
        "6.json": b"[" * 9999,
        "6.jpg": b"",
        "7.json": b"\xff",
        "7.jpg": b"",
        "8.txt": b"Eight\n",
        "8.jpg": b"",
        "9.txt": b"A young keeper finds a letter. " * 3,
        "9.jpg": b"",
        "10.txt": b"Two\nlines",
        "10.jpg": b"",
    }
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    found = {Path(item.source).name: item.title for item in items(str(tmp_path / "a.tar"))}
    assert found == {
        "1.jpg": "The Sea",
        "2.front.png": "Two",
        "2.back.png": "Two",
        "8.jpg": "Eight",
        **dict.fromkeys([f"{i}.jpg" for i in (3, 4, 5, 6, 7, 9, 10)], ""),
    }


def test_rows_are_found_in_any_row_group_and_order(tmp_path: Path):
    table = tmp_path / "pictures.parquet"
    pictures = pa.table({"title": list("abcde"), "image": [poster(i) for i in range(5)]})
    pq.write_table(pictures, table, row_group_size=2)
    found = list(items(str(table)))
    assert [item.source for item in found] == [f"{table}/{i}" for i in range(5)]
    for i in (4, 0, 3, 1, 2):
        assert pixels(found[i]) == read_image(poster(i)).tobytes()


def test_a_row_may_name_its_picture_or_have_none(tmp_path: Path):
    (tmp_path / "named.png").write_bytes(poster(1))
    rows = [
        {"bytes": poster(0), "path": "other.png"},
        {"bytes": None, "path": "named.png"},
        {"bytes": None, "path": None},
        None,
    ]
    table = tmp_path / "pictures.parquet"
    pq.write_table(pa.table({"image": rows}), table)
    first, second, *empty = items(str(table))
    assert [pixels(first), pixels(second)] == [read_image(poster(i)).tobytes() for i in (0, 1)]
    assert len(empty) == 2
    for item in empty:
        with pytest.raises(DamagedImageError, match="is empty"):
            pixels(item)


@pytest.mark.parametrize(
    ("cell", "table", "kind", "file"),
    [
        ("tt1375666", "/in/a.csv", "title", ""),
        ("a.png", "/in/a.csv", "file", "/in/a.png"),
        ("/elsewhere/a.png", "/in/a.csv", "file", "/elsewhere/a.png"),
        ("/a.png", "s3://bucket/in/a.csv", "file", "s3://bucket/in/a.png"),
        ("s3://bucket/a.png", "/in/a.csv", "file", "s3://bucket/a.png"),
        ("abfss://bucket/a.png", "/in/a.csv", "file", "abfss://bucket/a.png"),
        ("file:///else/a%20b.png", "/in/a.csv", "file", "/else/a b.png"),
        ("ftp://host/a.png", "/in/a.csv", "nothing", ""),
    ],
)
def test_what_a_cell_names(cell: str, table: str, kind: str, file: str):
    item = named_item(cell, table)
    assert (item.source, item.kind, item.file) == (cell, kind, file)


def found(name: Path) -> list[tuple[str, str]]:
    return [(item.source.rpartition("/")[2], item.title) for item in items(str(name))]


def test_titles_are_read_in_whatever_encoding(tmp_path: Path):
    titles = ["Amélie", "Das süße Leben", "Alien"]
    table = tmp_path / "windows.csv"
    lines = [f"{i}.png,{title}" for i, title in enumerate(titles)]
    table.write_bytes("\n".join(["path,title", *lines]).encode("cp1252"))
    names = ["0.png", "1.png", "2.png"]
    assert found(table) == list(zip(names, titles, strict=True))
    raw = {"path": [name.encode() for name in names], "title": [each.encode() for each in titles]}
    pq.write_table(pa.table(raw), tmp_path / "bytes.parquet")
    assert found(tmp_path / "bytes.parquet") == list(zip(names, titles, strict=True))
    # Nothing checks what a program calls UTF-8.
    text = pa.array([each.encode("cp1252") for each in titles]).view(pa.string())
    for column in (text, text.cast(pa.large_string(), safe=False), text.dictionary_encode()):
        table = pa.table({"path": names, "title": column})
        with pa.ipc.new_file(str(tmp_path / "text.arrow"), table.schema) as file:
            file.write_table(table)
        pq.write_table(table, tmp_path / "text.parquet", store_schema=False)
        for name in ("text.arrow", "text.parquet"):
            assert found(tmp_path / name) == list(zip(names, titles, strict=True))


def test_half_a_character_costs_its_own_row_alone(tmp_path: Path):
    table = tmp_path / "a.jsonl"
    half = "\\ud83d"  # as JSON has it
    table.write_text(
        f'{{"path": "x{half}.png", "title": "The{half} \\udc81 Sea"}}\n'
        f'{{"path": "https://www.imdb.com/title/{ID}/?{half}"}}\n{{"path": "a.png"}}\n'
    )
    odd, looked_up, plain = items(str(table))
    assert (odd.source, odd.title) == (f"x{half}.png", "The \ufffd Sea")
    assert looked_up.source == f"https://www.imdb.com/title/{ID}/?{half}"
    assert plain.source == "a.png"
    with pytest.raises(InputError, match="cannot be read"):
        odd.read()


def test_a_title_of_a_sample_is_read_in_whatever_encoding(tmp_path: Path):
    with tarfile.open(tmp_path / "samples.tar", "w") as tar:
        for name, data in (("a.png", poster(0)), ("a.txt", "Amélie".encode("cp1252"))):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    assert [title for _, title in found(tmp_path / "samples.tar")] == ["Amélie"]


@pytest.mark.parametrize(
    "rows",
    [
        [
            "/rhIRbceoE9lR4veEXuwCC2wARtG.jpg,tt0114709",
            "/vzmL6fP7aPKNKPRTFnZmiUfciyV.jpg,tt0113497",
        ],
        [",tt0114709", ",tt0113497"],
    ],
)
def test_ids_beside_what_names_no_poster_are_found(tmp_path: Path, rows: list[str]):
    wanted = ["tt0114709", "tt0113497"]
    table = tmp_path / "movies.csv"
    table.write_text("\n".join(["poster_path,imdb_id", *rows]))
    assert [source for source, _ in found(table)] == wanted
    cells = [row.split(",")[0] or None for row in rows]
    pq.write_table(
        pa.table({"path": pa.array(cells, pa.string()), "imdb_id": wanted}),
        tmp_path / "movies.parquet",
    )
    assert [source for source, _ in found(tmp_path / "movies.parquet")] == wanted
    lines = [
        json.dumps({"image": cell, "imdb_id": id}) for cell, id in zip(cells, wanted, strict=True)
    ]
    (tmp_path / "movies.jsonl").write_text("\n".join(lines))
    assert [source for source, _ in found(tmp_path / "movies.jsonl")] == wanted


def test_json_lines_are_told_by_the_name_of_their_file(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "posters.zip", "w") as archive:
        archive.writestr("posters.jsonl", '{"path": "0.png"}')
    assert found(tmp_path / "posters.zip") == [("0.png", "")]
    folder = tmp_path / "posters.jsonl-export"
    folder.mkdir()
    (folder / "posters.csv").write_text("path\n0.png\n")
    assert found(folder / "posters.csv") == [("0.png", "")]
