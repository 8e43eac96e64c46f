"""Loaders of public data sets: small files in the real formats from a server, and the full ones where there are any."""

import bz2
import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write
from helpers.data_server import Server
from helpers.shared import SHARED, needs_shared
from scipy.io import savemat
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import balanced_accuracy_score

from atomprint.datasets import (
    REGISTRY,
    DataFileError,
    load,
    load_bandgap,
    load_hopv,
    load_matbench,
    load_mp_formation_energy,
    load_mp_metallicity,
    load_perovskite,
    load_qm7,
    load_zuo2020,
)
from atomprint.descriptors import SineMatrix
from atomprint.structures import Batch


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ATOMPRINT_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("ATOMPRINT_MIRRORS", "ATOMPRINT_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def server():
    with Server() as server:
        yield server


def serve(monkeypatch, server, name, *contents, **changes):
    """Let a data set of the registry come from the server."""
    files = []
    for file, content in zip(REGISTRY[name].files, contents, strict=True):
        server.files[file.name] = content
        sha256 = hashlib.sha256(content).hexdigest()
        files.append(replace(file, url=f"{server.url}/{file.name}", sha256=sha256))
    monkeypatch.setitem(REGISTRY, name, replace(REGISTRY[name], files=tuple(files), **changes))


def structure_dict(atoms: Atoms) -> dict:
    """What pymatgen's Structure.as_dict gives."""
    return {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "charge": None,
        "lattice": {"matrix": atoms.cell.array.tolist(), "a": 1.0, "volume": atoms.get_volume()},
        "sites": [
            {"species": [{"element": symbol, "occu": 1}], "abc": abc.tolist(), "xyz": xyz.tolist(), "label": symbol}
            for symbol, abc, xyz in zip(
                atoms.symbols, atoms.get_scaled_positions(wrap=False), atoms.positions, strict=True
            )
        ],
    }


def split_json(columns: list[str], rows: list) -> bytes:
    return gzip.compress(json.dumps({"index": list(range(len(rows))), "columns": columns, "data": rows}).encode())


CRYSTALS = [
    bulk("NaCl", "rocksalt", 5.64),
    bulk("Si"),
    bulk("CsCl", "cesiumchloride", 4.1),
    bulk("Cu", cubic=True),
    bulk("Fe"),
    bulk("MgO", "rocksalt", 4.2),
]
PEROVSKITES = split_json(
    ["structure", "e_form"], [[structure_dict(atoms), 0.5 * i] for i, atoms in enumerate(CRYSTALS)]
)


def test_perovskites_from_a_server(monkeypatch, server, cache):
    serve(monkeypatch, server, "matbench_perovskites", PEROVSKITES, rows=6)
    told = []
    dataset = load_perovskite(progress=lambda *args: told.append(args))
    assert isinstance(dataset.structures, Batch)
    for got, wanted in zip(dataset.structures, CRYSTALS, strict=True):
        assert got.symbols.get_chemical_formula("reduce") == wanted.symbols.get_chemical_formula("reduce")
        np.testing.assert_allclose(got.positions, wanted.positions, atol=1e-12)
        np.testing.assert_allclose(got.cell.array, wanted.cell.array)
        assert got.pbc.all()
    assert dataset.ids == tuple(f"mb-perovskites-{i}" for i in range(1, 7))
    assert dataset.targets["e_form"].values.tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    assert dataset.targets["e_form"].unit == "eV/cell"
    assert len(dataset.folds) == 5
    assert told[-1] == ("read matbench_perovskites.json.gz", 6, 6)
    np.testing.assert_allclose(SineMatrix(n_atoms_max=4).create(dataset.structures).shape, (6, 16))
    assert load("perovskite", offline=True).ids == dataset.ids
    assert len(server.requests) == 1


def test_second_load_reads_arrays_and_survives_damaged_ones(monkeypatch, server, cache):
    serve(monkeypatch, server, "matbench_perovskites", PEROVSKITES, rows=6)
    first = load_perovskite()
    (ready,) = (cache / "read").iterdir()
    for content in (None, b"", ready.read_bytes()[:1000], b"PK\x05\x06" + bytes(18)):
        if content is not None:
            ready.write_bytes(content)
        again = load_perovskite()
        for got, wanted in zip(again.structures.arrays(), first.structures.arrays(), strict=True):
            np.testing.assert_array_equal(got, wanted)
        assert again.ids == first.ids
        np.testing.assert_array_equal(again.targets["e_form"].values, first.targets["e_form"].values)


def test_cache_that_cannot_be_written_to_only_takes_longer(tmp_path, monkeypatch):
    (tmp_path / "matbench_perovskites.json.gz").write_bytes(PEROVSKITES)
    (tmp_path / "file").write_text("")
    assert len(load_perovskite(path=tmp_path, cache=tmp_path / "file")) == 6


def test_truncated_and_broken_files(monkeypatch, server, tmp_path):
    serve(monkeypatch, server, "matbench_perovskites", PEROVSKITES[: len(PEROVSKITES) // 2])
    with pytest.raises(DataFileError, match=r"matbench_perovskites\.json\.gz is truncated or damaged"):
        load_perovskite()
    plain = gzip.decompress(PEROVSKITES)
    for content, message in (
        (PEROVSKITES[:-4], "truncated or damaged"),
        (plain[:-100], "truncated or damaged"),
        (plain.replace(b'"lattice"', b'"lattice', 1), "truncated or damaged"),
        (b"<html>", "must be a JSON file of Matbench, got one that starts with b'<html>'"),
        (b"", "must be a JSON file of Matbench"),
        (b'{"structure": [1, 2], "e_form": [1, 2]}', "must be a table in pandas' JSON"),
        (split_json(["structure", "e_form"], []), "none of 0 rows could be read"),
        (
            split_json(["structure", "e_form"], [[{}, 1]]),
            "none of 1 rows could be read, the first because of: this dict",
        ),
        (split_json(["structure", "energy"], [[{}, 1.0]]), r"column 'e_form', got \['structure', 'energy'\]"),
        (split_json(["structure", "e_form"], [[1.0]]), "must have 2 values in each row, got 1"),
    ):
        (tmp_path / "file.json").write_bytes(content)
        with pytest.raises(DataFileError, match=message):
            load_perovskite(path=tmp_path / "file.json", on_error="skip")


def broken(change) -> dict:
    data = structure_dict(CRYSTALS[0])
    change(data)
    return data


FAULTS = [
    (broken(lambda d: d["sites"][1]["species"][0].update(occu=0.5)), 1.0, "structure", "disordered: site 1 is"),
    (
        broken(lambda d: d["sites"][0]["species"][0].update(element="Xx")),
        1.0,
        "structure",
        "site 0: 'Xx' is not a chem",
    ),
    (broken(lambda d: d.pop("lattice")), 1.0, "structure", "it has no 'lattice'"),
    (broken(lambda d: d["sites"].clear()), 1.0, "structure", "no atoms"),
    (broken(lambda d: d["sites"][0].update(abc=[0, 0])), 1.0, "structure", "must be 2 rows of three numbers"),
    (None, 1.0, "structure", "must be a dictionary of pymatgen, got None"),
    (structure_dict(CRYSTALS[0]), "high", "target", "the target must be a number, got 'high'"),
]


@pytest.mark.parametrize(("structure", "value", "step", "reason"), FAULTS, ids=lambda value: str(value)[:20])
def test_rows_that_cannot_be_read(tmp_path, monkeypatch, structure, value, step, reason):
    monkeypatch.setitem(REGISTRY, "matbench_perovskites", replace(REGISTRY["matbench_perovskites"], rows=6))
    rows = [[structure_dict(atoms), 0.5 * i] for i, atoms in enumerate(CRYSTALS)]
    rows[2] = [structure, value]
    path = tmp_path / "matbench_perovskites.json.gz"
    path.write_bytes(split_json(["structure", "e_form"], rows))
    for _ in range(2):  # from the file, and from what was read before
        dataset = load_perovskite(path=path, on_error="skip")
        assert dataset.ids == tuple(f"mb-perovskites-{i}" for i in (1, 2, 4, 5, 6))
        assert [str(atoms.symbols) for atoms in dataset.structures] == ["NaCl", "Si2", "Cu4", "Fe", "MgO"]
        assert dataset.targets["e_form"].values.tolist() == [0, 0.5, 1.5, 2, 2.5]
        (failure,) = dataset.failures
        assert (failure.row, failure.step) == (2, step)
        if step == "structure":  # the folds of all rows are known, and are those of the rest
            assert sorted(np.concatenate([predict for _, predict in dataset.folds])) == [0, 1, 2, 3, 4]
            assert all(len(fit) + len(predict) == 5 for fit, predict in dataset.folds)
        else:
            assert dataset.folds == ()
        with pytest.raises(ValueError, match=rf"row 2: {step}: .*{reason}"):
            load_perovskite(path=path)
    with pytest.raises(ValueError, match="on_error must be one of 'raise', 'skip', got 'ignore'"):
        load_perovskite(path=path, on_error="ignore")


def test_positions_are_those_of_pymatgen(tmp_path):
    core = pytest.importorskip("pymatgen.core")
    lattice = core.Lattice.from_parameters(4.0, 5.0, 6.5, 70, 95, 110)
    structure = core.Structure(lattice, ["Na+", "Cl-", "D"], [[0.1, 1.2, -0.3], [0.5, 0.5, 0.5], [0.9, 0.1, 0.2]])
    (tmp_path / "file").write_bytes(split_json(["structure", "e_form"], [[structure.as_dict(), 1]]))
    atoms = load_perovskite(path=tmp_path / "file").structures[0]
    np.testing.assert_allclose(atoms.positions, structure.cart_coords, atol=1e-13)
    np.testing.assert_allclose(atoms.cell.array, structure.lattice.matrix, atol=1e-14)
    assert atoms.numbers.tolist() == [11, 17, 1]


def test_compositions_and_classes(monkeypatch, server, tmp_path):
    formulas = ["Ag(AuS)2", "Ag0.5Ge1Pb1.75S4", "NaCl", "Si", "GaAs"]
    gaps = split_json(["composition", "gap expt"], [[f, float(i)] for i, f in enumerate(formulas)])
    serve(monkeypatch, server, "matbench_expt_gap", gaps, rows=5)
    dataset = load_bandgap()
    assert dataset.structures is None
    assert dataset.compositions == tuple(formulas)
    assert dataset.targets["gap"].values.tolist() == [0, 1, 2, 3, 4]
    serve(
        monkeypatch, server, "matbench_expt_gap", split_json(["composition", "gap expt"], [["Xx2", 1.0], ["Si", None]])
    )
    dataset = load_bandgap(on_error="skip")
    assert dataset.compositions == ("Si",)
    assert np.isnan(dataset.targets["gap"].values).all()  # not known, which is no failure
    assert [failure.step for failure in dataset.failures] == ["composition"]
    rows = [["Cu", True], ["NaCl", False], ["Al", 1], ["Si", 0], ["Fe", 2]]
    (tmp_path / "metals.json").write_bytes(split_json(["composition", "is_metal"], rows))
    dataset = load_matbench("expt_is_metal", path=tmp_path / "metals.json", on_error="skip")
    assert dataset.targets["is_metal"].classes == ("non-metal", "metal")
    assert dataset.targets["is_metal"].values.tolist() == [1, 0, 1, 0]
    assert "true or false, got 2" in dataset.failures[0].reason


def test_columns_of_a_table_with_groups(tmp_path):
    table = {
        "mbid": {"0": "a", "1": "b"},
        "e_form": {"0": -1.0, "1": 0.5},
        "composition": {"0": "Na1 Cl1", "1": "Si2"},
        "spg_num": {"0": 225, "1": 227},
    }
    (tmp_path / "mp_e_form.compositions.json.bz2").write_bytes(bz2.compress(json.dumps(table).encode()))
    dataset = load_mp_formation_energy(path=tmp_path)
    assert dataset.ids == ("a", "b")
    assert dataset.compositions == ("Na1 Cl1", "Si2")
    assert dataset.groups["space group"].tolist() == ["225", "227"]
    assert dataset.folds == ()  # these are not all rows


STREAM = """
import sys, tracemalloc
from atomprint.datasets import load_mp_formation_energy
load_mp_formation_energy(path=sys.argv[1], cache=sys.argv[2] + "/warm")  # imports
tracemalloc.start()
batch = load_mp_formation_energy(path=sys.argv[1], cache=sys.argv[2]).structures
peak = tracemalloc.get_traced_memory()[1]
print(peak, sum(array.nbytes for array in batch.arrays()))
"""


@pytest.mark.slow
def test_large_files_are_streamed(tmp_path):
    site = structure_dict(CRYSTALS[3].repeat((4, 2, 1)))
    n, n_atoms = 3000, len(site["sites"])
    row = json.dumps([site, 0.25]).encode()
    path = tmp_path / "matbench_mp_e_form.json.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b'{"columns":["structure","e_form"],"data":[' + b",".join([row] * n) + b"]}")
    assert n * len(row) > 1.2e7
    run = subprocess.run(
        [sys.executable, "-c", STREAM, str(path), str(tmp_path / "cache")], capture_output=True, check=True, text=True
    )
    peak, arrays = map(int, run.stdout.split())
    assert arrays == pytest.approx(n * n_atoms * 28, rel=0.1)
    # Growing arrays are copied now and then, and are put together at the end; besides there are some rows and buffers.
    assert peak < 2.5 * arrays + 2e6


HOPV = """\
c1ccsc1
InChI=1S/C4H4S
10.1/a,AAA,polymer,bulk,PC71BM,-5.04,-3.57,1.47,1.59,7.81,0.69,17.07,66.3
c1ccsc1
2
Conformer 1
2
C 0.0 0.1 0.2
H 0.0 0.1 1.3
QChem B3LYP/def2-SVP DFT,-0.187,-0.099,0.088,1.56454461973,0.4885289015,49.2884633879{blank}
QChem BP86/def2-SVP DFT,-0.171,-0.118,0.053,0.699699158573,0.0531467495,202.619962665{blank}
QChem M06-2X/def2-SVP DFT,-0.228,-0.077,0.151,8.87303812464e-05,1.604195666,0.000851260723918{blank}
QChem PBE0/def2-SVP DFT,-0.197,-0.098,0.099,1.31704752712,0.7606427465,26.6482262065{blank}
Conformer 2
2
C 0.0 0.1 0.2
H 0.0 0.1 1.4
QChem B3LYP/def2-SVP DFT,-0.188,-0.099,0.088,1.5,0.4,49.2{blank}
QChem BP86/def2-SVP DFT,-0.171,-0.118,0.053,0.6,0.05,202.6{blank}
QChem M06-2X/def2-SVP DFT,nan,nan,nan,nan,nan,nan{blank}
QChem PBE0/def2-SVP DFT,-0.197,-0.098,0.099,1.3,0.7,26.6{blank}
Cc1ccsc1
InChI=1S/C5H6S
10.1/b,{key},molecule,bulk,PC61BM,nan,nan,nan,nan,2.5,nan,nan,nan
Cc1ccsc1
1
Conformer 1
1
S 1.0 2.0 3.0
QChem B3LYP/def2-SVP DFT,-0.2,-0.1,0.1,1.5,0.4,49.2{blank}
QChem BP86/def2-SVP DFT,-0.2,-0.1,0.1,1.5,0.4,49.2{blank}
QChem M06-2X/def2-SVP DFT,-0.2,-0.1,0.1,1.5,0.4,49.2{blank}
QChem PBE0/def2-SVP DFT,-0.2,-0.1,0.1,1.5,0.4,49.2{blank}
"""


def hopv(key: str = "BBB") -> str:
    return HOPV.format(blank=" ", key=key)  # lines of calculations end in a blank in the original


def test_hopv(monkeypatch, server):
    serve(monkeypatch, server, "hopv15", hopv().encode())
    dataset = load_hopv()
    values = {name: target.values for name, target in dataset.targets.items()}
    assert dataset.ids == ("AAA", "BBB")
    assert dataset.structures[0].get_distance(0, 1) == pytest.approx(1.1)
    assert dataset.structures[1].info == {"smiles": "Cc1ccsc1", "inchi": "InChI=1S/C5H6S"}
    assert values["homo"][0] == -5.04
    assert values["pce"].tolist() == [7.81, 2.5]
    assert np.isnan(values["homo"][1])
    assert dataset.targets["homo"].known.tolist() == [0]
    assert values["homo_b3lyp"][0] == pytest.approx(-0.187 * 27.2114, rel=1e-5)
    assert dataset.groups["construction"].tolist() == ["polymer", "molecule"]
    # Experiment: efficiency = fill factor × voltage × current / 100 mW/cm². The same, in the same units, must hold for
    # the model, whose fill factor is 0.65; these are numbers of the original file.
    assert 0.663 * values["voc"][0] * values["jsc"][0] == pytest.approx(values["pce"][0], rel=1e-3)
    for key in ("b3lyp", "bp86", "m06-2x", "pbe0"):
        model = 0.65 * values[f"voc_{key}"][0] * values[f"jsc_{key}"][0]
        assert model == pytest.approx(values[f"pce_{key}"][0], rel=2e-3)
    every = load_hopv(conformers="all")
    assert every.ids == ("AAA/1", "AAA/2", "BBB/1")
    assert every.groups["molecule"].tolist() == ["AAA", "AAA", "BBB"]
    assert every.structures[1].get_distance(0, 1) == pytest.approx(1.2)
    assert np.isnan(every.targets["homo_m06-2x"].values[1])
    with pytest.raises(ValueError, match='conformers must be "first" or "all"'):
        load_hopv(conformers="best")


def test_hopv_faults(tmp_path):
    path = tmp_path / "HOPV_15_revised_2.data"
    path.write_text(hopv(key="AAA"))
    assert load_hopv(path=tmp_path).ids == ("AAA", "AAA-2")
    for old, new, reason in (
        ("C 0.0 0.1 0.2", "Q 0.0 0.1 0.2", "'Q' is not a chemical element"),
        ("C 0.0 0.1 0.2", "C 0.0 0.1", "a symbol and three coordinates"),
        ("-5.04,", "", "must be 13 experimental fields, got 12"),
        ("QChem B3LYP", "QChem HF", "a calculation must be of B3LYP"),
    ):
        path.write_text(hopv().replace(old, new, 1))
        dataset = load_hopv(path=path, on_error="skip")
        assert dataset.ids == ("BBB",)
        assert reason in dataset.failures[0].reason
        with pytest.raises(ValueError, match=f"row 0: .*{reason}"):
            load_hopv(path=path)
    for content, reason in (
        (hopv()[:-300], "ends within a molecule"),
        (hopv().replace("Conformer 2\n2", "Conformer 2\nmany"), "expected the number of atoms, got 'many'"),
        ("", "none of 0 rows could be read"),
        ("<html>\n" * 9, "expected the number of conformers"),
    ):
        path.write_text(content)
        with pytest.raises(DataFileError, match=reason):
            load_hopv(path=path, on_error="skip")


def qm7_mat() -> bytes:
    """What quantum-machine.org has: charges and positions in Bohr, padded with zeros."""
    molecules = [molecule(name) for name in ("CH4", "H2O", "CH3SH", "NH3", "HCN")]
    z, r = np.zeros((5, 23), dtype=np.float32), np.zeros((5, 23, 3), dtype=np.float32)
    for i, atoms in enumerate(molecules):
        z[i, : len(atoms)], r[i, : len(atoms)] = atoms.numbers, atoms.positions / 0.529177
    file = io.BytesIO()
    savemat(
        file, {"Z": z, "R": r, "T": np.arange(5.0, dtype=np.float32)[None], "P": np.array([[0], [1], [2], [4], [3]])}
    )
    return file.getvalue()


def test_qm7_from_a_server(monkeypatch, server, tmp_path):
    serve(monkeypatch, server, "qm7", qm7_mat())
    dataset = load_qm7()
    assert [str(atoms.symbols) for atoms in dataset.structures] == ["CH4", "OH2", "CSH4", "NH3", "CNH"]
    assert dataset.structures[0].get_distance(0, 1) == pytest.approx(1.09, abs=0.01)
    assert dataset.targets["atomization_energy"].values.tolist() == [0, 1, 2, 3, 4]
    assert not dataset.structures.pbc.any()
    assert [(fit.tolist(), predict.tolist()) for fit, predict in dataset.folds][3] == ([0, 1, 2, 3], [4])
    (tmp_path / "qm7.mat").write_bytes(qm7_mat()[:500])
    with pytest.raises(DataFileError, match=r"qm7\.mat is damaged, or not qm7\.mat"):
        load_qm7(path=tmp_path)


def test_qm7_with_a_bad_molecule(tmp_path):
    from scipy.io import loadmat

    data = loadmat(io.BytesIO(qm7_mat()))
    data["R"][1, 0, 0] = np.nan
    data["Z"][3, 0] = 6.5
    savemat(tmp_path / "qm7.mat", {key: data[key] for key in "ZRTP"})
    dataset = load_qm7(path=tmp_path / "qm7.mat", on_error="skip")
    assert dataset.ids == ("qm7-1", "qm7-3", "qm7-5")
    assert [failure.row for failure in dataset.failures] == [1, 3]
    assert sorted(np.concatenate([predict for _, predict in dataset.folds])) == [0, 1, 2]
    with pytest.raises(ValueError, match=r"row 1: .*positions must be finite"):
        load_qm7(path=tmp_path)


def test_qm7_of_the_qml_code(tmp_path):
    files = {"0001.xyz": b"2\n\nC 0 0 0\nO 0 0 1.1\n", "0002.xyz": b"3\n\nC 0 0 0\n", "../0003.xyz": b""}
    (tmp_path / "hof_qm7.txt").write_text("0001.xyz -417.0 -431.5\n0002.xyz -1 -1\n0004.xyz -1 -1\n0001.xyz x y\n")

    def pack(names):
        with tarfile.open(tmp_path / "qm7_xyz.tar.xz", "w:xz") as archive:
            for name in names:
                info = tarfile.TarInfo(f"tests/qm7/{name}")
                info.size = len(files[name])
                archive.addfile(info, io.BytesIO(files[name]))

    pack(["0001.xyz", "0002.xyz"])
    dataset = load_qm7(path=tmp_path, on_error="skip")
    assert dataset.ids == ("qm7-0001",)
    assert dataset.targets["atomization_energy"].values.tolist() == [-417.0]
    assert dataset.targets["atomization_energy_cheap"].values.tolist() == [-431.5]
    assert [failure.step for failure in dataset.failures] == ["structure", "structure", "target"]
    pack(["0001.xyz", "../0003.xyz"])
    with pytest.raises(DataFileError, match="the archive is not safe"):
        load_qm7(path=tmp_path)
    pack(["0001.xyz", "0002.xyz"])
    content = (tmp_path / "qm7_xyz.tar.xz").read_bytes()
    (tmp_path / "qm7_xyz.tar.xz").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataFileError, match="truncated or damaged"):
        load_qm7(path=tmp_path)


