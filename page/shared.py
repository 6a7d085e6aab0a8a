"""What all visitors share: the model and the poster services, made once."""

import functools
import os
import threading

import streamlit as st

from poster2plot import Poster2Plot, PosterFinder

_lock = threading.Lock()


def model() -> Poster2Plot:
    """The model that POSTER2PLOT_MODEL names, else the bundled one. Raises `CheckpointError`."""
    with _lock:
        return _model(os.environ.get("POSTER2PLOT_MODEL"))


def finder() -> PosterFinder:
    """The poster services, with the keys of the secrets or the environment."""
    with _lock:
        return _finder()


@functools.lru_cache(1)
def _model(name: str | None) -> Poster2Plot:
    return Poster2Plot.from_pretrained(name)


@functools.cache
def _finder() -> PosterFinder:
    has_secrets = st.secrets.load_if_toml_exists()
    return PosterFinder.from_environment(st.secrets if has_secrets else None)
