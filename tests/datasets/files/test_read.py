"""Own data in every format, and what is said about rows that are no good."""

import bz2
import csv
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import write
from helpers.shared import SHARED, needs_shared

from atomprint.datasets.dataset import Dataset
from atomprint.datasets.files.read import read_dataset
from atomprint.datasets.files.structures import to_atoms
from atomprint.formats.cif import crystal_of_cif
from atomprint.formats.pymatgen_dict import read_pymatgen_dict

CRYSTALS = [bulk("NaCl", "rocksalt", 5.64), bulk("Si"), bulk("ZnS", "wurtzite", 3.81, c=6.23)]
FORMULAS = ("NaCl", "Si", "ZnS")


def p1_cif(atoms: Atoms, occupancy: str = "1", symbol: str | None = None) -> str:
    """Return a CIF in the form that pymatgen writes without symmetry."""
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = ["# generated using pymatgen", f"data_{atoms.symbols}", "_symmetry_space_group_name_H-M   'P 1'"]
    lines += [f"_cell_{name}   {value:.8f}" for name, value in zip(names, atoms.cell.cellpar(), strict=True)]
    counts = " ".join(f"{element}{n}" for element, n in atoms.symbols.formula.count().items())
    lines += ["_symmetry_Int_Tables_number   1", f"_chemical_formula_structural   {atoms.symbols}"]
    lines += [f"_chemical_formula_sum   '{counts}'", f"_cell_volume   {atoms.get_volume():.8f}"]
    lines += ["_cell_formula_units_Z   1", "loop_", " _symmetry_equiv_pos_site_id", " _symmetry_equiv_pos_as_xyz"]
    lines += ["  1  'x, y, z'", "loop_"]
    columns = ("type_symbol", "label", "symmetry_multiplicity", "fract_x", "fract_y", "fract_z", "occupancy")
    lines += [f" _atom_site_{column}" for column in columns]
    for index, (element, (x, y, z)) in enumerate(zip(atoms.symbols, atoms.get_scaled_positions(), strict=True)):
        lines.append(f"  {symbol or element}  {element}{index}  1  {x:.8f}  {y:.8f}  {z:.8f}  {occupancy}")
    return "\n".join([*lines, ""])


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], delimiter: str = ",") -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def same(found: Atoms, wanted: Atoms, tolerance: float = 1e-6) -> bool:
    """Return whether distances are the same, which does not depend on how the cell is turned."""
    return found.symbols.get_chemical_formula() == wanted.symbols.get_chemical_formula() and bool(
        np.allclose(found.get_all_distances(mic=True), wanted.get_all_distances(mic=True), atol=tolerance)
        and np.allclose(found.cell.cellpar(), wanted.cell.cellpar(), atol=tolerance)
    )


# Formats


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("b.csv", ";"), ("c.csv", "\t"), ("d.tsv", "\t")])
def test_tables_of_formulas(tmp_path: Path, name: str, delimiter: str):
    rows = [{"formula": f, "gap": g, "phase": p} for f, g, p in zip(FORMULAS, (5.0, "", 3.9), "aba", strict=True)]
    path = write_csv(tmp_path / name, rows, delimiter)
    dataset = read_dataset(path, targets="gap", groups="phase", units={"gap": "eV"}, titles={"gap": "Band gap"})
    assert dataset.structures is None
    assert dataset.compositions == list(FORMULAS)
    assert dataset.targets["gap"].values.tolist()[::2] == [5.0, 3.9]
    assert dataset.targets["gap"].known.tolist() == [0, 2]
    assert (dataset.targets["gap"].unit, dataset.targets["gap"].title) == ("eV", "Band gap")
    assert dataset.groups["phase"].tolist() == ["a", "b", "a"]
    assert dataset.ids == ("0", "1", "2")
    assert dataset.name == name[0]
    assert dataset.summary().targets["gap"].n_unknown == 1


def poscar(atoms: Atoms) -> str:
    file = io.StringIO()
    write(file, atoms, format="vasp")
    return file.getvalue()


def pymatgen_json(atoms: Atoms) -> str:
    structure = pytest.importorskip("pymatgen.core").Structure.from_ase_atoms(atoms)
    return json.dumps(structure.as_dict())


@pytest.mark.parametrize("text", [p1_cif, poscar, pymatgen_json])
@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".tsv.bz2"])
def test_tables_with_structures_as_text(tmp_path: Path, text: Callable[[Atoms], str], ending: str):
    plain = tmp_path / f"x{ending[:4]}"
    rows = [{"material_id": f"mp-{i}", "structure": text(atoms), "e": -i} for i, atoms in enumerate(CRYSTALS)]
    write_csv(plain, rows, "\t" if ending.startswith(".tsv") else ",")
    path = tmp_path / f"y{ending}"
    pack = {".gz": gzip.compress, ".bz2": bz2.compress}.get(path.suffix, lambda data: data)
    path.write_bytes(pack(plain.read_bytes()))
    dataset = read_dataset(path)  # each column is the only one that can be meant
    assert dataset.ids == ("mp-0", "mp-1", "mp-2")
    assert dataset.targets["e"].values.tolist() == [0, -1, -2]
    assert all(same(a, b) for a, b in zip(dataset.structures, CRYSTALS, strict=True))
    assert all(atoms.pbc.all() for atoms in dataset.structures)
    parallel = read_dataset(path, n_jobs=2) if text is p1_cif and ending == ".csv" else dataset
    assert parallel.ids == dataset.ids


