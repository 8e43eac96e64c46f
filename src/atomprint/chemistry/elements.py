"""Properties of the elements, and embeddings of the elements made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from ase.data import atomic_masses, chemical_symbols, covalent_radii

from atomprint.util.parameters import CheckedParameters
from atomprint.util.registry import public
from atomprint.util.types import FloatArray, Indices
from atomprint.util.validation import check_bool, check_integer, check_names, check_real, check_species, species_number

N_ELEMENTS = 103
"""The table covers hydrogen (1) to lawrencium (103): beyond, too little is measured."""

DEFAULT_PROPERTIES = (
    "period",
    "valence_s",
    "valence_p",
    "valence_d",
    "valence_f",
    "electronegativity",
    "covalent_radius",
    "ionization_energy",
)
"""What elements are compared by, where nothing else is named."""

# Pauling electronegativity: L. Pauling, The Nature of the Chemical Bond, 3rd ed., Cornell (1960), with the
# revisions of A. L. Allred, J. Inorg. Nucl. Chem. 17, 215 (1961), as listed in the CRC Handbook of Chemistry
# and Physics. There is none for He, Ne, Ar, Kr and Rn: theirs are on Allen's scale, which has the same unit
# (L. C. Allen, J. Am. Chem. Soc. 111, 9003 (1989)). Pauling gives 1.3 for all of Np to No; Lr is given the
# same. Missing (nan, interpolated linearly in the atomic number): Pm, Eu, Tb, Yb.
_NAN = float("nan")
# fmt: off
_ELECTRONEGATIVITY = (
    2.20, 4.160,
    0.98, 1.57, 2.04, 2.55, 3.04, 3.44, 3.98, 4.787,
    0.93, 1.31, 1.61, 1.90, 2.19, 2.58, 3.16, 3.242,
    0.82, 1.00, 1.36, 1.54, 1.63, 1.66, 1.55, 1.83, 1.88, 1.91, 1.90, 1.65,
    1.81, 2.01, 2.18, 2.55, 2.96, 2.966,
    0.82, 0.95, 1.22, 1.33, 1.60, 2.16, 2.10, 2.20, 2.28, 2.20, 1.93, 1.69,
    1.78, 1.96, 2.05, 2.10, 2.66, 2.60,
    0.79, 0.89, 1.10, 1.12, 1.13, 1.14, _NAN, 1.17, _NAN, 1.20, _NAN, 1.22, 1.23, 1.24, 1.25, _NAN,
    1.00, 1.30, 1.50, 1.70, 1.90, 2.20, 2.20, 2.20, 2.40, 1.90, 1.80, 1.80, 1.90, 2.00, 2.20, 2.60,
    0.70, 0.90, 1.10, 1.30, 1.50, 1.70, 1.30, 1.30, 1.30, 1.30, 1.30, 1.30, 1.30, 1.30, 1.30, 1.30,
    1.30,
)

# First ionization energy in eV: A. Kramida et al., NIST Atomic Spectra Database, to 0.001 eV (Pr, Pa, Fm and
# Md are semi-empirical there).
_IONIZATION_ENERGY = (
    13.598, 24.587,
    5.392, 9.323, 8.298, 11.260, 14.534, 13.618, 17.423, 21.565,
    5.139, 7.646, 5.986, 8.152, 10.487, 10.360, 12.968, 15.760,
    4.341, 6.113, 6.562, 6.828, 6.746, 6.767, 7.434, 7.902, 7.881, 7.640, 7.726, 9.394,
    5.999, 7.899, 9.789, 9.752, 11.814, 14.000,
    4.177, 5.695, 6.217, 6.634, 6.759, 7.092, 7.119, 7.360, 7.459, 8.337, 7.576, 8.994,
    5.786, 7.344, 8.608, 9.010, 10.451, 12.130,
    3.894, 5.212, 5.577, 5.539, 5.470, 5.525, 5.582, 5.644, 5.670, 6.150, 5.864, 5.939, 6.022, 6.108,
    6.184, 6.254, 5.426, 6.825, 7.550, 7.864, 7.834, 8.438, 8.967, 8.959, 9.226, 10.438,
    6.108, 7.417, 7.286, 8.418, 9.318, 10.748,
    4.073, 5.278, 5.380, 6.307, 5.890, 6.194, 6.266, 6.026, 5.974, 5.992, 6.198, 6.282, 6.368, 6.500,
    6.580, 6.626, 4.960,
)
# fmt: on

# Single-bond covalent radii in Å of Bk to Lr, which ase.data.covalent_radii (B. Cordero et al., Dalton Trans.
# 2832 (2008)) lacks: P. Pyykkö and M. Atsumi, Chem. Eur. J. 15, 186 (2009).
_HEAVY_RADII = (1.68, 1.68, 1.65, 1.67, 1.73, 1.76, 1.61)

_NOBLE_GASES = (0, 2, 10, 18, 36, 54, 86, 118)


def _periodic_table() -> dict[str, FloatArray]:
    """Return what follows from an element's place in the periodic table."""
    numbers = np.arange(1, N_ELEMENTS + 1)
    period = np.searchsorted(_NOBLE_GASES, numbers)
    last = np.take(_NOBLE_GASES, period)
    rest = numbers - np.take(_NOBLE_GASES, period - 1)
    before_d = np.where(period >= 6, 16, np.where(period >= 4, 2, rest))  # electrons before the d block
    s = np.minimum(rest, 2)
    f = np.where((period >= 6) & (rest <= 16), rest - s, 0)
    d = np.where((rest > before_d) & (rest <= before_d + 10), rest - before_d, 0)
    p = np.where((numbers > last - 6) & (period > 1), numbers - last + 6, 0)
    group = np.where(p > 0, 12 + p, np.where(d > 0, 2 + d, np.where(f > 0, 3, rest)))
    group[1] = 18  # helium
    table = {"period": period, "group": group, "valence_s": s, "valence_p": p, "valence_d": d, "valence_f": f}
    return {name: column.astype(np.float64) for name, column in table.items()}


