"""Saved models whose intervals are as wide as samples are difficult."""

import numpy as np
import pytest
from ase import Atoms
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from atomprint.datasets import Dataset, Target
from atomprint.descriptors import CompositionChannels
from atomprint.kernels import AverageKernel
from atomprint.learn import Features, Problem, conformal, evaluate, make_model, make_split
from atomprint.workflow import ModelFileError, TrainedModel, assemble, load_model
from atomprint.workflow.saved.container import read_container, write_container

N = 240


def noisy_oxides(seed=0):
    """Return a problem of oxides; those of vanadium have errors ten times as large."""
    rng = np.random.default_rng(seed)
    metals = rng.choice(["Mg", "Ca", "Sr", "V"], N)
    x = rng.integers(1, 30, N)
    formulas = [f"{metal}{k}O30" for metal, k in zip(metals, x, strict=True)]
    y = 2 + x / 10 + np.where(metals == "V", 0.5, 0.05) * rng.normal(size=N)
    target = Target(np.maximum(y, 0), "eV", "Band gap", "made up")
    ids = tuple(f"s{i}" for i in range(N))
    return Problem.of(Dataset("oxides", "Oxides", None, ids, {"gap": target}, "", "", formulas), "gap"), metals


@pytest.fixture(scope="module")
def made():
    problem, _ = noisy_oxides()
    channels = CompositionChannels(channels="species", species=["Mg", "Ca", "Sr", "V", "O"])
    X = channels.fit_transform(problem.dataset.compositions)
    features = Features("c", "Composition", "", X, list(channels.get_feature_names_out()), 0.0, {})
    split = make_split(problem, test_size=0)
    evaluation = evaluate(Ridge(1e-3), features, problem, split)
    found = conformal(evaluation, problem, split, 0.9, features)
    return TrainedModel.of(assemble(channels, evaluation.estimator), problem, table=X, uncertainty=found), found


def test_widths_are_saved_and_told(made, tmp_path):
    model, found = made
    assert model.widths is found.widths
    given = ["V7O30", "Ca7O30", "Mg20O30", "V25O30"]
    before = model.predict(given)
    width = before.upper - before.lower
    assert width[[0, 3]].min() > 3 * width[[1, 2]].max()
    again = load_model(model.save(tmp_path / "m.atomprint"))
    np.testing.assert_array_equal(again.predict(given).upper, before.upper)
    assert again.predict(given[1]).upper == pytest.approx(before.upper[1:2], rel=1e-9)
    assert again.card.interval.half_widths == pytest.approx(found.half_widths)
    assert again.card.interval.half_width == pytest.approx(found.half_width.value)
    assert again.save(tmp_path / "again.atomprint").read_bytes() == (tmp_path / "m.atomprint").read_bytes()
    # New ones are held as often as is promised, the difficult ones too.
    new, metals = noisy_oxides(seed=1)
    told = again.predict(list(new.dataset.compositions))
    inside = (told.lower <= new.y) & (new.y <= told.upper)
    assert inside.mean() == pytest.approx(0.9, abs=0.05)
    assert inside[metals == "V"].mean() > 0.8


def test_widths_of_other_features_are_not_used(made):
    model, found = made
    problem, _ = noisy_oxides()
    channels = CompositionChannels(channels="species", species=["Mg", "Ca", "Sr", "V", "O", "N"])
    X = channels.fit_transform(problem.dataset.compositions)
    other = assemble(channels, Ridge().fit(X, problem.y))
    made_anew = TrainedModel.of(other, problem, table=X, uncertainty=found)
    assert made_anew.widths is None
    assert made_anew.card.interval.half_width == found.constant.half_width.value
    with pytest.raises(ValueError, match="widths: they are for 5 features, the pipeline has 6"):
        TrainedModel(other, model.card, made_anew.domain, widths=model.widths)


def test_a_file_with_damaged_widths_is_refused(made, tmp_path):
    path = made[0].save(tmp_path / "m.atomprint")
    card, members = read_container(path)
    card = {key: value for key, value in card.items() if key not in ("format", "format_version", "members")}
    write_container(path, card, {**members, "widths.npz": members["domain.npz"]})
    with pytest.raises(ModelFileError, match="widths of intervals are not complete"):
        load_model(path)


@pytest.mark.parametrize("kind", ["kernel", "atoms"])
def test_kernels_and_atoms(kind, tmp_path):
    from atomprint.descriptors import SOAP

    rng = np.random.default_rng(0)
    n = 300 if kind == "kernel" else 80
    lengths = rng.uniform(0.9, 1.4, n)
    structures = [Atoms("OH2", [[0, 0, 0], [d, 0, 0], [0, 1, 0]]) for d in lengths]
    soap = SOAP(species=["H", "O"], r_cut=3.0, n_max=2, l_max=1)
    level = "structure" if kind == "kernel" else "atom"
    values = np.where(lengths > 1.2, 1.0, 0.1) * rng.normal(size=n)
    if kind == "atoms":
        values = np.empty(n, dtype=object)
        for i in range(n):
            values[i] = np.array([0.1, 1.0, 1.0]) * rng.normal(size=3)
    dataset = Dataset(
        "w",
        "W",
        structures,
        tuple(map(str, range(n))),
        {"y": Target(values, "ppm", "Shift", "made up", level=level)},
        "",
        "",
    )
    problem = Problem.of(dataset, "y")
    if kind == "kernel":
        transformer = make_pipeline(soap, AverageKernel())
        X = transformer.fit_transform(structures)
        model = make_model("kernel_ridge", pairwise=True)
    else:
        transformer, model = soap, Ridge()
        X = np.vstack([soap.transform([atoms]).values for atoms in structures])
    features = Features("f", "F", "", X, [], 0.0, {}, kind == "kernel")
    split = make_split(problem, test_size=0)
    evaluation = evaluate(model, features, problem, split)
    found = conformal(evaluation, problem, split, 0.8, features)
    trained = TrainedModel.of(assemble(transformer, evaluation.estimator, level), problem, table=X, uncertainty=found)
    assert trained.widths is not None
    told = load_model(trained.save(tmp_path / "m.atomprint")).predict(structures[:3])
    assert np.isfinite(told.upper).all()
    if kind == "atoms":
        width = (told.upper - told.lower).reshape(3, 3)
        assert (width[:, 0] < 0.5 * width[:, 1]).all()  # oxygen is easy
