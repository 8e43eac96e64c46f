"""The page of a service and the files that it needs, all from this machine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources

from fastapi import APIRouter, Request
from starlette.responses import Response

from atomprint.service.problems import Problem

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "txt": "text/plain"}
INDEX = "index.html"


@dataclass(frozen=True, eq=False)
class _File:
    content: bytes
    kind: str
    tag: str


def page_routes() -> APIRouter:
    """Return the routes of the page; its files are read once."""
    router = APIRouter(include_in_schema=False)
    files = {
        item.name: _file(item.read_bytes(), item.name.rpartition(".")[2])
        for item in resources.files("atomprint.service").joinpath("static").iterdir()
    }

    @router.get("/")
    async def _page(request: Request) -> Response:
        return _answer(files[INDEX], request)

    @router.get("/static/{name}")
    async def _static(name: str, request: Request) -> Response:
        if name not in files:
            raise Problem(404, "there is nothing at this address")
        return _answer(files[name], request)

    return router


def _file(content: bytes, ending: str) -> _File:
    return _File(content, f"{_TYPES[ending]}; charset=utf-8", f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _answer(file: _File, request: Request) -> Response:
    headers = {"ETag": file.tag, "Cache-Control": "no-cache"}  # kept by the browser, which asks whether it is the same
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.kind)
