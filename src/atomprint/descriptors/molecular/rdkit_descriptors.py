"""The descriptors of molecules that RDKit knows by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from atomprint.chemistry.smiles import quiet_rdkit
from atomprint.descriptors.molecular.contract import MolecularDescriptor, MoleculeError
from atomprint.layout import Axis, Block, Layout
from atomprint.util.extras import require
from atomprint.util.registry import public
from atomprint.util.validation import check_choice, check_names

# Not there for every molecule, as they need charges, parameters of each element or heavy atoms; Ipc reaches 1e30.
_SOMETIMES = re.compile(r"BCUT2D_.*|(Max|Min)(Abs)?PartialCharge|Ipc|SPS")
_FAMILIES = (
    ("functional groups", r"fr_.*"),
    ("surface areas", r".*VSA.*|TPSA|LabuteASA"),
    ("connectivity", r"Chi.*|Kappa.*|BalabanJ|BertzCT|HallKierAlpha|(Avg)?Ipc|Phi|SPS"),
    ("electronic state", r".*EState.*|.*PartialCharge|BCUT2D.*"),
    ("fingerprint density", r"FpDensity.*"),
    ("rings", r".*Ring.*|.*(Carbo|Hetero)cycles|Num(Bridgehead|Spiro)Atoms"),
)


@public("RDKitDescriptors", version=1, in_recipes=True)
class RDKitDescriptors(MolecularDescriptor):
    """Properties of a molecule that follow from its bonds: weight, logP, surface areas, rings, functional groups.

    Parameters
    ----------
    descriptors : {"default", "all"} or sequence of str
        ``"all"`` that the installed RDKit has (some 210, ``rdkit.Chem.Descriptors``); ``"default"`` without those that
        some elements have no parameters for, or which grow beyond all bounds; or names, such as
        ``["MolLogP", "TPSA"]``.
    missing : {"raise", "nan"}
        What to do where a descriptor has no value: an error that names both, or nan.
    sparse : bool
        Whether to return SciPy sparse arrays.
    dtype : {"float64", "float32"}
        Precision of the result.
    n_jobs : int
        Present as for all descriptors. RDKit uses one thread.

    Attributes
    ----------
    descriptors_ : ndarray of str
        Names of the descriptors that the RDKit of ``fit`` has, in the order of the features.

    Notes
    -----
    Needs RDKit: ``pip install 'atomprint[rdkit]'``. Its versions differ in which descriptors there are: what was fitted
    keeps its own, and is an error where one is not there.

    Examples
    --------
    >>> from atomprint.descriptors import RDKitDescriptors
    >>> RDKitDescriptors(["HeavyAtomCount", "RingCount"]).create("c1ccccc1O")  # doctest: +SKIP
    array([7., 1.])
    """

    def __init__(
        self,
        descriptors: str | Sequence[str] = "default",
        missing: str = "raise",
        sparse: bool = False,
        dtype: Any = "float64",
        n_jobs: int | None = 1,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        super()._validate()
        check_choice("missing", self.missing, ("raise", "nan"))
        if isinstance(self.descriptors, str):
            check_choice("descriptors", self.descriptors, ("default", "all"))
        else:
            check_names("descriptors", self.descriptors, tuple(_known()))

    def _names(self) -> tuple[str, ...]:
        if not isinstance(self.descriptors, str):
            return tuple(self.descriptors)
        learnt = getattr(self, "descriptors_", ())
        if len(learnt) and any(map(_SOMETIMES.fullmatch, learnt)) == (self.descriptors == "all"):
            return tuple(map(str, learnt))
        return self._of_this_rdkit()  # before the fit, or parameters were set after it

    def _of_this_rdkit(self) -> tuple[str, ...]:
        return tuple(name for name in _known() if self.descriptors == "all" or not _SOMETIMES.fullmatch(name))

    def _learn(self, observer: Any) -> None:
        names = self._of_this_rdkit() if isinstance(self.descriptors, str) else tuple(self.descriptors)
        self.descriptors_ = np.array(names, dtype=np.str_)

    def _layout(self) -> Layout:
        names = self._names()
        families = [
            next((title for title, names in _FAMILIES if re.fullmatch(names, name)), "counts and sizes")
            for name in names
        ]
        return Layout("RDKitDescriptors", [Block((), [Axis("molecular properties", names, families)])])

    def _rows(self, molecules: Sequence[Any], n_threads: int) -> Any:
        names = self._names()
        check_names("descriptors", names, tuple(_known()))
        functions = [_known()[name] for name in names]
        rows = np.empty((len(molecules), len(names)))
        with quiet_rdkit():
            for index, mol in enumerate(molecules):
                for column, function in enumerate(functions):
                    try:
                        rows[index, column] = function(mol)
                    except (ValueError, RuntimeError, ZeroDivisionError, OverflowError):
                        rows[index, column] = np.nan
        rows[~(np.abs(rows) <= np.finfo(self.dtype).max)] = np.nan
        if self.missing == "raise" and np.isnan(rows).any():
            index, column = (int(at) for at in np.argwhere(np.isnan(rows))[0])
            smiles = require("rdkit.Chem", "rdkit").MolToSmiles(molecules[index])
            within = "" if np.dtype(self.dtype) == np.float64 else f" within {np.dtype(self.dtype)}"
            rule = (
                f"{names[column]} of {smiles} has no value{within}: choose missing='nan', or leave the descriptor out"
            )
            raise MoleculeError(index, None, rule)
        return rows


@lru_cache(maxsize=1)
def _known() -> dict[str, Callable[[Any], float]]:
    """Return the descriptors of the installed RDKit by name."""
    return dict(require("rdkit.Chem.Descriptors", "rdkit", "RDKitDescriptors").descList)
