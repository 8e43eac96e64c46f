"""The file of a saved model: a ZIP archive whose members are checked, written whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atomprint.util.files import written_atomically

FORMAT = "atomprint model"
FORMAT_VERSION = 1
CARD = "card.json"

_MAX_CARD = 2**28  # bytes: a card is text for people, and its size is checked before anything else is known
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same bytes, whenever they are written


class ModelFileError(ValueError):
    """A file that is not a saved model, is damaged, or holds what must not be loaded."""


def write_container(path: Path, card: Mapping[str, Any], members: Mapping[str, bytes]) -> None:
    """Write a model file: to a temporary name in the same folder, then renamed.

    Parameters
    ----------
    path : Path
        Where to; an old file is replaced when the new one is complete.
    card : mapping
        What people want to know, in types of JSON. Format, checksums and sizes are added.
    members : mapping of str to bytes
        The other members.

    Raises
    ------
    OSError
        If the folder does not exist or cannot be written to; an old file is left as it is.
    """
    listed = {name: {"bytes": len(data), "sha256": _sha256(data)} for name, data in members.items()}
    whole = {"format": FORMAT, "format_version": FORMAT_VERSION, **card, "members": listed}
    text = (json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in {CARD: text, **members}.items():
            info = zipfile.ZipInfo(name, date_time=_EPOCH)
            info.external_attr = 0o644 << 16
            info.create_system = 3  # the same on every system
            archive.writestr(info, data, compress_type=zipfile.ZIP_DEFLATED, compresslevel=6)
        archive.comment = f"sha256 {CARD} {_sha256(text)}".encode()
    with written_atomically(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read_container(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Read a model file and check format, version, sizes and checksums.

    Returns
    -------
    card : dict
        What was written, with format, version and checksums.
    members : dict of str to bytes
        The other members.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is no such file.
    ModelFileError
        If it is not a model file, is damaged, or was written by a newer version.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder, not a saved model")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    with open(path, "rb") as file:
        start = file.read(4)
    if start != b"PK\x03\x04":
        raise ModelFileError(f"{str(path)!r} is not a saved model: not a ZIP archive")
    damaged = f"{str(path)!r} is damaged"
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path)
    except zipfile.BadZipFile as error:
        raise ModelFileError(f"{damaged} or truncated: {error}") from error
    except (zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError, OSError) as error:
        raise ModelFileError(f"{damaged}: {error}") from error


def _read(archive: zipfile.ZipFile, path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    infos = {info.filename: info for info in archive.infolist()}
    foreign = f"{str(path)!r} is not a saved model"
    if CARD not in infos:
        raise ModelFileError(f"{foreign}: it has no {CARD}")
    if infos[CARD].file_size > _MAX_CARD:
        raise ModelFileError(f"{foreign}: its {CARD} is larger than {_MAX_CARD} bytes")
    text = archive.read(CARD)
    try:
        card = json.loads(text)
    except ValueError as error:
        raise ModelFileError(f"{foreign}: its {CARD} is not JSON: {error}") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise ModelFileError(f"{foreign}: its {CARD} does not say {FORMAT!r}")
    version = card.get("format_version")
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise ModelFileError(
            f"{str(path)!r} has format version {version!r}, this atomprint reads up to {FORMAT_VERSION}: "
            "update atomprint"
        )
    if archive.comment != f"sha256 {CARD} {_sha256(text)}".encode():
        raise ModelFileError(f"{str(path)!r} is damaged or was changed: the checksum of {CARD} is wrong")
    listed = card.get("members")
    if not isinstance(listed, dict) or {CARD, *listed} != set(infos) or len(archive.infolist()) != len(infos):
        raise ModelFileError(f"{str(path)!r} is damaged or was changed: its members are not those that its card lists")
    members = {}
    for name, known in listed.items():
        if not isinstance(known, dict) or infos[name].file_size != known.get("bytes"):
            raise ModelFileError(f"{str(path)!r} is damaged or was changed: the size of {name} is wrong")
        members[name] = archive.read(name)
        if _sha256(members[name]) != known.get("sha256"):
            raise ModelFileError(f"{str(path)!r} is damaged or was changed: the checksum of {name} is wrong")
    return card, members


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
