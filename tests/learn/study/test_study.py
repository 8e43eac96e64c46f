import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.problems import Failing, atoms_problem, features_of
from helpers.shared import SHARED, needs_shared
from sklearn.linear_model import RidgeClassifier

from atomprint.datasets import Dataset, Target
from atomprint.descriptors.composition.element_property import ElementProperty
from atomprint.learn import Features, FitError, Problem, conformal, make_model, make_split, meanings_of, run_study
from atomprint.learn.study import caveats
from atomprint.learn.study.run import count_steps
from atomprint.util.plain import plain

METALS = ["Li", "Na", "K", "Mg", "Ca", "Al", "Ti", "Fe", "Ni", "Cu", "Zn", "Ag"]
ANIONS = ["O", "F", "Cl", "S", "N", "Br"]
PARTS = {"dataset", "target", "unit", "features", "model", "part", "id", "true", "predicted"}


def oxides_and_others(classes=()):
    """Return a problem over compositions, and their features."""
    formulas = [f"{m}{n}{a}" for m in METALS for a in ANIONS for n in ("", 2)]
    descriptor = ElementProperty(["electronegativity", "mass", "covalent_radius"])
    X = descriptor.create(formulas)
    y = X[:, 2] + 0.05 * np.random.default_rng(0).normal(size=len(X))
    if classes:
        y = (y > np.median(y)).astype(float)
    target = Target(y, "" if classes else "eV", "Band gap", "made up", tuple(classes))
    ids = tuple(f"c{i}" for i in range(len(y)))
    dataset = Dataset(
        "toy", "Toy compounds", None, ids, {"gap": target}, "Compounds", "Nobody", formulas, licence="CC0"
    )
    known = meanings_of(descriptor)
    features = Features(
        "magpie", "Element properties", "statistics", X, known.names, 0.1, {"missing": np.nan}, meanings=known
    )
    return Problem.of(dataset, "gap"), features


def kernel_of(features):
    X = features.values / features.values.std(axis=0)
    K = np.exp(-0.1 * ((X[:, None] - X) ** 2).sum(axis=2))
    return Features("kernel", "A kernel", "made of them", K, [], 0.1, {}, pairwise=True)


def checked(study):
    """Return the study as JSON has it."""
    text = json.dumps(study.to_dict(), allow_nan=False)
    json.dumps(list(study.predictions()), allow_nan=False)
    return json.loads(text)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of what shap imports
