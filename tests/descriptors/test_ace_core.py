"""The compiled ACE against a naive evaluation from the definitions, and its derivatives against finite differences."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list

from atomprint import _core
from atomprint.descriptors.ace_basis import PairRange, Radial, ace_basis, radial_tables
from atomprint.descriptors.engine.compiled import CompiledDescriptor
from atomprint.layout import Axis, Block, Layout
from atomprint.potentials.terms.term import VOIGT
from atomprint.structures import as_batch
from atomprint.testing import check_derivatives, instruction_set, instruction_sets

from .test_ace_basis import evaluate, real_harmonics

R_CUT = 3.4
# Channels are the species; mixed; one of all, with more radial functions than a vector holds.
CHANNELS = {
    "full": (np.eye(2), 3, 3),
    "mixed": (np.array([[1.0, 1.0], [0.6, -0.8], [0.0, 0.3]]), 2, 2),
    "one": (np.array([[1.0, 0.4]]), 9, 2),
}
DEGREES = {"full": (2, 4, 4, 4), "mixed": (1, 3, 3, 3), "one": (8, 9, 4, 3)}
NUMBERS = [6, 14]


def structures():
    """Molecules, an isolated atom, cells smaller than the cutoff, triclinic ones, and more atoms than lanes."""
    rng = np.random.default_rng(3)
    triclinic = Atoms(
        "CSi2", [[0, 0, 0], [1.4, 1.1, 0.2], [0.3, 1.7, 1.9]], cell=[[3, 0, 0], [1, 2.8, 0], [0.4, -0.9, 3.1]]
    )
    triclinic.pbc = [True, True, True]
    slab = triclinic.copy()
    slab.pbc = [True, False, True]
    crystal = bulk("SiC", "zincblende", a=4.3).repeat((3, 2, 2))
    crystal.rattle(0.1, seed=4)
    hydride = molecule("SiH4")
    hydride.symbols = "SiCCSiC"
    chain = Atoms("C9Si9", rng.uniform(-2.5, 2.5, (18, 3)))
    return [triclinic, Atoms("C", [[0, 0, 0]]), bulk("Si", a=5.4), crystal, hydride, slab, chain]


def ace(name, table_of=None):
    """Return the compiled basis, that in Python, and the radial functions of each table."""
    channels, n_max, l_max = CHANNELS[name]
    basis = ace_basis(len(channels), n_max, l_max, DEGREES[name])
    ranges = tuple(PairRange(r0, (0.3, 0.6)) for r0 in (1.5, 1.9, 2.3))
    radial = Radial("chebyshev", n_max, R_CUT, 2.0)
    tables = radial_tables(radial, ranges, 1e-10)
    table_of = np.array([[0, 1], [1, 2], [2, 0]], np.int32) if table_of is None else table_of
    core = _core.AceBasis(
        species=NUMBERS, cutoff=R_CUT, n_max=n_max, l_max=l_max, tables=tables, table_of=table_of, channels=channels,
        product_first=basis.product_first, product_a=basis.product_a, product_b=basis.product_b,
        product_c=basis.product_c, function_first=basis.function_first, function_p=basis.function_p,
        function_q=basis.function_q, function_c=basis.function_c,
    )  # fmt: skip

    def radial_functions(table, r):
        step = R_CUT / tables.shape[1]
        cell = np.minimum((r / step).astype(int), tables.shape[1] - 1)
        return sum(tables[table, cell, p] * (r / step - cell)[:, None] ** p for p in range(6))

    return core, basis, lambda centre, kind, r: radial_functions(table_of[centre, kind], r)


def naive(name, atoms, points=None):
    """Features of the atoms, or of points that are no atoms."""
    channels, n_max, l_max = CHANNELS[name]
    _, basis, radial = ace(name)
    if points is None:
        i, j, vectors = neighbor_list("ijD", atoms, R_CUT)
        n, own = len(atoms), np.searchsorted(NUMBERS, atoms.numbers)
    else:
        with_points = atoms + Atoms(f"H{len(points)}", points)
        i, j, vectors = neighbor_list("ijD", with_points, R_CUT)
        keep = (i >= len(atoms)) & (j < len(atoms))
        i, j, vectors = i[keep] - len(atoms), j[keep], vectors[keep]
        n, own = len(points), np.full(len(points), 2)
    rows = []
    for centre in range(n):
        a = np.zeros((len(channels), n_max, (l_max + 1) ** 2))
        for kind, number in enumerate(NUMBERS):
            those = (i == centre) & (atoms.numbers[j] == number)
            if not those.any():
                continue
            d = vectors[those]
            y = np.concatenate([real_harmonics(l, d) for l in range(l_max + 1)], axis=1)
            r = radial(own[centre], kind, np.linalg.norm(d, axis=1))
            a += channels[:, kind, None, None] * np.einsum("jn,jm->nm", r, y)
        rows.append(evaluate(basis, a.ravel()))
    return np.array(rows)


class CoreAce(CompiledDescriptor, auto_wrap_output_keys=None):
    """The compiled calculator as a descriptor, with all that descriptors can do."""

    _pools = ("_compute", "_vjp", "_pairs")

    def __init__(self, name, dtype="float64", pooling=None, sparse=False, periodic="auto", n_jobs=1):
        self._initialise(locals())

    r_cut, species, centers = R_CUT, NUMBERS, None

    def _n_features(self):
        return ace(self.name)[0].n_functions

    def _layout(self):
        return Layout("ACE", [Block((), [Axis("functions", [str(k) for k in range(self._n_features())])])])

    def _calculator(self):
        return {"float64": _core.Ace64, "float32": _core.Ace32}[self.dtype](ace(self.name)[0])


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize("isa", instruction_sets())
def test_features_are_those_of_the_definition(name, isa):
    with instruction_set(isa):
        values = CoreAce(name).create(structures())
        rounded = CoreAce(name, dtype="float32").create(structures())
    for own, single, atoms in zip(values, rounded, structures(), strict=True):
        expected = naive(name, atoms)
        scale = np.abs(expected).max() + 1.0
        np.testing.assert_allclose(own, expected, rtol=1e-10, atol=1e-11 * scale)
        np.testing.assert_allclose(single, expected, rtol=1e-4, atol=1e-5 * scale)


def test_centres_that_are_no_atoms_have_the_radial_functions_of_their_own_row():
    atoms = structures()[0]
    points = np.array([[0.3, 0.9, 1.2], atoms.positions[1]])  # the second is an atom, which is then no neighbour
    features = CoreAce("full").create(atoms, centers=points)
    np.testing.assert_allclose(features[:1], naive("full", atoms, points[:1]), rtol=1e-10)
    assert np.isfinite(features).all()


def test_atoms_on_top_of_each_other_give_finite_numbers():
    atoms = Atoms("CSiC", [[0, 0, 0], [0, 0, 2e-5], [1.5, 0, 0]])
    features = CoreAce("full").create(atoms)
    weights = np.ones_like(features)
    gradient, strain, _ = CoreAce("full").vjp(atoms, weights)
    assert np.isfinite(features).all()
    assert np.isfinite(gradient).all()
    assert np.isfinite(strain).all()


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize("isa", instruction_sets())
def test_derivatives_are_finite_differences(name, isa):
    triclinic, _, _, _, hydride, slab, _ = structures()
    with instruction_set(isa):
        check_derivatives(CoreAce(name), [triclinic, hydride, slab])
        check_derivatives(CoreAce(name, dtype="float32"), hydride, attach=True)


def test_derivatives_of_more_centres_and_neighbours_than_lanes_are_finite_differences():
    check_derivatives(CoreAce("full"), structures()[-1], attach=True)
    check_derivatives(CoreAce("mixed", pooling="mean"), structures()[-1])


def test_points_that_are_no_atoms_have_derivatives_too():
    points = [[0.3, 0.9, 1.2], [1.1, 0.2, -0.4]]
    check_derivatives(CoreAce("full"), structures()[:1], centers=[points])


def test_pools_sparse_rows_and_threads_do_not_change_the_numbers():
    items = structures()
    rows = CoreAce("full").create(items)
    weights = [np.random.default_rng(1).normal(size=row.shape) for row in rows]
    alone = CoreAce("full").vjp(items, weights)
    threaded = CoreAce("full", n_jobs=3)
    for own, other in zip(rows, threaded.create(items), strict=True):
        np.testing.assert_array_equal(own, other)
    for own, other in zip(alone[:2], threaded.vjp(items, weights)[:2], strict=True):
        np.testing.assert_array_equal(np.concatenate(own), np.concatenate(other))
    np.testing.assert_allclose(
        CoreAce("full", pooling="mean").create(items), [r.mean(0) for r in rows], rtol=1e-12, atol=1e-15
    )
    sparse = CoreAce("full", sparse=True).create(items)
    for own, other in zip(rows, sparse, strict=True):
        np.testing.assert_array_equal(own, other.toarray())
    carbon = rows[1].ravel()  # alone
    assert not carbon.any()
    assert sparse[1].nnz == 0


def rows_by_vjp(name, atoms):
    """Rows of a fit from the derivatives of each feature of each species."""
    calculator = CoreAce(name)
    features = calculator.create(atoms)
    n = features.shape[1]
    blocks = []
    for number in NUMBERS:
        own = atoms.numbers == number
        weights = np.zeros((n, *features.shape))
        weights[np.arange(n)[:, None], own.nonzero()[0], np.arange(n)[:, None]] = 1.0
        gradient = calculator.vjp(atoms, weights, several=True)
        strain = np.array([gradient.strain[:, a, b] for a, b in VOIGT])
        blocks.append(np.vstack([features[own].sum(0), -gradient.positions.reshape(n, -1).T, strain]))
    return np.hstack(blocks)


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize("isa", instruction_sets())
def test_rows_of_a_fit_are_derivatives_of_the_features(name, isa):
    items, rows = structures(), _core.AceRows(ace(name)[0])
    batch = as_batch(items, periodic=None)
    n = sum(7 + 3 * len(atoms) for atoms in items)
    wide = np.full((n, rows.n_columns + 3), np.nan)
    sums = np.full((len(items), rows.n_columns), np.nan)
    with instruction_set(isa):
        rows.rows(batch.core(), wide[:, 1:-2], 1)
        rows.sums(batch.core(), sums, 1)
    assert np.isnan(wide[:, [0, -2, -1]]).all()
    threaded = np.empty((n, rows.n_columns))
    with instruction_set(isa):
        rows.rows(batch.core(), threaded, 3)
    np.testing.assert_array_equal(threaded, wide[:, 1:-2])
    expected = [rows_by_vjp(name, atoms) for atoms in items]
    scale = 1e-12 * max(np.abs(rows).max() for rows in expected)
    np.testing.assert_allclose(wide[:, 1:-2], np.concatenate(expected), rtol=1e-9, atol=scale)
    np.testing.assert_allclose(sums, [rows[0] for rows in expected], rtol=1e-12, atol=scale)


def test_a_function_is_there_while_any_of_its_terms_is():
    a = 4  # numbers of a channel
    nothing, terms = np.zeros(0, np.int32), np.array([1, 1 + a, 1], np.int32)
    basis = _core.AceBasis(
        species=NUMBERS, cutoff=3.0, n_max=1, l_max=1, tables=np.ones((1, 1, 6, 1)),
        table_of=np.zeros((3, 2), np.int32), channels=np.eye(2), product_first=np.zeros(1, np.int32),
        product_a=nothing, product_b=nothing, product_c=np.zeros(0), function_first=np.array([0, 2, 3, 3], np.int32),
        function_p=np.array([0, 0, 1 + a], np.int32), function_q=terms, function_c=np.ones(3),
    )  # fmt: skip
    batch = as_batch(Atoms("CSi", [[0, 0, 0], [0, 0, 1.5]]), periodic=None)
    out, value = np.empty((2, 3)), np.polyval(np.ones(6), 0.5)  # of a table with one cell
    _core.Ace64(basis).compute(batch.core(), _core.Centers(batch.positions, np.array([0, 1]), np.array([0, 2])), out, 1)
    np.testing.assert_allclose(out, [[value, 0, 0], [value, 0, 0]])
    np.testing.assert_array_equal(_core.Ace64(basis).touched(0), [0, 1])


def test_no_functions_and_no_cotangents_are_no_reason_to_crash():
    none, no_numbers = np.zeros(1, np.int32), np.zeros(0)
    nothing = none[:0]
    basis = _core.AceBasis(
        species=NUMBERS, cutoff=3.0, n_max=1, l_max=1, tables=np.ones((1, 1, 6, 1)),
        table_of=np.zeros((3, 2), np.int32), channels=np.eye(2), product_first=none, product_a=nothing,
        product_b=nothing, product_c=no_numbers, function_first=none, function_p=nothing, function_q=nothing,
        function_c=no_numbers,
    )  # fmt: skip
    batch = as_batch(Atoms("CSi", [[0, 0, 0], [0, 0, 1.5]]), periodic=None)
    weights = _core.RowWeights(np.arange(3), np.zeros(2, int), np.ones(2), 1)
    of_atoms = batch.positions, np.array([0, 1]), np.array([0, 2])
    _core.Ace64(basis).compute(batch.core(), _core.Centers(*of_atoms, weights), np.empty((1, 0)), 1)
    with pytest.raises(ValueError, match="at least one"):
        _core.Ace64(ace("full")[0]).vjp(
            batch.core(), _core.Centers(*of_atoms), True, np.empty((0, 2, ace("full")[0].n_functions)),
            np.empty((0, 2, 3)), None, None, 1,
        )  # fmt: skip


def test_arrays_that_do_not_fit_are_refused():
    basis = ace_basis(1, 2, 1, (1, 2, 2, 2))
    given = {
        "species": [14], "cutoff": 3.0, "n_max": 2, "l_max": 1, "tables": np.ones((1, 4, 6, 2)),
        "table_of": np.zeros((2, 1), np.int32), "channels": np.ones((1, 1)),
        "product_first": basis.product_first, "product_a": basis.product_a, "product_b": basis.product_b,
        "product_c": basis.product_c, "function_first": basis.function_first, "function_p": basis.function_p,
        "function_q": basis.function_q, "function_c": basis.function_c,
    }  # fmt: skip
    _core.AceBasis(**given)
    for wrong, message in [
        ({"product_a": basis.product_a + basis.n_a}, "indices of A"),
        ({"function_q": np.full_like(basis.function_q, 1 + basis.n_a + basis.n_products)}, "indices of 1, A"),
        ({"function_p": basis.function_p - 1}, "indices of 1, A"),
        ({"function_first": basis.function_first[::-1].copy()}, "function_first"),
        ({"product_first": basis.product_first[:-1]}, "product_first"),
        ({"product_c": np.full_like(basis.product_c, np.nan)}, "finite"),
        ({"table_of": np.ones((2, 1), np.int32)}, "table_of"),
        ({"table_of": np.zeros((1, 1), np.int32)}, "table_of"),
        ({"tables": np.ones((1, 4, 6, 3))}, "tables"),
        ({"channels": np.ones((1, 2))}, "channels"),
        ({"l_max": 2000}, "l_max"),
        ({"l_max": 0}, "indices of A"),
        ({"cutoff": -1.0}, "cutoff"),
    ]:
        with pytest.raises(ValueError, match=message):
            _core.AceBasis(**{**given, **wrong})
