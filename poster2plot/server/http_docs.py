"""The schema of the HTTP API and its reference page, which asks no other host for anything."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.staticfiles import StaticFiles

from poster2plot.imdb.search import LONGEST_NAME
from poster2plot.server.http_types import PlotBody, PlotForm, PlotsBody, PlotsForm

_POLICY = (
    "default-src 'self'; img-src 'self' data:; script-src 'self' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'"
)
_REFERENCE = "#/components/schemas/{model}"
NAME_PARAMETER = {
    "name": "q",
    "in": "query",
    "required": True,
    "description": "The name of a title, at its end the year if it is known.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME},
    "example": "amelie 2001",
}

_FIRST_ID = "$response.body#/titles/0/title_id"
# What a client does next with the titles that a name may mean, or with the title of a record.
TITLE_LINKS = {
    "PlotOfFirstTitle": {
        "operationId": "plot",
        "requestBody": {"title": _FIRST_ID},
        "description": "One of the titles, by its id.",
    },
    "PlotsOfTitles": {
        "operationId": "plots",
        "requestBody": {"posters": [{"title": _FIRST_ID}]},
        "description": "Several of the titles, by their ids.",
    },
}
RECORD_LINKS = {
    "TitlesOfThatName": {
        "operationId": "titles",
        "parameters": {"q": "$response.body#/title/title"},
        "description": "Which titles the title of a poster may mean.",
    },
}


def body(form: type, json: type, example: dict[str, Any]) -> dict[str, Any]:
    """The `openapi_extra` of a path that takes a form or JSON, of which an example is given."""
    content = {
        "multipart/form-data": {"schema": {"$ref": _REFERENCE.format(model=form.__name__)}},
        "application/json": {
            "schema": {"$ref": _REFERENCE.format(model=json.__name__)},
            "example": example,
        },
    }
    return {"requestBody": {"required": True, "content": content}}


def add_docs(app: FastAPI, *, keys: bool) -> None:
    """Add `/openapi.json` and `/docs` to an app; `keys` says whether plots need a key."""
    schema = _schema(app, keys=keys)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> Response:
        return JSONResponse({**schema, "servers": [{"url": request.scope.get("root_path") or "/"}]})

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        # Addresses relative to the page's own hold under any base path.
        page = get_swagger_ui_html(
            openapi_url="openapi.json",
            title="Poster2Plot API",
            swagger_js_url="docs/assets/swagger-ui-bundle.js",
            swagger_css_url="docs/assets/swagger-ui.css",
            swagger_favicon_url="data:,",
            # Otherwise the page sends the schema's address to a validator on the web.
            swagger_ui_parameters={"validatorUrl": None, "defaultModelsExpandDepth": 0},
        )
        page.headers["Content-Security-Policy"] = _POLICY
        return page

    assets = str(files("fastapi_offline") / "static")
    app.mount("/docs/assets", StaticFiles(directory=assets))


def _schema(app: FastAPI, *, keys: bool) -> dict[str, Any]:
    schema = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    models = [(model, "validation") for model in (PlotForm, PlotBody, PlotsForm, PlotsBody)]
    _, defined = models_json_schema(models, ref_template=_REFERENCE)  # type: ignore[arg-type]
    schema["components"]["schemas"] |= defined["$defs"]
    for form in (PlotForm, PlotsForm):
        properties = schema["components"]["schemas"][form.__name__]["properties"]
        properties |= {name: _without_null(each) for name, each in properties.items()}
    if keys:
        bearer = {"type": "http", "scheme": "bearer"}
        header = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
        schema["components"]["securitySchemes"] = {"bearer": bearer, "key": header}
        for path in schema["paths"].values():
            for operation in path.values():
                if "401" in operation["responses"]:
                    operation["security"] = [{"bearer": []}, {"key": []}]
    return schema


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a form's field, as a form has no null: what is not there is left out."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind.get("type") != "null"]
    if len(kinds) != 1:
        return schema
    rest = {name: each for name, each in schema.items() if name not in ("anyOf", "default")}
    return {**rest, **kinds[0]}
