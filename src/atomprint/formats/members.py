"""What is in a folder or an archive: every member with its text, or with the reason why it has none."""

from __future__ import annotations

import os
import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import SpooledTemporaryFile
from threading import Lock
from typing import IO, NoReturn
from weakref import finalize

from atomprint.formats.opening import LARGEST, decode, decompressed, read_text

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip")

_LARGEST_OF_ALL = 1 << 33
_IN_MEMORY = 1 << 25  # bytes of contents of an archive; more are kept on the disk meanwhile

Members = dict[str, Callable[[], str]]
"""Texts by names, to be read when asked for; one that cannot be read raises a ValueError that says why."""


def members_of(path: Path, wanted: Callable[[str], bool], *, within: bool = True) -> tuple[Members, list[str]]:
    """Return the members of a folder or an archive whose names are wanted, and the names of all others.

    Links are followed, within an archive only to its own members; nothing is ever unpacked.

    Parameters
    ----------
    path : Path
        A folder, or a tar or zip archive, compressed or not.
    wanted : callable
        Tells by the name of a member, with slashes, whether it is wanted.
    within : bool
        Whether to look into the folders of a folder, too.

    Raises
    ------
    ValueError
        If an archive cannot be read to its end, or holds more than 8 GiB.
    """
    if path.is_dir():
        return _of_folder(path, wanted, within)
    try:
        read = _of_zip if path.suffix.lower() == ".zip" else _of_tar
        return read(path, wanted)
    except _TooMuchError:
        raise
    except Exception as error:  # Python's readers raise whatever they meet, such as TypeError for a broken head of gzip
        reason = "it is damaged" if isinstance(error, LookupError | TypeError | AttributeError) else str(error)
        raise ValueError(f"{path.name} is no archive that can be read to its end: {reason}") from error


def _of_folder(path: Path, wanted: Callable[[str], bool], within: bool) -> tuple[Members, list[str]]:
    members: Members = {}
    others: list[str] = []
    seen: set[str] = set()

    def closed(error: OSError) -> None:
        name = os.path.relpath(str(error.filename), path)
        members[f"{name}/"] = _failing(f"folder {name!r} cannot be opened: {error.strerror}")

    for folder, folders, files in os.walk(path, followlinks=True, onerror=closed):
        real = os.path.realpath(folder)
        if real in seen:  # a link to a folder that was read already, or to one around it
            folders.clear()
            others.append(os.path.relpath(folder, path))
            continue
        seen.add(real)
        folders[:] = sorted(folders) if within else []
        for file in sorted(files):
            place = Path(folder) / file
            name = _printable(place.relative_to(path).as_posix())
            if wanted(name):
                members[name] = _file(place)
            else:
                others.append(name)
    return dict(sorted(members.items())), others


def _file(place: Path) -> Callable[[], str]:
    try:
        mode = place.stat().st_mode
    except OSError as error:
        where = f"to {os.readlink(place)!r} " if place.is_symlink() else ""
        return _failing(f"{place.name} is a link {where}that leads nowhere: {error.strerror}")
    if not stat.S_ISREG(mode):
        return _failing(f"{place.name} is no file")
    return lambda: read_text(place)


class _TooMuchError(ValueError):
    """An archive that holds more than is read."""


class _Spool:
    """Contents that wait in a file without a name until they are asked for; small ones in memory."""

    def __init__(self) -> None:
        self.file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
        finalize(self, self.file.close)
        self.lock = Lock()

    def add(self, content: bytes) -> tuple[int, int]:
        """Return where some content is, from now on."""
        with self.lock:
            start = self.file.seek(0, os.SEEK_END)
            self.file.write(content)
        return start, len(content)

    def read(self, place: tuple[int, int]) -> bytes:
        """Return the content at a place."""
        with self.lock:
            self.file.seek(place[0])
            return self.file.read(place[1])


