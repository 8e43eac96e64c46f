"""Routes of predictions, of models, and of how the service is."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

import atomprint
from atomprint.service import bodies
from atomprint.service.desk import Desk
from atomprint.service.forms import read_request
from atomprint.service.metrics import CONTENT_TYPE
from atomprint.service.openapi import body_of, problems
from atomprint.service.predicting import chosen, failures_of, predict, shown
from atomprint.service.problems import Problem, json_response
from atomprint.service.reading import read_sent
from atomprint.service.shelf import Served
from atomprint.service.work import Ticket


def prediction_routes(desk: Desk) -> APIRouter:
    """Return the routes that predict."""
    router = APIRouter(prefix="/v1")

    @router.post(
        "/predict",
        summary="Predict properties of structures or formulas",
        response_model=bodies.PredictResponse,
        responses=problems(400, 401, 415, 422, 429, 504),
        openapi_extra=body_of(bodies.PredictRequest, upload=True),
    )
    async def _predict(request: Request) -> Response:
        state = request.state
        models = desk.shelf.models  # those of this moment, whatever is loaded meanwhile

        def work(ticket: Ticket) -> Response:
            kind = request.headers.get("content-type", "")
            asked, sent = read_request(bodies.PredictRequest, state.body, kind, desk.limits)
            served = chosen(models, asked.models)
            found = read_sent(sent, desk.limits, ticket)
            state.models, state.structures = [one.name for one in served], len(found)
            if asked.explain and len(found) * len(served) > desk.limits.explained:
                raise Problem(
                    413,
                    f"explain is for {desk.limits.explained} predictions, this request asks for "
                    f"{len(found) * len(served)}",
                )
            failures = failures_of(found)
            if len(failures) == len(found):
                raise Problem(422, _why(failures), failures=failures)
            said = [predict(found, one, ticket, explain=asked.explain) for one in served]
            if not any(row["value"] is not None for one in said for row in one["rows"]):
                failures = [*failures, *(failure for one in said for failure in one["failures"])]
                raise Problem(422, _why(failures), failures=failures)
            _count(desk, said, len(found), len(failures))
            return json_response(
                {
                    "request_id": state.request_id,
                    "structures": shown(found, whole=asked.include_structures),
                    "failures": failures,
                    "models": said,
                }
            )

        return await desk.work(request, work)

    return router


def _why(failures: list[dict[str, Any]]) -> str:
    first = failures[0]["reason"]
    return first if len(failures) == 1 else f"none of the structures can be predicted; the first: {first}"


def _count(desk: Desk, said: list[dict[str, Any]], n: int, n_failed: int) -> None:
    desk.metrics.structures.labels("read").inc(n - n_failed)
    desk.metrics.structures.labels("failed").inc(n_failed)
    for one in said:
        inside = sum(row["in_domain"] for row in one["rows"])
        failed = sum(row["value"] is None for row in one["rows"])
        counts = {"inside": inside, "outside": len(one["rows"]) - inside - failed, "failed": failed}
        for domain, count in counts.items():
            desk.metrics.predictions.labels(one["model"], domain).inc(count)


def model_routes(desk: Desk) -> APIRouter:
    """Return the routes that tell of models."""
    router = APIRouter(prefix="/v1")

    @router.get("/models", summary="All models", response_model=bodies.ModelList, responses=problems(401))
    async def _models() -> Response:
        return json_response({"models": [_in_short(served) for served in desk.shelf.models.values()]})

    @router.get(
        "/models/{name}",
        summary="All that is known of a model",
        response_model=dict[str, Any],
        responses=problems(401, 404),
    )
    async def _model(name: str) -> Response:
        served = desk.shelf.models.get(name)
        if served is None:
            raise Problem(404, f"there is no model of this name: there are {', '.join(desk.shelf.models)}")
        return json_response({"name": served.name, "loaded": served.loaded, **served.model.info()})

    return router


def _in_short(served: Served) -> dict[str, Any]:
    info = served.model.info()
    keys = ("target", "title", "unit", "kind", "level", "inputs", "classes", "n_features", "training", "interval")
    return {
        "name": served.name,
        "loaded": served.loaded,
        "elements": info["domain"]["elements"],
        **{key: info[key] for key in keys},
    }


def health_routes(desk: Desk) -> APIRouter:
    """Return the routes that tell how the service is."""
    router = APIRouter()

    @router.get("/health/live", summary="Whether the service runs", response_model=bodies.Live, responses=problems())
    async def _live() -> Response:
        return json_response({"live": True, "version": atomprint.__version__})

    @router.get(
        "/health/ready",
        summary="Whether it takes requests",
        response_model=bodies.Ready,
        responses={
            **problems(),
            503: {"model": bodies.Ready, "description": "All threads are busy with what is late."},
        },
    )
    async def _ready() -> Response:
        ready = not desk.workers.stuck
        return json_response(
            {
                "ready": ready,
                "models": list(desk.shelf.models),
                "store": desk.known is not None,
                "refused": dict(desk.shelf.refused),
                "running": desk.workers.running,
                "waiting": desk.workers.waiting,
            },
            200 if ready else 503,
        )

    @router.get(
        "/metrics",
        summary="Counters for Prometheus",
        responses={**problems(401), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        response_class=Response,
    )
    async def _metrics() -> Response:
        return Response(desk.metrics.text(), media_type=CONTENT_TYPE)

    return router