def test_tables_with_paths_of_files(tmp_path: Path):
    (tmp_path / "files").mkdir()
    for i, atoms in enumerate(CRYSTALS):
        write(tmp_path / "files" / f"{i}.cif", atoms)
    rows = [{"file": f"files/{i}.cif", "y": i} for i in range(3)]
    dataset = read_dataset(write_csv(tmp_path / "x.csv", rows), structure="file", targets="y")
    assert all(same(a, b, 1e-4) for a, b in zip(dataset.structures, CRYSTALS, strict=True))


def test_parquet(tmp_path: Path):
    pandas, _ = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(
        {"cif": [p1_cif(a) for a in CRYSTALS], "gap": [1.0, None, 3.0], "metal": [True, False, None]},
        index=["a", "b", "c"],
    )
    path = tmp_path / "x.parquet"
    frame.to_parquet(path)
    dataset = read_dataset(path, targets=["gap", "metal"])
    assert dataset.formulas == FORMULAS
    assert dataset.targets["gap"].known.tolist() == [0, 2]
    assert dataset.targets["metal"].classes == ("False", "True")
    assert dataset.targets["metal"].values[:2].tolist() == [1, 0]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"x\.parquet cannot be read"):
        read_dataset(path)


def calculated(atoms: Atoms, energy: float) -> Atoms:
    atoms = atoms.copy()
    forces, charges = np.arange(3.0 * len(atoms)).reshape(-1, 3), np.linspace(-1, 1, len(atoms))
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces, charges=charges)
    atoms.info["gap"] = energy / 2
    atoms.arrays["shift"] = charges * 100
    return atoms


def test_extended_xyz_keys_and_arrays(tmp_path: Path):
    frames = [calculated(molecule("H2O"), -1.0), calculated(bulk("NaCl", "rocksalt", 5.64), -2.0)]
    write(tmp_path / "x.extxyz", frames)
    targets = {"energy": "energy", "gap": "gap", "q": "charges", "shift": "shift", "f_y": "forces[1]"}
    dataset = read_dataset(tmp_path / "x.extxyz", targets=targets, units={"energy": "eV"})
    assert dataset.targets["energy"].values.tolist() == [-1, -2]
    assert dataset.targets["gap"].values.tolist() == [-0.5, -1]
    for name, wanted in (("q", [-1, 0, 1]), ("shift", [-100, 0, 100]), ("f_y", [1, 4, 7])):
        assert dataset.targets[name].level == "atom"
        assert dataset.targets[name].values[0] == pytest.approx(wanted)
        assert len(dataset.targets[name].values[1]) == 2
    # Neither energies nor anything made from them stays with the structures.
    for atoms in dataset.structures:
        assert atoms.calc is None
        assert atoms.info == {}
        assert set(atoms.arrays) == {"numbers", "positions"}
    assert dataset.structures[0].pbc.tolist() == [False] * 3
    assert dataset.structures[1].pbc.tolist() == [True] * 3
    with pytest.raises(ValueError, match=r"row 0: target: 'forces': .* of 3 atoms, got an array of shape \(3, 3\)"):
        read_dataset(tmp_path / "x.extxyz", targets="forces")
    with pytest.raises(ValueError, match=r"'forces\[3\]' does not exist: 'forces' has shape \(3, 3\)"):
        read_dataset(tmp_path / "x.extxyz", targets="forces[3]")


def test_vectors_of_a_structure_are_not_taken_for_atoms(tmp_path: Path):
    atoms = molecule("H2O")
    atoms.info["quadrupole"] = np.arange(3.0)
    atoms.calc = SinglePointCalculator(atoms, dipole=np.array([0.0, 0.0, 1.8]))
    write(tmp_path / "x.extxyz", atoms)
    for name in ("dipole", "quadrupole"):
        with pytest.raises(ValueError, match=rf"'{name}' has shape \(3,\), and a target is one number"):
            read_dataset(tmp_path / "x.extxyz", targets=name)
    target = read_dataset(tmp_path / "x.extxyz", targets={"mu": "dipole[2]"}).targets["mu"]
    assert (target.level, target.values.tolist()) == ("structure", [1.8])


def test_keys_may_be_missing_in_some_frames(tmp_path: Path):
    frames = [Atoms("H", info={"late": 1.0} if i == 150 else {}) for i in range(151)]
    write(tmp_path / "x.xyz", frames, format="extxyz")
    dataset = read_dataset(tmp_path / "x.xyz", targets="late")
    assert dataset.targets["late"].known.tolist() == [150]
    with pytest.raises(ValueError, match="targets: no key 'lat': there are 'late'"):
        read_dataset(tmp_path / "x.xyz", targets="lat")


def test_other_files_that_ase_reads(tmp_path: Path):
    frames = [calculated(molecule("H2O"), -1.0), calculated(molecule("CO2"), -2.0)]
    write(tmp_path / "x.traj", frames)
    assert read_dataset(tmp_path / "x.traj", targets="energy").targets["energy"].values.tolist() == [-1, -2]
    write(tmp_path / "POSCAR", CRYSTALS[0], format="vasp")
    assert read_dataset(tmp_path / "POSCAR").formulas == ("NaCl",)  # for predictions, no target is needed
    (tmp_path / "x.cif").write_text(p1_cif(CRYSTALS[0]) + p1_cif(CRYSTALS[1]))
    assert read_dataset(tmp_path / "x.cif").formulas == ("NaCl", "Si")
    (tmp_path / "bad.traj").write_bytes((tmp_path / "x.traj").read_bytes()[:300])
    with pytest.raises(ValueError, match=r"bad\.traj: ASE cannot read structure 0"):
        read_dataset(tmp_path / "bad.traj")


