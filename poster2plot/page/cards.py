"""How a poster stands among the results: while it is fetched, written about, done, or refused."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from poster2plot import BusyError, Poster2PlotError
from poster2plot.images.releasable_picture import ReleasablePicture
from poster2plot.inputs import Title
from poster2plot.page.components import picture_to_share, plot_view
from poster2plot.page.contrasts import Contrast, choose_contrast
from poster2plot.page.entries import Entry
from poster2plot.page.escaping import escape_markdown, escape_paragraph, file_stem, growing_html
from poster2plot.page.inputs import remove
from poster2plot.page.served_attention import address_of_attention
from poster2plot.page.served_cards import address_of_card
from poster2plot.page.session_state import PlotKey, WrittenPlots, not_to_rewrite
from poster2plot.page.share_card import plot_card
from poster2plot.page.thumbnails import shown_width
from poster2plot.page.titles import edit_title, whence
from poster2plot.page.variants import Variants, keep_place, kept_place
from poster2plot.page.votes import ask_for_vote
from poster2plot.records import written_from


class Card:
    """A poster's place; what it shows is replaced as the plot comes.

    Streamlit keeps what is below a container that is written again. So each part has a place of
    its own, in which nothing is written twice but by other elements.
    """

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self._id = hashlib.sha256(entry.source.encode()).hexdigest()[:16]
        with st.container(border=True, key=f"card-{self._id}"):
            self._mark = st.empty()
            self._head = st.container(horizontal=True, vertical_alignment="center")
            self._label = self._head.empty()
            self._whence = st.empty()
            self._body = st.empty()
            self._told = st.empty()
            self._foot = st.empty()
            self._beside = st.empty()
        self._live: DeltaGenerator | None = None
        self._has_title_field = False
        self._label.caption(escape_paragraph(entry.label))
        self._head.button(
            "Remove",
            key=f"remove {self._id}",
            icon=":material/close:",
            type="tertiary",
            help=f"Take {escape_markdown(entry.label)} off the page",
            on_click=remove,
            args=(entry,),
        )

    def show_fetching(self) -> None:
        """Say that the poster is on its way."""
        self._set_state("fetching")
        self._body.caption("Fetching the poster …")

    def show_error(self, error: Poster2PlotError) -> None:
        """Say why there is no poster, where the plot would be."""
        self._set_state("refused")
        with self._body:
            say_why(error)

    def show_double(self) -> None:
        """Say that the plot is on the page already."""
        self._set_state("double")
        self._body.caption("This is the same picture as another one here.")

    def show_title(self, title: Title | None) -> None:
        """Let the visitor see and correct the title that the plot is written from."""
        self._has_title_field = True
        with self._label:
            edit_title(self.entry, title, key=f"title {self._id}")
        label = self.entry.label
        is_said = title is not None and title.text.casefold() == label.casefold()
        self._whence.caption(f"{whence(title)} {'' if is_said else escape_markdown(label)}")

    def show_poster(self, picture: bytes, note: str = "") -> None:
        """Show the poster, a JPEG, and what is done with it; `grow` then shows the plot."""
        if self._live is None:
            self._set_state("writing")
            with self._body.container(horizontal=True, key=f"growing-{self._id}"):
                # In a container of this width, since Streamlit makes another JPEG for a picture's.
                with st.container(width=shown_width(picture)):
                    st.image(picture, alt=f"Poster: {self.entry.label}", width="stretch")
                self._live = st.empty()
        if note:
            self._live.caption(note)
        else:
            self._live.skeleton(height=96, width="stretch")

    def grow(self, text: str) -> None:
        """Show the plot so far."""
        if self._live is not None and text:
            self._live.html(growing_html(text))

    def show_without_plot(
        self, key: PlotKey, picture: bytes, why: Poster2PlotError | None = None
    ) -> None:
        """Show a poster whose plot was stopped, forgotten, or could not be written.

        `picture` is a JPEG of it.
        """
        self._set_state("refused" if why else "stopped")
        with self._body.container(horizontal=True, vertical_alignment="center"):
            st.image(picture, alt=f"Poster: {self.entry.label}", width=96)
            if why:
                say_why(why)
            else:
                st.caption("There is no plot.", width="content")
            st.button(
                "Write it",
                key=f"write {self._id}",
                on_click=not_to_rewrite().discard,
                args=(key,),
            )

    def show_plots(
        self,
        key: PlotKey,
        plots: WrittenPlots,
        variants: Variants,
        poster: ReleasablePicture,
        link: Mapping[str, str] | None,
    ) -> str | None:
        """Show the plots, what a service says the title is about, and what can be done now.

        Returns what the visitor wants to see the best plot without (`choose_contrast`).
        """
        if not self._has_title_field:
            self._label.caption(escape_paragraph(plots.label))
        about = plots.record["title"] or {}
        with self._body:
            attention = address_of_attention(plots, poster)
            plot_view(plots.view, attention=attention, link=link, key=f"view {self._id}")
        if about.get("synopsis"):
            with self._told.container(gap="xsmall"):
                st.markdown(f"**What {escape_markdown(about['service'])} says it is about**")
                st.markdown(escape_paragraph(about["synopsis"]))
                st.caption(escape_paragraph(about["attribution"]))
        with self._foot.container():
            with st.container(
                horizontal=True, vertical_alignment="center", gap="small", key=f"actions-{self._id}"
            ):
                self._show_variants(variants)
                _share_buttons(plots, key=f"{self._id} {hash(key)}")
                ask_for_vote(key, key=f"vote {self._id}")
            st.caption(_how_it_came_about(plots))
            without = choose_contrast(key, plots.record, key=f"contrast {self._id}")
        self._set_state("done", without=without or "")
        return without

    def show_contrast(self, without: str, plots: WrittenPlots) -> Contrast:
        """Show the best plot beside the place of one that is written without something."""
        with self._beside:
            return Contrast(without, plots.record, key=f"contrast-{self._id}")

    def _show_variants(self, variants: Variants) -> None:
        st.button(
            "Write another",
            icon=":material/refresh:",
            key=f"another {self._id}",
            help="A different plot of this poster, drawn by chance.",
            on_click=variants.write_another,
        )
        if variants.count == 1:
            return
        steps = (("Earlier", ":material/arrow_back:", -1), ("Later", ":material/arrow_forward:", 1))
        for (name, icon, step), end in zip(steps, (0, variants.count - 1), strict=True):
            st.button(
                name,
                icon=icon,
                key=f"{name} {self._id}",
                type="tertiary",
                disabled=variants.shown == end,
                on_click=variants.step,
                args=(step,),
            )
        st.caption(f"{variants.shown + 1} of {variants.count}", width="content")
        if variants.shown:
            is_kept = kept_place() == variants.shown
            st.button(
                "Seed is kept" if is_kept else "Keep the seed",
                icon=":material/lock:" if is_kept else ":material/lock_open:",
                key=f"keep {self._id}",
                type="tertiary",
                help="Whether the next posters, and this one with other settings, are written with "
                "the seed of this plot.",
                on_click=keep_place,
                args=(0 if is_kept else variants.shown,),
            )

    def _set_state(self, state: str, *, without: str = "") -> None:
        # What components/page_manners.js looks for.
        mark = f'data-card="{self._id}" data-state="{state}" data-without="{without}"'
        self._mark.html(f"<span {mark}></span>")


def say_why(error: Poster2PlotError) -> None:
    """Say what is wrong, or as a warning what will do later."""
    say = st.warning if isinstance(error, BusyError) else st.error
    say(escape_markdown(str(error)), width="stretch")


def _how_it_came_about(plots: WrittenPlots) -> str:
    record = plots.record
    return (
        f":material/auto_awesome: Invented by {escape_markdown(record['model'])} "
        f"{written_from(record)} on {escape_markdown(record['device'].upper())} "
        f"in {record['seconds']:.1f} s. It is not the title’s real plot."
    )


def _share_buttons(plots: WrittenPlots, *, key: str) -> None:
    name = f"{file_stem(plots.label)}.png"
    st.download_button(
        "Download card",
        partial(plot_card, plots.picture, plots.record),
        file_name=name,
        mime="image/png",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
        key=f"download {key}",
        help="A picture of the poster beside its plot.",
    )
    picture_to_share(address_of_card(plots), name=name, key=f"share {key}")
