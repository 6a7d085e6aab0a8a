"""A picture that is let go of and decoded again."""

import gc
import weakref

import pytest

from poster2plot import ImageError, read_image
from poster2plot.images.releasable_picture import ReleasablePicture
from support.drawn_posters import draw_poster, encode


def test_a_picture_is_decoded_again_once_it_was_released():
    data = encode(draw_poster("navy"))
    picture = ReleasablePicture(lambda: read_image(data))
    image = picture.image
    assert picture.image is image
    pixels, decoded = image.tobytes(), weakref.ref(image)
    picture.release()
    del image
    gc.collect()
    assert decoded() is None
    assert picture.image.tobytes() == pixels
    assert picture.size == picture.image.size


def test_a_picture_that_cannot_be_decoded_is_refused_at_once():
    with pytest.raises(ImageError):
        ReleasablePicture(lambda: read_image(b"GIF89a"))
