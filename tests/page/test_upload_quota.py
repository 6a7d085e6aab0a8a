"""Uploads stay in memory, as many as there is room for."""

import asyncio
import tempfile
from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartParser
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send
from streamlit import runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager

from poster2plot.images.limits import MAX_BYTES
from poster2plot.page.inputs import MOST_POSTERS
from poster2plot.page.upload_quota import VISIT_BYTES, UploadQuota, keep_uploads_off_the_disk


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


async def no_body() -> Message:
    return {"type": "http.disconnect"}


@pytest.mark.parametrize(
    ("size", "taken"), [(100_000, MOST_POSTERS), (MAX_BYTES, VISIT_BYTES // MAX_BYTES)]
)
def test_as_many_uploads_arrive_at_once_as_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch, size: int, taken: int
):
    """As over HTTP/2, which has no bound on requests at a time as browsers have for HTTP/1."""
    manager = MemoryUploadedFileManager("/_stcore/upload_file")
    held = SimpleNamespace(uploaded_file_mgr=manager)
    monkeypatch.setattr(runtime, "get_instance", lambda: held)

    async def put_all() -> list[int]:
        everyone = asyncio.Barrier(MOST_POSTERS)

        async def take(scope: Scope, receive: Receive, send: Send) -> None:
            await everyone.wait()
            await Response(status_code=204)(scope, receive, send)

        async def put(number: int) -> int:
            scope = {
                "type": "http",
                "method": "PUT",
                "path": f"/_stcore/upload_file/session/{number}",
                "headers": [(b"content-length", str(size).encode())],
            }
            statuses: list[int] = []

            async def send(message: Message) -> None:
                statuses.extend([message["status"]] if "status" in message else [])

            await quota(scope, no_body, send)
            if statuses == [413]:
                await everyone.wait()
            return statuses[0]

        quota = UploadQuota(take)
        return await asyncio.gather(*map(put, range(MOST_POSTERS)))

    statuses = asyncio.run(asyncio.wait_for(put_all(), 60))
    assert sorted(statuses) == [204] * taken + [413] * (MOST_POSTERS - taken)