def test_a_study_of_numbers():
    problem, features = oxides_and_others()
    split = make_split(problem, n_folds=3)
    models = {
        "wood": make_model("random_forest", n_estimators=20, random_state=0),
        "ridge": make_model("ridge"),
        "gp": make_model("gaussian_process", pairwise=True),
    }
    words = []
    study = run_study(
        problem,
        [features, kernel_of(features)],
        models,
        split,
        question="Can it?",
        titles={"wood": "A forest"},
        n_repeats=2,
        shap=True,
        progress=lambda *step: words.append(step),
    )
    n_steps = count_steps(2, 3, split)
    assert [step[1:] for step in words] == [(done, n_steps) for done in range(n_steps)]
    assert study.models == {"dummy": "Baseline", "wood": "A forest", "ridge": "Ridge", "gp": "gp"}
    first, second = study.trials
    assert list(first.evaluations) == ["wood", "ridge"]
    assert list(second.evaluations) == ["gp"]
    assert (study.title, study.target.unit, study.kind) == ("Toy compounds: band gap", "eV", "regression")
    trial, name = study.best()
    best = trial.evaluations[name]
    scores = [e.cross_validation["mae"].mean.value for t in study.trials for e in t.evaluations.values()]
    assert best.cross_validation["mae"].mean.value == min(scores)
    assert min(scores) < study.baseline.cross_validation["mae"].mean.value / 3
    # What models rely on: the target is the range of electronegativities.
    assert first.importance.unit == "eV"
    assert first.importance.method.startswith("increase of the mean absolute error on the test part when a group")
    assert first.importance.groups["element properties"][0].label == "electronegativity"
    assert "electronegativity" in first.top[0][0]
    assert first.top_model == "wood"
    assert first.shap.groups["element properties"][0].label == "electronegativity"
    assert "Shapley" in first.shap.method
    assert second.importance is None
    assert second.top == []
    assert study.learning_curve.model == name
    assert study.uncertainty.checked_on == "test part"

    found = checked(study)
    assert found["best"] == {"features": trial.features.key, "model": name}
    assert found["dataset"]["licence"] == "CC0"
    assert found["models"]["wood"]["parameters"]["model"]["n_estimators"] == 20
    assert found["trials"][0]["features"]["parameters"] == {"missing": "nan"}
    assert found["trials"][0]["models"]["ridge"]["folds"][1]["chosen"]["alpha"] > 0
    assert found["split"]["method"] == "random"
    assert len(found["learning_curve"]["points"]) == 4

    rows = list(study.predictions())
    assert set(rows[0]) == PARTS | {"lower", "upper"}
    assert len(rows) == 4 * len(problem)
    of_best = [r for r in rows if (r["features"], r["model"], r["part"]) == (trial.features.key, name, "test")]
    test = study.uncertainty.parts == "test"
    assert [r["lower"] for r in of_best] == pytest.approx(study.uncertainty.lower[test].tolist())
    assert [r["id"] for r in of_best] == [problem.ids[i] for i in split.test]
    assert [r["true"] for r in of_best] == problem.y[split.test].tolist()
    again = run_study(problem, [features, kernel_of(features)], models, split, n_repeats=2, n_jobs=2)
    assert list(again.predictions()) == rows
    assert again.trials[0].importance.groups == first.importance.groups


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_a_study_of_classes_without_a_test_part():
    problem, features = oxides_and_others(("narrow", "wide"))
    split = make_split(problem, "stratified", test_size=0, n_folds=3)
    models = {
        "svm": make_model("svm", "classification"),
        "forest": make_model("random_forest", "classification", n_estimators=20, random_state=0),
        "no_probabilities": RidgeClassifier(),
    }
    study = run_study(problem, [features], models, split, n_repeats=3, curve=False, shap=True)
    (trial,) = study.trials
    assert study.learning_curve is None
    assert all(evaluation.test is None for evaluation in trial.evaluations.values())
    assert trial.evaluations[trial.best].estimator.predict(features.values[:2]).shape == (2,)
    assert trial.importance.method.startswith(
        "drop of the balanced accuracy on the folds, each with the model that has"
    )
    assert trial.importance.unit == ""
    assert trial.importance.groups["element properties"][0].label == "electronegativity"
    assert trial.importance.groups["element properties"][0].mean > 0.1
    assert trial.top_model == "forest"
    assert study.held_out()[0] == "folds"
    assert study.uncertainty.checked_on == "folds"
    rows = list(study.predictions())
    assert set(rows[0]) == PARTS | {"probability narrow", "probability wide", "set"}
    assert {row["true"] for row in rows} == {"narrow", "wide"}
    for row in rows:
        if row["model"] == "no_probabilities":
            assert row["set"] is None
            assert row["probability wide"] is None
        elif row["part"] == "fold 1":
            assert row["probability narrow"] + row["probability wide"] == pytest.approx(1)
            assert row["set"] in ("narrow", "wide", "narrow|wide", "")
    text = " ".join(study.caveats())
    assert "There is no test part. For each fold features and model were chosen within its training samples" in text
    assert "No probabilities of classes from: no_probabilities" in text
    found = checked(study)
    assert found["trials"][0]["models"]["svm"]["test"] is None
    assert found["target"]["classes"] == ["narrow", "wide"]


def test_a_study_of_atoms_with_a_single_test_part():
    problem = atoms_problem(n_structures=40)
    X = np.column_stack([problem.structures, problem.atoms]).astype(float)
    split = make_split(problem, n_folds=0)
    study = run_study(problem, [features_of(X)], {"linear": make_model("linear"), "ridge": make_model("ridge")}, split)
    assert study.uncertainty.coverage.reason == "a level of 0.9 needs held-out residuals of at least 9 groups, got 0"
    assert study.best()[1] in ("linear", "ridge")
    text = " ".join(study.caveats())
    assert "There is no cross-validation" in text
    assert "The best of 2 was chosen by the MAE on 127 samples held out within the training part" in text
    assert "The 159 atoms belong to 40 structures" in text
    assert len(study.learning_curve.sizes) == 4
    found = checked(study)
    assert found["target"]["level"] == "atom"
    assert all(row["lower"] is None for row in study.predictions())
    assert "/" in next(study.predictions())["id"]
    assert run_study(problem, [features_of(X)], {"m": make_model("linear")}, split, level=None).uncertainty is None


def test_predictions_come_one_at_a_time_with_intervals_computed_once(monkeypatch):
    from atomprint.learn.study import study as summary

    problem, features = oxides_and_others()
    models = {"ridge": make_model("ridge"), "tree": make_model("decision_tree", random_state=0)}
    study = run_study(problem, [features], models, make_split(problem, n_folds=3), n_repeats=0, curve=False)
    bounded = []
    monkeypatch.setattr(
        summary, "conformal", lambda evaluation, *rest: bounded.append(evaluation) or conformal(evaluation, *rest)
    )
    rows = study.predictions()
    assert iter(rows) is rows
    assert next(rows)["model"] == "dummy"
    assert bounded == [study.baseline]  # nothing is computed before it is asked for
    assert len(list(rows)) == 3 * len(problem) - 1
    others = [evaluation for _, model, evaluation in study.evaluations() if model != study.best()[1]]
    assert bounded == others  # those of the best model are known


