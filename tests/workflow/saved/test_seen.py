"""Training samples are recognised, however they are written, and others are not."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell, molecule
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from atomprint.chemistry.contents import amounts_of
from atomprint.datasets import Dataset, Target
from atomprint.descriptors import SOAP, ElementProperty
from atomprint.learn import Problem
from atomprint.structures import as_batch
from atomprint.workflow import TrainedModel, assemble, load_model
from atomprint.workflow.saved.evaluate import evaluate_model
from atomprint.workflow.saved.seen import Identity, Seen, of_composition, of_structures

NAMES = ("LiF", "NaCl", "KBr", "MgO", "CaS", "SrSe", "RbI", "BaO")


def crystals():
    rng = np.random.default_rng(0)
    found = [bulk(name, "rocksalt", a=4.5 + 0.3 * k) for k, name in enumerate(NAMES)]
    found += [bulk(name, "zincblende", a=4.5 + 0.3 * k) for k, name in enumerate(NAMES)]
    found += [bulk(name, "cesiumchloride", a=2.5 + 0.2 * k).repeat((2, 1, 1)) for k, name in enumerate(NAMES)]
    for atoms in found[::2]:
        atoms.positions += 0.1 * rng.normal(size=atoms.positions.shape)
    return found


def identities(structures, known=None):
    return of_structures(as_batch(list(structures), periodic=None), known)


def recognised(seen, structures):
    return [seen.has(one) for one in identities(structures)]


def rotated(atoms):
    atoms = atoms.copy()
    atoms.rotate(37, (1, 2, 3), rotate_cell=True)
    return atoms


def rounded(atoms, digits=3):
    atoms = atoms.copy()
    atoms.set_scaled_positions(atoms.get_scaled_positions().round(digits))
    atoms.set_cell(atoms.cell.round(digits))
    return atoms


def test_structures_however_they_are_written():
    rng = np.random.default_rng(1)
    given = crystals()
    seen = Seen.fit(identities(given))
    for change in (
        lambda c: c,
        rotated,
        rounded,
        lambda c: c[rng.permutation(len(c))],
        lambda c: c.repeat((2, 1, 3)),
        lambda c: make_supercell(c, [[1, 1, 0], [0, 1, 1], [0, 0, 1]]),
        lambda c: Atoms(c.numbers, c.positions + np.array([3, -8, 0.1]), cell=c.cell, pbc=True),
    ):
        assert all(recognised(seen, map(change, given)))
    molecules = [molecule(name) for name in ("H2O", "CH4", "C2H6", "C6H6", "CH3OH", "NH3")]
    seen = Seen.fit(identities(molecules))
    assert all(recognised(seen, map(rotated, molecules)))
    assert not any(recognised(seen, [molecule(name) for name in ("H2O2", "C2H2", "C2H4", "CH3CH2OH")]))


def test_others_are_not_recognised():
    given = crystals()
    seen = Seen.fit(identities(given[:8]))
    assert not any(recognised(seen, given[8:]))  # the same formulas in other structures
    strained = [c.copy() for c in given[:8]]
    for atoms in strained:
        atoms.set_cell(1.04 * atoms.cell, scale_atoms=True)
    assert not any(recognised(seen, strained))
    swapped = [Atoms(c.numbers[::-1], c.positions, cell=c.cell, pbc=True) for c in given[1:8:2]]
    assert all(recognised(seen, swapped))  # rocksalt: the same crystal
    rng = np.random.default_rng(0)
    snapshots = []
    for _ in range(12):  # of one crystal at one temperature
        atoms = bulk("Cu", cubic=True).repeat(3)
        atoms.positions += 0.1 * rng.normal(size=atoms.positions.shape)
        snapshots.append(atoms)
    assert not any(recognised(Seen.fit(identities(snapshots[:6])), snapshots[6:]))


def test_compositions():
    training = ["Fe2O3", "LiFePO4", "Fe0.7Ni0.3", "H2O", "Al2O3"]
    seen = Seen.fit([of_composition(amounts_of(formula)) for formula in training])

    def found(*formulas):
        return [seen.has(of_composition(amounts_of(formula))) for formula in formulas]

    assert all(found("O3Fe2", "Fe4O6", "Fe0.4O0.6", "P1O4LiFe", "Fe7Ni3", "Ni0.3Fe0.7", bulk("Fe") * 2 and "H4O2"))
    assert not any(found("FeO", "Fe3O4", "Fe0.695Ni0.305", "H2O2", "LiMnPO4", "LiFePO4F", "Fe"))
    assert found("Fe0.6667Ni0.3333") == [False]
    assert Seen.fit([of_composition({"Fe": 1 / 3, "O": 2 / 3})]).has(of_composition({"Fe": 0.333, "O": 0.667}))


def test_marks_are_made_where_they_are_needed():
    given = crystals()
    seen = Seen.fit(identities(given[:3]))
    asked = identities(given[:5], seen)
    assert [one.mark is None for one in asked] == [False] * 3 + [True] * 2
    assert "NaCl" not in seen
    assert Seen.fit([*identities(given[:3]), None]) is None
    assert Seen.fit([Identity(3)]) is None
    assert seen.marks[0].nbytes + seen.keys[0].nbytes <= 64
    with pytest.raises(ValueError, match="wrong shapes"):
        Seen.from_arrays({"keys": seen.keys[:1], "marks": seen.marks})


def dataset(structures, y, **options):
    target = Target(np.asarray(y, dtype=float), "eV", "Property", "")
    return Dataset(
        "own", "Own", structures, tuple(f"row {k}" for k in range(len(y))), {"property": target}, "", "", **options
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    given, rng = crystals(), np.random.default_rng(0)
    problem = Problem.of(dataset(given, rng.normal(size=len(given))), "property")
    features = make_pipeline(SOAP(r_cut=4, n_max=2, l_max=1, sigma=0.5, average="inner", periodic=True))
    table = features.fit_transform(given)
    made = TrainedModel.of(assemble(features, Ridge(1e-6).fit(table, problem.y)), problem)
    return load_model(made.save(tmp_path_factory.mktemp("models") / "m.atomprint"))


def test_predictions_say_what_was_in_training(model):
    given = crystals()
    new = bulk("NaCl", "rocksalt", a=5.2)
    found = model.predict([rotated(given[3]), new, given[20].repeat((1, 2, 1))])
    assert found.in_training.tolist() == [True, False, True]
    assert found.in_domain[[0, 2]].all()
    assert found.warnings[0] == ()
    assert [row["in_training"] for row in found.to_dict()["rows"]] == [True, False, True]
    assert found.to_pandas()["in_training"].tolist() == [True, False, True]
    failed = model.predict([given[3], Atoms("Xe")], on_error="skip")
    assert failed.in_training.tolist() == [True, False]


def test_figures_with_and_without_training_samples(model):
    given, rng = crystals(), np.random.default_rng(0)
    y = rng.normal(size=len(given))
    rows = rng.permutation(len(given))
    everything = evaluate_model(model, dataset([rotated(given[i]) for i in rows], y[rows]), "property")
    assert everything.n_seen == len(given)
    assert everything.unseen is None
    assert everything.warning.startswith("these are 24 samples that the model was fitted to")
    part = evaluate_model(model, dataset([given[i] for i in rows[:7]], y[rows[:7]]), "property")
    assert part.n_seen == 7
    assert part.warning.startswith("these are 7 samples that the model was fitted to")
    new = [bulk(name, "rocksalt", a=5.1 + 0.3 * k) for k, name in enumerate(NAMES)]
    larger = evaluate_model(model, dataset([*given, *new], [*y, *np.arange(8.0)]), "property")
    assert larger.n_seen == 24
    assert larger.warning.startswith("24 of 32 samples have the structure of a sample that the model was fitted to")
    alone = evaluate_model(model, dataset(new, np.arange(8.0)), "property")
    assert (alone.n_seen, alone.warning, alone.unseen) == (0, "", None)
    assert larger.unseen["mae"].value == pytest.approx(alone.metrics["mae"].value)
    assert larger.metrics["mae"].value < alone.metrics["mae"].value
    assert larger.to_dict()["n_seen"] == 24
    odd = evaluate_model(model, dataset(new, [*np.arange(7.0), 9999]), "property")
    assert any("far from all others" in note and "9999 (row 7)" in note for note in odd.notes)
    assert larger.to_dict()["unseen"]["mae"] == pytest.approx(alone.metrics["mae"].value)


def test_compositions_in_a_model():
    formulas = ("NaCl", "KBr", "MgO", "Al2O3", "SiO2", "TiO2", "Fe2O3", "GaAs")
    y = np.arange(8.0)
    problem = Problem.of(dataset(None, y, compositions=formulas), "property")
    features = ElementProperty(["mass", "electronegativity"])
    model = TrainedModel.of(assemble(features, Ridge(1e-6).fit(features.fit_transform(formulas), y)), problem)
    assert model.predict(["ClNa", "Fe4O6", "FeO", bulk("MgO", "rocksalt", a=4.2)]).in_training.tolist() == [
        True,
        True,
        False,
        True,
    ]
    found = evaluate_model(model, dataset(None, [1.0, 2.0], compositions=("O2Si", "CdTe")), "property")
    assert found.n_seen == 1
    assert found.warning.startswith("1 of 2 samples has the composition of a sample that the model was fitted to")


def test_a_cell_too_flat_is_not_recognised():
    long = Atoms("NaCl", [[0, 0, 0], [0, 5e4, 0]], cell=[5, 1e5, 5], pbc=True)
    seen = Seen.fit(identities([long, *crystals()]))
    assert recognised(seen, [long, crystals()[0]]) == [False, True]
