"""xyz, extended xyz and POSCAR as programs and people write them: each is read rightly, or refused with its line."""

from pathlib import Path

import numpy as np
import pytest

from atomprint.chemistry.formula import element_of_label
from atomprint.datasets import read_dataset
from atomprint.datasets.files.structures import to_atoms
from atomprint.formats.xyz import read_comment
from atomprint.structures import as_batch

BOX = 'Lattice="4 0 0 0 4 0 0 0 4"'
CELL = "a salt\n1.0\n4 0 0\n0 4 0\n0 0 4\n"
PAIR = "0 0 0\n.5 .5 .5\n"


@pytest.mark.parametrize(
    ("label", "z"),
    [
        *{"D": 1, "T": 1, "8": 8, "118": 118, "C2": 6, "Fe3+": 26, "Fe+3": 26, "O2-": 8, "Cl1-": 17, "Na+": 11}.items(),
        *{"Na_pv": 11, "FE": 26, "cl": 17, "C-1": 6, "H'": 1, "Si12": 14, "Fe:up": 26, "W": 74, "Uue": None}.items(),
        *{"X": None, "Xx1": None, "Bq": None, "Gh(He)": None, "Q": None, "0": None, "119": None, "1.0": None}.items(),
        *{"CO": None, "HO1": None, "HG1": None, "CE1": None, "CA": 20, "HG": 80, "NA1": 11, "CL1": 17}.items(),
        *{"Ow": None, "C1a": None, "é": None, "": None, "nan": None, "²": None, "9" * 5000: None}.items(),
    ],
)
def test_one_function_knows_what_atoms_are_called(label: str, z: int | None):
    if z is not None:
        assert element_of_label(label) == z
        return
    with pytest.raises(ValueError, match=r"place-holder|may be|not a chemical element|must be in 1\.\.118"):
        element_of_label(label)


