"""Uploads stay in memory."""

import tempfile

import pytest
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartParser
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from poster2plot.images.limits import MAX_BYTES
from poster2plot.page.upload_quota import keep_uploads_off_the_disk


async def size(request: Request) -> Response:
    async with request.form() as form:
        file = form["file"]
        assert isinstance(file, UploadFile)
        return PlainTextResponse(str(len(await file.read())))


def test_no_upload_is_written_to_the_disk(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(MultiPartParser, "spool_max_size", MultiPartParser.spool_max_size)
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    client = TestClient(Starlette(routes=[Route("/", size, methods=["PUT"])]))
    files = {"file": ("poster.png", bytes(MAX_BYTES))}
    with pytest.raises(FileNotFoundError):
        client.put("/", files=files)
    keep_uploads_off_the_disk()
    assert client.put("/", files=files).text == str(MAX_BYTES)
