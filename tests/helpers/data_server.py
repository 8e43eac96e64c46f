"""A small HTTP server that can do everything that goes wrong on the way of a file."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Server:
    """Serves bytes by path, and notes what was asked for.

    ``broken`` says after how many bytes the next connections for a path break, ``ranges`` whether parts can be asked
    for, ``hold_at`` after how many bytes an answer waits until ``go_on`` is set, ``errors`` which status the next
    answers have.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    broken: dict[str, list[int]] = field(default_factory=dict)
    errors: dict[str, list[int]] = field(default_factory=dict)
    ranges: bool = True
    hold_at: int | None = None
    go_on: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def __enter__(self) -> Server:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.go_on.set()
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        name = handler.path.lstrip("/")
        asked = handler.headers.get("Range")
        self.requests.append((name, asked))
        if self.errors.get(name):
            return handler.send_error(self.errors[name].pop(0))
        if name not in self.files:
            return handler.send_error(404)
        content, start = self.files[name], 0
        if asked and self.ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                handler.send_response(416)
                handler.send_header("Content-Range", f"bytes */{len(content)}")
                handler.send_header("Content-Length", "0")
                return handler.end_headers()
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            handler.send_response(200)
        body = content[start:]
        handler.send_header(
            "Content-Type", "text/html" if content.startswith(b"<html>") else "application/octet-stream"
        )
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if self.broken.get(name):
            body = body[: self.broken[name].pop(0)]
        try:
            handler.wfile.write(body[: self.hold_at])
            if self.hold_at is not None:
                self.go_on.wait()
                handler.wfile.write(body[self.hold_at :])
        except OSError:  # the other side is gone
            pass
        return None
