"""CIFs: each is read as the crystal that it describes, or refused with a reason."""

import json
import re
from pathlib import Path

import gemmi
import numpy as np
import pytest
from ase.build import bulk

from atomprint.datasets import read_dataset
from atomprint.datasets.files.structures import to_atoms
from atomprint.formats.cif import crystal_of_cif, crystals_of_cif
from atomprint.formats.cif.blocks import read_blocks
from atomprint.formats.cif.groups import listed_group, named_groups
from atomprint.formats.cif.symmetry import groups_of
from atomprint.structures import as_batch

CUBE = (5.64, 5.64, 5.64, 90, 90, 90)
SILICON = (5.43, 5.43, 5.43, 90, 90, 90)
HEXAGON = (3.21, 3.21, 5.21, 90, 90, 120)
P1 = "_symmetry_space_group_name_H-M 'P 1'\n"
COLUMNS = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")
LABELS = ("label", "fract_x", "fract_y", "fract_z")
SALT = [("Na1", "Na", 0, 0, 0), ("Cl1", "Cl", 0.5, 0.5, 0.5)]
WHOLE_SALT = [
    *((f"Na{i}", "Na", *place) for i, place in enumerate([(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)])),
    *((f"Cl{i}", "Cl", *place) for i, place in enumerate([(0.5, 0.5, 0.5), (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5)])),
]
SETTINGS = list(gemmi.spacegroup_table())


def cif(sites, cell=CUBE, extra=P1, columns=COLUMNS, operations=(), tag="_space_group_symop_operation_xyz"):
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = ["data_x", *(f"_cell_{name} {value}" for name, value in zip(names, cell, strict=True)), extra.strip()]
    if operations:
        lines += ["loop_", tag, *(f"'{operation}'" for operation in operations)]
    lines += ["loop_", *(f"_atom_site_{column}" for column in columns)]
    return "\n".join([*lines, *(" ".join(map(str, site)) for site in sites), ""])


def named(name="", number=None):
    name = f"_space_group_name_H-M_alt '{name}'\n" if name else ""
    return name + (f"_space_group_IT_number {number}\n" if number else "")


def sum_of(formula, units=None):
    return f"_chemical_formula_sum '{formula}'\n" + (f"_cell_formula_units_Z {units}\n" if units else "")


def triplets(name):
    return [operation.triplet() for operation in gemmi.find_spacegroup_by_name(name).operations()]


def places(atoms):
    """Return the fractional coordinates in an order of their own."""
    scaled = np.round(atoms.get_scaled_positions() % 1, 5) % 1
    return scaled[np.lexsort(scaled.T)]


# All settings


def generic_cell(setting):
    """Return a cell with the symmetry of a setting, and no more."""
    start = 40 * np.array([[31, 1.1, -2.3], [1.1, 43, 1.7], [-2.3, 1.7, 57]])
    turns = np.array([operation.rot for operation in setting.operations().sym_ops]) / 24
    metric = np.mean([turn.T @ start @ turn for turn in turns], axis=0)
    a, b, c = np.sqrt(np.diag(metric))
    angles = np.degrees(np.arccos([metric[1, 2] / (b * c), metric[0, 2] / (a * c), metric[0, 1] / (a * b)]))
    return (*map(float, (a, b, c)), *(float(round(angle, 9)) for angle in angles))


def ways(setting):
    """Yield how a setting is written, and whether that means no other."""
    name, choice = setting.hm, setting.ext.strip("\0")
    operations = [operation.triplet() for operation in setting.operations()]
    for tag in ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz", "_space_group_symop.operation_xyz"):
        yield "loop_\n" + tag + "\n" + "".join(f"'{operation}'\n" for operation in operations), True
    other = (re.sub(r"(-?[-+xyz]+)\+(\d/\d)", r"\2+\1", text).replace("+-", "-") for text in operations)
    other = (text.replace(",", " , ").upper() for text in other)  # translations first, capitals, blanks
    yield "loop_\n_symmetry_equiv_pos_as_xyz\n" + "".join(f"'{text}'\n" for text in other), True
    yield f"_symmetry_space_group_name_Hall '{setting.hall}'\n", True
    yield f"_space_group_name_Hall '{setting.hall}'\n_symmetry_Int_Tables_number {setting.number}\n", True
    tags = ("_symmetry_space_group_name_H-M", "_space_group_name_H-M_alt", "_space_group.name_H-M_alt")
    for tag in tags[setting.number % 3 :][:1]:
        for form in (name, name.replace(" ", ""), name.replace(" ", "").upper()):
            yield f"{tag} '{form}'\n{named(number=setting.number)}", choice == ""
            if choice:
                yield f"{tag} '{form} :{choice}'\n", True
                yield f"{tag} '{form}{'' if choice in 'HR' else ':'}{choice}'\n", True
                yield f"{tag} '{form} {dict(zip('12HR', 'SZHR', strict=True))[choice]}'\n", True
    if choice:
        yield (
            f"_symmetry_space_group_name_H-M '{name}'\n_space_group_IT_coordinate_system_code {choice.lower()}\n"
            + (f"_space_group_IT_number {setting.number}\n"),
            True,
        )


