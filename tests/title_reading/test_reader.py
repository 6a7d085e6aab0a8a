"""Titles read from drawn posters, by the real models of text recognition."""

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from poster2plot import ImageError
from poster2plot.title_reading.reader import SMALL, TitleReader, as_title
from support.drawn_posters import draw_poster


@pytest.fixture(scope="module")
def reader() -> TitleReader:
    return TitleReader()


def write(
    poster: Image.Image, *texts: tuple[str, float, int], color: str = "white", x: float = 0.5
) -> Image.Image:
    """A poster with texts: each with its place from top to bottom and its size in pixels."""
    draw = ImageDraw.Draw(poster)
    for text, y, size in texts:
        place = (poster.width * x, poster.height * y)
        draw.text(place, text, color, ImageFont.load_default(size), anchor="mm")
    return poster


CREDITS = (
    ("A MARTIN HOLLOWAY FILM", 0.9, 14),
    ("Directed by Martin Holloway", 0.93, 12),
    ("IN THEATERS JULY 7", 0.97, 12),
)


@pytest.mark.parametrize("size", [(300, 450), (1000, 1500)])
def test_the_title_is_read_among_what_else_is_printed(reader: TitleReader, size: tuple[int, int]):
    scale = size[0] / 300
    texts = (("JOHN FENWICK", 0.06, 18), ("THE LAST RIVER", 0.75, 36), *CREDITS)
    poster = draw_poster(size=size)
    read = reader.read(write(poster, *((text, y, int(s * scale)) for text, y, s in texts)))
    assert read is not None
    assert read.title == "The Last River"
    assert 0.5 < read.confidence <= 1


def test_a_poster_may_be_a_path_or_a_picture_of_any_mode_turned_by_exif(
    reader: TitleReader, tmp_path: Path
):
    poster = write(draw_poster(size=(300, 450)), ("THE LAST RIVER", 0.75, 36))
    path, turned = tmp_path / "turned.png", Image.Exif()
    turned[0x0112] = 6
    poster.transpose(Image.Transpose.ROTATE_90).save(path, exif=turned)
    with Image.open(path) as opened:
        pictures: list[Image.Image | str | Path] = [path, str(path), opened]
        pictures += [poster.convert(mode) for mode in ("L", "P", "RGBA", "CMYK", "I")]
        for picture in pictures:
            read = reader.read(picture)
            assert read is not None
            assert read.title == "The Last River"


def test_a_picture_without_pixels_is_an_error(reader: TitleReader):
    with pytest.raises(ImageError, match="no pixels"):
        reader.read(Image.new("RGB", (0, 0)))


def test_lines_that_belong_together_are_one_title(reader: TitleReader):
    poster = draw_poster("darkred", (300, 450))
    read = reader.read(
        write(poster, ("THE HOUSE", 0.62, 44), ("OF", 0.69, 20), ("WINTER", 0.77, 44), *CREDITS)
    )
    assert read is not None
    assert read.title == "The House of Winter"


def test_very_large_letters_are_read(reader: TitleReader):
    read = reader.read(write(draw_poster("darkgreen", (300, 450)), ("STORM", 0.4, 88), *CREDITS))
    assert read is not None
    assert read.title == "Storm"


def pictures_without_writing() -> list[Image.Image]:
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (450, 300, 3), np.uint8)
    fine = Image.fromarray(noise)
    clouds = fine.resize((20, 30)).resize((300, 450), Image.Resampling.BICUBIC)
    stripes = Image.fromarray(np.tile(np.arange(300) % 24 < 12, (450, 1)).astype(np.uint8) * 255)
    window = draw_poster("black", (300, 450))
    for x in range(30, 270, 40):
        ImageDraw.Draw(window).rectangle((x, 100, x + 20, 130), outline="yellow", width=3)
    return [
        draw_poster(),
        draw_poster("white", (168, 252)),
        fine,
        fine.filter(ImageFilter.GaussianBlur(3)),
        clouds,
        stripes.convert("RGB"),
        window,
        Image.new("RGB", (300, 450)),
        Image.new("RGB", (1, 1), "white"),
        Image.new("RGB", (3000, 2), "white"),
    ]


def test_a_picture_without_writing_has_no_title(reader: TitleReader):
    for number, picture in enumerate(pictures_without_writing()):
        assert reader.read(picture) is None, number


@pytest.mark.parametrize("text", ["0000000 000", "LALALALALALA"])
def test_a_pattern_is_no_title(reader: TitleReader, text: str):
    assert reader.read(write(draw_poster("navy", (300, 450)), (text, 0.75, 36))) is None


