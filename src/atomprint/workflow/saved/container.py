"""The file of a saved model: a ZIP archive whose members are checked, written whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atomprint.util.files import written_atomically
from atomprint.util.text import in_words
from atomprint.util.types import PathOrStr

FORMAT = "atomprint model"
FORMAT_VERSION = 1
CARD = "card.json"
MODEL_FILE = "model.atomprint"
"""Its name among the files of a training run."""

_MAX_CARD = 2**26  # bytes: a card is text for people, and its size is checked before anything else is known
# What a file may say that its members hold: real models are 2 to 20 times larger than their files.
_ALWAYS, _TIMES = 2**28, 100
_COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others may ask for much memory before they give a byte
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same bytes, whenever they are written


class ModelFileError(ValueError):
    """A file that is not a saved model, is damaged, or holds what must not be loaded."""


def find_model(path: PathOrStr) -> Path:
    """Return the file of a model, given itself or the folder of its run.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    found = Path(path)
    if found.is_dir():
        found = found / MODEL_FILE
    if not found.is_file():
        why = "" if found.parent.is_dir() and found.name == MODEL_FILE else " (no such file or folder)"
        if (found.parent / "potential.npz").is_file():
            why = " (there is a potential, which atomprint potential takes)"
        raise FileNotFoundError(f"no model at {found}{why}: train one, or say where it is")
    return found


def name_of(model: Path) -> str:
    """Return what to call the model in a file: after the file, or after the folder of its run."""
    return model.resolve().parent.name if model.name == MODEL_FILE else model.stem


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
    text = (json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(errors="backslashreplace")
    if len(text) > _MAX_CARD:
        raise ValueError(f"{CARD} must have at most {_MAX_CARD} bytes, got {len(text)}: use fewer features")
    whole = {CARD: text, **members}
    data = _archive(whole, text, zipfile.ZIP_DEFLATED)
    if sum(map(len, whole.values())) > most_bytes(len(data)):  # such as many zeros: it would look like a bomb
        data = _archive(whole, text, zipfile.ZIP_STORED)
    with written_atomically(path) as temporary:
        temporary.write_bytes(data)


def _archive(members: Mapping[str, bytes], text: bytes, compression: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, date_time=_EPOCH)
            info.external_attr = 0o644 << 16
            info.create_system = 3  # the same on every system
            archive.writestr(info, data, compress_type=compression, compresslevel=6)
        archive.comment = f"sha256 {CARD} {_sha256(text)}".encode()
    return buffer.getvalue()


def most_bytes(n: int) -> int:
    """Return how much an archive of ``n`` bytes may hold: what claims more is a bomb, and is not unpacked."""
    return _ALWAYS + _TIMES * n


def check_archive(archive: zipfile.ZipFile, n: int, what: str) -> dict[str, zipfile.ZipInfo]:
    """Return the members of an archive by name, before any of them is unpacked.

    Parameters
    ----------
    archive : ZipFile
        The archive.
    n : int
        Its size in bytes.
    what : str
        What it is, for messages.

    Raises
    ------
    ModelFileError
        If two members have one name, one is packed in a rare way, or they claim to hold too much.
    """
    infos = {info.filename: info for info in archive.infolist()}
    if len(infos) != len(archive.infolist()):
        raise ModelFileError(f"{what} is damaged or was changed: two of its members have one name")
    for name, info in infos.items():
        if info.compress_type not in _COMPRESSION or info.flag_bits & 1:
            raise ModelFileError(f"{what} is damaged or was changed: {name!r} is packed in a way that is not used")
    total = sum(info.file_size for info in infos.values())
    if total > most_bytes(n):
        raise ModelFileError(f"{what} claims to hold {total} bytes in a file of {n} bytes, and was not unpacked")
    return infos


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
        raise FileNotFoundError(f"no such file: {str(path)!r}")
    with open(path, "rb") as file:
        start = file.read(4)
    if start != b"PK\x03\x04":
        raise ModelFileError(f"{str(path)!r} is not a saved model: not a ZIP archive")
    damaged = f"{str(path)!r} is damaged"
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path)
    except ModelFileError:
        raise
    except zipfile.BadZipFile as error:
        raise ModelFileError(f"{damaged} or truncated: {error}") from error
    except PermissionError:
        raise
    except Exception as error:  # zipfile raises whatever it meets
        raise ModelFileError(f"{damaged}: {describe(error)}") from error


def _read(archive: zipfile.ZipFile, path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    infos = check_archive(archive, path.stat().st_size, repr(str(path)))
    foreign = f"{str(path)!r} is not a saved model"
    if CARD not in infos:
        other = " (atomprint potential takes potentials)" if "header.npy" in infos else ""
        raise ModelFileError(f"{foreign}: it has no {CARD}{other}")
    if infos[CARD].file_size > _MAX_CARD:
        raise ModelFileError(f"{foreign}: its {CARD} is larger than {_MAX_CARD} bytes")
    text = archive.read(CARD)
    try:
        card = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{foreign}: its {CARD} is not JSON: {error}") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise ModelFileError(f"{foreign}: its {CARD} does not say {FORMAT!r}")
    version = card.get("format_version")
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise ModelFileError(
            f"{str(path)!r} has format version {version!r}, this atomprint reads up to {FORMAT_VERSION}: "
            "update atomprint"
        )
    if archive.comment != f"sha256 {CARD} {_sha256(text)}".encode():
        raise ModelFileError(f"{str(path)!r} is damaged or was changed: the checksum of {CARD} is wrong")
    listed = card.get("members")
    if not isinstance(listed, dict) or CARD in listed or {CARD, *listed} != set(infos):
        raise ModelFileError(f"{str(path)!r} is damaged or was changed: its members are not those that its card lists")
    members = {}
    for name, known in listed.items():
        if not isinstance(known, dict) or infos[name].file_size != known.get("bytes"):
            raise ModelFileError(f"{str(path)!r} is damaged or was changed: the size of {name} is wrong")
        members[name] = archive.read(name)
        if _sha256(members[name]) != known.get("sha256"):
            raise ModelFileError(f"{str(path)!r} is damaged or was changed: the checksum of {name} is wrong")
    return card, members


def describe(error: BaseException) -> str:
    """Return in words why something in a file cannot be used."""
    return str(error) if isinstance(error, ModelFileError) else in_words(error, "it does not fit together")


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
