"""The description of a service for programs: what requests hold where routes read their bodies themselves."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from atomprint.service import bodies

_PROBLEMS = {
    400: "The body cannot be read.",
    401: "The token is missing or wrong.",
    404: "There is none of this name.",
    408: "The request did not arrive in time.",
    413: "The body, or what is in it, is more than is taken.",
    415: "The body is of another type.",
    421: "This machine is not known by that name.",
    422: "What is asked for cannot be done.",
    429: "Too many requests wait: try again.",
    500: "A fault of the service.",
    503: "The service is stopping, or full: try again.",
    504: "It took too long.",
}
_EVERYWHERE = (408, 413, 421, 500, 503)


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Return how OpenAPI describes that a route may answer with these problems, and with those that all have."""
    schema = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        code: {
            "description": _PROBLEMS[code],
            "content": schema,
            **(
                {"headers": {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}}
                if code in (429, 503)
                else {}
            ),
        }
        for code in sorted({*codes, *_EVERYWHERE})
    }


def body_of(kind: type[BaseModel], *, upload: bool = False) -> dict[str, Any]:
    """Return how OpenAPI describes the body of a route that reads it itself."""
    content: dict[str, Any] = {
        "application/json": {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}},
    }
    if upload:
        properties: dict[str, Any] = {
            "structures": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "string", "format": "binary"},
                "description": "Files, or formulas.",
            },
            "models": {"type": "array", "items": {"type": "string"}},
            "explain": {"type": "boolean"},
            "include_structures": {"type": "boolean"},
        }
        own = {name: value for name, value in properties.items() if name in kind.model_fields}
        content["multipart/form-data"] = {
            "schema": {"type": "object", "required": ["structures"], "properties": own, "additionalProperties": False}
        }
    return {"requestBody": {"required": True, "content": content}}


def describe(app: FastAPI, *kinds: type[BaseModel], token: bool) -> None:
    """Make the OpenAPI of an app with the schemas of these bodies in it."""

    def made() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            wanted = [(kind, "validation") for kind in (*kinds, bodies.Problem)]
            _, own = models_json_schema(wanted, ref_template="#/components/schemas/{model}")
            parts = schema.setdefault("components", {})
            parts["schemas"] = {**parts.get("schemas", {}), **own["$defs"]}
            if token:
                parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                schema["security"] = [{"token": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = made
