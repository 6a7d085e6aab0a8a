"""The plots that one poster got one after another, and which of them is shown."""

from dataclasses import dataclass, replace

import streamlit as st

from poster2plot import GenerationSettings
from poster2plot.page.links import Linked
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
        self.show(self.count)

    def show(self, place: int) -> None:
        """Show the one at a place, which may be still to be written."""
        self.shown = place
        self.count = max(self.count, place + 1)

    def step(self, places: int) -> None:
        """Show an earlier or a later one."""
        self.shown = min(max(self.shown + places, 0), self.count - 1)


def variants_of(key: PlotKey, linked: Linked | None = None) -> Variants:
    """Those of a poster by its key without variant.

    What an address leads to is shown, else at first the one of the seed that is kept.
    """
    known: dict[PlotKey, Variants] = st.session_state.setdefault("variants", {})
    place = linked.place if linked else kept_place()
    variants = known.setdefault(key, Variants(place + 1, place))
    if linked:
        variants.show(place)
    return variants


def kept_place() -> int:
    """The variant with whose seed the next posters are written, or 0 for none."""
    place: int = st.session_state.get("kept_place", 0)
    return place


def keep_place(place: int) -> None:
    """Write the next posters with the seed of this variant, too; with 0 by the page's settings."""
    st.session_state["kept_place"] = place


def varied(settings: GenerationSettings, place: int) -> GenerationSettings:
    """The settings of a variant: after the first each is drawn by chance, with its own seed."""
    if place == 0:
        return settings
    return replace(settings, sample=True, seed=(settings.seed + place) % _SEEDS)
