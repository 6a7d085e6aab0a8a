import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from poster2plot import GenerationSettings, Poster2Plot, __version__, read_image
from poster2plot.cli import main, parser
from poster2plot.imdb.services import CINEMETA_NOTICE
from support.drawn_posters import draw_poster, draw_titled_poster, encode
from support.poster_server import (
    ID,
    MOVIE,
    PICTURE,
    Answer,
    catalogue,
    cinemeta,
    metas,
    serve_posters,
)


@pytest.fixture
def run(tiny_folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs the command line on the tiny model; returns its status and standard output."""

    def run(*arguments: object) -> tuple[int, str]:
        status = main(["--model", str(tiny_folder), "--device", "cpu", *map(str, arguments)])
        return status, capsys.readouterr().out

    return run


def test_json_is_one_object_a_line(run, poster_file, tiny_folder: Path):
    first, second = poster_file("a.png"), poster_file("b.png", "darkred")
    status, output = run("--json", "--num-candidates", 2, "--max-length", 20, first, second)
    records = [json.loads(line) for line in output.splitlines()]
    assert status == 0
    assert [record["source"] for record in records] == [str(first), str(second)]
    for record in records:
        assert record["plot"] == record["candidates"][0]["text"]
        assert len(record["candidates"]) == 2
        assert record["model"] == str(tiny_folder)
        assert record["device"] == "cpu"
        assert record["settings"]["num_candidates"] == 2
        assert record["settings"]["guidance"] == 1
        assert record["seconds"] > 0


def test_the_version(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"poster2plot {__version__}\n"


def test_the_help_names_every_setting():
    text = parser().format_help()
    for name in vars(GenerationSettings()):
        flag = "--no-title" if name == "use_title" else f"--{name.replace('_', '-')}"
        assert flag in text or name == "early_stopping"


def test_several_inputs_have_a_progress_bar_on_a_terminal(
    tiny_folder: Path,
    poster_file,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def bar(*inputs: Path) -> str:
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        main(["--model", str(tiny_folder), "--device", "cpu", *map(str, inputs)])
        return capsys.readouterr().err

    assert "2/2" in bar(poster_file("a.png"), poster_file("b.png", "darkred"))
    assert "1/1" not in bar(poster_file("a.png"))


def test_a_bad_input_does_not_stop_the_others(run, poster_file, tmp_path: Path):
    good, broken = poster_file("good.png"), tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff nothing of the kind")
    missing = tmp_path / "missing.jpg"
    status, output = run("--json", broken, missing, "nm0000138", good)
    records = [json.loads(line) for line in output.splitlines()]
    assert status == 1
    assert ["error" in record for record in records] == [True, True, True, False]
    assert "person" in records[2]["error"]


def test_a_folder_stands_for_its_posters(run, poster_file, tmp_path: Path):
    poster_file("folder/b.png")
    poster_file("folder/deeper/a.png")
    (tmp_path / "folder" / "notes.txt").write_text("not a poster")
    status, output = run("--json", "--max-length", 12, tmp_path / "folder")
    assert status == 0
    names = [Path(json.loads(line)["source"]).name for line in output.splitlines()]
    assert sorted(names) == ["a.png", "b.png"]


def test_an_empty_folder_is_an_error(run, tmp_path: Path):
    status, output = run("--json", tmp_path)
    assert status == 1
    assert str(tmp_path) in json.loads(output)["source"]
    assert json.loads(output)["error"]


def test_plain_output_counts_and_indents(run, poster_file, tmp_path: Path):
    status, output = run(poster_file("a.png"), tmp_path / "missing.png")
    lines = output.splitlines()
    assert status == 1
    assert lines[0] == f"[1/2] {tmp_path / 'a.png'}"
    assert lines[1].startswith("    ")
    assert f"[2/2] {tmp_path / 'missing.png'}" in lines
    assert "    error: " in output


def test_candidates_are_numbered(run, poster_file):
    _, output = run("--num-candidates", 3, poster_file())
    assert [f"    {rank}. " in output for rank in (1, 2, 3, 4)] == [True, True, True, False]


def test_settings_reach_the_model(run, poster_file):
    flags = ["--sample", "--temperature", 1.5, "--top-p", 1, "--max-length", 16]
    texts = {run(*flags, "--seed", seed, poster_file())[1] for seed in (0, 0, 1)}
    assert len(texts) == 2


def test_a_name_stands_for_the_title_that_is_meant(tiny_folder: Path, capsys):
    arguments = ["--model", str(tiny_folder), "--device", "cpu", "--json"]
    film = {"id": ID, "name": "Inception", "releaseInfo": "2010"}
    with serve_posters() as server:
        server.answers |= {
            catalogue("movie", "inception"): metas(film, film | {"id": "tt0000002", "name": "Nap"}),
            MOVIE: cinemeta(server),
            PICTURE: Answer(encode(draw_poster(), "JPEG")),
        }
        assert main([*arguments, "inception 2010"], finder=server.finder()) == 0
        record = json.loads(capsys.readouterr().out)
        assert record["title"]["title_id"] == ID
        assert main([*arguments, f"Any name {ID}"], finder=server.finder()) == 0
        assert json.loads(capsys.readouterr().out)["title"]["title_id"] == ID
        server.answers[catalogue("movie", "inception")] = metas(film, film | {"id": "tt0000002"})
        assert main([*arguments, "inception"], finder=server.finder()) == 1
    output, listed = capsys.readouterr()
    assert "“inception”" in json.loads(output)["error"]
    assert [title["title_id"] for title in json.loads(output)["titles"]] == [ID, "tt0000002"]
    assert listed == f"{ID}  Inception (2010, movie)\ntt0000002  Inception (2010, movie)\n"


def test_a_title_brings_what_the_service_knows(tiny_folder: Path, capsys):
    with serve_posters() as server:
        server.answers = {
            MOVIE: cinemeta(server),
            PICTURE: Answer(encode(draw_poster(), "JPEG")),
        }
        arguments = ["--model", str(tiny_folder), "--max-length", "12", ID]
        assert main([*arguments, "--json"], finder=server.finder()) == 0
        record = json.loads(capsys.readouterr().out)
        assert main(arguments, finder=server.finder()) == 0
        plain = capsys.readouterr().out
    assert record["source"] == ID
    assert record["title"] == {
        "title_id": ID,
        "title": "Inception",
        "year": 2010,
        "synopsis": "A thief enters dreams.",
        "service": "Cinemeta",
        "attribution": CINEMETA_NOTICE,
        "source": "IMDb",
        "used": False,
    }
    for part in ("Inception (2010)", "Cinemeta says: A thief enters dreams.", CINEMETA_NOTICE):
        assert part in plain


def test_a_given_title_is_written_from(run, poster_file, titled: Poster2Plot, titled_folder: Path):
    def record(*arguments: object) -> dict[str, Any]:
        _, output = run("--model", titled_folder, "--precision", "fp32", "--json", *arguments)
        found: dict[str, Any] = json.loads(output)
        return found

    poster = poster_file()
    written = record(poster, "--title", " The Sea\x1b[31m\u202e ")
    [[best]] = titled.generate([poster], titles=["The Sea [31m"])
    assert written["plot"] == best.text
    assert written["title"] == {"title": "The Sea [31m", "source": "given", "used": True}
    assert record(poster, "--title", "Dog")["plot"] != best.text
    [[alone]] = titled.generate([poster])
    assert record(poster, "--title", "\u200b ")["title"] is None
    for title, used in (("The Sea", False), ("", None)):
        passed_over = record(poster, "--title", title, "--no-title")
        assert passed_over["plot"] == alone.text
        assert passed_over["settings"]["use_title"] is False
        assert (passed_over["title"] or {}).get("used") is used


def test_a_title_is_printed_as_one_plain_line(run, poster_file):
    _, output = run("--title", "A\x1b[2J\nB\u202e", poster_file())
    assert output.splitlines()[1] == "    A [2J B"


def test_a_model_without_titles_says_so_once(
    tiny_folder: Path, titled_folder: Path, poster_file, capsys: pytest.CaptureFixture[str]
):
    def told(model: Path, *arguments: str) -> str:
        assert main(["--model", str(model), str(poster_file()), *arguments]) == 0
        return capsys.readouterr().err

    assert told(tiny_folder, "--title", "The Sea").count("takes no titles") == 1
    for model, arguments in (
        (tiny_folder, []),
        (tiny_folder, ["--title", "The Sea", "--no-title"]),
        (titled_folder, ["--title", "The Sea"]),
    ):
        assert told(model, *arguments) == ""


def test_a_printed_title_is_read_where_that_is_asked_for(
    run, titled: Poster2Plot, titled_folder: Path, tmp_path: Path
):
    poster = tmp_path / "poster.png"
    draw_titled_poster("THE LAST RIVER").save(poster)

    def record(*arguments: object) -> dict[str, Any]:
        _, output = run("--model", titled_folder, "--precision", "fp32", "--json", *arguments)
        found: dict[str, Any] = json.loads(output)
        return found

    [[best]] = titled.generate([poster], titles=["The Last River"])
    read = record(poster, "--read-title")
    assert read["plot"] == best.text
    confidence = read["title"].pop("confidence")
    assert 0.5 < confidence <= 1
    assert read["title"] == {"title": "The Last River", "source": "read", "used": True}
    assert record(poster)["title"] is None
    given = record(poster, "--read-title", "--title", "The Sea")
    assert given["title"] == {"title": "The Sea", "source": "given", "used": True}


def test_nothing_is_read_for_a_model_without_titles(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    poster = tmp_path / "poster.png"
    draw_titled_poster("THE LAST RIVER").save(poster)
    assert main(["--model", str(tiny_folder), "--json", "--read-title", str(poster)]) == 0
    output, told = capsys.readouterr()
    assert json.loads(output)["title"] is None
    assert told.count("takes no titles") == 1


def test_to_read_titles_and_write_without_them_is_refused(
    poster_file, capsys: pytest.CaptureFixture[str]
):
    assert main(["--read-title", "--no-title", str(poster_file())]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --read-title ")
    assert "--no-title" in line


@pytest.mark.parametrize(
    ("title", "posters", "says"),
    [("The Sea", 2, "name one poster"), (ID, 1, "as the input"), ("https://a.example", 1, "words")],
)
def test_what_is_no_title_of_a_poster_is_an_error(
    poster_file, capsys: pytest.CaptureFixture[str], title: str, posters: int, says: str
):
    poster_file("one/a.png")
    poster_file("many/a.png")
    folder = poster_file("many/b.png").parent
    source = folder if posters > 1 else folder.parent / "one"
    assert main(["--title", title, str(source)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert says in line


def test_a_look_up_brings_the_title_but_never_its_synopsis(
    titled: Poster2Plot, titled_folder: Path, capsys: pytest.CaptureFixture[str]
):
    picture = encode(draw_poster(), "JPEG")

    def record(*arguments: str, **said: str) -> dict[str, Any]:
        with serve_posters() as server:
            server.answers = {MOVIE: cinemeta(server, **said), PICTURE: Answer(picture)}
            options = ["--model", str(titled_folder), "--precision", "fp32", "--json", ID]
            assert main([*options, *arguments], finder=server.finder()) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    [[best]] = titled.generate([read_image(picture)], titles=["The Sea"])
    for synopsis in ("Two rivals meet.", "A man and his dog."):
        found = record(name="The\u200b Sea", description=synopsis)
        assert found["plot"] == best.text
        assert found["title"]["synopsis"] == synopsis
        about = {"title": "The Sea", "source": "IMDb", "used": True}
        assert found["title"].items() >= about.items()
    [[other]] = titled.generate([read_image(picture)], titles=["Dog"])
    given = record("--title", "Dog", name="The Sea")
    assert given["plot"] == other.text
    assert given["title"].items() >= {"title": "Dog", "source": "given", "year": 2010}.items()
    assert record(name="")["title"].items() >= {"title": None, "source": None}.items()


@pytest.mark.parametrize("arguments", [["--num-beams", "0"], ["--max-length", "65"]])
def test_a_bad_setting_is_one_sentence(
    tiny_folder: Path, poster_file, capsys: pytest.CaptureFixture[str], arguments: list[str]
):
    assert main(["--model", str(tiny_folder), str(poster_file()), *arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


def test_a_missing_model_is_one_sentence(poster_file, capsys: pytest.CaptureFixture[str]):
    assert main([str(poster_file()), "--model", "./nowhere"]) == 2
    error = capsys.readouterr().err
    assert "nowhere" in error
    assert "Traceback" not in error
    assert len(error.splitlines()) == 1


def test_the_defaults_are_those_of_the_library():
    options = vars(parser().parse_args(["poster.jpg"]))
    defaults = vars(GenerationSettings())
    shared = options.keys() & defaults.keys()
    assert defaults.keys() - shared == {"early_stopping"}
    assert {name: options[name] for name in shared} == {name: defaults[name] for name in shared}


def test_a_reader_that_leaves_is_no_error(poster_file, tiny_folder: Path):
    command = [sys.executable, "-m", "poster2plot", "--model", str(tiny_folder)]
    with subprocess.Popen(
        [*command, *[str(poster_file())] * 3], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        error = process.stderr.read().decode()
    # What a shell says of a program that SIGPIPE ended; Python itself would end with 1, or with
    # 120 where it cannot write the rest of stdout.
    assert process.returncode == 141, error
    assert "Traceback" not in error
    assert "BrokenPipe" not in error


def in_a_shell(tiny_folder: Path, *inputs: str, streams: str = "") -> tuple[int, str, str]:
    """Exit status, output and errors of the command with redirections of a shell."""
    options = [*inputs, "--model", str(tiny_folder), "--device", "cpu", "--max-length", "12"]
    command = shlex.join([sys.executable, "-m", "poster2plot", *options])
    done = subprocess.run(
        ["sh", "-c", f"{command} {streams}"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
    )
    return done.returncode, done.stdout, done.stderr


def test_a_name_that_is_no_text_stops_nothing(tmp_path: Path, tiny_folder: Path):
    for name in (b"caf\xe9.png", b"ok.png"):
        Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_bytes(encode(draw_poster()))
    status, output, _ = in_a_shell(tiny_folder, str(tmp_path))
    assert status == 0
    assert output.count("[") == 2
    status, output, _ = in_a_shell(tiny_folder, str(tmp_path), "--json")
    assert [Path(json.loads(line)["source"]).name for line in output.splitlines()] == [
        "caf\udce9.png",
        "ok.png",
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
def test_a_full_disk_is_one_sentence(poster_file, tiny_folder: Path):
    status, _, error = in_a_shell(tiny_folder, str(poster_file()), streams=">/dev/full")
    assert status == 1
    assert "error: The output cannot be written: No space left on device." in error
    assert "Traceback" not in error
    assert "Exception ignored" not in error


def test_a_closed_stream_stops_nothing(poster_file, tiny_folder: Path):
    assert in_a_shell(tiny_folder, str(poster_file()), streams="2>&-")[0] == 0
    assert in_a_shell(tiny_folder, str(poster_file()), streams=">&-") == (0, "", "")


def test_the_bundled_model_writes_what_stock_generate_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    from transformers import AutoImageProcessor, AutoTokenizer, VisionEncoderDecoderModel

    from poster2plot.bundled_files import BUNDLED_MODEL

    poster = draw_poster()
    poster.save(tmp_path / "poster.png")
    options = ["--guidance", "1", "--json", "--device", "cpu", "--precision", "fp32"]
    assert main([str(tmp_path / "poster.png"), *options]) == 0
    record = json.loads(capsys.readouterr().out)

    model = VisionEncoderDecoderModel.from_pretrained(BUNDLED_MODEL, dtype="float32")
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED_MODEL)
    processor = AutoImageProcessor.from_pretrained(BUNDLED_MODEL)
    pixels = processor(poster, return_tensors="pt")["pixel_values"]
    [ids] = model.generate(pixels)  # with the settings of its generation_config.json
    assert record["plot"] == tokenizer.decode(ids, skip_special_tokens=True).strip()

    p2p = Poster2Plot.from_pretrained(device="cpu", precision="fp32")
    [[candidate]] = p2p.generate([poster], GenerationSettings(guidance=1))
    assert candidate.token_ids == tuple(ids.tolist()[1:])
