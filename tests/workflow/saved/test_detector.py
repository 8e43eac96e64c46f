"""What a model is in doubt about is part of its training domain, calibrated on samples held out of fits."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from sklearn.linear_model import GammaRegressor
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from atomprint.datasets import Dataset, Target
from atomprint.descriptors import SOAP, ElementProperty
from atomprint.kernels import AverageKernel
from atomprint.learn import Problem, evaluate, make_model, make_split
from atomprint.learn.task.features import Features
from atomprint.workflow import TrainedModel, assemble, load_model
from atomprint.workflow.saved.contents import contents_of
from atomprint.workflow.saved.detector import DISTANCE, ERRORS, GEOMETRY, Detector
from atomprint.workflow.saved.domain import Domain
from atomprint.workflow.saved.trained import Held


def drawn(n, rng, shift=0.0):
    """Return signs that grow together, what is flagged by itself, and errors that grow with the signs."""
    common = rng.normal(size=n) + shift
    signs = {
        name: np.exp(0.5 * common + 0.5 * rng.normal(size=n))
        for name in ("trees of forest", "members", DISTANCE, GEOMETRY)
    }
    return signs, rng.random(n) < 0.02, np.exp(common) * rng.exponential(size=n)


@pytest.mark.parametrize("n", [40, 100, 1000])
def test_one_of_twenty_samples_of_the_same_kind_is_unusual(n):
    shares, rng = [], np.random.default_rng(0)
    for _ in range(60):
        detector = Detector.fit(*drawn(n, rng))
        signs, flagged, _ = drawn(500, rng)
        shares.append(np.mean((detector.scores(detector.rarities(signs)) > 1) | flagged))
    assert 0.04 < np.mean(shares) < 0.065


def test_more_of_a_sign_is_never_less_unusual():
    rng = np.random.default_rng(1)
    detector = Detector.fit(*drawn(200, rng))
    signs, _, _ = drawn(400, rng)
    signs["members"] = np.concatenate([[0.0], np.geomspace(1e-9, 1e9, 399)])
    rarities = detector.rarities(signs)
    assert (np.diff(rarities[:, 1]) >= 0).all()
    assert np.isfinite(rarities).all()
    far = detector.scores(detector.rarities(drawn(100, rng, shift=4)[0]))
    assert np.mean(far > 1) > 0.7
    assert detector.rarities({DISTANCE: np.ones(3)}) is None


def test_signs_that_say_nothing():
    rng = np.random.default_rng(2)
    signs, flagged, errors = drawn(100, rng)
    assert (
        Detector.fit({DISTANCE: signs[DISTANCE]}, flagged, errors) is None
    )  # known besides: it has a limit of its own
    assert Detector.fit({name: sign[:10] for name, sign in signs.items()}, flagged[:10], errors[:10]) is None
    assert Detector.fit(signs, flagged, np.where(rng.random(100) < 0.9, np.nan, errors)) is None
    signs["members"] = np.where(rng.random(100) < 0.9, np.nan, 1.0)
    assert Detector.fit(signs, flagged, errors) is None
    signs["members"] = np.zeros(100)
    detector = Detector.fit(signs, flagged, errors)
    assert np.isfinite(detector.scores(detector.rarities(signs))).all()
    detector = Detector.fit(signs, flagged, np.zeros(100))  # nothing is wrong: all count the same
    assert len(set(detector.weights)) == 1
    assert np.isfinite(detector.scores(detector.rarities(signs))).all()
    with pytest.raises(ValueError, match="wrong shapes"):
        Detector.from_arrays(vars(detector) | {"weights": np.ones(2)})
    with pytest.raises(ValueError, match="wrong shapes"):
        Detector.from_arrays(vars(detector) | {"shapes": np.ones(2)})


def test_weights_are_those_of_what_errors_grow_with():
    """An independent fit of the same likelihood, without bounds, by scikit-learn: where all is positive they agree."""
    rng, n = np.random.default_rng(3), 4000
    signs = {name: rng.exponential(size=n) for name in ("trees", "members", ERRORS)}
    rarity = {name: -np.log(1 - np.argsort(np.argsort(sign)) / n) for name, sign in signs.items()}
    errors = np.exp(0.6 * rarity["trees"] + 0.2 * rarity[ERRORS] - 0.3 * rarity["members"]) * rng.exponential(size=n)
    weights = Detector.fit(signs, np.zeros(n, dtype=bool), errors).weights
    assert weights[1] == pytest.approx(0.1 * 0.5 / 3)  # the least: it would have to be negative
    table = np.column_stack([rarity["trees"], rarity[ERRORS]])
    rest = (errors / errors.mean() + 0.03) * np.exp(-weights[1] * rarity["members"])
    expected = GammaRegressor(alpha=0.0, tol=1e-8).fit(table, rest).coef_
    np.testing.assert_allclose(weights[[0, 2]], expected, atol=0.03)


def problem_of(formulas, y, structures=None):
    target = Target(np.asarray(y, dtype=float), "eV", "Gap", "")
    given = {"compositions": formulas} if structures is None else {}
    return Problem.of(
        Dataset("d", "D", structures, tuple(map(str, range(len(y)))), {"gap": target}, "", "", **given), "gap"
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return a model of compositions of alkali halides and their alloys."""
    rng = np.random.default_rng(0)
    formulas = []
    for a in ("Li", "Na", "K", "Rb", "Mg", "Ca"):
        for x in ("F", "Cl", "Br", "O", "S"):
            for share in rng.uniform(0.1, 0.9, 4):
                formulas.append(f"{a}{share:.3f}{x}{1 - share:.3f}")
    transformer = ElementProperty(["mass", "electronegativity", "covalent_radius"])
    table = transformer.fit_transform(formulas)
    y = table[:, 0] / 10 + rng.normal(0, 0.1, len(table))
    problem = problem_of(tuple(formulas), y)
    model = make_model("extra_trees", "regression", random_state=0, n_estimators=30)
    split = make_split(problem, test_size=0, n_folds=3, seed=0)
    evaluation = evaluate(
        model, Features("f", "F", "", table, list(transformer.get_feature_names_out()), 0.0, {}), problem, split
    )
    assert set(evaluation.out_of_fold().signs) == {"trees"}
    made = TrainedModel.of(
        assemble(transformer, evaluation.estimator), problem, table=table, held_out=evaluation.out_of_fold()
    )
    return made, made.save(tmp_path_factory.mktemp("models") / "m.atomprint")