def test_samples_of_the_training_part_are_not_listed_twice():
    problem, features = oxides_and_others()
    models = {"ridge": make_model("ridge")}
    for options, listed in (({}, False), ({"n_folds": 0}, True), ({"method": "group", "group_by": "element"}, True)):
        split = make_split(problem, **options)
        if listed and split.folds:  # some samples are in no fold
            split = replace(split, folds=split.folds[:2], fold_names=split.fold_names[:2])
        study = run_study(problem, [features], models, split, n_repeats=0, curve=False)
        found = study.to_dict()["split"]
        train = found["train"] if listed else sorted(name for fold in found["folds"] for name in fold)
        assert (found["train"] is not None) == listed
        assert sorted(train) == sorted(problem.ids[i] for i in split.train)


def test_caveats_name_elements_that_models_had_not_seen():
    problem, features = oxides_and_others()
    split = make_split(problem, "group", group_by="element", test_size=0.1)
    models = {"ridge": make_model("ridge")}
    study = run_study(problem, [features], models, split, n_repeats=0, curve=False)
    assert study.trials[0].importance is None
    text = " ".join(study.caveats())
    assert "Little data: 144 samples" in text
    assert "In the test part but not in the training part: " in text
    assert "Predicted in a fold by a model that had not seen the element: " in text
    for sentence in study.leakage_in_words():
        assert sentence in study.caveats()
    assert set(study.trials[0].evaluations["ridge"].parts()[0][0].split()) <= {"without", *METALS, *ANIONS}
    # Far more of everything: nothing to complain about but what is the same in both parts.
    many = Dataset(
        "many", "Many", None, tuple(map(str, range(1200))), {"y": Target(np.arange(1200.0), "", "Y", "")}, "", "",
        [f"{METALS[i % 12]}{i + 1}O" for i in range(1200)],
    )  # fmt: skip
    problem = Problem.of(many, "y")
    X = np.arange(1200.0)[:, None]
    study = run_study(problem, [features_of(X)], models, make_split(problem), n_repeats=0, curve=False)
    assert study.caveats() == study.leakage.sentences()


def test_caveats_tell_where_predictions_change_with_the_seed():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 4))
    target = Target(X[:, 0] + X[:, 1] ** 2 + 0.1 * rng.normal(size=150), "eV", "Gap", "")
    dataset = Dataset(
        "d", "D", None, tuple(map(str, range(150))), {"gap": target}, "", "", compositions=("NaCl",) * 150
    )
    problem = Problem.of(dataset, "gap")

    members = [{"type": "kernel_ridge"}, {"type": "extra_trees", "n_estimators": 20}]
    models = {"e": make_model("ensemble", random_state=0, members=members, combine="mean")}
    split = make_split(problem, test_size=0.2, n_folds=4, seed=0)
    study = run_study(problem, [features_of(X)], models, split, curve=False, n_repeats=1)
    assert not any("seed" in sentence for sentence in study.caveats())
    folds = study.chosen.folds
    assert all(fold.of_test.shape == (30,) for fold in folds)
    apart = [replace(fold, of_test=fold.of_test + k) for k, fold in enumerate(folds)]
    (said,) = caveats.of_extrapolation(problem, replace(study.chosen, folds=tuple(apart)))
    assert said.startswith("The test part is of another kind, and predictions there depend on chance: the 4 models of")
    assert " eV about it, while their error" in said
    signs = {name: 5 * sign for name, sign in study.chosen.test.signs.items()}
    evaluation = replace(study.chosen, test=replace(study.chosen.test, signs=signs))
    (said,) = caveats.of_extrapolation(problem, evaluation)
    assert said.startswith("In the test part the members of the model disagree by ")
    assert said.endswith("predictions of such samples change with the seed.")


def test_kernels_go_to_models_that_take_them():
    problem, features = oxides_and_others()
    split = make_split(problem, n_folds=2)
    with pytest.raises(ValueError, match="features 'kernel': no model takes a kernel between samples"):
        run_study(problem, [kernel_of(features)], {"ridge": make_model("ridge")}, split)
    with pytest.raises(ValueError, match="features 'magpie': no model takes features that are not a kernel"):
        run_study(problem, [features], {"svm": make_model("svm", pairwise=True)}, split)