def zuo_record(atoms: Atoms, energy: float) -> dict:
    forces = np.arange(3.0 * len(atoms)).reshape(-1, 3)
    outputs = {"energy": energy, "forces": forces.tolist(), "virial_stress": [0] * 6}
    return {"structure": structure_dict(atoms), "outputs": outputs, "group": "Vacancy", "tag": "train"}


def test_zuo2020_from_a_server(monkeypatch, server):
    cell = bulk("Li", cubic=True)
    parts = [[zuo_record(cell, -4.0), zuo_record(cell, -5.0)], [zuo_record(cell, -6.0)]]
    serve(monkeypatch, server, "zuo2020_Li", *(json.dumps(part).encode() for part in parts))
    dataset = load_zuo2020("Li")
    assert dataset.ids == ("Li-train-001", "Li-train-002", "Li-test-001")
    assert dataset.targets["energy_per_atom"].values.tolist() == [-2, -2.5, -3]
    assert dataset.groups["kind"].tolist() == ["Vacancy"] * 3
    ((fit, predict),) = dataset.folds
    assert (fit.tolist(), predict.tolist()) == ([0, 1], [2])
    assert dataset.structures[2].get_potential_energy() == -6
    np.testing.assert_array_equal(dataset.structures[0].get_forces(), [[0, 1, 2], [3, 4, 5]])
    assert load("zuo2020_Li", part="test").ids == ("Li-test-001",)
    for arguments, message in ((("Pb",), "element must be one of"), (("Li", "valid"), 'part must be "all"')):
        with pytest.raises(ValueError, match=message):
            load_zuo2020(*arguments)


