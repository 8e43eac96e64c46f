import json
from bz2 import open as open_bz2
from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from helpers.shared import SHARED, needs_shared
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, StratifiedKFold, train_test_split
from sklearn.neighbors import KNeighborsRegressor

from atomprint.chemistry.formula import parse_formula
from atomprint.datasets import Dataset, Target
from atomprint.learn.splits.groups import anonymous_formula, group_labels
from atomprint.learn.splits.split import Split, inner_folds, make_split
from atomprint.learn.task.problem import Problem
from atomprint.structures import as_batch

MATBENCH_SEED = 18012019


def problem(formulas=None, y=None, *, n=60, classes=(), groups=None, folds=(), structures=None, seed=0):
    """Return a problem; targets are random unless given."""
    rng = np.random.default_rng(seed)
    if structures is None and formulas is None:
        formulas = [f"Fe{i + 1}O" for i in range(n)]
    n = len(structures if structures is not None else formulas)
    if y is None:
        y = rng.integers(len(classes), size=n).astype(float) if classes else rng.normal(size=n)
    target = Target(np.asarray(y, dtype=float), "eV", "Energy", "made up", classes=tuple(classes))
    return Problem.of(
        Dataset(
            "made-up",
            "Made up",
            structures,
            tuple(f"s{i}" for i in range(n)),
            {"y": target},
            "",
            "",
            compositions=formulas,
            groups={key: np.asarray(labels, dtype=np.str_) for key, labels in (groups or {}).items()},
            folds=folds,
        ),
        "y",
    )


def of_atoms(n=30, classes=()):
    """Return a problem with a target for each carbon and oxygen atom of some molecules."""
    rng = np.random.default_rng(1)
    structures = [molecule(("CH3CH2OH", "CO2", "H2O")[i % 3]) for i in range(n)]
    values = np.empty(n, dtype=object)
    for i, atoms in enumerate(structures):
        made = rng.integers(2, size=len(atoms)).astype(float) if classes else rng.normal(size=len(atoms))
        values[i] = np.where(atoms.numbers > 1, made, np.nan)
    target = Target(values, "ppm", "Shift", "made up", classes=tuple(classes), level="atom")
    return Problem.of(Dataset("nmr", "NMR", structures, tuple(map(str, range(n))), {"y": target}, "", ""), "y")


def check_partition(split, n):
    """Check what holds for every split in which each sample is predicted once."""
    assert sorted([*split.train, *split.test]) == list(range(n))
    assert sorted(np.concatenate([predict for _, predict in split.folds])) == split.train.tolist()
    for fit, predict in split.folds:
        assert sorted([*fit, *predict]) == split.train.tolist()


def same(one, other):
    return (
        one.train.tolist() == other.train.tolist()
        and one.test.tolist() == other.test.tolist()
        and [[part.tolist() for part in fold] for fold in one.folds]
        == [[part.tolist() for part in fold] for fold in other.folds]
    )


GROUPS = {"batch": [f"b{i % 9}" for i in range(60)], "year": [str(1990 + i % 17) for i in range(60)]}
KINDS = [
    ("random", None),
    ("stratified", None),
    ("group", "batch"),
    ("group", "chemical system"),
    ("group", "element"),
    ("time", "year"),
]


def mixed():
    formulas = [f"{('Li', 'Na', 'K', 'Rb', 'Cs')[i % 5]}{('Cl', 'Br', 'I')[i % 3]}{i // 30 + 1}" for i in range(60)]
    return problem(formulas, groups=GROUPS)


# All methods ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "group_by"), KINDS)
def test_the_same_seed_gives_the_same_split_and_another_seed_another(method, group_by):
    one, again, other = (make_split(mixed(), method, group_by=group_by, seed=seed) for seed in (3, 3, 4))
    assert same(one, again)
    assert same(one, other) == (method == "time")
    assert one.method == method
    assert one.group_by == group_by
    assert str(len(one.train)) in one.description


