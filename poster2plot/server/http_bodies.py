"""What a request to the HTTP API asks for, read from its body within bounds.

Whatever is wrong with a body is the client's fault and ends in a status from 400 to 499 with one
sentence, which repeats nothing of the body.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import FormParser, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from poster2plot.errors import InputError, SettingsError
from poster2plot.images.limits import MAX_BYTES
from poster2plot.imdb.ids import looks_like_title
from poster2plot.inputs import READ_IN_VAIN
from poster2plot.server.http_types import (
    MAX_POSTERS,
    SETTINGS,
    Options,
    PlotBody,
    PlotsBody,
    PosterBody,
    sentence_about,
)
from poster2plot.settings import GenerationSettings

FORM_SECONDS = 60  # for a request to arrive
_TEXT_BYTES = 64 * 1024  # of a request beside its pictures
# Of one poster, and of several; base64 makes four bytes of three.
_FORM_BYTES = {1: MAX_BYTES + _TEXT_BYTES, MAX_POSTERS: 2 * MAX_BYTES + _TEXT_BYTES}
_JSON_BYTES = {most: size * 4 // 3 for most, size in _FORM_BYTES.items()}
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?", re.I | re.ASCII)
_MAX_DIGITS = 40  # more are of no number that a setting could have

_FIELDS = {*PlotBody.model_fields, *PlotsBody.model_fields}
_NO_POSTER = (
    "Send either a file named image, beside which title may hold its title in words, or an IMDb "
    "id, URL or name of a title, named title."
)
_MULTIPART = "multipart/form-data"
_URLENCODED = "application/x-www-form-urlencoded"
_JSON = "application/json"


@dataclass(frozen=True)
class AskedPoster:
    """A picture's bytes with the title it is given, or an id, URL or name as `title` alone."""

    name: str
    title: str
    image: bytes | None = None


@dataclass(frozen=True)
class Asked:
    """What a request asks for."""

    posters: list[AskedPoster]
    settings: GenerationSettings
    read_title: bool


async def read_body(request: Request, most: int) -> Asked:
    """Read a form or JSON that asks for one poster, or as many as `MAX_POSTERS`, as `most` says.

    Raises `HTTPException`, `SettingsError`, `InputError`, or `ClientDisconnect`.
    """
    if not request.query_params.keys().isdisjoint(_FIELDS):
        raise InputError("Send settings and posters in the body; the address takes none.")
    kind = _content_type(request)
    try:
        async with asyncio.timeout(FORM_SECONDS):
            if kind == _JSON:
                body = bytearray()
                async for chunk in _capped(request, _JSON_BYTES[most]):
                    body += chunk
                return await run_in_threadpool(_from_json, body, most)
            if kind == _MULTIPART:
                async with aclosing(_capped(request, _FORM_BYTES[most])) as stream:
                    form = await _parsed(_Form(request.headers, stream, _FORM_BYTES[most]))
            else:
                async with aclosing(_capped(request, _TEXT_BYTES)) as stream:
                    form = await _parsed(FormParser(request.headers, stream))
    except TimeoutError:
        raise HTTPException(408, "The request took too long to arrive.") from None
    try:
        return await _from_form(form, most)
    finally:
        await form.close()


def _content_type(request: Request) -> str:
    """What kind of body follows. Raises `HTTPException` or `InputError`."""
    if request.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
        raise HTTPException(415, "Send the body without a content encoding.")
    if "Content-Type" not in request.headers:
        raise InputError(_NO_POSTER)
    try:
        kind, options = parse_options_header(request.headers.get("Content-Type"))
    except Exception:  # it is the client's text, whatever the parser makes of it
        kind, options = b"", {}
    name = kind.decode("latin-1").strip().lower()
    if name not in (_MULTIPART, _URLENCODED, _JSON):
        raise HTTPException(
            415, f"Send the body as {_MULTIPART} or {_JSON}, and say so in Content-Type."
        )
    charset = options.get(b"charset", b"utf-8").strip().lower()
    if charset not in (b"utf-8", b"utf8", b"us-ascii"):
        raise HTTPException(415, "Send text in UTF-8.")
    return name


async def _capped(request: Request, size: int) -> AsyncGenerator[bytes, None]:
    """The body as it arrives, up to so many bytes. Raises `HTTPException`."""
    left = size
    async with aclosing(request.stream()) as stream:
        async for chunk in stream:
            left -= len(chunk)
            if left < 0:
                if size <= _TEXT_BYTES:
                    raise HTTPException(413, f"The form is larger than {_TEXT_BYTES // 1024} KB.")
                raise HTTPException(
                    413,
                    f"The request is larger than {size // 2**20} MB; a picture may have "
                    f"{MAX_BYTES // 2**20} MB.",
                )
            yield chunk


