"""Tables as people write them: each is read rightly, or what is wrong is named with its line."""

from pathlib import Path
from typing import Any

import pytest

from atomprint.datasets import inspect_file, read_dataset

SALTS = ("NaCl", "Si", "Ge")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("0,1\nNaCl,5\nSi,1\nGe,2\n", (2, 3, 4)),  # as pandas names columns without names
        ("NaCl,5\nSi,1\nGe,2\n", (1, 2, 3)),
        ("formula,300\nNaCl,5\nSi,1\nGe,2\n", (2, 3, 4)),  # a number is a name too
        ("formula, band gap (eV)\nNaCl, 5\nSi, 1\nGe, 2\n", (2, 3, 4)),
        (",formula,gap,\n0,NaCl,5,\n1,Si,1,\n,,,\n2,Ge,2,\n", (2, 3, 5)),
        (",gap\nNaCl,5\nSi,1\nGe,2\n", (2, 3, 4)),  # formulas as the index of pandas
        ("formula,\nNaCl,5\nSi,1\nGe,2\n", (2, 3, 4)),
        ("\n\nformula,gap\n\nNaCl,5\nSi,1,\nGe,2\n", (5, 6, 7)),
        ("# by hand, one day\nformula,gap\nNaCl,5\n# a remark\nSi,1\nGe,2\n", (3, 5, 6)),
        ("#formula,gap\nNaCl,5\nSi,1\nGe,2\n", (2, 3, 4)),
        ("formula;gap\nNaCl;5,0\nSi;1\nGe;2,00\n", (2, 3, 4)),  # decimal commas
        ("sep=;\nformula;gap\nNaCl;5\nSi;1\nGe;2\n", (3, 4, 5)),
        ("formula\tgap\nNaCl\t5,0\nSi\t1,0\nGe\t2,0\n", (2, 3, 4)),
        ("formula  gap\nNaCl     5\nSi       1\nGe       2\n", (2, 3, 4)),
        ("formula|gap\nNaCl|5\nSi|1\nGe|2\n", (2, 3, 4)),
        ("formula,gap\r\nNaCl,5\r\nSi,1\r\nGe,2\r\n", (2, 3, 4)),
        ("formula,gap\rNaCl,5\rSi,1\rGe,2\r", (2, 3, 4)),
        ('formula,note,gap\nNaCl,"a\nb",5\nSi,"c, ""d""",1\nGe,,2\n', (2, 4, 5)),
        ("formula,gap\nNaCl,5\nSi,1D0\nGe,+2.0E+00\n", (2, 3, 4)),
    ],
)
def test_read_rightly(tmp_path: Path, text: str, lines: tuple[int, ...]):
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        (tmp_path / "x.csv").write_bytes(text.encode(encoding))
        dataset = read_dataset(tmp_path / "x.csv")
        assert tuple(dataset.compositions or ()) == SALTS, encoding
        (target,) = dataset.targets.values()
        assert target.values.tolist() == [5, 1, 2], encoding
        assert dataset.lines == lines
    assert dataset.take([2, 0]).lines == (lines[2], lines[0])


def test_a_table_of_file_names_that_are_numbers_has_no_header(tmp_path: Path):
    (tmp_path / "id_prop.csv").write_text("0,1\n1,3\n2,5\n")
    for name in "012":
        (tmp_path / f"{name}.xyz").write_text(f"1\n\n{'HCN'[int(name)]} 0 0 0\n")
    dataset = read_dataset(tmp_path, targets="1", structure="0")
    assert (dataset.ids, dataset.targets["1"].values.tolist()) == (("0", "1", "2"), [1, 3, 5])


@pytest.mark.parametrize(
    "cell",
    [
        "-",
        "--",
        "inf",
        "-inf",
        "5.0(2)",
        "<0.1",
        "> 3",
        "~2",
        "n.a.",
        "5 eV",
        "5%",
        "1,5",
        "1.234,5",
        "1_000",
        "1e999",
        "1" * 400,
    ],
)
def test_cells_that_are_no_numbers_are_named(tmp_path: Path, cell: str):
    rows = "".join(f"{metal}O,{i}.5\n" for i, metal in enumerate(("Ca", "Mg", "Sr")))
    (tmp_path / "x.csv").write_text(f'formula,gap\n{rows}NaCl,"{cell}"\nKCl,2.5\nNaF,{cell.replace(",", ";")}\n')
    dataset = read_dataset(tmp_path / "x.csv", on_error="skip")
    assert dataset.targets["gap"].values.tolist() == [0.5, 1.5, 2.5, 2.5]
    assert [failure.line for failure in dataset.failures] == [5, 7]
    assert all("'gap'" in failure.reason and "number" in failure.reason for failure in dataset.failures)
    with pytest.raises(ValueError, match=r"row 3: target: 'gap'.*also line 7 \(line 5; on_error=.skip. leaves"):
        read_dataset(tmp_path / "x.csv")
    assert inspect_file(tmp_path / "x.csv").targets == ("gap",)


