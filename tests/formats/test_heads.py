"""Heads of files that claim more than there is are refused at once, in every format."""

from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write

from atomprint.structures import as_batch


@pytest.mark.parametrize(
    ("name", "form", "count"),
    [
        ("x.gro", "gromacs", "2"),
        ("x.gen", "gen", "2"),
        ("x.cube", "cube", "2"),
        ("x.cfg", "cfg", "2"),
        ("x.xsf", "xsf", "2"),
    ],
)
@pytest.mark.parametrize("claim", ["1000000000000", "3", "9" * 30])
def test_counts_that_are_not_true(tmp_path: Path, name: str, form: str, count: str, claim: str):
    path = tmp_path / name
    write(path, bulk("NaCl", "rocksalt", 5.64), format=form)
    assert len(as_batch(path, periodic=None).numbers) == 2
    lines = path.read_text().splitlines()
    at = {"gro": 1, "gen": 0, "cube": 2, "cfg": 0}.get(name[2:], 0)
    if form == "xsf":
        at = next(i for i, line in enumerate(lines) if "PRIMCOORD" in line) + 1
    assert count in lines[at]
    lines[at] = lines[at].replace(count, claim, 1)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"too short for these|but there are 2|cannot read"):
        as_batch(path, periodic=None)


def test_numbers_that_are_no_elements(tmp_path: Path):
    path = tmp_path / "x.json"
    path.write_text('{"numbers": [11, 1000000000000], "positions": [[0, 0, 0], [2, 2, 2]]}')
    with pytest.raises(ValueError, match="must be in 1"):
        as_batch(path, periodic=None)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("POSCAR", "x\n1e400\n4 0 0\n0 4 0\n0 0 4\nNa\n1\nDirect\n0 0 0\n"),
        ("x.xyz", "1\n\nH 0 0 inf\n"),
        ("x.extxyz", '1\nLattice="4 0 0 0 nan 0 0 0 4"\nH 0 0 0\n'),
    ],
)
def test_places_that_are_nowhere(tmp_path: Path, name: str, text: str):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=r"must be finite|must be a scale"):
        as_batch(tmp_path / name, periodic=None)
