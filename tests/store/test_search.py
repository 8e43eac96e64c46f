"""What is found is what comparing with each row finds, whatever the store and its index have been through."""

import csv
import json
import shutil

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write
from helpers.copies import copy_of, perovskite
from typer.testing import CliRunner

from atomprint.cli.app import app
from atomprint.store import FeatureStore, build_store
from atomprint.store import index as index_module
from atomprint.store import search as search_module
from atomprint.store.index import SearchIndex

pytest.importorskip("pyarrow")

SALTS = [(a, b) for a in ("Li", "Na", "K", "Rb") for b in ("F", "Cl", "Br")]
PARAMETERS = {"r_cut": 4.0, "n_max": 3, "l_max": 2, "species": [x for pair in (SALTS[0], *SALTS[4:]) for x in pair]}
SPECIES = sorted({symbol for pair in SALTS for symbol in pair})


def crystals(seed, n=60):
    rng = np.random.default_rng(seed)
    found = []
    for k in range(n):
        a, b = SALTS[int(rng.integers(len(SALTS)))]
        atoms = bulk(a + b, ("rocksalt", "cesiumchloride", "zincblende")[k % 3], 4.5 + rng.random())
        atoms.positions += 0.05 * rng.normal(size=atoms.positions.shape)
        atoms.info["gap"] = float(k)
        found.append(atoms)
    return found


def build(folder, name, seed, **options):
    write(folder / name, crystals(seed))
    build_store(
        folder / "s.store", folder / name, "SOAP", {"r_cut": 4.0, "n_max": 3, "l_max": 2}, species=SPECIES, **options
    )
    return FeatureStore.open(folder / "s.store")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return build(tmp_path_factory.mktemp("search"), "a.extxyz", 0, block=16).folder.parent


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "made")


@pytest.fixture
def store(folder):
    return FeatureStore.open(folder / "s.store")


def naive(store, features, scaling, among=None):
    """Return all rows by their distances, the nearest first."""
    x = np.asarray(store.features(), dtype=float)
    q = np.asarray(features, dtype=float)
    if scaling == "unit":
        x, q = x / np.linalg.norm(x, axis=1)[:, None], q / np.linalg.norm(q)
    elif scaling == "standard":
        spread = x.std(axis=0)
        keep = spread > 1e-5 * np.abs(x).max(axis=0)
        x, q = x[:, keep] / spread[keep] / np.sqrt(keep.sum()), q[keep] / spread[keep] / np.sqrt(keep.sum())
    away = np.linalg.norm(x - q, axis=1)
    rows = np.arange(len(x)) if among is None else np.asarray(among)
    order = rows[np.argsort(away[rows], kind="stable")]
    return order, away[order]


# What is found ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaling", ["unit", "standard", "none"])
@pytest.mark.parametrize("components", [2, 128])
def test_the_nearest_are_found(store, scaling, components, monkeypatch):
    # With two components many rows have to be compared by all features, and are.
    monkeypatch.setattr(index_module, "N_COMPONENTS", components)
    monkeypatch.setattr(search_module, "_REFINED", 5)
    features = np.asarray(store.features())
    for k in (1, 7):
        for query in (features[5], features[20] * 1.3, features[3] + features[40]):
            hits = store.search(query, k, scaling=scaling)
            rows, away = naive(store, query, scaling)
            assert hits.exact
            assert hits.rows.tolist() == rows[:k].tolist()
            assert hits.distances == pytest.approx(away[:k], abs=1e-6)


def test_queries_of_all_kinds(store, folder):
    atoms = store.structures([7])[0]
    same = store.search(atoms, 3)
    assert same.rows[0] == 7
    assert same.distances[0] < 1e-4
    assert store.search(copy_of(atoms, 2), 3).rows.tolist() == same.rows.tolist()
    write(folder / "query.cif", atoms)
    assert store.search(folder / "query.cif", 3).rows.tolist() == same.rows.tolist()
    own = store.search(7, 2)
    assert own.rows.tolist() == same.rows[1:].tolist()
    several = store.search([atoms, store.structures([9])[0]], 3)
    assert [hits.rows[0] for hits in several] == [7, 9]
    assert [hits.rows[0] for hits in store.search([7], 1)] == [own.rows[0]]
    assert [len(hits) for hits in store.search(np.arange(40), 2)] == [2] * 40
    assert [hits.rows[0] for hits in store.search(np.asarray(store.features([3, 4]), dtype=float), 1)] == [3, 4]
    assert same.ids == [f"{store.ids[row]}" for row in same.rows]
    assert same.table(["gap"]).column("gap")[0].as_py() == 7.0
    assert len(same.structures()) == 3


