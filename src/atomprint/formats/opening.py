"""Open files that may be compressed."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import os
import zlib
from io import BufferedReader, BytesIO, RawIOBase, TextIOWrapper
from pathlib import Path
from typing import IO, Any

from atomprint.util.types import PathOrStr

_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}

BROKEN = (UnicodeDecodeError, EOFError, OSError, lzma.LZMAError, zlib.error)
"""What reading raises where a file is no text, is cut off, or its compressed data are wrong."""


_MOST_TIMES = 300
LARGEST = 1 << 30
"""Bytes that a file of structures may have, decompressed: declared sizes are not believed, and cost no memory."""


def plain_name(name: str) -> str:
    """Return the name of a file without the ending of its compression."""
    stem, dot, ending = name.rpartition(".")
    return stem if dot + ending.lower() in (".gz", ".bz2", ".xz") else name


def open_binary(path: PathOrStr) -> IO[bytes]:
    """Open a file to read its bytes, decompressed if its first bytes say gzip, bzip2 or xz."""
    with open(path, "rb") as file:
        start = file.read(6)
    opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
    if opener is None:
        return open(path, "rb")
    return BufferedReader(_Decompressed(opener(path, "rb"), os.path.getsize(path)), 1 << 16)


class _Decompressed(RawIOBase):
    """Decompressed bytes of a file, which are no more than data can be: a bomb is not read into memory."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.most = file, max(LARGEST, _MOST_TIMES * size)
        self.left = self.most

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        if (offset, whence) == (0, 0):
            self.left = self.most
        return self.file.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        data = self.file.read(len(buffer))
        self.left -= len(data)
        if self.left < 0:
            raise OSError(f"it holds more than {_MOST_TIMES} times the bytes that it has")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self.file.close()
        super().close()


def open_text(path: Path) -> IO[str]:
    """Open a file to read its text; see :func:`open_binary`.

    It is UTF-8, or what a mark of byte order says. Bytes that are no UTF-8 are Windows-1252, in which spreadsheets
    write their tables and the authors of many a CIF their names.
    """
    with open_binary(path) as file:
        encoding = _encoding(file.read(4))
    return TextIOWrapper(open_binary(path), encoding=encoding, errors=_WINDOWS, newline="")


def decode(data: bytes) -> str:
    """Return bytes as text; see :func:`open_text`."""
    return data.decode(_encoding(data[:4]), errors=_WINDOWS)


def _encoding(start: bytes) -> str:
    if start in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        return "utf-32"
    return "utf-16" if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _windows(error: UnicodeError) -> tuple[str, int]:
    """Return bytes that are no UTF-8 as what they are in Windows-1252."""
    if not isinstance(error, UnicodeDecodeError) or not error.encoding.startswith("utf-8"):
        raise error
    return error.object[error.start : error.end].decode("cp1252", errors="replace"), error.end


_WINDOWS = "atomprint-windows"
codecs.register_error(_WINDOWS, _windows)


def decompressed(data: bytes, largest: int) -> bytes:
    """Return bytes, decompressed if the first of them say gzip, bzip2 or xz.

    Raises
    ------
    ValueError
        If the compressed data are broken, or more than ``largest``.
    """
    opener = next((opener for magic, opener in _OPENERS.items() if data.startswith(magic)), None)
    if opener is None:
        return data
    try:
        with opener(BytesIO(data)) as file:
            found: bytes = file.read(largest + 1)
    except BROKEN as error:
        raise ValueError(f"the compressed data are broken: {error}") from error
    if len(found) > largest:
        raise ValueError(f"it has more than the {largest} bytes that are read")
    return found


def read_text(path: Path) -> str:
    """Return the whole text of a file of structures; see :func:`open_binary` and :func:`decode`.

    Raises
    ------
    ValueError
        If its compressed data are broken, or it is larger than 1 GiB.
    """
    try:
        with open_binary(path) as file:
            content = file.read(LARGEST + 1)
    except BROKEN as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    if len(content) > LARGEST:
        raise ValueError(f"{path.name} has more than the {LARGEST} bytes that are read of a file of structures")
    return decode(content)
