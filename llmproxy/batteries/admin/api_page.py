"""`/docs`: the operator's paths, documented on one page without scripts, which works offline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import APIRouter, FastAPI, Response

from llmproxy.batteries.admin.pages import HEADERS

HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>LLMProxy: the operator's API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="dashboard/theme.css"></head><body><main>
<h1>LLMProxy: the operator's API</h1>
<p>The same for programs: <a href="openapi.json">openapi.json</a>.</p>
"""
END = "</main></body></html>\n"


def api_page_routes(app: FastAPI) -> APIRouter:
    """Return the route of the page about an application's other routes."""
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    async def docs() -> Response:
        page = "".join((HEAD, *_operations(app.openapi()), END))
        return Response(page, media_type="text/html; charset=utf-8", headers=HEADERS)

    return router


def _operations(schema: dict[str, Any]) -> Iterator[str]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield f"<section><h2><code>{method.upper()} {escape(path)}</code></h2>\n"
            yield f"<p>{escape(operation.get('description') or operation['summary'])}</p>\n"
            yield from _parameters(operation.get("parameters", []))
            if "requestBody" in operation:
                yield from _content("Body", operation["requestBody"])
            for status, answer in operation["responses"].items():
                yield from _content(f"Answer {status}", answer)
            yield "</section>\n"
    yield "<section><h2>Types</h2>\n"
    for name, described in schema.get("components", {}).get("schemas", {}).items():
        yield f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>\n'
        yield f"<pre>{escape(json.dumps(described, indent=2))}</pre></details>\n"
    yield "</section>\n"


def _parameters(parameters: list[dict[str, Any]]) -> Iterator[str]:
    if parameters:
        yield "<ul>\n"
        for parameter in parameters:
            kind = escape(json.dumps(parameter["schema"]))
            yield f"<li><code>{escape(parameter['name'])}</code> ({parameter['in']}): "
            yield f"<code>{kind}</code></li>\n"
        yield "</ul>\n"


def _content(title: str, described: dict[str, Any]) -> Iterator[str]:
    for kind, content in described.get("content", {}).items():
        schema = content.get("schema", {})
        name = schema.get("$ref", "").rpartition("/")[2]
        if name:
            shown = f'<a href="#{escape(name)}"><code>{escape(name)}</code></a>'
        else:
            shown = f"<code>{escape(json.dumps(schema))}</code>" if schema else ""
        yield f"<p>{title}, <code>{escape(kind)}</code>: {shown}</p>\n"
