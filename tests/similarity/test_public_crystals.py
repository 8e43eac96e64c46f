"""On crystals of Materials Project: their settings are the same, and polymorphs are told apart as pymatgen does."""

from itertools import combinations

import numpy as np
import pytest
from helpers.copies import copy_of
from helpers.shared import SHARED, needs_shared

from atomprint.datasets import read_dataset
from atomprint.similarity import find_duplicates, fingerprints

FILE = SHARED / "mp" / "mp_20_biternary_val.csv.gz"


@pytest.fixture(scope="module")
def crystals():
    return read_dataset(FILE, targets=(), limit=2500)


@needs_shared
def test_settings_of_a_crystal(crystals):
    adaptor = pytest.importorskip("pymatgen.io.ase").AseAtomsAdaptor
    rng = np.random.default_rng(0)
    for row in rng.choice(len(crystals), 60, replace=False).tolist():
        atoms = crystals.structures[row]
        small = atoms.copy()
        small.positions += 2e-3 * rng.normal(size=small.positions.shape)
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ (np.eye(3) + 1e-3 * rng.normal(size=(3, 3))), scale_atoms=True)
        primitive = adaptor.get_atoms(adaptor.get_structure(atoms).get_primitive_structure())
        settings = [atoms, copy_of(atoms, row), copy_of(atoms, row + 1), atoms.repeat((1, 2, 1)), primitive]
        found = find_duplicates([*settings, small, strained], tolerance=0.1)
        assert len(found.unique) == 1, crystals.ids[row]
        assert found.distances[:4].max() < 1e-8
        assert found.distances[4] < 1e-3  # pymatgen looks for it with a tolerance
        assert 0 < found.distances[5] < 0.04
        # Volumes that differ by half are the same crystal only where size does not count.
        swollen = atoms.copy()
        swollen.set_cell(1.5 ** (1 / 3) * atoms.cell.array, scale_atoms=True)
        assert len(find_duplicates([atoms, swollen]).unique) == 2
        assert len(find_duplicates([atoms, swollen], scale=True).unique) == 1


@needs_shared
def test_polymorphs_are_told_apart_as_by_structure_matcher(crystals):
    matcher = pytest.importorskip("pymatgen.analysis.structure_matcher").StructureMatcher()
    adaptor = pytest.importorskip("pymatgen.io.ase").AseAtomsAdaptor
    from sklearn.metrics import roc_auc_score

    groups = {}
    for row, formula in enumerate(crystals.formulas):
        groups.setdefault(formula, []).append(row)
    pairs = [pair for rows in groups.values() for pair in combinations(rows, 2)][:300]
    prints = fingerprints(crystals.structures)
    theirs = {row: adaptor.get_structure(crystals.structures[row]) for pair in pairs for row in pair}
    same = [bool(matcher.fit(theirs[a], theirs[b])) for a, b in pairs]
    away = [prints[a].distance(prints[b], scale=True) for a, b in pairs]
    assert 10 < sum(same) < len(same) - 10
    assert roc_auc_score(same, -np.array(away)) > 0.97
