"""Features of compositions: statistics over the properties of the elements, without coordinates."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from numbers import Real
from types import MappingProxyType
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from atomprint.chemistry.elements import N_ELEMENTS, element_properties, ground_states, pauling_electronegativity
from atomprint.descriptors.composition.contract import CompositionDescriptor, CompositionError, Contents, FloatArray
from atomprint.layout import Axis, Block, Layout
from atomprint.ragged import locate, totals
from atomprint.util.extras import how_to_install
from atomprint.util.registry import public
from atomprint.util.validation import check_choice, check_filled, check_names

_SHELLS = {"s": 2, "p": 6, "d": 10, "f": 14}
_ELECTRONS = (
    *(f"{shell}_electrons" for shell in _SHELLS),
    "valence_electrons",
    *(f"{shell}_unfilled" for shell in _SHELLS),
    "unfilled",
)
# Of pymatgen's Element, and what it calls them.
_FROM_PYMATGEN = {
    "mendeleev_number": "mendeleev_no",
    "melting_point": "melting_point",
    "boiling_point": "boiling_point",
    "molar_volume": "molar_volume",
    "thermal_conductivity": "thermal_conductivity",
    "electron_affinity": "electron_affinity",
    "atomic_radius": "atomic_radius",
    "van_der_waals_radius": "van_der_waals_radius",
}
_BUILT_IN = (
    "atomic_number",
    "mass",
    "group",
    "period",
    "covalent_radius",
    "electronegativity",
    "ionization_energy",
    *_ELECTRONS,
)
_PRESETS = MappingProxyType(
    {
        "default": _BUILT_IN,
        "magpie": (
            "atomic_number",
            "mendeleev_number",
            "mass",
            "melting_point",
            "group",
            "period",
            "covalent_radius",
            "electronegativity",
            *_ELECTRONS,
        ),
    }
)


def _minimum(x: FloatArray, flat: Contents) -> FloatArray:
    return np.asarray(np.minimum.reduceat(x, flat.offsets[:-1], axis=0))


def _maximum(x: FloatArray, flat: Contents) -> FloatArray:
    return np.asarray(np.maximum.reduceat(x, flat.offsets[:-1], axis=0))


def _range(x: FloatArray, flat: Contents) -> FloatArray:
    return _maximum(x, flat) - _minimum(x, flat)


def _mean(x: FloatArray, flat: Contents) -> FloatArray:
    return totals(flat.fractions[:, None] * x, flat.offsets)


def _deviation(x: FloatArray, flat: Contents) -> FloatArray:
    means = np.repeat(_mean(x, flat), np.diff(flat.offsets), axis=0)
    return _mean(np.abs(x - means), flat)


def _mode(x: FloatArray, flat: Contents) -> FloatArray:
    largest = np.repeat(np.maximum.reduceat(flat.fractions, flat.offsets[:-1]), np.diff(flat.offsets))
    most = flat.fractions >= largest * (1 - 1e-9)  # fractions that are equal but for rounding are equal
    return _minimum(np.where(most[:, None], x, np.inf), flat)


_STATISTICS: Mapping[str, Callable[[FloatArray, Contents], FloatArray]] = MappingProxyType(
    {"minimum": _minimum, "maximum": _maximum, "range": _range, "mean": _mean, "deviation": _deviation, "mode": _mode}
)


@public("ElementProperty", version=1, in_recipes=True)
class ElementProperty(CompositionDescriptor):
    r"""Statistics over the properties of the elements of a composition; no coordinates are needed.

    With the fractions :math:`f_i` (that sum to 1) and properties :math:`x_i` of the elements of a composition, the
    statistics of each property are

    - ``"minimum"``, ``"maximum"`` and ``"range"`` (their difference) over the elements;
    - ``"mean"``: :math:`\bar{x} = \sum_i f_i x_i`;
    - ``"deviation"``: :math:`\sum_i f_i |x_i - \bar{x}|`;
    - ``"mode"``: x of the element with the largest fraction, the lowest x where several have it.

    Parameters
    ----------
    properties : {"default", "magpie"} or sequence of str
        Names of properties, or a set of them. ``"default"`` are those that need no other package:

        - ``"atomic_number"``, ``"mass"`` (u), ``"group"`` (3 for the whole f block), ``"period"``;
        - ``"covalent_radius"`` (Å), ``"ionization_energy"`` (first, eV);
        - ``"electronegativity"`` (Pauling's; Allen's for He, Ne, Ar, Kr and Rn; none for Pm, Eu, Tb and Yb);
        - ``"s_electrons"``, ``"p_electrons"``, ``"d_electrons"``, ``"f_electrons"``: electrons outside the noble-gas
          core of the neutral atom in its ground state, and their sum ``"valence_electrons"``;
        - ``"s_unfilled"``, ``"p_unfilled"``, ``"d_unfilled"``, ``"f_unfilled"``: places left in those of these shells
          that have electrons, and their sum ``"unfilled"``.

        With pymatgen (``pip install atomprint[pymatgen]``) there are also ``"mendeleev_number"``, ``"melting_point"``
        and ``"boiling_point"`` (K), ``"molar_volume"`` (cm^3/mol), ``"thermal_conductivity"`` (W/(m K)),
        ``"electron_affinity"`` (eV), ``"atomic_radius"`` (Slater's) and ``"van_der_waals_radius"`` (Å).
        ``"magpie"`` are those of the Magpie set that can be had, in its order; see Notes.
    statistics : sequence of str
        Which statistics, in which order.
    missing : {"raise", "nan", "impute"}
        What to do where an element has no value: an error that names both; nan for all statistics of this property; or
        the mean over all elements, hydrogen to lawrencium, that have one.
    tables : mapping of str to mapping, optional
        Properties of your own: for each name a dict from symbols to numbers. What is not in it, or is nan, is missing.
        A name that is already used gives way to yours.

    Notes
    -----
    Most properties come from :mod:`atomprint.elements`, which names the publications behind them, so that nothing has
    to be installed and values do not change with another package. The others come from pymatgen's periodic table: it
    is maintained, most people in this field have it, its values have units, and it distinguishes missing values from
    zeros. (mendeleev is as good a source, but needs a database library; ``ase.data`` has radii and masses, taken
    from there, but few other properties.)

    Differences from matminer's ``ElementProperty.from_preset("magpie")`` (0.10), feature by feature of its order
    (property by property, each with minimum, maximum, range, mean, deviation, mode):

    - there are 18 of its 22 properties: ground-state volume, band gap, magnetic moment and space group are results of
      a certain database and are left out; give them in ``tables`` if you have them;
    - atomic number, group, period and the numbers of electrons are the same for all elements;
    - masses are newer: half of them differ, by at most 1 %;
    - covalent radii are the same but in Å instead of pm, and known for Bk to Lr, too;
    - electronegativities differ for Kr, Tc, Lu, W, Pt, Au, Hg, Tl, Pb, Bi, U, Np and Pu, are known for He, Ne, Ar, Rn
      and Lr, too, and are missing for Pm, Eu, Tb (which have the mean of their neighbours there) and Yb;
    - melting points differ by more than 1 % for Er, Th and Bk, and for 18 others by less; they are known for He and
      Fr, too;
    - Mendeleev numbers are those of Pettifor (1984) in pymatgen, counted the other way: no feature agrees;
    - matminer replaces missing values silently by the mean over all elements, as ``missing="impute"`` does here.

    References
    ----------
    Ward, Agrawal, Choudhary and Wolverton, npj Comput. Mater. 2, 16028 (2016).

    Examples
    --------
    >>> composition = ElementProperty(properties=["electronegativity"], statistics=["mean", "range"])
    >>> composition.create(["NaCl", "CuSO4.5H2O"]).round(3)
    array([[2.045, 2.23 ],
           [2.735, 1.54 ]])
    """

    def __init__(
        self,
        properties: str | Sequence[str] = "default",
        statistics: Sequence[str] = tuple(_STATISTICS),
        missing: str = "raise",
        tables: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        self._initialise(locals())

    def _layout(self) -> Layout:
        names, statistics = self._names(), tuple(self.statistics)
        of_property, of_statistic = np.indices((len(names), len(statistics)))
        axes = [
            Axis("element properties", names, levels=of_property.ravel()),
            Axis("statistics", statistics, levels=of_statistic.ravel()),
        ]
        return Layout("ElementProperty", [Block((), axes)])

    def _validate(self) -> None:
        check_choice("missing", self.missing, ("raise", "nan", "impute"))
        given = {} if self.tables is None else self.tables
        if not isinstance(given, Mapping) or not all(isinstance(table, Mapping) for table in given.values()):
            raise TypeError(f"tables must be None or a dict of dicts, got {given!r}")
        if self.tables is not None:
            check_filled("tables", given)
        for name, table in given.items():
            _own_table(name, check_filled(f"tables: {name}", table))
        known = {*_BUILT_IN, *_FROM_PYMATGEN, *given}
        if isinstance(self.properties, str):
            check_choice("properties", self.properties, _PRESETS)
        else:
            check_names("properties", self.properties, sorted(known))
        check_names("statistics", self.statistics, tuple(_STATISTICS))

    def _names(self) -> tuple[str, ...]:
        return _PRESETS[self.properties] if isinstance(self.properties, str) else tuple(self.properties)

    def _table(self) -> FloatArray:
        """Return the properties of all elements, shape (N_ELEMENTS, n_properties); nan where missing."""
        own = self.tables or {}
        return np.column_stack(
            [_own_table(name, own[name]) if name in own else _known_table(name) for name in self._names()]
        )

    def _features(self, flat: Contents) -> FloatArray:
        table, names = self._table(), self._names()
        used = table[flat.elements]
        if self.missing == "raise" and np.isnan(used).any():
            entry, column = (int(i) for i in np.argwhere(np.isnan(used))[0])
            which = locate(flat.offsets, entry)[0]
            symbol = chemical_symbols[int(flat.elements[entry]) + 1]
            rule = f"{names[column]} of {symbol} is not known: choose missing='nan' or 'impute', give it in tables"
            raise CompositionError(which, None, f"{rule}, or leave the property out")
        if self.missing == "impute":
            known = np.isfinite(table)
            if not known.any(axis=0).all():
                name = names[int(np.argmin(known.any(axis=0)))]
                raise ValueError(f"{name} is known for no element: there is nothing to impute from")
            means = np.where(known, table, 0).sum(axis=0) / known.sum(axis=0)
            used = np.where(np.isnan(used), means, used)
        n = len(flat.offsets) - 1
        results = np.stack([_STATISTICS[name](used, flat) for name in self.statistics], axis=2)
        if self.missing == "nan":  # also where the mode, say, is that of another element
            unknown = np.logical_or.reduceat(np.isnan(used), flat.offsets[:-1], axis=0)
            results[unknown] = np.nan
        return np.ascontiguousarray(results.reshape(n, -1))


# Properties ----------------------------------------------------------------------------------------------------


def _own_table(name: Any, table: Mapping[Any, Any]) -> FloatArray:
    values = np.full(N_ELEMENTS, np.nan)
    for symbol, value in table.items():
        z = atomic_numbers.get(symbol, 0) if isinstance(symbol, str) else 0
        if not 1 <= z <= N_ELEMENTS:
            raise ValueError(f"tables: {name}: keys must be symbols of elements up to Lr, got {symbol!r}")
        if not isinstance(value, Real) or isinstance(value, bool | np.bool_) or np.isinf(float(value)):
            raise ValueError(f"tables: {name} of {symbol} must be a finite number, or nan where missing, got {value!r}")
        values[z - 1] = float(value)
    return values


@lru_cache(maxsize=64)
def _known_table(name: str) -> FloatArray:
    """Return one property of hydrogen to lawrencium, nan where it is not known."""
    if name in _FROM_PYMATGEN:
        return _pymatgen_table(_FROM_PYMATGEN[name])
    if name == "electronegativity":
        return pauling_electronegativity()
    if name not in _ELECTRONS:
        return element_properties(range(1, N_ELEMENTS + 1), [name])[:, 0]
    electrons = ground_states()
    unfilled = np.where(electrons > 0, np.array(list(_SHELLS.values())) - electrons, 0)
    columns = [*electrons.T, electrons.sum(axis=1), *unfilled.T, unfilled.sum(axis=1)]
    return np.asarray(columns[_ELECTRONS.index(name)], dtype=np.float64)


def _pymatgen_table(attribute: str) -> FloatArray:
    try:
        from pymatgen.core import Element
    except ImportError as error:
        raise ImportError(
            f"properties: {attribute} comes from pymatgen, which is not installed: {how_to_install('pymatgen')}"
        ) from error
    values = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what is missing, which is reported where it is used
        for z in range(1, N_ELEMENTS + 1):
            value = getattr(Element.from_Z(z), attribute)
            values.append(float("nan") if value is None else float(value))
    return np.array(values)
