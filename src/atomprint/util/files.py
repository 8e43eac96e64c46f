"""Files that are complete before they get their names."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from atomprint.util.types import PathOrStr


@contextmanager
def written_atomically(path: PathOrStr) -> Iterator[Path]:
    """Give a temporary name beside a file, and rename it when the block ends; remove it if that fails.

    Yields
    ------
    Path
        An empty file to write to, on the same file system.

    Raises
    ------
    IsADirectoryError, FileNotFoundError, PermissionError
        If there can be no such file; an old one is left as it is.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder: give the name of a file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}")
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # as any new file; mkstemp makes private ones
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: PathOrStr, text: str | Iterable[str]) -> None:
    """Write a text file in UTF-8 under a temporary name beside it, and rename it when it is complete.

    Parameters
    ----------
    path : path
        The file, which is replaced if it is there.
    text : str or iterable of str
        What to write, in one piece or in several, which then need not be in memory at once.
    """
    with written_atomically(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines([text] if isinstance(text, str) else text)
