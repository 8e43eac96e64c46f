"""The ``[target]`` of a recipe: what is asked for, what is left to the data, and what becomes of it."""

import json

import numpy as np
import pytest

from atomprint.datasets import Dataset, Target
from atomprint.workflow import Recipe, load_model, train
from atomprint.workflow.recipes.completion import complete
from atomprint.workflow.recipes.plan import Plan

QUICK = {
    "data": {"path": "made.csv", "formula": "formula", "target": "y", "classes": ["no", "yes"]},
    "features": {"shares": {"type": "CompositionChannels", "channels": "species", "species": ["H", "O", "Fe"]}},
    "models": {"extra_trees": {"n_estimators": 20}, "ridge": {}},
    "split": {"test_size": 0.25, "n_folds": 3, "method": "stratified"},
    "evaluation": {"learning_curve": False, "n_repeats": 1},
}


def of_classes(counts, classes=("no", "yes")):
    """Return formulas whose share of iron tells, more or less, of which class they are."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(len(counts)), counts)
    iron = np.rint(10 + 6 * y + 6 * rng.normal(size=len(y))).clip(1).astype(int)
    formulas = [f"Fe{a}O{10 + k % 7}H{1 + k}" for k, a in enumerate(iron)]
    ids = tuple(f"s{k}" for k in range(len(y)))
    return Dataset("made", "Made", None, ids, {"y": Target(y.astype(float), "", "Y", "", classes)}, "", "", formulas)


def numbers():
    ids = tuple(map(str, range(40)))
    y = {"y": Target(np.arange(40.0), "eV", "Y", "")}
    return Dataset("made", "Made", None, ids, y, "", "", [f"Fe{k + 1}O" for k in range(40)])


def completed(dataset, **tables):
    table = {**QUICK, "data": {"path": "made.csv", "formula": "formula", "target": "y"}, **tables}
    return complete(Recipe.from_dict(table), dataset)


@pytest.mark.parametrize(
    ("counts", "tables", "threshold", "why"),
    [
        ((60, 20), {}, "balanced_accuracy", "Classes are uneven (60 of no, 20 of yes): thresholds"),
        ((30, 25), {}, "none", ""),
        ((60, 9), {}, "none", "the rarest has 9 samples, too few to choose a threshold by"),
        ((30, 25), {"evaluation": {"metric": "f1"}}, "f1", "The F1 is asked for: thresholds"),
        ((60, 20), {"evaluation": {"metric": "accuracy"}}, "none", ""),
        ((60, 20), {"evaluation": {"metric": "roc_auc"}}, "balanced_accuracy", "Classes are uneven"),
        ((60, 20), {"target": {"threshold": 0.3}}, 0.3, ""),
        ((30, 25), {"target": {"threshold": "mcc"}}, "mcc", ""),
        ((60, 20), {"target": {"threshold": "none"}}, "none", ""),
    ],
)
def test_thresholds_are_chosen_where_classes_are_uneven_or_it_is_asked_for(counts, tables, threshold, why):
    recipe, reasons = completed(of_classes(counts), **tables)
    assert recipe.target.threshold == threshold
    assert why in " ".join(reasons.get("target", ()))
    assert bool(why) == ("target" in reasons)
    again, reasons = complete(recipe, of_classes(counts))  # a recipe that was carried out leaves nothing open
    assert again == recipe
    assert "target" not in reasons


@pytest.mark.parametrize(
    ("dataset", "tables", "message"),
    [
        (numbers(), {"target": {"threshold": 0.5}}, "target.threshold is for classes, and 'y' is a number"),
        (numbers(), {"evaluation": {"metric": "f1"}}, "evaluation.metric must be one of 'mae', .*, got 'f1'"),
        (
            of_classes((9, 9, 9), ("a", "b", "c")),
            {"target": {"threshold": 0.5}},
            "target.threshold: a number is for two classes, got 3",
        ),
        (numbers(), {"target": {"threshold": 1}}, "target.threshold must be between 0 and 1, or one of .*, got 1"),
        (numbers(), {"target": {"threshold": "auc"}}, "target.threshold must be one of 'balanced_accuracy', .* 'auc'"),
        (numbers(), {"target": {"threshold": True}}, "target.threshold must be a number or a string, got True"),
        (numbers(), {"target": {"treshold": 0.5}}, "target.treshold is not an entry .* did you mean 'threshold'"),
        (numbers(), {"evaluation": {"metric": "mea"}}, "evaluation.metric must be one of .*, got 'mea'"),
    ],
)
def test_mistakes_are_named(dataset, tables, message):
    with pytest.raises((ValueError, TypeError), match=message):
        completed(dataset, **tables)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a run of uneven classes, and where it was written."""
    folder = tmp_path_factory.mktemp("run")
    dataset = of_classes((150, 30))
    rows = [f"{f},{c}" for f, c in zip(dataset.compositions, dataset.targets["y"].values.astype(int), strict=True)]
    text = "\n".join(["formula,y", *(row[:-1] + ("yes" if row[-1] == "1" else "no") for row in rows)])
    (folder / "made.csv").write_text(text + "\n", encoding="utf-8")
    data = {**QUICK["data"], "path": str(folder / "made.csv")}
    made = train(Recipe.from_dict({**QUICK, "data": data, "output": str(folder / "out")}))
    made.write()
    return made, folder / "out", dataset