@pytest.mark.parametrize(
    ("cell", "value"),
    [("−3.2", -3.2), ("–3.2", -3.2), ("1D3", 1000), ("2.5d-1", 0.25), ("1E−2", 0.01), ("+4", 4), (".5", 0.5)],
)
def test_numbers_as_they_are_written(tmp_path: Path, cell: str, value: float):
    (tmp_path / "x.csv").write_text(f"formula,gap\nNaCl,{cell}\nSi,1.5\n")
    assert read_dataset(tmp_path / "x.csv").targets["gap"].values.tolist() == [value, 1.5]


@pytest.mark.parametrize(
    ("cells", "options", "found"),
    [
        (("TRUE", "True", "1", "0", "false"), {}, [1, 1, 1, 0, 0]),
        (("yes", "No", "NO", "Yes", "no"), {"targets": "y"}, [1, 0, 0, 1, 0]),
        (("1,5", "2,25", "3", "", "4,0"), {}, [1.5, 2.25, 3, None, 4]),
        (("1,234", "2,345", "3,456", "4,567", "5,678"), {"targets": "y"}, "between thousands"),
        (("1,234", "2.5", "3", "4", "5"), {}, "between thousands"),
        (("metal", "Metal", "x", "x", "metal"), {"targets": "y"}, "'Metal' and 'metal' differ in capitals only"),
    ],
)
def test_columns_of_mixed_writing(tmp_path: Path, cells: tuple[str, ...], options: Any, found: Any):
    text = "".join(f"{salt}O;{cell}\n" for salt, cell in zip(("Ca", "Mg", "Sr", "Ba", "Ni"), cells, strict=True))
    (tmp_path / "x.csv").write_text(f"formula;y\n{text}")
    if isinstance(found, str):
        with pytest.raises(ValueError, match=found):
            read_dataset(tmp_path / "x.csv", **options)
        return
    target = read_dataset(tmp_path / "x.csv", **options).targets["y"]
    assert [target.values[i] if found[i] is not None else None for i in range(5)] == found


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.xlsx", b"PK\x03\x04", "a spreadsheet: save the sheet as CSV"),
        ("x.csv", b"PK\x03\x04", "a spreadsheet: save the sheet as CSV"),
        ("x.pkl", b"\x80\x04", "a pickle, which could run code"),
        ("x.csv", b"formula,gap\n\0\0,1\n", "is no text"),
        ("x.csv", b",,\n,,\n", "is empty"),
        ("x.txt", b"# nothing\n", "is empty"),
        ("x.csv", b"formula,gap,gap\nO,1,1\n", "different names, got 'gap' twice"),
    ],
)
def test_what_is_no_table_is_refused_with_a_way_out(tmp_path: Path, name: str, content: bytes, message: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_dataset(tmp_path / name)


def test_a_column_is_not_hidden_by_what_is_wrong_in_it(tmp_path: Path):
    rows = "".join(f"{metal}O,{gap},a\n" for metal, gap in zip(("Ca", "Mg", "Sr", "Ba", "Zn"), "1----", strict=True))
    (tmp_path / "x.csv").write_text(f"sample,gap,phase\n{rows}Fe-18Cr-8Ni,2,b\n")
    dataset = read_dataset(tmp_path / "x.csv", on_error="skip")
    assert (dataset.compositions, dataset.targets["gap"].values.tolist()) == (["CaO"], [1])
    assert [failure.line for failure in dataset.failures] == [3, 4, 5, 6, 7]
    assert "alloy" in dataset.failures[-1].reason


def test_long_integers_as_ids_keep_all_digits(tmp_path: Path):
    (tmp_path / "x.json").write_text('[{"id": 12345678901234567891, "formula": "O", "y": 1}]')
    assert read_dataset(tmp_path / "x.json").ids == ("12345678901234567891",)
