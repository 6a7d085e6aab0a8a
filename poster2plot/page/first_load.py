"""What a browser gets first: a head of the page's own, and Streamlit's scripts compressed.

Streamlit sends its own title and icon until the page's script has run, which is too late for
whoever previews a link, and it leaves compression to a proxy that a small host does not have.
"""

import asyncio
import gzip
import hashlib
import html
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Template

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.file_util import get_static_dir

from poster2plot import read_image
from poster2plot.bundled_files import EXAMPLE_POSTERS, example_title
from poster2plot.page.thumbnails import small_jpeg

TITLE = "Poster2Plot"
DESCRIPTION = "Give it a movie or TV poster, get a plot that a small neural network invents for it."
MANIFEST = {
    "name": TITLE,
    "short_name": TITLE,
    "description": DESCRIPTION,
    "start_url": ".",
    "display": "standalone",
    "background_color": "#fbf8f3",
    "theme_color": "#b3261e",
    "icons": [
        {"src": f"pictures/icon-{side}.png", "sizes": f"{side}x{side}", "type": "image/png"}
        for side in (192, 512)
    ],
}
_EXAMPLE_SIDE = 240  # px of an example's longer side in the row of them
_FOLDER = Path(__file__).parent
_PICTURES = _FOLDER / "pictures"
_COMPRESSIBLE = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_FOR_A_YEAR = "public, immutable, max-age=31536000"  # names that have a hash of what is in them
_FOR_A_DAY = "public, max-age=86400"
_HOST = re.compile(r"[\w.-]+(:\d+)?|\[[0-9a-f:]+\](:\d+)?", re.ASCII | re.IGNORECASE)
_OPENING = f'<div id="root"><div id="opening"><h1>{TITLE}</h1><p>{DESCRIPTION}</p></div></div>'
_WITHOUT_SCRIPTS = (
    "<noscript><p>This page needs JavaScript; its HTTP API does not: "
    '<a href="./api/docs">api/docs</a>.</p></noscript>'
)


def address_of_example(poster: Path) -> str:
    """Where an example poster is in small, relative to the page.

    By address, as all that is in a run of the page is made and sent anew with each of them.
    """
    return f"pictures/small/{poster.name}"


class FirstLoad:
    """ASGI middleware before Streamlit's application, which answers everything else.

    `root_path` is where the page is: empty, or as "/posters".
    """

    def __init__(self, app: ASGIApp, root_path: str = "") -> None:
        self._app = app
        self._base = root_path
        static = Path(get_static_dir())
        self._index = Template(_with_head((static / "index.html").read_text(encoding="utf-8")))
        self._scripts = {
            f"/{path.relative_to(static).as_posix()}": path
            for path in (static / "static").rglob("*")
            if path.suffix in _COMPRESSIBLE
        }
        self._files = {f"/pictures/{path.name}": path for path in _PICTURES.iterdir()} | {
            "/favicon.png": _PICTURES / "icon-192.png",
            "/favicon.ico": _PICTURES / "icon-192.png",
        }
        self._examples = {path.stem: path for path in EXAMPLE_POSTERS.glob("*.jpg")}
        self._files |= {f"/pictures/{path.name}": path for path in self._examples.values()}
        self._small = {f"/{address_of_example(path)}": path for path in self._examples.values()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass a request on."""
        answer = None
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            path = scope["path"]
            if path.startswith(f"{self._base}/"):
                answer = await self._answer(Request(scope), path.removeprefix(self._base))
        await (answer or self._app)(scope, receive, send)

    async def _answer(self, request: Request, path: str) -> Response | None:
        if path in ("/", "/index.html"):
            return _page(self._index_for(request), request.headers)
        if path == "/manifest.webmanifest":
            return Response(json.dumps(MANIFEST), media_type="application/manifest+json")
        if path in self._files:
            return FileResponse(self._files[path], headers={"Cache-Control": _FOR_A_DAY})
        if path in self._small:
            data = await asyncio.to_thread(_small_example, self._small[path])
            return Response(data, 200, {"Cache-Control": _FOR_A_DAY}, "image/jpeg")
        if path in self._scripts and _takes_gzip(request.headers):
            script = self._scripts[path]
            data = await asyncio.to_thread(_compressed_file, script)
            headers = {"Cache-Control": _FOR_A_YEAR, **_GZIPPED}
            return Response(data, 200, headers, _COMPRESSIBLE[script.suffix])
        return None

    def _index_for(self, request: Request) -> bytes:
        """The page, which names the address that it has for this visitor."""
        host = request.headers.get("host", "")
        proxied = request.headers.get("x-forwarded-proto", "")
        scheme = proxied if proxied in ("http", "https") else request.url.scheme
        origin = f"{scheme}://{host}{self._base}/" if _HOST.fullmatch(host) else "./"
        address, title, picture = origin, TITLE, "social.jpg"
        says = "Three posters and the plot written for one"
        example = request.query_params.get("example", "")
        if example in self._examples:  # a link to its plot
            poster = self._examples[example]
            name = example_title(poster)
            title, picture = f"A plot for “{name}”", poster.name
            address = f"{origin}?{request.url.query}"  # or the preview would lead elsewhere
            says = f"The poster of “{name}”"
        text = self._index.substitute(
            title=html.escape(title),
            description=html.escape(DESCRIPTION),
            address=html.escape(address),
            picture=f"{origin}pictures/{picture}",
            picture_says=html.escape(says),
        )
        return text.encode()


_GZIPPED = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}


def _with_head(index: str) -> str:
    """Streamlit's `index.html` as a template with a head and an opening of our own."""
    index = index.replace("$", "$$")
    index = re.sub(r'\s*<link rel="shortcut icon"[^>]*>', "", index)
    index = re.sub(r"<noscript>.*?</noscript>", _WITHOUT_SCRIPTS, index, flags=re.DOTALL)
    index = index.replace('<div id="root"></div>', _OPENING)
    index = re.sub(r"\s*<title>.*?</title>", "", index, flags=re.DOTALL)
    head = (_FOLDER / "head.html").read_text(encoding="utf-8")
    return index.replace("</head>", f"{head}  </head>", 1)


def _page(body: bytes, asked: Mapping[str, str]) -> Response:
    """The page itself, which is asked for each time, and sent where it has changed."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"Cache-Control": "no-cache", "ETag": etag, "Vary": "Accept-Encoding"}
    if asked.get("if-none-match") == etag:
        return Response(None, 304, headers)
    if _takes_gzip(asked):
        return Response(gzip.compress(body, 6), 200, headers | _GZIPPED, "text/html")
    return Response(body, 200, headers, "text/html")


def _takes_gzip(headers: Mapping[str, str] | Headers) -> bool:
    return "gzip" in headers.get("accept-encoding", "") and "range" not in headers


@cache
def _compressed_file(path: Path) -> bytes:
    """Compressed once, for all visitors."""
    return gzip.compress(path.read_bytes(), 9)


@cache
def _small_example(path: Path) -> bytes:
    return small_jpeg(read_image(path), _EXAMPLE_SIDE)
