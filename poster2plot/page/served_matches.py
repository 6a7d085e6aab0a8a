"""The small posters of the titles that a search found, by HTTP: a browser asks no other host."""

import hashlib
import secrets
import time
from collections import OrderedDict
from dataclasses import replace
from functools import lru_cache

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from poster2plot import ImageError, read_image
from poster2plot.imdb.http_client import FetchError
from poster2plot.page import cached_resources
from poster2plot.page.thumbnails import small_jpeg

_SIDE = 160  # px of the longer side
_SECONDS = 5.0  # to fetch one
_MOST = 4096  # addresses of all visits, the last ones
_SALT = secrets.token_bytes(16)
_found: OrderedDict[str, str] = OrderedDict()  # addresses at the services, by token
_FOR_A_DAY = {"Cache-Control": "private, max-age=86400"}


def address_of_match(poster_url: str) -> str:
    """Where the small poster is, relative to the page.

    Nobody can have this server fetch another address than one that a service told.
    """
    token = hashlib.blake2b(poster_url.encode(), key=_SALT, digest_size=16).hexdigest()
    _found[token] = poster_url
    _found.move_to_end(token)
    while len(_found) > _MOST:
        _found.popitem(last=False)
    return f"matches/{token}.jpg"


def routes(root_path: str = "") -> list[BaseRoute]:
    """`GET /matches/{token}.jpg` under a path as "/posters": a JPEG, or 404 where there is none."""
    return [Route(f"{root_path}/matches/{{token}}.jpg", _answer, methods=["GET"])]


def _answer(request: Request) -> Response:
    poster_url = _found.get(request.path_params["token"])
    try:
        poster = poster_url and _small(poster_url)
    except (FetchError, ImageError):
        poster = None
    if not poster:
        return PlainTextResponse("There is no such poster.", 404)
    return Response(poster, headers=_FOR_A_DAY, media_type="image/jpeg")


@lru_cache(maxsize=512)  # some 4 MB
def _small(poster_url: str) -> bytes | None:
    services = cached_resources.services()
    fetcher = services.fetcher.until(time.monotonic() + _SECONDS)
    picture = replace(services, fetcher=fetcher).picture(poster_url)
    return small_jpeg(read_image(picture), _SIDE) if picture else None
