import gzip
import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from helpers.copies import copy_of, perovskite
from helpers.shared import SHARED, needs_shared

from atomprint.datasets import Dataset, Target
from atomprint.learn.splits.leakage import find_leakage
from atomprint.learn.splits.split import Split, make_split
from atomprint.learn.task.problem import Problem
from atomprint.structures import as_batch


def problem(structures=None, compositions=None, ids=None):
    n = len(structures if structures is not None else compositions)
    target = Target(np.arange(n, dtype=float), "eV", "Energy", "made up")
    names = tuple(ids or (f"s{i}" for i in range(n)))
    dataset = Dataset("made-up", "Made up", structures, names, {"y": target}, "", "", compositions=compositions)
    return Problem.of(dataset, "y")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (bulk("ZnS", "wurtzite", 3.8228), bulk("ZnS", "zincblende", 5.4063)),  # alike up to the second shell
        (bulk("Mg", "hcp", 3.2, c=3.2 * np.sqrt(8 / 3)), bulk("Mg", "fcc", 3.2 * np.sqrt(2))),
        (bulk("NaCl", "rocksalt", 5.64), bulk("NaCl", "cesiumchloride", 3.4)),
        (bulk("NaCl", "rocksalt", 5.64), bulk("NaCl", "rocksalt", 5.75)),
        (perovskite("Ca", "Ti"), perovskite("Ti", "Ca")),
        (perovskite(), perovskite(shift=0.03)),
        (molecule("CH3CH2OH"), molecule("CH3OCH3")),
        (molecule("C2H4"), molecule("C3H6_D3h")),  # the same reduced formula
    ],
)
def test_structures_that_only_look_alike_are_told_apart(one, other):
    found = find_leakage(problem([one, other]), Split([0], [1], (), 0))
    assert found.parts[0].n_formula == 1
    assert found.parts[0].n_structure == 0


def test_vacuum_does_not_matter():
    layers = []
    for vacuum in (12.0, 15.0):
        layer = bulk("Mg", "hcp", 3.2, c=5.2)
        layer.set_cell([*layer.cell.array[:2], [0, 0, 5.2 + 2 * vacuum]])
        layers.append(layer)
    # A cell that repeats in all three directions has too much volume to be compared by it.
    found = find_leakage(problem(layers), Split([0], [1], (), 0))
    assert found.parts[0].n_structure == 1


# Counts -----------------------------------------------------------------------------------------------------------


def planted(seed=0):
    """Return structures with copies among them, the original of each, and their formulas."""
    rng = np.random.default_rng(seed)
    structures, originals, formulas = [], [], []
    for i in range(60):
        if i and rng.random() < 0.4:
            of = int(rng.integers(len(structures)))
            structures.append(copy_of(structures[of], 100 + i) if len(structures[of]) < 40 else structures[of].copy())
            originals.append(originals[of])
            formulas.append(formulas[of])
        else:
            a, b = rng.choice(["Ca", "Sr", "Ba", "La", "Ti"], size=2, replace=False)
            length = 3.6 + 0.08 * i  # which makes each one different
            structures.append(perovskite(a, b, length, 0.05))
            originals.append(i)
            formulas.append(frozenset((a, b)))
    return structures, np.array(originals), formulas


@pytest.mark.parametrize("seed", range(3))
def test_counts_are_those_of_what_was_planted(seed):
    structures, originals, formulas = planted(seed)
    made = problem(structures)
    split = make_split(made, seed=seed)
    found = find_leakage(made, split)
    assert [part.name for part in found.parts] == [*(f"fold {i}" for i in range(1, 6)), "test"]
    for part, (_, fit, predict) in zip(found.parts, split.parts(), strict=True):
        assert (part.n_train, part.n_test) == (len(fit), len(predict))
        assert part.is_test == (part.name == "test")
        assert part.n_structure == sum(originals[i] in originals[fit] for i in predict)
        assert part.n_formula == sum(formulas[i] in [formulas[j] for j in fit] for i in predict)
        assert len(part.examples) == min(5, part.n_structure or part.n_formula)
        for one, other in part.examples:
            one, other = int(one[1:]), int(other[1:])
            assert one in predict
            assert other in fit
            assert originals[one] == originals[other] if part.n_structure else formulas[one] == formulas[other]
    assert found
    json.dumps(found.to_dict(), allow_nan=False)


def test_structures_of_all_kinds_are_compared():
    structures = [perovskite(), copy_of(perovskite(), 3)]
    for kind in (structures, as_batch(structures, periodic=None)):
        assert find_leakage(problem(kind), Split([0], [1], (), 0)).parts[0].n_structure == 1


def test_groups_by_formula_leave_no_leak():
    structures, _, _ = planted()
    made = problem(structures)
    found = find_leakage(made, make_split(made, "group", group_by="formula", n_folds=2))
    assert not found
    assert all(part.examples == () for part in found.parts)
    assert found.sentences()[0].startswith("None of ")


def test_compositions_alone():
    made = problem(compositions=["NaCl", "Na2Cl2", "KCl", "ClNa", "LiF"])
    found = find_leakage(made, Split([0, 2], [1, 3, 4], (), 0))
    (part,) = found.parts
    assert (part.n_formula, part.n_structure) == (2, None)
    assert part.examples == (("s1", "s0"), ("s3", "s0"))
    said = found.sentences()
    assert said[0] == "2 of 3 test samples (66.7 %) have the reduced formula of a training sample."
    assert said[1] == "Structures are not known: only formulas were compared."
    assert len(said) == 2  # what that does to errors is measured, and not asserted
    assert found.to_dict()["parts"][0]["n_structure"] is None