def test_rows_that_fulfil_a_condition(store):
    query = store.structures([7])[0]
    for condition in ("gap > 20 and 'Na' in elements", "n_atoms == 2 and gap < 3", "elements <= ['Na', 'Cl', 'K']"):
        among = store.where(condition)
        rows, away = naive(store, store.features([7])[0], "unit", among)
        hits = store.search(query, 4, where=condition)
        assert set(hits.rows) <= set(among)
        assert hits.rows[:2].tolist() == rows[:2].tolist()  # others may be as far as each other
        assert store.search(query, 4, where=among).rows.tolist() == hits.rows.tolist()
        assert hits.distances == pytest.approx(away[:4], abs=1e-5)
    assert len(store.search(query, 100)) == 60
    assert len(store.search(7, 100, where=[3, 7, 9])) == 2
    none = store.search(query, where="gap > 1000")
    assert (len(none), none.ids, none.exact) == (0, [], True)


def test_many_rows_that_are_as_near(store, monkeypatch):
    monkeypatch.setattr(search_module, "_REFINED", 2)
    monkeypatch.setattr(search_module, "_MOST", 4)
    features = np.asarray(store.features(), dtype=float)
    hits = store.search(features.mean(axis=0), 2, scaling="none")
    rows, _ = naive(store, features.mean(axis=0), "none")
    assert len(hits) == 2
    assert not hits.exact or hits.rows.tolist() == rows[:2].tolist()


def test_what_makes_up_a_distance(store):
    hits = store.search(bulk("NaCl", "rocksalt", 5.0), 60)
    at = hits.table(["formula"]).column("formula").to_pylist().index("KBr")
    found = hits.explain(at)
    assert (found.gained, found.lost) == (("Br", "K"), ("Cl", "Na"))
    assert set(found.shares["elements"]) >= {"Na", "Cl", "K", "Br"}
    for groups in found.shares.values():
        assert list(groups.values()) == sorted(groups.values(), reverse=True)
        assert sum(groups.values()) == pytest.approx(1)
    assert str(found).startswith("has Br, K besides; lacks Cl, Na; ")
    assert sum(found.features.values()) <= 1
    assert str(store.search(np.asarray(store.features([0])[0], dtype=float), 1).explain()) in ("no feature differs", "")


# Elements in conditions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("elements == ['Cl', 'Na']", lambda e: e == {"Na", "Cl"}),
        ("elements <= ['Na', 'K', 'F']", lambda e: e <= {"Na", "K", "F"}),
        ("elements >= ['K', 'F']", lambda e: e >= {"K", "F"}),
        ("elements != ['Na', 'Cl']", lambda e: e != {"Na", "Cl"}),
        ("'Na' not in elements", lambda e: "Na" not in e),
    ],
)
def test_elements_as_sets(store, condition, holds):
    formulas = store.table(["formula"]).column("formula").to_pylist()
    wanted = [row for row, formula in enumerate(formulas) if holds(set(Atoms(formula).get_chemical_symbols()))]
    assert store.where(condition).tolist() == wanted
    assert 0 < len(wanted) < 60


def test_elements_are_compared_with_symbols_only(store):
    for condition in ("elements <= 3", "elements == ['Xy']", "elements < 'Na'"):
        with pytest.raises(ValueError, match="elements are compared with a list of symbols"):
            store.where(condition)


def test_a_target_that_some_files_do_not_have(store, folder):
    frames = crystals(5, 20)
    for atoms in frames:
        del atoms.info["gap"]
        atoms.info["mass"] = 2.0
    write(folder / "b.extxyz", frames)
    build_store(folder / "s.store", folder / "b.extxyz")
    both = FeatureStore.open(folder / "s.store")
    assert len(both.where("gap >= 0")) == 60
    assert len(both.where("mass > 1")) == 20


# The index --------------------------------------------------------------------------------------------------------


def indices(store):
    return sorted(path.name for path in (store.folder / "search").iterdir())