def test_every_setting_in_every_way():
    """Operations, Hall symbols, names with and without blanks, numbers: the same group, or all that a name may mean."""
    rng = np.random.default_rng(0)
    for setting in SETTINGS:
        cell = generic_cell(setting)
        wanted = listed_group(tuple(operation.triplet() for operation in setting.operations()))
        matrix = None
        for extra, exact in ways(setting):
            (block,) = read_blocks(cif([], cell, extra))
            if matrix is None:
                matrix = np.linalg.cholesky(metric_of(cell))
            found = groups_of(block, matrix)
            keys = [group.keys for group in found]
            assert wanted.keys in keys, (setting.xhm(), extra)
            # Origins are left open by a name alone; axes are not, since the cell says which.
            assert len(keys) == (1 if exact or setting.ext in "HR" else 2), (setting.xhm(), extra)
        if rng.random() < 0.3:
            place = (0.137, 0.291, 0.068)
            image = np.array([operation.apply_to_xyz(place) for operation in setting.operations()]) % 1
            atoms = crystal_of_cif(cif([("C1", "C", *place)], cell, f"_space_group_name_Hall '{setting.hall}'"))
            assert places(atoms) == pytest.approx(np.round(image, 5)[np.lexsort(np.round(image, 5).T)], abs=1e-4)


def metric_of(cell):
    a, b, c, *angles = cell
    u, v, w = np.cos(np.radians(angles))
    return np.array([[a * a, a * b * w, a * c * v], [a * b * w, b * b, b * c * u], [a * c * v, b * c * u, c * c]])


def test_tables_of_pymatgen():
    """All settings in pymatgen's table by operations, and all its symbols, short and full, by name."""
    symmetry = pytest.importorskip("pymatgen.symmetry.groups")
    folder = Path(symmetry.__file__).parent
    by_symbol, matched = {}, 0
    for entry in json.loads((folder / "symm_ops.json").read_text()):
        group = listed_group(tuple(entry["symops"]))
        extra = named(entry["hermann_mauguin"].strip(), entry["number"])
        extra += "loop_\n_symmetry_equiv_pos_as_xyz\n" + "".join(f"'{text}'\n" for text in entry["symops"])
        (block,) = read_blocks(cif([], CUBE, extra))
        if group.fits(np.eye(3)):
            assert [found.keys for found in groups_of(block, np.eye(3))] == [group.keys], entry["universal_h_m"]
        for key in ("hermann_mauguin", "universal_h_m", "hermann_mauguin_u"):
            by_symbol.setdefault(entry[key], group)
        matched += any(group.keys == found.keys for tier in named_groups(entry["universal_h_m"]) for found in tier)
    assert matched == 532  # the other 220 are named by a change of axes or origin, and refused without operations
    for symbol, entry in json.loads((folder / "symm_data.json").read_text())["space_group_encoding"].items():
        for name in (symbol, entry["full_symbol"]):
            keys = [group.keys for tier in named_groups(name) for group in tier]
            assert keys, name
            assert symbol not in by_symbol or by_symbol[symbol].keys in keys, name


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("P 21/n", "P 1 21/n 1"),
        ("P2(1)2(1)2(1)", "P 21 21 21"),
        ("P 2~1~/c", "P 1 21/c 1"),
        ("P2<sub>1</sub>/c", "P 1 21/c 1"),
        (r"Fm\bar{3}m", "F m -3 m"),
        ("F m 3 m", "F m -3 m"),
        ("Fm3̄m", "F m -3 m"),
        ("P 63/m m c (no. 194)", "P 63/m m c"),
        ("F d -3 m (origin choice 2)", "F d -3 m:2"),
        ("F d d d O1", "F d d d:1"),
        ("R 3 c (hexagonal axes)", "R 3 c:H"),
        ("H 3 2", "R 3 2:H"),
        ("C m c e", "C m c a"),
        ("P 21/n 21/m 21/a", "P n m a"),
        ("F 4/m -3 2/m", "F m -3 m"),
        ("P 63/m 2/m 2/c", "P 63/m m c"),
        ("P 4/n 21/m 2/m :2", "P 4/n m m:2"),
        ("P -3 2/m 1", "P -3 m 1"),
    ],
)
def test_names_as_people_write_them(name, wanted):
    cell = generic_cell(next(setting for setting in SETTINGS if setting.xhm() == wanted))
    (block,) = read_blocks(cif([], cell, named(name)))
    assert [group.name for group in groups_of(block, np.linalg.cholesky(metric_of(cell)))] == [wanted]


