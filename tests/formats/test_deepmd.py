"""Systems of DeePMD-kit are read as frames with labels."""

import numpy as np
import pytest
from ase.build import bulk

from atomprint.datasets import read_dataset
from atomprint.formats.reading import open_source


@pytest.fixture
def system(tmp_path):
    """Return a folder with two sets of frames of salt."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "salt"
    (folder).mkdir()
    (folder / "type_map.raw").write_text("Cl\nNa\n")
    (folder / "type.raw").write_text("1 0\n")
    for number, n in enumerate((3, 2)):
        place = folder / f"set.{number:03d}"
        place.mkdir()
        frames = [bulk("NaCl", "rocksalt", a=5.6 + 0.05 * k + 0.2 * number) for k in range(n)]
        np.save(place / "coord.npy", np.array([atoms.positions.ravel() for atoms in frames]))
        np.save(place / "box.npy", np.array([atoms.cell.array.ravel() for atoms in frames]))
        np.save(place / "energy.npy", -np.arange(1.0, n + 1)[:, None] - 10 * number)
        np.save(place / "force.npy", rng.normal(size=(n, 6)))
        np.save(place / "virial.npy", rng.normal(size=(n, 9)))
    return folder


def test_frames_have_their_labels(system):
    form, source = open_source(system)
    rows = list(source.rows)
    assert form == "deepmd"
    assert [row.fields["energy"] for row in rows] == [-1, -2, -3, -11, -12]
    assert rows[0].structure.get_chemical_symbols() == ["Na", "Cl"]
    assert rows[3].id == "frame 3"
    assert rows[3].structure.pbc.all()
    np.testing.assert_array_equal(rows[4].arrays["force"], np.load(system / "set.001/force.npy")[1].reshape(2, 3))
    np.testing.assert_array_equal(rows[4].fields["virial"], np.load(system / "set.001/virial.npy")[1].reshape(3, 3))
    assert read_dataset(system, targets="energy").structures[0].get_volume() == pytest.approx(5.6**3 / 4)


def test_without_a_cell(system):
    (system / "nopbc").touch()
    assert not any(row.structure.pbc.any() for row in open_source(system)[1].rows)


def test_frames_of_different_atoms(system):
    (system / "type.raw").write_text("0 0\n")
    np.save(system / "set.000/real_atom_types.npy", np.array([[0, 1], [1, 1], [1, -1]]))
    np.save(system / "set.001/real_atom_types.npy", np.array([[1, 0], [0, 0]]))
    rows = list(open_source(system)[1].rows)
    assert [row.structure.get_chemical_formula("reduce") for row in rows] == ["ClNa", "Na2", "Na", "NaCl", "Cl2"]
    np.testing.assert_array_equal(rows[2].arrays["force"], np.load(system / "set.000/force.npy")[2, :3][None])
    for wrong, message in (
        (np.zeros((2, 3)), r"shape \(2, 2\), got \(2, 3\)"),
        ([[0, 2], [0, 0]], "0 to 1, and"),
    ):
        np.save(system / "set.001/real_atom_types.npy", np.array(wrong))
        with pytest.raises(ValueError, match=f"salt/set.001/real_atom_types.npy must have .*{message}"):
            list(open_source(system)[1].rows)


def test_what_does_not_fit_is_named(system):
    def refused(message, place=system):
        with pytest.raises(ValueError, match=message):
            list(open_source(place)[1].rows)

    refused("set.000 is a part of a system of DeePMD-kit", system / "set.000")
    np.save(system / "set.001/force.npy", np.zeros((2, 7)))
    refused(r"salt/set.001/force.npy must have shape \(2, 6\) for 2 atoms, got \(2, 7\)")
    (system / "set.001/force.npy").write_bytes(b"hello")
    refused(r"set.001/force.npy cannot be read")
    (system / "set.000/coord.npy").unlink()
    refused("salt/set.000 has no coord.npy")
    (system / "type.raw").write_text("0 2\n")
    refused("salt/type.raw must have numbers of type_map.raw, 0 to 1")
    (system / "type_map.raw").write_text("Na O_1\n")
    refused("salt/type_map.raw must name elements, got 'O_1'")
    (system / "type_map.raw").unlink()
    refused("salt has no type_map.raw")
