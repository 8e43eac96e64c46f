"""Candidates from files and stores, judged by small models, against predictions one by one."""

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write
from scipy.integrate import quad
from scipy.stats import norm
from typer.testing import CliRunner

pytest.importorskip("pyarrow")

from sklearn.ensemble import ExtraTreesRegressor

from atomprint.cli.app import app
from atomprint.datasets import Dataset, Target
from atomprint.descriptors import SOAP, ElementProperty
from atomprint.learn import Problem
from atomprint.screening import screen
from atomprint.store import build_store
from atomprint.workflow import PredictionInterval, TrainedModel, assemble, load_model

CELLS = {"NaCl": 5.64, "KCl": 6.29, "MgO": 4.21, "LiF": 4.03, "CaO": 4.81, "NaF": 4.62, "KBr": 6.6, "LiCl": 5.13}


def salts(scales):
    return [bulk(name, "rocksalt", a * scale) for name, a in CELLS.items() for scale in scales]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return files of a model of volumes from structures, and one of the mean mass from formulas."""
    folder, trained = tmp_path_factory.mktemp("models"), salts((0.97, 1.0, 1.03))
    truth = {
        "volume": np.array([atoms.get_volume() for atoms in trained]),
        "mass": np.array([atoms.get_masses().mean() for atoms in trained]),
    }
    targets = {name: Target(values, "", name, "") for name, values in truth.items()}
    data = Dataset("salts", "Salts", trained, tuple(map(str, range(len(trained)))), targets, "", "", None)
    made = {
        "volume": SOAP(r_cut=4.0, n_max=2, l_max=1, periodic=True, average="inner"),
        "mass": ElementProperty(["mass", "group"], ["mean", "range"]),
    }
    for name, features in made.items():
        pipeline = assemble(features, ExtraTreesRegressor(5, random_state=0)).fit(trained, truth[name])
        model = TrainedModel.of(pipeline, Problem.of(data, name))
        model.card.__dict__["interval"] = PredictionInterval(0.9, 4.0)
        model.save(folder / f"{name}.atomprint")
    return [folder / f"{name}.atomprint" for name in made]


@pytest.fixture(scope="module")
def candidates(tmp_path_factory):
    """Return a file of structures, of which one has an element that no model knows."""
    path = tmp_path_factory.mktemp("candidates") / "salts.extxyz"
    frames = [*salts((0.98, 1.0, 1.02)), bulk("RbI", "rocksalt", 7.3)]
    for number, atoms in enumerate(frames):
        atoms.info = {"name": f"salt-{number}", "price": float(number)}
    write(path, frames)
    return path


def test_the_best_are_those_of_predictions_one_by_one(models, candidates):
    found = screen(models[0], candidates, top=5)
    expected = load_model(models[0]).predict(candidates, on_error="skip")
    order = np.argsort(-np.nan_to_num(expected.values, nan=-np.inf), kind="stable")[:5]
    assert found.best["place"].to_pylist() == order.tolist()
    np.testing.assert_allclose(found.best["volume"].to_numpy(), expected.values[order])
    np.testing.assert_allclose(found.best["volume_lower"].to_numpy(), expected.values[order] - 4)
    assert [atoms.get_chemical_formula() for atoms in found.structures] == [
        read(candidates, int(place)).get_chemical_formula() for place in order
    ]
    assert (found.n, found.n_failed) == (25, 1)
    assert "Rb" in next(iter(found.failures))


def test_conditions_objectives_and_domains(models, candidates):
    where = "volume < 30 and 'Mg' not in elements and price >= 3"
    found = screen(models, candidates, where=where, by=["-volume", "mass"], in_domain=True)
    rows = found.best.to_pylist()
    assert rows
    assert all(row["volume"] < 30 and "Mg" not in row["formula"] and row["price"] >= 3 for row in rows)
    assert all(row["in_domain"] and row["volume_in_domain"] and row["mass_in_domain"] for row in rows)
    first = [row for row in rows if row["front"] == 1]
    for row in first:
        assert not any(o["volume"] > row["volume"] and o["mass"] < row["mass"] for o in rows)
    assert [row["front"] for row in rows] == sorted(row["front"] for row in rows)


def test_a_store_gives_what_its_file_gives(models, candidates, tmp_path):
    build_store(tmp_path / "store", candidates, "SOAP", {"n_max": 2, "l_max": 1, "r_cut": 4.0}, block=7)
    of_file, of_store = (screen(models[0], source, top=30) for source in (candidates, tmp_path / "store"))
    want = sorted(zip(of_file.best["id"].to_pylist(), of_file.best["volume"].to_pylist(), strict=True))
    got = sorted(zip(of_store.best["id"].to_pylist(), of_store.best["volume"].to_pylist(), strict=True))
    assert [name for name, _ in got] == [name for name, _ in want]
    np.testing.assert_allclose([v for _, v in got], [v for _, v in want], rtol=1e-12)


def test_training_samples_can_be_left_out(models, tmp_path):
    write(tmp_path / "some.extxyz", salts((1.0, 1.011)))
    assert screen(models[0], tmp_path / "some.extxyz").n_passed == 16
    assert screen(models[0], tmp_path / "some.extxyz", new=True).n_passed == 8


def test_what_to_compute_next(models, candidates):
    found = screen(models[0], candidates, select="improvement", top=3)
    for row in found.best.to_pylist():
        best = load_model(models[0]).card.training.target_range[1]
        sigma = 4.0 / norm.ppf(0.95)
        gain = quad(lambda y, b=best, m=row["volume"], s=sigma: (y - b) * norm.pdf(y, m, s), best, best + 200)[0]
        assert row["improvement"] == pytest.approx(gain, rel=1e-6)
    far = screen(models[0], candidates, select="uncertainty", top=24)
    assert far.best["volume_distance"].to_pylist() == sorted(far.best["volume_distance"].to_pylist(), reverse=True)
    spread = screen(models[0], candidates, select="diversity", top=8)
    assert len({row["formula"] for row in spread.best.to_pylist()}) >= 6  # of eight, not thrice the same
    with pytest.raises(ValueError, match="by must be one prediction"):
        screen(models[0], candidates, select="improvement", by="price")


def test_a_screening_that_was_stopped_goes_on(models, candidates, tmp_path, monkeypatch):
    from atomprint.screening import candidates as reading
    from atomprint.screening.scoring import Jury

    monkeypatch.setattr(reading, "_ROWS", 6)
    whole, judged, table = screen(models[0], candidates), [], Jury.table

    def counted(self, part, n_jobs=None):
        judged.append(len(part))
        if len(judged) == 3:
            raise KeyboardInterrupt
        return table(self, part, n_jobs)

    monkeypatch.setattr(Jury, "table", counted)
    with pytest.raises(KeyboardInterrupt):
        screen(models[0], candidates, folder=tmp_path)
    again = screen(models[0], candidates, folder=tmp_path)
    assert judged == [6, 6, 6, 6, 6, 1]  # the first two only once
    assert again.best.equals(whole.best)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"where": "gab > 1"}, "where: there is no 'gab'"),
        ({"where": "volume >"}, "cannot be read"),
        ({"by": "-vol"}, "by must be of"),
        ({"top": 0}, "top must be"),
        ({"select": "best"}, "select must be"),
    ],
)
def test_bad_input(models, candidates, options, message):
    with pytest.raises(ValueError, match=message):
        screen(models[0], candidates, **options)


def test_nothing_passes_and_nothing_can_be_read(models, candidates, tmp_path):
    none = screen(models[0], candidates, where="volume > 1e6")
    assert (len(none), none.n_passed, none.structures) == (0, 0, [])
    write(tmp_path / "rb.extxyz", [bulk("RbI", "rocksalt", 7.3)])
    with pytest.raises(ValueError, match=r"no candidate can be predicted.*Rb"):
        screen(models[0], tmp_path / "rb.extxyz")


def test_the_command(models, candidates, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    arguments = [str(models[0]), str(models[1]), str(candidates), "-o", str(out), "--by=-volume", "--by=mass"]
    result = CliRunner().invoke(app, ["screen", *arguments, "--top", "4", "--where", "volume > 20"])
    assert result.exit_code == 0, result.output
    said = result.output
    assert "25 candidates" in said
    assert "not predicted (1)" in said
    assert {path.name for path in out.iterdir()} == {
        "best.csv",
        "best.extxyz",
        "candidates.parquet",
        "parts",
        "report.html",
        "screening.json",
    }
    assert [atoms.info["rank"] for atoms in read(out / "best.extxyz", ":")] == [1, 2, 3, 4]
    assert "largest volume and smallest mass" in (out / "report.html").read_text(encoding="utf-8")
    result = CliRunner().invoke(app, ["screen", str(candidates)])
    assert result.exit_code == 1
    assert "no model among" in result.output
