"""Serve an application by uvicorn: sockets, signals, logs, and clients that are slow with what they have to say."""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from atomprint.service.settings import Limits

_log = logging.getLogger("atomprint.service")
_IDLE = 15  # seconds between two requests of a connection
_LONGEST_HEAD = 32_768
_FORMAT = "%(asctime)s %(name)s %(message)s"


class PatientProtocol(H11Protocol):
    """HTTP/1.1 with an end to patience: a connection on which no request begins is closed."""

    patience = 10.0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        # Head and body of an answer are two writes: without this the second may wait 40 ms for the client's receipt.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait no longer once its head is there, and for the next one as long."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        elif self._timer is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing."""
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._timer = self.loop.call_later(self.patience, self._end)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address.

    Raises
    ------
    OSError
        If the address is taken, or is none of this machine; the message names it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family, backlog=128)
    except OSError as error:
        raise OSError(f"cannot listen on {host}, port {port}: {error.strerror or error}") from error


def serve(
    app: FastAPI, host: str = "127.0.0.1", port: int = 8000, *, announce: Callable[[str], Any] | None = None
) -> None:
    """Serve an application until SIGTERM or SIGINT; requests that are worked on are finished before it ends.

    SIGHUP loads all models anew.

    Parameters
    ----------
    app : FastAPI
        What :func:`create_app` returned.
    host, port : str, int
        Where to listen; port 0 is one that is free.
    announce : callable, optional
        Is given the address, once connections are taken.

    Raises
    ------
    OSError
        If it cannot listen there.
    """
    listening = bound(host, port)
    logs()
    if announce is not None:
        shown = f"[{host}]" if ":" in host else host
        announce(f"http://{shown}:{listening.getsockname()[1]}")
    with listening, _quietly_terminated():
        server_of(app).run(sockets=[listening])


@contextmanager
def _quietly_terminated() -> Iterator[None]:
    """Let SIGTERM, which uvicorn raises again once all is finished, be the end of a service and no failure."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def server_of(app: FastAPI) -> uvicorn.Server:
    """Return what serves an application on a socket, with an end to its patience."""
    limits: Limits = app.state.desk.limits
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=limits.connections,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=math.ceil(limits.seconds) + 5,
        h11_max_incomplete_event_size=_LONGEST_HEAD,
    )
    return uvicorn.Server(config)


def logs() -> None:
    """Send what the service and its server log to the standard error, one line each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_FORMAT))
    for name, level in (
        ("atomprint.service", logging.INFO),
        ("atomprint.access", logging.INFO),
        ("uvicorn", logging.WARNING),
    ):
        logger = logging.getLogger(name)
        logger.handlers[:], logger.propagate = [handler], False
        logger.setLevel(level)
