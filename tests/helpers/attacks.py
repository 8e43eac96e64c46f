"""Files of skops that would run something: what a file of a model may try. Run it to see what skops alone lets through.

``python tests/helpers/attacks.py`` prints, for the version of skops that is installed, which of them do something when
their untrusted types are listed, and which when they are loaded after nothing untrusted was found.
"""

import io
import json
import pickle
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

MODULE = "module_of_an_attacker"  # on the path while an attack is tried; whoever imports or calls it is caught
_SOURCE = """
import builtins
builtins.attacked = "imported"
class Loss:
    def __init__(self, *args): builtins.attacked = "made"
    def __setstate__(self, state): builtins.attacked = "set"
def run(*args, **kwargs): builtins.attacked = "called"
from os import system
import numpy
"""
Node = dict[str, Any]


def node(loader: str, module: str, name: str, **more: Any) -> Node:
    return {"__class__": name, "__module__": module, "__loader__": loader, **more}


def value(item: Any) -> Node:
    return node("JsonNode", "builtins", "str", content=json.dumps(item), is_json=True)


def group(*items: Node, kind: str = "tuple") -> Node:
    return node({"tuple": "TupleNode", "list": "ListNode"}[kind], "builtins", kind, content=list(items))


def table(**items: Node) -> Node:
    types = group(*(node("TypeNode", "builtins", "str") for _ in items), kind="list")
    return node("DictNode", "builtins", "dict", content=items, key_types=types)


def function(module: str = MODULE, name: str = "run") -> Node:
    return node("FunctionNode", module, name)


ARRAY = node("NdArrayNode", "numpy", "ndarray", type="numpy", file="a.npy")
RIDGE = node("ObjectNode", "sklearn.linear_model._ridge", "Ridge", content=table(alpha=value(1.0)))


def _pickled() -> bytes:
    class Payload:
        def __reduce__(self) -> Any:
            return exec, ("import builtins; builtins.attacked = 'unpickled'",)

    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "|O", "fortran_order": False, "shape": (1,)}
    )  # what numpy.save with allow_pickle=True begins with
    buffer.write(pickle.dumps([Payload()]))
    return buffer.getvalue()


def _random(name: str) -> Node:
    bits = table(bit_generator=value(name), state=table(state=value(1), inc=value(3)))
    return node(
        "RandomGeneratorNode",
        "numpy.random._generator",
        "Generator",
        content={"bit_generator": bits, "seed_seq": table(entropy=value(1))},
    )


ATTACKS: dict[str, Callable[[], Node]] = {
    "a function": function,
    "a function by a module that imports it": lambda: function(MODULE, "system"),
    "a function that is called numpy's": lambda: function(f"{MODULE}.numpy", "load"),
    "a function of numpy that is no ufunc": lambda: function("numpy", "load"),
    "a function by an old node": lambda: {
        **node("FunctionNode", "numpy", "log1p", content={"module_path": MODULE, "function": "run"}),
        "protocol": 0,
    },
    "a type that is a function": lambda: node("TypeNode", MODULE, "run"),
    "a partial": lambda: node(
        "PartialNode",
        "functools",
        "partial",
        content={"func": function(), "args": group(), "kwds": table(), "namespace": value(None)},
    ),
    "a method of what is trusted": lambda: node(
        "MethodNode", "sklearn.linear_model._ridge", "Ridge", content={"obj": RIDGE, "func": "fit"}
    ),
    "a method of another object than it says": lambda: node(
        "MethodNode",
        "sklearn.linear_model._ridge",
        "Ridge",
        content={"obj": node("ObjectNode", MODULE, "Loss", content=table()), "func": "__init__"},
    ),
    "an operator": lambda: node("OperatorFuncNode", "operator", "methodcaller", attrs=group(value("fit"), value(1))),
    "an operator that calls": lambda: node("OperatorFuncNode", "operator", "call", attrs=group(function(), value(1))),
    "an operator under a trusted name": lambda: node(
        "OperatorFuncNode", "sklearn.linear_model._ridge", "call", attrs=group(function(), value(1))
    ),
    "a loss of another module": lambda: node(
        "LossNode", MODULE, "Loss", __reduce__={"args": group(value(1))}, content=table()
    ),
    "a tree that is something else": lambda: node(
        "TreeNode", MODULE, "Loss", __reduce__={"args": group(value(1), ARRAY, value(1))}, content=table()
    ),
    "a dict of a class": lambda: node("DictNode", MODULE, "Loss", content={}, key_types=group(kind="list")),
    "a list of a class": lambda: node("ListNode", MODULE, "Loss", content=[]),
    "a set of a class": lambda: node("SetNode", MODULE, "Loss", content=[]),
    "a tuple of a class": lambda: node("TupleNode", MODULE, "Loss", content=[]),
    "an array of a class": lambda: {**ARRAY, "__module__": MODULE, "__class__": "run"},
    "an object of a class": lambda: node("ObjectNode", MODULE, "Loss", content=table(a=value(1))),
    "a constructor": lambda: node("ConstructorFromReduceNode", MODULE, "run", content=group(value(1))),
    "keys of a class": lambda: node(
        "DictNode",
        "builtins",
        "dict",
        content={"a": value(1)},
        key_types=group(node("TypeNode", MODULE, "run"), kind="list"),
    ),
    "a dict with a factory": lambda: node(
        "DefaultDictNode",
        "collections",
        "defaultdict",
        content={"main": table(), "default_factory": function()},
    ),
    "a generator that is a function": lambda: _random("seed"),
    "a generator by an old node": lambda: {
        **node(
            "RandomGeneratorNode",
            "numpy.random",
            "Generator",
            content={"bit_generator": {"bit_generator": "seed"}, "seed_seq": table()},
        ),
        "protocol": 0,
    },
    "a state of random numbers of a class": lambda: node("RandomStateNode", MODULE, "Loss", content=table()),
    "a masked array of a class": lambda: node(
        "MaskedArrayNode", MODULE, "Loss", content={"data": ARRAY, "mask": ARRAY}
    ),
    "a sparse matrix of a class": lambda: node("SparseMatrixNode", MODULE, "run", type="scipy", file="pickled.npz"),
    "a pickled array": lambda: {**ARRAY, "file": "pickled.npy"},
    "a pickled sparse matrix": lambda: node(
        "SparseMatrixNode", "scipy.sparse", "csr_matrix", type="scipy", file="pickled.npz"
    ),
    "bytes": lambda: node("BytesNode", "builtins", "bytes", file="a.npy"),
    "the same number for two objects": lambda: group(
        {**RIDGE, "__id__": 7}, {**node("ObjectNode", MODULE, "Loss", content=table()), "__id__": 7}
    ),
    "an object that is given later": lambda: node("CachedNode", "builtins", "str", __id__=99),
    "an object that holds itself": lambda: {
        **group(node("CachedNode", "builtins", "str", __id__=7)),
        "__id__": 7,
    },
    "an unknown node": lambda: node("QuantileForestNode", MODULE, "Loss", content=table()),
}


