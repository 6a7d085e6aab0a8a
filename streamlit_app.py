"""The page: posters and settings in, plots out, read from top to bottom as it looks."""

import hashlib
import os
import queue
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import streamlit as st
from PIL import Image
from streamlit.delta_generator import DeltaGenerator

from poster2plot import (
    Candidate,
    GenerationSettings,
    Poster,
    Poster2Plot,
    Poster2PlotError,
    PosterFinder,
    read_image,
)
from poster2plot.inputs import LoadedPoster, from_title

EXAMPLES = {
    path.stem.replace("-", " ").title(): path
    for path in sorted((Path(__file__).parent / "assets" / "posters").glob("*.jpg"))
}
UPLOAD_TYPES = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif"]


@dataclass(frozen=True)
class Entry:
    """One poster on the page; its image is read only when its turn comes."""

    label: str
    load: Callable[[], LoadedPoster]


# Model and services: made once, shared by all visitors.


@st.cache_resource(show_spinner="Loading the model …")
def load_model() -> Poster2Plot:
    return Poster2Plot.from_pretrained(os.environ.get("POSTER2PLOT_MODEL"))


@st.cache_resource
def poster_finder() -> PosterFinder:
    has_secrets = st.secrets.load_if_toml_exists()
    return PosterFinder.from_environment(st.secrets if has_secrets else None)


@st.cache_data(max_entries=200, ttl="24h", show_spinner=False)
def find_poster(title: str) -> LoadedPoster:
    return from_title(title, poster_finder())


@dataclass(frozen=True)
class Plots:
    """Candidates for one poster, and how many seconds they took."""

    candidates: list[Candidate]
    seconds: float


def write_plots(
    p2p: Poster2Plot, image: Image.Image, settings: GenerationSettings, live: DeltaGenerator
) -> Plots:
    """The plots of an image; `live` shows the best one growing.

    What this visitor has seen already is there at once. Streamlit ends a script at its next call
    when the visitor presses Stop or moves a slider; the request is then cancelled.
    """
    written = st.session_state.setdefault("written", {})
    key = (hashlib.sha256(image.tobytes()).digest(), image.size, settings, p2p.name)
    if key not in written:
        texts: queue.SimpleQueue[str] = queue.SimpleQueue()
        started = time.perf_counter()
        [request] = p2p.submit([image], settings, on_step=lambda _, text: texts.put(text))
        shown = ""
        try:
            while not request.done():
                with suppress(queue.Empty):
                    shown = f"#### {plain(texts.get(timeout=0.05))} …"
                live.markdown(shown)
            written[key] = Plots(request.result(), time.perf_counter() - started)
        finally:
            request.cancel()
        live.empty()
    plots: Plots = written[key]
    return plots


def read_upload(data: bytes, name: str) -> LoadedPoster:
    return LoadedPoster(read_image(data, name=name))


# Sections of the page.


def choose_settings(p2p: Poster2Plot) -> GenerationSettings:
    """The sidebar's sliders."""
    default = p2p.resolve()
    longest = min(p2p.config.decoder.n_positions, 256)
    st.header("Settings")
    guidance = st.slider(
        "Guidance",
        1.0,
        8.0,
        float(default.guidance or 1),
        0.5,
        key="guidance",
        help="How closely to follow the poster. 1 is the plain model, which likes to tell every "
        "poster the same story; high values name what they see and get stranger.",
    )
    candidates = st.slider(
        "Candidates",
        1,
        8,
        1,
        key="num_candidates",
        help="How many different plots to write for each poster.",
    )
    max_length = st.slider(
        "Maximum length",
        8,
        longest,
        min(default.max_length, longest),
        key="max_length",
        help="In tokens, about four letters each. A plot ends with its last whole sentence.",
    )
    no_repeat = st.slider(
        "No-repeat n-gram",
        0,
        6,
        default.no_repeat_ngram_size,
        key="no_repeat_ngram_size",
        help="No sequence of this many tokens occurs twice in a plot. 0 allows all.",
    )
    mode = st.segmented_control(
        "Search",
        ["Beam search", "Sampling"],
        default="Beam search",
        required=True,
        key="search",
        width="stretch",
    )
    if mode == "Sampling":
        return GenerationSettings(
            guidance=guidance,
            num_candidates=candidates,
            max_length=max_length,
            no_repeat_ngram_size=no_repeat,
            sample=True,
            temperature=st.slider(
                "Temperature",
                0.1,
                2.0,
                default.temperature,
                0.05,
                key="temperature",
                help="Low values are safe and dull, high ones bold and often broken.",
            ),
            top_p=st.slider(
                "Top-p",
                0.05,
                1.0,
                default.top_p,
                0.05,
                key="top_p",
                help="Draw only among the likeliest tokens that make up this probability.",
            ),
            seed=int(
                st.number_input(
                    "Seed",
                    0,
                    2**32 - 1,
                    default.seed,
                    key="seed",
                    help="The same seed draws the same plots; another one draws others.",
                )
            ),
        )
    beams = st.slider(
        "Beams",
        1,
        12,
        default.num_beams,
        key="num_beams",
        help="Hypotheses kept at each step. More search longer and write safer plots. There are "
        "always at least as many as candidates.",
    )
    return GenerationSettings(
        guidance=guidance,
        num_candidates=candidates,
        max_length=max_length,
        no_repeat_ngram_size=no_repeat,
        num_beams=max(beams, candidates),
        length_penalty=st.slider(
            "Length penalty",
            -2.0,
            4.0,
            default.length_penalty,
            0.25,
            key="length_penalty",
            help="Above 0 favours longer plots, below 0 shorter ones.",
        ),
    )