def test_zuo2020_faults(tmp_path):
    cell, other = bulk("Li", cubic=True), bulk("Cu")
    short = zuo_record(cell, 0.0)
    short["outputs"]["forces"].pop()
    records = [zuo_record(cell, -4.0), zuo_record(other, 1.0), short, {"structure": structure_dict(cell)}, {}]
    (tmp_path / "training.json").write_text(json.dumps(records))
    dataset = load_zuo2020("Li", "train", path=tmp_path, on_error="skip")
    assert dataset.ids == ("Li-train-001",)
    for failure, reason in zip(
        dataset.failures,
        ("all atoms must be Li, got Cu", r"forces must have shape (2, 3), got (1, 3)", "'outputs'", "'structure'"),
        strict=True,
    ):
        assert reason in failure.reason
    with pytest.raises(ValueError, match=r"row 1 \(train-002\): structure: all atoms must be Li"):
        load_zuo2020("Li", "train", path=tmp_path)
    (tmp_path / "training.json").write_text(json.dumps(records)[:-20])
    with pytest.raises(DataFileError, match="truncated or damaged"):
        load_zuo2020("Li", "train", path=tmp_path)
    with pytest.raises(ValueError, match="path must be a folder"):
        load_zuo2020("Li", path=tmp_path / "training.json")
    (tmp_path / "training.json").write_text("[]")
    with pytest.raises(DataFileError, match="none of 0 rows could be read"):
        load_zuo2020("Li", "train", path=tmp_path)
    frame = cell.copy()
    frame.arrays["force"] = np.ones((2, 3))
    frame.info["energy"] = -4.0
    write(tmp_path / "zuo2020_Li_test.extxyz", [frame, frame])
    path = tmp_path / "zuo2020_Li_test.extxyz"
    assert load_zuo2020("Li", "test", path=tmp_path).structures[1].get_forces().tolist() == [[1] * 3] * 2
    text = path.read_text()
    path.write_text(text.replace("energy=", "other=", 1))
    assert "energy is missing" in load_zuo2020("Li", "test", path=path, on_error="skip").failures[0].reason
    path.write_text(text[: len(text) - 110])
    with pytest.raises(DataFileError, match="but the file ends before"):
        load_zuo2020("Li", "test", path=path)


