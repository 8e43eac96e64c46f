import csv
import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write
from typer.testing import CliRunner

from atomprint.cli.app import app
from atomprint.store import FeatureStore, build_store

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("map")
    rng = np.random.default_rng(0)
    frames = []
    for k in range(80):
        atoms = bulk(("NaCl", "KCl", "NaF")[k % 3], "rocksalt" if k % 2 else "zincblende", 5 + rng.random())
        atoms.positions += 0.05 * rng.normal(size=atoms.positions.shape)
        if k < 70:
            atoms.info["gap"] = float(k)
        atoms.info["kind"] = ("x </script>", "y")[k % 2]
        frames.append(atoms)
    write(folder / "a.extxyz", frames)
    parameters = {"r_cut": 4.0, "n_max": 3, "l_max": 2}
    build_store(folder / "s.store", folder / "a.extxyz", "SOAP", parameters, targets=["gap", "kind"], block=32)
    return FeatureStore.open(folder / "s.store")


def scaled(store):
    x = np.asarray(store.features(), dtype=float)
    return x / np.linalg.norm(x, axis=1)[:, None]


def test_each_is_the_farthest_from_those_before(store):
    rows, x = store.diverse(12), scaled(store)
    assert len(set(rows.tolist())) == 12
    assert rows[0] == np.argmin(np.linalg.norm(x - x.mean(axis=0), axis=1))
    away = np.linalg.norm(x[:, None] - x[rows], axis=2)
    for k in range(1, 12):
        nearest = away[:, :k].min(axis=1)
        assert nearest[rows[k]] == pytest.approx(nearest.max(), rel=1e-2)
    assert store.diverse(5).tolist() == rows[:5].tolist()


def test_few_by_cur_make_up_the_others(store):
    x = scaled(store)
    x = x - x.mean(axis=0)

    def left_over(rows):
        q, _ = np.linalg.qr(x[rows].T)
        return np.linalg.norm(x - x @ q @ q.T)

    rows = store.diverse(10, method="cur")
    rng = np.random.default_rng(0)
    others = [left_over(rng.choice(80, 10, replace=False)) for _ in range(20)]
    assert left_over(rows) < min(others)
    assert store.diverse(4, method="cur").tolist() == rows[:4].tolist()


@pytest.mark.parametrize("method", ["farthest", "cur"])
def test_all_rows_where_there_are_no_more(store, method):
    assert sorted(store.diverse(200, method=method)) == list(range(80))
    assert sorted(store.diverse(200, method=method, where="gap < 5")) == list(range(5))
    assert len(store.diverse(3, method=method, where="gap < 0")) == 0
    with pytest.raises(ValueError, match="n must be >= 1, got 0"):
        store.diverse(0, method=method)
    with pytest.raises(ValueError, match="method must be"):
        store.diverse(3, method="random")


def test_equal_rows_are_chosen_too(tmp_path):
    write(tmp_path / "a.extxyz", [bulk("NaCl", "rocksalt", 5.6)] * 6)
    build_store(tmp_path / "s.store", tmp_path / "a.extxyz", "SOAP", {"r_cut": 4.0, "n_max": 2, "l_max": 1})
    store = FeatureStore.open(tmp_path / "s.store")
    for method in ("farthest", "cur"):
        assert sorted(store.diverse(6, method=method)) == list(range(6))
    assert len(store.map()) == 6


def test_a_map_has_the_components_that_rows_differ_most_in(store):
    made, x = store.map(), scaled(store)
    x = x - x.mean(axis=0)
    _, _, axes = np.linalg.svd(x, full_matrices=False)
    wanted = x @ axes[:3].T
    signs = np.sign((wanted * made.points).sum(axis=0))
    assert made.points == pytest.approx(wanted * signs, abs=1e-4)
    shares = (wanted**2).sum(axis=0) / (x**2).sum()
    assert made.axes[0] == f"component 1 ({100 * shares[0]:.0f} % of all)"
    part = store.map(most=20, where="gap >= 0")
    assert (len(part), part.n_all) == (20, 70)
    assert part.points == pytest.approx(made.points[part.rows])
    assert store.map(most=20, where="gap >= 0").rows.tolist() == part.rows.tolist()
    with pytest.raises(ValueError, match="a map must have at least 3 points, got 2"):
        store.map(where="gap < 2")


