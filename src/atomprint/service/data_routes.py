"""Routes of descriptors and of known materials."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from atomprint.datasets.failures import Failure
from atomprint.service import bodies
from atomprint.service.describing import describe, described_in_words
from atomprint.service.desk import Desk
from atomprint.service.forms import read_request, read_similar
from atomprint.service.known import Known
from atomprint.service.openapi import body_of, problems
from atomprint.service.predicting import failures_of
from atomprint.service.problems import Problem, json_response
from atomprint.service.reading import read_sent
from atomprint.service.work import Ticket


def descriptor_routes(desk: Desk) -> APIRouter:
    """Return the routes that describe structures."""
    router = APIRouter(prefix="/v1")

    @router.get(
        "/descriptors",
        summary="All descriptors, and what their parameters may be",
        response_model=bodies.DescriptorList,
        responses=problems(401),
    )
    async def _descriptors() -> Response:
        return json_response({"descriptors": described_in_words()})

    @router.post(
        "/descriptors/{name}",
        summary="Describe structures or formulas",
        response_model=bodies.DescribeResponse,
        responses=problems(400, 401, 404, 415, 422, 429, 504),
        openapi_extra=body_of(bodies.DescribeRequest),
    )
    async def _describe(name: str, request: Request) -> Response:
        state = request.state

        def work(ticket: Ticket) -> Response:
            kind = request.headers.get("content-type", "")
            asked, sent = read_request(bodies.DescribeRequest, state.body, kind, desk.limits)
            found = read_sent(sent, desk.limits, ticket)
            state.structures = len(found)
            failures = failures_of(found)
            if len(failures) == len(found):
                raise Problem(422, failures[0]["reason"], failures=failures)
            content, others = describe(found, name, asked.parameters, desk.limits, ticket)
            return json_response({"request_id": state.request_id, **content, "failures": [*failures, *others]})

        return await desk.work(request, work)

    return router


def store_routes(desk: Desk) -> APIRouter:
    """Return the routes that tell of known materials."""
    router = APIRouter(prefix="/v1")

    @router.get(
        "/store",
        summary="What is to be known of the store",
        response_model=bodies.StoreCard,
        responses=problems(401, 404),
    )
    async def _store() -> Response:
        return json_response(_known(desk).about())

    @router.post(
        "/similar",
        summary="Known materials that are like a structure",
        response_model=bodies.SimilarResponse,
        responses=problems(400, 401, 404, 415, 422, 429, 504),
        openapi_extra=body_of(bodies.SimilarRequest),
    )
    async def _similar(request: Request) -> Response:
        state, known = request.state, _known(desk)

        def work(ticket: Ticket) -> Response:
            asked, sent = read_similar(state.body, request.headers.get("content-type", ""))
            found = read_sent([sent], desk.limits, ticket)
            if len(found) != 1:
                raise Problem(422, f"one structure is compared with the store, this text has {len(found)}")
            (item,) = found.items
            if isinstance(item, Failure):
                raise Problem(422, item.reason)
            content = known.similar(item, asked.k, asked.where, explain=asked.explain)
            return json_response({"request_id": state.request_id, **content})

        return await desk.work(request, work)

    return router


def _known(desk: Desk) -> Known:
    if desk.known is None:
        raise Problem(404, "no store is served here: atomprint serve --store DIR serves one")
    return desk.known
