"""Logs at their most talkative, while libraries handle what a visitor sent."""

import asyncio
import io
import logging
import os
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from poster2plot import read_image
from poster2plot.server.private_logs import keep_visitors_out

SECRET = "what-the-visitor-wrote"


@pytest.fixture(autouse=True)
def private(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    factory = logging.getLogRecordFactory()
    keep_visitors_out()
    keep_visitors_out()  # no harm
    caplog.set_level(logging.DEBUG)
    yield
    logging.setLogRecordFactory(factory)


def everything(caplog: pytest.LogCaptureFixture) -> str:
    formatter = logging.Formatter()
    return "\n".join(formatter.format(record) for record in caplog.records)


@pytest.mark.parametrize(
    "name", ["streamlit.runtime", "PIL.TiffImagePlugin", "starlette.x", "RapidOCR"]
)
def test_a_library_says_where_and_not_what(name: str, caplog: pytest.LogCaptureFixture):
    logger = logging.getLogger(name)
    logger.debug("got the message %s of %d bytes", SECRET, 5)
    logger.error(f"no {SECRET}")
    told = everything(caplog)
    assert "got the message %s of %d bytes" in told
    assert "left out" in told
    assert SECRET not in told


def test_a_traceback_keeps_its_lines_and_loses_its_messages(caplog: pytest.LogCaptureFixture):
    def fail() -> None:
        try:
            os.environ[SECRET]
        except KeyError as error:
            raise ValueError(f"{SECRET} is no number") from error

    try:
        fail()
    except ValueError:
        logging.getLogger("streamlit").exception("the script failed")
    told = everything(caplog)
    assert SECRET not in told
    assert "KeyError" in told
    assert "ValueError" in told
    assert "in fail" in told


def test_a_callback_that_fails_is_logged_without_what_it_says(caplog: pytest.LogCaptureFixture):
    def fail(_: object) -> None:
        raise ValueError(SECRET)

    future: Future[None] = Future()
    future.add_done_callback(fail)
    future.set_result(None)

    async def forget() -> None:
        asyncio.get_running_loop().call_exception_handler(
            {"message": SECRET, "exception": ValueError(SECRET)}
        )

    asyncio.run(forget())
    told = everything(caplog)
    assert "ValueError" in told
    assert SECRET not in told


def test_the_text_in_a_picture_is_in_no_log(caplog: pytest.LogCaptureFixture):
    exif = Image.Exif()
    exif[0x010E] = SECRET
    for kind in ("TIFF", "JPEG", "PNG"):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8)).save(buffer, kind, exif=exif)
        read_image(buffer.getvalue(), name=f"{SECRET}.{kind}")
    assert any(record.name.startswith("PIL") for record in caplog.records)
    assert SECRET not in everything(caplog)


def test_forms_are_in_no_log(caplog: pytest.LogCaptureFixture):
    async def echo(request: Request) -> Response:
        async with request.form() as form:
            return Response(str(len(form)))

    client = TestClient(Starlette(routes=[Route("/", echo, methods=["POST"])]))
    files = {"image": (f"{SECRET}.png", SECRET.encode())}
    assert client.post("/", data={"title": SECRET}, files=files).text == "2"
    body = f"--x\r\nContent-Disposition: form-data; name={SECRET}".encode()
    client.post("/", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    ours = [record for record in caplog.records if record.name.split(".")[0] != "httpx"]
    formatter = logging.Formatter()
    assert SECRET not in "\n".join(formatter.format(record) for record in ours)


def test_the_own_logs_stay_as_they_are(caplog: pytest.LogCaptureFixture):
    logging.getLogger("poster2plot.imdb").info("%s has the poster", "TMDB")
    assert "TMDB has the poster" in everything(caplog)
