"""``atomprint serve``: saved models over HTTP, with a page to try them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from atomprint.cli.console import Trust, console, messages


def serve(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL…", help="Models, or folders of training runs; NAME=FILE names one."),
    ],
    store: Annotated[
        Path | None, typer.Option("--store", help="A store of known materials, to find similar ones.")
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; by default only this machine is answered.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 is one that is free.")] = 8000,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Requests that are worked on at once.")
    ] = None,
    queue: Annotated[int, typer.Option("--queue", min=0, help="Requests that may wait for these.")] = 64,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds for a request.")] = 30.0,
    max_atoms: Annotated[int, typer.Option("--max-atoms", min=1, help="Atoms of a structure.")] = 2000,
    max_structures: Annotated[int, typer.Option("--max-structures", min=1, help="Structures of a request.")] = 1000,
    max_body: Annotated[int, typer.Option("--max-body", min=1, help="MiB of a request.")] = 8,
    trust: Trust = None,
) -> None:
    """Serve saved models over HTTP, with a page to try them; ATOMPRINT_TOKEN is what requests must show."""
    with messages("requests that were worked on were finished"):
        from atomprint.util.extras import require

        for module in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
            require(module, "serve", "atomprint serve")
        from atomprint.service.app import create_app
        from atomprint.service.run import serve as run
        from atomprint.service.settings import TOKEN, Limits, Settings, hosts_of, is_loopback, token_from
        from atomprint.service.shelf import named_paths

        given = {} if workers is None else {"workers": workers}
        limits = Limits(
            queue=queue,
            seconds=timeout,
            atoms=max_atoms,
            structures=max_structures,
            body=max_body * 2**20,
            **given,
        )
        token = token_from(os.environ)
        if not is_loopback(host) and not token:
            console.print(
                f"Anyone who can reach {host} can use these models: {TOKEN} sets a token that requests must show.",
                style="yellow",
                soft_wrap=True,
            )
        settings = Settings(limits=limits, token=token, hosts=hosts_of(host))
        app = create_app(named_paths(models), settings, store=store, trusted=trust or ())
        for served in app.state.desk.shelf.models.values():
            console.print(f"{served.name}: {served.model.card.title}, from {served.path}", soft_wrap=True)
        run(app, host, port, announce=lambda address: console.print(f"Serving on {address} (Ctrl-C stops)"))
