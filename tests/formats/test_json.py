"""JSON in the forms in which pandas, pymatgen, ASE and people write it."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from atomprint.datasets import read_dataset
from atomprint.datasets.files.structures import to_atoms

SALT = {
    "sites": [{"species": [{"element": e, "occu": 1}], "abc": [x] * 3} for e, x in (("Na", 0.0), ("Cl", 0.5))],
    "lattice": {"matrix": [[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]]},
}
ASE = {"numbers": [11, 17], "positions": [[0, 0, 0], [2, 2, 2]], "cell": (4 * np.eye(3)).tolist(), "pbc": [True] * 3}
JARVIS = {"lattice_mat": (4 * np.eye(3)).tolist(), "coords": [[0, 0, 0], [0.5] * 3], "elements": ["Na", "Cl"]}


@pytest.mark.parametrize("column", ["structure", "attributes", "crystal", "sites", "columns"])
@pytest.mark.parametrize("structure", [SALT, ASE, JARVIS, str(SALT)])
@pytest.mark.parametrize("index", [["a", "b", "c"], ["17", "4", "9"]])
def test_every_form_of_pandas(tmp_path: Path, column: str, structure: Any, index: list[str]):
    values = {column: dict.fromkeys(index, structure), "gap": {key: 1.5 * i for i, key in enumerate(index)}}
    records = [{column: structure, "gap": 1.5 * i} for i in range(3)]
    forms: dict[str, Any] = {
        "columns": values,
        "index": {key: {column: structure, "gap": 1.5 * i} for i, key in enumerate(index)},
        "records": records,
        "split": {"columns": [column, "gap"], "index": index, "data": [list(record.values()) for record in records]},
        "table": {
            "schema": {"fields": [], "primaryKey": ["index"]},
            "data": [{"index": key, **record} for key, record in zip(index, records, strict=True)],
        },
        "named": {"description": "mine", "entries": records},
    }
    for form, content in forms.items():
        (tmp_path / "x.json").write_text(json.dumps(content))
        dataset = read_dataset(tmp_path / "x.json", targets="gap", structure=column)
        assert dataset.formulas == ("NaCl",) * 3, form
        assert dataset.targets["gap"].values.tolist() == [0, 1.5, 3], form
        if form not in ("records", "named") and not index[0].isdecimal():
            assert dataset.ids == tuple(index), form
    for name in ("x.json", "x.jsonl"):
        (tmp_path / name).write_text("\n".join(map(json.dumps, records)))
        dataset = read_dataset(tmp_path / name, targets="gap", structure=column)
        assert dataset.lines == (1, 2, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[["NaCl", 1], ["Si", 2]]', "no names of columns"),
        ('{"a": {"formula": "O"}, "a": {"formula": "H"}}', "got 'a' twice"),
        ('{"train": [{"formula": "O"}], "test": [{"formula": "H"}]}', "got a mapping with the keys"),
        ("[" * 100_000, "is nested too deeply|is no JSON"),
        ('[{"formula": "O", "y": 1}', "is no JSON"),
    ],
)
def test_what_is_none_of_these_is_refused(tmp_path: Path, content: str, message: str):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_dataset(tmp_path / "x.json", targets=())


def test_a_stream_that_is_cut_off(tmp_path: Path):
    pytest.importorskip("ijson")
    rows = [["NaCl", i / 7] for i in range(3000)]
    text = json.dumps({"columns": ["formula", "gap"], "index": list(range(3000)), "data": rows})
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(text.encode())[:-5])
    with pytest.raises(ValueError, match=r"x\.json\.gz cannot be read"):
        read_dataset(tmp_path / "x.json.gz")


@pytest.mark.parametrize("cell", ["as_dict", "json", "str"])
def test_cells_as_pandas_writes_them(tmp_path: Path, cell: str):
    core = pytest.importorskip("pymatgen.core")
    pandas = pytest.importorskip("pandas")
    adaptor = pytest.importorskip("pymatgen.io.ase").AseAtomsAdaptor
    atoms = bulk("ZnS", "wurtzite", a=3.8, c=6.2)
    structure = adaptor.get_structure(atoms)
    assert isinstance(structure, core.Structure)
    value = {"as_dict": structure.as_dict(), "json": structure.to_json(), "str": structure}[cell]
    pandas.DataFrame({"structure": [value], "gap": [3.0]}).to_csv(tmp_path / "x.csv")
    (found,) = read_dataset(tmp_path / "x.csv", targets="gap").structures
    assert str(found.symbols) == "ZnSZnS"
    np.testing.assert_allclose(found.cell.cellpar(), atoms.cell.cellpar(), atol=1e-5)
    np.testing.assert_allclose(found.get_all_distances(mic=True), atoms.get_all_distances(mic=True), atol=1e-5)


def test_what_python_prints_without_all_of_it_is_refused():
    core = pytest.importorskip("pymatgen.core")
    mixed = core.Structure(core.Lattice.cubic(3), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    with pytest.raises(ValueError, match="disordered"):
        to_atoms(str(mixed))
    for text in (repr(mixed), repr(bulk("Cu")), str(bulk("Cu"))):
        with pytest.raises(ValueError, match="what Python prints for a structure, without all of it"):
            to_atoms(text)