@pytest.mark.parametrize("name", ["P 31 2", "P 3 12", "P 1 21", "P 42 2", "P 43 2", "P 222 1", "P 2 13", "P3 2"])
def test_blanks_between_digits_have_a_meaning(name):
    assert named_groups(name) == ()
    assert named_groups(name.replace(" ", ""))  # without any, there is one way to read it


def test_the_axis_of_a_short_monoclinic_name_is_that_of_the_cell():
    for cell, turned in (((5, 6, 7, 90, 100, 90), "P 1 2 1"), ((5, 6, 7, 90, 90, 100), "P 1 1 2")):
        site = [("C1", "C", 0.1, 0.2, 0.3)]
        assert places(crystal_of_cif(cif(site, cell, named("P 2")))) == pytest.approx(
            places(crystal_of_cif(cif(site, cell, "", operations=triplets(turned))))
        )
    with pytest.raises(ValueError, match="cell does not have the symmetry of its space group P 1 2 1"):
        crystal_of_cif(cif(SALT, (5, 6, 7, 90, 90, 100), named("P 1 2 1")))


# Symmetry that is open, incomplete or contradictory


WITHOUT_CENTRING = triplets("P m -3 m")


@pytest.mark.parametrize(
    ("text", "n_atoms"),
    [
        (cif(SALT, extra=named("F m -3 m", 225), operations=triplets("F m -3 m")), 8),
        (cif(WHOLE_SALT, extra=named("F m -3 m", 225), operations=triplets("F m -3 m")), 8),
        (cif(WHOLE_SALT, extra=named("F m -3 m", 225)), 8),
        (cif(WHOLE_SALT, extra=named("F m -3 m", 225), operations=["x,y,z"]), 8),
        (cif(SALT, extra=named("F m -3 m") + sum_of("Na Cl", 4), operations=["x,y,z"]), 8),
        (cif(SALT, extra=named("F m -3 m") + sum_of("Na Cl", 4), operations=WITHOUT_CENTRING), 8),
        (cif(SALT, extra=named("F m -3 m") + sum_of("Na Cl", 1), operations=WITHOUT_CENTRING), 2),
        (cif(WHOLE_SALT, extra=P1 + sum_of("Na4 Cl4", 4)), 8),  # as pymatgen gives the sum
        (cif(SALT, extra=sum_of("Na Cl", 1)), 2),
        (cif([(*site, 1) for site in SALT], extra="", columns=(*COLUMNS, "symmetry_multiplicity")), 2),
        (cif([("Si", "Si", 0, 0, 0)], SILICON, named("F d -3 m") + sum_of("Si", 8)), 8),
        (cif([("Si", "Si", 0.125, 0.125, 0.125)], SILICON, named(number=227) + sum_of("Si", 8)), 8),
        (cif([("Si", "Si", 0, 0, 0, 8)], SILICON, named("F d -3 m"), (*COLUMNS, "symmetry_multiplicity")), 8),
        (cif([("O", "O", 0, 0, 0), ("Cu", "Cu", 0.25, 0.25, 0.25)], CUBE, named("P n -3 m") + sum_of("Cu2 O")), 6),
        (cif([("Na", "Na", 0.1, 0.2, 0.3)], extra="", operations=["-x,-y,-z"]), 2),
        (cif([("Na", "Na", 0.1, 0.2, 0.3)], extra="", operations=["x,y,z", "x,y,z", "-x,-y,-z", "1-x,-y,-z"]), 2),
        (cif([("Na", "Na", 0.1, 0.2, 0.3)], extra=named("P 2 2 2"), operations=["x,y,z", "-x,-y,z", "x,-y,-z"]), 4),
        (cif([("Na", "Na", 0.1, 0.2, 0.3)], extra="loop_\n_symmetry_equiv_pos_as_xyz\nx, y, z\n-x, -y, -z\n"), 2),
        (cif([("Na", "Na", 0.1, 0.2, 0.3)], extra="", operations=["x,y,z", "-x+.5,y+0.5000,-z"]), 2),
    ],
)
def test_the_atoms_decide(text, n_atoms):
    assert len(crystal_of_cif(text)) == n_atoms


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (cif(SALT, extra=""), "says nothing of its symmetry"),
        (cif(SALT, extra=sum_of("Na Cl", 4)), "says nothing of its symmetry"),
        (cif(SALT, extra=sum_of("Na Cl")), "says nothing of its symmetry"),
        (cif([("Si", "Si", 0, 0, 0)], SILICON, named("F d -3 m")), "F d -3 m:1 (8 atoms) or F d -3 m:2 (16 atoms)"),
        (cif(SALT, extra=named("F m -3 m"), operations=["x,y,z"]), "P 1 (2 atoms) or F m -3 m (8 atoms)"),
        (cif(SALT, extra=named("F m -3 m"), operations=WITHOUT_CENTRING), "P m -3 m (2 atoms) or F m -3 m (8 atoms)"),
        (cif(SALT, extra=named("F m -3 m", 221)), "F m -3 m (8 atoms) or P m -3 m (2 atoms)"),
        (cif(SALT, extra=named("F x -3 m")), "space group 'F x -3 m' is unknown"),
        (cif(SALT, extra=named("F x -3 m", 225)), "space group 'F x -3 m' is unknown"),
        (cif(SALT, extra=named("P 1 2 1 (2*a+c,b,c)", 3)), "is unknown"),
        (cif(SALT, extra=named(number=231)), "must be in 1..230, got '231'"),
        (cif(SALT, extra="_space_group_name_Hall 'X 4'"), "Hall symbol 'X 4' is unknown"),
        (cif(SALT, (5.64, 5.9, 5.64, 90, 90, 90), named("F m -3 m")), "does not have the symmetry of its space group"),
        (cif(SALT, HEXAGON, named("R -3 m :R")), "does not have the symmetry of its space group R -3 m:R"),
        (cif(SALT, (5, 6, 7, 90, 90, 90), "", operations=triplets("F m -3 m")), "does not have the symmetry"),
        (cif(SALT, extra="", operations=["x,y,z", "-x,-y,z", "x,-y,-z"]), "operations are no group"),
        (cif(SALT, extra=named("P 4"), operations=["x,y,z", "-x,-y,z", "x,-y,-z"]), "no group, nor a part of P 4"),
        (cif(SALT, extra="", operations=["x,y,z", "x,x,z"]), "'x,x,z' does not map a lattice onto itself"),
        (cif(SALT, extra="", operations=["x,y,z", "-x,-y,q"]), "'-x,-y,q': it must be made of x, y, z and fractions"),
        (cif(SALT, extra="", operations=["x,y,z", "x+0.3,y,z"]), "0.3 is no multiple of 1/24"),
        (cif(SALT, extra="", operations=["x,y,z", "x+0.1234,y,z"]), "0.1234 is no multiple of 1/24"),
        (cif(SALT, extra="", operations=["x,y,z", "x+1/5,y,z"]), "x+1/5"),
    ],
)
def test_symmetry_is_refused(text, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        crystals_of_cif(text)


# Special positions


@pytest.mark.parametrize(
    ("site", "cell", "group", "n_atoms", "place"),
    [
        ((0.333, 0.667, 0.25), HEXAGON, 194, 2, (1 / 3, 2 / 3, 0.25)),
        ((0.33, 0.67, 0.25), HEXAGON, 194, 2, (1 / 3, 2 / 3, 0.25)),
        ((0.33, 0.66, 0.25), HEXAGON, 194, 2, (1 / 3, 2 / 3, 0.25)),
        ((0.33, 0.67, 0.25), (32.1, 32.1, 52.1, 90, 90, 120), 194, 2, (1 / 3, 2 / 3, 0.25)),
        (("1/3", "2/3", "1/4"), HEXAGON, 194, 2, (1 / 3, 2 / 3, 0.25)),
        (("0.3330(4)", "0.6670(4)", "0.25"), HEXAGON, 194, 2, (1 / 3, 2 / 3, 0.25)),
        ((0.167, 0.333, 0), (5.5, 5.5, 4, 90, 90, 120), 191, 6, (1 / 6, 1 / 3, 0)),
        ((0.156, 0.312, 0.25), (5.5, 5.5, 4, 90, 90, 120), 194, 6, (0.156, 0.312, 0.25)),
        ((0.1561, 0.3123, 0.25), (5.5, 5.5, 4, 90, 90, 120), 194, 6, (0.15612, 0.31224, 0.25)),
        ((0.1, 0.2, 0.3), (9, 9, 9, 90, 90, 90), 47, 8, (0.1, 0.2, 0.3)),
    ],
)
def test_few_digits_are_moved_to_the_special_position(site, cell, group, n_atoms, place):
    atoms = crystal_of_cif(cif([("Mg", "Mg", *site)], cell, named(number=group)))
    assert len(atoms) == n_atoms
    off = atoms.get_scaled_positions(wrap=False) - place
    assert np.abs(off - np.rint(off)).max(axis=1).min() < 5e-4


def test_a_site_that_is_off_its_special_position_is_refused():
    with pytest.raises(ValueError, match=r"O1 \(0\.0200 .* and O1 \(0\.9800 .* are 0\.226 Å apart"):
        crystals_of_cif(cif([("O1", "O", "0.020", 0.3, 0.1)], extra=named("P m m m")))
    assert len(crystal_of_cif(cif([("O1", "O", 0.01, 0.3, 0.1)], extra=named("P m m m")))) == 4


def test_a_site_that_is_listed_again_is_one_atom():
    again = [*SALT, ("Na2", "Na", 0.001, 0, 0), ("Na3", "Na", 1, 1, 0)]
    assert len(crystal_of_cif(cif(again, extra=named("F m -3 m")))) == 8
    with pytest.raises(ValueError, match=r"coincide: Na1 \(0\.0000 0\.0000 0\.0000\) and K1 \(0\.0000"):
        crystals_of_cif(cif([*SALT, ("K1", "K", 0, 0, 0)]))
    with pytest.raises(ValueError, match="coincide"):
        crystals_of_cif(
            cif(
                [(*site, occupancy) for site in [*SALT, ("K1", "K", 0, 0, 0)] for occupancy in "?"],
                columns=(*COLUMNS, "occupancy"),
            )
        )


# Sites, cells, blocks


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        (cif([("Ho0", "Ho", 0, 0, 0), ("Nh1", "Nh", 0.5, 0.5, 0.5)]), "HoNh"),
        (cif([("Ho1", 0, 0, 0)], columns=LABELS), "Ho"),
        (cif([("Fe1", "Fe3+", 0, 0, 0), ("O1", "O-2", 0.5, 0.5, 0.5)]), "FeO"),
        (cif([("FE1", "FE", 0, 0, 0), ("SI1", "SI", 0.5, 0.5, 0.5)]), "FeSi"),
        (cif([("CO1", "CO", 0, 0, 0), ("O1", "O", 0.5, 0.5, 0.5)], extra=P1 + sum_of("CO1 O1")), "CoO"),
        (cif([("NA1", "NA", 0, 0, 0), ("CL1", "CL", 0.5, 0.5, 0.5)], extra=P1 + sum_of("CL1 NA1")), "ClNa"),
        (cif([("D1", "D", 0, 0, 0), ("Li1", "Li", 0.5, 0.5, 0.5)], extra=P1 + sum_of("D1 Li1")), "HLi"),
        (cif([("T1", "T", 0, 0, 0), ("Li1", "Li", 0.5, 0.5, 0.5)], extra=P1 + sum_of("H1 Li1")), "HLi"),
        (cif([("Fe1A", 0, 0, 0), ("O1'", 0.5, 0.5, 0.5)], columns=LABELS), "FeO"),
        (cif([("CA1", 0, 0, 0)], extra=P1 + sum_of("C1"), columns=LABELS), "C"),
        (cif([("CA1", 0, 0, 0)], extra=P1 + sum_of("Ca1"), columns=LABELS), "Ca"),
        (cif([("C12B", 0, 0, 0), ("ZN1", 0.5, 0.5, 0.5)], columns=LABELS), "CZn"),
        (cif([("C1", "C", 0, 0, 0, "."), ("Cg", "Xx", 0.25, 0, 0, "dum")], columns=(*COLUMNS, "calc_flag")), "C"),
        (cif([(*site, 0) for site in SALT], columns=(*COLUMNS, "attached_hydrogens")), "ClNa"),
        (cif([(*site, 0.9995) for site in SALT], columns=(*COLUMNS, "occupancy")), "ClNa"),
        (cif([(*site, "1.000(3)") for site in SALT], columns=(*COLUMNS, "occupancy")), "ClNa"),
        (cif([(*site, 1) for site in SALT], columns=(*COLUMNS, "disorder_group")), "ClNa"),
        (cif([("Ca1", "Ca", 0, 0, 0), ("O1", "O", 0.5, 0.5, 0.5), ("O2", "O", 0.25, 0.25, 0.25)],
             extra=P1 + sum_of("Ca0.5 O1")), "CaO2"),
        (cif([("Na1", "Na", "−0.25", "0.0000(1)", "0."), ("Cl1", "Cl", ".25", "5.0E-1", "0.5")]), "ClNa"),
        (cif(SALT, extra=P1 + sum_of("Na.5 Cl.5")), "ClNa"),
        (cif(SALT, columns=("label", "type_symbol", "Cartn_x", "Cartn_y", "Cartn_z")).replace("0.5", "2.82"), "ClNa"),
        (cif(SALT).replace("_atom_site_", "_atom_site.").replace("_cell_", "_cell."), "ClNa"),
        ("\ufeff" + cif(SALT).replace("\n", "\r\n"), "ClNa"),
        (cif(SALT, extra=P1 + "_cell_volume 179.4(1)\n_publ_author Müller\n"), "ClNa"),
        (cif(SALT, extra="_space_group_symop_magn_operation.xyz x,y,z,+1\nloop_\n"
                         "_space_group_symop_magn_centering.xyz\n"
                         "x,y,z,+1\nx+1/2,y+1/2,z,-1\n"), "Cl2Na2"),
        ("data_t\n_cell_length_a ?\nloop_\n_atom_site_label\n_atom_site_fract_x\n? ?\n" + cif(SALT), "ClNa"),
        (cif([("Xe", 0, 0, 0)], columns=("label", "fract_x", "fract_y", "fract_z")), "Xe"),  # and no dummy
    ],
)  # fmt: skip
def test_read_rightly(text, formula):
    atoms = crystal_of_cif(text)
    assert atoms.get_chemical_formula() == formula
    assert atoms.pbc.all()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (cif([("OH1", "OH", 0, 0, 0)]), "site OH1: 'OH' is no chemical element"),
        (cif([("W1", "H2O", 0, 0, 0)]), "site W1: 'H2O' is no chemical element"),
        (cif([("Wat1", "O", 0, 0, 0)]), "site Wat1 by its name is a group with hydrogen"),
        (cif([("NH4", "N", 0, 0, 0), SALT[1]]), "site NH4 by its name is a group with hydrogen"),
        (cif([("N1", "NH4+", 0, 0, 0)]), "site N1: 'NH4+' may be Nh or a group of atoms"),
        (cif([("CO1", "CO", 0, 0, 0)]), "site CO1: 'CO' may be Co or a group of atoms"),
        (cif([("T1", "T", 0, 0, 0)]), "site T1: 'T' may be tritium or the site of a tetrahedron"),
        (cif([("Va1", "Va", 0, 0, 0)]), "site Va1: 'Va' is no chemical element (a group of atoms, a vacancy"),
        (cif([("□", "□", 0, 0, 0)]), "'*' is no chemical element"),
        (cif([("X1", "X", 0, 0, 0)]), "'X' is no chemical element"),
        (cif([("Al/Si1", "Al", 0, 0, 0)]), "by its name 'Al/Si1' it holds both Al and Si"),
        (cif([("M1", "'Fe,Mg'", 0, 0, 0)]), "by its name 'Fe,Mg' it holds both Fe and Mg"),
        (cif([("AlSi1", "Al", 0, 0, 0)]), "by its name 'AlSi1' it holds both Al and Si"),
        (cif([("M1", "Fe0.5Mg0.5", 0, 0, 0)]), "'Fe0.5Mg0.5' is no chemical element"),
        (cif([("CA1", 0, 0, 0)], columns=LABELS), "its label 'CA1' may mean Ca or C"),
        (cif([("Ow1", 0, 0, 0)], columns=LABELS), "its label 'Ow1' may mean O"),
        (cif([("Cap1", 0, 0, 0)], columns=LABELS), "its label 'Cap1' may mean Ca or C"),
        (cif([("Neq", 0, 0, 0)], columns=LABELS), "its label 'Neq' may mean Ne or N"),
        (cif([(*site, 4) for site in SALT], columns=(*COLUMNS, "symmetry_multiplicity")), "site Na1 has a multiplic"),
        (cif([("W1", "O", 0, 0, 0), SALT[1]]), "site W1 by its name is a group with hydrogen"),
        (cif([("O(H)1", "O", 0, 0, 0), SALT[1]]), r"site O(H)1 by its name is a group with hydrogen"),
        (cif([(*site, 2) for site in SALT], columns=(*COLUMNS, "attached_hydrogens")), "site Na1 has 2 hydrogen atoms"),
        (cif([("C1", "C", 0, 0, 0, 1), ("C2", "C", 0.5, 0, 0, 2)], columns=(*COLUMNS, "disorder_group")),
         "sites C1 and C2 are alternatives"),
        (cif([(*site, -1) for site in SALT], columns=(*COLUMNS, "disorder_group")), "site Na1 and its images"),
        (cif([(*site, 0.998) for site in SALT], columns=(*COLUMNS, "occupancy")), "an occupancy of 0.998, not 1"),
        (cif([(*site, 0) for site in SALT], columns=(*COLUMNS, "occupancy")), "an occupancy of 0, not 1"),
        (cif([(*site, "full") for site in SALT], columns=(*COLUMNS, "occupancy")), "site Na1, occupancy: 'full'"),
        (cif(SALT) + "loop_\n_atom_site_occupancy\n0.5\n0.5\n", "_atom_site_occupancy is not in the loop"),
        (cif([("O1", "O", 0, 0, 0)], extra=P1 + sum_of("H2 O")), "2 hydrogen atoms of the cell have no place in it"),
        (cif(SALT, extra=P1 + sum_of("Na.5 Cl.25")), "make NaCl, but its _chemical_formula_sum is Na2Cl"),
        (cif(SALT, extra=P1 + sum_of("Na2 Cl")), "make NaCl, but its _chemical_formula_sum is Na2Cl"),
        (cif(SALT, extra=P1 + sum_of("Na Cl", 4)), "the cell holds 1 times its _chemical_formula_sum, but"),
        (cif(SALT, extra=P1 + sum_of("Li1-x Co O2")), "its _chemical_formula_sum is no formula"),
        (cif([("H1", "H", "?", 0, 0)]), "site H1 must have a place within 1000, its _atom_site_fract_x is ?"),
        (cif([("H1", "H", "0,5", 0, 0)]), "site H1, _atom_site_fract_x: '0,5' is no number (a decimal comma?)"),
        (cif([("H1", "H", "1e999", 0, 0)]), "its _atom_site_fract_x is 1e999"),
        (cif([("H1", "H", "nan", 0, 0)]), "'nan' is no number"),
        (cif(SALT, (-5, 5, 5, 90, 90, 90)), "_cell_length_a must be > 0.5 and < 100000, got -5"),
        (cif(SALT, (5, 5, 5, 0, 90, 90)), "_cell_angle_alpha must be > 0 and < 180, got 0"),
        (cif(SALT, (5, 5, 5, 30, 60, 120)), "30, 60 and 120 of its cell enclose no volume"),
        (cif(SALT, (5, "?", 5, 90, 90, 90)), "_cell_length_b is missing"),
        (cif(SALT).replace("_cell_angle_beta 90\n", ""), "_cell_angle_beta is missing"),
        (cif(SALT, extra=P1 + "_cell_volume 200"), "a volume of 179.406 Å^3, but its _cell_volume is 200"),
        (cif(SALT, extra=P1 + "_cell_length_a 5.7"), "_cell_length_a is given twice"),
        (cif(SALT, HEXAGON, columns=("label", "type_symbol", "Cartn_x", "Cartn_y", "Cartn_z")), "how their axes lie"),
        (cif([("Na1", "Na", 1)], columns=("label", "type_symbol", "occupancy")), "sites have no coordinates"),
        (cif(SALT).replace("_atom_site_fract_z", "_atom_site_z"), "_atom_site_fract_z is missing"),
        (cif(SALT, extra=P1 + "_cell_modulation_dimension 1"), "it is modulated or composite"),
        (cif([("ATOM", *site) for site in SALT], columns=("group_PDB", *COLUMNS)), "it is a macromolecule"),
        (cif([("Na1", "Na", 0, 0, 0), ("Cl1", "Cl", 0.05, 0, 0)]), "Cl1 (0.0500 0.0000 0.0000) are 0.282 Å apart"),
        (cif(SALT)[:-6], "no CIF that can be read: line 9: Wrong number of values in loop"),
        ("\x00\x01\xff", "no CIF that can be read: line 1"),
        ("<html>", "no CIF that can be read: line 1"),
        ("data_x \ud800", "no CIF that can be read: line 1"),
        ("", "no atoms in it"),
    ],
)  # fmt: skip
def test_refused_with_site_and_value(text, reason):
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        crystals_of_cif(text)
    if "that can be read" not in reason and "no atoms" not in reason:
        assert str(caught.value).endswith("(data_x)")


