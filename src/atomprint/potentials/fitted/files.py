"""One file for a fitted potential: plain numbers, words and arrays, with a checksum, and nothing that could be run."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.potentials.terms.term import State
from atomprint.util.npz import read_npz, write_npz
from atomprint.util.parameters import CheckedParameters
from atomprint.util.registry import KNOWN, import_class, path_of, version_of
from atomprint.util.types import PathOrStr

FORMAT = 1
"""Version of the layout of files; those of later ones are refused."""

_KIND = "atomprint potential"
_ARRAY = "array"  # the only key of a dict that stands for an array
_PAIRS = "pairs"  # the only key of one that stands for a dict whose keys are not all words
_OBJECT = {"object", "version", "parameters"}  # the keys of one that stands for an object that is made of these
_DTYPES = ("bool", "int32", "int64", "uint8", "float32", "float64")


def write_state(path: PathOrStr, state: State) -> str:
    """Write a state to a file that gets its name when it is complete, and return its checksum.

    Raises
    ------
    TypeError
        If something in it is no plain number, word or array.
    OSError
        If the file cannot be written.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    head = {"kind": _KIND, "format": FORMAT, "state": _plain(state, arrays, "state")}
    head["arrays"] = {name: array.dtype.name for name, array in arrays.items()}
    text = json.dumps(head, sort_keys=True).encode()
    checksum = _checksum(text, arrays)
    own = {"header": np.frombuffer(text, dtype=np.uint8), "checksum": np.frombuffer(checksum.encode(), dtype=np.uint8)}
    write_npz(path, own | arrays)
    return checksum


