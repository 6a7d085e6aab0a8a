"""Visitors as the server sees them: a browser on the page, and a program at the HTTP API.

A `PageVisitor` speaks what Streamlit's front end speaks: protocol buffers over a WebSocket, and
uploads with the XSRF token. It renders nothing, so that many fit beside the server they load.
"""

from __future__ import annotations

import io
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from PIL import Image
from requests.adapters import HTTPAdapter
from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from urllib3.util import Retry
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from poster2plot.bundled_files import EXAMPLE_POSTERS

POSTERS = sorted(EXAMPLE_POSTERS.glob("*.jpg"))
PATIENCE = 300  # seconds until a visitor gives up
_XSRF_COOKIE = "_streamlit_xsrf"


@dataclass(frozen=True)
class Answer:
    """What became of one poster: a plot after so many seconds, or why there is none."""

    seconds: float
    refused: str = ""  # politely: come back later
    error: str = ""


class Posters:
    """Ever new posters: pieces of the example posters."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def next(self) -> bytes:
        """A JPEG that nobody has sent before."""
        with Image.open(self._chance.choice(POSTERS)) as poster:
            left, top = self._chance.randrange(80), self._chance.randrange(80)
            piece = poster.crop((left, top, poster.width - 80, poster.height - 80))
        buffer = io.BytesIO()
        piece.save(buffer, "JPEG")
        return buffer.getvalue()


class ApiVisitor:
    """A program at an address of its own, such as 127.0.0.7, that sends `fields` along."""

    def __init__(
        self, url: str, address: str, seed: int, fields: Mapping[str, str] | None = None
    ) -> None:
        self._url, self._posters, self._fields = url, Posters(seed), fields
        self._session = requests.Session()
        self._session.mount("http://", _From(address))

    def ask(self) -> Answer:
        """Send a poster and wait for its plot, or as long as a refusal says."""
        files = {"image": self._posters.next()}
        started = time.perf_counter()
        try:
            response = self._session.post(
                f"{self._url}/api/plot", files=files, data=self._fields, timeout=PATIENCE
            )
            answer = response.json()
        except (requests.RequestException, ValueError) as error:
            return Answer(0, error=type(error).__name__)
        if "Retry-After" in response.headers:
            time.sleep(int(response.headers["Retry-After"]))
            return Answer(0, refused=answer["error"])
        if response.status_code != requests.codes.ok:
            return Answer(0, error=answer["error"])
        return Answer(time.perf_counter() - started)


class _From(HTTPAdapter):
    """Sends from an address."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, source_address=(self._address, 0), **options)


class PageVisitor:
    """An open page, with the settings of its URL.

    `ready` is when it took posters, by `time.perf_counter`; its first run may go on after that,
    until the model is there.
    """

    def __init__(
        self, url: str, socket: ClientConnection, http: requests.Session, query: str, seed: int
    ) -> None:
        self._url, self._socket, self._http, self._query = url, socket, http, query
        self._posters = Posters(seed)
        self._uploads = 0
        self._session = self._uploader = ""
        self._run()
        for message in self._until_the_end():
            if message.HasField("new_session"):
                self._session = message.new_session.initialize.session_id
            element = message.delta.new_element
            if element.HasField("file_uploader"):
                self._uploader = element.file_uploader.id
                self.ready = time.perf_counter()

    @classmethod
    @contextmanager
    def opened(cls, url: str, *, query: str = "", seed: int = 0) -> Iterator[PageVisitor]:
        """Open the page, until the end of the block."""
        with requests.Session() as http:
            # As browsers do where the server has just closed a connection that was idle.
            http.mount("http://", HTTPAdapter(max_retries=Retry(1)))
            http.get(f"{url}/_stcore/health", timeout=PATIENCE).raise_for_status()
            cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in http.cookies)
            with connect(
                f"ws://{urlsplit(url).netloc}/_stcore/stream",
                subprotocols=[Subprotocol("streamlit")],
                additional_headers={"Cookie": cookies, "Origin": url},
                max_size=None,
                open_timeout=PATIENCE,
            ) as socket:
                yield cls(url, socket, http, query, seed)

    def ask(self) -> Answer:
        """Put another poster in the uploader and wait for its plot."""
        started = time.perf_counter()
        try:
            self.upload(self._posters.next())
            return self._read(started)
        except (requests.RequestException, ConnectionClosed, TimeoutError) as error:
            return Answer(0, error=type(error).__name__)

    def upload(self, poster: bytes, *, run: bool = True) -> None:
        """Send a file, and replace what is in the uploader by it where the page is to `run`.

        Raises `requests.HTTPError` where it is refused.
        """
        self._uploads += 1
        name = f"poster-{self._uploads}.jpg"
        message = BackMsg()
        asked = message.file_urls_request
        asked.request_id, asked.session_id = str(self._uploads), self._session
        asked.file_names.append(name)
        self._send(message)
        [place] = next(
            message.file_urls_response.file_urls
            for message in self._messages()
            if message.HasField("file_urls_response")
        )
        self._http.put(
            self._url + place.upload_url,
            files={"file": (name, poster, "image/jpeg")},
            headers={"X-Xsrftoken": self._http.cookies[_XSRF_COOKIE]},
            timeout=PATIENCE,
        ).raise_for_status()
        if run:
            self._run(name, len(poster), place)

    def _run(self, name: str = "", size: int = 0, place: FileURLs | None = None) -> None:
        """Let the page run, with a file in the uploader if there is one."""
        message = BackMsg()
        message.rerun_script.query_string = self._query
        if place is not None:
            state = message.rerun_script.widget_states.widgets.add()
            state.id = self._uploader
            file = state.file_uploader_state_value.uploaded_file_info.add()
            file.name, file.size, file.file_id = name, size, place.file_id
            file.file_urls.CopyFrom(place)
        self._send(message)

    def _read(self, started: float) -> Answer:
        answer = Answer(0, error="the page ended without a plot")
        for message in self._until_the_end():
            element = message.delta.new_element
            if element.HasField("bidi_component") and "candidates" in element.bidi_component.json:
                answer = Answer(time.perf_counter() - started)
            elif element.HasField("exception"):
                answer = Answer(0, error=element.exception.type)
            elif element.HasField("alert") and element.alert.format == Alert.ERROR:
                answer = Answer(0, error=element.alert.body)
            elif element.HasField("alert") and element.alert.format == Alert.WARNING:
                answer = Answer(0, refused=element.alert.body)
        return answer

    def _until_the_end(self) -> Iterator[ForwardMsg]:
        for message in self._messages():
            yield message
            if message.HasField("script_finished"):
                return

    def _messages(self) -> Iterator[ForwardMsg]:
        while True:
            message = ForwardMsg()
            message.ParseFromString(self._socket.recv(PATIENCE, decode=False))
            yield message

    def _send(self, message: BackMsg) -> None:
        self._socket.send(message.SerializeToString())
