"""What all visitors share, made once: the service with the model, and the poster services."""

import functools
import gc
import logging
import os
import threading

import streamlit as st

from poster2plot import Poster2Plot, Poster2PlotError, PosterFinder
from poster2plot.imdb.keys import plain_value
from poster2plot.imdb.services import Services
from poster2plot.server.service import PlotService

logger = logging.getLogger(__name__)

_lock = threading.Lock()
_closing = threading.Event()


def desk() -> PlotService:
    """The service of the model that POSTER2PLOT_MODEL names, else of the bundled one.

    Raises `CheckpointError`.
    """
    with _lock:
        return _desk(_model())


def load_ahead() -> None:
    """Load the model before anyone asks; what is wrong with it is logged, and told who asks."""
    try:
        desk()
    except Poster2PlotError as error:
        logger.error("the model cannot be loaded: %s", error)


def is_loaded() -> bool:
    """Whether `desk` answers at once."""
    return bool(_desk.cache_info().currsize)


def finder() -> PosterFinder:
    """The poster services, with the keys of the secrets or the environment."""
    with _lock:
        return _finder()


@functools.cache
def services() -> Services:
    """Where the poster services are asked."""
    return Services()


def close(seconds: float) -> None:
    """End what waits for the model, if it is loaded; what it writes now has so many seconds."""
    _closing.set()
    if is_loaded():  # while it is being loaded, no plots are written
        _desk(_model()).p2p.close(seconds)


def is_closing() -> bool:
    """Whether `close` was called."""
    return _closing.is_set()


def _model() -> str | None:
    """The model's name without what a file of variables has about it; None where there is none."""
    return plain_value(os.environ.get("POSTER2PLOT_MODEL", "")) or None


@functools.lru_cache(1)
def _desk(name: str | None) -> PlotService:
    # To look for garbage among all that PyTorch, transformers and the model make takes a tenth of
    # the time of loading them.
    gc.disable()
    try:
        service = PlotService(Poster2Plot.from_pretrained(name))
    finally:
        gc.enable()
    # Streamlit collects garbage after each script run, and would look at every one of their objects
    # each time, while the interpreter waits.
    gc.collect()
    gc.freeze()
    return service


@functools.cache
def _finder() -> PosterFinder:
    has_secrets = st.secrets.load_if_toml_exists()
    return PosterFinder.from_environment(st.secrets if has_secrets else None, services=services())
