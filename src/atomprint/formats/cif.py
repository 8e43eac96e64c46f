"""Crystals from CIF text: all atoms of the cell, or an error where the text leaves doubt which they are."""

from __future__ import annotations

import re
import warnings
from io import StringIO

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.geometry import cellpar_to_cell

from atomprint.chemistry.formula import parse_formula, reduced_formula

_OCCUPANCY_TOLERANCE = 1e-3
"""How far an occupancy may be from 1, for the rounding of whoever wrote the file."""

# The form in which pymatgen writes a cell without symmetry. Most CIF texts in machine learning have it, and it needs no
# general parser, which takes ten times as long.
_P1 = re.compile(
    r"\s*(?:#[^\n]*\n)*data_[^\n]*\n"
    r"_symmetry_space_group_name_H-M +'P 1'\n"
    r"_cell_length_a +([\d.]+)\n_cell_length_b +([\d.]+)\n_cell_length_c +([\d.]+)\n"
    r"_cell_angle_alpha +([\d.]+)\n_cell_angle_beta +([\d.]+)\n_cell_angle_gamma +([\d.]+)\n"
    r"_symmetry_Int_Tables_number +1\n"
    r"_chemical_formula_structural +[^\n]+\n_chemical_formula_sum +'?([^\n']+)'?\n"
    r"_cell_volume +[^\n]+\n_cell_formula_units_Z +[^\n]+\n"
    r"loop_\n *_symmetry_equiv_pos_site_id\n *_symmetry_equiv_pos_as_xyz\n *1 +'x, y, z'\n"
    r"loop_\n *_atom_site_type_symbol\n *_atom_site_label\n *_atom_site_symmetry_multiplicity\n"
    r" *_atom_site_fract_x\n *_atom_site_fract_y\n *_atom_site_fract_z\n *_atom_site_occupancy\n"
    r"((?: *[A-Z][a-z]? +\S+ +1(?: +-?[\d.]+){3} +1(?:\.0*)?\n?)+)\s*"
)


def crystal_of_cif(text: str) -> Atoms:
    """Return the crystal that a CIF text describes, expanded by its symmetry.

    Raises
    ------
    ValueError
        If there is not exactly one crystal in the text, or :func:`crystals_of_cif` fails.
    """
    crystals = crystals_of_cif(text)
    if len(crystals) != 1:
        raise ValueError(f"a CIF must hold one crystal here, got {len(crystals)}")
    return crystals[0]


def crystals_of_cif(text: str) -> list[Atoms]:
    """Return all crystals in a CIF text, each expanded by its symmetry.

    Raises
    ------
    ValueError
        If the text is no CIF, a crystal is disordered (a site is occupied in part), two of its sites coincide, or its
        atoms do not make its ``_chemical_formula_sum`` (where that is a formula), as when atoms or lines are missing.
    """
    text = text.replace("\r\n", "\n")
    simple = _read_p1(text)
    if simple is not None:
        return [simple]
    from ase.io.cif import parse_cif

    try:
        # What ASE warns about is looked at one by one below.
        with warnings.catch_warnings(record=True):
            blocks = [block for block in parse_cif(StringIO(text)) if block.has_structure()]
    except Exception as error:  # ASE's parser raises whatever it meets
        raise ValueError(f"this is no CIF that ASE can read: {error!r}") from error
    if not blocks:
        raise ValueError("this CIF has no atoms in it")
    return [_read_block(block) for block in blocks]


def _read_block(block: object) -> Atoms:
    _check_occupancies(block)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            atoms = block.get_atoms()  # type: ignore[attr-defined]
    except Exception as error:  # ASE's parser raises whatever it meets
        raise ValueError(f"ASE cannot build the crystal of this CIF: {error!r}") from error
    for warning in caught:
        if "are equivalent" in str(warning.message):
            raise ValueError(f"two sites of this CIF coincide: {warning.message}")
    if atoms.cell.rank != 3:
        raise ValueError("this CIF has no unit cell")
    _check_formula(atoms, block.get("_chemical_formula_sum"))  # type: ignore[attr-defined]
    return Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)


def _check_occupancies(block: object) -> None:
    occupancies = block.get("_atom_site_occupancy")  # type: ignore[attr-defined]
    labels = block.get("_atom_site_label") or block.get("_atom_site_type_symbol")  # type: ignore[attr-defined]
    for label, occupancy in zip(labels or (), occupancies or (), strict=False):
        if occupancy in (".", "?"):
            continue  # not given, and the default of CIF is 1
        if not isinstance(occupancy, int | float) or abs(occupancy - 1) > _OCCUPANCY_TOLERANCE:
            raise ValueError(f"this crystal is disordered: site {label} has an occupancy of {occupancy}, not 1")


def _read_p1(text: str) -> Atoms | None:
    """Read the common simple form; None for anything else."""
    found = _P1.fullmatch(text)
    if found is None:
        return None
    *parameters, formula, sites = found.groups()
    cells = sites.split()
    try:
        numbers = [atomic_numbers[symbol] for symbol in cells[::7]]
        scaled = np.array([cells[3::7], cells[4::7], cells[5::7]], dtype=np.float64).T
        cell = cellpar_to_cell(np.array(parameters, dtype=np.float64))
    except (KeyError, ValueError):
        return None
    atoms = Atoms(numbers=numbers, positions=scaled @ cell, cell=cell, pbc=True)
    _check_formula(atoms, formula)
    return atoms


def _check_formula(atoms: Atoms, formula: object) -> None:
    try:
        stated = reduced_formula(parse_formula(str(formula)))
    except ValueError:
        return  # none, or of a form that is no plain formula
    symbols = atoms.symbols.indices()
    found = reduced_formula({symbol: float(len(where)) for symbol, where in symbols.items()})
    if found != stated:
        raise ValueError(
            f"the atoms of this CIF make {found}, but its _chemical_formula_sum is {stated}: some are missing, or wrong"
        )
