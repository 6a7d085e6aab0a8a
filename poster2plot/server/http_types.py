"""The types of the HTTP API, made of `GenerationSettings` and of what a record holds."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    create_model,
)

from poster2plot.imdb.ids import MAX_TEXT
from poster2plot.imdb.poster import Poster
from poster2plot.imdb.services import TitleMatch
from poster2plot.inputs import Title
from poster2plot.settings import RANGES, GenerationSettings

MAX_POSTERS = 8  # of one request
SENTENCE = 300  # characters of an error at most

_TYPES = get_type_hints(GenerationSettings)
SETTINGS = tuple(field.name for field in fields(GenerationSettings))


def _number(value: object) -> object:
    """JSON has no number that is a text or a truth value, which pydantic would take."""
    if isinstance(value, bool | str | bytes):
        raise ValueError("no number")
    return value


def _checked(name: str) -> Any:
    """The type of a setting with its range."""
    if name not in RANGES:
        return StrictBool if _TYPES[name] is bool else StrictBool | Literal["never"]
    low, high = RANGES[name]
    number: Any = int if _TYPES[name] is int else float
    limited = Annotated[
        number,
        Field(ge=number(low), le=number(high), allow_inf_nan=False),
        BeforeValidator(_number),
    ]
    return limited | None if type(None) in getattr(_TYPES[name], "__args__", ()) else limited


def _of_settings(name: str, *, required: bool) -> type[BaseModel]:
    definitions: dict[str, Any] = {
        field.name: (_checked(field.name), ... if required else field.default)
        for field in fields(GenerationSettings)
    }
    text = (GenerationSettings.__doc__ or "").partition("\n\nRaises")[0]
    return create_model(name, __config__=ConfigDict(extra="forbid"), __doc__=text, **definitions)


Settings = _of_settings("Settings", required=False)
UsedSettings = _of_settings("UsedSettings", required=True)
_READ_TITLE = Field(
    False,
    description="Read the title that is printed on a poster, where it is not known otherwise.",
)
Options = create_model(
    "Options",
    __base__=Settings,
    __doc__="How plots are decoded, and whether printed titles are read for them.",
    read_title=(Annotated[StrictBool, _READ_TITLE], False),
)

_IMAGE = Field(
    None,
    description="The picture, in base64, alone or as a data: URL.",
    json_schema_extra={"contentEncoding": "base64"},
)
_FILE: Any = {"type": "string", "format": "binary"}
_TITLE = Field(
    None,
    max_length=MAX_TEXT,
    description="Beside an image its title in words, otherwise an IMDb id, a URL or a name.",
)
_NAME = Field(None, max_length=255, description="What the record calls the image.")


class PosterBody(BaseModel):
    """A poster: an image in base64 and, if it is known, its title; or an IMDb id, URL or name."""

    model_config = ConfigDict(extra="forbid")
    image: Annotated[str | None, _IMAGE] = None
    name: Annotated[str | None, _NAME] = None
    title: Annotated[str | None, _TITLE] = None


PlotBody = create_model(
    "PlotBody",
    __base__=(Options, PosterBody),
    __doc__="A poster and how to decode its plot; what is left out has the default.",
)
PlotsBody = create_model(
    "PlotsBody",
    __base__=Options,
    __doc__="Several posters, and how to decode the plot of each.",
    posters=(Annotated[list[PosterBody], Field(min_length=1, max_length=MAX_POSTERS)], ...),
)
# What is in a form is read in `http_bodies`; these are for the schema alone.
PlotForm = create_model(
    "PlotForm",
    __base__=Options,
    image=(Annotated[str | None, Field(None, json_schema_extra=_FILE)], None),
    title=(Annotated[str | None, _TITLE], None),
)
PlotsForm = create_model(
    "PlotsForm",
    __base__=Options,
    __doc__="Files named image, beside each of which a title may stand in the same order; or IMDb "
    "ids, URLs or names of titles, named title.",
    image=(
        Annotated[list[Annotated[str, Field(json_schema_extra=_FILE)]], Field(max_length=8)],
        [],
    ),
    title=(Annotated[list[Annotated[str, Field(max_length=MAX_TEXT)]], Field(max_length=8)], []),
)


class CandidateRecord(BaseModel):
    """One plot with its score, its log-probability. The first plot is the one that suits best."""

    model_config = ConfigDict(extra="forbid")
    text: str
    score: float


_of_source: Any = get_type_hints(Title)["source"]
_of_poster: dict[str, Any] = {
    name: (kind, Field(default=None))
    for name, kind in get_type_hints(Poster).items()
    if name not in ("image_bytes", "title")
}
TitleRecord: Any = create_model(
    "TitleRecord",
    __config__=ConfigDict(extra="forbid"),
    __doc__="What is known of a poster's title, and whether the plot was written from it.",
    title=(str | None, ...),
    source=(_of_source | None, ...),
    used=(bool, ...),
    confidence=(float, Field(default=None)),  # of a title that was read
    **_of_poster,  # of a poster that was found by IMDb id
)
PlotRecord = create_model(
    "PlotRecord",
    __config__=ConfigDict(extra="forbid"),
    __doc__="A plot with its candidates, best first, and how it came about.",
    source=(str, ...),
    plot=(str, ...),
    title=(TitleRecord | None, ...),
    candidates=(list[CandidateRecord], ...),
    model=(str, ...),
    device=(str, ...),
    settings=(UsedSettings, ...),
    seconds=(float, ...),
)


class Problem(BaseModel):
    """What could not be done, in one sentence."""

    model_config = ConfigDict(extra="forbid")
    error: Annotated[str, Field(max_length=SENTENCE)]


_of_match: dict[str, Any] = {name: (kind, ...) for name, kind in get_type_hints(TitleMatch).items()}
FoundTitle: Any = create_model(
    "FoundTitle",
    __config__=ConfigDict(extra="forbid"),
    __doc__="A title that a name may mean; `poster_url` is the address at the service, if it has "
    "one.",
    **_of_match,
)
FoundTitles = create_model(
    "FoundTitles",
    __config__=ConfigDict(extra="forbid"),
    __doc__="The titles that a name may mean, the likeliest first.",
    titles=(list[FoundTitle], ...),
)
AmbiguousName = create_model(
    "AmbiguousName",
    __base__=(Problem, FoundTitles),
    __doc__="A name that may mean several titles, and which they are.",
)


class PosterProblem(Problem):
    """What could not be done with one of several posters; `status` is what it alone would get.

    Of a name that may mean several `titles` it has them, and of what may be tried again the seconds
    until then, `retry_after`.
    """

    status: int
    retry_after: int | None = None
    titles: list[FoundTitle] = Field(default=[])


PlotRecords = create_model(
    "PlotRecords",
    __config__=ConfigDict(extra="forbid"),
    __doc__="For each poster, in the order they were sent, its record or what is wrong.",
    results=(list[PlotRecord | PosterProblem], ...),  # type: ignore[valid-type]
)


class Health(BaseModel):
    """A model that writes. `notice` is what users should know of how it runs.

    One that takes no titles writes from the poster alone, and none is read for it.
    """

    model_config = ConfigDict(extra="forbid")
    model: str
    device: str
    notice: str | None
    takes_titles: bool
    waiting: int


class Status(BaseModel):
    """A process that is there."""

    model_config = ConfigDict(extra="forbid")
    status: Literal["live", "ready"]


def sentence_about(error: ValidationError) -> str:
    """What is wrong with a request, without a word of it."""
    place = error.errors(include_url=False, include_context=False, include_input=False)[0]["loc"]
    if not place:
        return "The body must be one JSON object."
    name = str(place[0])
    if name == "read_title":
        return "read_title must be true or false."
    if name in SETTINGS:
        return f"{name} must be {_wanted(name)}."
    if name == "title":
        return f"title must be a text of at most {MAX_TEXT} characters."
    if name in ("image", "name"):
        return "image must be a picture in base64, and name a text of at most 255 characters."
    if name == "posters":
        return (
            f"posters must be a list of 1 to {MAX_POSTERS} objects, each with an image in base64 "
            "or an IMDb id, URL or name as title."
        )
    return f"There is a field that is not known; the settings are {', '.join(SETTINGS)}."


def _wanted(name: str) -> str:
    if name == "early_stopping":
        return "true, false or never"
    if name not in RANGES:
        return "true or false"
    low, high = RANGES[name]
    kind = "whole number" if _TYPES[name] is int else "number"
    return f"a {kind} between {low} and {high}"
