"""Debian's Firefox, driven by WebDriver BiDi, as Playwright only drives a Firefox of its own.

https://www.w3.org/TR/webdriver-bidi/
"""

import itertools
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from support.app_server import free_port, when_it_answers

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
PATIENCE = 120  # seconds, as in support.browser
_PREFERENCES = {
    "app.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
}
# Elements by a selector, also those inside of components.
_FIND = """
const find = (selector, root = document) => [
    ...root.querySelectorAll(selector),
    ...[...root.querySelectorAll("*")].flatMap(({ shadowRoot }) =>
        shadowRoot ? find(selector, shadowRoot) : []),
]
const visible = (selector, text = "") => find(selector).find(
    (each) => each.checkVisibility() && each.textContent.includes(text))
"""


class Firefox:
    """One page in a browser of its own. Its scripts know `find` and `visible`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._ids = socket, itertools.count()
        self.errors: list[str] = []  # of scripts of the page
        self._ask("session.new", capabilities={})
        self._ask("session.subscribe", events=["log.entryAdded"])
        [context, *_] = self._ask("browsingContext.getTree")["contexts"]
        self._context = context["context"]

    @classmethod
    @contextmanager
    def launched(cls) -> Iterator["Firefox"]:
        """Start it with an empty profile, until the end of the block."""
        with tempfile.TemporaryDirectory() as profile:
            lines = (f'user_pref("{k}", {json.dumps(v)});\n' for k, v in _PREFERENCES.items())
            (Path(profile) / "user.js").write_text("".join(lines), encoding="utf-8")
            port = free_port()
            options = ["--headless", "--no-remote", f"--remote-debugging-port={port}"]
            process = subprocess.Popen(
                [str(FIREFOX), *options, "--profile", profile],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                when_it_answers(f"http://127.0.0.1:{port}")
                address = f"ws://127.0.0.1:{port}/session"
                with connect(address, max_size=None, proxy=None) as socket:
                    yield cls(socket)
            finally:
                process.terminate()
                process.wait()

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self._ask("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def run(self, script: str) -> Any:
        """What an expression evaluates to, or its promise is fulfilled with."""
        answer = self._ask(
            "script.evaluate",
            expression=f"(async () => {{{_FIND} return JSON.stringify(await ({script}))}})()",
            target={"context": self._context},
            awaitPromise=True,
            userActivation=True,
        )
        if answer["type"] != "success":
            raise AssertionError(answer["exceptionDetails"]["text"])
        value = answer["result"].get("value")
        return None if value is None else json.loads(value)

    def wait_for(self, condition: str) -> None:
        """Wait until an expression is true."""
        self.run(
            f"new Promise((resolve) => {{ const look = () => ({condition}) "
            "? resolve(true) : requestAnimationFrame(look); look() })"
        )

    def click(self, selector: str, text: str = "") -> None:
        """Click the first visible element of a selector that has a text, once it is there."""
        element = f"visible({json.dumps(selector)}, {json.dumps(text)})"
        self.wait_for(element)
        x, y = self.run(
            f"(({element}).scrollIntoView({{ block: 'center', behavior: 'instant' }}), "
            f"(({{ x, y, width, height }}) => [x + width / 2, y + height / 2].map(Math.round))"
            f"(({element}).getBoundingClientRect()))"
        )
        move = {"type": "pointerMove", "x": x, "y": y}
        press = [{"type": kind, "button": 0} for kind in ("pointerDown", "pointerUp")]
        pointer = {"type": "pointer", "id": "mouse", "actions": [move, *press]}
        self._ask("input.performActions", context=self._context, actions=[pointer])

    def _ask(self, method: str, **params: Any) -> Any:
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(PATIENCE))
            if message.get("method") == "log.entryAdded":
                if message["params"]["type"] == "javascript":
                    self.errors.append(message["params"]["text"])
            elif message.get("id") == number:
                if message["type"] == "error":
                    raise AssertionError(f"{method}: {message['message']}")
                return message["result"]
