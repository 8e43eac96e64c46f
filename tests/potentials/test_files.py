"""One file holds a potential, and what is no such file is refused."""

import json
import sys
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest

from atomprint.descriptors import SOAP
from atomprint.potentials import LabelledStructures, LinearPotential, Solver, load_potential
from atomprint.potentials.fitted.files import Classes, read_state, write_state
from atomprint.util.npz import write_npz

NONE = Classes(lambda name: False)


@pytest.fixture(scope="module")
def labels():
    from ase.build import bulk

    rng = np.random.default_rng(0)
    frames = [bulk("Si", a=5.4 + 0.1 * rng.random()) for _ in range(8)]
    for k, atoms in enumerate(frames):
        atoms.rattle(0.05, seed=k)
    stresses = rng.random((8, 3, 3))
    return LabelledStructures.of(
        frames, energies=rng.random(8), forces=rng.random((16, 3)), stresses=0.5 * (stresses + stresses.swapaxes(1, 2))
    )


def fitted(labels, descriptor):
    solver = Solver(sigma_energy=0.01, regularisation=1.0, power=1.0)
    with pytest.warns(UserWarning, match="of structures that were left out are predicted"):  # labels are random
        return LinearPotential(descriptor, solver=solver).fit(labels)


SMALL = {"r_cut": 4.0, "n_max": 2, "l_max": 1, "periodic": True}


@pytest.fixture(scope="module")
def potential(labels):
    return fitted(labels, SOAP(**SMALL))


def test_a_file_holds_what_it_says(potential, tmp_path):
    path = tmp_path / "silicon.npz"
    potential.save(path)
    potential.save(tmp_path / "again.npz")
    assert path.read_bytes() == (tmp_path / "again.npz").read_bytes()
    with np.load(path, allow_pickle=False) as arrays:  # nothing in it can be run
        header = json.loads(arrays["header"].tobytes())
    summary = header["state"]["model"]["summary"]
    assert summary["elements"] == ["Si"]
    assert summary["n_structures"] == 8
    assert summary["units"]["forces"] == "eV/Å"
    assert header["format"] == 1
    again = load_potential(path)
    again.save(tmp_path / "again.npz")
    assert path.read_bytes() == (tmp_path / "again.npz").read_bytes()
    assert again.get_params()["solver__sigma_energy"] == 0.01
    assert len(again.model_.summary["checksum"]) == 64
    with pytest.raises(FileNotFoundError):
        load_potential(tmp_path / "none.npz")


@contextmanager
def suppress_of(name):
    """Let pass errors of a value that name a file."""
    try:
        yield
    except ValueError as error:
        if name not in str(error):
            raise


@pytest.mark.parametrize("at", [0.05, 0.3, 0.5, 0.8, 0.95])
def test_a_damaged_file_is_refused(potential, tmp_path, at):
    path = tmp_path / "silicon.npz"
    potential.save(path)
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] ^= 0xFF
    path.write_bytes(data)
    with suppress_of("silicon.npz"):  # a byte of a date says nothing
        load_potential(path)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"silicon\.npz' is no \.npz file, or damaged"):
        load_potential(path)


def changed(path, change):
    """Write a file again with another header, and a checksum that fits."""
    with np.load(path) as arrays:
        held = {name: arrays[name] for name in arrays.files}
    header = json.loads(held["header"].tobytes())
    change(header)
    from atomprint.potentials.fitted import files

    text = json.dumps(header, sort_keys=True).encode()
    rest = {name: array for name, array in held.items() if name not in ("header", "checksum")}
    checksum = files._checksum(text, rest).encode()
    own = {"header": np.frombuffer(text, np.uint8), "checksum": np.frombuffer(checksum, np.uint8)}
    write_npz(path, own | rest)