def test_sentences_say_what_was_found_and_what_it_means():
    made = problem([perovskite(), copy_of(perovskite(), 1), perovskite(length=4.2), perovskite("Sr")])
    found = find_leakage(made, Split([0], [1, 2, 3], (), 0))
    said = found.sentences()
    assert said[0] == (
        "2 of 3 test samples (66.7 %) have the reduced formula of a training sample, and 1 (33.3 %) its structure, "
        "with interatomic distances within 0.05 Å."
    )
    assert "remembers" in said[1]
    none = find_leakage(made, Split([0], [2, 3], (), 0)).sentences()
    assert none[0].startswith(
        "1 of 2 test samples (50.0 %) have the reduced formula of a training sample, but none its"
    )
    clean = find_leakage(made, Split([0, 1, 2], [3], (([0], [1, 2]), ([1], [0, 2])), 0)).sentences()
    assert clean[0] == "None of 1 test samples has the formula or the structure of a training sample."
    assert clean[1].startswith("4 of 4 predicted samples of 2 folds (100.0 %) have the reduced formula of a sample")


def test_small_shares_are_not_rounded_away():
    made = problem(compositions=["NaCl", *(f"Fe{i + 1}O" for i in range(1500)), "NaCl"])
    found = find_leakage(made, Split([0], list(range(1, 1502)), (), 0))
    assert "1 of 1501 test samples (less than 0.1 %)" in found.sentences()[0]


def test_a_fold_may_be_called_test():
    made = problem(compositions=["NaCl", "NaCl", "KCl"])
    split = Split([0, 1, 2], [], (([0], [1]), ([2], [0])), 0, fold_names=("test", "other"))
    assert "predicted samples of 2 folds" in find_leakage(made, split).sentences()[0]


def test_atoms_of_one_structure_in_both_parts():
    structures = [molecule("H2O"), molecule("CO2"), copy_of(molecule("H2O"), 1)]
    values = np.empty(3, dtype=object)
    values[:] = [np.zeros(3), np.zeros(3), np.array([1.0, np.nan, np.nan])]
    target = Target(values, "ppm", "Shift", "made up", level="atom")
    dataset = Dataset("nmr", "NMR", structures, ("a", "b", "c"), {"y": target}, "", "")
    made = Problem.of(dataset, "y")
    found = find_leakage(made, Split([0, 1], [2, 3, 6], (), 0))  # a/2, b/0, c/0
    assert (found.parts[0].n_formula, found.parts[0].n_structure) == (2, 2)
    assert found.parts[0].examples == (("a", "a"), ("c", "a"))
    assert not find_leakage(made, Split([0, 1], [3], (), 0))


def test_the_tolerance():
    made = problem([perovskite(), perovskite(length=3.94)])
    split = Split([0], [1], (), 0)
    assert find_leakage(made, split).parts[0].n_structure == 0
    assert find_leakage(made, split, tolerance=0.2).parts[0].n_structure == 1
    with pytest.raises(ValueError, match="tolerance must be > 0, got 0"):
        find_leakage(made, split, tolerance=0)


def test_a_structure_that_is_not_sound_is_named():
    broken = perovskite()
    broken.positions[2] = np.nan
    with pytest.raises(ValueError, match="row 2 of the data set: atom 2: position must be finite"):
        find_leakage(problem([perovskite("Sr"), perovskite(), broken]), Split([0], [1, 2], (), 0))


def test_a_cell_too_flat_to_search_is_named():
    wide = Atoms("NaCl", [[0, 0, 0], [0, 0, 2.8]], cell=[10, 10, 10], pbc=True)
    flat = Atoms("NaCl", [[0, 0, 0], [0, 0, 2.8]], cell=[[1000, 0, 0], [1000, 0.001, 0], [0, 0, 1000]], pbc=True)
    with pytest.raises(
        ValueError, match=r"structure 2: neighbours are beyond 5e6 periodic images of the atoms: the cell is too flat"
    ):
        find_leakage(problem([perovskite("Sr"), wide, flat]), Split([0], [1, 2], (), 0))


@needs_shared
def test_perovskites():
    with gzip.open(SHARED / "matbench" / "matbench_perovskites.json.gz") as file:
        rows = json.load(file)["data"]
    structures = []
    for structure, _ in rows:
        sites = structure["sites"]
        atoms = Atoms(
            [site["species"][0]["element"] for site in sites],
            scaled_positions=[site["abc"] for site in sites],
            cell=structure["lattice"]["matrix"],
            pbc=True,
        )
        structures.append(atoms)
    # One in a thousand is there a second time.
    copies = list(range(0, len(structures), 1000))
    made = problem([*structures, *(copy_of(structures[i], i) for i in copies)])
    n = len(structures)
    split = Split(np.arange(n), np.arange(n, n + len(copies)), (), 0)
    found = find_leakage(made, split)
    assert (found.parts[0].n_structure, found.parts[0].n_formula) == (len(copies), len(copies))
    # Nearly all formulas are there twice, with the cations exchanged, but no structure is.
    formulas = [tuple(sorted(atoms.numbers)) for atoms in structures]
    twice = problem(structures)
    split = make_split(twice, n_folds=0)
    found = find_leakage(twice, split)
    train = {formulas[i] for i in split.train}
    assert found.parts[0].n_formula == sum(formulas[i] in train for i in split.test) > 2900
    assert found.parts[0].n_structure == 0
