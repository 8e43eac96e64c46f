"""Compositions as charges: whether oxidation states can balance, and what electrons they leave."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.chemistry.charges import net_charges
from atomprint.chemistry.elements import N_ELEMENTS, element_properties, ground_states
from atomprint.chemistry.oxidation_states import COMMON, OBSERVED
from atomprint.descriptors.composition.contract import CompositionDescriptor, Contents, FloatArray
from atomprint.layout import Axis, Block, Layout
from atomprint.ragged import split
from atomprint.util.registry import public
from atomprint.util.validation import check_names

_TABLES: Mapping[str, Mapping[int, tuple[int, ...]]] = MappingProxyType({"common": COMMON, "observed": OBSERVED})

# Once for each composition, whatever the table.
_GENERAL = (
    "number of elements",
    "atoms in formula",
    "odd electrons",
    "electronegativity range",
    "mean ionic character",
    "maximum ionic character",
)
# Once for each table.
_OF_TABLE = (
    "lowest charge",
    "highest charge",
    "smallest net charge",
    "net charge",
    "ionicity",
    "mean absolute charge",
    "maximum charge",
    "minimum charge",
    "fraction of cations",
    "electrons left",
    "electrons left outside p block",
    "electrons left in p block",
    "maximum electrons left",
    "electronegativity of cations mean",
    "electronegativity of cations minimum",
    "electronegativity of cations maximum",
    "electronegativity of anions mean",
    "electronegativity of anions minimum",
)
_LARGEST_FORMULA = 200  # atoms: beyond, fractions are not those of a formula with whole numbers


@public("OxidationStates", version=1, in_recipes=True)
class OxidationStates(CompositionDescriptor):
    r"""Charges that the elements of a composition can have; no coordinates are needed.

    Whether a compound conducts depends on whether the oxidation states of its elements can balance, and on the
    electrons that they leave on the cations. Each element is given one of its tabulated oxidation states
    :math:`q_i`, such that

    .. math:: \sum_i f_i q_i (\bar\chi - \chi_i) - 10 \left|\sum_i f_i q_i\right|

    is largest, with the fractions :math:`f_i`, Pauling electronegativities :math:`\chi_i` and their mean
    :math:`\bar\chi`: charges balance if they can, and electrons go to the electronegative elements. The first term
    is the *ionicity* in the names of the features, the sum in the second the *net charge*.

    Parameters
    ----------
    tables : sequence of {"common", "observed"}
        Which oxidation states are allowed: the commonest ones of the textbooks, or those that occur in the Inorganic
        Crystal Structure Database. All features of charges are computed for each table.

    Notes
    -----
    Features of each composition: the number of elements; atoms in the formula with the smallest whole numbers (0 if
    there is none with up to 200 atoms); whether its electrons are odd in number (0.5 if there is no such
    formula); the range of electronegativities; mean and maximum of the ionic character
    :math:`1 - \exp(-(\chi_i - \chi_j)^2 / 4)` of pairs (Pauling, The Nature of the Chemical Bond, 1960, section 3-9),
    the mean with the weights :math:`f_i f_j`.

    Features for each table, charges in e, per atom where nothing else is said: the lowest and the highest charge that
    there can be; the net charge that comes closest to 0; and of the states chosen as above the net charge, the
    ionicity, the mean of :math:`|q_i|`, the largest and the smallest :math:`q_i`, the fraction of cations (atoms with
    q > 0), the valence electrons that are left on cations (in all, on those outside of the p block, on those of the
    p block, and the most on one cation), and electronegativities of cations and of anions.
    If there is no cation, or no anion, its electronegativities are the mean of the composition.

    Elements without oxidation states (noble gases), and elements by themselves, have the charge 0. States of one
    element are not mixed: in Fe3O4 all iron is Fe(II) or Fe(III), and the net charge says so.

    See Also
    --------
    ElementProperty : statistics over properties of the elements

    Examples
    --------
    >>> from atomprint.descriptors import OxidationStates
    >>> features = OxidationStates(["common"])
    >>> names = features.get_feature_names_out().tolist()
    >>> values = dict(zip(names, features.create("TiO2")))
    >>> float(values["OxidationStates common maximum charge"]), float(values["OxidationStates common net charge"])
    (4.0, 0.0)
    """

    def __init__(self, tables: Any = ("common", "observed")) -> None:
        self._initialise(locals())

    def _layout(self) -> Layout:
        texts = [*_GENERAL, *(f"{table} {name}" for table in self.tables for name in _OF_TABLE)]
        groups = [*_GENERAL, *(_OF_TABLE * len(self.tables))]
        return Layout("OxidationStates", [Block((), [Axis("element properties", texts, groups)])])

    def _validate(self) -> None:
        check_names("tables", self.tables, tuple(_TABLES))

    def _features(self, contents: Contents) -> FloatArray:
        features = np.empty((len(contents.offsets) - 1, self.get_number_of_features()))
        known: dict[tuple[bytes, bytes], FloatArray] = {}
        each = (split(values, contents.offsets) for values in (contents.elements, contents.fractions))
        for row, (elements, fractions) in enumerate(zip(*each, strict=True)):
            # Polymorphs have the same composition: compute it once.
            order = np.argsort(elements)
            elements, fractions = elements[order], fractions[order]
            key = (elements.tobytes(), fractions.round(12).tobytes())
            if key not in known:
                known[key] = self._of_one(elements + 1, fractions)
            features[row] = known[key]
        return features

    def _of_one(self, numbers: npt.NDArray[np.int64], fractions: FloatArray) -> FloatArray:
        """Return the features of one composition."""
        chi = _ELECTRONEGATIVITY[numbers - 1]
        found = [_general(numbers, fractions, chi)]
        for table in self.tables:
            states = [_states(_TABLES[table], int(z)) if len(numbers) > 1 else (0,) for z in numbers]
            found.append(_of_states(numbers, fractions, chi, states))
        return np.concatenate(found)


def _states(table: Mapping[int, tuple[int, ...]], z: int) -> tuple[int, ...]:
    return table.get(z) or (0,)


def _general(numbers: npt.NDArray[np.int64], fractions: FloatArray, chi: FloatArray) -> FloatArray:
    n_atoms = _atoms_in_formula(fractions)
    electrons = float(np.round(fractions * n_atoms) @ numbers)
    first, second = np.triu_indices(len(numbers), k=1)
    ionic = 1 - np.exp(-((chi[first] - chi[second]) ** 2) / 4)
    return np.array(
        [
            len(numbers),
            n_atoms,
            electrons % 2 if n_atoms else 0.5,
            np.ptp(chi),
            (fractions[first] * fractions[second]) @ ionic,
            ionic.max(initial=0.0),
        ]
    )


def _atoms_in_formula(fractions: FloatArray) -> int:
    """Return the least number of atoms of which there are whole numbers of all elements, 0 if it is too large."""
    n = np.arange(1, _LARGEST_FORMULA + 1)
    counts = n[:, None] * fractions
    # A formula such as Fe0.33S0.67 is not that of 100 atoms: fractions are as exact as a written formula.
    whole = np.abs(counts - np.round(counts)).max(axis=1) < 1e-4
    return int(n[np.argmax(whole)]) if whole.any() else 0


def _of_states(
    numbers: npt.NDArray[np.int64], fractions: FloatArray, chi: FloatArray, states: list[tuple[int, ...]]
) -> FloatArray:
    sums = net_charges(fractions, chi, states)
    best = sums.best()
    q = sums.chosen[best]
    cations, anions = q > 0, q < 0
    left = np.where(cations, _VALENCE[numbers - 1] - q, 0.0)
    in_p = _P_BLOCK[numbers - 1]
    mean = fractions @ chi
    return np.array(
        [
            sums.charge.min(),
            sums.charge.max(),
            np.abs(sums.charge).min(),
            sums.charge[best],
            sums.ionicity[best],
            fractions @ np.abs(q),
            q.max(),
            q.min(),
            fractions[cations].sum(),
            fractions @ left,
            fractions @ np.where(in_p, 0.0, left),
            fractions @ np.where(in_p, left, 0.0),
            left.max(),
            np.average(chi[cations], weights=fractions[cations]) if cations.any() else mean,
            chi[cations].min() if cations.any() else mean,
            chi[cations].max() if cations.any() else mean,
            np.average(chi[anions], weights=fractions[anions]) if anions.any() else mean,
            chi[anions].min() if anions.any() else mean,
        ]
    )


def _valence_electrons() -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return valence electrons of neutral atoms, without filled inner shells, and which elements are of the p block."""
    s, p, d, f = ground_states().T
    in_p = p > 0
    # Filled d shells of the p block, and filled f shells after the lanthanides, are core.
    return np.where(in_p, s + p, s + d + np.where(f < 14, f, 0)).astype(np.float64), in_p


_VALENCE, _P_BLOCK = _valence_electrons()
_ELECTRONEGATIVITY = element_properties(range(1, N_ELEMENTS + 1), ["electronegativity"])[:, 0]