# Ground states of neutral atoms outside the noble-gas core that do not follow the order ns, (n - 2)f, (n - 1)d, np:
# A. Kramida et al., NIST Atomic Spectra Database. Electrons in s, p, d and f.
_IRREGULAR = {
    "Cr": (1, 0, 5, 0), "Cu": (1, 0, 10, 0),
    "Nb": (1, 0, 4, 0), "Mo": (1, 0, 5, 0), "Ru": (1, 0, 7, 0), "Rh": (1, 0, 8, 0), "Pd": (0, 0, 10, 0),
    "Ag": (1, 0, 10, 0),
    "La": (2, 0, 1, 0), "Ce": (2, 0, 1, 1), "Gd": (2, 0, 1, 7), "Pt": (1, 0, 9, 14), "Au": (1, 0, 10, 14),
    "Ac": (2, 0, 1, 0), "Th": (2, 0, 2, 0), "Pa": (2, 0, 1, 2), "U": (2, 0, 1, 3), "Np": (2, 0, 1, 4),
    "Cm": (2, 0, 1, 7), "Lr": (2, 1, 0, 14),
}  # fmt: skip


def ground_states() -> npt.NDArray[np.int64]:
    """Return the s, p, d and f electrons outside the noble-gas core of neutral atoms in their ground state.

    Returns
    -------
    ndarray of int, shape (103, 4)
        Hydrogen first. Filled d and f shells count: gallium has 2, 1, 10 and 0.
    """
    shells = np.zeros((N_ELEMENTS, 4), dtype=np.int64)
    for z in range(1, N_ELEMENTS + 1):
        period = int(np.searchsorted(_NOBLE_GASES, z))
        left = z - _NOBLE_GASES[period - 1]
        capacity = {0: 2, 3: 14 if period >= 6 else 0, 2: 10 if period >= 4 else 0, 1: 6 if period >= 2 else 0}
        for shell, most in capacity.items():
            shells[z - 1, shell] = min(most, left)
            left -= min(most, left)
        shells[z - 1] = _IRREGULAR.get(chemical_symbols[z], shells[z - 1])
    return shells


def pauling_electronegativity() -> FloatArray:
    """Return electronegativities of hydrogen to lawrencium, nan for Pm, Eu, Tb and Yb; Allen's for noble gases."""
    return np.array(_ELECTRONEGATIVITY)


