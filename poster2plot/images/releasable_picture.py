"""A decoded picture that may be let go of while nobody needs it."""

from collections.abc import Callable

from PIL import Image


class ReleasablePicture:
    """An upright RGB image; after `release` it is decoded anew for whoever asks for it next.

    Decoded it takes up to 3 MB, encoded mostly a tenth of that.
    """

    def __init__(self, decode: Callable[[], Image.Image]) -> None:
        """Raises what `decode` raises, which makes the same image each time."""
        self._decode = decode
        self._image: Image.Image | None = decode()
        self.size = self._image.size  # width and height, pixels

    @property
    def image(self) -> Image.Image:
        """The image. Several threads may ask for it."""
        image = self._image
        if image is None:
            self._image = image = self._decode()
        return image

    def release(self) -> None:
        """Keep the image no longer than those do who have it."""
        self._image = None
