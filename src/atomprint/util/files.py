"""Files and folders that are complete before they get their names."""

from __future__ import annotations

import ctypes
import errno
import gzip
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

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
    temporary = _made_beside(path)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # as any new file; mkstemp makes private ones
        sync(temporary)
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.strerror:
            raise _about(error, path) from error
        raise


def check_writable(path: PathOrStr) -> None:
    """Raise if a file cannot be written or appended to, before the work whose results it is for.

    Raises
    ------
    IsADirectoryError, FileNotFoundError, PermissionError
        If there can be no such file.
    """
    path = Path(path)
    _made_beside(path).unlink()
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _made_beside(path: Path) -> Path:
    """Return an empty file of a temporary name in the folder of another, which may be there or not."""
    if path.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder: give the name of a file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}")
    try:
        handle, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise _about(error, path) from error
    os.close(handle)
    return Path(name)


def _about(error: OSError, path: Path) -> OSError:
    """Return an error of the system that names the file which was to be written, not a temporary one."""
    return type(error)(error.errno, error.strerror, str(path))


def sync(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk."""
    with suppress(OSError) if path.is_dir() else nullcontext():  # some systems cannot do that for folders
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_atomically(path: PathOrStr, text: str | Iterable[str]) -> None:
    """Write a text file in UTF-8 under a temporary name beside it, and rename it when it is complete.

    Parameters
    ----------
    path : path
        The file, which is replaced if it is there.
    text : str or iterable of str
        What to write, in one piece or in several, which then need not be in memory at once.
    """
    with (
        written_atomically(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file,
    ):
        file.writelines([text] if isinstance(text, str) else text)


def _text_file(path: Path) -> TextIO:
    # Names of files may hold bytes that are no text, which no file in UTF-8 can hold.
    return path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")


@contextmanager
def text_file(path: Path, *, packed: bool) -> Iterator[TextIO]:
    """Open a file to write text in UTF-8, as it is or packed by gzip: the same text makes the same bytes."""
    with path.open("wb") as raw, ExitStack() as stack:
        below: Any = raw
        if packed:  # without name and time
            below = stack.enter_context(gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0))
        yield stack.enter_context(TextIOWrapper(below, encoding="utf-8", newline=""))


def write_together(folder: Path, texts: Mapping[str, Callable[[], str | Iterable[str]]]) -> dict[str, Path]:
    """Write text files to a folder, all of them before the first gets its name.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    texts : mapping of str to callable
        What to write, by names of files.

    Returns
    -------
    dict of str to Path
        The files by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for name, text in texts.items():
            temporary = stack.enter_context(written_atomically(folder / name))
            with _text_file(temporary) as file:
                made = text()
                file.writelines([made] if isinstance(made, str) else made)
    return {name: folder / name for name in texts}


class WholeFolder:
    """A folder that is put in place as a whole, when all in it is written.

    Within a ``with`` block nobody else can write the same folder. What is written goes to a hidden folder beside it,
    ``.NAME.partial``, which takes the place of the folder in one step: whoever looks, and whatever fails or is killed,
    finds the old folder or the new one, never parts of both. What was put under ``kept`` outlives a failure, so that
    another attempt can go on from there.

    Parameters
    ----------
    folder : path
        The folder; it and those above it are made.
    force : bool
        Whether an old folder may be replaced.
    own : sequence of str
        Names of the files that are replaced with it: others in an old folder are somebody else's, and stay in it. So
        are these where the first of them is missing, and then nothing is replaced.

    Raises
    ------
    FileExistsError
        If there is something in the folder and not ``force``, files with names of ``own`` that are somebody else's, or
        it is a file.
    BlockingIOError
        If somebody else writes it at the moment.
    """

    def __init__(self, folder: PathOrStr, *, force: bool = False, own: Sequence[str] = ()) -> None:
        self.folder = Path(folder)
        self.force = force
        self.own = tuple(own)
        where = self.folder.resolve()  # of a link the folder that it leads to
        self.work = where / ".partial" if _fixed(where) else where.parent / f".{where.name}.partial"
        self.kept = self.work / "kept"
        self._made: list[Path] = []
        self._lock: int | None = None
        self._depth = 0

    def __enter__(self) -> Self:
        """Take the folder for oneself; a second time within is nothing more."""
        self._depth += 1
        if self._depth > 1:
            return self
        self._check()
        self._made = [path for path in self.work.parents if not path.exists()]
        try:
            self.work.parent.mkdir(parents=True, exist_ok=True)
            self._lock = locked(self.work)
            self._restore()
            self._check()
            self.kept.mkdir(exist_ok=True)
        except BaseException:
            self._depth = 0
            self._leave()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._depth -= 1
        if self._depth:
            return
        if self._lock is not None and (kind is None or not any(self.kept.glob("*"))):
            shutil.rmtree(self.work, ignore_errors=True)
        self._leave()

    def _leave(self) -> None:
        if self._lock is not None:
            os.close(self._lock)  # and so no lock any more, as when the process is killed
            self._lock = None
        with suppress(OSError):  # a folder with something in it stays, and those above it
            for path in self._made:
                path.rmdir()

    def _check(self) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise FileExistsError(f"{str(self.folder)!r} is a file: give the name of a folder")
        others = (path for path in self.folder.iterdir() if path.name != self.work.name) if self.folder.is_dir() else ()
        if not self.force and any(True for _ in others):
            raise FileExistsError(
                f"{str(self.folder)!r} is there already, with something in it: give another folder (--output), or "
                "replace it (--force)"
            )
        taken = [name for name in self.own if os.path.lexists(self.folder / name)]
        if taken and taken[0] != self.own[0]:
            raise FileExistsError(
                f"{str(self.folder)!r} has a file {taken[0]}, but no {self.own[0]}: that is not from "
                "atomprint, and is not replaced; give another folder (--output), or move it away"
            )

    def _restore(self) -> None:
        """Put an old folder back, where a kill came between its going and the coming of the new one."""
        old, where = self.work / "old", self.folder.resolve()
        if old.is_dir() and not where.exists():
            old.replace(where)

    def write(self, writer: Callable[[Path], object]) -> Path:
        """Have all files written, and put them in place.

        Parameters
        ----------
        writer : callable
            Is given an empty folder to write to.

        Returns
        -------
        Path
            Where the files are: the folder, or one with a number where somebody else has put something there since.
        """
        new = self.work / "new"
        with suppress(FileNotFoundError):
            shutil.rmtree(new)
        new.mkdir(parents=True)  # also where somebody has taken the folder away
        try:
            writer(new)
            folder = self.folder
            with suppress(FileExistsError):
                self._check()
                return _put(new, folder, self.own)
            number = 2
            while (folder := self.folder.with_name(f"{self.folder.absolute().name}-{number}")).exists():
                number += 1
            return _put(new, folder, self.own)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def _put(new: Path, folder: Path, own: Collection[str]) -> Path:
    """Put a folder in the place of another in one step."""
    where = folder.resolve()
    for path in new.rglob("*"):
        sync(path)
    if _fixed(where):
        names = {path.name for path in new.iterdir()}
        for name in sorted(names):
            (new / name).replace(where / name)
        for name in {*own} - names:
            (where / name).unlink(missing_ok=True)
        return folder
    if where.is_dir():
        for other in where.iterdir():
            if other.name not in own:
                _copy(other, new / other.name)
    sync(new)
    if not where.is_dir() or not any(where.iterdir()):
        new.replace(where)
    elif not _exchanged(new, where):
        old = new.with_name("old")
        where.replace(old)
        new.replace(where)
        shutil.rmtree(old, ignore_errors=True)
    sync(where.parent)
    return folder


def _fixed(folder: Path) -> bool:
    """Return whether no other folder can take the place of one: a disk of its own, or where we are."""
    here = Path.cwd()
    return folder.is_mount() or folder == here or folder in here.parents


def _copy(source: Path, target: Path) -> None:
    """Have a file or folder in a second place, too."""
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, target, symlinks=True, copy_function=_link)
    else:
        _link(source, target)


