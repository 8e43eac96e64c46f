"""Tables that name structure files: which folder, which column, and what becomes of rows without one."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from ase.io import write

from atomprint.datasets import inspect_file, read_dataset
from atomprint.workflow.recipes.own_data import describe_data
from atomprint.workflow.recipes.recipe import Recipe
from atomprint.workflow.recipes.template import recipe_for
from atomprint.workflow.saved.inputs import read_inputs

SALTS = ("NaCl", "KCl", "LiF")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with a table that names files in a folder beside it."""
    (tmp_path / "cifs").mkdir()
    for i, salt in enumerate(4 * SALTS):
        write(tmp_path / "cifs" / f"c{i}.cif", bulk(salt, "rocksalt", 5 + i / 4))
    rows: list[list[object]] = [[f"c{i}.cif", "of\ntwo lines", i / 2] for i in range(12)]
    write_table(tmp_path / "data.csv", ["file", "note", "gap"], rows)
    return tmp_path


def write_table(path: Path, header: list[str] | None, rows: list[list[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([*([header] if header else []), *rows])


@pytest.mark.parametrize("ending", [".cif", ""])
@pytest.mark.parametrize("header", [["file", "gap"], ["id", "gap"], ["structure", "gap"], None])
def test_a_folder_beside_or_around_is_found(place: Path, ending: str, header: list[str] | None):
    rows: list[list[object]] = [[f"c{i}{ending}", i / 2] for i in (2, 0, 1)]
    if header == ["structure", "gap"] and ending:
        header = ["name", "gap"]  # else paths, which lead somewhere from a table among the files
    for path in (place / "data.csv", place / "cifs" / "id_prop.csv"):
        write_table(path, header, rows)
        dataset = read_dataset(path)
        assert dataset.ids == ("c2", "c0", "c1")
        assert dataset.formulas == ("LiF", "NaCl", "KCl")
        assert dataset.targets[header[1] if header else "1"].values.tolist() == [1, 0, 0.5]
        assert "Structures are the files in cifs that column" in dataset.notes[0]
        assert "9 of 12 files have no row in the table" in dataset.notes[1]
        assert dataset.lines == ((2, 3, 4) if header else (1, 2, 3))
        assert list(read_inputs([path], True).ids) == ["c2", "c0", "c1"]
        path.unlink()


@pytest.mark.parametrize("header", [["file", "gap"], ["name", "path", "gap"], ["path to CIF", "cifs", "gap"]])
def test_a_column_with_paths_is_the_structure_whatever_it_is_called(place: Path, header: list[str]):
    """Also where another column has names of files, which may be those of another folder."""
    (place / "relaxed").mkdir()
    for i in range(4):
        write(place / "relaxed" / f"c{i}.cif", bulk("CsI", "rocksalt", 8 + i))
    rows: list[list[object]] = []
    for i in range(4):
        cells = {"gap": i / 2, "name": f"c{i}", "cifs": f"c{i}"}
        rows.append([cells.get(name, f"relaxed/c{i}.cif") for name in header])
    write_table(place / "data.csv", header, rows)
    dataset = read_dataset(place / "data.csv")
    assert dataset.formulas == ("CsI",) * 4
    assert dataset.targets["gap"].values.tolist() == [0, 0.5, 1, 1.5]
    assert dataset.ids[0] == "relaxed/c0.cif"
    assert "has the paths" in dataset.notes[0]
    assert [len(atoms) for atoms in read_inputs([place / "data.csv"], True).items] == [2] * 4
    section = describe_data(place / "data.csv", "gap").section
    assert (section.structure, section.folder) == (
        next(n for n in header if n in ("file", "path", "path to CIF")),
        None,
    )


def test_a_path_that_leads_nowhere_and_two_columns_with_paths(place: Path):
    rows: list[list[object]] = [[f"cifs/c{i}.cif", f"cifs/c{i + 1}.cif", i / 2] for i in range(12)]
    write_table(place / "data.csv", ["first", "last", "gap"], rows)
    with pytest.raises(ValueError, match=r"data.csv: paths of structures are in 'first', 'last': give the column"):
        read_dataset(place / "data.csv", targets="gap")
    dataset = read_dataset(place / "data.csv", targets="gap", structure="last", on_error="skip")
    assert dataset.formulas[:2] == ("KCl", "LiF")
    assert [(f.line, "c12.cif" in f.reason) for f in dataset.failures] == [(13, True)]


def test_rows_without_a_file_are_counted_with_their_line(place: Path):
    with (place / "data.csv").open("a") as file:
        file.write("c99.cif,x,1\n")
    dataset = read_dataset(place / "data.csv", targets="gap", on_error="skip")
    assert dataset.lines == tuple(range(2, 26, 2))
    assert [(f.line, f.reason, f.place) for f in dataset.failures] == [
        (26, "there is no file 'c99.cif'", "line 26 (c99.cif)")
    ]
    _, notes = recipe_for(place / "data.csv", "gap", relative_to=place)
    assert any("1 row cannot be used (line 26 (c99.cif): there is no file 'c99.cif')" in note for note in notes)


def test_several_folders_are_an_error_until_one_is_given(place: Path):
    (place / "relaxed").mkdir()
    for i in range(12):
        write(place / "relaxed" / f"c{i}.cif", bulk("CsI", "rocksalt", 8))
    with pytest.raises(ValueError, match=r"data.csv: .* are in 'cifs', 'relaxed': give the column as structure"):
        read_dataset(place / "data.csv", targets="gap")
    for folder, first in (("cifs", "NaCl"), ("relaxed", "CsI")):
        dataset = read_dataset(place / "data.csv", targets="gap", structure="file", folder=place / folder)
        assert dataset.formulas[0] == first
        assert read_dataset(place / "data.csv", targets="gap", folder=place / folder).formulas[0] == first
        inputs = read_inputs([str(place / "data.csv")], True, structure="file", folder=place / folder)
        assert inputs.items[0].get_chemical_formula() == first.replace("NaCl", "ClNa")
    with pytest.raises(FileNotFoundError, match="folder: no such folder"):
        read_dataset(place / "data.csv", targets="gap", folder=place / "nowhere")
    with pytest.raises(ValueError, match="folder is for a table"):
        read_dataset(place / "cifs", folder=place / "cifs")


def test_recipes_keep_the_folder(place: Path):
    described = describe_data(place / "data.csv", "gap")
    assert (described.section.structure, described.section.folder) == ("file", str(place / "cifs"))
    text, _ = recipe_for(place / "data.csv", "gap", relative_to=place / "runs")
    assert 'folder = "../cifs"' in text
    (place / "runs").mkdir()
    (place / "runs" / "recipe.toml").write_text(text)
    assert Recipe.read(place / "runs" / "recipe.toml").data.load().formulas == 4 * SALTS


def test_formulas_are_read_where_they_are_asked_for(place: Path):
    write_table(place / "data.csv", ["id", "formula", "gap"], [[f"c{i}", salt, i / 2] for i, salt in enumerate(SALTS)])
    assert read_dataset(place / "data.csv").structures is not None
    assert read_dataset(place / "data.csv", formula="formula").structures is None
    assert read_dataset(place / "data.csv", structure="").structures is None


def test_a_file_called_after_one_of_the_formulas_changes_nothing(tmp_path: Path):
    write(tmp_path / "NaCl.cif", bulk("NaCl", "rocksalt", 5.6))
    write_table(tmp_path / "x.csv", ["formula", "gap"], [["NaCl", 1], ["KCl", 2]])
    assert read_dataset(tmp_path / "x.csv").compositions == ["NaCl", "KCl"]


def test_columns_of_0_and_1_are_taken_for_classes(place: Path):
    rows: list[list[object]] = [[salt, i % 2, 0.5 + i % 2] for i, salt in enumerate(SALTS * 50)]
    write_table(place / "x.csv", ["formula", "metal", "gap"], rows)
    assert inspect_file(place / "x.csv").binary == ("metal",)
    described = describe_data(place / "x.csv", "metal")
    assert described.section.classes == ("0", "1")
    assert "taken as two classes" in described.notes[0]
    assert described.section.load().targets["metal"].kind == "classification"
    text, _ = recipe_for(place / "x.csv", "metal", relative_to=place)
    assert 'classes = ["0", "1"] ' in text
    write_table(place / "x.csv", ["formula", "metal", "gap"], [*rows, ["MgO", 2, 1.0]])  # beyond the first hundred
    assert inspect_file(place / "x.csv").binary == ()
    assert describe_data(place / "x.csv", "metal").section.classes == ()


@pytest.mark.parametrize("structures", [True, False])
def test_models_are_asked_about_columns_and_not_their_names(structures: bool):
    items = [bulk("Si"), bulk("Ge")] if structures else ["NaCl", "Si"]
    column = pd.Series(items, name="Fe")
    for given in (column, column.to_frame(), np.array([*items, None], dtype=object)[:2], iter(items)):
        inputs = read_inputs(given, structures)
        assert inputs.items == items
        assert inputs.ids == (["0", "1"] if structures else items)
    with pytest.raises(ValueError, match="must be one column, got a DataFrame with the columns 'Fe', 'Ni'"):
        read_inputs(pd.DataFrame({"Fe": items, "Ni": items}), structures)
    with pytest.raises(TypeError, match=r"structures must be a structure, .* got NoneType"):
        read_inputs(None, structures)
