"""What a pipeline in a file may consist of, read before anything of it is made.

skops keeps a list of the types that a file may hold, and its versions have had ways around it: a node of one kind with
the content of another, functions by the path of a module that merely imports them, older nodes that check less. So the
file is read here first, by a grammar that knows the nodes of models and no others: no calls, no methods, no functions
but the mathematical ones of NumPy and SciPy. What skops then checks again is a second line.
"""

from __future__ import annotations

import importlib
import io
import json
import zipfile
from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from sklearn._loss._loss import CyHalfSquaredError

from atomprint.workflow.saved.container import ModelFileError, check_archive, describe

SCHEMA = "schema.json"

_MOST_ITEMS = 2**31  # along an axis
_PROTOCOL = 2  # of skops; older ones have nodes that check less
_PRIMITIVES = ("bool", "float", "int", "str")
_CONTAINERS = {
    "DictNode": ("builtins.dict", "collections.OrderedDict", "sklearn.utils._bunch.Bunch"),
    "ListNode": ("builtins.list",),
    "SetNode": ("builtins.set",),
    "TupleNode": ("builtins.tuple",),
    "SliceNode": ("builtins.slice",),
    "DTypeNode": ("numpy.dtype",),
    "MaskedArrayNode": ("numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"),
    "RandomStateNode": ("numpy.random.RandomState", "numpy.random.mtrand.RandomState"),
    "RandomGeneratorNode": ("numpy.random.Generator", "numpy.random._generator.Generator"),
    "SparseMatrixNode": tuple(
        f"scipy.sparse.{place}{kind}_{form}"
        for kind in ("csr", "csc")
        for form in ("array", "matrix")
        for place in ("", f"_{kind}.")
    ),
    "TreeNode": ("sklearn.tree._tree.Tree",),
}
_KEYS = {"__class__", "__module__", "__loader__", "__id__"}
_OF_ROOT = {"protocol", "_skops_version"}
_LOSSES = CyHalfSquaredError.__module__  # "_loss" before scikit-learn 1.9
_UFUNCS = ("numpy", "scipy.special", "scipy.special._ufuncs")
_GENERATORS = ("MT19937", "PCG64")
_STATE = 624  # numbers in the state of MT19937


def check_schema(data: bytes, classes: Collection[str]) -> list[str]:
    """Read an archive of skops, refuse what is no plain model, and return the types that are not known.

    Parameters
    ----------
    data : bytes
        The archive, with classes by the paths of their modules.
    classes : collection of str
        Paths of the classes that it may hold.

    Returns
    -------
    list of str
        Types, functions and kinds of nodes that it may not hold.

    Raises
    ------
    ModelFileError
        If there is anything else wrong with it: keys, members, shapes.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = check_archive(archive, len(data), "the pipeline")
        members = {name: archive.read(name) for name in infos}
    if SCHEMA not in members:
        raise ModelFileError(f"there is no {SCHEMA} in it")
    schema = parse(members.pop(SCHEMA))
    if not isinstance(schema, dict):
        raise ModelFileError(f"its {SCHEMA} is not an object")
    protocol = schema.get("protocol")
    if type(protocol) is not int or protocol < _PROTOCOL:
        raise ModelFileError(f"protocol must be an integer of at least {_PROTOCOL}, got {protocol!r}")
    grammar = _Grammar(frozenset(classes), members)
    grammar.node({key: value for key, value in schema.items() if key not in _OF_ROOT})
    if grammar.unknown:
        return sorted(grammar.unknown)
    unused = sorted(set(members) - grammar.used) or sorted(grammar.extra)
    if unused:
        raise ModelFileError(f"it holds {_short(unused[0])}, which nothing uses")
    return []


def parse(text: bytes | str) -> Any:
    """Return what JSON says; each key once."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ModelFileError("a key is given twice in its JSON")
        return found

    return json.loads(text, object_pairs_hook=once)


def load_npy(data: bytes) -> npt.NDArray[Any]:
    """Return an array from a file of NumPy; its size is known to be that of the file before memory is asked for.

    Raises
    ------
    ModelFileError
        If it is damaged, or holds objects.
    """
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        reader: dict[tuple[int, int], Callable[..., Any]] = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        shape, _, dtype = reader[version](file)
    except Exception as error:
        raise ModelFileError(f"an array cannot be read: {describe(error)}") from error
    if dtype.hasobject or not dtype.itemsize or not all(0 <= n < _MOST_ITEMS for n in shape):
        raise ModelFileError(f"an array must hold numbers or text, got {dtype} of shape {shape}; allow_pickle=False")
    n_bytes = dtype.itemsize
    for n in shape:
        n_bytes *= n
    if n_bytes != len(data) - file.tell():
        raise ModelFileError(f"an array of {dtype} and shape {shape} needs {n_bytes} bytes, got {len(data)}")
    file.seek(0)
    return np.asarray(np.load(file, allow_pickle=False))