class _Form(MultiPartParser):
    """A parser that writes no picture to disk, knows an unfinished form, and takes UTF-8 alone."""

    def __init__(self, headers: Any, stream: AsyncGenerator[bytes, None], size: int) -> None:
        super().__init__(headers, stream, max_part_size=_TEXT_BYTES)
        self.spool_max_size = size
        self._ended = False

    def on_end(self) -> None:
        self._ended = True

    def on_part_end(self) -> None:
        if self._current_part.file is None:
            self._current_part.data.decode("utf-8")  # raises where it is a picture, say
        super().on_part_end()

    async def parse(self) -> FormData:
        form = await super().parse()
        if not self._ended:
            for file in self._files_to_close_on_error:  # an unfinished one is not in the form
                file.close()
            raise ValueError("no closing boundary")
        return form


async def _parsed(parser: FormParser | MultiPartParser) -> FormData:
    try:
        return await parser.parse()
    except (HTTPException, ClientDisconnect):
        raise
    except Exception as error:  # it has seen nothing but the client's bytes
        raise HTTPException(
            400,
            "The form cannot be read; send multipart/form-data with its boundary, a name for each "
            f"field, texts in UTF-8 of at most {_TEXT_BYTES // 1024} KB, pictures as files.",
        ) from error


async def _from_form(form: FormData, most: int) -> Asked:
    texts: dict[str, list[str]] = {}
    images: list[UploadFile] = []
    for name, value in form.multi_items():
        if name == "image" and isinstance(value, UploadFile):
            images.append(value)
        elif isinstance(value, str):
            texts.setdefault(name, []).append(value)
        else:
            raise InputError("A file must be named image.")
    if "image" in texts:
        raise InputError("Send the picture as a file; a form's image cannot be a text.")
    titles = [_validated(PosterBody, {"title": text})["title"] for text in texts.pop("title", [])]
    chosen = {}
    for name, values in texts.items():
        if len(values) > 1:
            raise SettingsError("A setting may be there only once.")
        chosen[name] = _from_text(values[0])
    options = _validated(Options, chosen)
    chosen_files = [image for image in images if not _is_unfilled(image)]
    if most == 1 and (len(chosen_files) > 1 or len(titles) > 1):
        raise InputError("Send one poster; /api/v1/plots takes several.")
    if len(titles) != len(images):  # else each title belongs to the field beside it, filled or not
        images = chosen_files
    if not images:
        posters = [AskedPoster(title, title) for title in titles]
    elif titles and len(titles) != len(images):
        raise InputError("Beside files named image send as many fields named title, or none.")
    else:
        posters = []
        for image, title in zip(images, titles or [""] * len(images), strict=True):
            if not _is_unfilled(image):
                posters.append(AskedPoster(_short(image.filename), title, await image.read()))
            elif title:
                posters.append(AskedPoster(title, title))
    return _asked(posters, options)


def _is_unfilled(image: UploadFile) -> bool:
    """Whether it is what a browser sends of a file field in which nothing was chosen."""
    return not image.filename and not image.size


def _from_text(text: str) -> Any:
    """A form's text as the value that JSON would have."""
    lowered = text.strip().lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    # Very long digits are slow to convert, and nothing of a number is out there.
    if len(lowered) <= _MAX_DIGITS and _NUMBER.fullmatch(lowered):
        return float(lowered)
    return text


def _from_json(body: bytearray, most: int) -> Asked:
    try:
        value = json.loads(
            body.decode("utf-8-sig"), object_pairs_hook=_once, parse_constant=_refused
        )
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        raise HTTPException(
            400, "The body is not JSON in UTF-8 with each name once, or is nested too deeply."
        ) from None
    given = _validated(PlotBody if most == 1 else PlotsBody, value)
    posters = []
    for each in [given] if most == 1 else given["posters"]:
        name, title, image = each.get("name"), each.get("title"), each.get("image")
        if image or (image is not None and not title):  # an empty text beside a title is no picture
            posters.append(AskedPoster(_short(name), title or "", _decoded(image)))
        elif title is not None:
            posters.append(AskedPoster(title, title))
        else:
            posters = []
            break
    return _asked(posters, given)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name twice")
    return made


def _refused(_: str) -> None:
    raise ValueError("NaN or infinite")


def _decoded(image: str) -> bytes:
    """A picture in base64 as clients write it: RFC 4648 or its alphabet for URLs, in lines, with
    or without padding, alone or as a `data:` URL.
    """
    if image[:5].lower() == "data:":
        image = image.partition(";base64,")[2]
    text = "".join(image.split()).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise InputError("image must be a picture in base64.") from None


def _validated(model: type[BaseModel], value: object) -> dict[str, Any]:
    try:
        return model.model_validate(value).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise SettingsError(sentence_about(error)) from None


def _asked(posters: list[AskedPoster], options: dict[str, Any]) -> Asked:
    settings = GenerationSettings(**{name: options[name] for name in SETTINGS if name in options})
    read_title = options.get("read_title", False)
    if read_title and not settings.use_title:
        raise InputError(READ_IN_VAIN.format("read_title", "use_title"))
    if not posters or any(
        each.image is not None and looks_like_title(each.title) for each in posters
    ):
        raise InputError(_NO_POSTER)
    if len(posters) > MAX_POSTERS:
        raise InputError(f"Send at most {MAX_POSTERS} posters at once.")
    return Asked(posters, settings, read_title)


def _short(name: str | None) -> str:
    return (name or "image")[:255]
