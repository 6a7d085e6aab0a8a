"""The sidebar: how plots are written. Each setting lives in the URL, so that a link repeats it."""

from typing import Any, TypeVar

import streamlit as st

from poster2plot import GenerationSettings, Poster2Plot

BEAM_SEARCH, SAMPLING = "Beam search", "Sampling"
LABELS = {  # of the fields of `GenerationSettings`
    "guidance": "Follow the poster",
    "use_title": "Use the title",
    "num_candidates": "Plots for each poster",
    "max_length": "Longest plot",
    "no_repeat_ngram_size": "Repeat no phrase of",
    "sample": "Search",
    "num_beams": "Beams",
    "length_penalty": "Length penalty",
    "temperature": "Temperature",
    "top_p": "Top-p",
    "seed": "Seed",
}

_N = TypeVar("_N", int, float)


def choose_settings(p2p: Poster2Plot) -> GenerationSettings:
    """Presets and sliders."""
    default = p2p.resolve()
    longest = min(p2p.config.decoder.n_positions, 256)
    defaults = {
        "guidance": float(default.guidance or 1),
        "candidates": 1,
        "max_length": min(default.max_length, longest),
        "no_repeat": default.no_repeat_ngram_size,
        "search": BEAM_SEARCH,
        "beams": default.num_beams,
        "length_penalty": default.length_penalty,
        "temperature": default.temperature,
        "top_p": default.top_p,
        "seed": default.seed,
    }
    if p2p.takes_titles:
        defaults["use_title"] = default.use_title
    st.header("Settings")
    presets = st.container()
    settings = _choose(p2p, defaults, longest)
    with presets:
        _presets(defaults)
    return settings


def _choose(p2p: Poster2Plot, defaults: dict[str, Any], longest: int) -> GenerationSettings:
    guidance = _number(
        LABELS["guidance"],
        1.0,
        8.0,
        defaults["guidance"],
        0.5,
        key="guidance",
        help="Guidance. 1 is the plain model, which likes to tell every poster the same story; "
        "high values name what they see and get stranger. Above 1 a plot takes a little longer.",
    )
    use_title = p2p.resolve().use_title
    if p2p.takes_titles:
        use_title = st.toggle(
            LABELS["use_title"],
            defaults["use_title"],
            key="use_title",
            bind="query-params",
            help="Write from the title too: yours, that of a look-up, or else the one that is "
            "printed on the poster, which takes half a second to read.",
        )
    candidates = _number(
        LABELS["num_candidates"],
        1,
        8,
        defaults["candidates"],
        1,
        key="candidates",
        help="Different candidates, first the one that suits the poster best, whatever its score, "
        "which says how likely the model finds it. More take longer; in beam search only those "
        "beyond the beams do.",
    )
    max_length = _number(
        LABELS["max_length"],
        8,
        longest,
        defaults["max_length"],
        1,
        key="max_length",
        help="In tokens, about four letters each; each takes its time. A plot ends with its last "
        "whole sentence.",
    )
    no_repeat = _number(
        LABELS["no_repeat_ngram_size"],
        0,
        6,
        defaults["no_repeat"],
        1,
        key="no_repeat",
        help="No-repeat n-gram: no sequence of this many tokens occurs twice in a plot. 0 allows "
        "all. Costs nothing.",
    )
    mode = st.segmented_control(
        LABELS["sample"],
        [BEAM_SEARCH, SAMPLING],
        default=defaults["search"],
        required=True,
        key="search",
        bind="query-params",
        width="stretch",
        help="Beam search looks for the likeliest plots, takes the one that suits the poster best, "
        "and always finds the same. Sampling draws one by chance, and is faster.",
    )
    shared = {
        "guidance": guidance,
        "num_candidates": candidates,
        "max_length": max_length,
        "no_repeat_ngram_size": no_repeat,
        "use_title": use_title,
    }
    if mode == SAMPLING:
        return GenerationSettings(**shared, **_sampling(defaults))
    beams = _number(
        LABELS["num_beams"],
        1,
        12,
        defaults["beams"],
        1,
        key="beams",
        help="Hypotheses kept at each step. More take longer and write safer plots. There are "
        "always at least as many as plots.",
    )
    shared["num_beams"] = max(beams, candidates)
    if shared["num_beams"] == 1:  # greedy search, where nothing else is to be chosen
        return GenerationSettings(**shared)
    length_penalty = _number(
        LABELS["length_penalty"],
        -2.0,
        4.0,
        defaults["length_penalty"],
        0.25,
        key="length_penalty",
        help="Above 0 favours longer plots, below 0 shorter ones. Costs nothing.",
    )
    return GenerationSettings(**shared, length_penalty=length_penalty)


