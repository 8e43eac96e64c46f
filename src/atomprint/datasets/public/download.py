"""Downloads that go on where they broke off."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from atomprint.util.progress import Progress, silent
from atomprint.util.types import PathOrStr

_CONNECT_SECONDS, _SILENCE_SECONDS = 10.0, 60.0
_CHUNK = 1 << 16


class Downloader:
    """A downloader for pooch that keeps what came before a connection broke, and asks only for the rest.

    Parameters
    ----------
    part : Path
        Where the beginning of a file is kept.
    keep : bool
        Whether to keep it at all: only the hash of the whole file can tell whether two parts belong together.
    progress : Progress
        Told the number of bytes.

    Notes
    -----
    pooch gives each download a temporary file of its own. Whoever renames the part to that name owns it, so that two
    processes never write to one file: the second one finds no part, and starts anew.
    """

    def __init__(self, part: Path, keep: bool, progress: Progress = silent) -> None:
        self.part, self.keep, self.progress = part, keep, progress
        self.resumed = False

    def __call__(self, url: str, output_file: PathOrStr, pooch: Any = None) -> None:
        """Download a file; called by pooch."""
        own = Path(output_file)
        if self.keep and self.part.exists():
            with suppress(FileNotFoundError):  # another process was faster
                os.replace(self.part, own)
        try:
            self._download(url, own)
        except BaseException:  # Ctrl-C too
            if self.keep and own.exists() and own.stat().st_size:
                os.replace(own, self.part)
            raise

    def _download(self, url: str, own: Path) -> None:
        import requests

        done = own.stat().st_size
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={done}-"} if done else {})}
        with (
            requests.get(url, headers=headers, stream=True, timeout=(_CONNECT_SECONDS, _SILENCE_SECONDS)) as response,
            own.open("r+b") as file,
        ):
            self.resumed = response.status_code == 206
            if response.status_code == 416:  # there is no rest: what there is is all, or of another file
                if response.headers.get("Content-Range") != f"bytes */{done}":
                    file.truncate(0)
                    raise requests.ConnectionError("the server has less than an earlier download gave")
                self.resumed = True
                return
            response.raise_for_status()
            if not self.keep and response.headers.get("Content-Type", "").startswith("text/html"):
                # No hash would tell that this is the page of a portal that wants a login, or a notice.
                raise requests.ConnectionError("the server sent a web page instead of the file")
            if self.resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
                raise requests.ConnectionError(f"asked for bytes from {done}, got {response.headers['Content-Range']}")
            if not self.resumed:
                done = 0
            length = response.headers.get("Content-Length", "")
            encoded = response.headers.get("Content-Encoding", "identity") != "identity"
            total = done + int(length) if length.isdigit() and not encoded else None
            file.truncate(done)
            file.seek(done)
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                self.progress(f"download {self.part.stem}", done, total)
            if total is not None and done != total:
                raise requests.ConnectionError(f"the connection broke after {done} of {total} bytes")