@pytest.mark.parametrize(("method", "group_by"), KINDS)
def test_without_a_test_part_folds_cover_all_samples(method, group_by):
    split = make_split(mixed(), method, group_by=group_by, test_size=0, seed=1)
    assert len(split.test) == 0
    assert split.train.tolist() == list(range(60))
    covered = np.unique(np.concatenate([predict for _, predict in split.folds]))
    assert len(covered) == (60 if method != "time" else 60 - len(split.folds[0][0]))
    assert [name for name, _, _ in split.parts()][-1] != "test"


@pytest.mark.parametrize(("method", "group_by"), KINDS)
def test_without_folds_there_is_only_a_test_part(method, group_by):
    split = make_split(mixed(), method, group_by=group_by, n_folds=0, seed=1)
    assert split.folds == ()
    assert len(split.train) + len(split.test) == 60
    assert 5 <= len(split.test) <= 20
    assert [name for name, _, _ in split.parts()] == ["test"]


@pytest.mark.parametrize(("method", "group_by"), KINDS)
def test_inner_folds_stay_within_the_training_part(method, group_by):
    made = mixed()
    split = make_split(made, method, group_by=group_by, seed=2)
    for train in (split.train, split.folds[0][0], split.train[::-1]):
        folds = inner_folds(made, train, split, 3)
        assert len(folds) == 3 or (method == "time" and train is split.folds[0][0])  # there are few years in it
        for fit, predict in folds:
            assert len(np.intersect1d(fit, predict)) == 0
            assert len(fit)
            assert len(predict)
            assert max(fit.max(), predict.max()) < len(train)


# At random --------------------------------------------------------------------------------------------------------


def test_random_split_is_that_of_scikit_learn():
    split = make_split(53, test_size=0.2, n_folds=4, seed=3)
    check_partition(split, 53)
    train, test = train_test_split(np.arange(53), test_size=11, random_state=3)
    assert split.test.tolist() == sorted(test)
    expected = [train[predict] for _, predict in KFold(4, shuffle=True, random_state=3).split(train)]
    assert [predict.tolist() for _, predict in split.folds] == [sorted(predict) for predict in expected]
    assert same(split, make_split(problem(n=53), test_size=0.2, n_folds=4, seed=3))
    assert split.description == (
        "Drawn at random: 42 samples for training, 11 for testing; 4 folds within the training part."
    )


# Rows (counted from 1) of the first test fold of matbench_steels, as its authors publish them in the file
# matbench/tests/msonability_matbench_steels.json of https://github.com/materialsproject/matbench.
STEELS_FOLD_0 = (
    *(3, 5, 20, 26, 27, 32, 35, 41, 45, 46, 64, 66, 68, 71, 72, 76, 77, 89, 93, 96, 104, 106, 108, 111, 120, 122, 128),
    *(
        133,
        138,
        141,
        146,
        161,
        174,
        175,
        177,
        179,
        181,
        182,
        196,
        209,
        210,
        225,
        232,
        234,
        242,
        244,
        252,
        254,
        257,
        266,
    ),
    *(267, 269, 272, 273, 275, 281, 283, 290, 294, 300, 303, 309, 310),
)
STEELS_BEGIN = (3, 4, 17, 2, 1)  # the first rows of all five


def test_folds_of_matbench():
    split = make_split(problem(n=312), test_size=0, n_folds=5, seed=MATBENCH_SEED)
    assert (split.folds[0][1] + 1).tolist() == list(STEELS_FOLD_0)
    assert tuple(predict[0] + 1 for _, predict in split.folds) == STEELS_BEGIN
    assert [len(predict) for _, predict in split.folds] == [63, 63, 62, 62, 62]
    assert all(fit.tolist() == np.setdiff1d(np.arange(312), predict).tolist() for fit, predict in split.folds)


@needs_shared
def test_stratified_folds_of_matbench():
    with open_bz2(SHARED / "matbench" / "mp_is_metal.compositions.json.bz2") as file:
        table = json.load(file)
    y = np.array(list(table["is_metal"].values()), dtype=float)
    made = problem(list(table["composition"].values()), y, classes=("insulator", "metal"))
    split = make_split(made, "stratified", test_size=0, seed=MATBENCH_SEED)
    for found, expected in zip(
        split.folds, StratifiedKFold(5, shuffle=True, random_state=MATBENCH_SEED).split(y, y), strict=True
    ):
        assert (found[0] == expected[0]).all()
        assert (found[1] == expected[1]).all()