def test_doubts_are_saved_and_told(saved):
    made, path = saved
    model = load_model(path)
    asked = ["Li0.41F0.59", "K0.3S0.7", "Cs0.5I0.5"]
    found = model.predict(asked)
    np.testing.assert_array_equal(found.doubt, made.predict(asked).doubt)
    np.testing.assert_array_equal(found.values, made.pipeline.predict(asked))
    assert (found.doubt > 0).all()
    assert found.in_domain.tolist()[2] is False
    assert model.info()["domain"]["doubts"] == ["trees", "distance"]
    assert [row["doubt"] for row in found.to_dict()["rows"]] == found.doubt.tolist()
    assert found.to_pandas()["doubt"].tolist() == found.doubt.tolist()
    detector = model.domain.detector
    limit = detector.quantiles[0, -1] * 1e3
    signs = {"trees": np.array([limit]), DISTANCE: np.zeros(1)}
    rarities = detector.rarities(signs)
    assert detector.scores(rarities)[0] > 1
    said = detector.sentence(rarities, signs, 0, "eV")
    assert said.startswith(f"the trees of the model disagree: {limit:.3g} eV, usual up to ")
    failed = model.predict([*asked, Atoms()], on_error="skip")
    assert np.isnan(failed.doubt[3])


def test_models_of_formulas_do_not_know_molecules(saved):
    model = load_model(saved[1])
    crystal, molecular = bulk("LiF", "rocksalt", a=4.1), molecule("LiF")
    found = model.predict([crystal, molecular, "LiF"])
    assert found.in_domain.tolist() == [True, False, True]
    assert found.warnings[1][0].startswith("a molecule or cluster, of which the model sees the composition alone")
    assert found.values[0] == found.values[1]
    molecules = [molecule(name) for name in ("H2O", "CH4", "NH3", "C2H6", "C2H4", "CO2", "CO", "N2O")]
    y = np.arange(8.0)
    problem = problem_of(None, y, molecules)
    features = ElementProperty(["mass", "electronegativity"])
    fitted = make_model("ridge").fit(features.fit_transform(molecules), y)
    knowing = TrainedModel.of(assemble(features, fitted), problem)
    strange = bulk("CO", "rocksalt", a=4.0)
    found = knowing.predict([molecule("CH3OH"), strange])
    assert not any("composition alone" in sentence for sentence in found.warnings[0])
    assert "repeats in 3 directions, of which the model sees the composition alone" in found.warnings[1][0]


