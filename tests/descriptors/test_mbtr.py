"""MBTR, Valle-Oganov fingerprints and LMBTR: against naive versions, and under all symmetries."""

import copy

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from golden import naive_mbtr
from sklearn.base import clone

from atomprint.descriptors import LMBTR, MBTR, ValleOganov
from atomprint.testing import check_derivatives, instruction_set, instruction_sets

GRIDS = {
    "atomic_number": {"min": 0, "max": 18, "n": 25, "sigma": 0.5},
    "distance": {"min": 0, "max": 6, "n": 31, "sigma": 0.2},
    "inverse_distance": {"min": 0, "max": 1, "n": 30, "sigma": 0.02},
    "angle": {"min": 0, "max": 180, "n": 40, "sigma": 4.0},
    "cosine": {"min": -1, "max": 1, "n": 21, "sigma": 0.3},
}
EXP = {"function": "exp", "scale": 0.6, "threshold": 1e-3}
WEIGHTINGS = {
    "distance": [EXP, {"function": "inverse_square", "r_cut": 4.2}],
    "inverse_distance": [{"function": "exp", "r_cut": 5.0, "threshold": 1e-4}],
    "angle": [EXP, {"function": "smooth_cutoff", "r_cut": 3.9}],
    "cosine": [{"function": "smooth_cutoff", "r_cut": 3.3, "sharpness": 4.5}],
}
SPECIES = ["C", "O", "Na", "Cl"]
NUMBERS = [6, 8, 11, 17]
ONES = [(name, w) for name, weightings in WEIGHTINGS.items() for w in weightings]


def term(name, weighting=None, **grid):
    return {"geometry": {"function": name}, "grid": GRIDS[name] | grid, "weighting": weighting}


def crystal(seed=0):
    """A triclinic cell, smaller than the cutoffs, in a general position."""
    rng = np.random.default_rng(seed)
    cell = [[3.9, 0.2, 0.1], [-0.8, 4.2, 0.3], [0.5, 1.0, 4.6]]
    scaled = np.array([[0.1, 0.1, 0.2], [0.6, 0.5, 0.1], [0.3, 0.6, 0.7], [0.8, 0.1, 0.6]])
    atoms = Atoms("NaClOC", scaled_positions=scaled, cell=cell, pbc=True)
    atoms.positions += rng.normal(0, 0.1, (4, 3))
    return atoms


def slab():
    atoms = crystal(1)
    atoms.pbc = (True, False, True)
    return atoms


def close(a, b, tolerance=1e-12):
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize(("name", "weighting"), ONES)
def test_naive(name, weighting, isa):
    use = term(name, weighting)
    with instruction_set(isa):
        for atoms, periodic in ((crystal(), True), (slab(), True), (crystal(), False)):
            if not periodic:
                atoms.pbc = False
            got = MBTR(**use, species=SPECIES, periodic=periodic).create(atoms)
            want = naive_mbtr.mbtr(atoms, **use, species=NUMBERS, periodic=periodic)
            assert want.any()
            close(got, want)
            local = LMBTR(**use, species=SPECIES, periodic=periodic)
            for center in (2, [1.0, 1.3, 0.4]):
                want = naive_mbtr.lmbtr(atoms, center, **use, species=NUMBERS, periodic=periodic)
                assert want.any()
                close(local.create(atoms, centers=[center])[0], want)


@pytest.mark.parametrize("sigma", [1e-3, 0.02, 0.2, 1.0, 6.0])
def test_grids_of_all_steps(sigma):
    """The Gaussians are exact however many grid points one of them covers."""
    use = term("distance", EXP, sigma=sigma)
    close(
        MBTR(**use, species=SPECIES, periodic=True).create(crystal()),
        naive_mbtr.mbtr(crystal(), **use, species=NUMBERS, periodic=True),
    )


