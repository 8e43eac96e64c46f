"""Reading files that may be compressed, archived, truncated or hostile."""

from __future__ import annotations

import gzip
import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from atomprint.util.types import PathOrStr


class DataFileError(OSError):
    """A data file is missing, could not be fetched, or is not what it should be."""


AGAIN = "get it again (if it is in the cache, delete it first)"
"""What to do with a damaged file: it may be a download whose hash nobody knows."""


@contextmanager
def damage_reported(path: PathOrStr) -> Iterator[None]:
    """Turn what readers of compressed files raise at damaged ones into a :class:`DataFileError` that names the file."""
    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        raise DataFileError(f"{path} is truncated or damaged ({error}): {AGAIN}") from error
    except OSError as error:
        if error.errno is None and str(error) == "Invalid data stream":  # all that bz2 says
            raise DataFileError(f"{path} is truncated or damaged ({error}): {AGAIN}") from error
        raise


def archive_files(path: PathOrStr) -> Iterator[tuple[str, IO[bytes]]]:
    """Give name and content of each file in a tar archive (compressed or not) or a zip archive, in its order.

    Nothing is written. Contents must be read before the next one is asked for.

    Raises
    ------
    DataFileError
        If it is no archive, is truncated, or has a member that could be written outside of the folder into which it
        is extracted: an absolute name, one with ``..``, a link or a device.
    """
    with damage_reported(path):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for info in archive.infolist():
                    name = _checked(info.filename, path)
                    if not info.is_dir():
                        with archive.open(info) as content:
                            yield name, content
            return
        with tarfile.open(path, "r|*") as tar:  # a stream: one pass, also over xz
            for member in tar:
                name = _checked(member.name, path)
                if member.isdir():
                    continue
                tar_content = tar.extractfile(member) if member.isreg() else None
                if tar_content is None:
                    raise DataFileError(f"{path}: member {member.name!r} is a link or a device, which data do not need")
                yield name, tar_content


def extract_archive(path: PathOrStr, folder: PathOrStr) -> Path:
    """Write the files of an archive into a new folder; all of them, or nothing.

    Parameters
    ----------
    path : path
        A tar archive (compressed or not) or a zip archive.
    folder : path
        Where its files are to be; must not exist.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileExistsError
        If the folder exists.
    DataFileError
        As :func:`archive_files` does. There is no folder then.
    """
    target = Path(folder)
    if target.exists():
        raise FileExistsError(f"folder must not exist, got {target}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as temporary:
        complete = Path(temporary) / "files"
        complete.mkdir()
        with damage_reported(path):
            for name, content in archive_files(path):
                file = complete / name
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("wb") as out:
                    shutil.copyfileobj(content, out)
        complete.rename(target)
    return target


def _checked(name: str, path: PathOrStr) -> str:
    """Return a member's name, or raise where it leads out of the folder, on any system."""
    posix = PurePosixPath(name.replace("\\", "/"))
    if posix.is_absolute() or ".." in posix.parts or PureWindowsPath(name).drive:
        raise DataFileError(f"{path}: member {name!r} would be written outside of its folder: the archive is not safe")
    return str(posix)
