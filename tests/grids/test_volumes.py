"""Volumes: read, written, interpolated and pooled, against ASE and against functions that are known."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.vasp.vasp_auxiliary import VaspChargeDensity
from ase.io import read, write
from ase.io.cube import read_cube_data, write_cube
from ase.units import Bohr
from sklearn.base import clone

from atomprint.descriptors import DensityGrid
from atomprint.grids import Volume, VolumeStatistics, read_volume, write_volume


def crystal(shape=(10, 12, 9), sigma=0.8):
    salt = bulk("NaCl", "rocksalt", 5.0)
    salt.set_cell(salt.cell.array + np.array([[0.3, 0, 0], [0, 0.4, 0.2], [0.5, 0, -0.3]]), scale_atoms=True)
    grid = DensityGrid(["Na", "Cl"], shape, sigma=sigma, channels={"all": {"Na": 1, "Cl": 2}}, dtype="float64")
    return Volume(grid.as_grids(grid.create(salt))[0], salt)


def around_water(resolution=0.4):
    water = molecule("H2O")
    water.positions += [0.3, 0.2, -0.1]
    grid = DensityGrid(["H", "O"], box=(6, 7, 6.4), resolution=resolution, channels="total", dtype="float64")
    values = grid.as_grids(grid.create(water))[0]
    vectors = resolution * np.diag(values.shape)
    return Volume(values, water, water.positions.mean(axis=0) - np.diag(vectors) / 2 + resolution / 2, vectors)


def same(found, wanted, values=1e-6, places=1e-5):
    np.testing.assert_allclose(found.values, wanted.values, atol=values * np.abs(wanted.values).max())
    np.testing.assert_allclose(found.origin, wanted.origin, atol=places)
    np.testing.assert_allclose(found.vectors, wanted.vectors, atol=1e-3 * places * 1e3)
    np.testing.assert_allclose(found.structure.positions, wanted.structure.positions, atol=places)
    assert found.structure.get_chemical_symbols() == wanted.structure.get_chemical_symbols()
    assert found.periodic == wanted.periodic


@pytest.mark.parametrize("make", [crystal, around_water])
@pytest.mark.parametrize("name", ["v.cube", "v.xsf", "CHGCAR"])
def test_round_trips(tmp_path, make, name):
    volume = make()
    volume.structure.set_velocities(np.ones((len(volume.structure), 3)))  # ASE puts them between structure and grid
    path = tmp_path / name
    if name == "CHGCAR" and not volume.periodic:
        with pytest.raises(ValueError, match="a CHGCAR holds the grid of a cell that repeats"):
            write_volume(path, volume)
        return
    write_volume(path, volume)
    given = {"periodic": volume.periodic} if name == "v.cube" else {}
    same(read_volume(path, **given), volume, values=1e-5 if name == "v.cube" else 1e-9, places=3e-5)


def test_cube_and_chgcar_are_those_of_ase(tmp_path):
    volume = crystal()
    with (tmp_path / "ase.cube").open("w") as file:
        write_cube(file, volume.structure, volume.values)
    same(read_volume(tmp_path / "ase.cube", periodic=True), volume, values=1e-5, places=3e-5)
    write_volume(tmp_path / "own.cube", volume)
    values, atoms = read_cube_data(str(tmp_path / "own.cube"))
    np.testing.assert_allclose(values, volume.values, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(atoms.positions, volume.structure.positions, atol=1e-5)
    theirs = VaspChargeDensity(None)
    theirs.atoms, theirs.chg, theirs.chgdiff = [volume.structure], [volume.values], [-2 * volume.values]
    theirs.write(str(tmp_path / "CHGCAR"), format="chgcar")
    same(read_volume(tmp_path / "CHGCAR"), volume, values=1e-9)
    np.testing.assert_allclose(read_volume(tmp_path / "CHGCAR", spin=True).values, -2 * volume.values, rtol=1e-8)
    write_volume(tmp_path / "v.xsf", volume)
    same_atoms = read(tmp_path / "v.xsf", format="xsf")
    np.testing.assert_allclose(same_atoms.positions, volume.structure.positions, atol=1e-10)


def test_electrons_of_a_cube_file_and_of_chgcar(tmp_path):
    """A 1s orbital in a cube file, as all programs write it: two electrons, in 1/bohr^3."""
    points = (np.indices((48, 48, 48)).T - 24) * 0.25
    distances = np.linalg.norm(points, axis=-1)
    atom = Atoms("He", cell=[12.0] * 3, pbc=True)
    with (tmp_path / "he.cube").open("w") as file:
        write_cube(file, atom, 2 / np.pi * np.exp(-2 * distances / Bohr), origin=(-6, -6, -6))
    raw = read_volume(tmp_path / "he.cube", periodic=True)
    assert raw.unit is None
    assert raw.integral() / Bohr**3 == pytest.approx(2, rel=0.03)
    volume = read_volume(tmp_path / "he.cube", periodic=True, unit="1/bohr^3")
    assert volume.unit == "1/Å^3"
    assert "in 1/Å^3" in repr(volume)
    assert volume.integral() == pytest.approx(2, rel=0.03)
    write_volume(tmp_path / "again.cube", volume)
    np.testing.assert_allclose(read_volume(tmp_path / "again.cube", periodic=True).values, raw.values, rtol=1e-5)
    cell = Volume(volume.values, volume.structure, unit=volume.unit)
    write_volume(tmp_path / "CHGCAR", cell)
    chgcar = read_volume(tmp_path / "CHGCAR")
    assert chgcar.unit == "1/Å^3"
    np.testing.assert_allclose(chgcar.values, volume.values, rtol=1e-9)
    with pytest.raises(ValueError, match=r"the same unit: that of 0 is 1/Å.3, that of 1 one that is not known"):
        VolumeStatistics(n_radii=0).fit_transform([volume, raw])
    with pytest.raises(ValueError, match=r"unit must be one of '1/bohr.3', '1/Å.3', got 'bohr'"):
        read_volume(tmp_path / "he.cube", periodic=True, unit="bohr")
    with pytest.raises(ValueError, match="unit is for cube and xsf files"):
        read_volume(tmp_path / "CHGCAR", unit="1/Å^3")
    with pytest.raises(ValueError, match=r"a CHGCAR holds densities in 1/Å.3, and these values are in eV"):
        write_volume(tmp_path / "CHGCAR", Volume(volume.values, atom, unit="eV"))


def test_what_would_be_read_wrongly_is_refused(tmp_path):
    volume = crystal()
    write_volume(tmp_path / "v.cube", volume)
    lines = (tmp_path / "v.cube").read_text().split("\n")
    lines[3] = lines[3].replace("10", "-10", 1)
    (tmp_path / "v.cube").write_text("\n".join(lines))
    with pytest.raises(ValueError, match="numbers of points must be positive, with lengths in bohr, got -10"):
        read_volume(tmp_path / "v.cube", periodic=True)
    write_volume(tmp_path / "CHGCAR", volume)
    text = (tmp_path / "CHGCAR").read_text()
    grid = text.index("\n\n") + 2
    for between in ("", "augmentation occupancies   1   2\n  0.1 0.2\n"):
        one, more = text.rstrip("\n") + "\n" + between, text[grid:].rstrip("\n") + "\n" + between
        (tmp_path / "CHGCAR").write_text(one + more)
        np.testing.assert_allclose(read_volume(tmp_path / "CHGCAR", spin=True).values, volume.values, rtol=1e-9)
        (tmp_path / "CHGCAR").write_text(one + 3 * more)
        with pytest.raises(ValueError, match="it has spins that are not collinear"):
            read_volume(tmp_path / "CHGCAR", spin=True)
    write_volume(tmp_path / "LOCPOT", volume, format="chgcar")
    with pytest.raises(ValueError, match="LOCPOT has no density"):
        read_volume(tmp_path / "LOCPOT", format="chgcar")
    with pytest.raises(ValueError, match="points must be finite"):
        volume.at([[0.0, np.nan, 0.0]])


def test_files_that_are_refused(tmp_path):
    volume = crystal()
    write_volume(tmp_path / "v.cube", volume)
    write_volume(tmp_path / "CHGCAR", volume)
    write_volume(tmp_path / "v.xsf", volume)
    for message, name, given in [
        ("periodic must be given for cube files", "v.cube", {}),
        ("periodic is for cube files", "v.xsf", {"periodic": True}),
        ("spin is for CHGCAR", "v.xsf", {"spin": True}),
        ("CHGCAR cannot be read as chgcar: it has no difference of spins", "CHGCAR", {"spin": True}),
        ("format must be one of", "v.cube", {"format": "npy"}),
    ]:
        with pytest.raises(ValueError, match=message):
            read_volume(tmp_path / name, **given)
    for name in ("v.cube", "v.xsf", "CHGCAR"):
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text[: len(text) // 2])
        with pytest.raises(ValueError, match=rf"^{name} cannot be read as"):
            read_volume(tmp_path / name, **({"periodic": True} if name == "v.cube" else {}))
    (tmp_path / "what.dat").write_text("")
    with pytest.raises(ValueError, match=r"what\.dat does not tell its format"):
        read_volume(tmp_path / "what.dat")
    with pytest.raises(FileNotFoundError):
        read_volume(tmp_path / "none.cube", periodic=True)
    mixed = Volume(volume.values, volume.structure)
    mixed.structure = Atoms("NaClNa", positions=np.eye(3), cell=volume.vectors, pbc=True)
    with pytest.raises(ValueError, match="sort the structure before"):
        write_volume(tmp_path / "CHGCAR", mixed)


def test_values_between_points():
    volume = crystal((40, 48, 36))
    rng = np.random.default_rng(0)
    places = volume.structure.cell.array.sum(axis=0) / 3 + rng.normal(0, 4, (50, 3))
    sigma = 0.8
    wanted = np.zeros(50)
    for weight, position in zip((1, 2), volume.structure.positions, strict=True):
        for image in np.ndindex(11, 11, 11):
            d = places - position - (np.array(image) - 5) @ volume.structure.cell.array
            wanted += weight * np.exp(-(d**2).sum(axis=1) / 2 / sigma**2) / (2 * np.pi * sigma**2) ** 1.5
    np.testing.assert_allclose(volume.at(places), wanted, atol=2e-4 * wanted.max())
    np.testing.assert_allclose(volume.at(places, order=1), wanted, atol=2e-2 * wanted.max())
    points = volume.points()
    assert points.shape == (40, 48, 36, 3)
    np.testing.assert_allclose(volume.at(points[::7, ::7, ::7]), volume.values[::7, ::7, ::7], atol=1e-10)
    box = around_water()
    np.testing.assert_allclose(box.at(box.points()), box.values, atol=1e-10)
    assert np.isnan(box.at(box.origin - [0.01, 0, 0]))


def test_radial_profiles_of_a_gaussian():
    alone = Atoms("H", positions=[[0.1, 0.2, -0.3]])
    grid = DensityGrid(["H"], box=10.0, resolution=0.25, sigma=0.7, dtype="float64")
    values = grid.as_grids(grid.create(alone))[0]
    volume = Volume(values, alone, alone.positions[0] - 5 + 0.125, np.eye(3) * 10)
    assert volume.integral() == pytest.approx(1, abs=1e-5)
    radii = np.linspace(0, 3, 7)
    wanted = np.exp(-(radii**2) / 2 / 0.7**2) / (2 * np.pi * 0.7**2) ** 1.5
    np.testing.assert_allclose(volume.radial_profile(radii)[0], wanted, atol=1e-3 * wanted[0])
    assert np.isnan(volume.radial_profile([6.0])).all()
    # A function that is odd around the atom has no mean on any sphere; one that grows as x^2 has r^2 / 3.
    x = volume.points()[..., 0] - 0.1
    squares = Volume(x**2, alone, volume.origin, volume.vectors).radial_profile(radii)[0]
    np.testing.assert_allclose(squares, radii**2 / 3, rtol=2e-3, atol=1e-9)
    odd = Volume(x, alone, volume.origin, volume.vectors).radial_profile(radii)[0]
    np.testing.assert_allclose(odd, 0, atol=5e-3)


def test_statistics_of_volumes():
    volumes = [crystal(), crystal((12, 12, 12), 0.6)]
    pooled = VolumeStatistics(statistics=("mean", "std", "min", "max", "skewness", "integral", "gradient"), n_radii=4)
    rows = pooled.fit_transform(volumes)
    names = list(pooled.get_feature_names_out())
    assert rows.shape == (2, 7 + 2 * 4) == (2, len(names))
    assert (names[0], names[6], names[-1]) == (
        "VolumeStatistics mean",
        "VolumeStatistics gradient rms",
        "VolumeStatistics Cl r=3 Å",
    )
    for row, volume in zip(rows, volumes, strict=True):
        values = volume.values
        deviations = (values - values.mean()) / values.std()
        wanted = [values.mean(), values.std(), values.min(), values.max(), (deviations**3).mean(), 3.0]
        np.testing.assert_allclose(row[:6], wanted, rtol=1e-5)
        radii = [0, 1, 2, 3]
        np.testing.assert_allclose(row[7:11], volume.radial_profile(radii, [0], n_directions=100)[0])
        np.testing.assert_allclose(row[11:], volume.radial_profile(radii, [1], n_directions=100)[0])
    np.testing.assert_array_equal(pooled.create(volumes[1]), rows[1])
    assert clone(pooled).get_params() == pooled.get_params()


def test_the_gradient_is_that_of_a_wave():
    volume = crystal((60, 60, 60))
    reciprocal = 2 * np.pi * np.linalg.inv(volume.vectors).T
    wave = np.cos(volume.points() @ (reciprocal[0] + reciprocal[1]))
    found = VolumeStatistics(["Na", "Cl"], ["gradient"], n_radii=0).create(Volume(wave, volume.structure))
    size = np.linalg.norm(reciprocal[0] + reciprocal[1])
    np.testing.assert_allclose(found, size / np.sqrt(2), rtol=3e-3)


def test_statistics_do_not_change_with_orientation_and_cell():
    volume = crystal((12, 12, 12))
    pooled = VolumeStatistics(["Na", "Cl"], n_radii=3, r_max=1.5, n_directions=400)
    wanted = pooled.create(volume)
    turned = volume.structure.copy()
    turned.rotate(40, (1, 2, 3), rotate_cell=True)
    np.testing.assert_allclose(pooled.create(Volume(volume.values, turned)), wanted, rtol=2e-3, atol=1e-4)
    doubled = Volume(np.concatenate([volume.values] * 2), volume.structure * (2, 1, 1))
    np.testing.assert_allclose(pooled.create(doubled), wanted, rtol=1e-9, atol=1e-12)


def test_what_is_refused():
    salt = crystal().structure
    for error, message, given in [
        (TypeError, "values must be real", {"values": np.ones((2, 2, 2)) * 1j}),
        (TypeError, "unit must be a text or None, got 1", {"unit": 1}),
        (ValueError, r"values must have shape \(x, y, z\), got \(3, 3\)", {"values": np.ones((3, 3))}),
        (ValueError, r"values must be finite, got nan at \(0, 0, 1\)", {"values": [[[0.0, np.nan]]]}),
        (TypeError, "structure must be an ase.Atoms, got str", {"structure": "NaCl"}),
        (ValueError, "vectors must span a volume", {"vectors": np.zeros((3, 3))}),
        (ValueError, r"origin must have shape \(3,\)", {"origin": [0, 0]}),
    ]:
        with pytest.raises(error, match=message):
            Volume(**{"values": np.ones((2, 2, 2)), "structure": salt} | given)
    pooled = VolumeStatistics(["Na"], n_radii=3)
    with pytest.raises(ValueError, match="structure 0, atom 1: species must be one of Na, got Cl"):
        pooled.create(crystal())
    with pytest.raises(TypeError, match="must be Volume objects, got int at 1"):
        pooled.create([crystal(), 3])
    with pytest.raises(ValueError, match="a sphere of 9 Å leaves the grid"):
        VolumeStatistics(["H", "O"], r_max=9.0).create(around_water())


def test_files_of_other_programs(tmp_path):
    atoms = bulk("Cu")
    write(tmp_path / "plain.xsf", atoms)
    with pytest.raises(ValueError, match=r"plain\.xsf cannot be read as xsf"):
        read_volume(tmp_path / "plain.xsf")
