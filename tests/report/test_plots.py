import dataclasses
import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.data import atomic_numbers, covalent_radii
from helpers.synthetic import make_problem, make_study

from atomprint.report import plots
from atomprint.report.drawing import draw_structure
from atomprint.report.plots import style
from atomprint.report.plots.data import _place


@pytest.fixture(scope="module")
def study():
    return make_study(make_problem())


@pytest.fixture(scope="module")
def classes():
    return make_study(make_problem("classification", n=200))


def words(figure):
    """Return all text of a figure, after checking that it can be drawn."""
    assert style.svg(figure).startswith(b"<?xml")
    return " | ".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def test_a_figure_is_the_same_bytes_each_time(study):
    assert plots.data_uri(plots.comparison(study)) == plots.data_uri(plots.comparison(study))


def test_plots_need_no_display_and_leave_the_settings_of_matplotlib_alone(study, monkeypatch):
    import matplotlib as mpl

    monkeypatch.delenv("DISPLAY", raising=False)
    before = dict(mpl.rcParams)
    plots.svg(plots.comparison(study))
    assert dict(mpl.rcParams) == before


def test_missing_matplotlib_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'atomprint\[report\]'"), style.styled():
        pass


def test_parity_names_axes_units_and_models(study):
    evaluations = study.trials[0].evaluations
    text = words(plots.parity(study.problem.y, evaluations, study.target, titles=study.models))
    for expected in ("true (eV/atom)", "predicted (eV/atom)", "Ridge", "Random forest", "cross-validation", "test"):
        assert expected in text


def test_parity_shows_every_prediction_once(study):
    evaluation = study.trials[0].evaluations["ridge"]
    figure = plots.parity(study.problem.y, {"ridge": evaluation}, study.target)
    offsets = np.concatenate([c.get_offsets() for c in figure.axes[0].collections])
    expected = np.concatenate([np.c_[study.problem.y[f.indices], f.y_pred] for _, f in evaluation.parts()])
    assert len(offsets) == len(study.problem)
    np.testing.assert_allclose(offsets[np.lexsort(offsets.T)], expected[np.lexsort(expected.T)])


def test_wild_predictions_are_counted_and_do_not_squeeze_the_others(study):
    evaluation = study.trials[0].evaluations["ridge"]
    fold = evaluation.test
    y_pred = fold.y_pred.copy()
    y_pred[:2] = 1e9, -1e9
    wild = type(evaluation)("regression", evaluation.folds, type(fold)(fold.indices, y_pred, *_rest(fold)), None)
    figure = plots.parity(study.problem.y, {"ridge": wild}, study.target)
    assert "2 outside" in words(figure)
    assert figure.axes[0].get_xlim()[1] - figure.axes[0].get_xlim()[0] < 3 * np.ptp(study.problem.y)
    assert "beyond the ends" in words(plots.residuals(study.problem.y, wild, study.target, "#000000"))


def _rest(fold):
    return (
        fold.probabilities,
        fold.y_std,
        fold.signs,
        fold.metrics,
        fold.chosen,
        fold.seconds_fit,
        fold.seconds_predict,
    )


def test_many_points_become_pixels_of_a_density():
    many = make_study(make_problem(n=20_000, compositions=True), features=("A",), models=("B",))
    figure = plots.parity(many.problem.y, many.trials[0].evaluations, many.target)
    assert "test, 4,000" in words(figure)
    assert len(style.svg(figure)) < 200_000
    assert len(style.svg(plots.residuals(many.problem.y, many.trials[0].evaluations["b"], many.target, "k"))) < 200_000


def test_comparison_shows_all_models_and_the_baseline(study):
    figure = plots.comparison(study)
    text = words(figure)
    for expected in ("Composition", "SOAP", "Ridge", "Random forest", "baseline", "mean absolute error (eV/atom)"):
        assert expected in text
    assert "spread over folds" in text
    base = study.baseline.cross_validation["mae"].mean.value
    assert figure.axes[0].get_xlim()[0] == 0
    assert figure.axes[0].get_xlim()[1] > base


