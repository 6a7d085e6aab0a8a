"""Detection and recognition of text: PP-OCRv6's small models by RapidOCR, on the CPU.

Both models lie inside RapidOCR's wheel and nothing is downloaded; they read Latin letters, Chinese
and Japanese. https://github.com/RapidAI/RapidOCR, https://arxiv.org/abs/2009.09941
"""

from __future__ import annotations

import ctypes
from dataclasses import replace
from pathlib import Path

import numpy as np
import rapidocr
from numpy.typing import NDArray
from omegaconf import flag_override
from onnxruntime import InferenceSession, SessionOptions
from PIL import Image
from rapidocr.ch_ppocr_det import TextDetector
from rapidocr.ch_ppocr_rec import TextRecInput, TextRecognizer

from poster2plot.images.perspective import straightened
from poster2plot.title_reading.text_lines import (
    TextLine,
    are_readings_of_the_same,
    one_reading,
)

# The shorter sides, in pixels, of the pictures in which lines are looked for, and how many of the
# tallest lines of each are read: a title's are among them, and each takes its time.
SCALES = {480: 8, 192: 3}
LONGEST = 14  # length over height of a line; what is longer is small print
SURE = 0.9  # score of a line that is not read again at a smaller scale
THREADS = 2
TURNED = 1.5  # height over width of a line that may be turned by a quarter
_SHORTEST = 4  # pixels of a line's sides

Pixels = NDArray[np.uint8]


class TextReader:
    """Reads lines of text; safe to share between threads."""

    def __init__(self) -> None:
        models = Path(rapidocr.__file__).parent / "models"
        parameters = {
            "Global.log_level": "error",
            # The pictures have the size they are to have.
            "Det.limit_side_len": 32,
            "Det.box_thresh": 0.4,
            # Lines of other widths in a batch would be padded to the longest.
            "Rec.rec_batch_num": 1,
            "Rec.rec_img_shape": [3, 48, 64],
        }
        config = rapidocr.RapidOCR(params=parameters).cfg
        # RapidOCR loads a model by itself from the network if it is not where it looks.
        with flag_override(config, "allow_objects", True):
            config.Det.session = _session(models / "PP-OCRv6_det_small.onnx")
            config.Rec.session = _session(models / "PP-OCRv6_rec_small.onnx")
        config.Rec.font_path = None
        self._detect, self._recognize = TextDetector(config.Det), TextRecognizer(config.Rec)
        _return_memory()

    def read(self, image: Image.Image) -> list[TextLine]:
        """The lines of an RGB image, in no order, each once."""
        largest = max(SCALES)
        poster = _resized(image, largest, Image.Resampling.BICUBIC)
        pixels = _bgr(poster)
        lines: list[TextLine] = []
        for scale, most in SCALES.items():
            picture = poster
            if scale < largest:
                picture = _resized(poster, scale, Image.Resampling.BILINEAR)
            found = self._detect(_bgr(picture)).boxes
            corners = [] if found is None else list(found * (largest / scale))
            sure = [line for line in lines if line.score >= SURE]
            for each in sorted(corners, key=_thickness, reverse=True)[:most]:
                place = _place(each.astype(np.float32), poster.width, scale)
                if place.length > LONGEST * place.height:
                    continue
                if any(are_readings_of_the_same(place, line) for line in sure):
                    continue
                if line := self._line(pixels, each.astype(np.float32), place):
                    lines.append(line)
        _return_memory()
        return one_reading(lines)

    def _line(
        self, poster: Pixels, corners: NDArray[np.float32], place: TextLine
    ) -> TextLine | None:
        """Read what stands between four corners, turned if it is upright."""
        picture = _cut_out(poster, corners)
        if picture is None:
            return None
        height, width = picture.shape[:2]
        views = [picture]
        if height >= TURNED * width:
            views += [np.rot90(picture), np.rot90(picture, -1)]
        read = self._recognize(TextRecInput(img=[np.ascontiguousarray(view) for view in views]))
        best = max(range(len(views)), key=lambda i: float(read.scores[i]))
        text = (read.txts or [""])[best]
        if not text.strip():
            return None
        return replace(place, text=text, score=float(read.scores[best]), turned=best > 0)


def _place(corners: NDArray[np.float32], width: int, scale: int) -> TextLine:
    """A line that is not read yet, on a poster of some width in pixels."""
    top_left, top_right, _, bottom_left = corners
    tall = np.linalg.norm(top_left - bottom_left) >= TURNED * np.linalg.norm(top_left - top_right)
    shares = tuple((float(x), float(y)) for x, y in corners / width)
    return TextLine(text="", score=0.0, corners=shares, turned=bool(tall), scale=scale)


def _return_memory() -> None:
    """Have glibc give back what ONNX Runtime freed, some 70 MB, which it would keep for later."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _session(model: Path) -> InferenceSession:
    options = SessionOptions()
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False
    options.intra_op_num_threads = THREADS
    # A thread that spins while it waits takes the time of whoever else computes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return InferenceSession(str(model), options)


def _resized(image: Image.Image, shorter: int, resample: Image.Resampling) -> Image.Image:
    factor = shorter / min(image.size)
    return image.resize((round(image.width * factor), round(image.height * factor)), resample)


def _bgr(image: Image.Image) -> Pixels:
    """Pixels (height, width, 3) as OpenCV orders them."""
    return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])


def _thickness(corners: NDArray[np.float32]) -> float:
    top_left, top_right, _, bottom_left = corners
    return float(min(np.linalg.norm(top_left - top_right), np.linalg.norm(top_left - bottom_left)))


def _cut_out(poster: Pixels, corners: NDArray[np.float32]) -> Pixels | None:
    """What lies between four corners, put upright; None where that is hardly anything."""
    top_left, top_right, bottom_right, bottom_left = corners
    width = int(
        max(np.linalg.norm(top_left - top_right), np.linalg.norm(bottom_left - bottom_right))
    )
    height = int(
        max(np.linalg.norm(top_left - bottom_left), np.linalg.norm(top_right - bottom_right))
    )
    if min(width, height) < _SHORTEST:
        return None
    return straightened(poster, corners, (width, height))
