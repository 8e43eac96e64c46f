"""Versions of what results depend on."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("atomprint", "numpy", "scipy", "scikit-learn", "ase", "matplotlib")
_OPTIONAL = ("chgnet", "jax", "optuna", "pymatgen", "rdkit", "sevenn", "shap", "spglib", "torch", "xgboost")


def versions() -> dict[str, str]:
    """Return the system and the versions of Python and of the packages that results depend on.

    Returns
    -------
    dict of str to str
        Optional packages are listed if this process has loaded them.
    """
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for package in (*_PACKAGES, *(module for module in _OPTIONAL if module in sys.modules)):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
