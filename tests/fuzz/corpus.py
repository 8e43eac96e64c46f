"""Good inputs of every kind, from which bad ones are made."""

from __future__ import annotations

import io
import json
from functools import cache
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write

from fuzz.mutate import split

CUBIC = """data_NaCl
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
_symmetry_Int_Tables_number 225
_chemical_formula_sum 'Na4 Cl4'
_cell_formula_units_Z 4
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Na1 Na+ 0 0 0 1
Cl1 Cl- 0.5 0.5 0.5 1
"""
OPERATIONS = """#comment
data_quartz
_chemical_name_mineral 'Quartz'
_cell_length_a 4.9134(2)
_cell_length_b 4.9134(2)
_cell_length_c 5.4052(3)
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
_space_group_name_H-M_alt 'P 32 2 1'
loop_
_space_group_symop_operation_xyz
'x, y, z'
'-y, x-y, z+2/3'
'-x+y, -x, z+1/3'
'y, x, -z'
'x-y, -y, -z+1/3'
'-x, -x+y, -z+2/3'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_U_iso_or_equiv
Si1 0.4697(1) 0.0000 0.0000 0.0068(3)
O1  0.4135(2) 0.2669(2) 0.1191(1) 0.0123(4)
_publ_section_comment
;
 text
 loop_ within
;
"""
DISORDER = """data_x
_cell_length_a 8
_cell_length_b 9
_cell_length_c 10
_cell_angle_alpha 80
_cell_angle_beta 95
_cell_angle_gamma 100
_symmetry_space_group_name_H-M 'P -1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
_atom_site_disorder_assembly
_atom_site_disorder_group
_atom_site_calc_flag
C1 C 0.1 0.2 0.3 1 . . d
O1A O 0.3 0.2 0.3 0.6 A 1 d
O1B O 0.33 0.22 0.3 0.4 A 2 d
H1 H 0.15 0.25 0.35 1 . . calc
W1 O 0.7 0.7 0.7 0.5 . . d
"""
XYZ = """3
water
O 0.0 0.0 0.119
H 0.0 0.763 -0.477
H 0.0 -0.763 -0.477
"""
EXTXYZ = """2
Lattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3:forces:R:3:charge:R:1 energy=-3.5 pbc="T T T" name="a b"
Na 0.0 0.0 0.0 0.1 0.2 0.3 1.0
Cl 2.5 2.5 2.5 -0.1 -0.2 -0.3 -1.0
2
Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 energy=-2.5 pbc="T T F" stress="1 2 3 4 5 6"
Si 0.0 0.0 0.0
Si 2.0 2.0 2.0
"""
POSCAR = """NaCl
1.0
 5.6 0.0 0.0
 0.0 5.6 0.0
 0.0 0.0 5.6
 Na Cl
 1 1
Selective dynamics
Direct
 0.0 0.0 0.0 T T T
 0.5 0.5 0.5 F F F
"""
POSCAR4 = """Na Cl
-175.6
 1.0 0.0 0.0
 0.0 1.0 0.0
 0.0 0.0 1.0
 1 1
Cartesian
 0.0 0.0 0.0 Na
 0.5 0.5 0.5 Cl
"""
FORMULAS = tuple(
    split(
        "NaCl Fe2O3 Ca(OH)2 K4[Fe(CN)6] CuSO4.5H2O CuSO4·5H2O Li0.5CoO2 (Ba0.5Sr0.5)TiO3 Al2(SO4)3 H2O "
        "La1.85Sr0.15CuO4 3Al2O3.2SiO2 {NaCl}2 D2O C6H12O6 Mg1-xFexO YBa2Cu3O7-δ Fe-18Cr-8Ni 4H-SiC Ni"
    )
)
RECIPE = """
title = "A recipe"
seed = 3
output = "run"
n_jobs = 1

[data]
path = "data.csv"
target = "y"
formula = "formula"
on_error = "skip"

[split]
method = "random"
test_size = 0.2
n_folds = 3

[features.elements]
type = "ElementProperty"
properties = ["mass", "period"]
statistics = ["mean", "range"]

[features.soap]
type = "SOAP"
r_cut = 4.0
n_max = 2
l_max = 1
average = "inner"
[features.soap.pooling]
type = "Pooling"
method = "mean"

[models.ridge]
alpha = 0.1

[models.forest]
type = "random_forest"
n_estimators = 5

[search]
n_candidates = 3

[evaluation]
n_repeats = 1
learning_curve = false
level = 0.9
"""


@cache
def crystals() -> list[Atoms]:
    made = [bulk("NaCl", "rocksalt", 5.64), bulk("Si"), bulk("Cu", "fcc", 3.6), bulk("ZnS", "wurtzite", 3.8, c=6.2)]
    made.append(molecule("CH3CH2OH"))
    return made


@cache
def cifs() -> tuple[str, ...]:
    written = []
    for atoms in crystals()[:4]:
        file = io.BytesIO()
        write(file, atoms, format="cif")
        written.append(file.getvalue().decode())
    return (CUBIC, OPERATIONS, DISORDER, *written)


def pymatgen_dict(atoms: Atoms) -> dict[str, Any]:
    cell = np.asarray(atoms.cell)
    scaled = atoms.get_scaled_positions()
    sites = [
        {"species": [{"element": symbol, "occu": 1}], "abc": place.tolist(), "xyz": where.tolist(), "label": symbol}
        for symbol, place, where in zip(atoms.get_chemical_symbols(), scaled, atoms.positions, strict=True)
    ]
    return {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "charge": 0,
        "lattice": {"matrix": cell.tolist(), "pbc": [True, True, True]},
        "sites": sites,
    }


def records() -> list[dict[str, Any]]:
    return [
        {"id": f"m-{i}", "structure": pymatgen_dict(atoms), "gap": 1.5 * i, "metal": i % 2 == 0}
        for i, atoms in enumerate(crystals()[:4])
    ]


def table() -> list[list[str]]:
    """Return rows of a table with a header."""
    rows = [["name", "formula", "y", "class"]]
    rows += [[f"s-{i}", FORMULAS[i % 8], f"{0.5 * i - 1:.3f}", "ab"[i % 2]] for i in range(6)]
    return rows


def as_json(value: Any) -> str:
    return json.dumps(value)
