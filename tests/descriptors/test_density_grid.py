"""Densities on grids against sums over all images as they are written, and against what their integrals have to be."""

import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell, molecule
from scipy.integrate import quad

from atomprint.descriptors import DensityGrid
from atomprint.structures import StructureError
from atomprint.testing import check_derivatives

# Grids that are compared point by point need not be fine.
pytestmark = pytest.mark.filterwarnings("ignore:.* apart, more than 1.5 sigma")

END = 18.0  # u at six sigmas


def shape_of(u):
    return np.where(u < END, np.exp(-u) - np.exp(-END) * (1 + END - u), 0.0)


def height(sigma):
    """Return what makes the integral over space 1, by quadrature."""
    return 1 / quad(lambda r: 4 * np.pi * r**2 * shape_of(r**2 / (2 * sigma**2)), 0, 6 * sigma)[0]


def naive(points, positions, sigmas, weights, cell=None):
    """Return the density at points, from all images that matter."""
    images = np.zeros((1, 3))
    if cell is not None:
        reach = int(np.ceil(6 * max(sigmas) / np.abs(np.linalg.svd(cell)[1]).min())) + 1
        images = (np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3), -1).reshape(-1, 3)) @ cell
        positions = positions - np.floor(positions @ np.linalg.inv(cell)) @ cell
    found = np.zeros(points.shape[:-1])
    for place, sigma, weight in zip(positions, sigmas, weights, strict=True):
        for image in images:
            u = ((points - place - image) ** 2).sum(axis=-1) / (2 * sigma**2)
            found += weight * height(sigma) * shape_of(u)
    return found


def skewed():
    salt = bulk("NaCl", "rocksalt", 5.0)
    salt.set_cell(salt.cell.array + np.array([[0.3, 0, 0], [0, 0.4, 0.2], [0.5, 0, -0.3]]), scale_atoms=True)
    salt.positions += [[31.0, -12.0, 7.0], [30.4, -11.0, 7.3]]
    return salt


@pytest.mark.parametrize("shape", [(5, 7, 4), (1, 1, 1), (11, 3, 6)])
def test_the_grid_of_a_cell(shape):
    salt = skewed()
    grid = DensityGrid(["Na", "Cl"], shape, sigma={"Na": 0.35, "Cl": 0.6}, dtype="float64")
    found = grid.as_grids(grid.create(salt))
    assert found.shape == grid.grid_shape == (2, *shape)
    fractions = np.stack(np.meshgrid(*[np.arange(n) / n for n in shape], indexing="ij"), -1)
    for channel, (position, sigma) in enumerate(zip(salt.positions, (0.35, 0.6), strict=True)):
        wanted = naive(fractions @ salt.cell.array, position[None], [sigma], [1.0], salt.cell.array)
        np.testing.assert_allclose(found[channel], wanted, atol=1e-12)


@pytest.mark.parametrize("center", ["atoms", 2, (0.5, -0.2, 0.1)])
def test_a_box_around_a_centre(center):
    ethanol = molecule("CH3CH2OH")
    ethanol.positions += [5.0, 0.0, 2.0]
    grid = DensityGrid(["H", "C", "O"], box=(3.0, 4.0, 2.9), resolution=0.5, center=center, dtype="float64")
    assert grid.grid_shape == (3, 6, 8, 6)
    middle = {"atoms": ethanol.positions.mean(axis=0), 2: ethanol.positions[2]}.get(center, np.array(center))
    axes = [0.5 * (np.arange(n) + 0.5 - n / 2) for n in (6, 8, 6)]
    points = middle + np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    found = grid.as_grids(grid.create(ethanol))
    for channel, z in enumerate((1, 6, 8)):
        own = ethanol.positions[ethanol.numbers == z]
        np.testing.assert_allclose(found[channel], naive(points, own, [0.5] * len(own), [1.0] * len(own)), atol=1e-12)


def test_a_box_shows_the_images():
    salt = skewed()
    grid = DensityGrid(["Na", "Cl"], box=6.0, resolution=0.75, center=0, dtype="float64")
    axis = 0.75 * (np.arange(8) - 3.5)
    points = salt.positions[0] + np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    points -= np.floor(salt.positions[0] @ np.linalg.inv(salt.cell)) @ salt.cell.array  # near where naive looks
    found = grid.as_grids(grid.create(salt))
    for channel in (0, 1):
        wanted = naive(points, salt.positions[channel][None], [0.5], [1.0], salt.cell.array)
        np.testing.assert_allclose(found[channel], wanted, atol=1e-12)
    alone = DensityGrid(["Na", "Cl"], box=6.0, resolution=0.75, center=0, periodic=False, dtype="float64")
    with pytest.warns(UserWarning, match="periodic is False"):
        assert alone.create(salt).sum() < 0.5 * found.sum()


