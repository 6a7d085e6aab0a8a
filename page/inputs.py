"""Every way to give a poster: a file, the clipboard, the camera, an IMDb title, an example."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import streamlit as st
from PIL import Image

from page import shared
from page.components import choose_example
from poster2plot import read_image
from poster2plot.inputs import LoadedPoster, from_title

EXAMPLES = {
    path.stem.replace("-", " ").title(): path
    for path in sorted((Path(__file__).parent.parent / "assets" / "posters").glob("*.jpg"))
}
UPLOAD_TYPES = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif"]
MOST_TITLES = 20  # at once


@dataclass(frozen=True)
class Entry:
    """One poster on the page; its image is read only when its turn comes."""

    label: str
    load: Callable[[], LoadedPoster]


def choose_posters() -> list[Entry]:
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

    entries = [_upload(file.name, file.getvalue()) for file in uploads]
    if photo is not None:
        entries.append(_upload("Photo", photo.getvalue()))
    named = [title for title in dict.fromkeys(re.split(r"[\s,;]+", titles.strip())) if title]
    if len(named) > MOST_TITLES:
        st.warning(f"These are the first {MOST_TITLES} of {len(named)} titles.")
    entries += [Entry(title, partial(_find, title)) for title in named[:MOST_TITLES]]
    if example := st.session_state.get("example"):
        entries.append(_upload(example, EXAMPLES[example].read_bytes()))
    return entries


def _upload(name: str, data: bytes) -> Entry:
    return Entry(name, lambda: LoadedPoster(read_image(data, name=name)))


@st.cache_data(max_entries=200, ttl="24h", show_spinner=False)
def _find(title: str) -> LoadedPoster:
    return from_title(title, shared.finder())


@st.cache_data(show_spinner=False)
def _thumbnails() -> dict[str, Image.Image]:
    thumbnails = {}
    for name, path in EXAMPLES.items():
        image = read_image(path)
        image.thumbnail((160, 240))
        thumbnails[name] = image
    return thumbnails


def _clear() -> None:
    st.session_state.cleared += 1
    st.session_state.titles = ""
    st.session_state.example = None
