"""The page at /docs: Swagger UI over the OpenAPI document, served from here, so that it needs no other host."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from shared.http import Handler, endpoint

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Flamehaven FileSearch</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
START = """SwaggerUIBundle({url: "openapi.json", dom_id: "#page", deepLinking: true, validatorUrl: null});
"""
ASSETS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript", "favicon-32x32.png": "image/png"}


def add_pages(app: FastAPI) -> None:
    """Add the page and what it loads."""
    for path, content, media_type in (("/docs", PAGE, "text/html"), ("/docs/start.js", START, "text/javascript")):
        app.add_api_route(path, _page(content.encode(), media_type), methods=["GET"], include_in_schema=False)
    for name, media_type in ASSETS.items():
        app.add_api_route(f"/docs/{name}", _asset(name, media_type), methods=["GET"], include_in_schema=False)


def _page(content: bytes, media_type: str) -> Handler:
    @endpoint
    async def page(request: Request) -> Response:
        return Response(content, media_type=media_type)

    return page


def _asset(name: str, media_type: str) -> Handler:
    @endpoint
    async def asset(request: Request) -> Response:
        return Response(_content(name), media_type=media_type, headers={"Cache-Control": "public, max-age=86400"})

    return asset


@lru_cache(maxsize=len(ASSETS))
def _content(name: str) -> bytes:
    return resources.files("fastapi_swagger").joinpath("resources", name).read_bytes()