def _link(source: PathOrStr, target: PathOrStr) -> None:
    # The very file: whoever writes to it goes on writing to it, and it may be of any kind and size.
    try:
        os.link(source, target, follow_symlinks=False)
    except (OSError, NotImplementedError):  # file systems without links, systems that link to what a link leads to
        shutil.copy2(source, target, follow_symlinks=False)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders in one step, if the system can."""
    with suppress(Exception):  # where there is no such function, or a file system that cannot
        library = ctypes.CDLL(None, use_errno=True)
        paths = os.fsencode(one), os.fsencode(other)
        if sys.platform == "darwin":
            return bool(library.renamex_np(*paths, 2) == 0)
        here = -100  # AT_FDCWD
        return bool(library.renameat2(here, paths[0], here, paths[1], 2) == 0)
    return False


def locked(folder: Path) -> int:
    """Return an open file in a folder that is made, which nobody else can have at the same time.

    Raises
    ------
    BlockingIOError
        If somebody else has it. What a process had that was killed, nobody has.
    """
    while True:
        folder.mkdir(exist_ok=True)
        try:
            handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # taken away by one that has just come to its end
            continue
        try:
            _lock(handle)
            if os.path.samestat(os.fstat(handle), os.stat(folder / "lock")):
                return handle
        except FileNotFoundError:
            pass
        except OSError as error:
            os.close(handle)
            name = folder.name.removeprefix(".").removesuffix(".partial")
            raise BlockingIOError(
                f"somebody else is writing {str(folder.with_name(name))!r} at the moment: wait until that is done, or "
                "give another folder (--output)"
            ) from error
        os.close(handle)


def unlocked(handle: int) -> None:
    """Give back what :func:`locked` has returned."""
    os.close(handle)


def _lock(handle: int) -> None:
    """Lock an open file, or raise ``OSError`` if somebody else has; the lock ends with the process."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
