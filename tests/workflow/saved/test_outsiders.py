"""Planted outsiders: the domain of a model sees them, and lets in samples of the same origin, however written."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from atomprint.datasets import Dataset, Target
from atomprint.descriptors import SOAP
from atomprint.elements import ElementEmbedding
from atomprint.learn import DropNoise, Problem
from atomprint.workflow import TrainedModel, assemble, load_model

RADII = {
    "Ca": 1.0,
    "Sr": 1.18,
    "Ba": 1.35,
    "Pb": 1.19,
    "Ti": 0.61,
    "Zr": 0.72,
    "Hf": 0.71,
    "Sn": 0.69,
    "O": 1.4,
    "S": 1.84,
}


def perovskite(a, b, x, strain):
    cell = strain * 2 * max(RADII[b] + RADII[x], (RADII[a] + RADII[x]) / np.sqrt(2))
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return Atoms([a, b, x, x, x], scaled_positions=places, cell=[cell] * 3, pbc=True)


def drawn(n, rng):
    sites = ("Ca", "Sr", "Ba", "Pb"), ("Ti", "Zr", "Hf", "Sn"), ("O", "S")
    return [perovskite(*(str(rng.choice(names)) for names in sites), rng.normal(1, 0.015)) for _ in range(n)]


def changed(structures, change):
    made = [atoms.copy() for atoms in structures]
    for atoms in made:
        change(atoms)
    return made


def scaled(structures, factor):
    return changed(structures, lambda atoms: atoms.set_cell(factor * atoms.cell, scale_atoms=True))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    rng = np.random.default_rng(0)
    structures = drawn(120, rng)
    target = Target(rng.normal(size=120), "eV", "Energy", "")
    dataset = Dataset("p", "P", structures, tuple(map(str, range(120))), {"energy": target}, "", "")
    problem = Problem.of(dataset, "energy")
    features = SOAP(
        r_cut=4, n_max=3, l_max=2, sigma=0.5, average="outer", species_embedding=ElementEmbedding(n_channels=4)
    )
    table = features.fit_transform(structures)
    fitted = make_pipeline(DropNoise(), StandardScaler(), Ridge()).fit(table, problem.y)
    made = TrainedModel.of(assemble(features, fitted), problem, table=table)
    return load_model(made.save(tmp_path_factory.mktemp("models") / "m.atomprint"))


def outside(model, structures):
    return float(np.mean(~model.predict(structures, on_error="skip").in_domain))


def test_samples_of_the_same_origin_are_inside(model):
    assert outside(model, drawn(150, np.random.default_rng(5))) <= 0.08


def test_outsiders_are_outside(model):
    rng = np.random.default_rng(7)
    structures = drawn(25, rng)

    def rattled(size):
        return changed(structures, lambda atoms: atoms.rattle(size, rng=rng))

    def slab(atoms):
        atoms *= (1, 1, 2)
        atoms.center(vacuum=5, axis=2)

    def other_elements(atoms):
        atoms.symbols[:2] = ["K", "Nb"]

    flat = changed(structures, slab)
    kinds = {
        **{f"x {factor}": scaled(structures, factor) for factor in (1.3, 1.5, 2, 3, 10, 0.85, 0.7, 0.5)},
        **{f"rattled {size}": rattled(size) for size in (0.3, 1.0)},
        "slabs in a box": flat,
        "slabs": changed(flat, lambda atoms: atoms.set_pbc((True, True, False))),
        "elements": changed(structures, other_elements),
        "molecules": [molecule(name) for name in ("O2", "SO2", "O3", "SO")],
        "rocksalt": [bulk(name, "rocksalt", a=a) for name, a in {"CaO": 4.81, "BaS": 6.39, "PbS": 5.94}.items()],
        "metals": [bulk(name) for name in ("Ca", "Ti", "Zr", "Pb")],
    }
    assert {kind: share for kind, made in kinds.items() if (share := outside(model, made)) < 0.95} == {}


def test_training_crystals_stay_inside_however_they_are_written(model):
    rng = np.random.default_rng(0)
    structures = drawn(120, rng)
    for change in (
        lambda atoms: atoms.rotate(37, (1, 2, 3), rotate_cell=True),
        lambda atoms: atoms.translate((0.3, 5, -8)),
        lambda atoms: atoms.wrap(),
        lambda atoms: atoms.__imul__((2, 1, 1)),
    ):
        found = model.predict(changed(structures[:40], change))
        assert found.in_training.all()
        assert found.in_domain.all()
    assert model.predict([atoms[rng.permutation(5)] for atoms in structures[:40]]).in_domain.all()


def test_reasons_are_told(model):
    (said,) = model.predict(scaled(drawn(1, np.random.default_rng(7)), 3)).warnings
    assert any(sentence.startswith("volume per atom") and "usual in the training set" in sentence for sentence in said)
    info = model.info()["domain"]
    assert info["geometry"]["n_repeats"] == [3]
    low, high = info["geometry"]["volume_per_atom"]
    assert 5 < low < high < 40
    assert info["n_recognised"] == 120
