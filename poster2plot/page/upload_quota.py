"""What uploads may keep, since Streamlit caps each file but not how many there are."""

from typing import cast

from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit import runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager

from poster2plot.images.limits import MAX_BYTES

VISIT_BYTES = 200 * 2**20  # of one visitor
ALL_BYTES = 2 * 2**30  # of all visitors
_PATH = "/_stcore/upload_file/"  # then the visitor's session and the file


def keep_uploads_off_the_disk() -> None:
    """Have Starlette keep uploads in memory, which it writes to temporary files from 1 MB on."""
    MultiPartParser.spool_max_size = MAX_BYTES + 2**20  # Streamlit takes no more than the cap


class UploadQuota:
    """ASGI middleware that refuses (413) the uploads beyond `VISIT_BYTES` and `ALL_BYTES`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._arriving: list[tuple[str, int]] = []  # the session and the bytes of each

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on but uploads for which there is no room."""
        if scope["type"] != "http" or scope["method"] != "PUT" or _PATH not in scope["path"]:
            await self._app(scope, receive, send)
            return
        session = scope["path"].split(_PATH)[1].split("/")[0]
        # No upload is larger than the cap, so that is what one may be that does not say.
        said = Headers(scope=scope).get("content-length", "")
        size = min(int(said), MAX_BYTES) if said.isdecimal() else MAX_BYTES
        if not self._has_room(session, size):
            await PlainTextResponse("Too many uploads; clear some.", 413)(scope, receive, send)
            return
        upload = session, size
        self._arriving.append(upload)
        try:
            await self._app(scope, receive, send)
        finally:
            self._arriving.remove(upload)

    def _has_room(self, session: str, size: int) -> bool:
        # Streamlit's own books, by session and file.
        manager = cast(MemoryUploadedFileManager, runtime.get_instance().uploaded_file_mgr)
        kept = {
            name: sum(len(file.data) for file in [*files.values()])
            for name, files in [*manager.file_storage.items()]
        }
        mine = kept.get(session, 0) + sum(n for whose, n in self._arriving if whose == session)
        everyone = sum(kept.values()) + sum(n for _, n in self._arriving)
        return mine + size <= VISIT_BYTES and everyone + size <= ALL_BYTES