def test_atoms_of_one_structure_stay_together():
    made = of_atoms()
    for split in (
        make_split(made, seed=1),
        make_split(made, "stratified", seed=1),
        make_split(of_atoms(classes=("a", "b")), "stratified", seed=1),
        make_split(made, "group", group_by="structure", seed=1),
    ):
        check_partition(split, len(made))
        assert 0.1 < len(split.test) / len(made) < 0.3
        for fit, predict in (*split.folds, (split.train, split.test)):
            assert len(np.intersect1d(made.structures[fit], made.structures[predict])) == 0
        for fit, predict in inner_folds(made, split.train, split, 4):
            assert not set(made.structures[split.train[fit]]) & set(made.structures[split.train[predict]])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_folds": 5, "n": 5}, "n_folds must be at most 4, the number of samples for training, got 5"),
        ({"test_size": 1.0}, "test_size must be < 1, got 1"),
        ({"test_size": -0.1}, "test_size must be >= 0, got -0.1"),
        ({"test_size": 0.99, "n": 5}, "test_size must leave samples for training, got 0.99 of 5 samples"),
        ({"n_folds": 1}, "n_folds must be 0 or at least 2, got 1"),
        ({"n_folds": 0, "test_size": 0}, "n_folds must not be 0 where test_size is: nothing would be tested"),
        ({"seed": -1}, "seed must be >= 0, got -1"),
        ({"method": "best"}, "method must be one of 'random', 'stratified', 'group', 'official', 'time', got 'best'"),
        ({"method": "stratified"}, "method 'stratified' needs a Problem, got a number of samples"),
        ({"method": "official"}, "method 'official' needs a Problem"),
        ({"group_by": "formula"}, "group_by must be None for method 'random', got 'formula'"),
        ({"n": 0}, "problem must be >= 1, got 0"),
    ],
)
def test_bad_arguments(given, message):
    n = given.pop("n", 40)
    with pytest.raises(ValueError, match=message):
        make_split(n, **given)


def test_a_problem_must_be_one():
    with pytest.raises(TypeError, match="problem must be an integer"):
        make_split([1, 2, 3])


# Stratified -------------------------------------------------------------------------------------------------------


def test_classes_have_the_same_share_in_every_part():
    y = np.repeat([0.0, 1.0, 2.0], [100, 40, 20])
    split = make_split(problem(n=160, y=y, classes="abc"), "stratified", n_folds=4, seed=5)
    check_partition(split, 160)
    assert Counter(y[split.test]) == {0: 20, 1: 8, 2: 4}
    for _, predict in split.folds:
        assert Counter(y[predict]) == {0: 20, 1: 8, 2: 4}


def test_numbers_are_stratified_by_quantiles():
    # A target of which most values are the same, as band gaps are, with a long tail.
    y = np.concatenate([np.zeros(110), np.random.default_rng(0).exponential(size=90) + 0.1])
    split = make_split(problem(n=200, y=y), "stratified", seed=5)
    check_partition(split, 200)
    for part in (split.test, *(predict for _, predict in split.folds)):
        assert np.sum(y[part] == 0) / len(part) == pytest.approx(0.55, abs=0.06)
        assert np.quantile(y[part], 0.95) == pytest.approx(np.quantile(y, 0.95), rel=0.25)


@pytest.mark.parametrize(
    ("counts", "given", "message"),
    [
        ([30, 3], {"test_size": 0}, "n_folds must be at most 3, the number of samples of class 'metal', got 5"),
        ([30, 5], {}, "at most 4, the number of samples of class 'metal' for training, got 5"),
        ([30, 1], {"n_folds": 0}, "test_size must leave each of 2 classes samples .* class 'metal' has 1"),
        ([3, 2], {"n_folds": 0}, "test_size must leave each of 2 classes samples .* got 0.2 of 5 samples"),
    ],
)
def test_classes_that_are_too_small(counts, given, message):
    y = np.repeat([0.0, 1.0], counts)
    with pytest.raises(ValueError, match=message):
        make_split(problem(n=len(y), y=y, classes=("insulator", "metal")), "stratified", **given)


