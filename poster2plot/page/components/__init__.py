"""What the page needs and Streamlit lacks: components of a few lines of JavaScript each."""

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from poster2plot import Candidate
from poster2plot.page.thumbnails import shown_width

FOLDER = Path(__file__).parent


def _read(*names: str) -> str:
    return "".join((FOLDER / name).read_text(encoding="utf-8") for name in names)


_page_manners = st.components.v2.component("page_manners", js=_read("page_manners.js"))
_examples = st.components.v2.component(
    "examples",
    html='<div class="row"></div>',
    css=_read("examples.css"),
    js=_read("examples.js"),
)
_copy_line = st.components.v2.component(
    "copy_line",
    html="<button>Share score</button>",
    css=_read("copy_line.css"),
    js=_read("copy_text.js", "copy_line.js"),
)
_picture_to_share = st.components.v2.component(
    "picture_to_share",
    html=_read("picture_to_share.html"),
    css=_read("picture_to_share.css"),
    js=_read("picture_to_share.js"),
)
_plot_view = st.components.v2.component(
    "plot_view",
    html=_read("plot_view.html"),
    css=_read("plot_view.css"),
    js=_read("copy_text.js", "plot_view.js"),
)


def page_manners(*, on_return: Callable[[], None]) -> None:
    """Take in what is pasted or dropped, bring a new result into view, tell screen readers.

    `on_return` is called after the visitor went back or forward to another address of the page.
    """
    _page_manners(key="page_manners", on_returned_change=on_return)


def example_posters(addresses: Mapping[str, str], *, on_choice: Callable[[str], None]) -> None:
    """Example posters, by their names; `on_choice` is told that of the one that is clicked."""
    posters = [
        {"name": name, "label": f"Example poster: {name}", "image": address}
        for name, address in addresses.items()
    ]
    _choice({"posters": posters}, on_choice, key="examples")


def posters_to_choose(
    pictures: Mapping[str, bytes],
    *,
    chosen: str | None,
    answer: str | None,
    on_choice: Callable[[str], None],
    key: str,
) -> None:
    """Posters, as JPEGs, of which one is to be chosen, which `on_choice` is told.

    With an `answer` it is shown beside what was chosen, and nothing more can be.
    """
    posters = [
        {"name": name, "label": f"Poster {number}: {name}", "image": _data_url(jpeg)}
        for number, (name, jpeg) in enumerate(pictures.items(), 1)
    ]
    data = {"posters": posters, "large": True, "chosen": chosen, "answer": answer}
    _choice(data, on_choice, key=key)


def copy_line(line: str, *, key: str) -> None:
    """A button that copies a line, or on a phone shares it."""
    _copy_line(key=key, data=line, width="content")


def picture_to_share(address: str, *, name: str, key: str) -> None:
    """Buttons that share a PNG as a file of this name, where the browser can, or copy it.

    Its address is relative to the page's.
    """
    _picture_to_share(key=key, data={"address": address, "name": name}, width="content")


def plot_view(
    data: Mapping[str, Any], *, attention: str, link: Mapping[str, str] | None = None, key: str
) -> None:
    """A poster beside its plots, by `plot_view_data`, whose words show where the model looked.

    That is fetched from the address `attention`, relative to the page, for the first word that is
    asked. `link` is what the page's address says to show it again.
    """
    link = None if link is None else dict(link)
    _plot_view(key=key, data={**data, "attention": attention, "link": link})


def plot_view_data(picture: bytes, alt: str, candidates: Sequence[Candidate]) -> dict[str, Any]:
    """What `plot_view` shows of a poster, as a JPEG, and its plots."""
    plots = []
    for rank, candidate in enumerate(candidates, 1):
        place = f"Plot {rank} of {len(candidates)} · score {candidate.score:.3g}"
        note = place if len(candidates) > 1 else ""
        plots.append({"text": candidate.text, "note": note, "words": candidate.text.split()})
    image, width = _data_url(picture), shown_width(picture)
    return {"image": image, "width": width, "alt": alt, "candidates": plots}


def _choice(data: Mapping[str, Any], on_choice: Callable[[str], None], *, key: str) -> None:
    # By callback: a run of the page that ends before it comes here would lose what the click says.
    def tell() -> None:
        if name := st.session_state[key].chosen:
            on_choice(str(name))

    _examples(key=key, data=dict(data), on_chosen_change=tell)


def _data_url(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