def _all_properties() -> Mapping[str, FloatArray]:
    numbers = np.arange(1.0, N_ELEMENTS + 1)
    electronegativity = np.array(_ELECTRONEGATIVITY)
    known = np.isfinite(electronegativity)
    radii = np.array(covalent_radii[1 : N_ELEMENTS + 1], dtype=np.float64)
    radii[-len(_HEAVY_RADII) :] = _HEAVY_RADII
    return MappingProxyType(
        {
            "atomic_number": numbers,
            "mass": np.array(atomic_masses[1 : N_ELEMENTS + 1], dtype=np.float64),
            **_periodic_table(),
            "electronegativity": np.interp(numbers, numbers[known], electronegativity[known]),
            "covalent_radius": radii,
            "ionization_energy": np.array(_IONIZATION_ENERGY),
        }
    )


_PROPERTIES = _all_properties()


def element_properties(species: Sequence[str | int], properties: Sequence[str] = DEFAULT_PROPERTIES) -> FloatArray:
    """Return tabulated properties of elements.

    Parameters
    ----------
    species : sequence of str or int
        Chemical symbols or atomic numbers up to lawrencium (103), in any order.
    properties : sequence of str
        Any of

        - ``"atomic_number"``, ``"mass"`` (u, ``ase.data.atomic_masses``), ``"period"``, ``"group"`` (3 for
          the whole f block);
        - ``"valence_s"``, ``"valence_p"``, ``"valence_d"``, ``"valence_f"``: valence electrons by the place
          in the periodic table, without the irregular ground states (Cu counts as d9 s2), and without filled
          d and f shells in later blocks (Ga counts as s2 p1). La to Yb and Ac to No make up the f block;
        - ``"electronegativity"`` on Pauling's scale; on Allen's, which has the same unit, for He, Ne, Ar, Kr
          and Rn; interpolated linearly in the atomic number for Pm, Eu, Tb and Yb;
        - ``"covalent_radius"`` (Å, Cordero 2008; Pyykkö 2009 from Bk on);
        - ``"ionization_energy"`` (first, eV, NIST).

    Returns
    -------
    ndarray of float64, shape (n_species, n_properties)

    Raises
    ------
    ValueError, TypeError
        If a species or a property is unknown.
    """
    names = check_property_names(properties)
    rows = rows_of(species)
    return np.column_stack([_PROPERTIES[name][rows] for name in names])


def element_embedding(
    species: Sequence[str | int],
    n_channels: int,
    properties: Sequence[str] = DEFAULT_PROPERTIES,
    length_scale: float = 0.7,
) -> FloatArray:
    """Return one short vector for each element, such that similar elements have similar vectors.

    The shorthand of :class:`ElementEmbedding`, which see, for given species.

    Returns
    -------
    ndarray of float64, shape (n_species, n_channels)
        Rows of unit length, in the order of ``species``.
    """
    return ElementEmbedding(n_channels, properties, length_scale).matrix(species)


