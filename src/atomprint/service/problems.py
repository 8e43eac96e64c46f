"""What goes wrong with a request, in words, as ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from starlette.responses import Response


class Problem(Exception):  # noqa: N818  # an answer, and no fault of the program
    """An answer that says why there is no other.

    Parameters
    ----------
    status : int
        Of HTTP.
    detail : str
        What is wrong, with rule and value.
    retry_after : float or None
        Seconds after which it may be tried again.
    failures : sequence of mapping
        What is wrong with each of several structures.
    headers : mapping of str to str
        Further headers.
    reason : str
        A word for it, for the counters of refusals; empty where the status says it.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        retry_after: float | None = None,
        failures: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
        reason: str = "",
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.failures = status, detail, failures
        self.headers = dict(headers or {})
        self.reason = reason or HTTPStatus(status).phrase.lower().replace(" ", "_")
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))

    def response(self, request_id: str) -> Response:
        """Return the answer to the request of this name."""
        content: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.failures:
            content["failures"] = list(self.failures)
        return json_response(content, self.status, self.headers, "application/problem+json")


def json_response(
    content: Any,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    media_type: str = "application/json",
) -> Response:
    """Return content as JSON, whatever is in its texts; numbers must be finite."""
    try:
        body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # halves of characters, that JSON can hold but no text
        body = json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
    return Response(body, status, dict(headers or {}), media_type)
