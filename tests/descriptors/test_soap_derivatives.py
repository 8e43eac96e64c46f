"""SOAP's derivatives where its kernels take other ways: many neighbours, other sizes, precisions, threads."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from atomprint.descriptors import SOAP
from atomprint.testing import check_derivatives


def salt(repeat: int = 1) -> Atoms:
    atoms = bulk("NaCl", "rocksalt", 5.3, cubic=True).repeat(repeat)
    atoms.positions += np.random.default_rng(0).normal(0, 0.1, atoms.positions.shape)
    return atoms


# More than a hundred neighbours around each atom, so that most are summed in the short basis of a zone.
MANY = {"species": ["Na", "Cl"], "r_cut": 5.0, "sigma": 0.7, "n_max": 6, "l_max": 4, "periodic": True}


@pytest.mark.parametrize("average", ["off", "inner", "outer"])
@pytest.mark.parametrize("options", [{}, {"compression": "mu2"}, {"cutoff_width": 1.5}], ids=["plain", "mu2", "smooth"])
@pytest.mark.usefixtures("each_instruction_set")
def test_many_neighbours(average, options):
    # A point off the atoms too, as a fixed centre; few, since each is computed several times.
    check_derivatives(SOAP(**MANY, **options, average=average), salt(), centers=[0, 5])


@pytest.mark.parametrize(("n_max", "l_max"), [(1, 0), (3, 2), (4, 1), (8, 6), (9, 3), (12, 2), (16, 1), (17, 1)])
@pytest.mark.parametrize("compression", ["off", "mu1nu1"])
@pytest.mark.usefixtures("each_instruction_set")
def test_sizes(n_max, l_max, compression):
    """Rows that are shorter than a vector, fill vectors exactly, and are longer."""
    atoms = molecule("CH3OH")
    atoms.positions += np.random.default_rng(1).normal(0, 0.1, atoms.positions.shape)
    soap = SOAP(species=["H", "C", "N", "O"], r_cut=6.0, n_max=n_max, l_max=l_max, sigma=0.5, compression=compression)
    check_derivatives(soap, atoms, centers=[0, 1])


@pytest.mark.parametrize("n_max", [1, 2, 3, 6, 9, 14])
@pytest.mark.parametrize("compression", ["off", "mu1nu1"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.usefixtures("each_instruction_set")
def test_what_stands_behind_the_cotangents_does_not_matter(n_max, compression, dtype):
    atoms = molecule("CH3OH")
    soap = SOAP(species=["H", "C", "O"], r_cut=4.0, n_max=n_max, l_max=3, compression=compression, dtype=dtype)
    cotangents = np.full((len(atoms) + 1, soap.get_number_of_features()), np.nan, dtype=dtype)
    cotangents[:-1] = np.random.default_rng(0).normal(size=cotangents[:-1].shape)
    alone = soap.vjp(atoms, cotangents[:-1].copy())
    np.testing.assert_array_equal(soap.vjp(atoms, cotangents[:-1]).positions, alone.positions)


@pytest.mark.parametrize("average", ["off", "inner", "outer"])
@pytest.mark.parametrize("options", [{}, {"species_embedding": [[1.0, 0.3], [-0.4, 0.8]]}], ids=["species", "channels"])
@pytest.mark.usefixtures("each_instruction_set")
def test_single_precision(average, options):
    """The same as in double precision, to the rounding of sums with about a hundred terms."""
    atoms = salt()
    double, single = (SOAP(**MANY, **options, average=average, dtype=dtype) for dtype in ("float64", "float32"))
    features = double.create(atoms)
    cotangents = np.random.default_rng(0).normal(size=features.shape)
    expected, found = double.vjp(atoms, cotangents), single.vjp(atoms, cotangents.astype(np.float32))
    for name in ("positions", "strain"):
        a, b = getattr(found, name), getattr(expected, name)
        assert a.dtype == np.float64  # added up in double precision, from terms in single precision
        assert np.abs(a - b).max() < 2e-5 * np.abs(b).max()
    wanted, _ = double.derivatives(atoms, centers=[3], include=[1, 3])
    dense, _ = single.derivatives(atoms, centers=[3], include=[1, 3])
    assert dense.dtype == np.float32
    assert np.abs(dense - wanted).max() < 2e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("average", ["off", "inner", "outer"])
def test_threads_change_nothing(average):
    """Not even rounding: a structure is cut into the same parts, which are added up in the same order."""
    atoms = [salt(2), salt(), salt(2)]
    soap = SOAP(**MANY | {"n_max": 3, "l_max": 2}, average=average)
    features = soap.create(atoms)
    one, three = (soap.vjp(atoms, features, return_descriptor=True, n_jobs=n) for n in (1, 3))
    for a, b in zip([*one.positions, *one.strain], [*three.positions, *three.strain], strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b, c in zip(features, one.descriptor, three.descriptor, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    dense = [soap.derivatives(atoms, include=[0, 1], return_descriptor=False, n_jobs=n) for n in (1, 3)]
    for a, b in zip(*dense, strict=True):
        np.testing.assert_array_equal(a, b)


def test_supercell_has_the_same_gradients():
    """The energy of a supercell that is the sum over its atoms: forces repeat, the strain derivative adds up."""
    atoms = salt()
    soap = SOAP(**MANY)
    weights = np.random.default_rng(2).normal(size=soap.get_number_of_features())
    small = soap.vjp(atoms, np.tile(weights, (8, 1)))
    large = soap.vjp(atoms.repeat((2, 1, 1)), np.tile(weights, (16, 1)))
    scale = np.abs(small.positions).max()
    np.testing.assert_allclose(large.positions, np.tile(small.positions, (2, 1)), atol=1e-11 * scale)
    np.testing.assert_allclose(large.strain, 2 * small.strain, atol=1e-11 * np.abs(small.strain).max())


def test_all_forms_agree_to_rounding():
    """Contracted, dense and by pairs, for neighbours in zones and near ones."""
    atoms, soap = salt(), SOAP(**MANY)
    features = soap.create(atoms)
    for attach in (True, False):
        contracted = soap.vjp(atoms, features, attach=attach)
        dense, strain, _ = soap.derivatives(atoms, attach=attach, wrt=("positions", "strain"))
        scale = np.abs(contracted.positions).max()
        for other in (
            soap.jacobian(atoms).contract(features, attach=attach).positions,
            np.einsum("cakf,cf->ak", dense, features),
        ):
            np.testing.assert_allclose(other, contracted.positions, atol=1e-12 * scale)
        np.testing.assert_allclose(
            np.einsum("cabf,cf->ab", strain, features),
            contracted.strain,
            atol=1e-12 * np.abs(contracted.strain).max(),
        )


@pytest.mark.parametrize("m", [0, 0.5, 1, 1.5])
def test_slope_of_the_polynomial_weight_where_it_vanishes(m):
    """An atom so near r0 that rounding leaves nothing of the weight does not count; its derivatives are no NaN."""
    soap = SOAP(species=["H"], r_cut=3.0, n_max=2, l_max=1, weighting={"function": "poly", "r0": 2.0, "m": m})
    for nearer in (1e-16, 1e-12, 3e-9, 1e-8):
        atoms = Atoms("H2", positions=[[0, 0, 0], [2 * (1 - nearer), 0, 0]])
        features = soap.create(atoms)
        gradient = soap.vjp(atoms, np.ones_like(features))
        assert np.isfinite(features).all()
        assert np.isfinite(gradient.positions).all()
        assert np.isfinite(soap.derivatives(atoms, return_descriptor=False)).all()


@pytest.mark.parametrize(
    "weighting",
    [{"function": "exp_decay", "r0": 0.003}, {"function": "pow", "r0": 0.001, "m": 120}],
    ids=lambda weighting: weighting["function"],
)
def test_slope_of_a_weight_that_has_decayed_to_nothing(weighting):
    atoms = Atoms("H2", positions=[[0, 0, 0], [2.5, 0, 0]])  # exp(x) and x^m are beyond the largest number
    soap = SOAP(species=["H"], r_cut=3.0, n_max=2, l_max=1, weighting=weighting)
    assert not soap.vjp(atoms, soap.create(atoms)).positions.any()
