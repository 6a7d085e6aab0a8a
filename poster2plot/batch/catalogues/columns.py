"""Which column of a table has the posters, and what its cells say."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from poster2plot.batch.catalogues.names import of_windows, shortened
from poster2plot.errors import InputError
from poster2plot.images.limits import reader_of
from poster2plot.imdb.ids import looks_like_title
from poster2plot.title_prompts import clean_title

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = (
    "image", "path", "file", "file_name", "poster", "imdb_title_id", "imdb_id", "tconst", "id",
)  # fmt: skip  # of a table, the first that is there
_SAME = {
    "filename": "file_name", "filepath": "path", "file_path": "path", "image_path": "path",
    "poster_path": "path", "imdbid": "imdb_id", "imdb_title": "imdb_title_id",
    "titleid": "tconst", "title_id": "tconst", "const": "tconst", "img": "image",
    "picture": "image",
}  # fmt: skip  # other names in use
_NUMBERS = ("imdb_title_id", "imdb_id", "tconst")  # whose numbers are ids of IMDb
SAMPLE = 16  # cells that tell what a column holds
NOTHING = ("", r"\N")  # cells of text that are empty; IMDb's files have the second
# How pandas and others put the bytes of a picture into text: as Python writes them, as an address
# that holds them, in base64.
_PICTURE_AS_TEXT = re.compile(
    r"""(\{'bytes': )?b['"](\\x|GIF8|RIFF|BM)|data:image/|"""
    r"(iVBORw0KGgo|/9j/|R0lGOD|UklGR|Qk|SUkqA|TU0AK)[A-Za-z0-9+/\s]{60}"
)
# TMDB's name of a picture, which is of use only to who has its address.
_OF_TMDB = re.compile(r"/\w{20,}\.(?:jpg|png|svg)", re.ASCII)
TITLES = "title"  # the column of titles, if there is one


class InRow(NamedTuple):
    """A picture within a row; `detail` is the path to it, column first, as JSON."""

    row: int
    detail: str


class Cell(NamedTuple):
    """What names a poster or holds it, and the poster's title or nothing."""

    poster: str | InRow
    title: str = ""


def title_in(cell: object) -> str:
    """The title that a cell holds, cleaned; nothing where it is a number, or an IMDb id or URL."""
    if isinstance(cell, bytes):
        cell = cell.decode("utf-8", "surrogateescape")
    if isinstance(cell, str):
        cell = of_windows(cell)
    is_title = isinstance(cell, str) and cell not in NOTHING and not looks_like_title(cell)
    return clean_title(str(cell)) if is_title else ""


def title_column(names: Sequence[str]) -> int | None:
    """The place, from 0, of the titles among the column `names`."""
    plain = [normal(name) for name in names]
    return plain.index(TITLES) if TITLES in plain else None


def normal(name: str) -> str:
    """A column's name without what spelling adds: capitals, spaces, hyphens."""
    plain = re.sub(r"[\s\-.]+", "_", name.strip().lstrip("\ufeff").casefold())
    return _SAME.get(plain, plain)


def poster_column(
    names: Sequence[str], table: str, sample: Callable[[int], Sequence[str]] = lambda _: ()
) -> int:
    """The place, from 0, of the posters among the column `names`.

    `sample` gives a few cells of a column: one that is empty, of web addresses or of TMDB's names
    of pictures, which nobody fetches, or of plain numbers that are no ids of IMDb is passed over
    where another is there. Raises `InputError`, which calls the table `table`, where none of
    `COLUMNS` is there, or it has pictures as text.
    """
    plain = [normal(name) for name in names]
    found = [plain.index(wanted) for wanted in COLUMNS if wanted in plain]
    usable = [place for place in found if _is_usable(plain[place], sample(place))]
    if usable:
        return usable[0]
    if found and plain[found[0]] != "id":
        _refuse_pictures_as_text(sample(found[0]), names[found[0]], table)
        return found[0]
    there = ", ".join(repr(shortened(name, 40)) for name in names[:20]) or "nothing"
    raise InputError(
        f"{table!r} has none of the columns {', '.join(COLUMNS)} with posters in it; its columns "
        f"are {there}."
    )


def _refuse_pictures_as_text(cells: Sequence[str], column: str, table: str) -> None:
    if any(map(_PICTURE_AS_TEXT.match, cells)):
        raise InputError(
            f"{table!r} has pictures written as text in its column {shortened(column, 40)!r}; "
            "give a Parquet file with their bytes, or their files."
        )


def _is_usable(name: str, sample: Sequence[str]) -> bool:
    cells = [cell for cell in sample if cell not in NOTHING]
    if sample and not cells:
        return False
    if any(map(_PICTURE_AS_TEXT.match, cells)):
        return False
    if cells and all(map(_OF_TMDB.fullmatch, cells)):
        return False
    if cells and all(cell.startswith(("http://", "https://")) for cell in cells):
        return all(looks_like_title(cell) and "imdb.com" in cell for cell in cells)
    return name != "id" or not cells or not all(cell.isdigit() for cell in cells)


def poster_cell(column: str, cell: object) -> str:
    """What a cell of text or a number says: the name of a poster, or "" for none."""
    text = str(cell).strip() if cell is not None else ""
    if text in NOTHING or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if normal(column) in _NUMBERS:
        # Programs make numbers with a point of those of a column in which some are missing.
        digits = text.removesuffix(".0")
        if digits.isascii() and digits.isdigit() and len(digits) <= 10:
            return f"tt{int(digits):07d}"
    return text


@dataclass(frozen=True)
class Column:
    """Where in an Arrow table the posters are: `path` leads through structs to the column."""

    path: tuple[str, ...]
    holds_pictures: bool

    def leaf(self, batch: pa.RecordBatch) -> pa.Array:
        """The column of a batch that has `path[0]`."""
        import pyarrow.compute as pc

        array = batch.column(batch.schema.get_field_index(self.path[0]))
        for name in self.path[1:]:
            array = pc.struct_field(array, name)
        return array

    def cells(self, batch: pa.RecordBatch, first_row: int) -> Iterator[Cell]:
        """The cells of a batch that name a poster or hold one; its first row is `first_row`."""
        array = self.leaf(batch)
        titles = _titles(batch)
        if not self.holds_pictures:
            for value, title in zip(_values(array), titles, strict=True):
                if isinstance(value, bytes):
                    value = _decoded(value)
                if cell := poster_cell(self.path[-1], value):
                    yield Cell(cell, title)
            return
        if not _is_list(array.type):
            names = zip(_names_within(array), titles, strict=True)
            for row, (name, title) in enumerate(names, first_row):
                yield Cell(name or InRow(row, json.dumps(self.path)), title)
            return
        for row, (value, title) in enumerate(zip(array, titles, strict=True), first_row):
            inside = value.values if value.is_valid else ()
            if not len(inside):
                yield Cell(InRow(row, json.dumps(self.path)))  # an error: there is nothing
                continue
            for i, name in enumerate(_names_within(inside)):
                yield Cell(name or InRow(row, json.dumps([*self.path, i])), title)


def _titles(batch: pa.RecordBatch) -> list[str]:
    place = title_column(batch.schema.names)
    if place is None:
        return [""] * batch.num_rows
    return [title_in(value) for value in _values(batch.column(place))]


def _values(array: pa.Array) -> list[Any]:
    """What a column has; of texts that are no UTF-8, such bytes become lone surrogates."""
    import pyarrow as pa

    try:
        return list(array.to_pylist())
    except UnicodeDecodeError:
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        values = array.cast(pa.large_binary()).to_pylist()
        return [None if value is None else _decoded(value) for value in values]


def _decoded(name: bytes) -> str:
    """As Python does it with names of files."""
    return name.decode("utf-8", "surrogateescape")


def _names_within(array: pa.Array) -> Iterator[str]:
    """For each picture the name of its file, or "" where its bytes are here, or nothing is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if _is_text(array.type):
        yield from (str(value or "") for value in _values(array))
    elif pa.types.is_struct(array.type):
        fields = {field.name for field in array.type}
        if "path" not in fields:
            yield from ("" for _ in range(len(array)))
            return
        absent = (
            pc.struct_field(array, "bytes").is_null().to_pylist()
            if "bytes" in fields
            else [True] * len(array)
        )
        paths = _values(pc.struct_field(array, "path"))
        for is_absent, path in zip(absent, paths, strict=True):
            yield str(path) if is_absent and path else ""
    else:
        yield from ("" for _ in range(len(array)))


def arrow_column(
    schema: pa.Schema, table: str, first: Callable[[str], pa.RecordBatch | None]
) -> Column:
    """The posters of an Arrow table; `first` gives the first rows with the column of a name.

    The column that the library datasets calls one of images comes first, then the names of
    `COLUMNS`, then whatever alone holds pictures. Raises `InputError`, which calls the table
    `table`, where no column has posters, or several have and no name tells which.
    """
    candidates = list(_candidates(schema))
    images = _image_features(schema)
    declared = [path for path, _ in candidates if path[:1] == path and path[0] in images]
    if len(declared) == 1:
        return Column(declared[0], True)

    def sample(path: tuple[str, ...]) -> list[Any]:
        batch = first(path[0])
        return [] if batch is None else _values(Column(path, False).leaf(batch))

    called = [_called(path, kind, candidates) for path, kind in candidates]
    fitting = sorted(
        (COLUMNS.index(name), len(path), i)
        for i, (name, (path, kind)) in enumerate(zip(called, candidates, strict=True))
        if name in COLUMNS
        and (kind != "number" or name in _NUMBERS)
        and (not declared or path in declared)
    )
    for _, _, i in fitting:
        path, kind = candidates[i]
        if kind == "picture":
            return Column(path, True)
        values = sample(path)
        filled = [value for value in values if value is not None]
        if kind == "bytes":
            if _are_names(filled):
                return Column(path, False)
            if not filled or any(map(reader_of, filled)):
                return Column(path, True)
        elif _is_usable(called[i], ["" if value is None else str(value) for value in values]):
            return Column(path, False)
    if fitting:
        path, kind = candidates[fitting[0][2]]
        if called[fitting[0][2]] != "id":
            if kind == "text":
                _refuse_pictures_as_text(list(map(str, sample(path))), ".".join(path), table)
            return Column(path, kind == "bytes")
    pictures = declared or [
        path
        for (path, kind), name in zip(candidates, called, strict=True)
        if kind == "picture" or (kind == "bytes" and name != "id")
    ]
    if len(pictures) > 1 and not declared:  # bytes may be of anything
        kinds = dict(candidates)
        pictures = [
            path
            for path in pictures
            if kinds[path] == "picture" or any(reader_of(cell) for cell in sample(path) if cell)
        ] or pictures
    if len(pictures) == 1:
        return Column(pictures[0], True)
    if pictures:
        names = ", ".join(repr(".".join(path)) for path in pictures)
        raise InputError(
            f"{table!r} has several columns with pictures, {names}; name the one of the posters "
            "'image', or leave the others out."
        )
    there = ", ".join(repr(shortened(".".join(path), 40)) for path, _ in candidates[:20])
    raise InputError(
        f"{table!r} has none of the columns {', '.join(COLUMNS)} with posters in it; its columns "
        f"of text or pictures are {there or 'none'}."
    )


def _called(path: tuple[str, ...], kind: str, all_of_them: Sequence[tuple[Any, str]]) -> str:
    """The name that tells what a column is; the only bytes of a struct are what that is called."""
    name = normal(path[-1])
    if kind != "bytes" or name in COLUMNS or len(path) == 1:
        return name
    beside = [other for other, its in all_of_them if its == kind and other[:-1] == path[:-1]]
    return normal(path[-2]) if len(beside) == 1 else name


def _candidates(fields: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each column and what it may be, those within structs too."""
    import pyarrow as pa

    for field in fields:
        path, kind = (*above, field.name), field.type
        if _is_picture(kind):
            yield path, "picture"
        elif _is_text(kind):
            yield path, "text"
        elif _is_bytes(kind):
            yield path, "bytes"
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
            yield path, "number"
        elif pa.types.is_struct(kind):
            yield from _candidates(kind, path)


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    types = pa.types
    return bool(
        types.is_list(kind)
        or types.is_large_list(kind)
        or types.is_fixed_size_list(kind)
        or types.is_list_view(kind)
        or types.is_large_list_view(kind)
    )


def _is_picture(kind: Any) -> bool:
    """A struct of `bytes` and `path`, or a list of pictures or of names."""
    import pyarrow as pa

    if _is_list(kind):
        inside = kind.value_type
        return _is_picture(inside) or _is_bytes(inside) or _is_text(inside)
    if not pa.types.is_struct(kind):
        return False
    fields = {field.name: field.type for field in kind}
    return ("bytes" in fields and _is_bytes(fields["bytes"])) or (
        set(fields) == {"path"} and _is_text(fields["path"])
    )


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_bytes(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    types = pa.types
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def _are_names(values: Sequence[bytes]) -> bool:
    """Some programs write text as bytes."""
    return bool(values) and all(
        len(value) < 1024 and reader_of(value) is None and _is_printable(value) for value in values
    )


def _is_printable(value: bytes) -> bool:
    try:
        return value.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _image_features(schema: pa.Schema) -> set[str]:
    """The columns that the library datasets calls images, or lists of them."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            name
            for name, feature in features.items()
            if "Image" in (feature.get("_type"), (feature.get("feature") or {}).get("_type"))
        }
    except (KeyError, ValueError, AttributeError, TypeError):
        return set()
