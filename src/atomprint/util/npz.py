"""Arrays in one file that NumPy reads too, and that can be mapped: an .npz whose members are stored and aligned."""

from __future__ import annotations

import io
import math
import mmap as mapping
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.util.files import written_atomically
from atomprint.util.types import PathOrStr

_ALIGNED = 64  # bytes, a line of the cache
_LOCAL = struct.Struct("<4s22xHH")  # head of a member: signature, lengths of the name and of what follows it


def write_npz(path: PathOrStr, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write C-contiguous arrays to a file that gets its name when it is complete.

    Raises
    ------
    OSError
        If the file cannot be written; an old one is left as it is.
    """
    with (
        written_atomically(path) as temporary,
        temporary.open("wb") as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive,
    ):
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy")  # of 1980, so that the same arrays make the same file
            with archive.open(info, "w", force_zip64=array.nbytes > 2**31 - 2**16) as member:
                described = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False}
                head = str(described | {"shape": array.shape}).encode("latin-1")
                place = file.tell() + 10 + len(head) + 1
                head += b" " * (-place % _ALIGNED) + b"\n"
                member.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head)
                member.write(array.reshape(-1).view(np.uint8).data)


def read_npz(path: PathOrStr, dtypes: Mapping[str, Any], *, mmap: bool) -> dict[str, npt.NDArray[Any]]:
    """Return arrays of a file, read-only.

    Parameters
    ----------
    path : path
        The file.
    dtypes : mapping of str to dtype
        Of each array.
    mmap : bool
        Whether they stay in the file, and are read from there when they are used. What is in them is then not compared
        with its checksum.

    Raises
    ------
    FileNotFoundError, PermissionError, IsADirectoryError
        If there is no such file, or it cannot be read.
    ValueError
        If it is no such file, or is damaged: no member of another form or length than it should have is read.
    """
    with Path(path).open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                infos = {info.filename: info for info in archive.infolist()}
            whole = mapping.mmap(file.fileno(), 0, access=mapping.ACCESS_READ)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{str(path)!r} is no .npz file, or damaged: {error}") from error
        except (ValueError, NotImplementedError, RuntimeError, OSError, struct.error, OverflowError) as error:
            raise ValueError(f"{str(path)!r} is damaged: {error}") from error  # zipfile raises whatever it meets
    arrays = {}
    for name, dtype in dtypes.items():
        try:
            if f"{name}.npy" not in infos:
                raise ValueError(f"there is none among {', '.join(map(repr, sorted(infos)[:10])) or 'no arrays'}")
            array = _array(whole, infos[f"{name}.npy"], np.dtype(dtype), checked=not mmap)
        except ValueError as error:
            raise ValueError(f"{str(path)!r} is damaged, or no such file: array {name!r}: {error}") from error
        if not mmap or not array.flags.aligned:
            array = array.copy()
            array.setflags(write=False)
        arrays[name] = array
    return arrays


def _array(whole: mapping.mmap, info: zipfile.ZipInfo, dtype: np.dtype[Any], *, checked: bool) -> npt.NDArray[Any]:
    """Return an array that lies in a file, or raise ``ValueError`` where it is not as it should be."""
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 0x1 or info.file_size != info.compress_size:
        raise ValueError("it is compressed or encrypted, and must be stored as it is")
    head = whole[info.header_offset : info.header_offset + _LOCAL.size]
    if len(head) < _LOCAL.size or head[:4] != b"PK\x03\x04":
        raise ValueError("it does not begin where the file says")
    start = info.header_offset + _LOCAL.size + sum(_LOCAL.unpack(head)[1:])
    end = start + info.file_size
    if end > len(whole):
        raise ValueError("it ends after the end of the file")
    begin = io.BytesIO(whole[start : min(end, start + 2**16)])
    try:
        version = np.lib.format.read_magic(begin)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran_order, found = read(begin)
    except Exception as error:  # the header is read as Python's text, and there are many ways for it to be none
        raise ValueError("its header cannot be read") from error
    if found != dtype or not found.isnative:
        raise ValueError(f"its type must be {dtype}, got {found}")
    count, first = math.prod(shape), start + begin.tell()
    if min(shape, default=0) < 0 or (fortran_order and len(shape) > 1) or count * dtype.itemsize != end - first:
        raise ValueError(f"shape {shape} does not fit the {end - first} bytes that there are")
    if checked and zlib.crc32(memoryview(whole)[start:end]) != info.CRC:
        raise ValueError("what is in it does not fit its checksum")
    if count == 0:
        return np.empty(shape, dtype=dtype)
    return np.frombuffer(whole, dtype, count, first).reshape(shape)