def test_inner_folds_of_rare_classes():
    y = np.repeat([0.0, 1.0], [30, 3])
    made = problem(n=33, y=y, classes=("insulator", "metal"))
    like = make_split(made, "stratified", n_folds=0)
    assert len(inner_folds(made, np.arange(33), like, 5)) == 3  # each with one metal
    assert len(inner_folds(made, np.arange(31), like, 5)) == 5  # one metal cannot be everywhere


# Groups -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group_by", ["formula", "chemical system", "batch"])
@pytest.mark.parametrize("seed", range(3))
def test_no_group_is_in_two_parts(group_by, seed):
    formulas = [("NaCl", "Na2Cl2", "KCl", "CaTiO3", "TiCaO3", "Fe2O3", "Fe3O4", "CsI", "LiF")[i % 9] for i in range(80)]
    made = problem(formulas, groups={"batch": [str(i % 11) for i in range(80)]})
    labels = group_labels(made, group_by)
    split = make_split(made, "group", group_by=group_by, n_folds=3, seed=seed)
    check_partition(split, 80)
    assert 8 <= len(split.test) <= 24
    for fit, predict in (*split.folds, (split.train, split.test)):
        assert not set(labels[fit]) & set(labels[predict])
    for fit, predict in inner_folds(made, split.train, split, 3):
        assert not set(labels[split.train[fit]]) & set(labels[split.train[predict]])


def test_many_small_groups_give_the_size_that_was_asked_for():
    made = problem([f"Fe{i // 2 + 1}O" for i in range(400)])
    split = make_split(made, "group", group_by="formula", test_size=0.25)
    assert len(split.test) == 100
    assert [len(predict) for _, predict in split.folds] == [60] * 5
    assert "formula" in split.description
    assert "150 groups for training, 50 for testing" in split.description


def test_groups_of_all_sizes_give_folds_of_about_the_same_size():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(40), rng.integers(1, 30, size=40)).astype(str)
    split = make_split(problem(n=len(labels), groups={"batch": labels}), "group", group_by="batch", test_size=0)
    ours = [len(predict) for _, predict in split.folds]
    theirs = [len(predict) for _, predict in GroupKFold(5).split(labels, groups=labels)]
    assert sorted(ours) == sorted(theirs)  # the same greedy dealing, which does not depend on ties
    assert max(ours) - min(ours) <= 3


def test_a_group_much_larger_than_the_test_part_is_for_training():
    made = problem(groups={"batch": ["large"] * 50 + ["a"] * 5 + ["b"] * 5})
    for seed in range(5):
        split = make_split(made, "group", group_by="batch", n_folds=2, test_size=0.1, seed=seed)
        assert len(split.test) == 5
        assert set(range(50)) < set(split.train)


def test_a_group_is_always_left_for_training():
    made = problem(groups={"batch": ["small"] * 10 + ["large"] * 50})
    for seed in range(4):
        split = make_split(made, "group", group_by="batch", test_size=0.99, n_folds=0, seed=seed)
        assert len(split.train) in (10, 50)


def test_samples_of_an_unknown_group_stay_together():
    labels = [f"g{i % 6}" for i in range(50)] + [""] * 10
    made = problem(groups={"batch": labels})
    split = make_split(made, "group", group_by="batch", test_size=0, n_folds=3)
    assert sum(bool(set(predict) & set(range(50, 60))) for _, predict in split.folds) == 1
    assert "10 samples without a batch count as one group" in split.description


def test_as_many_folds_as_groups_are_named_by_them():
    made = problem(groups={"batch": [f"b{i % 4}" for i in range(60)]})
    split = make_split(made, "group", group_by="batch", test_size=0, n_folds=4)
    assert sorted(split.fold_names) == ["b0", "b1", "b2", "b3"]
    labels = made.dataset.groups["batch"]
    for name, _, predict in split.parts():
        assert set(labels[predict]) == {name}
    assert make_split(made, "group", group_by="batch", test_size=0, n_folds=3).fold_names == ()


