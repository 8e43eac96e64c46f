import numpy as np
import pytest
from helpers.registry import REGISTRY, SMALL, some_structures
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from atomprint.descriptors import ACSF, LMBTR, MBTR, SOAP, CoulombMatrix, NeighbourStatistics
from atomprint.descriptors.composition.element_property import ElementProperty
from atomprint.layout import Block, Layout
from atomprint.learn import feature_groups, group_importance, make_model, meanings_of, top_features
from atomprint.learn.evaluation.importance import Part, impurity_importance, pooled_importance, shapley_importance
from atomprint.pooling import Pooling
from atomprint.workflow import LocalUnion

# Groups by name ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_feature_of_every_descriptor_is_understood(name):
    descriptor = REGISTRY[name].fit(some_structures(name))
    names = descriptor.get_feature_names_out()
    groups = feature_groups(meanings_of(descriptor))
    assert "features" not in groups
    covered = set(np.concatenate([columns for way in groups.values() for columns in way.values()]).tolist())
    assert covered == set(range(len(names)))
    knows_elements = "species" in descriptor.get_params()
    if knows_elements and not name.startswith(("soap-mixed", "ace-mixed")):
        assert set(groups["elements"]) == set(SMALL["species"])


def test_soap_is_grouped_by_species_radial_and_angular_channels():
    soap = SOAP(species=["C", "O"], r_cut=3.0, n_max=2, l_max=1, pooling="mean")
    groups = feature_groups(meanings_of(soap))
    assert set(groups) == {"elements", "species pairs", "radial channels", "angular channels"}
    assert {pair: len(columns) for pair, columns in groups["species pairs"].items()} == {"C-C": 6, "C-O": 8, "O-O": 6}
    place = SOAP(species=["C", "O"], r_cut=3.0, n_max=2, l_max=1).get_location(("C", "O"))
    assert groups["species pairs"]["C-O"].tolist() == list(range(place.start, place.stop))
    assert len(groups["elements"]["C"]) == 6 + 8  # pairs with itself and with oxygen
    assert sum(map(len, groups["angular channels"].values())) == 20
    # n=1 n'=2 counts for both radial channels.
    assert len(groups["radial channels"]["n = 1"]) == 2 * (2 + 3 + 2)

    embedded = SOAP(species=["C", "O"], r_cut=3.0, n_max=2, l_max=1, species_embedding=np.ones((2, 2)))
    groups = feature_groups(meanings_of(embedded))
    assert "channel1-channel2" in groups["element channels"]
    assert "elements" not in groups
    for mode, ways in (("mu1nu1", {"elements", "species pairs"}), ("mu2", set()), ("crossover", {"elements"})):
        found = set(feature_groups(meanings_of(SOAP(**SMALL, compression=mode))))
        assert found >= ways | {"radial channels", "angular channels"}
        assert "features" not in found


def test_numbers_of_several_descriptors_are_not_the_same():
    """The second radial function of two is not that of three; l is the same whatever the basis."""
    structures = some_structures("SOAP")
    fine, coarse = (SOAP(r_cut=3.0, n_max=n, l_max=1, pooling="mean") for n in (3, 2))
    both = FeatureUnion([("fine", fine), ("coarse", coarse)]).fit(structures)
    groups, names = feature_groups(meanings_of(both)), both.get_feature_names_out()
    numbers = [f"{part}: n = {n}" for part, n_max in (("fine", 3), ("coarse", 2)) for n in range(1, n_max + 1)]
    assert list(groups["radial channels"]) == numbers
    for label, columns in groups["radial channels"].items():
        assert {name.partition("__")[0] for name in names[columns]} == {label.partition(":")[0]}
    assert list(groups["angular channels"]) == ["l = 0", "l = 1"]
    assert sum(map(len, groups["angular channels"].values())) == len(names)
    matrix = CoulombMatrix(n_atoms_max=9)
    alone = feature_groups(meanings_of(FeatureUnion([("matrix", matrix), ("soap", coarse)]).fit(structures)))
    assert list(alone["radial channels"]) == ["n = 1", "n = 2"]
    assert "row 1" in alone["rows of the matrix"]