def test_without_weighting_all_terms_count():
    atoms = Atoms("OCO", positions=[[0, 0, 0], [0, 0.1, 30.0], [0, 0, 0.9]])
    unity = {"function": "unity"}
    for use in (term("distance", max=40), term("angle")):
        X = MBTR(**use, species=SPECIES).create(atoms)
        close(X, naive_mbtr.mbtr(atoms, **use | {"weighting": unity}, species=NUMBERS))
        np.testing.assert_array_equal(X, MBTR(**use | {"weighting": unity}, species=SPECIES).create(atoms))
    local = LMBTR(**term("angle"), species=SPECIES)
    close(local.create(atoms)[1], naive_mbtr.lmbtr(atoms, 1, **term("angle", unity), species=NUMBERS))


@pytest.mark.parametrize(("name", "weighting"), ONES)
@pytest.mark.parametrize("make", [crystal, slab])
def test_the_choice_of_cell_does_not_matter(name, weighting, make):
    atoms = make()
    rng = np.random.default_rng(3)
    mbtr = MBTR(**term(name, weighting), species=SPECIES, periodic=True, normalization="n_atoms")
    local = LMBTR(**term(name, weighting), species=SPECIES, periodic=True)
    want, rows = mbtr.create(atoms), local.create(atoms)
    moved = atoms.copy()  # out of the cell, each atom by its own lattice vector
    moved.positions += (rng.integers(-3, 4, (len(atoms), 3)) * atoms.pbc) @ atoms.cell.array
    sheared = atoms.copy()  # another cell of the same lattice
    sheared.set_cell([[1, 0, 0], [0, 1, 0], [2, 0, 1]] @ atoms.cell.array)
    turned = atoms.copy()
    turned.rotate(37, (1, 2, 3), rotate_cell=True)
    turned.positions += [10.0, -20.0, 0.3]
    mirrored = atoms.copy()
    mirrored.set_cell(-atoms.cell.array)
    mirrored.positions *= -1
    for other in (moved, sheared, turned, mirrored):
        close(mbtr.create(other), want, 1e-11)
        close(local.create(other), rows, 1e-11)
    for repeat in ((2, 1, 1), (1, 1, 3), (2, 1, 2)):
        big = atoms.repeat(repeat)
        close(mbtr.create(big), want, 1e-11)
        close(local.create(big, centers=range(len(atoms))), rows, 1e-11)
    order = [2, 0, 3, 1]
    close(mbtr.create(atoms[order]), want)
    close(local.create(atoms[order]), rows[order])


@pytest.mark.parametrize("function", ["distance", "angle"])
def test_valle_oganov(function):
    atoms = crystal()
    sigma = 0.2 if function == "distance" else 8.0
    fingerprint = ValleOganov(SPECIES, function, n=30, sigma=sigma, r_cut=5.0)
    want = naive_mbtr.valle_oganov(atoms, species=NUMBERS, function=function, n=30, sigma=sigma, r_cut=5.0)
    close(fingerprint.create(atoms), want)
    # V / (N_A N_B N_C), the definition, makes angles depend on how many cells there are.
    close(fingerprint.create(atoms.repeat((1, 2, 2))), want if function == "distance" else want / 4, 1e-11)
    kind = "inverse_square" if function == "distance" else "smooth_cutoff"
    grid = {"min": 0, "max": 5.0 if function == "distance" else 180, "n": 30, "sigma": sigma}
    use = {"geometry": {"function": function}, "grid": grid, "weighting": {"function": kind, "r_cut": 5.0}}
    mbtr = MBTR(**use, species=SPECIES, periodic=True, normalization="valle_oganov")
    np.testing.assert_array_equal(mbtr.create(atoms), fingerprint.create(atoms))


def test_fingerprints_tend_to_one():
    rng = np.random.default_rng(0)
    gas = Atoms("Na150Cl250", positions=rng.uniform(0, 20, (400, 3)), cell=[20, 20, 20], pbc=True)
    fingerprint = ValleOganov(["Na", "Cl"], "distance", n=40, sigma=0.4, r_cut=8.0)
    X = fingerprint.create(gas).reshape(3, 40)[:, 20:38]
    np.testing.assert_allclose(X.mean(axis=1), 1, atol=0.05)


