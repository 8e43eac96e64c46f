"""Copies of public data sets on this machine: fetched once, checked, and found again.

Three environment variables are read: ``ATOMPRINT_DATA`` (the folder of the copies), ``ATOMPRINT_MIRRORS`` (addresses
that hold the same files under their names in the cache, separated by blanks or commas, tried after the original), and
``ATOMPRINT_OFFLINE`` (if ``1``, nothing is downloaded).
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from atomprint.datasets.public.archives import DataFileError
from atomprint.datasets.public.download import Downloader
from atomprint.datasets.public.entry import RemoteFile
from atomprint.datasets.public.registry import entry
from atomprint.util.extras import require
from atomprint.util.progress import Progress, silent
from atomprint.util.types import PathOrStr

_ROUNDS = 3
_PAUSE_SECONDS = 1.0


def cache_folder(cache: PathOrStr | None = None) -> Path:
    """Return the folder of the copies: ``cache``, else ``ATOMPRINT_DATA``, else the system's cache of the user."""
    given = cache or os.environ.get("ATOMPRINT_DATA")
    return Path(given).expanduser() if given else Path(_pooch().os_cache("atomprint"))


def fetch(
    name: str,
    *,
    cache: PathOrStr | None = None,
    mirrors: Sequence[str] | None = None,
    offline: bool | None = None,
    progress: Progress = silent,
) -> tuple[Path, ...]:
    """Make sure that the files of a public data set are on this machine.

    Parameters
    ----------
    name : str
        A name of :data:`~atomprint.datasets.REGISTRY`.
    cache : path, optional
        Folder for the copies; by default that of :func:`cache_folder`.
    mirrors : sequence of str, optional
        Addresses to try after the original; by default those in ``ATOMPRINT_MIRRORS``.
    offline : bool, optional
        If true, nothing is downloaded; by default as ``ATOMPRINT_OFFLINE`` says.
    progress : Progress
        Called with what is done, the number of bytes so far, and that of the whole file or None.

    Returns
    -------
    tuple of Path
        The files; empty for a data set that comes with ASE.

    Raises
    ------
    ValueError
        If there is no such data set.
    DataFileError
        If a file is not there and cannot be downloaded, or is not the right one. What came of it is kept, and the next
        try asks for the rest; under the name of the file there is never a part of it.
    """
    return tuple(
        fetch_file(file, cache=cache, mirrors=mirrors, offline=offline, progress=progress) for file in entry(name).files
    )


def fetch_file(
    file: RemoteFile,
    *,
    cache: PathOrStr | None = None,
    mirrors: Sequence[str] | None = None,
    offline: bool | None = None,
    progress: Progress = silent,
) -> Path:
    """Make sure that one file is on this machine; see :func:`fetch`."""
    target = cache_folder(cache) / file.name
    if mirrors is None:
        mirrors = os.environ.get("ATOMPRINT_MIRRORS", "").replace(",", " ").split()
    if offline is None:
        offline = os.environ.get("ATOMPRINT_OFFLINE", "").lower() in ("1", "true", "yes", "on")
    if target.exists():
        found = sha256_of(target) if file.sha256 else None
        if found == file.sha256:
            return target
        if offline:
            raise DataFileError(
                f"{target} is not the file that was published: expected SHA-256 {file.sha256}, found {found}. "
                f"Downloads are off; to use a copy of your own all the same, give its place as path"
            )
    elif offline:
        raise DataFileError(
            f"{file.name} is not in {target.parent}, and downloads are off (offline, or ATOMPRINT_OFFLINE). "
            f"Get it from {file.url} and put it at {target}, or give the place of your copy as path"
        )
    _download(file, target, mirrors, progress)
    return target


def sha256_of(path: PathOrStr) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_file(path: PathOrStr, names: Sequence[str]) -> Path:
    """Return a file that the user has: ``path`` itself, or the first of some names in the folder ``path``."""
    given = Path(path).expanduser()
    if given.is_file():
        return given
    if not given.exists():
        raise DataFileError(f"path: no such file or folder: {given}")
    for name in names:
        if (given / name).exists():
            return given / name
    raise DataFileError(f"path: the folder {given} has none of {', '.join(names)}")


def _download(file: RemoteFile, target: Path, mirrors: Sequence[str], progress: Progress) -> None:
    """Try each address in turn, and those that may yet answer again."""
    pooch = _pooch()
    import requests

    addresses = [file.url, *(f"{mirror.rstrip('/')}/{file.name}" for mirror in mirrors)]
    problems: dict[str, str] = {}
    for attempt in range(_ROUNDS):
        if attempt and addresses:
            time.sleep(attempt * _PAUSE_SECONDS)
        for url in tuple(addresses):
            downloader = Downloader(target.with_name(f"{file.name}.part"), file.sha256 is not None, progress)
            try:
                pooch.retrieve(url, file.sha256, fname=target.name, path=target.parent, downloader=downloader)
            except requests.HTTPError as error:
                problems[url] = str(error)
                status = 0 if error.response is None else error.response.status_code
                if 400 <= status < 500 and status not in (408, 429):
                    addresses.remove(url)  # it will not say anything else
            except requests.RequestException as error:
                problems[url] = str(error)
            except ValueError as error:  # what pooch raises at a wrong hash, and says what it expected and found
                problems[url] = str(error)
                if not downloader.resumed:
                    addresses.remove(url)
            except OSError as error:
                raise DataFileError(f"{file.name} cannot be written to {target.parent}: {error}") from error
            else:
                target.chmod(0o644)  # temporary files are for their owner alone; caches are often shared
                if file.sha256 is None:
                    warnings.warn(
                        f"{file.name} from {url} could not be verified, as no hash of it is published: "
                        f"found SHA-256 {sha256_of(target)}",
                        stacklevel=4,
                    )
                return
    tried = "".join(f"\n  {url}: {problem}" for url, problem in problems.items())
    raise DataFileError(
        f"{file.name} could not be downloaded:{tried}\nGet it from {file.url} by other means and put it at {target}, "
        f"or give the place of your copy as path"
    )


def _pooch() -> ModuleType:
    pooch: ModuleType = require("pooch", "data", "downloading a public data set")
    return pooch
