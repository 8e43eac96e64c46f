"""Packages that only some installations have."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

ADDED = {
    "data": ("public data sets, tables in Parquet, large JSON", ("ijson", "pandas", "pooch", "pyarrow", "requests")),
    "report": ("plots", ("matplotlib",)),
    "xgboost": ("boosting by XGBoost", ("xgboost",)),
    "optuna": ("searches that learn from what they tried", ("optuna",)),
    "neural": ("neural networks", ("jax", "optax")),
    "serve": ("models over HTTP", ("fastapi", "prometheus_client", "python_multipart", "uvicorn")),
    "pymatgen": ("structures of pymatgen, oxidation states, space groups", ("pymatgen", "spglib")),
    "rdkit": ("molecules from SMILES", ("rdkit",)),
    "sevennet": ("embeddings of SevenNet", ("sevenn", "torch")),
    "chgnet": ("embeddings of CHGNet", ("chgnet", "torch")),
    "graph": ("graphs of NetworkX", ("networkx",)),
    "torch": ("graphs as tensors", ("torch",)),
    "pyg": ("graphs of PyTorch Geometric", ("torch", "torch_geometric")),
    "faiss": ("fast search in large stores", ("faiss",)),
    "zarr": ("stores in Zarr", ("zarr",)),
    "dask": ("stores built on a cluster", ("distributed",)),
    "chemiscope": ("maps with structures", ("chemiscope",)),
    "umap": ("maps by UMAP", ("umap",)),
    "shap": ("explanations by SHAP", ("shap",)),
    "changes": ("places where series change", ("ruptures",)),
    "mp": ("the Materials Project", ("mp_api",)),
}
"""What each extra adds, and the modules that it needs."""


def require(module: str, extra: str, by: str = "this") -> Any:
    """Return a module, or raise an ``ImportError`` that says what needs it and how to install it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ImportError(f"{by} needs {error.name}, which is not installed: {how_to_install(extra)}") from error


def how_to_install(extra: str) -> str:
    """Return the commands that install what an extra of the package holds."""
    return f"pip install 'atomprint[{extra}]' (in a clone of atomprint: pip install '.[{extra}]')"


def installed(*modules: str) -> bool:
    """Return whether all of these modules can be imported; none of them is."""
    return all(find_spec(module) is not None for module in modules)


def missing() -> Iterator[tuple[str, str]]:
    """Yield the extras that are not installed as a whole, and what each would add; nothing is imported."""
    for extra, (what, modules) in ADDED.items():
        if not installed(*modules):
            yield extra, what
