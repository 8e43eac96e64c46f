"""What every request goes through: a name, who may ask, a body in time, headers, counters, one line of a log."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import traceback
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any

from atomprint.service.metrics import Metrics
from atomprint.service.problems import Problem
from atomprint.service.settings import Settings

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]

_log = logging.getLogger("atomprint.service")
_access = logging.getLogger("atomprint.access")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CLOSED = ("/v1/", "/metrics")

_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        b"form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    ),
)


class Guard:
    """Middleware around the whole service.

    Parameters
    ----------
    app : ASGI application
        What answers.
    settings : Settings
        Limits, token and names of this machine.
    metrics : Metrics
        Where requests are counted.
    """

    def __init__(self, app: Any, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._held = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:
        """Answer a request; what is no request of HTTP is handed on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Exchange(self, scope, receive, send).run()

    def admit(self, scope: MutableMapping[str, Any], headers: MutableMapping[bytes, bytes]) -> None:
        """Raise unless the request may be asked, as far as its head tells."""
        settings = self._settings
        host = headers.get(b"host", b"").decode("latin-1").rpartition(":")
        name = (host[0] if host[1] and host[2].isdecimal() else "".join(host)).lower()
        if settings.hosts and name not in settings.hosts:
            raise Problem(421, "this service is not known by the name in the header Host")
        if settings.token and scope["path"].startswith(_CLOSED):
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, b"Bearer " + settings.token.encode()):
                raise Problem(401, "show the token as Authorization: Bearer …", headers={"WWW-Authenticate": "Bearer"})
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:19]) > settings.limits.body:
            raise _too_large(settings.limits.body)

    async def body(self, receive: _Receive, exchange: _Exchange) -> bytes:
        """Return the body of a request, of which no more is held than all may hold together."""
        limits = self._settings.limits
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(limits.receiving):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Problem(408, "the client went away before its request was here", reason="client_gone")
                    part = message.get("body", b"")
                    exchange.held += len(part)
                    self._held += len(part)
                    parts.append(part)
                    if exchange.held > limits.body:
                        raise _too_large(limits.body)
                    if self._held > limits.held:
                        raise Problem(
                            503, "the bodies of other requests fill the memory for them", retry_after=2, reason="memory"
                        )
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise Problem(408, f"the request did not arrive within {limits.receiving:g} s") from None

    def release(self, n: int) -> None:
        """Forget the body of a request."""
        self._held -= n


class _Exchange:
    """One request and its answer."""

    def __init__(self, guard: Guard, scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:
        self._guard, self._scope, self._receive, self._send = guard, scope, receive, send
        self._headers = {name.lower(): value for name, value in scope["headers"]}
        given = self._headers.get(b"x-request-id", b"").decode("latin-1")
        self.id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        self.gone = asyncio.Event()
        self.held = 0
        self._status, self._sent, self._body = 0, 0, b""
        self._given = False

    async def run(self) -> None:
        """Answer, whatever happens."""
        metrics, started = self._guard._metrics, perf_counter()
        metrics.open.inc()
        state = self._scope.setdefault("state", {})
        state["request_id"], state["gone"], state["refused"] = self.id, self.gone, ""
        watcher = None
        try:
            try:
                self._guard.admit(self._scope, self._headers)
                self._body = await self._guard.body(self._receive, self)
                state["body"] = self._body
                watcher = asyncio.ensure_future(self._watch())
                await self._guard._app(self._scope, self._replayed, self._answer)
            except Problem as problem:
                state["refused"] = problem.reason
                await self._give(problem)
            except Exception as error:  # a fault of this program, told without what the user sent
                frames = traceback.extract_tb(error.__traceback__)
                where = "; ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
                _log.error("request %s: fault: %s at %s", self.id, type(error).__name__, where)
                await self._give(Problem(500, "a fault of this service: its log tells more under the request id"))
        except OSError:
            self.gone.set()
        finally:
            if watcher is not None:
                watcher.cancel()
            self._guard.release(self.held)
            metrics.open.dec()
            self._note(perf_counter() - started, state)

    async def _give(self, problem: Problem) -> None:
        if self._status:  # the answer has begun
            return
        response = problem.response(self.id)
        if not self._body:
            response.headers["Connection"] = "close"  # what was not read is in the way of another request
        await response(self._scope, self._receive, self._answer)

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone.set()

    async def _replayed(self) -> _Message:
        if not self._given:
            self._given = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _answer(self, message: _Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            own = [(b"x-request-id", self.id.encode()), *_HEADERS]
            if self._scope["path"] != "/" and not self._scope["path"].startswith("/static/"):
                own.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*message.get("headers", ()), *own]}
        else:
            self._sent += len(message.get("body", b""))
        await self._send(message)

    def _note(self, seconds: float, state: MutableMapping[str, Any]) -> None:
        """Count the request, and write a line about it that holds nothing of what the user sent."""
        route = getattr(self._scope.get("route"), "path", "none")
        method = self._scope["method"] if self._scope["method"] in _METHODS else "other"
        metrics = self._guard._metrics
        metrics.requests.labels(route, method, str(self._status)).inc()
        metrics.seconds.labels(route).observe(seconds)
        metrics.received.inc(self.held)
        if state["refused"] or self._status == 413:
            metrics.refused.labels(state["refused"] or "content_too_large").inc()
        line = {
            "request": self.id,
            "client": (self._scope.get("client") or ("",))[0],
            "method": method,
            "route": route,
            "status": self._status,
            "ms": round(1e3 * seconds, 2),
            "received": self.held,
            "sent": self._sent,
        }
        if self.gone.is_set():
            line["gone"] = True
        for key in ("models", "structures", "refused"):
            if state.get(key):
                line[key] = state[key]
        _access.info(json.dumps(line))


_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"))


def _too_large(most: int) -> Problem:
    return Problem(413, f"the body of a request may have {most} bytes, this has more")