def test_each_element_is_left_out():
    made = mixed()
    split = make_split(made, "group", group_by="element", test_size=0)
    assert split.fold_names == ("Li", "Na", "Cl", "K", "Br", "Rb", "I", "Cs")
    for name, fit, predict in split.parts():
        has = np.array([name in parse_formula(formula) for formula in made.dataset.compositions])
        assert predict.tolist() == np.flatnonzero(has).tolist()
        assert fit.tolist() == np.flatnonzero(~has).tolist()
    assert len(inner_folds(made, split.folds[0][0], split, 2)) == 2


def test_elements_of_the_test_part_are_not_for_training():
    made = mixed()
    split = make_split(made, "group", group_by="element", seed=3)
    held = split.description.split("with ")[-1].rstrip(".").split(", ")
    for i, formula in enumerate(made.dataset.compositions):
        assert (i in split.test) == any(symbol in parse_formula(formula) for symbol in held)
    assert not set(held) & set(split.fold_names)


def test_elements_that_all_samples_have_cannot_be_left_out():
    made = problem(["NaO2", "KO2", "CaO", "MgO"] * 3)
    split = make_split(made, "group", group_by="element", test_size=0)
    assert set(split.fold_names) == {"Na", "Mg", "K", "Ca"}
    with pytest.raises(ValueError, match="group_by 'element' needs elements that some samples have and others lack"):
        make_split(problem(["NaCl"] * 5), "group", group_by="element")
    with pytest.raises(ValueError, match="n_folds must be at most 0, the number of elements that some samples have"):
        make_split(problem(["NaCl"] * 5), "group", group_by="element", test_size=0)


@pytest.mark.parametrize(
    ("group_by", "message"),
    [
        ("colour", "group_by must be one of 'batch', 'formula', 'chemical system', 'element', .*, got 'colour'"),
        (None, "group_by must name what keeps samples together for method 'group', got None"),
        ("space group", "group_by 'space group' needs structures: 'made-up' has only compositions"),
        ("batch", "group_by 'batch' must give at least 2 groups, got only 'one'"),
    ],
)
def test_bad_groups(group_by, message):
    with pytest.raises(ValueError, match=message):
        make_split(problem(groups={"batch": ["one"] * 60}), "group", group_by=group_by)


def test_too_few_groups():
    made = problem(groups={"batch": [f"b{i % 4}" for i in range(60)]})
    with pytest.raises(ValueError, match="n_folds must be at most 3, the number of groups by 'batch' for training"):
        make_split(made, "group", group_by="batch")
    split = make_split(made, "group", group_by="batch", n_folds=3)
    assert len(inner_folds(made, split.folds[0][0], split, 5)) == 2
    one_group = np.flatnonzero(made.dataset.groups["batch"] == "b0")
    with pytest.raises(ValueError, match="train must have enough for 2 inner folds: the number of groups by 'batch'"):
        inner_folds(made, one_group, split)


def test_prototypes_and_space_groups():
    pytest.importorskip("spglib")
    salt, caesium = bulk("NaCl", "rocksalt", 5.64), bulk("CsCl", "cesiumchloride", 4.1)
    twin = bulk("KBr", "rocksalt", 6.6, cubic=True).repeat((1, 1, 2))
    twin.rotate(30, "z", rotate_cell=True)
    structures = [salt, caesium, twin, bulk("Si", "diamond", 5.43), bulk("ZnS", "wurtzite", 3.8), molecule("H2O")]
    made = problem(structures=structures)
    assert group_labels(made, "space group").tolist() == ["225", "221", "225", "227", "186", ""]
    assert group_labels(made, "prototype").tolist() == ["AB 225 2", "AB 221 2", "AB 225 2", "A 227 2", "AB 186 4", ""]
    only_molecules = problem(structures=[molecule("H2O"), molecule("CO2")])
    with pytest.raises(ValueError, match="group_by 'prototype' needs crystals"):
        group_labels(only_molecules, "prototype")
    given = problem(structures=structures, groups={"space group": list("aabbcc")})
    assert group_labels(given, "space group").tolist() == list("aabbcc")


