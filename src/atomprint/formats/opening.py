"""Open files that may be compressed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, cast

from atomprint.util.types import PathOrStr

_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}

BROKEN = (UnicodeDecodeError, EOFError, OSError, lzma.LZMAError, zlib.error)
"""What reading raises where a file is no text, is cut off, or its compressed data are wrong."""


def plain_name(name: str) -> str:
    """Return the name of a file without the ending of its compression."""
    stem, dot, ending = name.rpartition(".")
    return stem if dot + ending.lower() in (".gz", ".bz2", ".xz") else name


def open_binary(path: PathOrStr) -> IO[bytes]:
    """Open a file to read its bytes, decompressed if its first bytes say gzip, bzip2 or xz."""
    with open(path, "rb") as file:
        start = file.read(6)
    opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), open)
    return cast(IO[bytes], opener(path, "rb"))


def open_text(path: Path) -> IO[str]:
    """Open a file to read its text (UTF-8, with or without a mark of byte order); see :func:`open_binary`."""
    return TextIOWrapper(open_binary(path), encoding="utf-8-sig", newline="")


def decode(data: bytes) -> str:
    """Return bytes as text: UTF-8, or Latin-1, in which the authors of many a CIF have their names."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def read_text(path: Path) -> str:
    """Return the whole text of a file of structures; see :func:`open_binary` and :func:`decode`.

    Raises
    ------
    ValueError
        If its compressed data are broken.
    """
    try:
        with open_binary(path) as file:
            return decode(file.read())
    except BROKEN as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error
