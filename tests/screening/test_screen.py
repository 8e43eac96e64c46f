"""Candidates from files and stores, judged by small models, against predictions one by one."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write
from scipy.integrate import quad
from scipy.stats import lognorm, norm
from typer.testing import CliRunner

pytest.importorskip("pyarrow")

from sklearn.ensemble import ExtraTreesRegressor

from atomprint.cli.app import app
from atomprint.datasets import Dataset, Target
from atomprint.descriptors import SOAP, ElementProperty
from atomprint.learn import Problem, evaluate, make_model, make_split
from atomprint.learn.task.features import Features
from atomprint.screening import screen
from atomprint.screening.active import expected_improvement
from atomprint.screening.page import write_screening
from atomprint.store import build_store
from atomprint.store.rows import Reading
from atomprint.util.objects import make_object
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


@pytest.mark.parametrize("where", ["in_domain and not volume_in_training", "volume_in_domain == True and volume < 1e9"])
def test_columns_of_yes_and_no_are_conditions_by_themselves(models, candidates, where):
    found = screen(models[0], candidates, where=where, top=30)
    assert found.n_passed == screen(models[0], candidates, in_domain=True, new="not" in where, top=30).n_passed > 0
    with pytest.raises(ValueError, match="'volume' alone, which is not yes or no: compare it"):
        screen(models[0], candidates, where="in_domain and volume")


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


@pytest.fixture(scope="module")
def doubting(tmp_path_factory):
    """Return the file of a model that tells its doubt: trees that were held out in three folds."""
    atoms = salts(np.linspace(0.96, 1.04, 8))
    volumes = np.array([one.get_volume() for one in atoms])
    targets = {"volume": Target(volumes, "Å^3", "volume", "")}
    problem = Problem.of(Dataset("salts", "Salts", atoms, tuple(map(str, range(64))), targets, "", ""), "volume")
    split = make_split(problem, n_folds=3, test_size=0.0)
    soap = SOAP(r_cut=4.0, n_max=2, l_max=1, periodic=True, average="inner").fit(atoms)
    features = Features("soap", "SOAP", "", soap.transform(atoms), soap.get_feature_names_out().tolist(), 0.0, {})
    found = evaluate(make_model("extra_trees", "regression", n_estimators=20, random_state=0), features, problem, split)
    made = TrainedModel.of(assemble(soap, found.estimator), problem, held_out=found.out_of_fold())
    return made.save(tmp_path_factory.mktemp("doubting") / "volume.atomprint")


def test_doubts_are_those_of_predictions_and_of_the_service(doubting, models, candidates):
    expected = load_model(doubting).predict(candidates, on_error="skip")
    found = screen([doubting, models[1]], candidates, top=30)
    doubts = dict(zip(found.table["place"].to_pylist(), found.table["volume_doubt"].to_pylist(), strict=True))
    np.testing.assert_allclose([np.nan if doubts[k] is None else doubts[k] for k in range(25)], expected.doubt)
    assert found.table["doubt"].equals(found.table["volume_doubt"])  # the other model tells none
    assert "mass_doubt" not in found.table.column_names
    limit = float(np.nanmedian(expected.doubt))
    few = screen(doubting, candidates, top=30, max_doubt=limit)
    assert sorted(few.best["place"].to_pylist()) == np.flatnonzero(expected.doubt <= limit).tolist()
    assert 0 < few.n_passed < 24
    far = screen(doubting, candidates, select="uncertainty", top=24).best["doubt"].to_pylist()
    assert far == sorted(far, reverse=True)
    with pytest.raises(ValueError, match="max_doubt: the model of 'mass' tells no doubt"):
        screen([doubting, models[1]], candidates, max_doubt=1)
    with pytest.raises(ValueError, match="max_doubt must be > 0, got 0"):
        screen(doubting, candidates, max_doubt=0)


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


@pytest.mark.parametrize("largest", [True, False])
def test_improvement_by_a_model_of_logarithms_is_of_a_lognormal_number(largest):
    low, high, factor = 1e-3, 20.0, 8.0
    card = SimpleNamespace(
        training=SimpleNamespace(target_range=(low, high)),
        interval=PredictionInterval(0.9, float(np.log(factor)), of_logs=True),
    )
    judge = SimpleNamespace(name="viscosity", model=SimpleNamespace(card=card))
    values = np.array([5e-4, 2e-3, 1.0, 30.0])
    columns = {"viscosity": values, "viscosity_lower": values / factor, "viscosity_upper": values * factor}
    found = expected_improvement(judge, columns, largest)
    for value, gain in zip(values, found, strict=True):
        truth = lognorm(np.log(factor) / norm.ppf(0.95), scale=value)
        if largest:  # the integral of the share beyond
            expected = quad(truth.sf, high, np.inf, epsabs=0, limit=500)[0]
        else:
            expected = quad(truth.cdf, 0, low, epsabs=0, limit=500)[0]
        assert gain == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert largest or (found < low).all()  # no number is below 0
    exact = dict.fromkeys(columns, values)
    beyond = np.maximum(values - high if largest else low - values, 0)
    np.testing.assert_allclose(expected_improvement(judge, exact, largest), beyond)


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
        ({"by": "formula"}, "'formula' has words"),
        ({"where": "formula > 1"}, "compares formula, a word, with 1"),
        ({"select": "improvement", "by": "price"}, "by must be one prediction"),
    ],
)
def test_bad_input_is_told_before_long_work(models, candidates, options, message, monkeypatch):
    monkeypatch.setattr("atomprint.screening.candidates._ROWS", 3)
    steps = []
    options = {**options, "progress": lambda *step: steps.append(step)}
    with pytest.raises(ValueError, match=message):
        screen(models[0], candidates, **options)
    assert steps == []


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


def test_parts_are_of_these_models_and_of_these_places(models, tmp_path):
    frames, soap = salts((0.98, 1.02)), {"n_max": 2, "l_max": 1, "r_cut": 4.0}
    write(tmp_path / "one.extxyz", frames[:6])
    write(tmp_path / "two.extxyz", frames[6:])
    species = ["Br", "Ca", "Cl", "F", "K", "Li", "Mg", "Na", "O"]
    for name, files in {"both": ("one", "two"), "last": ("two",)}.items():
        build_store(tmp_path / name, [tmp_path / f"{f}.extxyz" for f in files], "SOAP", soap, species=species, block=5)
    for name in ("both", "last"):  # which have shards in common, at other places
        found = screen(models[0], tmp_path / name, folder=tmp_path / "out")
        assert set(found.table["source"].to_pylist()) == {str(tmp_path / name)}
        expected = load_model(models[0]).predict(found.structures).values
        np.testing.assert_allclose(found.best["volume"].to_numpy(), expected, rtol=1e-12)
    copies = [tmp_path / name for name in ("a.atomprint", "b.atomprint", "c.atomprint")]
    for copy in copies:  # of one target: the second is called after its file
        copy.write_bytes(models[0].read_bytes())
    for second in copies[1:]:
        found = screen([copies[0], second], tmp_path / "last", folder=tmp_path / "out", by=second.stem, new=True)
        assert found.best["volume"].to_pylist() == found.best[second.stem].to_pylist()


def test_a_damaged_part_is_made_anew(models, candidates, tmp_path):
    whole = screen(models[0], candidates, folder=tmp_path)
    (part,) = (tmp_path / "parts").iterdir()
    right = part.read_bytes()
    for at in range(0, len(right), len(right) // 7):
        part.write_bytes(right[:at] + bytes([right[at] ^ 0x55]) + right[at + 1 :])
        assert screen(models[0], candidates, folder=tmp_path).table.equals(whole.table)
        assert part.read_bytes() == right
    part.write_bytes(right[:100])
    assert screen(models[0], candidates, folder=tmp_path).table.equals(whole.table)


def test_columns_of_sources_and_of_models_do_not_meet(models, tmp_path):
    frames = salts((1.0,))
    for number, atoms in enumerate(frames):
        atoms.info = {"volume": 1.0 + number, "volume_known": 2.0, "volume_lower": 3.0, "rank": 4.0, "price": 5.0}
    write(tmp_path / "all.extxyz", frames)
    row = screen(models[0], tmp_path / "all.extxyz", by="volume_known").best.to_pylist()[0]
    assert row["volume"] > 10
    assert row["volume_lower"] == pytest.approx(row["volume"] - 4)
    names = ("volume_known", "volume_known_known", "volume_lower_known", "rank_known", "rank", "price")
    assert [row[name] for name in names] == [1.0, 2.0, 3.0, 4.0, 1, 5.0]


def test_formulas_and_structures_at_once(models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("KCl", bulk("NaF", "rocksalt", 4.6), format="extxyz")  # no formula is read as a file
    Path("formulas.csv").write_text("formula\nKCl\nMgO\n")
    write("some.extxyz", salts((1.0,)))
    with pytest.raises(ValueError, match=r"formulas:0: 'volume' is predicted from structures"):
        screen(models[0], "formulas.csv")
    found = screen(models, ["formulas.csv", "some.extxyz"])
    assert (found.n, found.n_failed, len(found)) == (10, 2, 8)
    mixed = screen(models[1], ["some.extxyz", "formulas.csv"])
    assert sum(isinstance(item, str) for item in mixed.structures) == 2
    write_screening(mixed, Path("out"), "Screening", {})
    assert len(read("out/best.extxyz", ":")) == 8
    write_screening(screen(models[1], "formulas.csv"), Path("out"), "Screening", {})
    assert not Path("out/best.extxyz").exists()  # which would be of the screening before


def test_rows_that_failed_in_a_store_are_counted(models, candidates, tmp_path):
    soap = {"n_max": 2, "l_max": 1, "r_cut": 4.0}
    species = ["Br", "Ca", "Cl", "F", "K", "Li", "Mg", "Na", "O"]
    build_store(tmp_path / "store", candidates, "SOAP", soap, species=species)
    for folder in (None, tmp_path / "out", tmp_path / "out"):
        found = screen(models[0], tmp_path / "store", folder=folder)
        assert (found.n, found.n_failed, found.n_passed) == (25, 1, 24)
        assert "Rb" in next(iter(found.failures))
        assert found.table["place"].to_pylist() == [*range(24), None]
        predicted = load_model(models[0]).predict(found.structures).values
        np.testing.assert_allclose(found.best["volume"].to_numpy(), predicted, rtol=1e-12)
    shard = next(path for path in (tmp_path / "store" / "shards").iterdir())
    (shard / "shard.json").write_text("")
    with pytest.raises(ValueError, match=r"no candidate.*is damaged"):
        screen(models[0], tmp_path / "store")


def test_pages_of_servers_are_in_the_folder(models, candidates, tmp_path, monkeypatch):
    asked = []

    def remote(self, place, pages, progress):
        asked.append(pages)
        return self.open(candidates)

    monkeypatch.setattr(Reading, "_remote", remote)
    screen(models[0], "optimade:mp", folder=tmp_path)
    assert {*asked} == {tmp_path / "pages"}
    with pytest.raises(ValueError, match="folder must be given"):
        screen(models[0], "optimade:mp")


def test_what_is_asked_for_must_be_in_every_source(models, candidates, tmp_path):
    write(tmp_path / "bare.extxyz", salts((1.0,)))
    steps = []
    for asked, message in (({"where": "price > 3"}, "where: .*bare.extxyz has no 'price'"), ({"by": "price"}, "by: ")):
        with pytest.raises(ValueError, match=message):
            screen(models[0], [candidates, tmp_path / "bare.extxyz"], **asked, progress=steps.append)
    frames = salts((1.0,))
    for number, atoms in enumerate(frames):
        atoms.info["price"] = "cheap" if number % 2 else "dear"
    write(tmp_path / "words.extxyz", frames)
    with pytest.raises(ValueError, match="compares price, a word, with 3, a number"):
        screen(models[0], [candidates, tmp_path / "words.extxyz"], where="price > 3", progress=steps.append)
    assert steps == []
    found = screen(models[0], [candidates, tmp_path / "words.extxyz"], where="price in ['cheap', '3']", top=50)
    assert sorted(found.best["price"].to_pylist()) == ["3", *["cheap"] * 4]
    assert screen(models[0], [candidates, tmp_path / "bare.extxyz"]).n == 33


def test_conditions_on_words_of_files(models, tmp_path):
    frames = salts((1.0, 1.01))
    for number, atoms in enumerate(frames):
        atoms.info = {"space_group": "P1" if number % 2 else "Fm-3m", "remark": "x" * 200, "none": "?"}
    frames[0].info["space_group"] = "nan"
    frames[1].info["space_group"] = 1
    write(tmp_path / "some.extxyz", frames)
    found = screen(models[0], tmp_path / "some.extxyz", where="space_group == 'P1'", top=50)
    assert found.best["space_group"].to_pylist() == ["P1"] * 7
    assert {"remark", "none"}.isdisjoint(found.table.column_names)
    assert found.table["space_group"].to_pylist()[:4] == [None, "1", "Fm-3m", "P1"]
    build_store(
        tmp_path / "s", tmp_path / "some.extxyz", "SOAP", {"n_max": 2, "l_max": 1}, targets=["space_group"], block=4
    )
    assert screen(models[0], tmp_path / "s", where="space_group == 'Fm-3m'").n_passed == 7


SMALL = {"r_cut": 4.0, "n_max": 2, "l_max": 1, "pooling": "mean", "dtype": "float32", "compression": "off"}
MIXED = {"species_embedding": {"type": "ElementEmbedding", "n_channels": 2}}


@pytest.mark.parametrize(
    ("model", "store", "reused"),
    [
        ({}, {}, True),
        (MIXED, MIXED, True),
        (MIXED, MIXED | {"species": ["Br", "Ca", "Cl", "F", "I", "K", "Li", "Mg", "Na", "O", "Rb"]}, True),
        ({}, {"species": ["Br", "Ca", "Cl", "F", "I", "K", "Li", "Mg", "Na", "O", "Rb"]}, False),
        ({}, {"r_cut": 4.5}, False),
        ({}, {"dtype": "float64"}, False),
        (MIXED, {}, False),
        ({"sparse": True}, {"sparse": True}, True),
    ],
)
def test_features_of_a_store_are_used_where_they_are_those_of_the_model(
    model, store, reused, candidates, tmp_path, monkeypatch
):
    trained = salts((0.97, 1.0, 1.03))
    y = np.array([atoms.get_volume() for atoms in trained])
    features = make_object({"type": "SOAP", **SMALL, **model}, "descriptor", 1).fit(trained)
    pipeline = assemble(features, ExtraTreesRegressor(5, random_state=0)).fit(trained, y)
    ids = tuple(map(str, range(len(y))))
    data = Dataset("salts", "Salts", trained, ids, {"v": Target(y, "", "v", "")}, "", "", None)
    judge = TrainedModel.of(pipeline, Problem.of(data, "v"))
    known = ["Br", "Ca", "Cl", "F", "K", "Li", "Mg", "Na", "O"]
    build_store(tmp_path / "s", candidates, "SOAP", {**SMALL, "species": known, **store}, block=7, max_failures=0.1)
    made, transform = [], SOAP.transform

    def counted(self, X):
        made.append(len(X))
        return transform(self, X)

    with monkeypatch.context() as patch:
        patch.setattr(SOAP, "transform", counted)
        found = screen(judge, tmp_path / "s", top=30)
    of_file = screen(judge, candidates, top=30)
    assert (sum(made) <= 3) == reused  # a few are looked at, whether they are the same
    names = ["v", "v_in_domain", "in_domain", "v_distance"]
    given = {row["id"]: row for row in of_file.table.select(["id", *names]).to_pylist()}
    for row in found.table.select(["id", *names, "problem"]).to_pylist():
        if row["problem"] is None:
            assert [row[name] for name in names[:3]] == [given[row["id"]][name] for name in names[:3]]
            assert row["v_distance"] == pytest.approx(given[row["id"]]["v_distance"], rel=1e-9, abs=1e-9)
    assert next(iter(found.failures)).removeprefix("in the store: ") == next(iter(of_file.failures))