def choose_posters() -> list[Entry]:
    """Uploads, IMDb titles and the chosen example, in this order."""
    left, right = st.columns([3, 2], gap="large")
    with left:
        uploads = st.file_uploader(
            "Drop posters here", type=UPLOAD_TYPES, accept_multiple_files=True
        )
    with right:
        titles = st.text_input(
            "or paste an IMDb id or URL",
            placeholder="tt1375666",
            max_chars=2000,
            help="Several at once are fine, with spaces or commas between them.",
        )
    st.caption("or try an example, drawn for this page:")
    with st.container(horizontal=True):
        for name, path in EXAMPLES.items():
            with st.container(width=104, gap="small"):
                st.image(path, alt=f"Example poster: {name}", width="stretch")
                if st.button("Try", key=f"example {name}", help=name, width="stretch"):
                    st.session_state.example = name

    entries = [
        Entry(file.name, partial(read_upload, file.getvalue(), file.name)) for file in uploads
    ]
    entries += [
        Entry(title, partial(find_poster, title))
        for title in dict.fromkeys(re.split(r"[\s,;]+", titles.strip()))
        if title
    ]
    if example := st.session_state.get("example"):
        entries.append(
            Entry(example, partial(read_upload, EXAMPLES[example].read_bytes(), example))
        )
    return entries


def show_entry(entry: Entry, p2p: Poster2Plot, settings: GenerationSettings) -> None:
    """Poster and plot side by side."""
    with st.container(border=True):
        picture, words = st.columns([1, 2], gap="medium")
        try:
            with words, st.spinner("Fetching the poster …"):
                loaded = entry.load()
            picture.image(loaded.image, alt=f"Poster: {entry.label}", width="stretch")
            with words, st.spinner("Looking at the poster and writing …", show_time=True):
                plots = write_plots(p2p, loaded.image, settings, st.empty())
        except Poster2PlotError as error:
            words.caption(plain(entry.label))
            words.error(plain(str(error)))
            return
        with words:
            show_plots(entry.label, loaded.poster, plots.candidates)
            st.caption(
                f":material/auto_awesome: Invented by {plain(p2p.name)} in {plots.seconds:.1f} s. "
                "It is not the title’s real plot."
            )


def show_plots(label: str, poster: Poster | None, candidates: list[Candidate]) -> None:
    """The candidates and, where a service told one, the title's own synopsis."""
    if poster is not None and poster.title:
        label = poster.title + (f" ({poster.year})" if poster.year else "")
    st.caption(plain(label))
    if len(candidates) == 1:
        st.markdown(f"#### {plain(candidates[0].text)}")
    else:
        for rank, candidate in enumerate(candidates, 1):
            st.markdown(
                f"{rank}. {plain(candidate.text)} :gray[({candidate.score:.2f})]",
                help="Log-probability for each token" if rank == 1 else None,
            )
    if poster is not None and poster.synopsis:
        with st.expander(f"What {plain(poster.service)} says it is about"):
            st.markdown(plain(poster.synopsis))
            st.caption(plain(poster.attribution))


def plain(text: str) -> str:
    """Text from outside, escaped so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]()<>#+.!|$~:-])", r"\\\1", text)


st.set_page_config(page_title="Poster2Plot", page_icon=":material/movie:", layout="wide")
st.title("Poster2Plot")
st.markdown("Give it a movie or TV poster, get its plot, invented from the picture alone.")

try:
    p2p = load_model()
except Poster2PlotError as error:
    st.error(plain(str(error)))
    st.stop()

with st.sidebar:
    settings = choose_settings(p2p)
    st.caption(f"Model: {plain(p2p.name)}  \nDevice: {p2p.device.type.upper()}")

entries = choose_posters()
for entry in entries:
    show_entry(entry, p2p, settings)
if not entries:
    st.info("The plot appears here, beside its poster.", icon=":material/arrow_upward:")