def test_a_missing_spglib_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "spglib", None)
    made = problem(structures=[bulk("NaCl", "rocksalt", a) for a in (5.5, 5.6, 5.7)])
    with pytest.raises(ImportError, match=r"pip install 'atomprint\[pymatgen\]'"):
        make_split(made, "group", group_by="space group")


# Official folds ---------------------------------------------------------------------------------------------------


def test_official_folds_are_mapped_to_samples():
    y = np.arange(10.0)
    y[[2, 5]] = np.nan
    folds = ((np.arange(5), np.arange(5, 10)), (np.arange(5, 10), np.arange(5)))
    made = problem(n=10, y=y, folds=folds)
    split = make_split(made, "official")
    assert len(split.test) == 0
    assert made.y[split.folds[0][0]].tolist() == [0, 1, 3, 4]
    assert made.y[split.folds[0][1]].tolist() == [6, 7, 8, 9]
    assert split.train.tolist() == list(range(8))
    assert split.description == "The 2 official folds of the data set."
    assert len(inner_folds(made, split.folds[0][0], split, 2)) == 2
    partial = make_split(problem(n=10, y=y, folds=((np.arange(3), np.arange(3, 5)),)), "official")
    assert "4 samples are in none" in partial.description


def test_official_folds_that_are_not_there():
    with pytest.raises(ValueError, match="method 'official' needs official folds, but 'made-up' has none"):
        make_split(problem(), "official")
    y = np.full(10, np.nan)
    y[:4] = 1
    with pytest.raises(ValueError, match=r"folds\[0\] must have samples to predict, got none"):
        make_split(problem(n=10, y=y, folds=((np.arange(5), np.arange(5, 10)),)), "official")


# Time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        [str(1990 + i) for i in range(40)],
        [f"2020-{1 + i // 20:02d}-{1 + i % 20:02d}" for i in range(40)],
        [f"2021-03-01T10:00:{i:02d}+01:00" for i in range(40)],
        [f"{2000 + i // 12}-{i % 12 + 1:02d}" for i in range(40)],
    ],
)
def test_models_learn_from_the_past(labels):
    order = np.random.default_rng(0).permutation(40)
    made = problem(n=40, groups={"when": [labels[i] for i in order]})
    split = make_split(made, "time", group_by="when", n_folds=3)
    assert sorted(order[split.test]) == list(range(32, 40))
    for fit, predict in split.folds:
        assert order[fit].max() < order[predict].min()
    assert [len(fit) for fit, _ in split.folds] == [8, 16, 24]
    for fit, predict in inner_folds(made, split.train, split, 2):
        assert order[split.train[fit]].max() < order[split.train[predict]].min()


def test_samples_of_the_same_time_stay_together():
    years = [str(2000 + i // 10) for i in range(60)]
    split = make_split(problem(groups={"year": years}), "time", group_by="year", n_folds=3)
    assert split.test.tolist() == list(range(50, 60))  # 20 % would be 12
    assert [len(fit) for fit, _ in split.folds] == [10, 20, 40]
    with pytest.raises(
        ValueError, match="n_folds must be at most 4, the number of different times by 'year', less one"
    ):
        make_split(problem(groups={"year": years}), "time", group_by="year")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["yesterday"] * 60, "group_by 'when' must be numbers or ISO dates, got 'yesterday' for 's0'"),
        (["2000-01-01"] * 59 + ["today"], "group_by 'when' must be numbers or ISO dates, got 'today' for 's59'"),
        (["2000-01-01"] * 59 + ["NaT"], "group_by 'when' must be numbers or ISO dates, got 'NaT'"),
        (["2000"] * 59 + [""], "group_by 'when' must be known for every sample, got none for 1 of them, such as 's59'"),
        (["2000"] * 60, "group_by 'when' must give at least 2 different times, got 1"),
        (["2000"] * 59 + ["inf"], "group_by 'when' must be finite, got 'inf'"),
    ],
)
def test_times_that_cannot_be_read(labels, message):
    with pytest.raises(ValueError, match=message):
        make_split(problem(groups={"when": labels}), "time", group_by="when")


