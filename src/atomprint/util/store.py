"""Results that are kept in a folder by what they were made from: what was stopped goes on with the same numbers."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.util import sparse
from atomprint.util.files import written_atomically
from atomprint.util.plain import plain
from atomprint.util.registry import KNOWN, path_of

Kept = dict[str, Any]
"""Arrays, and whatever JSON holds, by name."""

_RECORD = "record"
_LIBRARIES = ("atomprint.", "sklearn.", "xgboost.", "numpy.", "scipy.", "builtins.")


class Store:
    """Results in a folder, each under a digest of all that it depends on.

    Parameters
    ----------
    folder : Path or None
        Where; None keeps nothing.
    salt : object
        What all results depend on, such as versions of packages.
    """

    def __init__(self, folder: Path | None = None, salt: object = "") -> None:
        self.folder = folder
        self._salt = salt
        self._digests: dict[int, tuple[Any, bytes]] = {}

    def result(self, name: str, made_from: tuple[Any, ...], make: Callable[[], Kept]) -> Kept:
        """Return a result that was kept, or make it and keep it.

        Parameters
        ----------
        name : str
            What it is.
        made_from : tuple
            All that it depends on: arrays, estimators, anything that JSON holds.
        make : callable
            Makes it.
        """
        if self.folder is None:
            return make()
        path = self.folder / f"{name}-{self._key(name, made_from)}.npz"
        found = _read(path)
        if found is None:
            found = make()
            self._write(path, found)
        return found

    def _write(self, path: Path, result: Kept) -> None:
        arrays = {name: value for name, value in result.items() if isinstance(value, np.ndarray)}
        record = {name: plain(value) for name, value in result.items() if name not in arrays}
        try:
            with written_atomically(path) as temporary, temporary.open("wb") as file:
                np.savez(file, **{_RECORD: np.array(json.dumps(record))}, **arrays)  # type: ignore[arg-type]
        except OSError:  # a full disk: what is not kept is made again
            pass

    def _key(self, name: str, made_from: tuple[Any, ...]) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for part in (name, self._salt, *made_from):
            digest.update(self._digest(part))
        return digest.hexdigest()

    def _digest(self, part: Any) -> bytes:
        """Return the digest of a part; that of a large one is found once."""
        if not (isinstance(part, np.ndarray) or sparse.issparse(part) or is_dataclass(part)):
            return digest_of(part)
        known = self._digests.get(id(part))
        if known is None:
            known = self._digests[id(part)] = (part, digest_of(part))  # the part too: its id stays its own
        return known[1]


def digest_of(part: Any) -> bytes:
    """Return a digest of arrays, estimators, and what JSON holds, by their content."""
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(part, np.ndarray) and part.dtype != object:
        digest.update(f"{part.dtype.str} {part.shape} ".encode())
        digest.update(np.ascontiguousarray(part).data)
    elif sparse.issparse(part):
        for array in (part.tocsr().data, part.tocsr().indices, part.tocsr().indptr, np.array(part.shape)):
            digest.update(digest_of(np.asarray(array)))
    elif hasattr(part, "get_params") and not isinstance(part, type):
        digest.update(_class(type(part)))
        for name, value in sorted(part.get_params(deep=False).items()):
            digest.update(name.encode() + b"=" + digest_of(value))
    elif is_dataclass(part) and not isinstance(part, type):
        digest.update(b"".join(digest_of(getattr(part, item.name)) for item in fields(part)))
    elif hasattr(part, "numbers") and hasattr(part, "positions"):  # ase.Atoms
        arrays = (part.numbers, part.positions, np.asarray(part.cell), np.asarray(part.pbc))
        digest.update(b"".join(map(digest_of, arrays)))
    elif isinstance(part, Mapping):
        for key in part:
            digest.update(repr(key).encode() + b":" + digest_of(part[key]))
    elif isinstance(part, list | tuple) or (isinstance(part, np.ndarray) and part.dtype == object):
        digest.update(f"{len(part)} ".encode())
        for item in part:
            digest.update(digest_of(item))
    else:
        digest.update(f"{type(part).__name__} {json.dumps(plain(part))}".encode())
    return digest.digest()


def _class(cls: type[Any]) -> bytes:
    """Return what tells a class from others: name, version of its numbers, or its text if it is no library's."""
    path = path_of(cls)
    text = "".join(f"{known.version}{dict(known.versions) or ''}" for known in KNOWN.values() if known.cls is cls)
    if not path.startswith(_LIBRARIES):
        try:
            text = Path(inspect.getfile(cls)).read_text(encoding="utf-8")
        except (OSError, TypeError, ValueError):
            text = repr(cls)
    return f"{path} {text}".encode()


def _read(path: Path) -> Kept | None:
    """Return what was kept in a file; None if there is none, or it is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found: dict[str, npt.NDArray[Any]] = {name: arrays[name] for name in arrays.files}
        record: Kept = json.loads(found.pop(_RECORD).item())
    except Exception:  # of a file that was damaged: it is made again
        return None
    return {**record, **found}


NOTHING_KEPT = Store()