@needs_shared
@pytest.mark.parametrize(
    ("loader", "n", "id", "published"),
    [  # the dummies of the leaderboard of Matbench: mean absolute errors, eV
        (load_bandgap, 4604, "mb-expt-gap-0001", 1.1435),
        (load_perovskite, 18928, "mb-perovskites-00001", 0.5660),
        (load_mp_formation_energy, 132752, "mb-mp-e-form-000001", 1.0059),
    ],
)
def test_official_folds_give_the_published_dummies(loader, n, id, published):
    dataset = loader(path=SHARED / "matbench")
    assert len(dataset) == n
    assert dataset.ids[0] == id
    assert len(dataset.folds) == 5
    assert sorted(np.concatenate([predict for _, predict in dataset.folds])) == list(range(n))
    y = next(iter(dataset.targets.values())).values
    errors = []
    for fit, predict in dataset.folds:
        assert len(np.intersect1d(fit, predict)) == 0
        model = DummyRegressor().fit(np.zeros((len(fit), 1)), y[fit])
        errors.append(np.abs(y[predict] - model.predict(np.zeros((len(predict), 1)))).mean())
    assert np.mean(errors) == pytest.approx(published, abs=5e-5)


@needs_shared
def test_metallicity_has_classes_and_stratified_folds():
    dataset = load_mp_metallicity(path=SHARED / "matbench")
    assert len(dataset) == 106113
    y = dataset.targets["is_metal"].values
    assert y.mean() == pytest.approx(0.43492314796490533)  # frac_true in Matbench's own metadata
    assert set(dataset.groups) == {"space group", "crystal system"}
    for fit, predict in dataset.folds:
        assert y[predict].mean() == pytest.approx(y.mean(), abs=1e-4)
        model = DummyClassifier(strategy="stratified", random_state=0).fit(np.zeros((len(fit), 1)), y[fit])
        score = balanced_accuracy_score(y[predict], model.predict(np.zeros((len(predict), 1))))
        assert score == pytest.approx(0.5012, abs=0.01)