def test_small_print_alone_is_no_title(reader: TitleReader):
    assert reader.read(write(draw_poster(size=(300, 450)), *CREDITS)) is None


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch):
    def connect(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", connect)
    read = TitleReader().read(write(draw_poster(size=(300, 450)), ("THE LAST RIVER", 0.75, 36)))
    assert read is not None


def test_nothing_is_loaded_before_it_is_needed():
    code = (
        "import sys, poster2plot.title_reading.reader as r; r.TitleReader(); "
        "print({'rapidocr', 'cv2', 'onnxruntime'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_small_poster_has_a_title_only_where_it_is_surer(
    reader: TitleReader, monkeypatch: pytest.MonkeyPatch
):
    def poster(width: int) -> Image.Image:
        texts = (("JOHN FENWICK", 0.06, 18), ("THE LAST RIVER", 0.75, 36), *CREDITS)
        large = write(draw_poster(size=(300, 450)), *texts)
        return large.resize((width, width * 3 // 2), Image.Resampling.LANCZOS)

    for width in (SMALL - 1, SMALL):
        read = reader.read(poster(width))
        assert read is not None
        monkeypatch.setattr(
            "poster2plot.title_reading.reader.THRESHOLD_WHEN_SMALL", read.confidence + 1e-6
        )
        assert (reader.read(poster(width)) is None) == (width < SMALL)
        monkeypatch.undo()


def test_one_reader_serves_all_threads_of_the_process():
    # In a process of its own, as here it may be loaded already.
    code = (
        "import sys\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from PIL import Image\n"
        "from poster2plot.title_reading import reader\n"
        "assert not {'rapidocr', 'cv2', 'onnxruntime'} & sys.modules.keys()\n"
        "from poster2plot.title_reading import recognition\n"
        "made, make = [], recognition.TextReader.__init__\n"
        "recognition.TextReader.__init__ = lambda self: made.append(1) or make(self)\n"
        "with ThreadPoolExecutor(4) as pool:\n"
        "    read = pool.map(reader.read_title, [Image.new('RGB', (300, 450))] * 4)\n"
        "print(list(read), len(made))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{[(None, False)] * 4} 1\n"


def test_a_package_that_does_not_load_is_said_once_in_its_own_words(tmp_path: Path):
    (tmp_path / "cv2.py").write_text(
        "import sys\nif hasattr(sys, 'tried'): raise ImportError('a second time')\n"
        "sys.tried = True\nraise ImportError('libGL.so.1: cannot open shared object file')\n"
    )
    code = (
        "import sys\nfrom concurrent.futures import ThreadPoolExecutor\nfrom PIL import Image\n"
        "import poster2plot.title_reading.reader as r\nfrom poster2plot.errors import InputError\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "with ThreadPoolExecutor(4) as pool:\n"
        "    list(pool.map(r.read_title, [Image.new('RGB', (300, 450))] * 8))\n"
        "try:\n    r.reader_version()\nexcept InputError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said = (
        "Titles cannot be read from posters, as a package does not load (libGL.so.1: cannot open "
        "shared object file).\n"
    )
    assert (done.stdout, done.stderr) == (said, said)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("sys.modules['rapidocr'] = None", "pip install 'poster2plot[titles]'"),
        ("sys.modules['omegaconf'] = None", "a package does not load"),
        ("r.TitleReader._load = lambda _: 1 / 0", "(ZeroDivisionError)"),
    ],
)
def test_a_reader_that_fails_says_why_once_and_reads_no_title(fault: str, says: str):
    code = (
        "import sys\nfrom PIL import Image\nimport poster2plot.title_reading.reader as r\n"
        f"{fault}\n"
        "print([r.read_title(Image.new('RGB', (300, 450))) for _ in range(3)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{[(None, True)] * 3}\n"
    [line] = done.stderr.splitlines()
    assert says in line


@pytest.mark.parametrize(
    ("printed", "title"),
    [
        ("GUYS AND DOLLS", "Guys and Dolls"),
        ('"STRANGERS ON A TRAIN"', "Strangers on a Train"),
        ("DON'T LOOK NOW", "Don't Look Now"),
        ("THE GODFATHER PART III", "The Godfather Part III"),
        ("AMÉLIE", "Amélie"),
        ("La Notte", "La Notte"),
        ("AnAmerican inParis", "An American in Paris"),
        ("T2 TRAINSPOTTING", "T2 Trainspotting"),
        ("HEAD-ON", "Head-On"),
        ("2027::", "2027"),
        ("七人の侍", "七人の侍"),
        ('""', ""),
    ],
)
def test_a_title_is_written_as_titles_are(printed: str, title: str):
    assert as_title(printed) == title
