"""Every way to give a poster: a file, the clipboard, the camera, an IMDb title, an example."""

from collections.abc import Callable
from functools import partial

import streamlit as st

from poster2plot.bundled_files import EXAMPLE_POSTERS, example_title
from poster2plot.images.limits import MAX_BYTES, MAX_PIXELS
from poster2plot.inputs import LoadedPoster
from poster2plot.page import cached_resources, links, session_state
from poster2plot.page.announcements import say_next
from poster2plot.page.components import example_posters
from poster2plot.page.entries import Entry
from poster2plot.page.first_load import address_of_example
from poster2plot.page.title_search import TitleSearch, split_titles
from poster2plot.server.visitor import Visitor

EXAMPLES = {example_title(path): path for path in sorted(EXAMPLE_POSTERS.glob("*.jpg"))}
_BY_ADDRESS = {path.stem: name for name, path in EXAMPLES.items()}
UPLOAD_TYPES = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif"]
MOST_POSTERS = 20  # at once
MOST_NAMES = 3  # that are searched at once
_LIMITS = (
    f"Up to {MOST_POSTERS} posters at once, each up to {MAX_BYTES // 2**20} MB and "
    f"{MAX_PIXELS // 10**6} megapixels. Save a HEIC photo as JPEG first."
)
_PRIVACY = "Posters stay in this server’s memory, until minutes after you close the page."


def choose_posters(visitor: Visitor) -> tuple[list[Entry], TitleSearch]:
    """Uploads, the camera's picture, IMDb titles and the chosen example, the newest first.

    With them the search for names, whose matches are still to come.
    """
    links.follow(_BY_ADDRESS)
    # Another key makes another, empty widget: there is no other way to clear an uploader.
    cleared = st.session_state.setdefault("cleared", 0)
    # The page closes it when a result comes: components/page_manners.js.
    box = st.container(key="inputs")
    with box.expander("Give it a poster", expanded=True, icon=":material/add_photo_alternate:"):
        left, right = st.columns([3, 2], gap="medium")
        uploads = left.file_uploader(
            "Drop posters anywhere on the page, or paste a picture",
            type=UPLOAD_TYPES,
            accept_multiple_files=True,
            key=f"uploads {cleared}",
            help=_LIMITS,
        )
        titles = right.text_area(
            "or name films or series",
            placeholder="The Third Man\ntt1375666, tt0903747",
            max_chars=4000,
            height=68,
            key="titles",
            bind="query-params",
            help=f"Up to {MOST_NAMES} names at once, with a year where there are several; IMDb ids "
            "or URLs. Enter looks them up, Shift and Enter begins another line.",
        )
        ids, names = split_titles(titles)
        with right:
            search = TitleSearch(names[:MOST_NAMES], visitor)
            if more := len(names[MOST_NAMES:]):
                several = f"{more} more names are" if more > 1 else "1 more name is"
                st.caption(f"{several} searched once some of these are chosen or taken out.")
        with st.container(horizontal=True, vertical_alignment="center"):
            photograph = st.toggle("Camera", key=f"camera {cleared}")
            st.caption(f"{_LIMITS} {_PRIVACY}", width="stretch")
        photo = st.camera_input("Show a poster", key=f"photo {cleared}") if photograph else None
    with st.container(key="strip"):
        st.caption("Try an example, drawn for this page:")
        example_posters(
            {name: address_of_example(path) for name, path in EXAMPLES.items()},
            on_choice=lambda name: links.choose_example(name, EXAMPLES[name].stem),
        )

    entries = [_picture(file.name, file.file_id, file.getvalue, visitor) for file in uploads]
    if photo is not None:
        entries.append(_picture("Photo", photo.file_id, photo.getvalue, visitor))
    entries += [
        Entry(
            title,
            f"title {title}",
            partial(_find, title, visitor=visitor),
            link={"titles": title},
            from_afar=True,
        )
        for title in ids
    ]
    if example := st.session_state.get("example"):
        data = EXAMPLES[example].read_bytes
        link = {"example": EXAMPLES[example].stem}
        entries.append(_picture(example, f"example {example}", data, visitor, link))
    session_state.removed_sources().intersection_update({entry.source for entry in entries})
    entries = [entry for entry in entries if entry.source not in session_state.removed_sources()]
    entries = session_state.newest_first(entries)
    too_many = st.empty()
    if len(entries) > MOST_POSTERS:
        too_many.warning(
            f"These are the first {MOST_POSTERS} of {len(entries)} posters, the newest before the "
            "others. Take some off the page to see the rest."
        )
    return entries[:MOST_POSTERS], search


def follow_again() -> None:
    """Choose what the address says, after the visitor went back or forward."""
    links.follow_again(_BY_ADDRESS)


def remove(entry: Entry) -> None:
    """Take a poster off the page, and out of the inputs where they can be changed."""
    if entry.source == f"example {st.session_state.get('example')}":
        links.choose_example(None)
    elif entry.source.startswith("title "):
        ids, names = split_titles(st.session_state.titles)
        st.session_state.titles = "\n".join(
            [*(each for each in ids if each != entry.label), *names]
        )
    else:
        session_state.removed_sources().add(entry.source)
    say_next(f"{entry.label} is removed.")


def clear_all() -> None:
    """Take all posters off the page."""
    st.session_state.cleared += 1
    st.session_state.titles = ""
    links.choose_example(None)
    say_next("All posters are removed.")


def _picture(
    name: str,
    source: str,
    data: Callable[[], bytes],
    visitor: Visitor,
    link: dict[str, str] | None = None,
) -> Entry:
    def load() -> LoadedPoster:
        return cached_resources.desk().read(data(), name=name, visitor=visitor)

    return Entry(name, source, load, link)


def _find(title: str, visitor: Visitor) -> LoadedPoster:
    return cached_resources.desk().find(title, cached_resources.finder(), visitor=visitor)