@needs_shared
def test_perovskites_are_cells_of_five_atoms():
    dataset = load_perovskite(path=SHARED / "matbench")
    assert set(dataset.structures.n_atoms) == {5}
    assert dataset.structures.pbc.all()
    core = pytest.importorskip("pymatgen.core")
    with gzip.open(SHARED / "matbench" / "matbench_perovskites.json.gz") as file:
        rows = json.load(file)["data"]
    for i in (0, 777, 18927):
        structure = core.Structure.from_dict(rows[i][0])
        np.testing.assert_allclose(dataset.structures[i].positions, structure.cart_coords, atol=1e-12)
        assert dataset.structures[i].numbers.tolist() == list(structure.atomic_numbers)


@needs_shared
def test_full_qm7():
    dataset = load_qm7(path=SHARED / "qm7")
    assert len(dataset) == 7101
    assert set(np.unique(dataset.structures.numbers)) == {1, 6, 7, 8, 16}
    assert dataset.structures.n_atoms.max() == 23
    # Methane: its atomization energy is about 420 kcal/mol (without zero-point energy).
    assert str(dataset.structures[0].symbols) == "CH4"
    assert dataset.targets["atomization_energy"].values[0] == pytest.approx(-420, abs=5)


@needs_shared
@pytest.mark.parametrize(
    ("element", "rows"), [("Ni", (263, 31)), ("Cu", (262, 31)), ("Li", (241, 29)), ("Si", (214, 25))]
)
def test_full_potentials(element, rows):
    dataset = load_zuo2020(element, path=SHARED / "potentials")
    ((fit, predict),) = dataset.folds
    assert (len(fit), len(predict)) == rows
    assert len(dataset) == REGISTRY[f"zuo2020_{element}"].rows
    # Forces of a calculation without external fields add up to zero.
    assert max(np.abs(atoms.get_forces().sum(axis=0)).max() for atoms in dataset.structures) < 0.05