def test_several_terms_are_those_of_single_ones():
    atoms = [molecule("H2O"), molecule("CH3OH")]
    terms = [
        term("atomic_number"),
        term("distance", EXP),
        term("angle", {"function": "smooth_cutoff", "r_cut": 4.0}),
        term("distance", None, sigma=0.5),
    ]
    for normalization in ("none", "l2", "n_atoms"):
        together = MBTR(terms=terms, species=["H", "C", "O"], normalization=normalization)
        singles = [MBTR(**each, species=["H", "C", "O"], normalization=normalization) for each in terms]
        X = together.create(atoms)
        np.testing.assert_array_equal(X, np.hstack([single.create(atoms) for single in singles]))
        assert together.get_number_of_features() == X.shape[1]
        if normalization == "l2":
            np.testing.assert_allclose((X**2).sum(axis=1), 4)
    names = together.get_feature_names_out()
    assert len(set(names)) == len(names)
    where = together.get_location(("H", "O"), term=3)
    assert where.stop == len(names) - 2 * 31 - 31
    assert all(name.startswith("MBTR H-O distance[1]=") for name in names[where])
    assert all(name.startswith("MBTR H-C-O angle=") for name in names[together.get_location(("O", 6, "H"))])
    assert together.get_location("H") == slice(0, 25)
    with pytest.raises(ValueError, match=r"species: 2 terms have features for 2 species .* give term, too"):
        together.get_location(("H", "O"))
    with pytest.raises(ValueError, match="term must be < 4, the number of terms, got 4"):
        together.get_location(("H", "O"), term=4)
    with pytest.raises(ValueError, match="no features for H-N"):
        together.get_location(("H", "N"), term=1)


def test_locations():
    atoms = molecule("CH3CH2OH")
    for name, key in (("distance", ("H", "O")), ("angle", ("H", "O", "C")), ("cosine", ("O", "C", "H"))):
        mbtr = MBTR(**term(name), species=["H", "C", "O"])
        X, where = mbtr.create(atoms), mbtr.get_location(key)
        assert where == mbtr.get_location(key[::-1])
        assert where.stop - where.start == GRIDS[name]["n"]
        alone = X.copy()
        alone[where] = 0
        assert X[where].any()
        only = MBTR(**term(name), species=["H", "C", "O"]).create(atoms[[a.index for a in atoms if a.symbol in key]])
        close(only[where], X[where])  # other species do not matter for it
    local = LMBTR(**term("angle", EXP), species=["H", "C", "O"])
    names = local.get_feature_names_out()
    for key in (("X", "C", "H"), ("H", "X", "O"), ("X", "X", "C")):
        where = local.get_location(key)
        assert names[where][0].split()[1] in ("-".join(key), "-".join(key[::-1]))
        assert local.create(atoms)[:, where].any() == (key.count("X") == 1)


def test_species_are_learnt():
    atoms = [molecule("H2O"), molecule("CO2")]
    mbtr = MBTR(**term("distance")).fit(atoms)
    assert mbtr.species_ == (1, 6, 8)
    np.testing.assert_array_equal(
        mbtr.transform(atoms), MBTR(**term("distance"), species=["H", "C", "O"]).create(atoms)
    )
    assert ValleOganov(None, "angle", 9, 9.0, 4.0).fit([bulk("NaCl", "rocksalt", 5.6)]).species_ == (11, 17)


def test_dicts_of_the_caller_are_not_changed():
    given = [term("distance", EXP), term("angle", {"function": "exp", "r_cut": 4, "threshold": 0.1})]
    before = copy.deepcopy(given)
    for use in given:
        for kind in (MBTR, LMBTR):
            descriptor = kind(**use, species=SPECIES, periodic=True)
            descriptor.create(crystal())
            assert descriptor.weighting is use["weighting"]
    MBTR(terms=given, species=SPECIES).create(crystal())
    assert given == before


