"""Every error a user can cause. Each message is one sentence, shown as it is.

Poster2PlotError
├── SettingsError             a generation setting out of range
├── InputError                a path that is missing or holds no poster
├── ImageError
│   ├── UnsupportedImageError not a picture, or a format that is not accepted
│   ├── ImageTooLargeError    too many bytes or pixels, or too much work
│   └── DamagedImageError     truncated or corrupt
├── PosterLookupError
│   ├── InvalidTitleError     not the id or URL of an IMDb title, nor a name
│   ├── AmbiguousNameError    a name that several titles may be meant by
│   ├── PosterNotFoundError   no service knows a poster for the title
│   └── PosterServiceError    every service failed to answer
├── BusyError                 more is asked of a server than it takes on
│   ├── QueueFullError        by all visitors together
│   └── RateLimitError        by one visitor
└── CheckpointError           a model that cannot be found, downloaded or used
    └── DeviceError           a device that fails
"""

import errno
from collections.abc import Sequence
from typing import Any

# What the system, PyTorch, ONNX Runtime and Python say where there is no memory.
_NO_MEMORY = (
    "cannot allocate memory", "can't allocate memory", "failed to allocate", "out of memory",
    "bad_alloc", "can't start new thread",
)  # fmt: skip


class Poster2PlotError(Exception):
    """Base of the package's errors; its message is meant for the user."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Python's own would have the message alone make the copy, which is not enough for each.
        return type(self).__new__, (type(self), *self.args), self.__dict__


class SettingsError(Poster2PlotError, ValueError):
    """A generation setting is out of range."""


class InputError(Poster2PlotError):
    """A path is missing or holds no poster."""


class ImageError(Poster2PlotError):
    """A picture cannot be used."""


class UnsupportedImageError(ImageError):
    """The bytes are no picture, or one of a format that is not accepted."""


class ImageTooLargeError(ImageError):
    """The picture has too many bytes or pixels, or takes too much work to read."""


class DamagedImageError(ImageError):
    """The picture is truncated or corrupt."""


class PosterLookupError(Poster2PlotError):
    """No poster could be had for an IMDb title."""


class InvalidTitleError(PosterLookupError):
    """The text is not the id or the URL of an IMDb title, or cannot be the name of one."""


class AmbiguousNameError(PosterLookupError):
    """A name may mean several titles; `matches` has them as `TitleMatch`, the likeliest first."""

    def __init__(self, message: str, matches: Sequence[Any]) -> None:
        super().__init__(message)
        self.matches = tuple(matches)


class PosterNotFoundError(PosterLookupError):
    """No service has a poster for the title; not `is_certain` where some failed to answer."""

    is_certain = True


class PosterServiceError(PosterLookupError):
    """Every service failed to answer."""


class BusyError(Poster2PlotError):
    """More is asked of a server than it takes on; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QueueFullError(BusyError):
    """Too many posters of all visitors wait, or the server is about to end."""


class RateLimitError(BusyError):
    """One visitor asks for too much."""


class CheckpointError(Poster2PlotError):
    """A model cannot be found, downloaded or used."""


class DeviceError(CheckpointError):
    """A device that is there does not work, or has too little memory for the model."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, of whichever library, is that there is too little memory."""
    if isinstance(error, OSError | Poster2PlotError):  # whose texts have names of files
        return getattr(error, "errno", None) == errno.ENOMEM
    told = str(error).lower()
    return isinstance(error, MemoryError) or any(each in told for each in _NO_MEMORY)