def test_distances_become_shells_and_angles_sectors():
    terms = [
        {
            "geometry": {"function": function},
            "grid": {"min": low, "max": high, "n": 7, "sigma": sigma},
            "weighting": {"function": "exp", "scale": 1.0, "threshold": 1e-3},
        }
        for function, low, high, sigma in (
            ("distance", 0.5, 3.5, 0.5),
            ("inverse_distance", 0, 1.2, 0.2),
            ("angle", 0, 180, 30),
            ("cosine", -1, 1, 0.5),
        )
    ]
    mbtr = MBTR(terms=terms, species=["H", "O"])
    names, groups = mbtr.get_feature_names_out(), feature_groups(meanings_of(mbtr))
    assert set(groups) == {"elements", "species pairs", "species triples", "terms", "radial shells", "angles"}
    shells = {label: {names[k].split("=")[-1] for k in columns} for label, columns in groups["radial shells"].items()}
    assert {"1", "1.5"} <= shells["1–2 Å"]
    assert {"0.4", "0.6", "1"} <= {v for values in shells.values() for v in values}
    assert "0.4" in shells["2–3 Å"]  # 2.5 Å
    assert shells["beyond 10 Å"] == {"0"}
    sectors = {label: {names[k].split("=")[-1] for k in columns} for label, columns in groups["angles"].items()}
    assert sectors["150–180°"] == {"150", "180", "-1"}
    assert sectors["0–30°"] == {"0", "1"}
    assert sectors["90–120°"] >= {"90"}
    assert set(groups["species triples"]) == {
        name.split()[1] for name in names if name.count("-") - ("=-" in name) == 2
    }
    lmbtr = LMBTR(**terms[0], species=["H", "O"])
    assert "X-O" in feature_groups(meanings_of(lmbtr))["species pairs"]
    twice = feature_groups(meanings_of(MBTR(terms=[terms[0], terms[0]], species=["H"])))
    assert set(twice["terms"]) == {"distance[0]", "distance[1]"}


def test_acsf_neighbours_compositions_and_matrices():
    acsf = ACSF(species=["H", "O"], r_cut=3.0, g2_params=[[1, 0.5]], g4_params=[[1, 1, 1]])
    groups = feature_groups(meanings_of(acsf))
    assert set(groups["radial functions"]) == {"G1", "G2 eta=1 R_s=0.5"}
    assert set(groups["angular functions"]) == {"G4 eta=1 zeta=1 lambda=1"}
    groups = feature_groups(meanings_of(NeighbourStatistics(species=["H", "O"], r_cut=2.0)))
    assert set(groups["species pairs"]) == {"H-H", "H-O", "O-O"}
    assert {"coordination", "coordination mean", "bond length minimum"} <= set(groups["statistics"])
    groups = feature_groups(meanings_of(ElementProperty()))
    assert set(groups) == {"element properties", "statistics"}
    assert len(groups["element properties"]["electronegativity"]) == len(groups["statistics"]) == 6
    matrix = feature_groups(meanings_of(CoulombMatrix(n_atoms_max=3)))
    assert matrix["rows of the matrix"]["row 0"].tolist() == [0, 1, 2, 3, 6]
    assert feature_groups(["mass"])["features"]["mass"].tolist() == [0]
    assert feature_groups(["number of C"])["elements"]["C"].tolist() == [0]
    assert list(feature_groups(["SOAP", "SOAP of something else", "Mean SOAP C-C n=1"])) == ["features"]


def test_pooling_and_unions_are_groups_of_their_own(molecules):
    pooled = SOAP(**SMALL, pooling=Pooling(("mean", "std"), by_species=True, species=["C", "O"]))
    names = pooled.get_feature_names_out()
    groups = feature_groups(meanings_of(pooled))
    assert set(groups["elements of centres"]) == {"C", "O"}
    assert len(groups["elements of centres"]["C"]) == len(names) // 2
    assert set(groups["pooling"]) == {"mean", "std"}
    union = FeatureUnion([("soap", SOAP(**SMALL, pooling="mean")), ("atoms", CoulombMatrix(n_atoms_max=9))])
    groups = feature_groups(meanings_of(union.fit(molecules)))
    assert set(groups["descriptors"]) == {"soap", "atoms"}
    assert len(groups["descriptors"]["atoms"]) == 81
    assert {"species pairs", "rows of the matrix"} <= set(groups)
    assert "features" not in groups


def test_meanings_go_with_features_through_steps(molecules):
    soap = SOAP(**SMALL)
    steps = [SOAP(**SMALL), Pooling("mean"), StandardScaler(), SelectKBest(f_regression, k=7), MaxAbsScaler()]
    chain = make_pipeline(*steps).fit(molecules, np.arange(len(molecules)))
    known = meanings_of(chain)
    assert list(known.names) == list(chain.get_feature_names_out())
    kept = chain[3].get_support(indices=True)
    before = feature_groups(meanings_of(soap))["angular channels"]
    after = feature_groups(known)["angular channels"]
    assert {label: kept[columns].tolist() for label, columns in after.items()} == {
        label: sorted(set(columns.tolist()) & set(kept.tolist()))
        for label, columns in before.items()
        if set(columns.tolist()) & set(kept.tolist())
    }
    mixed = make_pipeline(SOAP(**SMALL, pooling="mean"), PCA(2)).fit(molecules)
    assert list(feature_groups(meanings_of(mixed))) == ["features"]
    local = LocalUnion([("a", SOAP(**SMALL)), ("b", ACSF(species=SMALL["species"], r_cut=3.0))]).fit(molecules)
    groups = feature_groups(meanings_of(local))
    assert set(groups["descriptors"]) == {"a", "b"}
    assert {"radial channels", "radial functions"} <= set(groups)
    assert list(meanings_of(local).names) == list(local.get_feature_names_out())
    kept_or_not = FeatureUnion([("a", soap), ("b", "drop"), ("c", CoulombMatrix(n_atoms_max=9))]).fit(molecules)
    assert list(meanings_of(kept_or_not).names) == list(kept_or_not.get_feature_names_out())