@pytest.mark.parametrize(("spacing", "error"), [(1.5, 2e-3), (1.0, 2e-7)])
def test_the_integral_is_the_number_of_atoms(spacing, error):
    cells = [bulk("NaCl", "rocksalt", 5.64, cubic=True), skewed(), bulk("Mg", "hcp", a=3.2, c=5.2)]
    for atoms in cells:
        sigma = 0.5
        widths = 1 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
        shape = np.ceil(np.linalg.norm(atoms.cell.array, axis=1) / (spacing * sigma)).astype(int)
        assert (widths / shape <= spacing * sigma).all()
        grid = DensityGrid(["Mg", "Na", "Cl"], shape, sigma=sigma, dtype="float64")
        for _ in range(3):
            atoms.positions += [0.1, 0.23, 0.31]
            total = grid.as_grids(grid.create(atoms)).sum(axis=(1, 2, 3)) * atoms.get_volume() / np.prod(shape)
            counts = [(atoms.numbers == z).sum() for z in (11, 12, 17)]
            np.testing.assert_allclose(total, counts, rtol=error, atol=1e-12)
    around = DensityGrid(["H", "C", "O"], box=14.0, resolution=0.5)
    total = around.as_grids(around.create(molecule("CH3CH2OH"))).sum(axis=(1, 2, 3)) * 0.5**3
    np.testing.assert_allclose(total, [6, 2, 1], rtol=1e-5)


def test_channels():
    salt = skewed()
    given = {
        "all": {"Na": 1.0, "Cl": 1.0},
        "charge": {"Na": 1.0, "Cl": -1.0},
        "anions": {"Cl": 2.0},
        "none": {"F": 1.0},
    }
    by_element = DensityGrid(["Na", "Cl"], 6, dtype="float64")
    sodium, chlorine = by_element.as_grids(by_element.create(salt))
    named = DensityGrid(["Na", "Cl"], 6, channels=given, dtype="float64")
    found = named.as_grids(named.create(salt))
    np.testing.assert_allclose(found, [sodium + chlorine, sodium - chlorine, 2 * chlorine, 0 * sodium], atol=1e-15)
    total = DensityGrid(["Na", "Cl"], 6, channels="total", dtype="float64")
    np.testing.assert_allclose(total.as_grids(total.create(salt))[0], sodium + chlorine, atol=1e-15)
    assert named.get_feature_names_out()[216] == "DensityGrid charge x=0 y=0 z=0"
    assert by_element.get_feature_names_out()[-1] == "DensityGrid Cl x=5 y=5 z=5"
    assert ("elements", "Cl") in by_element.get_feature_meanings().groups
    check_derivatives(named, salt)


def test_the_grid_of_a_supercell_is_that_of_the_cell_again_and_again():
    salt = skewed()
    one = DensityGrid(["Na", "Cl"], (4, 5, 6), dtype="float64")
    two = DensityGrid(["Na", "Cl"], (8, 5, 6), dtype="float64")
    wanted = np.concatenate([one.as_grids(one.create(salt))] * 2, axis=1)
    found = two.as_grids(two.create(make_supercell(salt, np.diag([2, 1, 1]))))
    np.testing.assert_allclose(found, wanted, atol=1e-13)


def test_a_cell_turns_with_its_grid_and_shifts_move_it():
    salt = skewed()
    grid = DensityGrid(["Na", "Cl"], (4, 5, 6), dtype="float64")
    wanted = grid.create(salt)
    turned = salt.copy()
    turned.rotate(40, (1, 2, 3), rotate_cell=True)
    np.testing.assert_allclose(grid.create(turned), wanted, atol=1e-13)
    turned.positions += turned.cell.array[1] / 5
    np.testing.assert_allclose(grid.as_grids(grid.create(turned)), np.roll(grid.as_grids(wanted), 1, 2), atol=1e-13)


def test_pbc_does_not_matter_to_the_grid_of_a_cell():
    salt = skewed()
    grid = DensityGrid(["Na", "Cl"], 5)
    wanted = grid.create(salt)
    salt.pbc = False
    np.testing.assert_array_equal(grid.create(salt), wanted)


@pytest.mark.parametrize("center", ["atoms", 1, (0.3, 0.2, 0.1)])
def test_derivatives_of_boxes(center):
    grid = DensityGrid(["H", "C", "O", "Na", "Cl"], box=(4, 3, 5), resolution=0.8, center=center, dtype="float64")
    for atoms in (molecule("CH3CH2OH"), skewed()):
        check_derivatives(grid, atoms)