@pytest.mark.parametrize("options", [{"folds": 0, "curve": False}, {"test": False}])
def test_comparison_without_folds_or_test_part(options):
    text = words(plots.comparison(make_study(make_problem(), **options)))
    assert ("spread over folds" in text) == ("test" in options)
    assert ("on the test part" in text) == ("folds" in options)


def test_scores_end_at_one(classes):
    figure = plots.comparison(classes)
    assert 1 <= figure.axes[0].get_xlim()[1] < 1.1
    assert "(" not in figure.axes[0].get_xlabel()  # shares have no unit


def test_confusion_matrix_counts():
    truth, guess = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1])
    text = words(plots.confusion({"test": (truth, guess)}, ("insulator", "metal"), "state"))
    assert "2\n67 %" in text
    assert "1\n33 %" in text
    assert "2\n100 %" in text
    assert "0\n0 %" in text
    assert "true state" in text
    assert "predicted state" in text


def test_areas_under_the_curves_are_those_of_the_metrics(classes):
    evaluation = classes.trials[0].evaluations["ridge"]
    truth = classes.problem.y[evaluation.test.indices] == 1
    text = words(plots.discrimination({"a": (truth, evaluation.test.probabilities[:, 1])}, style.looks(["a"]), "metal"))
    for name in ("roc_auc", "pr_auc"):
        assert f"a: {evaluation.test.metrics[name]}" in text


def test_distribution_of_numbers_and_classes(study, classes):
    assert "Formation energy (eV/atom)" in words(plots.target_distribution(study.problem, study.split))
    text = words(plots.target_distribution(classes.problem, classes.split))
    assert "metal" in text
    assert "training (160)" in text
    assert "test (40)" in text


def test_a_long_tail_is_cut_and_said():
    problem = make_problem(n=400)
    problem.y[0] = 1e6
    text = words(plots.target_distribution(problem, make_study(problem, uncertainty=False).split))
    assert "1 beyond the ends" in text


def test_rounding_of_logarithms_puts_nothing_beyond_the_ends():
    numbers = np.linspace(2.0, 9.0, 5000)
    back = np.exp(np.log(numbers))
    problem = make_problem(n=60)
    problem.y[:] = 6.0
    problem.y[0], problem.y[1] = numbers[back > numbers].min(), numbers[back < numbers].max()
    split = make_study(problem, uncertainty=False).split
    assert "beyond" not in words(plots.target_distribution(problem, split, logarithmic=True))


def test_every_element_has_a_place_of_its_own():
    places = {_place(z, 7.4) for z in range(1, 119)}
    assert len(places) == 118
    assert [_place(z, 7.4) for z in (1, 2, 3, 10, 21, 26, 57, 71, 72, 86, 89, 104, 118)] == [
        (0, 0), (0, 17), (1, 0), (1, 17), (3, 2), (3, 7), (7.4, 2), (7.4, 16), (5, 3), (5, 17), (8.4, 2), (6, 3),
        (6, 17),
    ]  # fmt: skip


@pytest.mark.parametrize("values", [{"H": 3.0}, {"H": 0.0, "Og": 0.0}, {"O": 12_345.0, "U": 2_000_000.0}])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_periodic_table(values, logarithmic):
    if logarithmic and 0.0 in values.values():
        values = dict.fromkeys(values, 1.0)
    text = words(plots.periodic_table(values, "structures", logarithmic=logarithmic))
    assert "structures" in text
    assert "mathdefault" not in text
    if "O" in values:
        assert "12k" in text
        assert "2.0M" in text


def test_learning_curve_has_units_and_the_baseline(study):
    figure = plots.learning_curve(study.learning_curve, "regression", "eV/atom", "#000000", 2.0)
    text = words(figure)
    for expected in ("number of training samples", "MAE (eV/atom)", "baseline", "samples held out", "160"):
        assert expected in text
    assert figure.axes[0].get_ylim()[1] > 2