def test_labels_alone_are_groups_and_names_alone_features():
    blocks = [Block((symbol,), ["r=1", "r=2"]) for symbol in ("C", "O")]
    groups = feature_groups(Layout("Bonds", blocks).meanings())
    assert {way: {label: own.tolist() for label, own in found.items()} for way, found in groups.items()} == {
        "elements": {"C": [0, 1], "O": [2, 3]},
        "Bonds features": {"r=1": [0, 2], "r=2": [1, 3]},
    }


def test_meanings_of_many_features_are_quick_to_make():
    species = list(range(1, 41))
    soap = SOAP(species=species, r_cut=3.0, n_max=4, l_max=4, pooling=("mean", "std"))
    known = meanings_of(soap)
    groups = feature_groups(known)
    assert len(known.names) == soap.get_number_of_features() == len(soap.get_feature_names_out()) > 100_000
    assert sum(len(columns) for columns in groups["angular channels"].values()) == len(known.names)
    assert len(groups["species pairs"]) == 40 * 41 // 2


# Permutation ------------------------------------------------------------------------------------------------------


def test_importance_finds_the_group_that_matters():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 12))
    y = 3 * X[:, 4] + X[:, 5] + 0.1 * rng.normal(size=300)
    X[:, 6] = X[:, 4]  # a twin of the most important feature, in the same group
    X[:, 11] = 1.0
    groups = {"right": np.array([4, 5, 6]), "wrong": np.arange(4), "constant": np.array([11])}
    model = RandomForestRegressor(100, max_features=0.5, random_state=0).fit(X[:200], y[:200])
    before = X.copy()
    found = group_importance(model, X[200:], y[200:], groups, seed=1)
    assert found[0].label == "right"
    by_label = {group.label: group for group in found}
    assert by_label["right"].mean > 10 * abs(by_label["wrong"].mean)
    assert by_label["right"].mean > 1  # scrambling one of the twins alone costs less
    assert (by_label["constant"].mean, by_label["constant"].std) == (0.0, 0.0)
    assert (before == X).all()
    alone = group_importance(model, X[200:], y[200:], {"twin": np.array([6])}, seed=1)[0]
    assert alone.mean < by_label["right"].mean
    names = [f"x{i}" for i in range(12)]
    assert {name for name, _ in top_features(names, model.feature_importances_, 2)} == {"x4", "x6"}


def test_importance_is_what_the_definition_says():
    X, y = np.arange(6.0)[:, None], np.arange(6.0)
    model = LinearRegression().fit(X, y)
    (found,) = group_importance(model, X, y, {"all": np.array([0])}, n_repeats=1, seed=7)
    order = np.random.default_rng(7).permutation(6)
    assert found.mean == pytest.approx(np.mean(np.abs(X[order, 0] - y)))


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_single_features_have_the_importance_that_scikit_learn_finds(kind):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(400, 3))
    y = X[:, 0] + 0.5 * X[:, 1]
    if kind == "classification":
        y = (y > 0.7).astype(int) * 2
        model, score = RandomForestClassifier(20, random_state=0).fit(X[:200], y[:200]), "balanced_accuracy"
    else:
        model, score = LinearRegression().fit(X[:200], y[:200]), "neg_mean_absolute_error"
    groups = {str(i): np.array([i]) for i in range(3)}
    found = {g.label: g.mean for g in group_importance(model, X[200:], y[200:], groups, kind=kind, n_repeats=40)}
    peer = permutation_importance(model, X[200:], y[200:], scoring=score, n_repeats=40, random_state=0)
    assert [found[str(i)] for i in range(3)] == pytest.approx(peer.importances_mean, abs=0.02)


def test_importance_over_several_models_is_that_of_all_samples_together():
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(40, 2)), np.tile([0, 1], 20)
    X[:, 0] += 3 * y
    models = [RandomForestClassifier(10, random_state=k).fit(X[20 * k :][:20], y[:20]) for k in range(2)]
    parts = [Part(models[1], X[:20], y[:20]), Part(models[0], X[20:], y[20:])]
    groups = {"a": np.array([0]), "b": np.array([1])}
    found = pooled_importance(parts, groups, kind="classification", n_repeats=1, seed=3)
    rng = np.random.default_rng(3)
    guesses = []
    for part in parts:
        scrambled = part.X.copy()
        scrambled[:, 0] = part.X[rng.permutation(20), 0]
        guesses.append(part.model.predict(scrambled))
    reference = balanced_accuracy_score(y, np.concatenate([part.model.predict(part.X) for part in parts]))
    assert found[0].label == "a"
    assert found[0].mean == pytest.approx(reference - balanced_accuracy_score(y, np.concatenate(guesses)))