def test_the_index_is_kept_and_extended(store, folder, monkeypatch):
    first = store.search(3, 5)
    (name,) = indices(store)
    monkeypatch.setattr(index_module.Basis, "fit", None)  # neither made anew nor …
    again = FeatureStore.open(store.folder)
    assert again.search(3, 5).rows.tolist() == first.rows.tolist()
    projected = []
    project = index_module.Basis.project
    monkeypatch.setattr(
        index_module.Basis, "project", lambda self, rows: projected.append(len(rows)) or project(self, rows)
    )
    more = build(folder, "b.extxyz", 1)
    more.search(3, 5)
    assert sum(projected) == 60 + 1  # … what was known before
    assert indices(more) != [name]
    assert len(indices(more)) == 1
    assert store.search(3, 5).rows.tolist() == first.rows.tolist()  # still open as it was
    rows, _ = naive(more, more.features([3])[0], "unit")
    assert more.search(3, 5).rows.tolist() == rows[1:6].tolist()


def test_components_are_found_anew_for_many_more_rows(store, folder, monkeypatch):
    store.search(3)
    monkeypatch.setattr(index_module, "_GROWTH", 1)
    more = build(folder, "b.extxyz", 1)
    assert more.searcher().index.basis.n_rows == 120


@pytest.mark.parametrize("name", ["components.npy", "basis.npz", "index.json"])
@pytest.mark.parametrize("damage", ["missing", "cut", "empty"])
def test_a_damaged_index_is_made_anew(store, name, damage):
    wanted = store.search(3, 5).rows.tolist()
    (kept,) = (store.folder / "search").iterdir()
    if damage == "missing":
        (kept / name).unlink()
    else:
        (kept / name).write_bytes((kept / name).read_bytes()[:-40] if damage == "cut" else b"")
    assert FeatureStore.open(store.folder).search(3, 5).rows.tolist() == wanted
    assert json.loads((kept / "index.json").read_text())["fitted_rows"] == 60


def test_an_index_that_cannot_be_written_lives_in_memory(store, monkeypatch):
    wanted = store.search(3, 5).rows.tolist()
    shutil.rmtree(store.folder / "search")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(index_module, "_write", full)
    assert FeatureStore.open(store.folder).search(3, 5).rows.tolist() == wanted
    assert indices(store) == []
    assert not list(store.folder.glob(".partial-*"))


def test_two_make_the_same_index(store, monkeypatch):
    write_index = index_module._write

    def first_another(*arguments):
        monkeypatch.setattr(index_module, "_write", write_index)
        SearchIndex.of(FeatureStore.open(store.folder), "unit")
        write_index(*arguments)

    monkeypatch.setattr(index_module, "_write", first_another)
    assert len(store.search(3, 5)) == 5
    assert len(indices(store)) == 1


def test_sparse_features(folder):
    options = {"r_cut": 4.0, "n_max": 3, "l_max": 2}
    build_store(folder / "sparse.store", folder / "a.extxyz", "SOAP", options | {"sparse": True}, species=SPECIES)
    store, dense = FeatureStore.open(folder / "sparse.store"), FeatureStore.open(folder / "s.store")
    assert store.plan.sparse
    for scaling in ("unit", "standard", "none"):
        mine, theirs = (each.search(11, 6, scaling=scaling) for each in (store, dense))
        assert mine.ids == theirs.ids
        assert mine.distances == pytest.approx(theirs.distances, abs=1e-5)
        assert mine.exact
    assert set(store.search(11).explain().shares) == set(dense.search(11).explain().shares)


def test_a_store_of_formulas(tmp_path):
    (tmp_path / "f.csv").write_text("formula,gap\nNaCl,5\nKCl,5.1\nFe2O3,2\nAl2O3,8\nNaBr,4\n")
    build_store(tmp_path / "f.store", tmp_path / "f.csv", "ElementProperty")
    store = FeatureStore.open(tmp_path / "f.store")
    hits = store.search("NaCl", 2)
    assert hits.metric.scaling == "standard"
    assert hits.table(["formula"]).to_pydict()["formula"] == ["NaCl", "KCl"]
    assert hits.distances[0] < 1e-6
    assert [len(each) for each in store.search(["KBr", "Cr2O3"], 1)] == [1, 1]