@pytest.mark.parametrize("ending", [".db", ".json"])
def test_ase_databases(tmp_path: Path, ending: str):
    path = tmp_path / f"x{ending}"
    with connect(path) as database:
        database.write(calculated(molecule("H2O"), -1.0), gap=7.5, phase="gas", data={"more": 3.0})
        database.write(calculated(bulk("Si"), -2.0), gap=1.1, phase="solid")
    dataset = read_dataset(path, targets=["gap", "energy", "more", "charges"], groups="phase")
    assert dataset.ids == ("1", "2")
    assert dataset.targets["gap"].values.tolist() == [7.5, 1.1]
    assert dataset.targets["energy"].values.tolist() == [-1, -2]
    assert dataset.targets["more"].known.tolist() == [0]
    assert dataset.targets["charges"].values[1] == pytest.approx([-1, 1])
    assert dataset.groups["phase"].tolist() == ["gas", "solid"]
    assert dataset.structures[0].calc is None
    if ending == ".db":
        path.write_bytes(b"nothing")
        with pytest.raises(ValueError, match=r"x\.db is no ASE database"):
            read_dataset(path)


@pytest.fixture(params=["folder", "tar.xz", "zip"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return CIFs in a folder or an archive, with an id_prop.csv as CGCNN has it, and things that are neither."""
    contents = {f"data/{i}.cif": p1_cif(atoms) for i, atoms in enumerate(CRYSTALS)}
    contents |= {"data/id_prop.csv": "2,-0.5\n0,-1.5\n", "data/README.md": "hello", "data/.hidden/7.cif": "no"}
    if request.param == "folder":
        for name, text in contents.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path / "data"
    path = tmp_path / f"x.{request.param}"
    if request.param == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in contents.items():
                archive.writestr(name, text)
    else:
        with tarfile.open(path, "w:xz") as tar:
            for name, text in {**contents, "../../escape.cif": p1_cif(CRYSTALS[0])}.items():
                info = tarfile.TarInfo(name)
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text.encode()))
    return path


def test_folders_and_archives(files: Path, tmp_path: Path):
    before = sorted(tmp_path.rglob("*"))
    dataset = read_dataset(files, units={"1": "eV"})
    assert dataset.ids == ("2", "0")  # as in the table
    assert dataset.formulas == ("ZnS", "NaCl")
    assert dataset.targets["1"].values.tolist() == [-0.5, -1.5]
    assert " files have no row in the table." in dataset.description
    assert sorted(tmp_path.rglob("*")) == before  # nothing is unpacked
    elsewhere = tmp_path / "more.csv"
    elsewhere.write_text("name,file,y\nx,1.cif,3\ny,9.cif,4\n")
    dataset = read_dataset(files, table=elsewhere, id="name", on_error="skip")
    assert dataset.ids == ("x",)
    assert dataset.formulas == ("Si",)
    assert [(f.row, f.step, f.reason) for f in dataset.failures] == [(1, "structure", "there is no file '9.cif'")]
    with pytest.raises(ValueError, match=r"more\.csv|row 1 \(9\.cif\): structure: there is no file '9\.cif'"):
        read_dataset(files, table=elsewhere)
    with pytest.raises(ValueError, match="no column 'nome' to name the files: there are 'name', 'file', 'y'"):
        read_dataset(files, table=elsewhere, structure="nome")


def test_files_may_be_missing_for_many_rows(tmp_path: Path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "last.cif").write_text(p1_cif(CRYSTALS[0]))
    write_csv(tmp_path / "x.csv", [{"file": f"{i}.cif", "y": i} for i in range(120)] + [{"file": "last.cif", "y": 7}])
    dataset = read_dataset(tmp_path / "x", table=tmp_path / "x.csv", structure="file", targets="y", on_error="skip")
    assert dataset.targets["y"].values.tolist() == [7]
    assert len(dataset.failures) == 120


def test_folders_without_a_table(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / "vasp" / name).mkdir(parents=True)
        write(tmp_path / "vasp" / name / "POSCAR", CRYSTALS[0], format="vasp")
    assert read_dataset(tmp_path / "vasp").ids == ("a", "b")
    (tmp_path / "xyz").mkdir()
    for i, name in enumerate(("H2O", "CO2")):
        write(tmp_path / "xyz" / f"{name}.xyz", calculated(molecule(name), float(i)), format="extxyz")
    dataset = read_dataset(tmp_path / "xyz", targets=["energy", "charges"])
    assert dataset.ids == ("CO2", "H2O")
    assert dataset.targets["energy"].values.tolist() == [1, 0]
    assert dataset.targets["charges"].level == "atom"
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="none has no structure files"):
        read_dataset(tmp_path / "none")


def test_text_tables_as_of_qm7(tmp_path: Path):
    (tmp_path / "qm7").mkdir()
    for i, name in enumerate(("CH4", "C2H6"), 1):
        atoms = molecule(name)
        lines = [f" {s} {x:.6f} {y:.6f} {z:.6f}" for s, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True)]
        (tmp_path / "qm7" / f"{i:04}.xyz").write_text("\n".join([str(len(atoms)), "charge = 0", *lines]))
    (tmp_path / "qm7" / "hof.txt").write_text("0001.xyz -417.031 -431.78\n0002.xyz -711.117 -730.83\n")
    dataset = read_dataset(tmp_path / "qm7", table="hof.txt", targets={"hof": "1"}, units={"hof": "kcal/mol"})
    assert dataset.formulas == ("H4C", "H3C")
    assert dataset.targets["hof"].values.tolist() == [-417.031, -711.117]
    with pytest.raises(ValueError, match="give names, or \\(\\) for none, since several keys have numbers"):
        read_dataset(tmp_path / "qm7", table="hof.txt")


def test_pymatgen_json(tmp_path: Path):
    core = pytest.importorskip("pymatgen.core")
    entries = pytest.importorskip("pymatgen.entries.computed_entries")
    structures = [core.Structure.from_ase_atoms(atoms) for atoms in CRYSTALS]
    for i, structure in enumerate(structures):
        structure.add_site_property("magmom", [0.5 + i] * len(structure))
        structure.add_oxidation_state_by_element(dict.fromkeys(structure.symbol_set, 1))
    forms: dict[str, Any] = {
        "records": [{"structure": s.as_dict(), "p": {"gap": i}, "id": f"m{i}"} for i, s in enumerate(structures)],
        "by id": {f"m{i}": {"structure": s.as_dict(), "p": {"gap": i}} for i, s in enumerate(structures)},
        "structures": [{**s.as_dict(), "p": {"gap": i}} for i, s in enumerate(structures)],
        "entries": [
            entries.ComputedStructureEntry(s, -1.5, data={"p": {"gap": i}}, entry_id=f"m{i}").as_dict()
            for i, s in enumerate(structures)
        ],
    }
    for form, content in forms.items():
        path = tmp_path / "x.json"
        path.write_text(json.dumps(content))
        dataset = read_dataset(path, targets={"gap": "p.gap", "magmom": "magmom"})
        assert dataset.targets["gap"].values.tolist() == [0, 1, 2], form
        assert dataset.targets["magmom"].values[1].tolist() == [1.5, 1.5], form
        assert all(same(a, b) for a, b in zip(dataset.structures, CRYSTALS, strict=True)), form
        assert dataset.ids[2] == ("2" if form == "structures" else "m2")
    assert read_dataset(path, targets="energy").targets["energy"].values.tolist() == [-1.5] * 3
    molecules = [{"structure": core.Molecule.from_ase_atoms(molecule("H2O")).as_dict(), "y": 1.0}]
    path.write_text(json.dumps(molecules))
    (water,) = read_dataset(path).structures
    assert not water.pbc.any()
    assert water.positions == pytest.approx(molecule("H2O").positions)


def test_pandas_json(tmp_path: Path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"composition": ["Ag(AuS)2", "NaN"], "is_metal": [True, False]})
    for orient in ("split", "columns", "records", "index"):
        frame.to_json(tmp_path / "matbench_x.json.gz", orient=orient)
        dataset = read_dataset(tmp_path / "matbench_x.json.gz")
        assert dataset.compositions == ["Ag(AuS)2", "NaN"], orient  # the second is sodium nitride, and not unknown
        assert dataset.targets["is_metal"].values.tolist() == [1, 0]
        assert dataset.ids == ("0", "1")
    named = frame.set_index(pandas.Index(["a", "b"]))
    named.to_json(tmp_path / "x.json", orient="split")
    assert read_dataset(tmp_path / "x.json").ids == ("a", "b")
    (tmp_path / "x.json.bz2").write_bytes(
        bz2.compress(b'{"mbid": {"0": "m1"}, "e": {"0": 1.5}, "composition": {"0": "O2"}}')
    )
    assert read_dataset(tmp_path / "x.json.bz2").ids == ("m1",)
    # What Python writes, though it is no JSON.
    (tmp_path / "x.json").write_text('{"columns": ["formula", "y"], "index": [0, 1], "data": [["O", 1], ["H", NaN]]}')
    assert read_dataset(tmp_path / "x.json").targets["y"].known.tolist() == [0]


def optimade(name: str, **attributes: Any) -> dict[str, Any]:
    atoms = CRYSTALS[0]
    given = {
        "cartesian_site_positions": atoms.positions.tolist(),
        "lattice_vectors": atoms.cell.tolist(),
        "species_at_sites": ["Na", "chlorine"],
        "species": [
            {"name": "Na", "chemical_symbols": ["Na"], "concentration": [1.0]},
            {"name": "chlorine", "chemical_symbols": ["Cl"], "concentration": [1.0]},
        ],
        "dimension_types": [1, 1, 1],
        "structure_features": [],
        "_mp_band_gap": 5.0,
    }
    return {"id": name, "type": "structures", "attributes": {**given, **attributes}}


def test_optimade(tmp_path: Path):
    mixed_species = [{"name": "Na", "chemical_symbols": ["Na", "K"], "concentration": [0.5, 0.5]}]
    slab = [[5.0, 0, 0], [0, 5.0, 0], [None, None, None]]
    entries = [
        optimade("a"),
        optimade("b", species=mixed_species),
        optimade("c", structure_features=["disorder"]),
        optimade("d", dimension_types=[1, 1, 0], lattice_vectors=slab, _mp_band_gap=None),
    ]
    lines = [{"x-optimade": {"api_version": "1.1.0"}}, {"type": "info", "id": "structures", "properties": {}}, *entries]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n{broken\n")
    dataset = read_dataset(tmp_path / "x.jsonl", targets={"gap": "_mp_band_gap"}, on_error="skip")
    assert dataset.ids == ("a", "d")
    assert same(dataset.structures[0], CRYSTALS[0])
    assert dataset.structures[1].pbc.tolist() == [True, True, False]
    assert dataset.targets["gap"].known.tolist() == [0]
    assert [f.row for f in dataset.failures] == [1, 2, 4]
    assert "disordered: species 'Na' is {'Na': 0.5, 'K': 0.5}" in dataset.failures[0].reason
    assert "line 7 is no JSON" in dataset.failures[2].reason
    (tmp_path / "x.json").write_text(json.dumps({"data": entries[:1], "meta": {}, "links": {}}))
    assert read_dataset(tmp_path / "x.json", targets="_mp_band_gap").ids == ("a",)


def test_jarvis(tmp_path: Path):
    atoms = CRYSTALS[2]
    record = {
        "jid": "JVASP-1",
        "mbj_bandgap": "na",
        "gap": 3.1,
        "atoms": {
            "lattice_mat": atoms.cell.tolist(),
            "coords": atoms.get_scaled_positions().tolist(),
            "elements": [f"{s} " for s in atoms.symbols],
            "cartesian": False,
        },
    }
    (tmp_path / "x.json").write_text(json.dumps([record]))
    dataset = read_dataset(tmp_path / "x.json")  # the other key is never known
    assert same(dataset.structures[0], atoms)
    assert dataset.targets["gap"].values.tolist() == [3.1]


# CIF


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_symmetry_is_expanded_as_pymatgen_does():
    pytest.importorskip("spglib")
    core, cif = pytest.importorskip("pymatgen.core"), pytest.importorskip("pymatgen.io.cif")
    rutile = core.Structure.from_spacegroup(
        "P4_2/mnm", core.Lattice.tetragonal(4.59, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    )
    for wanted in (rutile, core.Structure.from_ase_atoms(bulk("NaCl", "rocksalt", 5.64, cubic=True))):
        text = str(cif.CifWriter(wanted, symprec=0.01))
        assert text.count("_atom_site_fract_x") == 1
        found = crystal_of_cif(text)
        assert len(found) == len(wanted)
        assert found.get_volume() == pytest.approx(wanted.volume, rel=1e-6)
        distances = np.sort(found.get_all_distances(mic=True).ravel())
        assert distances == pytest.approx(np.sort(wanted.distance_matrix.ravel()), abs=1e-3)


def test_the_short_way_through_simple_cifs_agrees_with_pymatgen_and_ase(tmp_path: Path):
    cif = pytest.importorskip("pymatgen.io.cif")
    core = pytest.importorskip("pymatgen.core")
    for atoms in CRYSTALS:
        text = str(cif.CifWriter(core.Structure.from_ase_atoms(atoms)))
        assert text == p1_cif(atoms).replace(f"data_{atoms.symbols}", text.splitlines()[1]) or "data_" in text
        short, long = (
            crystal_of_cif(text),
            crystal_of_cif(text.replace("loop_\n _atom", "\nloop_ # a comment\n _atom", 1)),
        )
        for found in (short, long):
            assert same(found, atoms)
        assert short.numbers.tolist() == long.numbers.tolist()
        assert short.cell.array == pytest.approx(long.cell.array)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (p1_cif(CRYSTALS[0], occupancy="0.5"), "disordered: site Na0 has an occupancy of 0.5"),
        (p1_cif(CRYSTALS[0])[:-40], "no CIF that can be read|make Na, but its _chemical_formula_sum is NaCl"),
        ("\n".join(p1_cif(CRYSTALS[2]).splitlines()[:-1]), "make Zn2S, but its _chemical_formula_sum is ZnS"),
        (p1_cif(CRYSTALS[0]) + p1_cif(CRYSTALS[1]), "a CIF must hold one crystal here, got 2"),
        ("data_x\n_cell_length_a 3\n", "no atoms in it"),
        (p1_cif(CRYSTALS[0], symbol="Xx"), "'Xx'"),
        (p1_cif(Atoms("NaCl", np.zeros((2, 3)), cell=[4, 4, 4], pbc=True)), "coincide"),
        ("data_x\n_cell_length_a 3\nwhat is this", "no CIF that can be read"),
        ("just words", "neither a structure nor the path of a file: 'just words'"),
        ('{"sites": [], "lattice"', "this is no JSON"),
        ('{"lattice": 1}', "must be of pymatgen, OPTIMADE or JARVIS"),
        ('{"sites": [{"species": [{"element": "Fe", "occu": 0.5}]}]}', "disordered: site 0 is {'Fe': 0.5}"),
        (
            '{"sites": [{"species": [{"element": "Vac", "occu": 1}], "xyz": [0, 0, 0]}]}',
            "'Vac' is not a chemical element",
        ),
        ('{"sites": [{"name": "Fe"}]}', "this dictionary is no structure: site 0 has no 'species'"),
        ("1\n\nH 0 0 nan\n", "position must be finite"),
        (None, "there is no structure"),
        (3, "structures: structure 0 must be|must be an ase.Atoms"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_bad_structures_are_refused_with_a_reason(text: Any, message: str):
    with pytest.raises(ValueError, match=message):
        to_atoms(text)


def test_occupancies_may_be_text():
    site = {"species": [{"element": "Fe", "occu": "1"}], "abc": [0, 0, 0]}
    assert to_atoms({"lattice": {"matrix": np.eye(3).tolist()}, "sites": [site]}).symbols.get_chemical_formula() == "Fe"


# Columns


def column(tmp_path: Path, values: Sequence[Any], **options: Any) -> Dataset:
    rows = [{"formula": "NaCl", "y": value, "z": i} for i, value in enumerate(values)]
    return read_dataset(write_csv(tmp_path / "x.csv", rows), targets="y", **options)


def test_latin_letters_in_a_cif_do_no_harm(tmp_path: Path):
    (tmp_path / "x.cif").write_bytes(p1_cif(CRYSTALS[0]).replace("pymatgen", "Å. Björk").encode("latin-1"))
    assert read_dataset(tmp_path / "x.cif").formulas == ("NaCl",)


def test_truth_values_and_words_become_classes(tmp_path: Path):
    truth = column(tmp_path, ["True", "false", "", "TRUE"]).targets["y"]
    assert (truth.classes, truth.values.tolist()[:2], truth.known.tolist()) == (("False", "True"), [1, 0], [0, 1, 3])
    words = column(tmp_path, ["metal", "NA", "insulator", "metal"]).targets["y"]
    assert (words.classes, words.known.tolist()) == (("insulator", "metal"), [0, 2, 3])
    assert words.values[[0, 2]].tolist() == [1, 0]
    given = column(tmp_path, ["b", "a", "b"], classes={"y": ["b", "a", "c"]}).targets["y"]
    assert (given.classes, given.values.tolist()) == (("b", "a", "c"), [0, 1, 0])
    numbers = column(tmp_path, ["0", "1.0", "nan"], classes={"y": {0: "no", 1: "yes"}}).targets["y"]
    assert (numbers.classes, numbers.values.tolist()[:2]) == (("no", "yes"), [0, 1])
    assert numbers.kind == "classification"
    assert column(tmp_path, ["none", "x"], classes={"y": ["none", "x"]}).targets["y"].known.tolist() == [0, 1]
    assert column(tmp_path, ["1D", "2D"], classes={"y": ["1D", "2D"]}).targets["y"].values.tolist() == [0, 1]
    assert column(tmp_path, ["", "nan"]).targets["y"].classes == ()


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([1.0, "fast", 2.0], {}, "x.csv, row 1: target: 'y': the value must be a number, got 'fast'"),
        (["fast", "slow"], {"units": {"y": "eV"}}, "row 0: target: 'y': the value must be a number, got 'fast'"),
        (
            ["metal", "1", "metal", "gap"],
            {},
            "row 0: target: 'y': the value must be a number, got 'metal'; 3 of 4 are words: if they are classes, give "
            r"classes=\['1', 'gap', 'metal'\]",
        ),
        ([2.0, "True"], {}, "row 1: target: 'y': the value must be a number, got 'True'"),
        ([1.0, "1e999"], {}, "row 1: target: 'y': a number must be finite, got 1e999"),
        ([1.0, "inf"], {}, "row 1: target: 'y': the value must be a number, got 'inf'"),
        ([1.0, "1_000"], {}, "row 1: target: 'y': the value must be a number, got '1_000'"),
        ([1.0, "1,5"], {}, "row 1: target: 'y': the value must be a number, got '1,5'"),
        (
            ["5,125", "1,100"],
            {},
            "row 0: target: 'y': the value must be a number, got '5,125'; if it is a class, give classes=",
        ),
        (["", "12 eV"], {}, "row 1: target: 'y': the value must be a number, got '12 eV'"),
        (["a", "b"], {"classes": {"y": ["a", "c"]}}, "row 1: target: 'y': the value must be one of 'a', 'c', got 'b'"),
        (["a"], {"classes": {"y": ["a", "a"]}}, "classes must be different values"),
        (
            [f"w{i}" for i in range(30)],
            {},
            "target 'y': the values are words, such as 'w0', .* and 30 of 30 are different",
        ),
        ([1], {"units": {"w": "eV"}}, "units must be one of 'y', got 'w'"),
        ([1], {"groups": "w"}, "groups: no column 'w': there are 'formula', 'y', 'z'"),
        ([1], {"structure": "w"}, "structure: no column 'w': there are 'formula', 'y', 'z'"),
        ([1], {"id": "w"}, "id: no column 'w'"),
        ([1], {"format": "excel"}, "format must be one of 'table', .*, got 'excel'"),
        ([1], {"on_error": "ignore"}, "on_error must be one of 'raise', 'skip', got 'ignore'"),
        ([1], {"table": "t.csv"}, "table is for a folder or an archive"),
        ([1, 2], {"id": "formula"}, "row 1 .NaCl.: id: 'NaCl' is the id of row 0 already"),
    ],
)
def test_wrong_columns_name_the_row_and_the_rule(tmp_path: Path, values: list[Any], options: Any, message: str):
    with pytest.raises(ValueError, match=message):
        column(tmp_path, values, **options)


def test_sodium_is_not_missing(tmp_path: Path):
    rows = [{"name": name, "formula": name, "y": name, "g": name} for name in ("Na", "K", "NaN")]
    dataset = read_dataset(write_csv(tmp_path / "x.csv", rows), id="name", targets="y", groups="g")
    assert dataset.ids == ("Na", "K", "NaN")
    assert dataset.groups["g"].tolist() == ["Na", "K", "NaN"]
    assert dataset.formulas == ("Na", "K", "NaN")
    assert dataset.targets["y"].classes == ("K", "Na")


def test_nothing_is_guessed_where_several_would_do(tmp_path: Path):
    row = {"formula": "NaCl", "reduced_formula": "NaCl", "a": 1, "b": 2, "id": "x"}
    path = write_csv(tmp_path / "x.csv", [row])
    with pytest.raises(
        ValueError, match="formula: give one, since several columns may be meant: 'formula', 'reduced_formula'"
    ):
        read_dataset(path)
    with pytest.raises(
        ValueError, match=r"targets: give names, or \(\) for none, since several columns have numbers: there are"
    ):
        read_dataset(path, formula="formula")
    assert read_dataset(path, formula="formula", targets=()).targets == {}
    path = write_csv(tmp_path / "x.csv", [{"what": "salt", "phase": "a"}])
    with pytest.raises(
        ValueError, match=r"neither structures nor formulas nor SMILES: give structure=, .*, one of 'what', 'phase'"
    ):
        read_dataset(path)
    with pytest.raises(ValueError, match="since no column has numbers"):
        read_dataset(path, formula="what")
    path = write_csv(tmp_path / "x.csv", [{"formula": formula, "gap": "5.0(2)"} for formula in ("NaCl", "Si")])
    with pytest.raises(ValueError, match=r"since no column has numbers, 'gap' has '5\.0\(2\)': there are"):
        read_dataset(path)
    path = write_csv(tmp_path / "x.csv", [{"id": "x", "material_id": "y", "formula": "O"}])
    assert read_dataset(path).ids == ("0",)
    assert read_dataset(path, id="id").ids == ("x",)
    with pytest.raises(TypeError, match="targets must be names"):
        read_dataset(path, targets=[1])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="targets must be different names"):
        read_dataset(path, targets=["a", "a"])
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        read_dataset(tmp_path / "none.csv")


def test_formulas_are_checked_against_structures(tmp_path: Path):
    rows = [
        {"cif": p1_cif(atoms), "f": formula} for atoms, formula in zip(CRYSTALS, ("ClNa", "Si2", "ZnO"), strict=True)
    ]
    path = write_csv(tmp_path / "x.csv", rows)
    dataset = read_dataset(path, formula="f", targets=(), on_error="skip")
    assert dataset.formulas == ("NaCl", "Si")
    assert dataset.failures[0].reason == "the structure is ZnS, but 'f' says ZnO"
    only = read_dataset(path, formula="f", structure="", targets=())
    assert (only.structures, only.compositions) == (None, ["ClNa", "Si2", "ZnO"])


# Rows that are no good


def test_skipped_rows_are_listed_with_step_and_reason(tmp_path: Path):
    good = p1_cif(CRYSTALS[0])
    rows: list[dict[str, Any]] = [
        {"id": "ok", "cif": good, "y": 1, "g": "a"},
        {"id": "half", "cif": p1_cif(CRYSTALS[0], occupancy="0.5"), "y": 1, "g": "a"},
        {"id": "empty", "cif": "", "y": 1, "g": "a"},
        {"id": "word", "cif": good, "y": "oops", "g": "a"},
        {"id": "ok", "cif": good, "y": 2, "g": "a"},
        {"id": "", "cif": good, "y": 2, "g": "a"},
        {"id": "unknown", "cif": good, "y": "", "g": ""},
    ]
    path = write_csv(tmp_path / "x.csv", rows)
    with path.open("a") as file:
        file.write("short,row\n")
    dataset = read_dataset(path, targets="y", groups="g", on_error="skip")
    assert dataset.ids == ("ok", "unknown")
    assert dataset.targets["y"].known.tolist() == [0]
    assert dataset.groups["g"].tolist() == ["a", ""]
    assert [(f.row, f.id, f.step) for f in dataset.failures] == [
        (1, "half", "structure"),
        (2, "empty", "structure"),
        (3, "word", "target"),
        (4, "ok", "id"),
        (5, "5", "id"),
        (7, "short", "read"),
    ]
    assert "disordered: site Na0 has an occupancy of 0.5" in dataset.failures[0].reason
    assert dataset.failures[-1].reason == "the row has 2 cells, but there are 4 columns"
    assert dataset.summary().failures == {"structure": 2, "target": 1, "id": 2, "read": 1}
    with pytest.raises(ValueError, match=r"x\.csv, row 1 \(half\): structure: this crystal is disordered"):
        read_dataset(path, targets="y")
    assert len(read_dataset(path, targets="y", limit=1)) == 1
    bad = write_csv(tmp_path / "bad.csv", rows[1:3])
    with pytest.raises(ValueError, match=r"bad\.csv: no row can be read; row 0: structure: this crystal is disordered"):
        read_dataset(bad, targets="y", on_error="skip")


def test_broken_frames(tmp_path: Path):
    text = "1\ny=1\nH 0 0 0\n1\ny=2\nQq 0 0 0\n1\ny=3\nO 0 0 0\n"
    path = tmp_path / "x.xyz"
    path.write_text(text)
    dataset = read_dataset(path, on_error="skip")
    assert dataset.targets["y"].values.tolist() == [1, 3]
    assert [(f.row, f.step) for f in dataset.failures] == [(1, "read")]
    with pytest.raises(ValueError, match=r"x\.xyz, row 1: read: line 6: 'Qq' is not a chemical element"):
        read_dataset(path)
    for broken, message in (
        (text + "3\n\nH 0 0 0\n", "the structure from line 10 on must have 3 atoms, but the file ends before"),
        (text + "H 0 0 0\n", "line 10 must be the number of atoms of a structure, got 'H 0 0 0'"),
        (text + "\n\n1\n\nH 0 0 0\n", "line 10 must be the number of atoms of a structure, got an empty line"),
    ):
        path.write_text(broken)
        with pytest.raises(ValueError, match=message):
            read_dataset(path, on_error="skip")
    path.write_text(text[:14] + "\n\n")
    assert len(read_dataset(path)) == 1


def test_broken_files(tmp_path: Path):
    (tmp_path / "x.csv").write_text("")
    with pytest.raises(ValueError, match=r"x\.csv is empty"):
        read_dataset(tmp_path / "x.csv")
    (tmp_path / "x.csv").write_text("formula,y\n")
    with pytest.raises(ValueError, match=r"x\.csv has no rows"):
        read_dataset(tmp_path / "x.csv")
    (tmp_path / "x.csv").write_text("y,y,formula\n1,2,O\n")
    with pytest.raises(ValueError, match="columns must have different names, got 'y' twice"):
        read_dataset(tmp_path / "x.csv")
    (tmp_path / "x.csv").write_text('formula,y\nO,"1\n')
    with pytest.raises(ValueError, match=r"x\.csv cannot be read: unexpected end of data"):
        read_dataset(tmp_path / "x.csv")
    (tmp_path / "x.csv").write_bytes(b"formula,y\nO,\0\xff\xfe\n")
    with pytest.raises(ValueError, match=r"x\.csv is no text"):
        read_dataset(tmp_path / "x.csv")
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"formula,y\n" + b"NaCl,1\n" * 1000)[:-20])
    with pytest.raises(ValueError, match=r"x\.csv\.gz cannot be read"):
        read_dataset(tmp_path / "x.csv.gz")
    for text, message in (
        ("{", "is no JSON"),
        ('{"a": 1}', "must be a list of records"),
        ("3", "must hold a list or a"),
        ("[1]", "no row can be read; row 0: read: a record must be a mapping"),
    ):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            read_dataset(tmp_path / "x.json")
    (tmp_path / "x.tar.gz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"x\.tar\.gz is no archive"):
        read_dataset(tmp_path / "x.tar.gz")


def test_long_cells_are_read(tmp_path: Path):
    crystal = bulk("NaCl", "rocksalt", 5.64).repeat((11, 11, 11))
    path = write_csv(tmp_path / "x.csv", [{"cif": p1_cif(crystal), "y": 1}])
    assert path.stat().st_size > 131072
    assert len(read_dataset(path).structures[0]) == len(crystal)


# The shared data, with the counts of their README


@needs_shared
def test_shared_cif_tables():
    dataset = read_dataset(
        SHARED / "mp" / "mp_20_biternary_val.csv.gz",
        targets={"e_form": "formation_energy_per_atom", "gap": "band_gap"},
        formula="pretty_formula",  # checked against each structure
        groups={"space group": "spacegroup.number"},
    )
    assert len(dataset) == 7140
    assert len(dataset.targets["gap"].known) == 7140
    assert dataset.groups["space group"][0] == "225"


@needs_shared
def test_shared_matbench_tables():
    dataset = read_dataset(SHARED / "matbench" / "matbench_expt_gap.json.gz", units={"gap expt": "eV"})
    assert len(dataset) == 4604
    assert (dataset.targets["gap expt"].values == 0).mean() == pytest.approx(0.53, abs=0.01)
    metals = read_dataset(SHARED / "matbench" / "mp_is_metal.compositions.json.bz2", targets="is_metal")
    assert len(metals) == 106113
    assert metals.targets["is_metal"].classes == ("False", "True")


@needs_shared
def test_shared_archives():
    oqmd = SHARED / "oqmd_abx3"
    dataset = read_dataset(oqmd / "OQMD_cif.tar.xz", table=oqmd / "oqmd_bg.csv", units={"band_gap": "eV"})
    assert len(dataset) == 11265
    assert "1825 of 13090 files have no row in the table." in dataset.description
    assert set(dataset.n_atoms.tolist()) == {5}
    qm7 = read_dataset(SHARED / "qm7" / "qm7_xyz.tar.xz", table=SHARED / "qm7" / "hof_qm7.txt", targets={"e": "1"})
    assert len(qm7) == 7101
    assert qm7[0].formula == "H4C"
    assert qm7[0]["e"] == -417.031


@needs_shared
@pytest.mark.parametrize(
    ("element", "train", "test"), [("Ni", 263, 31), ("Cu", 262, 31), ("Li", 241, 29), ("Si", 214, 25)]
)
def test_shared_potentials(element: str, train: int, test: int):
    for part, n in (("train", train), ("test", test)):
        dataset = read_dataset(
            SHARED / "potentials" / f"zuo2020_{element}_{part}.extxyz.xz", targets=["energy", "force[2]"]
        )
        assert len(dataset) == n
        assert dataset.elements == (element,)
        assert dataset.targets["force[2]"].level == "atom"


def test_formulas_are_known_by_their_content_where_the_name_does_not_say(tmp_path):
    rows = [
        {"alloy": "Fe0.7Ni0.3", "phase": "fcc", "hardness": 1.0},
        {"alloy": "Fe", "phase": "bcc", "hardness": 2.0},
    ]
    assert read_dataset(write_csv(tmp_path / "a.csv", rows)).compositions[0] == "Fe0.7Ni0.3"
    path = write_csv(tmp_path / "b.csv", [{"Pretty Formula ": "NaCl", "gap": 5.0}])
    assert read_dataset(path).compositions[0] == "NaCl"
    path = write_csv(tmp_path / "c.csv", [{"cation": "Na", "anion": "Cl", "gap": 5.0}])
    with pytest.raises(ValueError, match="neither structures nor formulas"):
        read_dataset(path)
    path = write_csv(tmp_path / "d.csv", [{"product": "NaCl", "educt": "NaOH", "yield": 5.0}])
    with pytest.raises(ValueError, match="neither structures nor formulas"):
        read_dataset(path)


def test_pymatgen_dicts_are_read_in_one_way_with_one_tolerance(tmp_path: Path):
    """Occupancies that a file has rounded are those of ordered sites, in files of one's own and in public data."""
    species = [[{"element": symbol, "occu": 1}] for symbol in ("Na", "Cl")]
    sites = [{"species": species[0], "abc": [0, 0, 0]}, {"species": species[1], "abc": [0.5, 0.5, 0.5]}]
    crystal = {"lattice": {"matrix": (4 * np.eye(3)).tolist()}, "sites": sites}
    for occupancy, ordered in ((0.9995, True), (1.0005, True), (0.998, False)):
        species[0][0]["occu"] = occupancy
        (tmp_path / "x.json").write_text(json.dumps([crystal]))
        if ordered:
            (atoms,) = read_dataset(tmp_path / "x.json", targets=()).structures
            numbers, positions, cell, pbc = read_pymatgen_dict(crystal, periodic=True)
            assert (atoms.numbers.tolist(), numbers.tolist(), pbc) == ([11, 17], [11, 17], (True, True, True))
            np.testing.assert_allclose(atoms.positions, positions)
            np.testing.assert_allclose(atoms.cell, cell)
        else:
            with pytest.raises(ValueError, match=r"disordered: site 0 is \{'Na': 0\.998\}"):
                read_dataset(tmp_path / "x.json", targets=())
            with pytest.raises(ValueError, match=r"disordered: site 0 is \{'Na': 0\.998\}"):
                read_pymatgen_dict(crystal)
