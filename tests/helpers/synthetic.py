"""Studies made up for the tests of plots and reports: predictions are the truth with noise, and nothing is fitted."""

import numpy as np
from ase import Atoms
from ase.build import molecule

from atomprint.datasets import Dataset, Failure, Target
from atomprint.learn.evaluation.breakdown import break_down
from atomprint.learn.evaluation.curve import LearningCurve
from atomprint.learn.evaluation.evaluate import Evaluation, Fold
from atomprint.learn.evaluation.importance import GroupImportance, Importance
from atomprint.learn.evaluation.intervals import Calibration, Uncertainty
from atomprint.learn.evaluation.nested_choice import Choice
from atomprint.learn.splits.leakage import find_leakage
from atomprint.learn.splits.split import Split
from atomprint.learn.study.study import Study, Trial, needs_choice
from atomprint.learn.task.features import Features
from atomprint.learn.task.metrics import Metric, compute_metrics, primary_metric, spread
from atomprint.learn.task.problem import Problem

CATIONS = ("Ca", "Sr", "Ba", "La", "K", "Na", "Pb", "Y")
METALS = ("Ti", "Zr", "Mn", "Fe", "Co", "Ni", "Nb", "Al", "V")
ANIONS = ("O", "F", "N", "S")


def perovskite(a, b, x, length=4.0):
    """Return a cubic crystal ABX3."""
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return Atoms([a, b, x, x, x], scaled_positions=places, cell=[length] * 3, pbc=True)


def make_problem(kind="regression", n=120, level="structure", classes=2, compositions=False, seed=0, **options):
    """Return a problem with random perovskites, formulas of such, or (for atoms) molecules."""
    rng = np.random.default_rng(seed)
    names = [tuple(rng.choice(symbols) for symbols in (CATIONS, METALS, ANIONS)) for _ in range(n)]
    structures = None if compositions else [perovskite(*name, length=rng.uniform(3.7, 4.3)) for name in names]
    ids = tuple(f"sample-{i}" for i in range(n))
    known = {"unit": "eV/atom", "title": "Formation energy", "definition": "From the elements, at 0 K."}
    if level == "atom":
        structures = [molecule(("CH3CH2OH", "C6H6", "H2O")[i % 3]) for i in range(n)]
        values = np.empty(n, dtype=object)
        values[:] = [rng.normal(size=len(atoms)) for atoms in structures]
        target = Target(values, "ppm", "Chemical shift", "Relative to TMS.", level="atom")
    elif kind == "classification":
        labels = ("insulator", "metal", "semimetal")[:classes]
        target = Target(rng.integers(0, classes, n).astype(float), "", "Conductivity", "As measured.", classes=labels)
    else:
        target = Target(rng.normal(-2, 1.5, n), **known)
    dataset = Dataset(
        **{
            "name": "made",
            "title": "Made-up perovskites",
            "structures": structures,
            "compositions": ["".join((*name, "3")) for name in names] if compositions else None,
            "ids": ids,
            "targets": {"target": target},
            "description": "Random elements on the sites of a perovskite.",
            "source": "A random number generator.",
            "licence": "CC0",
            "failures": (Failure(7, "bad", "structure", "lattice has no volume"),),
            **options,
        }
    )
    return Problem.of(dataset, "target")


def make_fold(problem, indices, noise, rng, probabilities=True):
    """Return predictions that are the truth with noise."""
    y, target = problem.y[indices], problem.target
    if target.classes:
        scores = rng.dirichlet(np.ones(len(target.classes)), len(indices)) * noise
        scores[np.arange(len(indices)), y.astype(int)] += 1 / (1 + noise)
        scores /= scores.sum(axis=1, keepdims=True)
        guess, given = scores.argmax(axis=1), scores if probabilities else None
    else:
        guess, given = y + noise * rng.standard_t(4, len(indices)), None
    metrics = compute_metrics(problem.kind, y, guess, given, target.classes)
    return Fold(indices, guess, given, None, {}, metrics, {"alpha": 0.001, "kernel": "rbf"}, 0.31, 0.02)


def make_evaluation(problem, split, noise, rng, **options):
    """Return an evaluation on all parts of a split."""
    folds = tuple(make_fold(problem, predict, noise, rng, **options) for _, predict in split.folds)
    test = make_fold(problem, split.test, noise, rng, **options) if len(split.test) else None
    return Evaluation(problem.kind, folds, test, None, split.fold_names)