def test_float32_is_rounded_and_threads_are_the_same():
    structures = [skewed(), bulk("NaCl", "rocksalt", 5.64, cubic=True)]
    wanted = DensityGrid(["Na", "Cl"], 8, dtype="float64").create(structures)
    grid = DensityGrid(["Na", "Cl"], 8)
    found = grid.create(structures)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-6 * wanted.max())
    for n_jobs in (2, 3):
        np.testing.assert_array_equal(grid.create(structures, n_jobs=n_jobs), found)
        np.testing.assert_array_equal(grid.create(structures[1:], n_jobs=n_jobs), found[1:])
        weights = np.random.default_rng(0).normal(size=found.shape).astype(np.float32)
        one, other = grid.vjp(structures, weights), grid.vjp(structures, weights, n_jobs=n_jobs)
        np.testing.assert_array_equal(np.concatenate(one.positions), np.concatenate(other.positions))
        np.testing.assert_array_equal(one.strain, other.strain)


def test_what_is_refused():
    for error, message, given in [
        (ValueError, "shape .* or box .* must be given, got neither", {}),
        (ValueError, "shape .* or box .* must be given, got both", {"shape": 3, "box": 3.0, "resolution": 1.0}),
        (ValueError, "resolution must be given with box", {"box": 3.0}),
        (ValueError, "resolution must be given with box and with it only, got 1.0", {"shape": 3, "resolution": 1.0}),
        (ValueError, "periodic is for a box", {"shape": 3, "periodic": False}),
        (ValueError, "center is for a box", {"shape": 3, "center": 1}),
        (ValueError, r"shape\[0\] must be >= 1, got 0", {"shape": 0}),
        (ValueError, "shape must be one number or three", {"shape": (1, 2)}),
        (ValueError, "at most 134217728 points, got 1000000000", {"shape": 1000}),
        (ValueError, "sigma must be > 0, got 0", {"shape": 3, "sigma": 0}),
        (ValueError, "center must be one of 'atoms', got 'mass'", {"box": 3.0, "resolution": 1.0, "center": "mass"}),
        (ValueError, "channels must be one of 'elements', 'total', got 'all'", {"shape": 3, "channels": "all"}),
        (TypeError, "channels: a must be None or a dict", {"shape": 3, "channels": {"a": 1.0}}),
    ]:
        with pytest.raises(error, match=message):
            DensityGrid(["Na", "Cl"], **given)
    with pytest.raises(ValueError, match="sigma must have a value for each element, got none for Cl"):
        DensityGrid(["Na", "Cl"], 3, sigma={"Na": 0.5}).create(skewed())
    with pytest.raises(StructureError, match="structure 0: a periodic descriptor needs a cell"):
        DensityGrid(["H", "O"], 3).create(molecule("H2O"))
    with pytest.raises(StructureError, match="structure 1 must have the atom that is the center, 2, got 1 atoms"):
        DensityGrid(["H", "O"], box=3, resolution=1, center=2).create([molecule("H2O"), Atoms("H")])
    with pytest.raises(ValueError, match="rows must have 27 features"):
        DensityGrid(["H"], 3).as_grids(np.zeros(26))


def test_points_too_far_apart_for_the_gaussians_are_told():
    salts = [bulk("NaCl", "rocksalt", a, cubic=True) for a in (5.6, 9.0)]
    fine = DensityGrid(["Na", "Cl"], 8, sigma=0.75, dtype="float64")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fine.create(salts).shape == (2, 2 * 512)
    coarse = DensityGrid(["Na", "Cl"], 6, sigma={"Na": 0.75, "Cl": 0.5}, dtype="float64")
    wanted = (
        r"structure 1: points are up to 1\.5 Å apart, more than 1\.5 sigma \(0\.75 Å\): atoms between them are lost in "
        r"part; give a shape of at least \(12, 12, 12\) or a larger sigma; 2 structures"
    )
    with pytest.warns(UserWarning, match=wanted):
        found = coarse.as_grids(coarse.create(salts))
    counts = found[1].sum(axis=(1, 2, 3)) * salts[1].get_volume() / 6**3
    assert abs(counts[1] - 4) > 1  # why it is told
    wider = DensityGrid(["Na", "Cl"], 12, sigma={"Na": 0.75, "Cl": 0.5}, dtype="float64")
    counts = wider.as_grids(wider.create(salts))[1].sum(axis=(1, 2, 3)) * salts[1].get_volume() / 12**3
    np.testing.assert_allclose(counts, 4, rtol=2.5e-3)
    box = DensityGrid(["H", "O"], box=6.0, resolution=0.9, sigma=0.5)
    with pytest.warns(UserWarning, match=r"resolution: points are 0\.9 Å apart, more than 1\.5 sigma \(0\.75 Å\)"):
        box.create(molecule("H2O"))