def files() -> dict[str, bytes]:
    """Return the members beside the schema."""
    array, arrays = io.BytesIO(), io.BytesIO()
    np.save(array, np.ones(1))
    with zipfile.ZipFile(arrays, "w") as archive:
        archive.writestr("format.npy", _pickled())
        archive.writestr("data.npy", _pickled())
    return {"a.npy": array.getvalue(), "pickled.npy": _pickled(), "pickled.npz": arrays.getvalue()}


def archive_of(schema: Node, members: dict[str, bytes]) -> bytes:
    """Return a file of skops."""
    buffer, text = io.BytesIO(), json.dumps({"protocol": 2, "_skops_version": "0.14.0", **schema})
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", text)
        for name, data in members.items():
            if f'"{name}"' in text:
                archive.writestr(name, data)
    return buffer.getvalue()


def model_with(attack: Node) -> Node:
    """Return the schema of a pipeline that has an attack among its parts."""
    steps = group(
        group(value("features"), node("ObjectNode", "sklearn.dummy", "DummyRegressor", content=table(strategy=attack))),
        group(value("model"), RIDGE),
        kind="list",
    )
    root = node("ObjectNode", "sklearn.pipeline", "Pipeline", content=table(steps=steps))
    return {**root, **({"protocol": attack["protocol"]} if "protocol" in attack else {})}


def _seed() -> list[int]:
    return np.random.get_state()[1].tolist()  # noqa: NPY002  # what an attack changes


@contextmanager
def trap() -> Iterator[Callable[[], str]]:
    """Put the module of an attacker on the path; yield a function that says what it has done since."""
    import builtins

    state = _seed()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"{MODULE}.py").write_text(_SOURCE)
        sys.path.insert(0, folder)

        def done() -> str:
            found = builtins.__dict__.get("attacked", "")
            return found or ("seeded" if _seed() != state else "")

        try:
            yield done
        finally:
            sys.path.remove(folder)
            builtins.__dict__.pop("attacked", None)
            sys.modules.pop(MODULE, None)


def main() -> None:
    import skops
    from skops import io as skops_io

    print("skops", skops.__version__)
    for name, make in ATTACKS.items():
        data = archive_of(model_with(make()), files())
        with trap() as done:
            listed: Any = None
            try:
                listed = skops_io.get_untrusted_types(data=data)
            except Exception as error:
                said = f"{type(error).__name__}"
            else:
                said = f"untrusted: {', '.join(listed)}" if listed else "nothing untrusted"
            when = "while types were listed" if done() else ""
            if listed == []:
                try:
                    skops_io.loads(data)
                except Exception as error:
                    said += f", then {type(error).__name__}"
                when = when or ("when it was loaded" if done() else "")
            print(f"{'RAN ' + done() + ' ' + when if done() else 'ran nothing':40} {name}: {said[:110]}")


if __name__ == "__main__":
    main()