def test_terms_at_the_cutoff_do_not_count():
    """Whether a pair exactly at the cutoff counts does not depend on where it is."""
    for shift in np.random.default_rng(0).uniform(-50, 50, (20, 3)):
        atoms = Atoms("OC", positions=[[0, 0, 0], [0, 0, 3.7]])
        atoms.positions += shift
        for r_cut, counts in ((3.7, False), (3.7001, True)):
            for weighting in (
                {"function": "inverse_square", "r_cut": r_cut},
                {"function": "exp", "r_cut": r_cut, "threshold": 0.1},
            ):
                assert MBTR(**term("distance", weighting), species=SPECIES).create(atoms).any() == counts
        atoms = Atoms("OCC", positions=[[0, 0, 0], [0, 0, 3.0], [4.0, 0, 0]])  # a perimeter of 12
        atoms.positions += shift
        for r_cut, counts in ((6.0, False), (6.0001, True)):
            weighting = {"function": "exp", "r_cut": r_cut, "threshold": 0.1}
            assert MBTR(**term("angle", weighting), species=SPECIES).create(atoms).any() == counts


def test_straight_angles():
    """Angles near 0 and 180 degrees keep their digits, and derivatives at 180 are those of the distances."""
    grid = {"min": 178, "max": 182, "n": 41, "sigma": 0.1}
    use = {"geometry": {"function": "angle"}, "grid": grid, "weighting": {"function": "smooth_cutoff", "r_cut": 4}}
    for bend in (0.0, 1e-7, 1e-3):
        atoms = Atoms("OCO", positions=[[0, 0, 1.2], [0, np.radians(bend) * 0.6, 0], [0, 0, -1.2]])
        close(MBTR(**use, species=["C", "O"]).create(atoms), naive_mbtr.mbtr(atoms, **use, species=[6, 8]), 1e-9)
    mbtr = MBTR(**use, species=["C", "O"])
    straight = molecule("CO2")
    derivatives = mbtr.derivatives(straight, return_descriptor=False)
    assert np.isfinite(derivatives).all()
    numerical = mbtr.derivatives(straight, method="numerical", return_descriptor=False)
    close(derivatives, numerical, 1e-6)
    assert derivatives.any()


@pytest.mark.parametrize(("name", "weighting"), ONES)
@pytest.mark.parametrize("normalization", ["none", "l2", "valle_oganov"])
def test_derivatives(name, weighting, normalization):
    if weighting is EXP:
        weighting = EXP | {"threshold": 1e-9, "scale": 2.0}  # features jump by the threshold where a term is dropped
    mbtr = MBTR(**term(name, weighting), species=SPECIES, periodic=True, normalization=normalization)
    assert not check_derivatives(mbtr, [crystal(), slab()]).constant


def test_vjp_is_the_dense_derivative_times_cotangents():
    atoms = [crystal(s) for s in range(3)]
    rng = np.random.default_rng(0)
    for descriptor in (
        MBTR(terms=[term(*ONES[0]), term(*ONES[4])], species=SPECIES, periodic=True, normalization="l2"),
        LMBTR(**term(*ONES[4]), species=SPECIES, periodic=True, normalization="l2"),
    ):
        X = descriptor.create(atoms)
        c = rng.normal(size=X.shape)
        arguments = {"attach": True} if isinstance(descriptor, LMBTR) else {}
        positions, strain = descriptor.derivatives(
            atoms, wrt=("positions", "strain"), return_descriptor=False, **arguments
        )
        gradient = descriptor.vjp(atoms, c)
        rows = "r" if isinstance(descriptor, LMBTR) else ""
        for s in range(3):
            close(gradient.positions[s], np.einsum(f"{rows}kcf,{rows}f->kc", positions[s], c[s]))
            close(gradient.strain[s], np.einsum(f"{rows}abf,{rows}f->ab", strain[s], c[s]))


def test_a_point_on_an_atom_stands_for_it():
    atoms = crystal()
    for name in ("distance", "angle"):
        local = LMBTR(**term(name, EXP), species=SPECIES, periodic=True)
        want = local.create(atoms, centers=[1, 3])
        close(local.create(atoms, centers=atoms.positions[[1, 3]] + 1e-7), want, 1e-5)
        shifted = atoms.positions[[1, 3]] + [1, -2, 3] @ atoms.cell.array
        close(local.create(atoms, centers=shifted), want)