@public("ElementEmbedding", version=1, in_recipes=True)
class ElementEmbedding(CheckedParameters):
    r"""Ready-made embedding of the elements in a few channels, from their tabulated properties.

    For elements *a* and *b*, whose properties standardised over the periodic table are :math:`x_a` and
    :math:`x_b`, the similarity is the kernel

    .. math:: K_{ab} = \exp\left(-\frac{|x_a - x_b|^2}{2 P s^2}\right)

    with *P* properties and the length scale *s*. Its leading eigenvectors, scaled by the roots of their
    eigenvalues, are the ``n_channels`` channels whose scalar products are closest to *K* in the mean square;
    every row is then scaled to unit length, so that all elements weigh the same. The kernel spans the whole
    table, H to Lr: an element's row never depends on what else is in a data set.

    With one channel all rows are 1, and elements are not told apart. From two channels on, elements that
    differ in any of the properties have different rows.

    Parameters
    ----------
    n_channels : int
        Number of channels, 1 to 103.
    properties : sequence of str
        Names of properties; see :func:`element_properties`.
    length_scale : float
        *s*: by how many standard deviations, in the root mean square over the properties, two elements may
        differ and still be alike. Smaller values tell elements better apart, and need more channels for it.

    Notes
    -----
    Kernels between elements for SOAP were proposed in [1]_, there with two properties and optimised length
    scales; mixing species into few channels is analysed in [2]_.

    References
    ----------
    .. [1] M. J. Willatt, F. Musil, M. Ceriotti, "Feature optimization for atomistic machine learning yields a
       data-driven construction of the periodic table of the elements", Phys. Chem. Chem. Phys. 20, 29661
       (2018).
    .. [2] J. P. Darby, D. P. Kovács, I. Batatia, M. A. Caro, G. L. W. Hart, C. Ortner, G. Csányi,
       "Tensor-reduced atomic density representations", Phys. Rev. Lett. 131, 028001 (2023).

    Examples
    --------
    >>> ElementEmbedding(n_channels=4).matrix(["C", "N", "O"]).shape
    (3, 4)
    """

    def __init__(
        self, n_channels: int = 8, properties: Sequence[str] = DEFAULT_PROPERTIES, length_scale: float = 0.7
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        self._key()

    def matrix(self, species: Sequence[str | int]) -> FloatArray:
        """Return the embedding of given elements.

        Parameters
        ----------
        species : sequence of str or int
            Chemical symbols or atomic numbers up to lawrencium (103).

        Returns
        -------
        ndarray of float64, shape (n_species, n_channels)
            Rows of unit length, in the order of ``species``.

        Raises
        ------
        ValueError, TypeError
            If a species is unknown, or elements are so unlike each other (small ``length_scale``) that
            ``n_channels`` channels cannot hold them.
        """
        return _embedding(*self._key())[rows_of(species)]

    def names(self, species: Sequence[str | int]) -> list[str]:
        """Return the names of the channels, "channel1" and so on, the same for all elements."""
        return [f"channel{k + 1}" for k in range(self._key()[0])]

    def _key(self) -> tuple[int, tuple[str, ...], float]:
        n_channels = check_integer("n_channels", self.n_channels, minimum=1)
        if n_channels > N_ELEMENTS:
            raise ValueError(f"n_channels must be <= {N_ELEMENTS}, the number of elements, got {n_channels}")
        length_scale = check_real("length_scale", self.length_scale, above=0)
        return n_channels, check_property_names(self.properties), length_scale

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, ElementEmbedding) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())


@public("PropertyChannels", version=1, in_recipes=True)
class PropertyChannels(CheckedParameters):
    r"""Embedding of the elements in their tabulated properties themselves: each is a channel with a name.

    Properties are standardised over the whole table, H to Lr, so that an element's row never depends on what else is
    in a data set. Unlike those of :class:`ElementEmbedding`, channels have a meaning, and elements far from the rest
    keep their distance: trends can go on beyond the elements that a model has seen.

    Parameters
    ----------
    properties : sequence of str
        Names of properties; see :func:`element_properties`.
    scale : float
        What all standardised properties are multiplied by, to be compared with the constant.
    constant : bool
        Whether there is a first channel that is 1 for all elements. In a density of atoms it tells where atoms are,
        whatever they are.

    Examples
    --------
    >>> PropertyChannels(["period", "electronegativity"]).matrix(["Na", "Cl"]).shape
    (2, 3)
    """

    def __init__(
        self, properties: Sequence[str] = DEFAULT_PROPERTIES, scale: float = 1.0, constant: bool = True
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        self._key()

    def matrix(self, species: Sequence[str | int]) -> FloatArray:
        """Return the channels of given elements.

        Parameters
        ----------
        species : sequence of str or int
            Chemical symbols or atomic numbers up to lawrencium (103).

        Returns
        -------
        ndarray of float64, shape (n_species, n_channels)
            In the order of ``species``.

        Raises
        ------
        ValueError, TypeError
            If a species is unknown.
        """
        properties, scale, constant = self._key()
        channels = scale * _standardised(properties)[rows_of(species)]
        return np.column_stack([np.ones(len(channels)), channels]) if constant else channels

    def names(self, species: Sequence[str | int]) -> list[str]:
        """Return the names of the channels, the same for all elements: "constant" and the properties."""
        properties, _, constant = self._key()
        return ["constant", *properties] if constant else list(properties)

    def _key(self) -> tuple[tuple[str, ...], float, bool]:
        scale = check_real("scale", self.scale, above=0)
        return check_property_names(self.properties), scale, check_bool("constant", self.constant)

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, PropertyChannels) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())


