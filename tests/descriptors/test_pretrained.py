"""Embeddings of pretrained potentials: what is done with them, with one in NumPy; those of packages where these are."""

import dataclasses
import hashlib
import pickle
import re
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from helpers.toy_potential import ToyPotential
from sklearn.base import clone

from atomprint.descriptors import PretrainedEmbedding
from atomprint.descriptors.pretrained import cache as caching
from atomprint.descriptors.pretrained import load
from atomprint.descriptors.pretrained.weights import WEIGHTS
from atomprint.structures import StructureError, as_batch
from atomprint.testing import check_derivatives


def salts(n=6):
    """Return cells of four atoms without symmetry."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(n):
        atoms = bulk("NaCl", "rocksalt", 5.4 + rng.random(), cubic=True)[:4]
        atoms.set_chemical_symbols(rng.choice(["Na", "Cl", "O", "Ti"], 4))
        atoms.positions += rng.normal(0, 0.1, (4, 3))
        found.append(atoms)
    return found


def toy(**given):
    return PretrainedEmbedding(ToyPotential(**given), dtype="float64")


def test_layers_are_chosen_by_name():
    whole = toy()
    assert whole.get_number_of_features() == 7
    assert whole.get_feature_names_out().tolist()[2:5] == [
        "ToyPotential layer 1 k=2",
        "ToyPotential layer 2 k=0",
        "ToyPotential layer 2 k=1",
    ]
    assert whole.get_feature_names_out()[-1] == "ToyPotential energy"
    some = clone(whole).set_params(layers=["energy", "layer 1"])
    structures = salts()
    for x, y in zip(whole.create(structures), some.create(structures), strict=True):
        np.testing.assert_array_equal(y, x[:, [6, 0, 1, 2]])
    assert some.get_feature_names_out()[0] == "ToyPotential energy"
    for wrong, message in (
        (["layer 3"], "layers must be one of 'layer 1', 'layer 2', 'energy', got 'layer 3'"),
        ([], "layers must name at least one"),
        ("energy", "layers must be 'all' or a sequence of names, got 'energy'"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            clone(whole).set_params(layers=wrong)


def test_names_that_are_not_known_are_not_looked_for_elsewhere(tmp_path):
    for name in ("7net-omni", "sevennet_0", str(tmp_path / "none.pth")):
        with pytest.raises(ValueError, match=r"must be one of 'sevennet-0', .*there is no such file, and nothing is"):
            PretrainedEmbedding(name)
    with pytest.raises(ValueError, match="did you mean 'sevennet-0'"):
        PretrainedEmbedding("sevennet_0")
    for wrong in (3, None, ToyPotential):
        with pytest.raises(TypeError, match="model must be a name, the path of a checkpoint, or a callable"):
            PretrainedEmbedding(wrong)


def test_a_checkpoint_has_to_be_trusted_by_its_digest(tmp_path):
    path = tmp_path / "mine.pth"
    path.write_bytes(b"something")
    digest = hashlib.sha256(b"something").hexdigest()
    for trusted, message in (
        (None, f"is a pickle, which may run anything .* give trusted='{digest}', its SHA-256"),
        ("0" * 64, f"has the SHA-256 {digest}, not 0+, which is trusted"),
    ):
        with pytest.raises(ValueError, match=message):
            PretrainedEmbedding(path, trusted=trusted).create(salts(1))


def test_another_file_in_a_package_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "__init__.py").write_text("")
    monkeypatch.setattr(
        "atomprint.descriptors.pretrained.weights.find_spec",
        lambda name: type("Spec", (), {"origin": str(tmp_path / "__init__.py")}),
    )
    load._known.cache_clear()
    with pytest.raises(ValueError, match=r"'chgnet-0\.3\.0': chgnet has no file 'pretrained"):
        PretrainedEmbedding("chgnet-0.3.0").create(salts(1))
    path = tmp_path / WEIGHTS["chgnet-0.3.0"].file
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps("somebody else's"))
    with pytest.raises(
        ValueError, match=r"chgnet has the SHA-256 .* it is a pickle of somebody else, and was not read"
    ):
        PretrainedEmbedding("chgnet-0.3.0").create(salts(1))


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("atomprint.descriptors.pretrained.weights.find_spec", lambda name: None)
    load._known.cache_clear()
    embedding = PretrainedEmbedding("sevennet-0", pooling="mean")
    assert embedding.get_number_of_features() == 5 * 128 + 1
    with pytest.raises(
        ImportError, match=r"come with sevenn, which is not installed: pip install 'atomprint\[sevennet\]"
    ):
        embedding.create(salts(1))


def test_nothing_heavy_is_imported_before_it_is_used():
    code = "import sys; from atomprint.descriptors import PretrainedEmbedding as P; P('sevennet-0', pooling='mean')"
    code += ".get_feature_names_out(); print([m for m in ('torch', 'sevenn', 'chgnet', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_callables_are_checked():
    def nothing(batch):
        return np.zeros((len(batch.numbers), 2))

    with pytest.raises(TypeError, match="model must have an attribute layers where it is a callable"):
        PretrainedEmbedding(nothing)
    for layers in ({"a": 0}, {"a": 1.5}, {1: 1}, {" ": 1}):
        nothing.layers = layers
        with pytest.raises((TypeError, ValueError), match="layers"):
            PretrainedEmbedding(nothing)
    nothing.layers = {"a": 3}
    with pytest.raises(
        ValueError, match=r"'nothing' must return numbers of shape \(4, 3\) as features, got shape \(4, 2\)"
    ):
        PretrainedEmbedding(nothing).create(salts(1))
    nothing.layers = {"a": 2}
    embedding = PretrainedEmbedding(nothing, pooling="mean")
    assert embedding.create(salts(2)).shape == (2, 2)
    with pytest.warns(UserWarning, match="no analytical derivatives"):
        embedding.vjp(salts(2), np.ones((2, 2)))
    with pytest.raises(ValueError, match="no analytical derivatives"):
        embedding.derivatives(salts(2), method="analytical")
    odd = type("Odd", (), {"layers": {"a": 1}, "__call__": lambda _, batch: np.full((4, 1), np.nan)})
    with pytest.raises(ValueError, match="'Odd' must return finite numbers as features"):
        PretrainedEmbedding(odd()).create(salts(1))


def test_derivatives_of_a_callable_in_several_parts(monkeypatch):
    monkeypatch.setattr("atomprint.descriptors.pretrained.embedding._ATOMS", 5)
    embedding = toy().set_params(layers=["energy", "layer 2"])
    check_derivatives(embedding, salts(3), centers=[[1, 3, 1], [0], [2]])


def test_strange_elements_and_points_are_named():
    with pytest.raises(
        StructureError, match="structure 1, atom 0: species must be one that 'ToyPotential' was trained"
    ):
        toy(elements=["Na", "Cl", "O", "Ti"]).create([*salts(1), bulk("Cu")])
    with pytest.raises(StructureError, match="structure 0, centre 0: must be an atom, got a point"):
        toy().create(salts(1)[0], centers=[[0, 0, 0], [1.0, 1, 1]])


def test_features_are_kept_by_content(tmp_path, monkeypatch):
    monkeypatch.setattr("atomprint.descriptors.pretrained.embedding._ATOMS", 8)
    model = ToyPotential(identity="one")
    embedding = PretrainedEmbedding(model, cache=tmp_path, dtype="float64")
    structures = salts()
    expected = embedding.create(structures)
    assert model.calls == 3
    some = [5, 0, 2, 2]
    found = embedding.create([structures[i] for i in some])
    np.testing.assert_array_equal(found, np.asarray(expected)[some])
    assert model.calls == 3
    (file,) = tmp_path.rglob("*.npz")
    for changed in (structures[0].copy(), structures[0].copy(), structures[0].copy(), structures[0].copy()):
        changed.positions[0, 0] += 1e-9
    others = [structures[0].copy() for _ in range(4)]
    others[0].positions[1, 2] = np.nextafter(others[0].positions[1, 2], 9)
    others[1].numbers[0] = 12
    others[2].cell[0, 0] += 1e-12
    others[3].pbc[2] = False
    embedding.create(others)
    assert model.calls == 5
    file.write_bytes(file.read_bytes()[:-100])  # damaged: made again
    caching.row_cache.cache_clear()
    np.testing.assert_array_equal(embedding.create(structures), expected)
    assert model.calls == 8
    PretrainedEmbedding(ToyPotential(identity="two"), cache=tmp_path, dtype="float64").create(structures)
    embedding.set_params(dtype="float32").create(structures)
    assert len({path.parent for path in tmp_path.rglob("*.npz")}) == 3
    assert not list(tmp_path.rglob("*.tmp"))


def test_what_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("ATOMPRINT_CACHE", str(tmp_path))
    for embedding in (toy(), toy(identity="one").set_params(cache=False)):
        embedding.create(salts())
    toy(identity="one").prepare(salts(1)[0]).create(salts(1)[0].positions)
    assert not list(tmp_path.iterdir())
    toy(identity="one").create(salts())
    assert [path.name for path in (tmp_path / "embeddings").iterdir()] == ["ToyPotential-one--float64"]
    with pytest.raises(TypeError, match="cache must be True, False or the path of a folder, got 3"):
        toy().set_params(cache=3)


def test_the_oldest_files_of_a_cache_go(tmp_path, monkeypatch):
    monkeypatch.setattr(caching, "_MOST_BYTES", 3000)
    embedding = toy(identity="one").set_params(cache=tmp_path)
    for atoms in salts(12):
        embedding.create(atoms)
    assert 2 <= len(list(tmp_path.rglob("*.npz"))) <= 6
    np.testing.assert_array_equal(embedding.create(salts(12)), toy().create(salts(12)))


def test_what_was_fitted_refuses_other_weights():
    embedding = toy(identity="one").set_params(cache=False).fit(salts())
    assert embedding.weights_ == "one"
    embedding.transform(salts())
    embedding.model = ToyPotential(identity="two")
    with pytest.raises(ValueError, match="has the weights two, but this was fitted with one"):
        embedding.transform(salts())
    embedding.fit(salts())
    assert embedding.weights_ == "two"


# With the packages ---------------------------------------------------------------------------------------------------

REAL = [
    pytest.param(name, marks=pytest.mark.skipif(find_spec(found.package) is None, reason=f"needs {found.package}"))
    for name, found in WEIGHTS.items()
]


@pytest.fixture(params=REAL)
def name(request):
    return request.param


def embedding_of(name, **given):
    return PretrainedEmbedding(name, cache=False, **given)


def calculator(name):
    if name.startswith("chgnet"):
        from chgnet.model import CHGNet
        from chgnet.model.dynamics import CHGNetCalculator

        return CHGNetCalculator(CHGNet.load(verbose=False), use_device="cpu")
    from sevenn.calculator import SevenNetCalculator

    return SevenNetCalculator({"sevennet-0": "7net-0", "sevennet-l3i5": "7net-l3i5"}[name], device="cpu")


@pytest.mark.filterwarnings("ignore")
def test_energies_forces_and_stresses_are_those_of_the_package(name):
    structures, embedding = salts(3), embedding_of(name, layers=["energy"])
    structures.append(bulk("Cu") * (1, 1, 2))
    structures[-1].rattle(0.1)
    rows = embedding.create(structures)
    gradient = embedding.vjp(structures, [np.ones_like(x) for x in rows])
    reference = calculator(name)
    for atoms, x, by_position, by_strain in zip(structures, rows, gradient.positions, gradient.strain, strict=True):
        atoms.calc = reference
        assert x.sum() == pytest.approx(atoms.get_potential_energy(), rel=2e-5)
        forces = atoms.get_forces()
        np.testing.assert_allclose(-by_position, forces, atol=1e-3 * np.abs(forces).max())
        stress = atoms.get_stress(voigt=False)
        np.testing.assert_allclose(by_strain / atoms.get_volume(), stress, atol=2e-3 * np.abs(stress).max())


def test_features_do_not_change_with_those_beside_them(name):
    structures, embedding = salts(20), embedding_of(name)
    together = embedding.create(structures)
    assert np.isfinite(together).all()
    assert np.std(together, axis=(0, 1)).min() > 0
    scales = np.abs(together).max(axis=(0, 1))
    for given in ({}, {"n_jobs": 2}):
        alone = embedding.create(structures[7], **given)
        assert (np.abs(alone - together[7]) / scales).max() < 2e-5
    twice = structures[7] * (1, 1, 2)
    twice.rotate(40, (1, 2, 3), rotate_cell=True)
    for x in np.split(embedding.create(twice), 2):
        assert (np.abs(x - together[7]) / scales).max() < 1e-4
    double = embedding_of(name, dtype="float64").create(structures[:2])
    assert (np.abs(double - together[:2]) / scales).max() < 3e-4


def test_derivatives(name):
    structures = salts(2)
    check_derivatives(embedding_of(name, layers=["energy"], dtype="float64"), structures)
    double, single = embedding_of(name, dtype="float64", pooling="mean"), embedding_of(name, pooling=("mean"))
    rng = np.random.default_rng(0)
    weights = rng.normal(size=double.create(structures).shape)
    exact, found = double.vjp(structures, weights), single.vjp(structures, weights)
    for x, y in ((exact.positions, found.positions), (exact.strain, found.strain)):
        np.testing.assert_allclose(y, x, atol=1e-3 * np.abs(x).max())
    direction, step = rng.normal(size=(2, 4, 3)), 1e-4

    def at(h):
        moved = [atoms.copy() for atoms in structures]
        for atoms, by in zip(moved, direction, strict=True):
            atoms.positions += h * by
        return (double.create(moved) * weights).sum()

    slope = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
    assert (np.asarray(exact.positions) * direction).sum() == pytest.approx(slope, rel=1e-6)


def test_what_the_weights_do_not_know(name):
    embedding = embedding_of(name, pooling="mean")
    with pytest.raises(
        StructureError, match=r"structure 1, atom 0: species must be one that '.*' was trained with, got Po"
    ):
        embedding.create([bulk("Cu"), bulk("Po", "sc", 3.35)])
    with pytest.warns(UserWarning, match=r"1 of 2 structures do not repeat: .* was trained on crystals"):
        embedding.create([bulk("Cu"), molecule("H2O")])
    lonely = Atoms("Na", cell=[20, 20, 20], pbc=True)
    if name.startswith("chgnet"):
        with pytest.raises(StructureError, match=r"structure 17, atom 0: must have a neighbour within 6 Å: 'chgnet"):
            embedding.create([*salts(17), lonely])
    else:
        assert np.isfinite(embedding.create([bulk("Cu"), lonely])).all()


def test_a_version_that_gives_other_features_is_refused(name, monkeypatch):
    known = WEIGHTS[name]
    other = dataclasses.replace(known, fingerprint=tuple(1.01 * x for x in known.fingerprint))
    load._known.cache_clear()
    monkeypatch.setattr(load, "named", lambda _: other)
    with pytest.raises(
        RuntimeError, match=rf"gives other features with the weights '{name}' than .* {known.tested}, with"
    ):
        embedding_of(name).create(salts(1))
    monkeypatch.setattr(load, "named", lambda _: dataclasses.replace(known, layers={**known.layers, "layer 9": 1}))
    with pytest.raises(RuntimeError, match="makes another network"):
        embedding_of(name).create(salts(1))
    load._known.cache_clear()


def test_a_checkpoint_of_a_user(name, tmp_path):
    path = tmp_path / "mine.pth"
    path.write_bytes(WEIGHTS[name].read())
    trusted = WEIGHTS[name].sha256
    own = embedding_of(path, trusted=trusted)
    np.testing.assert_array_equal(own.create(salts(2)), embedding_of(name).create(salts(2)))
    assert own.get_feature_names_out()[0] == "mine.pth layer 1 k=0"
    assert own.fit(salts(2)).weights_ == trusted


def test_a_checkpoint_that_would_run_something_is_refused_even_if_trusted(tmp_path):
    torch = pytest.importorskip("torch")
    made = tmp_path / "made"

    class Evil:
        def __reduce__(self):
            return made.write_text, ("here",)

    path = tmp_path / "evil.pth"
    torch.save({"model_state_dict": Evil(), "config": {}}, path)
    trusted = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(ValueError, match=r"is no checkpoint of numbers and arrays alone"):
        PretrainedEmbedding(path, trusted=trusted).create(salts(1))
    assert not made.exists()
    torch.save({"weights": torch.zeros(3)}, path)
    trusted = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(ValueError, match="is neither of SevenNet nor of CHGNet"):
        PretrainedEmbedding(path, trusted=trusted).create(salts(1))


def test_bonds_have_two_directions():
    graph_of = pytest.importorskip("atomprint.descriptors.pretrained.network").Graph.of
    batch = as_batch(salts(2), periodic=None)
    graph = graph_of(batch, 5.0)
    n = len(graph.first) // 2
    np.testing.assert_array_equal(graph.first[:n], graph.second[n:])
    np.testing.assert_array_equal(graph.vectors[:n], -graph.vectors[n:])
    from atomprint.neighbours import pairs

    assert len(pairs(batch, 5.0)) == 2 * n
    one, other = graph.angles(3.2)
    lengths = np.linalg.norm(graph.vectors, axis=1)
    expected = [
        (i, j)
        for i in range(2 * n)
        for j in range(2 * n)
        if i != j and graph.first[i] == graph.first[j] and max(lengths[i], lengths[j]) < 3.2
    ]
    assert sorted(zip(one.tolist(), other.tolist(), strict=True)) == expected
    assert re.fullmatch("sevenn .*|chgnet .*", WEIGHTS["sevennet-0"].tested)