def test_bad_arguments():
    grid, distance = GRIDS["distance"], {"function": "distance"}
    for change, error, message in (
        ({"geometry": None}, ValueError, "geometry and grid must be given"),
        (
            {"geometry": {"function": "torsion"}},
            ValueError,
            "geometry: function must be one of 'atomic_number', .*'torsion'",
        ),
        ({"geometry": "distance"}, TypeError, "geometry must be a dict, got 'distance'"),
        ({"grid": grid | {"max": 0}}, ValueError, "grid: max must be > 0, got 0"),
        ({"grid": grid | {"n": 1}}, ValueError, "grid: n must be >= 2, got 1"),
        ({"grid": grid | {"n": 2.0}}, TypeError, "grid: n must be an integer, got 2.0"),
        ({"grid": grid | {"sigma": 0}}, ValueError, "grid: sigma must be > 0, got 0"),
        ({"grid": grid | {"sigma": 1e-5}}, ValueError, "grid: sigma must be between .* got 1e-05"),
        ({"grid": grid | {"width": 1}}, ValueError, "grid takes .* got .'width'."),
        ({"grid": {"min": 0, "max": 1}}, ValueError, "grid needs .'n', 'sigma'."),
        (
            {"weighting": {"function": "smooth_cutoff", "r_cut": 3}},
            ValueError,
            r"weighting: function \(of 'distance'\) must be",
        ),
        ({"weighting": {"function": "exp", "scale": 1}}, ValueError, "weighting: 'exp' needs 'threshold' and one of"),
        ({"weighting": EXP | {"r_cut": 3}}, ValueError, "weighting: 'exp' needs 'threshold' and one of"),
        ({"weighting": EXP | {"threshold": 1.5}}, ValueError, "weighting: threshold must be < 1, got 1.5"),
        ({"weighting": {"function": "inverse_square"}}, ValueError, "weighting: 'inverse_square' needs 'r_cut'"),
        ({"weighting": {"function": "unity", "r_cut": 3}}, ValueError, "weighting takes"),
        ({"weighting": None, "periodic": True}, ValueError, "must not be 'unity' with periodic=True"),
        (
            {"normalization": "valle_oganov", "periodic": False},
            ValueError,
            "must not be 'valle_oganov' with periodic=False",
        ),
        ({"normalization": "max"}, ValueError, "normalization must be one of"),
        ({"normalize_gaussians": 1}, TypeError, "normalize_gaussians must be True or False, got 1"),
        ({"terms": [term("angle")]}, ValueError, "terms must not be given together with geometry"),
    ):
        with pytest.raises(error, match=message):
            MBTR(**{"geometry": distance, "grid": grid, "weighting": EXP} | change)
    for terms, error, message in (
        ([], ValueError, "terms must hold at least one term"),
        (term("angle"), TypeError, "terms must be a sequence of dicts"),
        ([term("angle"), {"grid": grid}], ValueError, r"terms\[1\] needs .'geometry'."),
        ([{"geometry": distance, "grid": {}}], ValueError, r"terms\[0\]: grid needs"),
    ):
        with pytest.raises(error, match=message):
            MBTR(terms=terms)
    with pytest.raises(ValueError, match=r"geometry: function must be one of 'distance', .* got 'atomic_number'"):
        LMBTR(**term("atomic_number"))
    with pytest.raises(ValueError, match="function must be one of 'distance', 'angle', got 'cosine'"):
        ValleOganov(SPECIES, "cosine", 10, 1.0, 3.0)
    wide = MBTR(**term("distance", {"function": "inverse_square", "r_cut": 1e4}), species=["Na"], periodic=True)
    with pytest.raises(ValueError, match=r"structure 0: .*images.*cutoff of the weighting is too large"):
        wide.create(bulk("Na", "bcc", 4.0))
    flat = Atoms("Na", cell=[3, 3, 0], pbc=(True, True, False))
    with pytest.raises(ValueError, match="structure 0: normalization 'valle_oganov' needs a cell with a volume"):
        ValleOganov(["Na"], "distance", 10, 1.0, 3.0).create(flat)


def test_float32_is_rounded_once():
    for name, weighting in ONES:
        double = MBTR(**term(name, weighting), species=SPECIES, periodic=True)
        single = clone(double).set_params(dtype="float32")
        np.testing.assert_array_equal(single.create(crystal()), double.create(crystal()).astype(np.float32))