def test_close_atoms_may_be_allowed():
    text = cif([("Na1", "Na", 0, 0, 0), ("Cl1", "Cl", 0.05, 0, 0)])
    assert len(crystal_of_cif(text, allow_close=True)) == 2


def test_each_block_with_atoms_is_a_crystal():
    text = cif(SALT) + "data_remarks\n_x 1\n" + cif(WHOLE_SALT)
    assert [len(atoms) for atoms in crystals_of_cif(text)] == [2, 8]
    with pytest.raises(ValueError, match="one crystal here, got 2"):
        crystal_of_cif(text)
    with pytest.raises(ValueError, match=r"_cell_length_a must be .* \(data_second\)"):
        crystals_of_cif(cif(SALT) + cif(SALT, (0, 1, 1, 90, 90, 90)).replace("data_x", "data_second"))


def test_files_of_several_blocks_and_close_atoms(tmp_path):
    """One block that cannot be read leaves the others; the option reaches files, tables' cells and paths."""
    half = cif([(*site, 0.5) for site in SALT], columns=(*COLUMNS, "occupancy")).replace("data_x", "data_half")
    close = cif([("Na1", "Na", 0, 0, 0), ("Cl1", "Cl", 0.05, 0, 0)])
    (tmp_path / "many.cif").write_text(cif(SALT) + half + cif(WHOLE_SALT) + close)
    dataset = read_dataset(tmp_path / "many.cif", targets=(), on_error="skip")
    assert dataset.formulas == ("NaCl", "NaCl")
    assert [(failure.row, "occupancy of 0.5" in failure.reason) for failure in dataset.failures] == [
        (1, True),
        (3, False),
    ]
    dataset = read_dataset(tmp_path / "many.cif", targets=(), on_error="skip", allow_close=True)
    assert [failure.row for failure in dataset.failures] == [1]
    (tmp_path / "x.cif").write_text(close)
    (tmp_path / "bad.cif").write_text("x.cif")
    for raw in (close, str(tmp_path / "x.cif")):
        assert len(to_atoms(raw, allow_close=True)) == 2
        with pytest.raises(ValueError, match=r"atoms Na1 .* and Cl1 .* are 0\.282 Å apart"):
            to_atoms(raw)
    for name, reason in (("x.cif", r"Na1 .* and Cl1 .* are 0\.282 Å apart"), ("bad.cif", "no CIF that can be read")):
        with pytest.raises(ValueError, match=reason):
            as_batch(str(tmp_path / name))


@pytest.mark.parametrize("name", ["rocksalt", "zincblende", "fluorite", "cesiumchloride", "wurtzite"])
def test_cells_are_those_of_ase(name):
    """Vectors and positions, to the last digit that is written, in axes that do not differ."""
    atoms = bulk("CaF2" if name == "fluorite" else "CsCl" if name == "cesiumchloride" else "ZnS", name, 5.4)
    sites = [
        (f"{s}{i}", s, *place)
        for i, (s, place) in enumerate(zip(atoms.symbols, atoms.get_scaled_positions(), strict=True))
    ]
    found = crystal_of_cif(cif(sites, atoms.cell.cellpar()))
    assert found.cell.cellpar() == pytest.approx(atoms.cell.cellpar())
    assert found.get_scaled_positions() == pytest.approx(atoms.get_scaled_positions(), abs=1e-7)