@pytest.mark.parametrize(
    ("text", "symbols", "last"),
    [
        ("2\n\nC 0 0 0\nO 0 0 1.2D+00\n", "CO", [0, 0, 1.2]),
        ("2\n\nC 0 0 0 0.3 -1\n8 0 0 1.2\n", "CO", [0, 0, 1.2]),  # more columns of a plain file mean nothing
        ("2\n-113.3\nC 0 0 0\nO 0 0 1.2", "CO", [0, 0, 1.2]),
        ("1\nBob's run, T=300 K and T=400 K\nC 1 2 3\n", "C", [1, 2, 3]),
        (f"1\n{BOX.lower()}\nC 1 2 3\n", "C", [1, 2, 3]),
        ('1\nLattice="4.D0,0,0,0,4,0,0,0,4" pbc="T T F"\nC 1 2 3\n', "C", [1, 2, 3]),
        ("1\nLattice=[[4, 0, 0], [0, 4, 0], [0, 0, 4]]\nC 1 2 3\n", "C", [1, 2, 3]),
        (f"1\n{BOX} Properties=Z:I:1:pos:R:3\n6 1 2 3\n", "C", [1, 2, 3]),
        (f"1\n{BOX} Properties=pos:R:3:species:S:1:force:R:3\n1 2 3 C 7 8 9\n", "C", [1, 2, 3]),
        ("1\nx\nC 1 2 3\nVEC1 4 0 0\nVEC2 0 4 0\nVEC3 0 0 4\n", "C", [1, 2, 3]),
        (f"{CELL}D O\n1 1\nDirect\n{PAIR}", "HO", [2, 2, 2]),
        (f"{CELL}Na_pv/6a2f Cl\n1 1\ndirect\n{PAIR}", "NaCl", [2, 2, 2]),
        (f"{CELL}Na Cl\n1 1\nSelective dynamics\nDirect\n0 0 0 T T F\n.5 .5 .5 F F F Cl\n", "NaCl", [2, 2, 2]),
        (f"{CELL}Na Cl\n1 1\nCartesian\n0 0 0\n1 1 1.5D0\n", "NaCl", [1, 1, 1.5]),
        (f"{CELL}Na Cl ! names\n1 1 ! counts\nDirect ! mode\n{PAIR}", "NaCl", [2, 2, 2]),
        (f"{CELL}Na Cl\n1 1\nDirect\n{PAIR}\n0 0 0\n0 0 0\n", "NaCl", [2, 2, 2]),  # with velocities
        (f"{CELL}1 1\nDirect\n0 0 0 F\n.5 .5 .5 Na1\n", "FNa", [2, 2, 2]),  # VASP 4: F is fluorine, no flag
        (f"{CELL}1 1\nDirect\n{PAIR}".replace("a salt", "Na Cl"), "NaCl", [2, 2, 2]),
        (f"{CELL}Na Cl\n1 1\nDirect\n{PAIR}".replace("a salt", "2"), "NaCl", [2, 2, 2]),
        (f"{CELL}Na Cl\n1 1\nCartesian\n{PAIR}".replace("1.0", "-512"), "NaCl", [1, 1, 1]),  # by the volume
        (f"{CELL}Na Cl\n1 1\nCartesian\n{PAIR}".replace("1.0", "1 1 2"), "NaCl", [0.5, 0.5, 1]),
    ],
)
def test_read_rightly(text: str, symbols: str, last: list[float], tmp_path: Path):
    path = tmp_path / ("POSCAR" if "salt" in text or "Direct" in text or "Cartesian" in text else "x.extxyz")
    path.write_text(text)
    for atoms in (to_atoms(text), to_atoms(str(path)), as_batch(path, periodic=None)[0]):
        assert str(atoms.symbols) == symbols
        np.testing.assert_allclose(atoms.positions[-1], last, atol=1e-12)
        assert atoms.cell.rank in (0, 3)
        assert atoms.pbc.any() == bool(atoms.cell.rank)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1000000000000\n\nC 0 0 0\n", "must have 1000000000000 atoms, but the file ends before"),
        ("2\n\nX 0 0 0\nO 0 0 2\n", "line 3: 'X' is a place-holder"),
        ("2\n\nC 0 0 0\nO 0 0 1,2\n", "line 4: positions must be numbers, got '0 0 1,2'"),
        ("2\n\nC 0 0 0\nO 0 0 ****\n", "line 4: positions must be numbers"),
        ("2\n\nC 0 0 0\nO 0 0 1_0\n", "line 4: positions must be numbers"),
        ("2\n\nC 0 0 0\nO 0 0\n", "line 4 must have 4 values for an atom, got 3"),
        ("2\n\n0 0 0 C\n0 0 1 O\n", "line 3: positions must be numbers"),
        ("2\n\n1 0 0 0\n2 0 0 1\n", "the types of a simulation"),
        ("2\nAtoms. Timestep: 0\n1 0 0 0\n1 0 0 1\n", "the types of a simulation"),
        ('1\nLattice="4 0 0 0 4 0"\nC 0 0 0\n', "line 2: Lattice must have nine numbers"),
        ('1\ncell="4 0 0 0 4 0 0 0 4" e=1\nC 0 0 0\n', "line 2: cell has nine numbers, but a cell is told by Lattice"),
        (f'1\n{BOX} pbc="T T"\nC 0 0 0\n', "line 2: pbc must have three truth values"),
        (f"1\n{BOX} Properties=species:S:1\nC\n", "must have positions"),
        (f"1\n{BOX} Properties=pos:R:3\n0 0 0\n", "must have species:S:1 or Z:I:1"),
        (f"1\n{BOX} Properties=species:S:1:pos:R\nC 0 0 0\n", "Properties must be like"),
        (f"1\n{BOX} Properties=species:S:1:pos:R:3\nC 0 0 0 9\n", "line 3 must have 4 values for an atom, got 5"),
        (f"1\n{BOX} Properties=species:S:1:Z:I:1:pos:R:3\nC 7 0 0 0\n", "the symbol is C, but .* that of N"),
        ('1\npbc=F q="open\nC 0 0 0\n', "line 2: .* is not closed"),
        (f"1\n{BOX} e=1 e=2\nC 0 0 0\n", "line 2: key 'e' occurs twice"),
        (f"{CELL}1 1\nDirect\n{PAIR}", "does not name its elements"),
        (f"{CELL}Na Cl\n1 1\nDirect\n{PAIR}.2 .2 .2\n", "line 11 is one more position"),
        (f"{CELL}Na Cl\n1 1000000000000\nDirect\n{PAIR}", "says that it has 1000000000001 atoms"),
        (f"{CELL}Na Cl\n1 1\n{PAIR}", "line 8 of this POSCAR must be Direct or Cartesian"),
        (f"{CELL}Na Cl\n1 1\nDirect\n0 0 0 Cl\n.5 .5 .5 Na\n", "line 9 of this POSCAR says Cl, but .* is Na"),
        (f"{CELL}Na Cl\n1 1 1\nDirect\n{PAIR}.2 .2 .2\n", "has 2 names of elements, but 3 numbers"),
        (f"{CELL}Na Xx\n1 1\nDirect\n{PAIR}", "names an element 'Xx'"),
        (f"{CELL}Na Cl\n1 1.5\nDirect\n{PAIR}", "must have the numbers of atoms"),
        (f"{CELL}Na Cl\n1 1\nDirect\n0 0 0\n", "says that it has 2 atoms, but|ends after"),
        (f"{CELL}Na Cl\n1 1\nDirect\n{PAIR}".replace("1.0", "0"), "scale of this POSCAR"),
        (f"{CELL}2 1\nDirect\n0 0 0 Na\n.5 .5 .5 Cl\n.5 0 0 Cl\n", "has 2 of one element: Na, Cl"),
        (f"{CELL}Na Cl\n1 1\nDirect\n{PAIR}" * 2, "holds several structures, the second from line 11 on"),
        (f"{CELL}Na Cl\n1 1\nDirect configuration= 1\n{PAIR}Direct configuration= 2\n{PAIR}", "holds several"),
        (f'1\n{BOX} periodic="F F F"\nC 0 0 0\n', r"periodic is \[False, False, False\], but .* told by pbc"),
        ('1\nLattice="4 4 4 90 90 90"\nC 0 0 0\n', r"must have nine numbers, got \[4, 4, 4, 90, 90, 90\]"),
    ],
)
def test_refused_with_the_line(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        to_atoms(text)


def test_stress_and_virial(tmp_path: Path):
    keys = 'energy=-1.5D0 stress="1 2 3 4 5 6" virial="1 2 3 2 5 6 3 6 9"'
    (tmp_path / "x.extxyz").write_text(f"1\n{BOX} Properties=species:S:1:pos:R:3:forces:R:3 {keys}\nH 0 0 0 1 2 3\n")
    dataset = read_dataset(tmp_path / "x.extxyz", targets=["energy"])
    assert dataset.targets["energy"].values.tolist() == [-1.5]
    with pytest.raises(ValueError, match=r"'stress' has shape \(6,\)"):
        read_dataset(tmp_path / "x.extxyz", targets="stress")
    nine = keys.replace("1 2 3 4 5 6", "1 6 5 6 2 4 5 4 3")
    for text in (keys, nine):
        path = tmp_path / "y.extxyz"
        path.write_text(f"1\n{BOX} {text}\nH 0 0 0\n")
        found = read_dataset(path, targets={f"s{i}": f"stress[{i}]" for i in range(6)})
        assert [found.targets[f"s{i}"].values[0] for i in range(6)] == [1, 2, 3, 4, 5, 6]


def test_keys_of_the_second_line():
    found = read_comment('a=1 b = 2.5D-1 c name="x \\"y\\"" t=[1,2] w="T F" s=C=C j="_JSON {\\"k\\": 1}" v="1 x"')
    assert found.pop("t").tolist() == [1, 2]
    assert found == {
        "a": 1, "b": 0.25, "c": True, "name": 'x "y"', "w": [True, False], "s": "C=C", "j": {"k": 1}, "v": "1 x"
    }  # fmt: skip


def test_remarks_of_plain_files_are_one_field(tmp_path: Path):
    (tmp_path / "x.xyz").write_text("1\n-0.5\nH 0 0 0\n1\n-54.2\nN 0 0 0\n")
    dataset = read_dataset(tmp_path / "x.xyz", targets="comment")
    assert dataset.targets["comment"].values.tolist() == [-0.5, -54.2]
    assert dataset.lines == (1, 4)
