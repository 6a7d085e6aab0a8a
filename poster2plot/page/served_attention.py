"""Where the model looked, by HTTP: it takes as long as a few tokens, and few ask for it."""

from typing import Any
from weakref import WeakValueDictionary

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from poster2plot.images.releasable_picture import ReleasablePicture
from poster2plot.page import cached_resources
from poster2plot.page.made_once import MadeOnce
from poster2plot.page.session_state import WrittenPlots

# Of all visits, by token. A poster is as large as it came, so it is kept no longer than its card.
_plots: WeakValueDictionary[str, WrittenPlots] = WeakValueDictionary()
_posters: WeakValueDictionary[str, ReleasablePicture] = WeakValueDictionary()
_NOT_KEPT = {"Cache-Control": "no-store"}


def address_of_attention(plots: WrittenPlots, poster: ReleasablePicture) -> str:
    """Where the attention of these plots is, relative to the page, while the visit has the poster.

    Nobody can guess it.
    """
    _plots[plots.token], _posters[plots.token] = plots, poster
    return f"attention/{plots.token}.json"


def routes(root_path: str = "") -> list[BaseRoute]:
    """`GET /attention/{token}.json` under a path as "/posters", or 404 for posters not kept.

    Of each plot a list of its words' weights, row by row of the `grid`, 255 where they are largest.
    """
    return [Route(f"{root_path}/attention/{{token}}.json", _answer, methods=["GET"])]


def _answer(request: Request) -> Response:
    token = request.path_params["token"]
    plots, poster = _plots.get(token), _posters.get(token)
    if plots is None or poster is None:
        return PlainTextResponse("No visit keeps this poster.", 404, _NOT_KEPT)
    return JSONResponse(_levels(plots), headers=_NOT_KEPT)


def _look(plots: WrittenPlots) -> dict[str, Any]:
    p2p, poster = cached_resources.desk().p2p, _posters[plots.token]
    grid: tuple[int, ...] = (1, 1)
    looked: list[list[list[int]]] = []
    image = poster.image
    poster.release()
    for candidate in plots.candidates:
        levels = []
        for each in p2p.attention(image, candidate):
            grid = tuple(each.weights.shape)
            largest = each.weights.max().clamp(min=1e-9)
            levels.append((each.weights / largest * 255).round().int().flatten().tolist())
        looked.append(levels)
    return {"grid": grid, "plots": looked}


_levels = MadeOnce(_look, most=256)