def test_importance_says_how_many_groups_there_are(study):
    found = study.trials[0].importance
    text = words(plots.importance(found.groups, "increase (eV/atom)", "#000000", found.n_groups))
    assert "species pairs (12 of 52)" in text
    assert "increase (eV/atom)" in text


def test_breakdown_and_calibration_are_labelled(study):
    rows = study.breakdown.tables["chemistry"]
    text = words(plots.breakdown(rows, "by chemistry", "mean absolute error (eV/atom)", "#000000", 0.4))
    assert all(row.label in text for row in rows)
    assert all(f"{row.n}" in text for row in rows)
    assert "mean absolute error (eV/atom)" in text
    assert "nominal level" in words(plots.calibration([0.1, 0.9], [0.2, 0.8], "#000000", 0.9))
    assert "(eV)" in words(plots.widths(np.ones(3), np.ones(3), "eV", "#000000"))
    assert "share that is right" in words(plots.reliability([0.1, 0.9], [0.2, 0.8], [1, 2], "#000000", "probability"))


def test_models_look_different():
    names = [f"m{i}" for i in range(42)]
    assert len(set(style.looks(names).values())) == 42
    assert style.looks(names)["m3"] == style.looks(names)["m3"]


@pytest.mark.parametrize("title", ["$x_1$ & $\\undefined{", "<b>bold</b>", "日本語 🧪", "a" * 200])
def test_names_of_any_kind_can_be_plotted(title):
    study = make_study(make_problem(n=30), features=(title,), models=(title,))
    assert plots.svg(plots.comparison(study))
    assert plots.svg(plots.parity(study.problem.y, study.trials[0].evaluations, study.target, titles=study.models))


# Drawings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "structure",
    [
        Atoms("H"),
        Atoms("Og"),
        molecule("H2"),
        molecule("C60"),
        bulk("Cu"),
        Atoms("C2", [(0, 0, 0), (1.4, 0, 0)], cell=(2.5, 4, 0), pbc=(True, True, False)),
        bulk("NaCl", "rocksalt", 5.6, cubic=True).repeat(3),
    ],
    ids=["atom", "heaviest", "line", "cage", "one atom", "no volume", "many"],
)
def test_any_structure_can_be_drawn(structure):
    figure = draw_structure(structure)
    text = words(figure)
    assert all(symbol in text for symbol in set(structure.get_chemical_symbols()))
    assert len(style.svg(figure)) < 400_000


def test_drawing_of_pymatgen_structures():
    core = pytest.importorskip("pymatgen.core")
    assert "Na" in words(draw_structure(core.Structure(core.Lattice.cubic(4.2), ["Na", "Cl"], [[0] * 3, [0.5] * 3])))


