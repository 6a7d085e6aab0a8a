"""Every way to give a poster: a file, the clipboard, the camera, an IMDb title, an example."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import streamlit as st

from poster2plot import read_image
from poster2plot.bundled_files import EXAMPLE_POSTERS
from poster2plot.inputs import LoadedPoster
from poster2plot.page import cached_resources
from poster2plot.page.components import choose_example
from poster2plot.page.thumbnails import small_jpeg
from poster2plot.server.visitor import Visitor

EXAMPLES = {
    path.stem.replace("-", " ").title(): path for path in sorted(EXAMPLE_POSTERS.glob("*.jpg"))
}
UPLOAD_TYPES = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif"]
MOST_POSTERS = 20  # at once


@dataclass(frozen=True)
class Entry:
    """One poster on the page; `source` tells it from the others of this visit.

    Its image is read only when its turn comes.
    """

    label: str
    source: str
    load: Callable[[], LoadedPoster]


def choose_posters(visitor: Visitor) -> list[Entry]:
    """Uploads, the camera's picture, IMDb titles and the chosen example, in this order."""
    # Another key makes another, empty widget: there is no other way to clear an uploader.
    cleared = st.session_state.setdefault("cleared", 0)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        uploads = st.file_uploader(
            "Drop posters here, or paste a picture",
            type=UPLOAD_TYPES,
            accept_multiple_files=True,
            key=f"uploads {cleared}",
        )
    with right:
        titles = st.text_area(
            "or name IMDb titles, films or series",
            placeholder="tt1375666\nhttps://www.imdb.com/title/tt0903747/",
            max_chars=4000,
            height=68,
            key="titles",
            bind="query-params",
            help="Ids or URLs, one a line or with commas between them.",
        )
    line = st.container(horizontal=True, vertical_alignment="center")
    if chosen := choose_example(_thumbnails()):
        st.session_state.example = chosen
    with line:
        st.caption("or try an example, drawn for this page", width="stretch")
        photograph = st.toggle("Camera", key=f"camera {cleared}")
        if uploads or photograph or titles.strip() or st.session_state.get("example"):
            st.button("Clear all", icon=":material/close:", type="tertiary", on_click=_clear)
    photo = st.camera_input("Show a poster", key=f"photo {cleared}") if photograph else None

    entries = [_picture(file.name, file.file_id, file.getvalue, visitor) for file in uploads]
    if photo is not None:
        entries.append(_picture("Photo", photo.file_id, photo.getvalue, visitor))
    named = dict.fromkeys(title for title in re.split(r"[\s,;]+", titles) if title)
    entries += [
        Entry(title, f"title {title}", partial(_find, title, visitor=visitor)) for title in named
    ]
    if example := st.session_state.get("example"):
        path = EXAMPLES[example]
        entries.append(_picture(example, f"example {example}", path.read_bytes, visitor))
    if len(entries) > MOST_POSTERS:
        st.warning(f"These are the first {MOST_POSTERS} of {len(entries)} posters.")
    return entries[:MOST_POSTERS]


def _picture(name: str, source: str, data: Callable[[], bytes], visitor: Visitor) -> Entry:
    def load() -> LoadedPoster:
        return cached_resources.desk().read(data(), name=name, visitor=visitor)

    return Entry(name, source, load)


def _find(title: str, visitor: Visitor) -> LoadedPoster:
    return cached_resources.desk().find(title, cached_resources.finder(), visitor=visitor)


@st.cache_data(show_spinner=False)
def _thumbnails() -> dict[str, bytes]:
    return {name: small_jpeg(read_image(path), 240) for name, path in EXAMPLES.items()}


def _clear() -> None:
    st.session_state.cleared += 1
    st.session_state.titles = ""
    st.session_state.example = None
