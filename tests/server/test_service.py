"""What a model shared by visitors takes on, refuses and tells about it."""

import json
import logging
import threading
from concurrent.futures import CancelledError

import pytest
from prometheus_client import generate_latest

from poster2plot import (
    GenerationSettings,
    ImageError,
    Poster2Plot,
    QueueFullError,
    RateLimitError,
    SettingsError,
)
from poster2plot.pipeline import PlotRequest
from poster2plot.server.service import FrontDesk, Limits, Visitor
from support.drawn_posters import draw_poster, encode

ANN, BOB = Visitor("page", "ann"), Visitor("api", "192.0.2.7")
SETTINGS = GenerationSettings(max_length=8)
PATIENCE = 30  # seconds until a hanging test fails


class Pause:
    """An `on_step` that holds the model until its end."""

    def __init__(self) -> None:
        self.reached, self._go_on = threading.Event(), threading.Event()

    def __call__(self, _: str) -> None:
        self.reached.set()
        assert self._go_on.wait(PATIENCE)

    def end(self) -> None:
        self._go_on.set()


def noted(request: PlotRequest) -> None:
    """Wait until a request is done and in the books, which is a moment later."""
    done = threading.Event()
    request.on_done(done.set)
    assert done.wait(PATIENCE)


def lines(caplog: pytest.LogCaptureFixture) -> list[dict]:
    return [json.loads(record.message) for record in caplog.records]


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "poster2plot.requests")


def test_a_poster_is_written_logged_and_counted(
    tiny: Poster2Plot, caplog: pytest.LogCaptureFixture
):
    desk = FrontDesk(tiny)
    loaded = desk.read(encode(draw_poster()), name="secret.png", visitor=BOB)
    request = desk.submit(loaded.image, SETTINGS, visitor=BOB, read_seconds=0.25)
    noted(request)
    [plot] = request.result(PATIENCE)
    [line] = lines(caplog)
    assert line.pop("id")
    assert line.pop("time").endswith("+00:00")
    assert line.pop("ms").items() >= {"read": 250}.items()
    assert line.pop("settings")["max_length"] == 8
    assert line == {"face": "api", "model": tiny.name, "outcome": "written"}
    told = caplog.text + generate_latest(desk.registry).decode()
    assert 'poster2plot_posters_total{face="api",outcome="written"} 1.0' in told
    assert 'poster2plot_stage_seconds_count{stage="decode"} 1.0' in told
    for private in ("192.0.2.7", "secret.png", plot.text):
        assert private not in told


def test_a_cancelled_poster_is_logged_as_such(tiny: Poster2Plot, caplog: pytest.LogCaptureFixture):
    desk, pause = FrontDesk(tiny), Pause()
    request = desk.submit(draw_poster(), SETTINGS, visitor=ANN, on_step=pause)
    assert pause.reached.wait(PATIENCE)
    request.cancel()
    pause.end()
    noted(request)
    with pytest.raises(CancelledError):
        request.result(PATIENCE)
    assert [line["outcome"] for line in lines(caplog)] == ["cancelled"]


def test_a_failure_is_logged_by_its_kind_only(tiny: Poster2Plot, caplog: pytest.LogCaptureFixture):
    def fail(_: str) -> None:
        raise ArithmeticError("private")

    request = FrontDesk(tiny).submit(draw_poster(), SETTINGS, visitor=ANN, on_step=fail)
    noted(request)
    with pytest.raises(ArithmeticError):
        request.result(PATIENCE)
    [line] = lines(caplog)
    assert (line["outcome"], line["error"]) == ("failed", "ArithmeticError")
    assert "private" not in caplog.text


def test_a_full_queue_refuses_until_there_is_room(
    tiny: Poster2Plot, caplog: pytest.LogCaptureFixture
):
    desk, pause = FrontDesk(tiny, Limits(waiting=2)), Pause()
    taken = [desk.submit(draw_poster(), SETTINGS, visitor=ANN, on_step=pause)]
    assert pause.reached.wait(PATIENCE)
    taken += [desk.submit(draw_poster(), SETTINGS, visitor=ANN) for _ in range(2)]
    assert taken[2].ahead() == 1
    with pytest.raises(QueueFullError, match="try again") as refused:
        desk.submit(draw_poster(), SETTINGS, visitor=BOB)
    assert refused.value.retry_after == 5
    assert lines(caplog)[-1]["error"] == "QueueFullError"
    pause.end()
    for request in taken:
        request.result(PATIENCE)
    desk.submit(draw_poster(), SETTINGS, visitor=BOB).result(PATIENCE)


@pytest.mark.parametrize("what", ["plots", "pictures", "megapixels"])
def test_each_visitor_has_a_rate(tiny: Poster2Plot, what: str):
    desk = FrontDesk(tiny, Limits(**{what: 2}))
    picture = encode(draw_poster(size=(1000, 1000)))

    def ask(visitor: Visitor) -> None:
        loaded = desk.read(picture, name="poster.png", visitor=visitor)
        desk.submit(loaded.image, SETTINGS, visitor=visitor).result(PATIENCE)

    ask(ANN)
    ask(ANN)
    with pytest.raises(RateLimitError, match=f"more than 2 {what} in a minute") as refused:
        ask(ANN)
    assert 1 <= refused.value.retry_after <= 60
    ask(BOB)


def test_each_visitor_may_do_so_much_at_once(tiny: Poster2Plot):
    desk = FrontDesk(tiny, Limits(at_once=1))
    with desk.visit(ANN):
        with pytest.raises(RateLimitError, match="at once"), desk.visit(ANN):
            pass
        with desk.visit(BOB):
            pass
    with desk.visit(ANN):
        pass


def test_wrong_settings_and_pictures_are_refused_as_ever(tiny: Poster2Plot):
    desk = FrontDesk(tiny)
    with pytest.raises(SettingsError):
        desk.submit(draw_poster(), GenerationSettings(max_length=400), visitor=ANN)
    with pytest.raises(ImageError):
        desk.read(b"not a picture", name="poster.png", visitor=ANN)


def test_health_is_whether_the_model_writes(tiny_folder, caplog: pytest.LogCaptureFixture):
    p2p = Poster2Plot.from_pretrained(tiny_folder, "cpu")
    desk = FrontDesk(p2p)
    assert desk.is_well()
    p2p.tokenizer = None  # a plot cannot be read any more
    assert not desk.is_well()