def test_what_was_chosen_is_said_everywhere(run):
    made, folder, _ = run
    assert made.recipe.target.threshold == "balanced_accuracy"
    trial, model = made.study.best()
    assert all("threshold" in fold.chosen for _, fold in trial.evaluations[model].parts())
    said = made.study.decision_in_words()
    assert said.startswith("'yes' is predicted where its probability exceeds 0.")
    assert "chosen within the training part for the largest balanced accuracy" in said
    study = json.loads((folder / "results.json").read_text(encoding="utf-8"))["studies"][0]
    assert (study["decision"], study["metric"]) == (said, "balanced_accuracy")
    assert "probability exceeds 0." in (folder / "model-card.md").read_text(encoding="utf-8")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "is predicted where its probability exceeds 0." in page
    assert "Classes are uneven" in page
    assert 'threshold = "balanced_accuracy"' in (folder / "recipe.toml").read_text(encoding="utf-8")


def test_a_saved_model_decides_by_its_threshold_and_probabilities_are_calibrated_as_before(run):
    made, folder, dataset = run
    model = load_model(folder / "model.atomprint")
    found = model.predict(dataset.compositions)
    threshold = model.info()["decision"]["threshold"]
    assert 0 < threshold < 0.5
    assert (found.values == (found.probabilities[:, 1] > threshold)).all()
    assert (found.values != found.probabilities.argmax(axis=1)).any()
    table = made.recipe.to_dict()
    plain = train(Recipe.from_dict({**table, "target": {"threshold": "none"}, "models": {made.study.best()[1]: {}}}))
    without = plain.model.predict(dataset.compositions)
    assert np.array_equal(found.probabilities, without.probabilities)
    assert plain.model.info()["decision"] == {}
    assert plain.study.decision_in_words() == ""
    one, two = (done.study.chosen.cross_validation["balanced_accuracy"].mean.value for done in (plain, made))
    assert two > one + 0.05


def test_models_are_chosen_by_the_figure_that_is_asked_for(run):
    made, _, _ = run
    other = train(made.recipe.replaced(["evaluation.metric=pr_auc", "split.test_size=0"]))
    assert other.study.metric == other.study.choice.metric == "pr_auc"
    figures = other.study.choice.figures[0]
    best = max(range(len(figures)), key=lambda k: figures[k].value)
    assert other.study.choice.winners[0] == other.study.choice.candidates[best]


def test_an_entry_of_a_model_overrules_the_section(run):
    made, _, _ = run
    recipe = made.recipe.replaced(["models.extra_trees.threshold=0.7", "models.ridge.threshold=none"])
    study = train(recipe).study
    (trial,) = study.trials
    assert trial.evaluations["extra_trees"].test.chosen == {"threshold": 0.7}
    assert trial.evaluations["ridge"].test.chosen == {}


# Numbers ----------------------------------------------------------------------------------------------------------


def of_numbers(y):
    """Return formulas with numbers, the logarithm of which a share of iron tells if they are lognormal."""
    y = np.asarray(y, dtype=float)
    formulas = [f"Fe{k + 1}O{1 + (7 * k) % 13}" for k in range(len(y))]
    ids = tuple(f"s{k}" for k in range(len(y)))
    return Dataset("made", "Made", None, ids, {"y": Target(y, "GPa", "Y", "")}, "", "", formulas)


LOGNORMAL = np.exp(np.random.default_rng(0).normal(size=200) * 1.5)