def test_of_many_groups_only_the_best_are_repeated():
    rng = np.random.default_rng(4)
    X = rng.normal(size=(60, 20))
    y = X[:, 3] + 2 * X[:, 8]
    model = LinearRegression().fit(X, y)
    groups = {f"x{i}": np.array([i]) for i in range(20)}
    found = group_importance(model, X, y, groups, n_best=2, n_repeats=5)
    assert [group.label for group in found] == ["x8", "x3"]
    assert found == group_importance(model, X, y, groups, n_repeats=5)[:2]


def test_top_features_checks_the_length():
    with pytest.raises(ValueError, match=r"importances must have shape \(2,\)"):
        top_features(["a", "b"], [1.0])


# Impurity and Shapley values --------------------------------------------------------------------------------------


def test_impurities_are_found_within_pipelines_and_searches():
    X = np.random.default_rng(5).normal(size=(50, 3))
    for name in ("random_forest", "extra_trees", "decision_tree", "xgboost"):
        found = impurity_importance(make_model(name, random_state=0).fit(X, X[:, 1]))
        assert found.shape == (3,)
        assert found.argmax() == 1
    assert impurity_importance(make_model("ridge").fit(X, X[:, 1])) is None


@pytest.mark.parametrize(
    "name", ["random_forest", "extra_trees", "decision_tree", "hist_gradient_boosting", "xgboost", "ridge", "lasso"]
)
@pytest.mark.filterwarnings("ignore")  # of shap and what it imports
def test_shapley_values_add_up_to_the_prediction(name):
    pytest.importorskip("shap")
    rng = np.random.default_rng(6)
    X = rng.normal(size=(80, 4))
    y = 50 * (X[:, 0] + X[:, 1])
    small = {"random_forest": {"n_estimators": 10}, "hist_gradient_boosting": {"max_iter": 30}}
    small["xgboost"] = {"n_estimators": 30}
    model = make_model(name, random_state=0, **small.get(name, {})).fit(X, y)
    (everything,) = shapley_importance(model, X, {"all": np.arange(4)})
    # The sum over all features is the distance of the prediction from the mean prediction.
    base = model.predict(X).mean()
    assert everything.mean == pytest.approx(np.abs(model.predict(X) - base).mean(), rel=0.05)
    found = shapley_importance(model, X, {"ab": np.array([0, 1]), "cd": np.array([2, 3])})
    assert found[0].label == "ab"
    assert found[0].mean > 2 * found[1].mean


@pytest.mark.filterwarnings("ignore")
def test_shapley_values_of_classes_and_of_models_that_have_none(monkeypatch):
    pytest.importorskip("shap")
    rng = np.random.default_rng(7)
    X = rng.normal(size=(60, 3))
    y = (X[:, 0] > 0).astype(int) + (X[:, 0] > 1)
    model = make_model("random_forest", "classification", n_estimators=10, random_state=0).fit(X, y)
    found = shapley_importance(model, X, {"a": np.array([0]), "b": np.array([1, 2])})
    assert found[0].label == "a"
    assert 0 < found[0].mean < 1
    with pytest.raises(
        ValueError, match="models of trees and linear models, got KernelRidgeCV: take the importance by"
    ):
        shapley_importance(make_model("kernel_ridge").fit(X, X[:, 0]), X, {"a": np.array([0])})
    monkeypatch.setitem(__import__("sys").modules, "shap", None)
    with pytest.raises(ImportError, match=r"pip install 'atomprint\[shap\]'"):
        shapley_importance(model, X, {})


def test_only_samples_that_change_are_predicted_again():
    class Counting(LinearRegression):
        n_predicted = 0

        def predict(self, X):
            Counting.n_predicted += len(X)
            return super().predict(X)

    rng = np.random.default_rng(0)
    X = np.zeros((400, 2))
    X[:, 0] = rng.normal(size=400)
    X[:5, 1] = 1.0  # a rare element
    y = X @ [1.0, 3.0]
    model = Counting().fit(X, y)
    (rare,) = group_importance(model, X, y, {"rare": np.array([1])}, n_repeats=20, seed=1)
    assert Counting.n_predicted < 400 + 20 * 11
    draws = np.random.default_rng(1)
    naive = [np.abs(3 * (X[draws.permutation(400), 1] - X[:, 1])).mean() for _ in range(20)]
    assert rare.mean == pytest.approx(np.mean(naive), rel=1e-9)