def test_kernels_between_structures_have_a_process():
    rng = np.random.default_rng(0)
    structures = []
    for k in range(48):
        structures.append(molecule(("H2O", "CH3OH", "CH4", "C2H6")[k % 4]))
        structures[-1].rattle(0.05, seed=k)
    y = np.array([len(atoms) for atoms in structures]) + rng.normal(0, 0.1, 48)
    problem = problem_of(None, y, structures)
    soap = SOAP(species=["H", "C", "O"], r_cut=3, n_max=2, l_max=1, periodic=False)
    features = make_pipeline(soap, AverageKernel())
    kernel = Features("k", "K", "", features.fit_transform(structures), [], 0.0, {}, True)
    ridge = make_model("kernel_ridge", "regression", pairwise=True, random_state=0)
    evaluation = evaluate(ridge, kernel, problem, make_split(problem, test_size=0, n_folds=3, seed=0))
    held_out = evaluation.out_of_fold()
    model = TrainedModel.of(assemble(features, evaluation.estimator), problem, held_out=held_out)
    assert model.domain.detector.names.tolist() == ["process", DISTANCE, GEOMETRY]
    found = model.predict([molecule("H2O"), molecule("CH3CH2OH")])
    assert found.doubt[0] < 1 < found.doubt[1]


def halides(n, rng):
    """Return formulas, of which those with fluorine are noisy, and values."""
    cations, anions = ("Li", "Na", "K", "Rb", "Mg", "Ca", "Sr"), ("F", "Cl", "Br", "O", "S")
    drawn = [(rng.choice(cations), rng.choice(anions), rng.uniform(0.1, 0.9)) for _ in range(n)]
    formulas = tuple(f"{a}{x:.4f}{b}{1 - x:.4f}" for a, b, x in drawn)
    noise = np.where([b == "F" for _, b, _ in drawn], 1.0, 0.05)
    return formulas, noise * rng.normal(size=n)


def fitted_to(problem, formulas, model):
    transformer = ElementProperty(["mass", "electronegativity", "covalent_radius"], ["mean", "range"])
    table = transformer.fit_transform(formulas)
    features = Features("f", "F", "", table, list(transformer.get_feature_names_out()), 0.0, {})
    evaluation = evaluate(model, features, problem, make_split(problem, test_size=0, n_folds=5, seed=0))
    pipeline = assemble(transformer, evaluation.estimator)
    return TrainedModel.of(pipeline, problem, table=table, held_out=evaluation.out_of_fold())


@pytest.mark.parametrize("name", ["ridge", "hist_gradient_boosting"])
def test_models_without_doubts_of_their_own_know_where_they_were_wrong(name, tmp_path):
    rng = np.random.default_rng(0)
    formulas, y = halides(400, rng)
    made = fitted_to(problem_of(formulas, y), formulas, make_model(name, "regression", random_state=0))
    assert made.domain.to_dict()["doubts"] == [ERRORS, DISTANCE]
    model = load_model(made.save(tmp_path / "m.atomprint"))
    new, truth = halides(400, rng)
    found = model.predict(new)
    np.testing.assert_array_equal(found.doubt, made.predict(new).doubt)
    errors = np.abs(found.values - truth)
    assert roc_auc_score(errors > np.quantile(np.abs(y), 0.9), found.doubt) > 0.75
    assert np.mean(~found.in_domain) < 0.1
    far = model.domain.detector
    signs = {ERRORS: np.array([1e6]), DISTANCE: np.zeros(1)}
    said = far.sentence(far.rarities(signs), signs, 0, "eV")
    assert said.startswith(
        "the model was wrong on training samples like it, by the error that is to be expected: 1e+06"
    )


