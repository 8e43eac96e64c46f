"""The whole service as an application of ASGI."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

import atomprint
from atomprint.service import bodies
from atomprint.service.data_routes import descriptor_routes, store_routes
from atomprint.service.desk import Desk
from atomprint.service.guard import Guard
from atomprint.service.known import Known
from atomprint.service.metrics import Metrics
from atomprint.service.openapi import describe
from atomprint.service.page import page_routes
from atomprint.service.problems import Problem
from atomprint.service.routes import health_routes, model_routes, prediction_routes
from atomprint.service.settings import Settings
from atomprint.service.shelf import Shelf
from atomprint.service.warm import warm
from atomprint.service.work import Workers
from atomprint.util.types import PathOrStr

_log = logging.getLogger("atomprint.service")


def create_app(
    models: Mapping[str, Path],
    settings: Settings | None = None,
    *,
    store: PathOrStr | None = None,
    trusted: Iterable[str] = (),
) -> FastAPI:
    """Return the service as an application of ASGI, with its models loaded and tried out.

    Parameters
    ----------
    models : mapping of str to Path
        Files of models that :func:`~atomprint.workflow.train` saved, by the names that requests call them.
    settings : Settings, optional
        Limits, token, and by what names the service may be called.
    store : path, optional
        Folder of a store of known materials, to find similar ones.
    trusted : iterable of str
        Types of other packages that models may hold, see :func:`~atomprint.workflow.load_model`.

    Returns
    -------
    fastapi.FastAPI

    Raises
    ------
    ModelFileError, FileNotFoundError, ImportError, ValueError
        If a model or the store cannot be opened.
    """
    settings = settings or Settings()
    metrics, limits = Metrics(), settings.limits
    known = None if store is None else Known(Path(store))
    desk = Desk(Shelf(models, trusted), limits, Workers(limits.workers, limits.queue), metrics, known)
    warm(desk)
    metrics.watch("workers_busy", "Threads that work.", lambda: desk.workers.running)
    metrics.watch("requests_waiting", "Requests that wait for a thread.", lambda: desk.workers.waiting)
    metrics.watch("models_loaded_anew", "How often a model was exchanged.", lambda: desk.shelf.n_reloads)
    metrics.watch("models_refused", "Files of models that could not be loaded.", lambda: len(desk.shelf.refused))
    app = FastAPI(
        title="atomprint",
        version=atomprint.__version__,
        description="Predictions of saved models for atomic structures and formulas.",
        docs_url=None,  # these pages load from other servers
        redoc_url=None,
        lifespan=_lifespan(desk, settings),
    )
    app.state.desk = desk
    for routes in (prediction_routes, descriptor_routes, store_routes, model_routes, health_routes):
        app.include_router(routes(desk))
    app.include_router(page_routes())
    kinds = (bodies.PredictRequest, bodies.DescribeRequest, bodies.SimilarRequest)
    describe(app, *kinds, token=bool(settings.token))
    app.add_exception_handler(Problem, _answer)
    app.add_exception_handler(HTTPException, _answer)
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    return app


async def _answer(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        detail = {404: "there is nothing at this address", 405: "this address does not take this method"}
        error = Problem(
            error.status_code, detail.get(error.status_code, str(error.detail)), headers=dict(error.headers or {})
        )
    assert isinstance(error, Problem)
    request.state.refused = error.reason if error.status in (408, 413, 429, 503, 504) else ""
    return error.response(request.state.request_id)


def _lifespan(desk: Desk, settings: Settings) -> Any:
    """Return what a service does from its start to its end: look for new models, and wait for its threads."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        loop, tasks = asyncio.get_running_loop(), set()

        async def reload(*, all_of_them: bool) -> None:
            with suppress(RuntimeError):  # of a loop that is closed already
                await loop.run_in_executor(None, lambda: desk.shelf.reload(all_of_them=all_of_them))
                if desk.known is not None:
                    await loop.run_in_executor(None, desk.known.reload if all_of_them else desk.known.look)

        async def watch() -> None:
            while True:
                await asyncio.sleep(settings.watch)
                await reload(all_of_them=False)

        def asked() -> None:
            task = loop.create_task(reload(all_of_them=True))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        watcher = loop.create_task(watch()) if settings.watch else None
        hangup: int | None = getattr(signal, "SIGHUP", None)  # not on Windows
        if threading.current_thread() is not threading.main_thread():
            hangup = None
        if hangup is not None:
            loop.add_signal_handler(hangup, asked)
        try:
            yield
        finally:
            if watcher is not None:
                watcher.cancel()
            if hangup is not None:
                loop.remove_signal_handler(hangup)
            await loop.run_in_executor(None, desk.workers.close)

    return life