def test_a_part_of_the_rows(store):
    pytest.importorskip("faiss")
    exact, about = store.search(7, 5), store.search(7, 5, approximate=True)
    assert about.rows.tolist() == exact.rows.tolist()
    assert not about.exact
    (kept,) = (store.folder / "search").glob("*/ivf-*.faiss")
    again = FeatureStore.open(store.folder)
    assert again.search(7, 5, approximate=True).rows.tolist() == exact.rows.tolist()
    half = kept.read_bytes()[:100]
    kept.unlink()  # the file that is open stays what it is
    kept.write_bytes(half)
    assert FeatureStore.open(store.folder).search(7, 5, approximate=True).rows.tolist() == exact.rows.tolist()
    few = store.search(7, 5, where="gap > 40", approximate=True)
    assert few.rows.tolist() == store.search(7, 5, where="gap > 40").rows.tolist()
    assert len(store.search(7, 5, where="gap > 1000", approximate=True)) == 0


# What is wrong ----------------------------------------------------------------------------------------------------


def test_what_is_wrong_is_said(store, tmp_path):
    with pytest.raises(ValueError, match=r"query 0 has Xe, which the store does not know: its elements are .*Cl"):
        store.search(bulk("Xe", "fcc", 6.0))
    with pytest.raises(ValueError, match="query 1 has O, Ti, which"):
        store.search([bulk("NaCl", "rocksalt", 5.6), perovskite("K", "Ti")])
    with pytest.raises(ValueError, match="cell"):
        store.search(molecule("LiF"))
    with pytest.raises(ValueError, match="k must be >= 1, got 0"):
        store.search(3, 0)
    with pytest.raises(IndexError, match=r"query must be a row in 0\.\.59, got 60"):
        store.search(60)
    with pytest.raises(ValueError, match=r"features of a query must have shape \(\d+,\) or .* got \(3,\)"):
        store.search(np.zeros(3))
    with pytest.raises(ValueError, match="features of a query must be finite"):
        store.search(np.full(store.n_features, np.nan))
    with pytest.raises(ValueError, match=r"there is no 'gp', but .*'gap'"):
        store.search(3, where="gp > 1")
    with pytest.raises(ValueError, match="scaling must be"):
        store.search(3, scaling="cosine")
    with pytest.raises(ValueError, match="'no such' is neither a structure nor the name of a file"):
        store.search("no such")
    (tmp_path / "bad.csv").write_text("formula,gap\nXy,5\n")
    write(tmp_path / "one.extxyz", bulk("NaCl", "rocksalt", 5.6))
    build_store(tmp_path / "e.store", tmp_path / "one.extxyz", "SOAP", {"r_cut": 4.0}, species=["H"], max_failures=1.0)
    with pytest.raises(ValueError, match="has no rows that could be found"):
        FeatureStore.open(tmp_path / "e.store").search(bulk("Na"))


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["search", *map(str, arguments)])
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def test_the_command(store, folder, monkeypatch):
    monkeypatch.chdir(folder)
    write("query.extxyz", store.structures([7, 9])[0])
    said = run("s.store", "query.extxyz", "-k", "3", "--where", "gap > 5", "--explain", "-o", "hits.csv")
    assert "gap" in said
    assert "species pairs" in said
    with open("hits.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["id"] == store.ids[7]
    assert float(rows[0]["distance"]) < 1e-3
    assert store.ids[9] in run("s.store", store.ids[8], store.ids[9])
    assert "no row fulfils the condition" in run("s.store", "query.extxyz", "--where", "gap > 1e6")
    assert "is neither a file nor the id of a row" in run("s.store", "nothing.cif", code=1)
    assert "no.store" in run("no.store", "query.extxyz", code=1)


def test_features_of_different_units_are_scaled_by_columns(tmp_path):
    write(tmp_path / "a.extxyz", crystals(0, 12))
    build_store(tmp_path / "s.store", tmp_path / "a.extxyz", "StructureStatistics")
    store = FeatureStore.open(tmp_path / "s.store")
    found, wanted = store.search(3, 5), store.search(3, 5, scaling="standard")
    np.testing.assert_array_equal(found.rows, wanted.rows)
    np.testing.assert_array_equal(found.distances, wanted.distances)
    assert not np.allclose(found.distances, store.search(3, 5, scaling="unit").distances)
