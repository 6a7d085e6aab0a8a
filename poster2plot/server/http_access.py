"""Who may use the HTTP API, from the environment; without a word of it everybody may."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request

from poster2plot.errors import InputError
from poster2plot.server.http_gate import visitor_of
from poster2plot.server.visitor import Visitor

KEYS, ORIGINS = "POSTER2PLOT_API_KEYS", "POSTER2PLOT_CORS_ORIGINS"
_KEY = re.compile(r"[\x21-\x7e]{8,}", re.ASCII)  # what can be in a header, and hardly be guessed
# As browsers write it: nothing but scheme, host and a port that is not the scheme's own.
_HOST = r"(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:]+\])"
_ORIGIN = re.compile(
    rf"(?:http://{_HOST}(?!:80\Z)|https://{_HOST}(?!:443\Z))(?::[1-9][0-9]{{0,4}})?", re.ASCII
)


@dataclass(frozen=True)
class Access:
    """API keys, of which a request must bring one where there are any, and origins of pages."""

    keys: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls) -> Access:
        """What POSTER2PLOT_API_KEYS and POSTER2PLOT_CORS_ORIGINS say, both lists with commas.

        Raises `InputError` for what cannot be meant: a mistake must not open the API to everybody.
        """
        keys, origins = _listed(KEYS), tuple(each.lower() for each in _listed(ORIGINS))
        if not all(map(_KEY.fullmatch, keys)):
            raise InputError(
                f"A key in {KEYS} cannot be right; keys have at least 8 characters of ASCII and no "
                "blanks, and commas between them."
            )
        if not all(origin == "*" or _ORIGIN.fullmatch(origin) for origin in origins):
            raise InputError(
                f"{ORIGINS} must hold origins as browsers send them, such as "
                "https://posters.example or http://localhost:3000, with commas between them, or *."
            )
        return cls(keys, origins)

    def visitor(self, request: Request) -> Visitor:
        """Who asks for plots, by key where there are keys. Raises `HTTPException` (401)."""
        if not self.keys:
            return visitor_of(request)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        given = request.headers.get("X-API-Key", token if scheme.lower() == "bearer" else "")
        for key in self.keys:
            if hmac.compare_digest(key.encode(), given.strip().encode()):
                return Visitor("api", f"key {hashlib.sha256(key.encode()).hexdigest()}")
        raise HTTPException(
            401,
            "Send one of the server's API keys, as Authorization: Bearer or as X-API-Key.",
            {"WWW-Authenticate": "Bearer"},
        )


def _listed(name: str) -> tuple[str, ...]:
    text = os.environ.get(name, "").strip()
    if not text:
        return ()
    # A file of variables may have quotes, which Docker takes for a part of the value.
    listed = tuple(each.strip().strip("\"'").strip() for each in text.strip("\"'").split(","))
    return tuple(each for each in listed if each) or ("",)