def test_sizes_are_in_proportion():
    figure = draw_structure(molecule("H2O"))
    radii = sorted({round(p.radius, 6) for p in figure.axes[0].patches if hasattr(p, "radius") and p.radius > 0.1})
    expected = [0.45 * covalent_radii[atomic_numbers[symbol]] for symbol in ("H", "O")]
    assert [r for e in expected for r in radii if abs(r - e) < 1e-5] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"structure": Atoms("H1001", np.arange(3003).reshape(-1, 3))}, "at most 1000 atoms to be drawn, got 1001"),
        ({"structure": molecule("H2"), "highlight": 2}, r"highlight must be an atom of 0..1, got 2"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_structure(**arguments)


def test_coordinates_are_rounded_only_in_paths(study):
    picture = style.svg(plots.comparison(study)).decode()
    assert not re.search(r' d="[^"]*\d\.\d{3}', picture)
    assert "scale(0.015625" in picture or "scale(0.09" in picture or "scale(0." in picture


def test_parity_of_plain_arrays():
    rng = np.random.default_rng(0)
    for n in (1, 5, 4000):
        y = rng.normal(size=n)
        text = words(plots.parity(y.tolist(), y + 0.1, unit="eV"))
        assert "true (eV)" in text
        assert "predicted (eV)" in text
    for y, guess in (([1.0, 2.0], [1.0]), ([], []), ([1.0], [float("nan")]), ([[1.0]], [[1.0]])):
        with pytest.raises(ValueError, match=r"y_pred|must have one value"):
            plots.parity(y, guess)


@pytest.mark.parametrize("n", [120, 20_000])
def test_what_learnt_logarithms_is_shown_by_them(n):
    study = make_study(make_problem(n=n, compositions=True), models=("Ridge",))
    y = np.exp(2.0 * np.random.default_rng(0).normal(size=n))

    def guessed(fold):
        factors = np.exp(np.random.default_rng(1).normal(size=len(fold.indices)))
        return dataclasses.replace(fold, y_pred=y[fold.indices] * factors)

    made = study.trials[0].evaluations["ridge"]
    parts = {"folds": tuple(map(guessed, made.folds)), "test": guessed(made.test)}
    evaluation = dataclasses.replace(made, **parts, of_logs=True)
    target = study.target
    parity = plots.parity(y, {"ridge": evaluation}, target)
    errors = plots.residuals(y, evaluation, target, "k"), plots.errors_by_prediction(y, evaluation, target, "k")
    for figure, scales in ((parity, "log log"), (errors[0], "log linear"), (errors[1], "log log")):
        (ax,) = figure.axes
        assert f"{ax.get_xscale()} {ax.get_yscale()}" == scales
        assert "$" not in words(figure)
        assert 3 <= len(ax.get_xticks()) <= 7
    low, high = parity.axes[0].get_xlim()
    assert 0.02 * y.min() < low < y.min()  # with predictions down to there
    assert y.max() < high
    assert all("predicted / true" in words(figure) for figure in errors)
    wide = dataclasses.replace(
        evaluation,
        folds=tuple(dataclasses.replace(fold, y_pred=1.3 * y[fold.indices]) for fold in evaluation.folds),
        test=dataclasses.replace(evaluation.test, y_pred=1e4 * y[evaluation.test.indices]),
    )
    assert "median 1.30" in words(plots.residuals(y, wide, target, "k"))
    plain = dataclasses.replace(evaluation, of_logs=False)
    assert plots.parity(y, {"ridge": plain}, target).axes[0].get_xscale() == "linear"
    assert plots.parity(y - 1, {"ridge": evaluation}, target).axes[0].get_xscale() == "linear"


def test_predictions_that_have_no_logarithm_are_outside_of_the_panel():
    study = make_study(make_problem(), models=("Ridge",), test=False)
    y = np.linspace(1.0, 100.0, len(study.problem))
    made = study.trials[0].evaluations["ridge"]
    folds = [dataclasses.replace(fold, y_pred=y[fold.indices].copy()) for fold in made.folds]
    folds[0].y_pred[:3] = -1.0, 0.0, 2.0
    both = {
        "logs": dataclasses.replace(made, folds=tuple(folds), of_logs=True),
        "plain": dataclasses.replace(made, folds=tuple(folds)),
    }
    assert words(plots.parity(y, both, study.target)).count("2 outside") == 2
    assert plots.residuals(y, both["logs"], study.target, "k").axes[0].get_xscale() == "linear"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.02, 30.0, [0.1, 1, 10]), (1.0, 6.0, [1, 2, 5]), (2.1, 3.9, [2.5, 3, 3.5]), (1e-9, 1e9, None)],
)
def test_ticks_of_logarithms_are_round_and_few(low, high, expected):
    found = style.round_numbers(low, high)
    assert 3 <= len(found) <= 7
    assert all(low <= tick <= high for tick in found)
    if expected:
        assert set(expected) <= set(found)