def _number(label: str, low: _N, high: _N, default: _N, step: _N, *, key: str, help: str) -> _N:
    """A slider, and beside it a field for who would rather type."""
    typed = f"{key} typed"
    shown = "%g" if isinstance(step, float) else "%d"
    with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall"):
        number = st.slider(
            label,
            low,
            high,
            default,
            step,
            shown,
            key=key,
            bind="query-params",
            help=help,
        )
        # The field has the number that counts, whoever set it last.
        if st.session_state.get(typed) != number:
            st.session_state[typed] = number
        st.number_input(
            f"{label}, as a number",
            low,
            high,
            step=step,
            format=shown,
            key=typed,
            label_visibility="collapsed",
            on_change=_take_typed,
            args=(key, typed),
            width=68,
        )
    return number


def _take_typed(key: str, typed: str) -> None:
    st.session_state[key] = st.session_state[typed]


def _sampling(defaults: dict[str, Any]) -> dict[str, Any]:
    return {
        "sample": True,
        "temperature": _number(
            LABELS["temperature"],
            0.1,
            2.0,
            defaults["temperature"],
            0.05,
            key="temperature",
            help="Low values are safe and dull, high ones bold and often broken. Costs nothing.",
        ),
        "top_p": _number(
            LABELS["top_p"],
            0.05,
            1.0,
            defaults["top_p"],
            0.05,
            key="top_p",
            help="Draw only among the likeliest tokens that make up this probability. "
            "Costs nothing.",
        ),
        "seed": int(
            st.number_input(
                LABELS["seed"],
                0,
                2**32 - 1,
                defaults["seed"],
                key="seed",
                bind="query-params",
                help="The same seed nearly always draws the same plots; another one draws others. "
                "Costs nothing.",
            )
        ),
    }


def _presets(defaults: dict[str, Any]) -> None:
    """Buttons that set all sliders; those that a preset does not name go to their defaults.

    The one whose settings are in use has a check mark.
    """
    presets: dict[str, tuple[dict[str, Any], str]] = {
        "Faithful": (
            {"guidance": 7.0, "beams": 6},
            "Names what it sees, at the cost of style. Takes a little longer.",
        ),
        "Varied": (
            {"search": SAMPLING, "candidates": 4, "temperature": 1.0, "guidance": 4.0},
            "Four plots drawn by chance.",
        ),
        "Original": (
            {
                "guidance": 1.0,
                "beams": 4,
                "max_length": min(64, defaults["max_length"]),
                "no_repeat": 2,
                "length_penalty": 2.0,
                **({"use_title": False} if "use_title" in defaults else {}),
            },
            "As deepklarity/poster2plot wrote in 2021: four beams, no guidance, no title.",
        ),
        "Reset": ({}, "Back to what this model was measured with."),
    }
    now = {name: st.session_state.get(name, value) for name, value in defaults.items()}
    with st.container(horizontal=True, gap="small"):
        for name, (values, help_text) in presets.items():
            st.button(
                name,
                key=f"preset {name}",
                icon=":material/check:" if now == {**defaults, **values} else None,
                help=help_text,
                on_click=st.session_state.update,
                args=({**defaults, **values},),
                width=112,
            )