@pytest.mark.parametrize("colour", [None, "gap", "kind", "formula", "n_atoms"])
@pytest.mark.parametrize("kind", ["png", "svg"])
def test_pictures(store, tmp_path, colour, kind):
    pytest.importorskip("matplotlib")
    store.map().write(tmp_path / f"a.{kind}", colour)
    assert (tmp_path / f"a.{kind}").stat().st_size > 5000


def test_a_page_needs_no_network(store, tmp_path):
    pytest.importorskip("chemiscope")
    store.map().write(tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=", text) == []
    assert len(re.findall("</script>", text)) == 2
    found = json.loads(re.search(r'info: "info" \}, (.*)\)$', text, re.MULTILINE)[1])
    assert set(found["properties"]) == {"PCA 1", "PCA 2", "PCA 3", "gap", "kind", "n_atoms", "formula", "id"}
    gaps = found["properties"]["gap"]["values"]
    assert gaps[:70] == list(range(70))
    assert np.isnan(gaps[70:]).all()
    assert found["properties"]["kind"]["values"][0] == "x </script>"
    assert len(found["structures"]) == 80
    assert found["settings"]["map"]["color"] == {"property": "gap"}


def test_what_is_wrong_is_said(store, tmp_path):
    with pytest.raises(ValueError, match=r"a map must end in .*, got 'a\.jpg'"):
        store.map().write(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="colour must be"):
        store.map().write(tmp_path / "a.png", "gp")
    assert list(tmp_path.iterdir()) == []


def test_umap_is_given_all_components(store, monkeypatch):
    given = {}

    class UMAP:  # the package compiles for a minute when it is first used
        def __init__(self, **options):
            given.update(options)

        def fit_transform(self, x):
            given["shape"] = x.shape
            return x[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=UMAP))
    made = store.map(method="umap", n_neighbours=500, where="gap >= 0")
    assert given["shape"] == (70, store.searcher().index.components.shape[1])
    assert (given["n_neighbors"], given["random_state"]) == (69, 0)
    assert made.axes == ("UMAP 1", "UMAP 2")


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["store", *map(str, arguments)])
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def test_the_commands(store, tmp_path):
    said = run("pick", store.folder, "-n", 7, "-o", tmp_path / "a.extxyz", "--method", "cur")
    assert "7 rows, in the order of choice" in said
    frames = read(tmp_path / "a.extxyz", ":")
    rows = store.diverse(7, method="cur")
    assert [atoms.info["id"] for atoms in frames] == store.ids[rows].tolist()
    run("pick", store.folder, "-n", 3, "-o", tmp_path / "a.csv", "--where", "gap > 5")
    with (tmp_path / "a.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 3
    assert "--output must end in" in run("pick", store.folder, "-n", 3, "-o", tmp_path / "a.txt", code=1)
    pytest.importorskip("matplotlib")
    assert "20 rows of 80, chosen at random" in run("map", store.folder, "-o", tmp_path / "m.png", "--most", 20)


def test_a_column_that_no_file_of_some_rows_has(store, tmp_path):
    write(tmp_path / "b.extxyz", [bulk("NaCl", "rocksalt", 5.5)] * 3)
    build_store(tmp_path / "s.store", tmp_path / "b.extxyz", "SOAP", {"r_cut": 4.0, "n_max": 2, "l_max": 1})
    frames = [bulk("NaCl", "rocksalt", 5.7) for _ in range(2)]
    for atoms in frames:
        atoms.info["gap"] = 1.0
    write(tmp_path / "c.extxyz", frames)
    build_store(tmp_path / "s.store", tmp_path / "c.extxyz", targets=["gap"])
    found = FeatureStore.open(tmp_path / "s.store").table(["gap"])
    assert found.to_pydict() == {"gap": [None] * 3 + [1.0] * 2}