class _Archive:
    """Contents of an archive while it is read."""

    def __init__(self, path: Path, wanted: Callable[[str], bool]) -> None:
        self.path, self.wanted = path, wanted
        self.spool = _Spool()
        self.contents: dict[str, tuple[int, int]] = {}
        self.members: Members = {}
        self.others: list[str] = []
        self.links: dict[str, str] = {}
        self.total = 0

    def add(self, name: str, open_member: Callable[[], IO[bytes] | None], size: int) -> None:
        """Read a member, or note why not; of two with one name and different contents nobody knows which is meant."""
        if name in self.members and name not in self.contents:
            return  # of which another one has failed
        try:
            if size > LARGEST:
                raise ValueError(f"{name} has {size} bytes, and at most {LARGEST} are read")
            file = open_member()
            content = b"" if file is None else file.read(LARGEST + 1)
            if len(content) > LARGEST:
                raise ValueError(f"{name} has more than the {LARGEST} bytes that are read")
        except (ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            self.fail(name, str(error))
            return
        if name in self.contents and self.spool.read(self.contents[name]) != content:
            self.fail(name, f"{self.path.name} has {name} more than once, with different contents")
            return
        self.total += len(content)
        if self.total > _LARGEST_OF_ALL:
            raise ValueError(
                f"{self.path.name} holds more than {_LARGEST_OF_ALL} bytes: unpack it, and give the folder"
            )
        place = self.contents[name] = self.spool.add(content)
        spool = self.spool
        self.members[name] = lambda: decode(decompressed(spool.read(place), LARGEST))

    def fail(self, name: str, reason: str) -> None:
        """Note a member that cannot be read."""
        self.contents.pop(name, None)
        self.members[name] = _failing(reason)

    def link(self, name: str, target: str) -> None:
        """Note a member that is another one."""
        if name in self.members or self.links.get(name, target) != target:
            self.fail(name, f"{self.path.name} has {name} more than once, with different contents")
        else:
            self.links[name] = target

    def resolve(self, folders: set[str]) -> set[str]:
        """Give links the contents of their targets; return the targets whose contents are not there."""
        missing = set()
        for name in list(self.links):
            target, hops = self.links[name], 0
            while target in self.links and hops < 40:
                target, hops = self.links[target], hops + 1
            if target in self.contents or target in self.members:
                content = self.contents.get(target)
                self.members[name] = self.members[target]
                if content is not None:
                    self.contents[name] = content
                del self.links[name]
            elif target in folders or any(other.startswith(f"{target}/") for other in self.members):
                self.others.append(name)
                del self.links[name]
            else:
                missing.add(target)
        return missing

    def end(self) -> tuple[Members, list[str]]:
        for name, target in self.links.items():
            if self.wanted(name):
                self.fail(name, f"{name} is a link to {target!r}, which is not in {self.path.name}")
            else:
                self.others.append(name)
        return {name: text for name, text in self.members.items() if self.wanted(name)}, self.others


def _of_zip(path: Path, wanted: Callable[[str], bool]) -> tuple[Members, list[str]]:
    found = _Archive(path, wanted)
    with zipfile.ZipFile(path) as archive:
        by_name = {_plain(info.filename): info for info in archive.infolist()}
        folders = {name for name, info in by_name.items() if info.is_dir()}

        def take(info: zipfile.ZipInfo) -> None:
            name = _plain(info.filename)
            if info.flag_bits & 1:
                found.fail(name, f"{name} is encrypted")
            elif stat.S_ISLNK(info.external_attr >> 16):
                found.link(name, _target(name, archive.read(info)[:4096].decode("utf-8", "replace")))
            else:
                found.add(name, lambda: archive.open(info), info.file_size)

        for info in archive.infolist():
            if info.is_dir():
                continue
            name = _plain(info.filename)
            if wanted(name) or stat.S_ISLNK(info.external_attr >> 16):
                take(info)
            else:
                found.others.append(name)
        for target in found.resolve(folders):
            if target in by_name and target not in folders:
                take(by_name[target])
        found.resolve(folders)
    return found.end()


def _of_tar(path: Path, wanted: Callable[[str], bool]) -> tuple[Members, list[str]]:
    found = _Archive(path, wanted)
    folders: set[str] = set()

    def read() -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo, str]]:
        # As a stream, in the order of the archive: compressed archives cannot jump to a member.
        with tarfile.open(path, "r|*") as tar:
            for member in tar:
                yield tar, member, _plain(member.name)

    for tar, member, name in read():
        if member.isdir():
            folders.add(name)
        elif member.issym():
            found.link(name, _target(name, member.linkname))
        elif member.islnk():
            found.link(name, _plain(member.linkname))
        elif not wanted(name):
            found.others.append(name)
        elif not member.isfile():
            found.fail(name, f"{name} is no file")
        else:
            found.add(name, lambda tar=tar, member=member: tar.extractfile(member), member.size)  # type: ignore[misc]
    if missing := found.resolve(folders):
        for tar, member, name in read():  # targets that no one wants by their own names
            if name in missing and member.isfile():
                found.add(name, lambda tar=tar, member=member: tar.extractfile(member), member.size)  # type: ignore[misc]
        found.resolve(folders)
    return found.end()


def _target(name: str, link: str) -> str:
    """Return what a symbolic link of an archive leads to, as a name there."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), _plain(link)))


def _plain(name: str) -> str:
    name = _printable(name.replace("\\", "/"))
    return posixpath.normpath(name) if name else name


def _printable(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _failing(reason: str) -> Callable[[], str]:
    def fail() -> NoReturn:
        raise ValueError(reason)

    return fail