def test_studies_that_cannot_be():
    problem, features = oxides_and_others()
    split = make_split(problem, n_folds=2)
    models = {"ridge": make_model("ridge")}
    for given, those, message in (
        ([], models, "there must be features and models, got 0 and 1"),
        ([features], {}, "there must be features and models, got 1 and 0"),
        ([features, features], models, "features must have different keys, got magpie, magpie"),
        ([features], {"dummy": make_model("dummy")}, "must not have the key 'dummy'"),
        ([features_of(np.ones((3, 1)))], models, "must have one row for each of 144 samples"),
    ):
        with pytest.raises(ValueError, match=message):
            run_study(problem, given, those, split)
    with pytest.raises(ValueError, match="split must have folds or a test part, got neither"):
        run_study(problem, [features], models, replace(split, test=split.test[:0], folds=()))
    with pytest.raises(FitError, match=r"features 'magpie', model 'broken', fold 1: .*the weights have run away"):
        run_study(problem, [features], {"broken": Failing(below=1000)}, split)


def test_parameters_in_plain_types():
    found = plain(
        {
            "model": make_model("sklearn.linear_model.LogisticRegression", "classification", C=np.inf),
            "array": np.array([1.0, np.nan]),
            "set": {1},
            "number": np.int64(3),
            "function": len,
        }
    )
    assert found["model"]["class"] == "LogisticRegression"
    assert found["model"]["C"] == "inf"
    assert (found["array"], found["set"], found["number"]) == ([1.0, "nan"], [1], 3)
    json.dumps(found, allow_nan=False)


@needs_shared
def test_band_gaps_of_real_compounds_are_predicted_far_better_than_by_chance():
    import gzip

    with gzip.open(SHARED / "matbench" / "matbench_expt_gap.json.gz") as file:
        rows = json.load(file)["data"][::10]
    formulas, gaps = [row[0] for row in rows], np.array([row[1] for row in rows])
    descriptor = ElementProperty(missing="impute")
    X = descriptor.create(formulas)
    ids = tuple(map(str, range(len(X))))
    dataset = Dataset("gap", "Gaps", None, ids, {"gap": Target(gaps, "eV", "Gap", "")}, "", "", formulas)
    problem = Problem.of(dataset, "gap")
    features = Features("magpie", "Magpie", "", X, list(descriptor.get_feature_names_out()), 0.0, {})
    models = {name: make_model(name, random_state=0) for name in ("random_forest", "kernel_ridge")}
    study = run_study(problem, [features], models, make_split(problem, n_folds=3), n_repeats=1, curve=False)
    baseline = study.baseline.cross_validation["mae"].mean.value
    for evaluation in study.trials[0].evaluations.values():
        assert evaluation.cross_validation["mae"].mean.value < 0.75 * baseline
    assert study.uncertainty.coverage.value == pytest.approx(0.9, abs=0.1)


@pytest.mark.parametrize(
    ("scales", "told"),
    [
        ([0.01, 0.02], None),  # two are taken as meant
        ([0.01, 0.02, 0.03], "length scale was followed beyond what was given (0.01 to 0.03), to 0.10125 for 3 of 3"),
        ([1e4, 1e5, 1e6], "length scale was followed beyond what was given (10000 to 1e+06), to"),
        ([0.01, 1.0, 3.0, 10.0, 1e6], None),
    ],
)
def test_choices_beyond_what_was_given_are_told(scales, told):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(60, 2))
    target = Target(X.sum(axis=1), "", "Y", "")
    formulas = [f"Fe{k + 1}O" for k in range(60)]
    problem = Problem.of(Dataset("d", "D", None, tuple(map(str, range(60))), {"y": target}, "", "", formulas), "y")
    model = make_model("kernel_ridge", kernels=["rbf"], length_scales=scales, alphas=[1e-9, 1e-4, 1e3])
    split = make_split(problem, test_size=0, n_folds=3)
    study = run_study(problem, [features_of(X)], {"kernel_ridge": model}, split, n_repeats=0, curve=False)
    said = [one for one in study.caveats() if one.startswith("length scale")]
    assert [one.startswith(told) for one in said] == [True] * (told is not None), said


def test_an_end_that_nothing_beyond_betters_is_told():
    fold = SimpleNamespace(chosen={"n_neighbors": 9, "C": 0.1})
    evaluation = SimpleNamespace(parts=lambda: [("fold 1", fold)])
    (said,) = caveats.of_edges(
        evaluation, {"near": {"model__n_neighbors": [1, 3, 9], "C": {"low": 0.01, "high": 1}}}, "near"
    )
    assert said == (
        "n neighbors = 9 is an end of what was tried (1 to 9), chosen for 1 of 1 parts: a value beyond may do better."
    )
