"""The cards to share by HTTP, so that a tap has its picture whatever the page's script is doing.

Streamlit hands something to a component only with a run of the script, which may put another
component in the place of the one that asked.
"""

from weakref import WeakValueDictionary

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from poster2plot.page.made_once import MadeOnce
from poster2plot.page.session_state import WrittenPlots
from poster2plot.page.share_card import plot_card

_plots: WeakValueDictionary[str, WrittenPlots] = WeakValueDictionary()  # of all visits, by token
_NOT_KEPT = {"Cache-Control": "no-store"}


def address_of_card(plots: WrittenPlots) -> str:
    """Where the card of these plots is, relative to the page, while the visit keeps them.

    Nobody can guess it.
    """
    _plots[plots.token] = plots
    return f"cards/{plots.token}.png"


def routes(root_path: str = "") -> list[BaseRoute]:
    """`GET /cards/{token}.png` under a path as "/posters": a PNG, or 404 for plots not kept."""
    return [Route(f"{root_path}/cards/{{token}}.png", _answer, methods=["GET"])]


def _answer(request: Request) -> Response:
    plots = _plots.get(request.path_params["token"])
    if plots is None:
        return PlainTextResponse("No visit keeps this plot.", 404, _NOT_KEPT)
    return Response(_card(plots), headers=_NOT_KEPT, media_type="image/png")


_card = MadeOnce(lambda plots: plot_card(plots.picture, plots.record), most=64)  # some 20 MB