@pytest.mark.parametrize(
    ("y", "tables", "twins", "why"),
    [
        (LOGNORMAL, {}, True, "Values are positive and span a factor of"),
        (1 + 1 / np.linspace(0.02, 1, 200) ** 0.9, {}, True, "are skewed (skewness"),
        (10 + np.random.default_rng(0).normal(size=200), {}, False, ""),
        (np.where(np.arange(200) < 3, 0, LOGNORMAL), {}, False, "3 of 200 values are not positive"),
        (np.where(np.arange(200) < 3, -1, LOGNORMAL), {}, False, ""),
        (LOGNORMAL[:40], {}, False, ""),
        (LOGNORMAL, {"target": {"transform": "none"}}, False, ""),
        (LOGNORMAL, {"target": {"transform": "log"}}, False, ""),
        (LOGNORMAL, {"models": {"ridge": {}}}, False, ""),
        (10 + LOGNORMAL, {"models": {"ridge": {}}, "target": {"transform": "try"}}, True, ""),
    ],
)
def test_logarithms_are_tried_for_positive_numbers_that_spread(y, tables, twins, why):
    given = {key: value for key, value in QUICK.items() if key != "models"} | tables
    table = {**given, "data": {"path": "made.csv", "formula": "formula", "target": "y"}}
    recipe, reasons = complete(Recipe.from_dict(table), of_numbers(y))
    assert any(key.endswith("_log") for key in recipe.models) == twins
    assert why in " ".join(reasons.get("target", ()))
    assert bool(why) == ("target" in reasons)
    assert recipe.target.transform == tables.get("target", {}).get("transform", "none").replace("try", "none")
    again, _ = complete(recipe, of_numbers(y))  # a recipe that was carried out leaves nothing open
    assert again == recipe


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"target": {"transform": "log"}}, "target.transform = 'log' needs values > 0 of 'y', got 0 for 's0'"),
        ({"target": {"transform": "sqrt"}}, "target.transform must be one of 'none', 'log', 'try', got 'sqrt'"),
        ({"models": {"ridge": {"transform": "sqrt"}}}, "models.ridge: transform must be one of 'none', 'log'"),
    ],
)
def test_mistakes_of_numbers_are_named(tables, message):
    dataset = of_numbers(np.arange(60.0))
    table = {**QUICK, "data": {"path": "made.csv", "formula": "formula", "target": "y"}, **tables}
    with pytest.raises(ValueError, match=message):
        Plan.on(complete(Recipe.from_dict(table), dataset)[0], dataset)


def test_logarithms_are_for_numbers():
    with pytest.raises(ValueError, match=r"target.transform is for numbers, and 'y' is a class"):
        completed(of_classes((30, 30)), target={"transform": "log"})


def test_the_better_of_both_is_chosen_and_saved(tmp_path):
    rng = np.random.default_rng(2)
    iron = rng.integers(1, 40, 260)
    y = np.exp(0.25 * iron + 0.2 * rng.normal(size=260))
    rows = "\n".join(f"Fe{a}O40H{1 + k % 9},{value}" for k, (a, value) in enumerate(zip(iron, y, strict=True)))
    (tmp_path / "made.csv").write_text(f"formula,y\n{rows}\n", encoding="utf-8")
    data = {"path": str(tmp_path / "made.csv"), "formula": "formula", "target": "y"}
    table = {**QUICK, "data": data, "models": {"ridge": {}}, "target": {"transform": "try"}}
    table["split"] = {"test_size": 0.2, "n_folds": 3}
    run = train(Recipe.from_dict(table))
    assert run.study.best()[1] == "ridge_log"
    assert run.study.models["ridge_log"] == "Ridge of logarithms"
    model = load_model(run.model.save(tmp_path / "model.atomprint"))
    found = model.predict(["Fe20O40H3", "Fe35O40H3"])
    assert np.log(found.values) == pytest.approx(np.array([5.0, 8.75]), abs=0.8)
    assert model.card.interval.of_logs
    assert found.lower * found.upper == pytest.approx(found.values**2)
    assert (found.lower > 0).all()
    test = run.study.chosen.test
    again = run.model.predict([run.study.dataset.compositions[i] for i in run.study.split.test])
    held = (again.lower <= y[run.study.split.test]) & (y[run.study.split.test] <= again.upper)
    assert test.metrics["mae"].value < run.study.trials[0].evaluations["ridge"].test.metrics["mae"].value
    assert held.mean() > 0.7