def load_npz(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return arrays by name from an archive of NumPy, with the checks of :func:`load_npy`."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = check_archive(archive, len(data), "an archive of arrays")
            members = {name: archive.read(name) for name in infos}
    except ModelFileError:
        raise
    except Exception as error:
        raise ModelFileError(f"an archive of arrays is damaged: {describe(error)}") from error
    return {name.removesuffix(".npy"): load_npy(member) for name, member in members.items()}


class _Grammar:
    """One reading of a schema."""

    def __init__(self, classes: Collection[str], members: Mapping[str, bytes]) -> None:
        self.classes = classes
        self.members = members
        self.used: set[str] = set()
        self.unknown: set[str] = set()
        self.extra: set[str] = set()
        self.known: dict[int, Any] = {}
        self.rules: dict[str, Callable[[dict[str, Any]], None]] = {
            "JsonNode": self._json,
            "DictNode": self._dict,
            "ListNode": self._items,
            "SetNode": self._items,
            "TupleNode": self._items,
            "SliceNode": self._slice,
            "NdArrayNode": self._array,
            "MaskedArrayNode": self._masked,
            "DTypeNode": self._dtype,
            "SparseMatrixNode": self._sparse,
            "RandomStateNode": self._random_state,
            "RandomGeneratorNode": self._generator,
            "TypeNode": self._type,
            "FunctionNode": self._function,
            "ObjectNode": self._object,
            "ConstructorFromReduceNode": self._constructed,
            "LossNode": self._loss,
            "TreeNode": self._tree,
        }

    def node(self, state: Any, loader: str | None = None) -> None:
        """Check a node and all below it; ``loader`` is the kind that it must be of."""
        if not isinstance(state, dict):
            _refuse(f"a node must be an object, got {_short(state)}")
        for key in ("__class__", "__module__", "__loader__"):
            if not isinstance(state.get(key), str):
                _refuse(f"{key} of a node must be text, got {_short(state.get(key))}")
        kind = state["__loader__"]
        if loader is not None and kind != loader:
            _refuse(f"{loader} is needed in the place of {kind}")
        if kind not in self.rules:
            self.unknown.add(f"{_path(state)} ({kind})")
            return
        number = state.get("__id__")
        if number is not None:
            if type(number) is not int:
                _refuse(f"__id__ must be an integer, got {_short(number)}")
            if number in self.known:  # the same object once more, in full: skops takes the first one
                self._same(self.known[number], state)
                return
            self.known[number] = state
        names = _CONTAINERS.get(kind)
        if names is not None and _path(state) not in names:
            self._class(state)
        self.rules[kind](state)

    def _same(self, first: Any, again: Any) -> None:
        """Check that a node repeats another but for running numbers, so that nothing grows or turns in a circle."""
        if isinstance(first, dict) and isinstance(again, dict) and list(first) == list(again):
            for key, value in first.items():
                if key == "file":
                    self._file(again)
                elif key != "__id__":
                    self._same(value, again[key])
        elif isinstance(first, list) and isinstance(again, list) and len(first) == len(again):
            for one, other in zip(first, again, strict=True):
                self._same(one, other)
        elif type(first) is not type(again) or first != again or isinstance(first, dict | list):
            _refuse("two different nodes have one __id__")

    def _class(self, state: dict[str, Any]) -> None:
        if _path(state) not in self.classes:
            self.unknown.add(_path(state))

    def _keys(self, state: dict[str, Any], allowed: set[str]) -> None:
        self.extra |= set(state) - allowed - _KEYS

    # Values -----------------------------------------------------------------------------------------------------

    def _json(self, state: dict[str, Any]) -> None:
        self._keys(state, {"content", "is_json"})
        _value(state)

    def _dict(self, state: dict[str, Any]) -> None:
        self._keys(state, {"content", "key_types"})
        content = _of(dict, state, "content")
        types = _of(dict, state, "key_types")
        self.node(types, "ListNode")
        kinds = _of(list, types, "content")
        if len(kinds) != len(content):
            _refuse(f"a dict has {len(content)} keys and {len(kinds)} types of keys")
        for kind in kinds:
            if kind["__loader__"] != "TypeNode" or not _is_scalar(kind["__module__"], kind["__class__"]):
                _refuse(f"keys must be numbers or text, got {_path(kind)}")
        for part in content.values():
            self.node(part)

    def _items(self, state: dict[str, Any]) -> None:
        self._keys(state, {"content"})
        for part in _of(list, state, "content"):
            self.node(part)

    def _slice(self, state: dict[str, Any]) -> None:
        self._keys(state, {"content"})
        content = _of(dict, state, "content")
        if set(content) != {"start", "stop", "step"} or any(
            value is not None and type(value) is not int for value in content.values()
        ):
            _refuse("a slice must have start, stop and step")

    def _array(self, state: dict[str, Any]) -> None:
        if state.get("type") == "json":
            self._keys(state, {"content", "type", "shape"})
            if _path(state) != "numpy.ndarray":
                _refuse(f"an array of objects must be an ndarray, got {_path(state)}")
            self.node(state.get("shape"), "TupleNode")
            shape = [_value(part) for part in state["shape"]["content"]]
            content = _of(list, state, "content")
            if not shape or any(type(n) is not int for n in shape) or shape[0] != len(content):
                _refuse(f"an array of {len(content)} objects has shape {_short(shape)}")
            for part in content:
                self.node(part)
            return
        array = self.array(state)
        if _path(state) != "numpy.ndarray":
            if not _is_scalar(state["__module__"], state["__class__"]):
                _refuse(f"an array must be an ndarray, got {_path(state)}")
            if array.shape != ():
                _refuse(f"a {state['__class__']} must be a single one, got {array.shape}")

    def array(self, state: dict[str, Any]) -> npt.NDArray[Any]:
        """Return the array of a node."""
        if state.get("__loader__") != "NdArrayNode" or state.get("type") != "numpy":
            _refuse(f"an array is needed in the place of {_path(state)}")
        self._keys(state, {"type", "file"})
        return load_npy(self._file(state))

    def _file(self, state: dict[str, Any]) -> bytes:
        name = state.get("file")
        if not isinstance(name, str) or name not in self.members:
            _refuse(f"there is no {_short(name)} in it")
        self.used.add(name)
        return self.members[name]

    def _masked(self, state: dict[str, Any]) -> None:
        self._keys(state, {"content"})
        content = _of(dict, state, "content")
        if set(content) != {"data", "mask"}:
            _refuse("a masked array must have data and mask")
        for part in content.values():
            self.node(part, "NdArrayNode")

    def _dtype(self, state: dict[str, Any]) -> None:
        self._keys(state, {"content"})
        self.node(state.get("content"), "NdArrayNode")

    def _sparse(self, state: dict[str, Any]) -> None:
        self._keys(state, {"type", "file"})
        if state.get("type") != "scipy":
            _refuse(f"a sparse matrix must be of type scipy, got {_short(state.get('type'))}")
        parts = load_npz(self._file(state))
        kind = parts["format"].item() if "format" in parts and parts["format"].shape == () else None
        kind = kind.decode("ascii", "replace") if isinstance(kind, bytes) else kind
        needed = {"format", "shape", "data", "indices", "indptr"}
        if kind not in ("csr", "csc") or not needed <= set(parts) <= {*needed, "_is_array"}:
            _refuse(f"a sparse matrix must have {', '.join(sorted(needed))} of csr or csc, got {_short(kind)}")
        shape = parts["shape"]
        if shape.shape != (2,) or shape.dtype.kind not in "iu" or not ((shape >= 0) & (shape < _MOST_ITEMS)).all():
            _refuse(f"a sparse matrix must have two axes, got shape {_short(shape.tolist())}")

    # Random numbers ---------------------------------------------------------------------------------------------

    def _random_state(self, state: dict[str, Any]) -> None:
        self._keys(state, {"content"})
        self.node(state.get("content"), "DictNode")
        self._bits(state["content"])

    def _generator(self, state: dict[str, Any]) -> None:
        self._keys(state, {"content"})
        content = _of(dict, state, "content")
        if set(content) != {"bit_generator", "seed_seq"}:
            _refuse("a generator must have bit_generator and seed_seq")
        for part in content.values():
            self.node(part, "DictNode")
        self._bits(content["bit_generator"])
        seed = content["seed_seq"]["content"]
        size = _value(seed["pool_size"]) if "pool_size" in seed else 4
        if not set(seed) <= {"entropy", "spawn_key", "pool_size", "n_children_spawned"} or size != 4:
            _refuse("the seeds of a generator must be those of NumPy")

    def _bits(self, state: dict[str, Any]) -> None:
        content = state["content"]
        name = _value(content["bit_generator"]) if "bit_generator" in content else None
        if name not in _GENERATORS:
            _refuse(f"a bit generator must be one of {', '.join(_GENERATORS)}, got {_short(name)}")
        inner = content.get("state")
        if name == "MT19937":
            parts = inner.get("content", {}) if isinstance(inner, dict) else {}
            key, place = parts.get("key"), parts.get("pos")
            ok = isinstance(key, dict) and self.array(key).shape == (_STATE,) and self.array(key).dtype.kind == "u"
            if not ok or place is None or type(_value(place)) is not int or not 0 <= _value(place) <= _STATE:
                _refuse(f"the state of MT19937 must have {_STATE} numbers, and a place among them")

    # Classes ----------------------------------------------------------------------------------------------------

    def _type(self, state: dict[str, Any]) -> None:
        self._keys(state, set())
        if not _is_scalar(state["__module__"], state["__class__"]):
            self._class(state)

    def _function(self, state: dict[str, Any]) -> None:
        self._keys(state, set())
        module, name = state["__module__"], state["__class__"]
        if module not in _UFUNCS or not isinstance(getattr(importlib.import_module(module), name, None), np.ufunc):
            self.unknown.add(_path(state))

    def _object(self, state: dict[str, Any]) -> None:
        self._keys(state, {"content"})
        self._class(state)
        if state.get("content") is not None:
            self.node(state["content"])

    def _constructed(self, state: dict[str, Any]) -> None:
        self._keys(state, {"content"})
        self._class(state)
        self.node(state.get("content"), "TupleNode")

    def _loss(self, state: dict[str, Any]) -> None:
        arguments = self._reduced(state)
        if state["__module__"] != _LOSSES or not state["__class__"].startswith("Cy"):
            self.unknown.add(_path(state))
        if any(not isinstance(_value(part), float | int) for part in arguments):
            _refuse(f"{state['__class__']} must be made of numbers")

    def _tree(self, state: dict[str, Any]) -> None:
        arguments = self._reduced(state)
        if len(arguments) != 3:
            _refuse("a tree must be made of three arguments")
        n_features, n_outputs = _value(arguments[0]), _value(arguments[2])
        classes = self.array(arguments[1])
        if (
            type(n_features) is not int
            or type(n_outputs) is not int
            or not 0 <= n_features < _MOST_ITEMS
            or n_outputs < 1
            or classes.shape != (n_outputs,)
            or classes.dtype.kind not in "iu"
            or not ((classes >= 1) & (classes < _MOST_ITEMS)).all()
        ):
            _refuse(f"a tree of {_short(n_features)} features and {_short(n_outputs)} outputs does not fit together")
        parts = state["content"].get("content") if state["content"].get("__loader__") == "DictNode" else None
        if not isinstance(parts, dict) or set(parts) != {"max_depth", "node_count", "nodes", "values"}:
            _refuse("a tree must have max_depth, node_count, nodes and values")
        nodes, count = self.array(parts["nodes"]), _value(parts["node_count"])
        if type(count) is not int or nodes.shape != (count,):
            _refuse(f"a tree of {_short(count)} nodes has {_short(nodes.shape)}")

    def _reduced(self, state: dict[str, Any]) -> list[Any]:
        self._keys(state, {"content", "__reduce__"})
        made = _of(dict, state, "__reduce__")
        self._keys(made, {"args"})
        self.node(made.get("args"), "TupleNode")
        self.node(state.get("content"))
        return list(made["args"]["content"])


def _refuse(what: str) -> NoReturn:
    raise ModelFileError(what)


def _path(state: Mapping[str, Any]) -> str:
    return f"{state['__module__']}.{state['__class__']}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:77]}..."


def _of(kind: type[Any], state: dict[str, Any], key: str) -> Any:
    if not isinstance(state.get(key), kind):
        _refuse(f"{key} of a {state['__loader__']} must be a {kind.__name__}, got {_short(state.get(key))}")
    return state[key]


def _value(state: Any) -> Any:
    """Return what a node of JSON holds: one value."""
    content = state.get("content") if isinstance(state, dict) and state.get("__loader__") == "JsonNode" else None
    if not isinstance(content, str):
        _refuse(f"a value is needed, got {_short(state)}")
    found = parse(content)
    if isinstance(found, dict | list):
        _refuse(f"a single value is needed, got {_short(found)}")
    return found


def _is_scalar(module: str, name: str) -> bool:
    """Return whether a name is that of numbers or text, of Python or NumPy."""
    if module == "builtins":
        return name in _PRIMITIVES
    if module != "numpy":
        return False
    found = np.sctypeDict.get(name) or getattr(np, name, None)
    return isinstance(found, type) and issubclass(found, np.number | np.bool_ | np.str_)