def read_state(path: PathOrStr, classes: Classes) -> tuple[State, str]:
    """Return what :func:`write_state` has written, and its checksum.

    Parameters
    ----------
    path : path
        The file.
    classes : Classes
        Those that it may name.

    Raises
    ------
    FileNotFoundError, PermissionError
        If there is no such file, or it may not be read.
    ValueError
        If it is no such file, is damaged, or is of a later version.
    """
    name = str(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = {*archive.namelist()}
        if "card.json" in names:
            raise ValueError(f"{name!r} is a model of a workflow and no potential: atomprint info and predict take it")
        if not {"header.npy", "checksum.npy"} <= names:
            raise ValueError(f"{name!r} is no potential of atomprint")
    own = read_npz(path, {"header": np.uint8, "checksum": np.uint8}, mmap=False)
    text, checksum = own["header"].tobytes(), own["checksum"].tobytes().decode("ascii", errors="replace")
    try:
        head = json.loads(text)
        if not isinstance(head, dict) or head.get("kind") != _KIND:
            raise ValueError("it is no potential of atomprint")
        version = head["format"]
        if isinstance(version, int) and version > FORMAT:
            raise ValueError(
                f"it was written by a later version of atomprint (format {version}, this one reads up to {FORMAT}): "
                "install that"
            )
        dtypes = {str(key): str(value) for key, value in head["arrays"].items()}
        if unknown := {*dtypes.values()} - {*_DTYPES}:
            raise ValueError(f"arrays of {', '.join(sorted(unknown))} are not known")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{name!r} cannot be read as a potential: {error}") from error
    arrays = read_npz(path, dtypes, mmap=False)
    if _checksum(text, arrays) != checksum:
        raise ValueError(f"{name!r} is damaged: what is in it does not fit its checksum")
    try:
        state = _filled(head["state"], arrays, classes)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{name!r} cannot be read as a potential: {error}") from error
    return state, checksum


def _checksum(text: bytes, arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    found = hashlib.sha256(text)
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"{name} {array.dtype.name} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def _plain(value: Any, arrays: dict[str, npt.NDArray[Any]], where: str) -> Any:
    """Return what JSON can hold; arrays are put aside, and numbers of NumPy become Python's."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return _plain(value.item(), arrays, where)
    if isinstance(value, np.ndarray):
        if value.dtype.name not in _DTYPES:
            raise TypeError(f"{where} must be an array of {', '.join(_DTYPES)}, got {value.dtype}")
        name = f"a{len(arrays)}"
        arrays[name] = np.ascontiguousarray(value).reshape(value.shape)
        return {_ARRAY: name}
    if isinstance(value, Mapping):
        if {*value} in ({_ARRAY}, {_PAIRS}):
            raise TypeError(f"{where} must not have {next(iter(value))!r} as its only key")
        if not all(isinstance(key, str) for key in value):  # such as numbers of elements, or pairs of these
            return {_PAIRS: [_plain([key, inner], arrays, f"{where}[{key!r}]") for key, inner in value.items()]}
        return {key: _plain(inner, arrays, f"{where}[{key!r}]") for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, arrays, f"{where}[{k}]") for k, inner in enumerate(value)]
    if isinstance(value, CheckedParameters):
        parameters = {key: _plain(inner, arrays, key) for key, inner in value.get_params(deep=False).items()}
        return {"object": _name_of(type(value)), "version": version_of(type(value)), "parameters": parameters}
    raise TypeError(f"{where} cannot be written to a file: it is a {type(value).__name__}")


def _name_of(cls: type[Any]) -> str:
    """Return the name by which files know a class: its public one, or the import path of one that is not ours."""
    public = next((name for name, known in KNOWN.items() if known.cls is cls), None)
    if public is None and ("<locals>" in cls.__qualname__ or cls.__module__ == "__main__"):
        raise TypeError(
            f"{cls.__name__} cannot be written to a file: who reads it cannot import it, unless it is in a module"
        )
    return path_of(cls) if public is None else public


def tagged(made: Any) -> State:
    """Return the state of something with ``state()``, and what it is."""
    return {"class": _name_of(type(made)), "version": version_of(type(made)), "state": made.state()}


def untagged(state: State, classes: Classes) -> Any:
    """Return what :func:`tagged` was given."""
    return classes.find(state["class"], state["version"], "from_state").from_state(state["state"])


class Classes:
    """The classes that a file may name.

    Parameters
    ----------
    public : callable
        Returns whether a public name is one of this package's, and imports its class.
    trusted : collection of str
        Import paths of classes that are not, whose code may be run.
    """

    def __init__(self, public: Callable[[str], bool], trusted: Collection[str] = ()) -> None:
        self._public, self._trusted = public, trusted

    def find(self, name: str, version: Any, method: str) -> Any:
        """Return the class with a name, which must have made the same numbers, and has a method."""
        if name not in KNOWN and not self._public(name):
            if name in self._trusted:
                return import_class("the class", name, (method,))
            if "." in name:
                raise ValueError(
                    f"it holds a class of another package, {name!r}, whose code is run when it is loaded: "
                    "name it in trusted (--trust) if you know it"
                )
            raise ValueError(f"there is no {name!r} in this version of atomprint")
        known = KNOWN[name]
        if version != known.version:
            raise ValueError(
                f"{name!r} makes other numbers than when the file was written (its version is {known.version}, not "
                f"{version}): fit it again"
            )
        return known.cls


def _filled(value: Any, arrays: Mapping[str, npt.NDArray[Any]], classes: Classes) -> Any:
    if isinstance(value, dict):
        if {*value} == {_ARRAY}:
            return arrays[value[_ARRAY]]
        if {*value} == {_PAIRS}:
            pairs = _filled(value[_PAIRS], arrays, classes)
            return {tuple(key) if isinstance(key, list) else key: inner for key, inner in pairs}
        if {*value} == _OBJECT:
            cls = classes.find(value["object"], value["version"], "get_params")
            if not issubclass(cls, CheckedParameters):
                raise ValueError(f"{value['object']!r} is not made of parameters")
            return cls(**{key: _filled(inner, arrays, classes) for key, inner in value["parameters"].items()})
        return {key: _filled(inner, arrays, classes) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, arrays, classes) for inner in value]
    return value
