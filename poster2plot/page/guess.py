"""A game: for which of four posters was this plot written?

The plots are the model's own, drawn by chance when they are asked for, of the example posters or
of the visitor's.
"""

from __future__ import annotations

import io
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial

import streamlit as st
from PIL import Image

from poster2plot import GenerationSettings, Poster2PlotError, read_image
from poster2plot.page.announcements import Announcer
from poster2plot.page.cards import say_why
from poster2plot.page.components import copy_line, posters_to_choose
from poster2plot.page.escaping import escape_markdown, escape_paragraph
from poster2plot.page.inputs import EXAMPLES
from poster2plot.page.session_state import current_visitor, written_plots
from poster2plot.page.thumbnails import small_jpeg
from poster2plot.server.service import PlotService

CHOICES = 4
SOURCES = "Examples", "My posters"
_SHOWN_SIDE = 300  # px
_PATIENCE = 60  # seconds


@dataclass
class Round:
    """A plot and the posters that it may be for; `guess` is None until there is one."""

    plot: str
    pictures: dict[str, bytes]
    answer: str
    guess: str | None = None


@dataclass
class Score:
    """The visitor's guesses so far."""

    right: int = 0
    played: int = 0
    streak: int = 0

    def count(self, *, right: bool) -> None:
        """Take a guess down."""
        self.played += 1
        self.right += right
        self.streak = self.streak + 1 if right else 0


@dataclass
class Game:
    """That of one visitor."""

    score: Score = field(default_factory=Score)
    round: Round | None = None
    asked: bool = False  # for the next plot; a tap elsewhere ends the run that should write it

    def ask(self) -> None:
        """Want the next plot."""
        self.asked = True


@st.fragment
def play(desk: PlotService, settings: GenerationSettings) -> None:
    """The game, which runs by itself while the rest of the page writes."""
    st.markdown("The model wrote a plot for one of four posters. For which?")
    mine = _posters_of_visit()
    of_mine = len(mine) >= CHOICES and (
        st.segmented_control(
            "Posters",
            SOURCES,
            default=SOURCES[0],
            required=True,
            key="guess of",
            persist_state="page",
        )
        == SOURCES[1]
    )
    game: Game = st.session_state.setdefault("guess game", Game())
    announcer = Announcer("status guess")
    place, below = st.empty(), st.empty()
    if game.asked:
        try:
            with place, st.spinner("Writing a plot …"):
                pictures = mine if of_mine else dict.fromkeys(EXAMPLES, b"")
                game.round = _new_round(pictures, game.round, desk, settings)
                game.asked = False
            announcer.say(f"For which poster is this plot? {game.round.plot}")
        except Poster2PlotError as error:
            game.asked, game.round = False, None
            with place:
                say_why(error)
    if game.round is None or game.round.guess is not None:
        label = "Next plot" if game.round else "Start"
        below.button(label, key="guess next", on_click=game.ask)
    if game.round is not None:
        with place.container():
            _show(game.round, game.score)


def _posters_of_visit() -> dict[str, bytes]:
    """Each poster once, by a name of its own: what is pasted is always called `image.png`."""
    labels = {each.picture: each.label for each in written_plots().values()}
    posters: dict[str, bytes] = {}
    seen: Counter[str] = Counter()
    for picture, label in labels.items():
        seen[label] += 1
        posters[f"{label} ({seen[label]})" if seen[label] > 1 else label] = picture
    return posters


def _show(current: Round, score: Score) -> None:
    with st.container(key="riddle"):
        st.markdown(escape_paragraph(current.plot))
    posters_to_choose(
        current.pictures,
        chosen=current.guess,
        answer=current.answer if current.guess else None,
        on_choice=partial(_guess, current, score),
        key="guess",
    )
    if current.guess is not None:
        right = current.guess == current.answer
        verdict = "Right!" if right else f"No, it was “{escape_markdown(current.answer)}”."
        (st.success if right else st.info)(verdict)
    if score.played:
        streak = f", {score.streak} in a row" if score.streak > 1 else ""
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"{score.right} of {score.played} right{streak}", width="content")
            copy_line(
                f"I matched {score.right} of {score.played} posters to the plots that a small "
                "neural network invented for them. Poster2Plot",
                key="guess share",
            )


def _guess(current: Round, score: Score, name: str) -> None:
    """Take the visitor's guess; only the first counts."""
    if current.guess is None and name in current.pictures:
        current.guess = name
        score.count(right=name == current.answer)


def _new_round(
    pictures: dict[str, bytes],
    before: Round | None,
    desk: PlotService,
    settings: GenerationSettings,
) -> Round:
    """Write the plot of one of the posters, which is not that of the round before.

    Raises `BusyError` where the service has too much to do, or `Poster2PlotError`.
    """
    chance = random.SystemRandom()
    answer = chance.choice([name for name in pictures if not before or name != before.answer])
    others = chance.sample([name for name in pictures if name != answer], CHOICES - 1)
    image = _image(answer, pictures[answer])
    drawn = replace(
        desk.p2p.resolve(settings),
        num_candidates=1,
        sample=True,
        seed=chance.randrange(2**32),
        use_title=False,
    )
    request = desk.submit(image, drawn, visitor=current_visitor())
    try:
        plot = request.result(_PATIENCE)[0].text
    except TimeoutError:
        request.cancel()
        raise Poster2PlotError("The model is busy; try again in a moment.") from None
    chosen = [answer, *others]
    chance.shuffle(chosen)
    return Round(
        plot,
        {name: small_jpeg(_image(name, pictures[name]), _SHOWN_SIDE) for name in chosen},
        answer,
    )


def _image(name: str, jpeg: bytes) -> Image.Image:
    if not jpeg:
        return read_image(EXAMPLES[name])
    return Image.open(io.BytesIO(jpeg)).convert("RGB")