def test_classifiers_are_in_doubt_where_other_classes_are_likely(tmp_path):
    rng = np.random.default_rng(1)
    formulas, noise = halides(500, rng)
    charge = np.array(["K" in f or "Rb" in f or "Na" in f for f in formulas])
    truth = (charge ^ (np.abs(noise) > 0.8)).astype(float)
    target = Target(truth[:300], "", "Heavy", "", classes=("no", "yes"))
    data = Dataset("d", "D", None, tuple(map(str, range(300))), {"heavy": target}, "", "", compositions=formulas[:300])
    forest = make_model("random_forest", "classification", random_state=0, n_estimators=50)
    made = fitted_to(Problem.of(data, "heavy"), formulas[:300], forest)
    assert made.domain.to_dict()["doubts"] == ["other classes", DISTANCE]
    model = load_model(made.save(tmp_path / "m.atomprint"))
    found = model.predict(formulas[300:])
    np.testing.assert_array_equal(found.doubt, made.predict(formulas[300:]).doubt)
    assert roc_auc_score(found.values != truth[300:], found.doubt) > 0.65
    assert np.mean(~found.in_domain) < 0.1


def test_a_group_counts_as_one_of_the_samples_that_the_limit_is_from():
    """Large groups that are easy do not make others rare."""
    rng, shares = np.random.default_rng(5), {True: [], False: []}
    for _ in range(40):

        def of_groups(n):
            sizes = np.where(rng.random(n) < 0.2, 30, 3)
            groups = np.repeat(np.arange(n), sizes)
            common = (rng.normal(size=n) - 1.5 * (sizes > 3))[groups] + 0.2 * rng.normal(size=len(groups))
            signs = {name: np.exp(common + 0.1 * rng.normal(size=len(groups))) for name in ("members", DISTANCE)}
            return signs, np.zeros(len(groups), dtype=bool), np.exp(common) * rng.exponential(size=len(groups)), groups

        signs, flagged, errors, groups = of_groups(100)
        asked, *_, others = of_groups(400)
        weights = 1 / np.bincount(others)[others]
        for grouped in shares:
            detector = Detector.fit(signs, flagged, errors, groups if grouped else None)
            unusual = detector.scores(detector.rarities(asked)) > 1
            shares[grouped].append(np.average(unusual, weights=weights))
    assert 0.04 < np.mean(shares[True]) < 0.06
    assert np.mean(shares[False]) > 0.08


def test_what_is_far_is_told_by_groups_that_folds_keep_together():
    """Frames of a run are near each other; those of a new run are as near as runs that are left out."""
    rng = np.random.default_rng(6)

    def runs(n):
        groups = np.repeat(np.arange(n), 10)
        return rng.normal(size=(n, 3))[groups] + 0.01 * rng.normal(size=(10 * n, 3)), groups

    (X, groups), (new, _) = runs(60), runs(200)
    contents = contents_of(["NaCl"] * 600, False)
    signs, errors = {"members": rng.exponential(size=600)}, rng.exponential(size=600)
    outside = {}
    for name, of_group in (("frames", None), ("runs", groups)):
        domain = Domain.fit(X, contents, np.arange(600), held=Held(signs, errors, None, of_group))
        outside[name] = np.mean(domain.space.distances(new) > domain.threshold)
    assert outside["frames"] > 0.7
    assert outside["runs"] < 0.1
    few = Domain.fit(X, contents, np.arange(600), held=Held(signs, errors, None, groups % 3))  # too few to say
    assert few.threshold == Domain.fit(X, contents, np.arange(600)).threshold
