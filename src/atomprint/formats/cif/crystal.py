"""The crystal of a block: its cell and sites, judged, in each space group that it may mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache, partial
from math import cos, radians, sin, sqrt

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.data import chemical_symbols

from atomprint.formats.cif.blocks import Block, numbers, unquoted
from atomprint.formats.cif.composition import Formula, check_composition, fills_cell, read_formula
from atomprint.formats.cif.groups import TRIVIAL, Group
from atomprint.formats.cif.orbits import expand
from atomprint.formats.cif.symbols import element_of, sure_element, with_hydrogen
from atomprint.formats.cif.symmetry import groups_of
from atomprint.formats.judge import CLOSE_DISTANCE, check_distances, is_whole
from atomprint.util.types import FloatArray

_SITE = "_atom_site_"
_FRACTIONAL = tuple(f"{_SITE}fract_{axis}" for axis in "xyz")
_CARTESIAN = tuple(f"{_SITE}cartn_{axis}" for axis in "xyz")
_CELL = (
    *((f"_cell_length_{name}", CLOSE_DISTANCE, 1e5) for name in "abc"),
    *((f"_cell_angle_{name}", 0.0, 180.0) for name in ("alpha", "beta", "gamma")),
)
_CELL_TAGS = tuple(tag for tag, _, _ in _CELL)
_READ = tuple(
    f"{_SITE}{name}"
    for name in ("label", "type_symbol", "occupancy", "disorder_group", "disorder_assembly", "calc_flag")
)
_MODULATED = (
    "_cell_modulation_dimension",
    "_cell_wave_vector",
    "_cell_subsystem",
    "_space_group_ssg",
    "_space_group_symop_ssg",
    "_atom_site_fourier",
    "_atom_site_displace_fourier",
    "_atom_site_displace_special",
    "_atom_site_occ_fourier",
    "_atom_site_occ_special",
)
_MACROMOLECULE = ("_atom_site_group_pdb", "_atom_site_label_comp_id", "_atom_site_auth_comp_id")
_FULL_OCCUPANCIES = frozenset({"1", "1.0", "1.00", "1.000", "1.0000", "1.", "?", "."})
_SAME_PLACE = 0.01  # Å; an atom that a file lists again
_FARTHEST = 1000.0  # cells or Å; a coordinate beyond has lost its digits, or is none
_VOLUME_TOLERANCE = 0.01
_MOST_FIXING = 48  # operations of a cubic point group, the largest
_PERIODIC = np.ones(3, dtype=np.bool_)


@dataclass(slots=True)
class Sites:
    """The sites of a block that hold an atom.

    Parameters
    ----------
    names : list of str
        Labels.
    numbers : list of int
        Atomic numbers.
    places : ndarray, shape (n, 3)
        Fractional coordinates.
    written : list of three columns of str
        The coordinates as they are written, or nothing where they were derived.
    multiplicities : callable
        Returns how many atoms of the cell are of each site, where the file says so.
    """

    names: list[str]
    numbers: list[int]
    places: FloatArray
    written: list[list[str]]
    multiplicities: Callable[[], list[float | None]]


def crystal_of_block(block: Block, allow_close: bool, most_atoms: int | None = None) -> Atoms | None:
    """Return the crystal of a block, None if it has no atoms.

    Raises
    ------
    ValueError
        See :func:`~atomprint.formats.cif.crystals_of_cif`.
    """
    if not (n_rows := _n_rows(block)):
        return None
    _check_kind(block)
    _check_size(n_rows, most_atoms)
    cell = _cell(block)
    formula = None
    if (text := block.value("_chemical_formula_sum")) is not None:
        formula = read_formula(text)
    sites = _sites(block, cell, formula)
    units = block.number("_cell_formula_units_z")
    if units is not None and not 0 < units < 1e6:
        units = None
    groups = groups_of(block, cell)
    if not groups:
        counts = Counter(chemical_symbols[z] for z in sites.numbers)
        listed = all(m == 1 for m in sites.multiplicities())
        if not listed and not fills_cell(counts, formula, units):
            raise ValueError(
                "it says nothing of its symmetry, and nothing shows that all atoms of the cell are listed: "
                "give the space group or the operations (_space_group_name_H-M_alt 'P 1' if they are)"
            )
        groups = (TRIVIAL,)
    for group in groups:  # of a special position no more operations than this leave an atom where it is
        _check_size(len(sites.numbers) * len(group) // _MOST_FIXING, most_atoms)
    found, reasons = [], []
    for group in groups:
        try:
            found.append((group, *_build(sites, cell, group, formula, units, allow_close, most_atoms)))
        except ValueError as error:
            reasons.append(error)
    if not found:
        raise reasons[0]
    built = found[0] if len(found) == 1 else _decided(found, sites)
    if formula is None:
        _check_multiplicities(built, sites)
    _, z, scaled, _ = built
    return Atoms(numbers=z, positions=scaled @ cell, cell=cell, pbc=True)


Built = tuple[Group, npt.NDArray[np.int64], FloatArray, npt.NDArray[np.int64]]


def _build(
    sites: Sites,
    cell: FloatArray,
    group: Group,
    formula: Formula | None,
    units: float | None,
    allow_close: bool,
    most_atoms: int | None,
) -> tuple[npt.NDArray[np.int64], FloatArray, npt.NDArray[np.int64]]:
    """Return atomic numbers, fractional coordinates and sites of all atoms in one space group, or raise."""
    if len(group) == 1:
        z, scaled, owners = np.array(sites.numbers), sites.places, np.arange(len(sites.numbers))
    else:
        scaled, owners = expand(sites.places, sites.written, group, cell)
        z = np.array(sites.numbers)[owners]
    _check_size(len(z), most_atoms)

    def name(atom: int) -> str:
        x, y, z = scaled[atom] % 1.0
        return f"{sites.names[owners[atom]]} ({x:.4f} {y:.4f} {z:.4f})"

    try:
        check_distances(z, scaled @ cell, cell, _PERIODIC, name)
    except ValueError:
        kept = _listed_once(z, scaled, owners, cell, name)
        z, scaled, owners = z[kept], scaled[kept], owners[kept]
        if not allow_close:
            check_distances(z, scaled @ cell, cell, _PERIODIC, name)
    check_composition({chemical_symbols[n]: count for n, count in Counter(z.tolist()).items()}, formula, units)
    return z, scaled, owners


def _listed_once(
    z: npt.NDArray[np.int64],
    scaled: FloatArray,
    owners: npt.NDArray[np.int64],
    cell: FloatArray,
    name: Callable[[int], str],
) -> npt.NDArray[np.int64]:
    """Return the atoms without those that are listed again; raise where two elements share a place."""
    if len(z) > 5000:
        return np.arange(len(z))
    kept: list[int] = []
    for atom in range(len(z)):
        if kept:
            steps = scaled[kept] - scaled[atom]
            steps -= np.rint(steps)
            squared = np.square(steps @ cell).sum(axis=1)
            if (nearest := int(squared.argmin())) is not None and squared[nearest] < _SAME_PLACE**2:
                other = kept[nearest]
                if z[other] != z[atom]:
                    raise ValueError(f"two sites of this CIF coincide: {name(other)} and {name(atom)}")
                if owners[other] != owners[atom]:
                    continue
        kept.append(atom)
    return np.array(kept)


def _decided(found: list[Built], sites: Sites) -> Built:
    """Return the crystal, if all that are possible are the same, or the multiplicities of sites say which is meant."""
    if all(_same(found[0], other) for other in found[1:]):
        return found[0]
    matching = [built for built in found if _has_multiplicities(built, sites)]
    if len(matching) != 1:
        what = " or ".join(f"{group.name} ({len(z)} atoms)" for group, z, _, _ in found)
        raise ValueError(
            f"what it says of its symmetry may mean {what}, and these are different crystals: the exact symbol "
            "(such as 'F d -3 m:2'), all operations, or formula sum and _cell_formula_units_Z would decide"
        )
    return matching[0]


def _same(first: Built, second: Built) -> bool:
    (_, z, scaled, _), (_, others, places, _) = first, second
    if len(z) != len(others) or sorted(z.tolist()) != sorted(others.tolist()):
        return False
    for number, place in zip(z, scaled, strict=True):
        steps = places[others == number] - place
        steps -= np.rint(steps)
        if np.abs(steps).max(axis=1).min() > 1e-3:
            return False
    return True


def _has_multiplicities(built: Built, sites: Sites) -> bool:
    counts = Counter(built[3].tolist())
    return all(counts[site] == multiplicity for site, multiplicity in enumerate(sites.multiplicities()))


def _check_multiplicities(built: Built, sites: Sites) -> None:
    """Raise if sites have other numbers of atoms than the file says; some give the order of the symmetry of a site."""
    group, _, _, owners = built
    counts = Counter(owners.tolist())
    given = [(site, m) for site, m in enumerate(sites.multiplicities()) if m is not None and counts[site]]
    wrong = [(site, m) for site, m in given if m != counts[site]]
    if wrong and any(m * counts[site] != len(group) for site, m in given):
        site, m = wrong[0]
        raise ValueError(
            f"site {sites.names[site]} has a multiplicity of {m:g} by this CIF, but {counts[site]} in {group.name}"
        )


# What a block has


def has_atoms(block: Block) -> bool:
    """Return whether a block lists sites."""
    return _n_rows(block) > 0


def _n_rows(block: Block) -> int:
    """Return how many sites a block lists, dummies among them."""
    for tag in (*_FRACTIONAL, *_CARTESIAN, f"{_SITE}type_symbol", f"{_SITE}label"):
        if (raw := block.raw(tag)) and (raw[0] not in ("?", ".") or any(unquoted(value) for value in raw)):
            return len(raw)
    return 0


def _check_size(n: int, most: int | None) -> None:
    if most is not None and n > most:
        raise ValueError(f"this crystal has at least {n} atoms in its cell, and no more than {most} are read here")


@lru_cache(maxsize=4096)
def _is_of_another_kind(tag: str) -> bool:
    return tag.startswith(_MODULATED) or tag in _MACROMOLECULE


def _check_kind(block: Block) -> None:
    for tag in filter(_is_of_another_kind, block.tags()):
        if tag.startswith(_MODULATED) and not (tag == _MODULATED[0] and block.value(tag) in (None, "0")):
            raise ValueError(f"it is modulated or composite ({tag}): its atoms are those of no single cell")
        if tag in _MACROMOLECULE:
            raise ValueError(f"it is a macromolecule ({tag}), whose file does not say all atoms of the crystal")


def _cell(block: Block) -> FloatArray:
    """Return the lattice vectors, the first along x, the second in the plane of x and y, as ASE has them."""
    values = []
    for (tag, least, most), value in zip(_CELL, block.numbers(_CELL_TAGS), strict=True):
        if value is None:
            raise ValueError(f"{tag} is missing: there is no unit cell")
        if not least < value < most:
            raise ValueError(f"{tag} must be > {least:g} and < {most:g}, got {value:g}")
        values.append(value)
    a, b, c = values[:3]
    cosines = [0.0 if angle == 90 else cos(radians(angle)) for angle in values[3:]]
    u, v, w = cosines
    sine = 1.0 if values[5] == 90 else sin(radians(values[5]))
    across = (u - v * w) / sine
    height = 1 - v * v - across * across
    if height < 1e-6:
        raise ValueError(f"the angles {values[3]:g}, {values[4]:g} and {values[5]:g} of its cell enclose no volume")
    height = sqrt(height)
    stated = block.number("_cell_volume")
    volume = a * b * c * sine * height
    if stated is not None and stated > 0 and abs(stated - volume) > _VOLUME_TOLERANCE * volume:
        raise ValueError(f"its cell has a volume of {volume:.6g} Å^3, but its _cell_volume is {stated:g}")
    return np.array([[a, 0.0, 0.0], [b * w, b * sine, 0.0], [c * v, c * across, c * height]])


def _sites(block: Block, cell: FloatArray, formula: Formula | None) -> Sites:
    given, loop = _coordinate_tags(block)
    raws = [list(block.raw(tag) or ()) for tag in given]
    n = len(raws[0])
    for tag in _READ:
        if block.has(tag) and block.loop_of(tag) != loop:
            raise ValueError(f"{tag} is not in the loop of the coordinates")
    labels = block.column(f"{_SITE}label") or [None] * n
    symbols = block.column(f"{_SITE}type_symbol") or [None] * n
    names = [
        label or symbol or f"number {k + 1}" for k, (label, symbol) in enumerate(zip(labels, symbols, strict=True))
    ]
    flags = block.column(f"{_SITE}calc_flag")
    kept = range(n)
    if flags is not None and "dum" in flags:  # a point that holds no atom, whatever its name
        kept = [k for k in kept if flags[k] != "dum"]  # type: ignore[assignment]
        if not kept:
            raise ValueError("all its sites are dummies")
    _check_whole(block, names, kept)
    stated = formula.symbols if formula is not None else None
    elements = [sure_element(symbols[k], labels[k]) for k in kept]
    if 0 in elements:
        elements = [z or _element(names[k], symbols[k], labels[k], stated) for k, z in zip(kept, elements, strict=True)]
    if formula is None and 1 not in elements:
        for k, z in zip(kept, elements, strict=True):
            if with_hydrogen(labels[k], z):
                raise ValueError(f"site {names[k]} by its name is a group with hydrogen, and none is listed")
    coordinates = _coordinates(raws, given, names, kept)
    written = [[raw[k] for k in kept] for raw in raws] if len(kept) < n else raws
    if given == _CARTESIAN:
        coordinates, written = coordinates @ np.linalg.inv(_axes(block, cell)), []
    return Sites([names[k] for k in kept], elements, coordinates, written, partial(_multiplicities, block, kept))


def _element(name: str, symbol: str | None, label: str | None, stated: Set[str] | None) -> int:
    try:
        return element_of(symbol, label, stated)
    except ValueError as error:
        raise ValueError(f"site {name}: {error}") from None


def _coordinate_tags(block: Block) -> tuple[tuple[str, ...], int]:
    for tags in (_FRACTIONAL, _CARTESIAN):
        loops = [block.loop_of(tag) for tag in tags]
        if loops == [None] * 3:
            continue
        missing = [tag for tag, loop in zip(tags, loops, strict=True) if loop is None]
        if missing:
            raise ValueError(f"{missing[0]} is missing")
        if len(set(loops)) > 1:
            raise ValueError(f"{tags[0]}, y and z are not in one loop")
        return tags, loops[0] or 0
    raise ValueError("its sites have no coordinates: _atom_site_fract_x is missing")


def _coordinates(raws: list[list[str]], tags: tuple[str, ...], names: Sequence[str], kept: Sequence[int]) -> FloatArray:
    """Return the numbers in three columns, those of a site in a row."""
    chosen = raws if len(kept) == len(raws[0]) else [[raw[k] for k in kept] for raw in raws]
    try:
        found = np.array(numbers(chosen[0] + chosen[1] + chosen[2]), dtype=np.float64).reshape(3, -1)
    except ValueError:
        for tag, raw in zip(tags, chosen, strict=True):
            for k, text in zip(kept, raw, strict=True):
                try:
                    numbers([text])
                except ValueError as error:
                    raise ValueError(f"site {names[k]}, {tag}: {error}") from None
        raise
    if not np.abs(found).max() <= _FARTHEST:  # nan in place of what is not known
        axis, place = np.argwhere(~(np.abs(found) <= _FARTHEST))[0]
        raise ValueError(
            f"site {names[kept[place]]} must have a place within {_FARTHEST:g}, "
            f"its {tags[axis]} is {chosen[axis][place]}"
        )
    return found.T


def _axes(block: Block, cell: FloatArray) -> FloatArray:
    """Return the lattice vectors in the axes of the Cartesian coordinates."""
    matrix = [
        block.number(f"_atom_sites_cartn_tran_matrix_{i}{j}", f"_atom_sites_cartn_transf_matrix[{i}][{j}]")
        for i in (1, 2, 3)
        for j in (1, 2, 3)
    ]
    if None not in matrix:  # columns of Cartesian from columns of fractional coordinates
        vectors = np.array(matrix, dtype=np.float64).reshape(3, 3).T
        if np.allclose(vectors @ vectors.T, cell @ cell.T, rtol=1e-3, atol=1e-2):
            return vectors
        raise ValueError("_atom_sites_Cartn_tran_matrix has other lengths and angles than the cell")
    if np.count_nonzero(np.abs(cell) > 1e-6 * np.abs(cell).max()) > 3:
        raise ValueError("its sites have Cartesian coordinates alone, and nothing says how their axes lie in the cell")
    return cell


def _multiplicities(block: Block, kept: Sequence[int]) -> list[float | None]:
    for name in ("site_symmetry_multiplicity", "symmetry_multiplicity"):
        if (raw := block.raw(f"{_SITE}{name}")) is not None and len(raw) > max(kept):
            try:
                column = numbers(raw)
            except ValueError:
                continue
            return [column[k] for k in kept]
    return [None] * len(kept)


def _check_whole(block: Block, names: Sequence[str], kept: Sequence[int]) -> None:
    """Raise unless each site holds one atom, which stands for nothing but itself."""
    occupancies = block.raw(f"{_SITE}occupancy")
    if occupancies is not None and not _FULL_OCCUPANCIES.issuperset(occupancies):
        for k in kept:
            try:
                (share,) = numbers([occupancies[k]])
            except ValueError as error:
                raise ValueError(f"site {names[k]}, occupancy: {error}") from None
            if share is not None and not is_whole(share):
                raise ValueError(f"this crystal is disordered: site {names[k]} has an occupancy of {share:g}, not 1")
    if (attached := block.column(f"{_SITE}attached_hydrogens")) is not None:
        for k in kept:
            if attached[k] not in (None, "0"):
                raise ValueError(
                    f"site {names[k]} has {attached[k]} hydrogen atoms attached, whose places are not given"
                )
    if (alternatives := block.column(f"{_SITE}disorder_group")) is not None:
        assemblies = block.column(f"{_SITE}disorder_assembly") or [None] * len(alternatives)
        seen: dict[str | None, tuple[str, str]] = {}
        for k in kept:
            group = alternatives[k]
            if group is None or group == "0":
                continue
            first, name = seen.setdefault(assemblies[k], (group, names[k]))
            if first != group:
                raise ValueError(
                    f"this crystal is disordered: sites {name} and {names[k]} are alternatives "
                    f"(disorder groups {first} and {group})"
                )
            if group.startswith("-"):
                raise ValueError(f"this crystal is disordered: site {names[k]} and its images are alternatives")
    if (alternatives := block.column(f"{_SITE}label_alt_id")) is not None:
        for k in kept:
            if alternatives[k] is not None:
                raise ValueError(f"this crystal is disordered: site {names[k]} is alternative {alternatives[k]}")
