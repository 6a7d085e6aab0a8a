"""What a model shared by visitors takes on, refuses and tells about it."""

import json
import logging
import threading
from concurrent.futures import CancelledError
from typing import Any

import pytest

from poster2plot import (
    GenerationSettings,
    ImageError,
    Poster2Plot,
    PosterLookupError,
    PosterServiceError,
    QueueFullError,
    RateLimitError,
    SettingsError,
    UnsupportedImageError,
)
from poster2plot.pipeline import PlotRequest
from poster2plot.server.rate_limits import Limits
from poster2plot.server.service import PlotService
from poster2plot.server.visitor import Visitor
from support.drawn_posters import draw_poster, encode
from support.poster_server import ID, METAHUB, MOVIE, Answer, serve_posters

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


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(record.message) for record in caplog.records]


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "poster2plot.requests")


def test_a_poster_is_written_logged_and_counted(
    tiny: Poster2Plot, caplog: pytest.LogCaptureFixture
):
    service = PlotService(tiny)
    loaded = service.read(encode(draw_poster()), name="secret.png", visitor=BOB)
    request = service.submit(loaded.image, SETTINGS, visitor=BOB, read_seconds=0.25)
    noted(request)
    [plot] = request.result(PATIENCE)
    [line] = lines(caplog)
    assert line.pop("id")
    assert line.pop("time").endswith("+00:00")
    assert line.pop("ms").items() >= {"read": 250}.items()
    assert line.pop("settings")["max_length"] == 8
    assert line == {"face": "api", "model": tiny.name, "outcome": "written"}
    told = caplog.text + service.metrics.text().decode()
    assert 'poster2plot_posters_total{face="api",outcome="written"} 1.0' in told
    assert 'poster2plot_stage_seconds_count{stage="decode"} 1.0' in told
    for private in ("192.0.2.7", "secret.png", plot.text):
        assert private not in told


def test_a_cancelled_poster_is_logged_as_such(tiny: Poster2Plot, caplog: pytest.LogCaptureFixture):
    service, pause = PlotService(tiny), Pause()
    request = service.submit(draw_poster(), SETTINGS, visitor=ANN, on_step=pause)
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

    request = PlotService(tiny).submit(draw_poster(), SETTINGS, visitor=ANN, on_step=fail)
    noted(request)
    with pytest.raises(ArithmeticError):
        request.result(PATIENCE)
    [line] = lines(caplog)
    assert (line["outcome"], line["error"]) == ("failed", "ArithmeticError")
    assert "private" not in caplog.text


def test_a_full_queue_refuses_until_there_is_room(
    tiny: Poster2Plot, caplog: pytest.LogCaptureFixture
):
    service, pause = PlotService(tiny, Limits(waiting=2)), Pause()
    taken = [service.submit(draw_poster(), SETTINGS, visitor=ANN, on_step=pause)]
    assert pause.reached.wait(PATIENCE)
    taken += [service.submit(draw_poster(), SETTINGS, visitor=ANN) for _ in range(2)]
    assert taken[2].ahead() == 1
    with pytest.raises(QueueFullError, match="try again") as refused:
        service.submit(draw_poster(), SETTINGS, visitor=BOB)
    assert refused.value.retry_after == 5
    assert lines(caplog)[-1]["error"] == "QueueFullError"
    pause.end()
    for request in taken:
        request.result(PATIENCE)
    service.submit(draw_poster(), SETTINGS, visitor=BOB).result(PATIENCE)


@pytest.mark.parametrize("what", ["plots", "pictures", "megapixels"])
def test_each_visitor_has_a_rate(tiny: Poster2Plot, what: str):
    service = PlotService(tiny, Limits(**{what: 2}))
    picture = encode(draw_poster(size=(1000, 1000)))

    def ask(visitor: Visitor) -> None:
        loaded = service.read(picture, name="poster.png", visitor=visitor)
        service.submit(loaded.image, SETTINGS, visitor=visitor).result(PATIENCE)

    ask(ANN)
    ask(ANN)
    with pytest.raises(RateLimitError, match=f"more than 2 {what} in a minute") as refused:
        ask(ANN)
    assert 1 <= refused.value.retry_after <= 60
    ask(BOB)


def test_a_visit_too_many_is_told_once(tiny: Poster2Plot, caplog: pytest.LogCaptureFixture):
    service = PlotService(tiny, Limits(at_once=1))
    with service.visit(ANN):
        with pytest.raises(RateLimitError, match="at once"), service.visit(ANN):
            pass
        with service.visit(BOB):
            pass
    with service.visit(ANN):
        pass
    # A request of an earlier test may be logged as late as now.
    [line] = [each for each in lines(caplog) if each["outcome"] == "refused"]
    assert (line["face"], line["outcome"]) == ("page", "refused")


def test_a_refusal_during_a_visit_is_told_once(tiny: Poster2Plot, caplog: pytest.LogCaptureFixture):
    service = PlotService(tiny, Limits(pictures=1))
    picture = encode(draw_poster())
    service.read(picture, name="poster.png", visitor=BOB)
    with pytest.raises(RateLimitError), service.visit(BOB):
        service.read(picture, name="poster.png", visitor=BOB)
    # A request of an earlier test may be logged as late as now.
    [line] = [each for each in lines(caplog) if each["outcome"] == "refused"]
    assert (line["outcome"], line["error"]) == ("refused", "RateLimitError")
    assert 'face="api",outcome="refused"} 1.0' in service.metrics.text().decode()


def test_posters_that_cannot_be_had_are_counted(
    tiny: Poster2Plot, caplog: pytest.LogCaptureFixture
):
    service = PlotService(tiny)
    with serve_posters() as services:
        services.answers = dict.fromkeys((MOVIE, METAHUB), Answer(status=503))
        finder = services.finder()
        with pytest.raises(UnsupportedImageError):
            service.read(b"hello", name="secret", visitor=BOB)
        with pytest.raises(PosterServiceError):
            service.find(ID, finder, visitor=BOB)
        for title in ("tt0000008", "nm0000138", "secret"):
            with pytest.raises(PosterLookupError):
                service.find_by_id_or_name(title, finder, visitor=BOB)
    told = [(line["outcome"], line["error"]) for line in lines(caplog) if line["face"] == "api"]
    assert told == [
        ("unusable", "UnsupportedImageError"),
        ("unreachable", "PosterServiceError"),
        ("unusable", "PosterNotFoundError"),
        ("unusable", "InvalidTitleError"),
        ("unusable", "PosterNotFoundError"),
    ]
    counted = service.metrics.text().decode()
    assert 'poster2plot_posters_total{face="api",outcome="unusable"} 4.0' in counted
    assert 'poster2plot_posters_total{face="api",outcome="unreachable"} 1.0' in counted
    assert "secret" not in caplog.text


def test_wrong_settings_and_pictures_are_refused_as_ever(tiny: Poster2Plot):
    service = PlotService(tiny)
    with pytest.raises(SettingsError):
        service.submit(draw_poster(), GenerationSettings(max_length=400), visitor=ANN)
    with pytest.raises(ImageError):
        service.read(b"not a picture", name="poster.png", visitor=ANN)