def test_time_needs_a_group():
    with pytest.raises(ValueError, match="method 'time' needs groups in the data set, but 'made-up' has none"):
        make_split(problem(), "time", group_by="year")
    with pytest.raises(ValueError, match="group_by must be one of 'year', got 'month'"):
        make_split(problem(groups={"year": ["1"] * 60}), "time", group_by="month")
    with pytest.raises(ValueError, match="group_by must name a group that gives the time for method 'time', got None"):
        make_split(problem(), "time")


# Splits by hand ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"test": [2, 9]}, "train and test must have no sample in common, got 1, such as sample 2"),
        ({"train": []}, "train must have at least one sample, got none"),
        ({"train": [0, 1, 1]}, "train must hold each sample once, got sample 1 twice"),
        ({"train": [0.5, 1]}, "train must be indices"),
        ({"train": [-1, 1]}, "train must be >= 0, got -1"),
        ({"folds": (([0, 1], [1]),)}, r"folds\[0\], fit and folds\[0\], predict must have no sample in common"),
        ({"folds": (([0, 1], [5]),)}, r"folds\[0\] must be within train, got 1 samples to predict .* sample 5"),
        ({"folds": (([0, 5], [1]),)}, r"folds\[0\] must be within train, got 1 samples to fit .* sample 5"),
        ({"folds": (([0], []),)}, r"folds\[0\] must have samples to predict, got none"),
        ({"fold_names": ("a", "b")}, "fold_names must name each of 0 folds, got 2"),
    ],
)
def test_a_split_that_is_not_honest_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Split(**{"train": [0, 1, 2], "test": [5], "folds": (), "seed": 0, **given})


def test_inner_folds_of_a_split_by_hand_are_random():
    split = Split([0, 1, 2, 3], [5], (), 0, method="custom")
    assert len(inner_folds(6, split.train, split, 2)) == 2


def test_inner_folds_are_what_a_search_takes():
    made = mixed()
    split = make_split(made, "group", group_by="batch", n_folds=3)
    X = np.arange(60.0)[:, None]
    search = GridSearchCV(
        KNeighborsRegressor(), {"n_neighbors": [1, 2]}, cv=inner_folds(made, split.train, split, 3)
    ).fit(X[split.train], made.y[split.train])
    assert search.n_splits_ == 3


# Compositions -----------------------------------------------------------------------------------------------------


def test_structures_of_all_kinds_have_the_same_compositions():
    atoms = [bulk("NaCl", "rocksalt", 5.64), molecule("CH3CH2OH"), bulk("NaCl", "rocksalt", 5.64, cubic=True)]
    kinds = {"Atoms": atoms, "Batch": as_batch(atoms, periodic=None)}
    try:
        from pymatgen.io.ase import AseAtomsAdaptor
    except ImportError:
        pass
    else:
        kinds["pymatgen"] = [
            AseAtomsAdaptor.get_structure(a) if a.pbc.all() else AseAtomsAdaptor.get_molecule(a) for a in atoms
        ]
    for structures in kinds.values():
        dataset = problem(structures=structures).dataset
        assert dataset.formulas == ("NaCl", "H6C2O", "NaCl")  # one way to write a formula
        assert dataset.chemical_systems == ("Cl-Na", "C-H-O", "Cl-Na")
        assert np.flatnonzero(dataset.contains[1]).tolist() == [1, 6, 8]


def test_a_formula_that_cannot_be_read_is_named():
    with pytest.raises(ValueError, match="made-up: row 1, 's1': formula 'Xy2'"):
        make_split(problem(["NaCl", "Xy2", "KCl"]), "group", group_by="formula")


def test_anonymous_formulas():
    assert anonymous_formula(bulk("NaCl", "rocksalt", 5.64).numbers) == "AB"
    assert anonymous_formula(Atoms("Ca2Ti2O6").numbers) == "ABC3"
    assert anonymous_formula(np.arange(1, 31)).startswith("X0_X1_")