def make_split(n, folds=5, test=True, seed=0):
    """Return a random split with or without folds and test part."""
    order = np.random.default_rng(seed).permutation(n)
    train, held = np.sort(order[n // 5 if test else 0 :]), np.sort(order[: n // 5 if test else 0])
    parts = np.array_split(np.random.default_rng(seed).permutation(train), folds) if folds else []
    pairs = tuple((np.setdiff1d(train, part), np.sort(part)) for part in parts)
    return Split(train, held, pairs, seed, "random", "Drawn at random.")


def make_study(
    problem,
    *,
    folds=5,
    test=True,
    features=("Composition", "SOAP"),
    models=("Ridge", "Random forest"),
    curve=True,
    uncertainty=True,
    probabilities=True,
    noise=0.4,
):
    """Return a study of a made-up problem."""
    rng = np.random.default_rng(1)
    n = len(problem)
    split = make_split(n, folds, test)
    keys = [title.lower().replace(" ", "_") for title in models]
    options = {"probabilities": probabilities} if problem.kind == "classification" else {}
    trials = []
    for k, title in enumerate(features):
        evaluations = {
            key: make_evaluation(problem, split, noise * (1 + 0.3 * m + 0.5 * k), rng, **options)
            for m, key in enumerate(keys)
        }
        pairs = [f"{a}-{b}" for a in ANIONS for b in (*ANIONS, *METALS)]
        groups = {
            "species pairs": [GroupImportance(p, 0.4 / (i + 1), 0.02, 12) for i, p in enumerate(pairs[:30])],
            "radial channels": [GroupImportance(f"n = {i}", 0.1 * i, 0.01, 12) for i in range(1, 5)],
        }
        importance = Importance(
            "increase of the error on held-out samples when a group of features is scrambled",
            problem.target.unit,
            groups,
            {"species pairs": len(pairs), "radial channels": 4},
        )
        given = Features(f"f{k}", title, "numbers of a kind", np.zeros((n, 3)), ["a", "b", "c"], 0.2, {})
        top = [("SOAP C-O n=1 n'=2 l=0", 0.3), ("SOAP O-O n=1 n'=1 l=0", 0.1)]
        trials.append(Trial(given, evaluations, keys[0], importance, None, top, keys[-1]))
    choice = None
    if needs_choice(split, len(trials) * len(keys)):
        candidates = tuple((trial.features.key, key) for trial in trials for key in keys)
        choice = _choice(problem, candidates, [name for name, *_ in split.parts()])
    best = trials[0].evaluations[keys[0]]
    if choice is not None:
        best = choice.assemble({(t.features.key, key): e for t in trials for key, e in t.evaluations.items()})
    _, indices, y_pred = best.held_out()
    return Study(
        problem,
        "Can it be learnt?",
        split,
        find_leakage(problem, split),
        make_evaluation(problem, split, 2.0, rng, **options),
        trials,
        _curve(problem, keys[0]) if curve else None,
        _uncertainty(problem, best) if uncertainty else None,
        break_down(problem, indices, y_pred),
        {"dummy": "Mean of the training part", **dict(zip(keys, models, strict=True))},
        {key: {"class": "Made"} for key in keys},
        choice,
    )


def _choice(problem, candidates, parts):
    """Return a choice of the first candidate for all parts but the last, and there of the second."""
    rising = [Metric(0.1 * k) for k in range(len(candidates))]
    if problem.kind == "classification":
        rising = rising[::-1]
    last = [rising[1], rising[0], *rising[2:]] if len(parts) > 1 else rising
    figures = [rising] * (len(parts) - 1) + [last]
    metric = primary_metric(problem.kind)
    return Choice(candidates, metric, problem.kind, tuple(parts), figures, "chosen by a figure made up", 1.5)


def _curve(problem, model):
    errors = (0.9, 0.6, 0.5, 0.42)
    scores = [1 - e if problem.kind == "classification" else e for e in errors]

    def around(value):
        return spread([Metric(0.95 * value), Metric(1.05 * value)])

    return LearningCurve(
        (20, 40, 80, 160),
        [around(s) for s in scores[::-1]],
        [around(s) for s in scores],
        primary_metric(problem.kind),
        model,
        "f0",
        "Over 5 folds.",
    )


def _uncertainty(problem, evaluation):
    names, folds = zip(*evaluation.parts(), strict=True)
    indices, y_pred = (np.concatenate([getattr(fold, name) for fold in folds]) for name in ("indices", "y_pred"))
    parts = np.repeat(names, [len(fold.indices) for fold in folds])
    classify = problem.kind == "classification"
    levels = np.linspace(0.1, 0.9, 9)
    return Uncertainty(
        kind=problem.kind,
        level=0.9,
        method="Conformal, from residuals out of folds.",
        assumptions="New samples are like these.",
        indices=indices,
        parts=parts,
        lower=None if classify else y_pred - 1,
        upper=None if classify else y_pred + 1,
        sets=np.ones((len(indices), len(problem.target.classes)), dtype=bool) if classify else None,
        checked_on="test part" if evaluation.test is not None else "folds",
        coverage=Metric(0.87),
        coverage_by_class={name: Metric(0.9) for name in problem.target.classes},
        mean_width=Metric(2.0),
        calibration=Calibration("reliability" if classify else "coverage", levels, levels**1.1, np.arange(1, 10)),
        half_width=Metric(None, "is for numbers") if classify else Metric(1.0),
        thresholds={name: Metric(0.2) for name in problem.target.classes},
    )
