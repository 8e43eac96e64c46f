"""Text of others is nothing but text."""

import csv
import io

import pytest

from atomprint.util.text import cell, counted, csv_text, in_words, kind_in_words, share, visible, with_unit


@pytest.mark.parametrize(
    "text", ["=1+1", "=cmd|' /C calc'!A0", "+x", "-Fe", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "-", "+-3"]
)
def test_formulas_of_spreadsheets_are_text(text):
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["-1.5", "+3", "-.5e-3", "1=1", "NaCl", "", "a-b", "'x", -1.5, 3, None, True, "m-1"])
def test_everything_else_stays(value):
    assert cell(value) is value


def test_tables():
    rows = [{"id": "=1", "=y": -1.5}, {"id": 'a,"b"\nc', "=y": None}, {"id": "-2", "other": 1}]
    text = "".join(csv_text(["id", "=y"], rows))
    assert list(csv.reader(io.StringIO(text))) == [["id", "'=y"], ["'=1", "-1.5"], ['a,"b"\nc', ""], ["-2", ""]]
    assert "".join(csv_text(["a"], [])) == "a\n"


def test_what_steers_a_terminal_is_written_out():
    assert (
        visible("\x1b[31mred\x07 \u202eabc\x9b \udcff é Å 安\n")
        == r"\x1b[31mred\x07 \u202eabc\x9b \udcff é Å 安" + "\n"
    )
    assert visible("[red]x[/red] :smile: $x$") == "[red]x[/red] :smile: $x$"


def test_errors_of_python_are_put_in_words():
    for error in (
        IndexError("list index out of range"),
        TypeError("'NoneType' object is not iterable"),
        ValueError(""),
    ):
        assert in_words(error) == "it is damaged, or of another form"
    assert in_words(ValueError("row 3 must be\n a number")) == "row 3 must be a number"
    assert in_words(KeyError("sites")) == "'sites' is missing"
    assert in_words(RecursionError("maximum recursion depth exceeded")) == "it is nested too deeply"
    assert [kind_in_words(value) for value in (None, 1.5, "a", [])] == ["null", "a number", "text", "a list"]


def test_numbers_of_things_in_words():
    assert [counted(n, "row") for n in (0, 1, 2, 1000)] == ["0 rows", "1 row", "2 rows", "1,000 rows"]
    assert [share(1, 1, "row"), share(1, 3, "row"), share(2, 3, "row")] == [
        "1 of 1 row is",
        "1 of 3 rows is",
        "2 of 3 rows are",
    ]


@pytest.mark.parametrize(
    ("words", "unit", "expected"),
    [
        ("gap", "eV", "gap (eV)"),
        ("gap", "", "gap"),
        ("gap (eV)", "eV", "gap (eV)"),
        ("gap [eV]", "eV", "gap [eV]"),
        ("gap (HSE)", "eV", "gap (HSE) (eV)"),
        ("in eV", "eV", "in eV (eV)"),
    ],
)
def test_a_unit_is_given_once(words, unit, expected):
    assert with_unit(words, unit) == expected
