"""Give it a movie or TV poster, get its plot."""

from poster2plot.engine.word_attention import WordAttention
from poster2plot.errors import (
    AmbiguousNameError,
    BusyError,
    CheckpointError,
    DamagedImageError,
    DeviceError,
    ImageError,
    ImageTooLargeError,
    InputError,
    InvalidTitleError,
    Poster2PlotError,
    PosterLookupError,
    PosterNotFoundError,
    PosterServiceError,
    QueueFullError,
    RateLimitError,
    SettingsError,
    UnsupportedImageError,
)
from poster2plot.images.decoding import read_image
from poster2plot.imdb.finder import PosterFinder
from poster2plot.imdb.poster import Poster
from poster2plot.pipeline import Candidate, Poster2Plot
from poster2plot.settings import GenerationSettings

__version__ = "0.1.0"

__all__ = [
    "AmbiguousNameError",
    "BusyError",
    "Candidate",
    "CheckpointError",
    "DamagedImageError",
    "DeviceError",
    "GenerationSettings",
    "ImageError",
    "ImageTooLargeError",
    "InputError",
    "InvalidTitleError",
    "Poster",
    "Poster2Plot",
    "Poster2PlotError",
    "PosterFinder",
    "PosterLookupError",
    "PosterNotFoundError",
    "PosterServiceError",
    "QueueFullError",
    "RateLimitError",
    "SettingsError",
    "UnsupportedImageError",
    "WordAttention",
    "read_image",
]
