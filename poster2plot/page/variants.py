"""The plots that one poster got one after another, and which of them is shown."""

from dataclasses import dataclass, replace

import streamlit as st

from poster2plot import GenerationSettings
from poster2plot.page.session_state import PlotKey
from poster2plot.settings import RANGES

_SEEDS = int(RANGES["seed"][1]) + 1


@dataclass
class Variants:
    """How many there are, and the place of the one that is shown; 0 is by the page's settings."""

    count: int = 1
    shown: int = 0

    def write_another(self) -> None:
        """Show one more, which is still to be written."""
        self.shown = self.count
        self.count += 1

    def step(self, places: int) -> None:
        """Show an earlier or a later one."""
        self.shown = min(max(self.shown + places, 0), self.count - 1)


def variants_of(key: PlotKey, linked: int = 0) -> Variants:
    """Those of a poster by its key without variant; a link may show a later one at first."""
    known: dict[PlotKey, Variants] = st.session_state.setdefault("variants", {})
    return known.setdefault(key, Variants(linked + 1, linked))


def varied(settings: GenerationSettings, place: int) -> GenerationSettings:
    """The settings of a variant: after the first each is drawn by chance, with its own seed."""
    if place == 0:
        return settings
    return replace(settings, sample=True, seed=(settings.seed + place) % _SEEDS)
