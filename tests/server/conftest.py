"""A running API, and poster services that know one title."""

from collections.abc import Iterator

import pytest

from poster2plot import Poster2Plot
from poster2plot.server.http_access import Access
from poster2plot.server.http_api import routes
from poster2plot.server.rate_limits import Limits
from poster2plot.server.service import PlotService
from support.api_server import serve_routes
from support.drawn_posters import draw_poster, encode
from support.poster_server import (
    ID,
    MOVIE,
    PICTURE,
    Answer,
    PosterServer,
    catalogue,
    cinemeta,
    metas,
    serve_posters,
)

MANY = 100_000
PICTURE_URL = "https://image.tmdb.org/t/p/w500/poster.jpg"


@pytest.fixture(autouse=True)
def no_access(monkeypatch: pytest.MonkeyPatch) -> None:
    """No API key or origin of the developer's takes part in a test."""
    monkeypatch.delenv("POSTER2PLOT_API_KEYS", raising=False)
    monkeypatch.delenv("POSTER2PLOT_CORS_ORIGINS", raising=False)


@pytest.fixture(scope="package")
def services() -> Iterator[PosterServer]:
    with serve_posters() as server:
        server.answers = {
            MOVIE: cinemeta(server, description="A thief."),
            PICTURE: Answer(encode(draw_poster("darkred"), "JPEG")),
            catalogue("movie", "inception"): metas(
                {"id": ID, "name": "Inception", "releaseInfo": "2010", "poster": PICTURE_URL},
                {"id": "tt7321322", "name": "Inception: The Cobol Job", "releaseInfo": "2010"},
            ),
            catalogue("movie", "the sea"): metas(
                *({"id": each, "name": "The Sea"} for each in ("tt2040537", "tt0271383"))
            ),
        }
        yield server


@pytest.fixture(scope="package")
def service(tiny: Poster2Plot) -> PlotService:
    return PlotService(tiny, Limits(plots=MANY, pictures=MANY, megapixels=MANY))


@pytest.fixture(scope="package")
def root(service: PlotService, services: PosterServer) -> Iterator[str]:
    """The URL of a running API."""
    api = routes(lambda: service, services.finder, access=Access(), limits=Limits(requests=MANY))
    with serve_routes(api) as url:
        yield url


@pytest.fixture(scope="package")
def address(root: str) -> str:
    return f"{root}/api/plot"