def test_what_is_no_potential_is_refused(potential, tmp_path):
    path = tmp_path / "silicon.npz"

    def refused(change, message):
        potential.save(path)
        changed(path, change)
        with pytest.raises(ValueError, match=message):
            load_potential(path)

    refused(lambda head: head.update(format=2), r"later version of atomprint \(format 2, this one reads up to 1\)")
    refused(lambda head: head.update(kind="other"), "it is no potential of atomprint")
    refused(lambda head: head["arrays"].update(a0="object"), "arrays of object are not known")
    refused(lambda head: head["state"].pop("model"), "cannot be read as a potential")
    refused(
        lambda head: head["state"]["model"]["terms"][0].update({"class": "os.system"}),
        "holds a class of another package, 'os.system'",
    )
    refused(
        lambda head: head["state"]["potential"].update(version=99), "makes other numbers than when the file was written"
    )
    refused(lambda head: head["state"].update(potential={"object": "Solver"}), "there is no potential in it")
    refused(lambda head: head["state"]["potential"].update(parameters=[]), "cannot be read as a potential")

    def model(**parts):
        return lambda head: head["state"]["model"].update(parts)

    refused(model(references={"C": 1.0}), "references must be finite energies of all elements")
    refused(model(summary=None), "summary must be by words")
    refused(model(hyperparameters={"sigma_energy": "x"}), "sigma_energy must be a number, got 'x'")
    refused(
        lambda head: head["state"]["model"]["uncertainty"].update(triangle=head["state"]["model"]["coefficients"]),
        "the triangle of [0-9]+ functions has another size",
    )
    potential.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    header = members["header.npy"].replace(b'"n_structures": 8', b'"n_structures": 9')
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (members | {"header.npy": header}).items():
            archive.writestr(name, data)
    with pytest.raises(ValueError, match="does not fit its checksum"):
        load_potential(path)
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(ValueError, match=r"is no \.npz file"):
        load_potential(tmp_path / "text.npz")
    write_npz(tmp_path / "other.npz", {"x": np.zeros(3)})
    with pytest.raises(ValueError, match=r"other\.npz' is no potential of atomprint"):
        load_potential(tmp_path / "other.npz")


def test_descriptors_of_others_are_loaded_if_they_are_trusted(labels, tmp_path, monkeypatch):
    (tmp_path / "ours_alone.py").write_text("from atomprint.descriptors import SOAP\nclass Own(SOAP):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    from ours_alone import Own

    potential = fitted(labels, Own(**SMALL))
    path = tmp_path / "own.npz"
    potential.save(path)
    with pytest.raises(ValueError, match=r"holds a class of another package, 'ours_alone.Own', whose code is run"):
        load_potential(path)
    again = load_potential(path, trusted=["ours_alone.Own"])
    assert type(again.descriptor) is Own
    frames = labels.structures
    np.testing.assert_array_equal(again.predict(frames).energies, potential.predict(frames).energies)
    (tmp_path / "ours_alone.py").write_text("Own = 3\n")
    monkeypatch.delitem(sys.modules, "ours_alone")
    with pytest.raises(ValueError, match=r"the class 'ours_alone.Own' must be a class with get_params"):
        load_potential(path, trusted=["ours_alone.Own"])

    class Local(SOAP):
        pass

    local = fitted(labels, Local(**SMALL))
    with pytest.raises(TypeError, match="Local cannot be written to a file: who reads it cannot import it"):
        local.save(path)


def test_only_plain_things_are_written(tmp_path):
    state = {"a": [1, 2.5, None, "x", True], "b": {"c": np.arange(6.0).reshape(2, 3)}, "d": np.float64(3)}
    write_state(tmp_path / "state.npz", state)
    found, _ = read_state(tmp_path / "state.npz", NONE)
    np.testing.assert_array_equal(found.pop("b")["c"], state.pop("b")["c"])
    assert found == state
    for wrong, message in [
        ({"f": len}, r"state\['f'\] cannot be written to a file: it is a builtin"),
        ({"f": np.array(["x"])}, r"state\['f'\] must be an array of bool"),
        ({"f": {1: print}}, r"state\['f'\]\[1\]\[1\] cannot be written"),
        ({"f": {"pairs": 2}}, "must not have 'pairs' as its only key"),
        ({"f": {"array": 2}}, "must not have 'array' as its only key"),
    ]:
        with pytest.raises(TypeError, match=message):
            write_state(tmp_path / "wrong.npz", wrong)
    assert not (tmp_path / "wrong.npz").exists()


def test_keys_may_be_numbers_and_pairs(tmp_path):
    state = {"f": {29: 1.5, "Au": 2.0, (29, 79): [1, 2], ("Cu", "Au"): {"a": np.arange(3)}}}
    write_state(tmp_path / "it.npz", state)
    found, _ = read_state(tmp_path / "it.npz", NONE)
    assert list(found["f"]) == list(state["f"])
    assert found["f"][29, 79] == [1, 2]
    assert found["f"]["Cu", "Au"]["a"].tolist() == [0, 1, 2]
