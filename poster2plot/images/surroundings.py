"""What is around a poster: the bars of a screenshot, the wall of a photograph."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from poster2plot.images.bars import Box, between_bars, is_like_a_poster

_CAMERA_ASPECT = 3 / 4  # of what most telephones take, and few posters are
_SAME_ASPECT = 0.01
_SAME = 0.03  # of the long side by which what is found by bars and by lines may differ

_LOOKED_AT = "poster2plot_looked_at"  # an attribute of pictures


def without_surroundings(
    picture: Image.Image, copied_from: Image.Image | None = None
) -> Image.Image:
    """The poster alone, upright and straight, of an RGB picture that shows more.

    A picture that has the shape of a poster and not that of a photograph stays as it is, and so
    does one in which no poster is found, and a copy of what this has returned.
    """
    aspect = picture.width / picture.height
    if not is_like_a_poster(aspect) or abs(aspect - _CAMERA_ASPECT) < _SAME_ASPECT:
        # A picture is read several times on its way, and looked at once.
        if copied_from is None or _LOOKED_AT not in vars(copied_from):
            picture = _poster_in(picture)
        vars(picture)[_LOOKED_AT] = True
    return picture


def _poster_in(picture: Image.Image) -> Image.Image:
    box, pixels = between_bars(picture), np.asarray(picture)
    try:
        from poster2plot.images.photographs import cut_out, find_poster
    except ImportError:  # of OpenCV; the reader of titles says so
        corners = None
    else:
        corners = find_poster(pixels)
    # A plain wall is as flat as bars are; how the poster hangs there tell lines around it, but none
    # that are on it.
    if corners is not None and (box is None or _is_around(box, corners, max(picture.size))):
        return Image.fromarray(cut_out(pixels, corners))
    return picture if box is None else picture.crop(box)


def _is_around(box: Box, corners: NDArray[np.float64], long_side: int) -> bool:
    """Whether a box holds what has these corners (4, 2), and hardly more."""
    around = [*corners.min(0), *corners.max(0)]
    return bool(np.abs(np.subtract(around, box)).max() <= _SAME * long_side)