def check_channels(channels: Any) -> tuple[Any, ...]:
    """Return channels as a tuple of embeddings and "species", or raise if they are anything else."""
    parts = tuple(channels) if isinstance(channels, list | tuple) else (channels,)
    for part in parts:
        if not ((isinstance(part, str) and part == "species") or isinstance(part, ElementEmbedding | PropertyChannels)):
            raise TypeError(
                f"channels must be 'species', an ElementEmbedding, PropertyChannels, or a list of these, got {part!r}"
            )
    if not parts:
        raise ValueError("channels must hold at least one embedding, got none")
    return parts


def channel_table(channels: Any, species: Sequence[str | int]) -> tuple[list[str], FloatArray]:
    """Return the channels of elements, side by side.

    Parameters
    ----------
    channels : "species", ElementEmbedding, PropertyChannels, or list of these
        "species" stands for one channel for each element, 1 for this element and 0 for others.
    species : sequence of str or int
        Chemical symbols or atomic numbers.

    Returns
    -------
    names : list of str
        Of the channels: "channel1" …, properties, symbols.
    table : ndarray of float64, shape (n_species, n_channels)

    Raises
    ------
    ValueError, TypeError
        If a channel is unknown, or two have the same name.
    """
    names: list[str] = []
    columns = []
    for part in check_channels(channels):
        if isinstance(part, str):
            names += [chemical_symbols[species_number(item)] for item in species]
            columns.append(np.eye(len(species)))
        else:
            names += part.names(species)
            columns.append(part.matrix(species))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"channels must have different names, got several called {', '.join(twice)}")
    return names, np.column_stack(columns)


@lru_cache(maxsize=16)
def _standardised(properties: tuple[str, ...]) -> FloatArray:
    """Return properties of the whole table with mean 0 and standard deviation 1, (N_ELEMENTS, n_properties)."""
    x = np.column_stack([_PROPERTIES[name] for name in properties])
    x = np.asarray((x - x.mean(axis=0)) / x.std(axis=0))
    x.flags.writeable = False
    return x


def element_similarity(properties: Sequence[str], length_scale: float) -> FloatArray:
    """Return the similarity of all elements, H to Lr, as in :class:`ElementEmbedding`: (N_ELEMENTS, N_ELEMENTS)."""
    x = _standardised(check_property_names(properties))
    distance = np.mean((x[:, None] - x) ** 2, axis=2)
    return np.asarray(np.exp(-0.5 * distance / length_scale**2))


@lru_cache(maxsize=16)
def _embedding(n_channels: int, properties: tuple[str, ...], length_scale: float) -> FloatArray:
    """Return the embedding of the whole table, shape (N_ELEMENTS, n_channels)."""
    values, vectors = np.linalg.eigh(element_similarity(properties, length_scale))
    values, vectors = values[::-1][:n_channels], vectors[:, ::-1][:, :n_channels]
    values = np.where(values > 1e-12 * values[0], values, 0.0)  # below: rounding, not similarity
    largest = np.argmax(np.abs(vectors), axis=0)  # an eigenvector has no sign: make this component positive
    signs = np.sign(vectors[largest, np.arange(n_channels)])
    embedding = vectors * (signs * np.sqrt(values))
    norms = np.linalg.norm(embedding, axis=1, keepdims=True)
    if norms.min() < 1e-6:
        raise ValueError(
            f"length_scale must be larger for n_channels={n_channels} to hold all elements, got {length_scale}"
        )
    return np.asarray(embedding / norms)


def check_property_names(properties: Any) -> tuple[str, ...]:
    """Return names of properties of elements, or raise."""
    return check_names("properties", properties, _PROPERTIES)


def rows_of(species: Sequence[str | int]) -> Indices:
    """Return the rows of elements in the table, in the order in which they are given."""
    heaviest = max(check_species(species))
    if heaviest > N_ELEMENTS:
        raise ValueError(
            f"species must be elements up to {chemical_symbols[N_ELEMENTS]} ({N_ELEMENTS}), "
            f"got {chemical_symbols[heaviest]}"
        )
    return _rows_of(tuple(species))


@lru_cache(maxsize=256)  # the same species are asked for in every call
def _rows_of(species: tuple[str | int, ...]) -> Indices:
    rows = np.array([species_number(item) - 1 for item in species])
    rows.flags.writeable = False
    return rows
