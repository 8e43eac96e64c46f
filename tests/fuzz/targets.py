"""What is tried: an input by its number, what is done with it, and what must be true of the outcome."""

from __future__ import annotations

import csv
import io
import json
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fuzz import corpus, mutate
from fuzz.mutate import Rng, pick


class WrongError(AssertionError):
    """An outcome that must not be: a loss without a word, or other values for the same data."""


@dataclass(frozen=True)
class Target:
    """Something that takes inputs: how one is made, and what is done with it."""

    make: Callable[[Rng], bytes]
    ending: str
    use: Callable[[Path], None]
    cost: int = 1  # about how many times slower than a reader


TARGETS: dict[str, Target] = {}


def target(ending: str, make: Callable[[Rng], bytes], cost: int = 1) -> Callable[[Any], Any]:
    def add(use: Callable[[Path], None]) -> Callable[[Path], None]:
        TARGETS[use.__name__] = Target(make, ending, use, cost)
        return use

    return add


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape" if "\udcff" in text else "backslashreplace")


def _text(*good: str) -> Callable[[Rng], bytes]:
    return lambda rng: _encoded(mutate.text(rng, pick(rng, good)))


def _json(good: Callable[[], Any]) -> Callable[[Rng], bytes]:
    def make(rng: Rng) -> bytes:
        given = json.dumps(mutate.value(rng, json.loads(json.dumps(good()))))
        return _encoded(mutate.text(rng, given) if rng.random() < 0.2 else given)

    return make


def _same(one: Any, other: Any, what: str) -> None:
    """Raise unless two structures are the same to rounding."""
    if len(one) != len(other) or (one.numbers != other.numbers).any():
        raise WrongError(f"{what}: {one} and {other}")
    if not np.allclose(one.positions, other.positions, atol=1e-9) or not np.allclose(one.cell, other.cell, atol=1e-9):
        raise WrongError(f"{what}: other positions")


def _finite(structures: Any) -> None:
    for atoms in structures:
        if not len(atoms):
            raise WrongError("a structure without atoms")
        if not (np.isfinite(atoms.positions).all() and np.isfinite(np.asarray(atoms.cell)).all()):
            raise WrongError("a position or a cell that is no number")
        if not ((atoms.numbers > 0) & (atoms.numbers < 119)).all():
            raise WrongError("an atom that is no element")


# Files of structures ------------------------------------------------------------------------------------------------


def _in_another_writing(path: Path, read: Callable[[str], list[Any]], rewrite: Callable[[str], str]) -> None:
    """Read a text, and the same data written otherwise: the same structures must come out."""
    from atomprint.structures import as_batch

    text = path.read_bytes().decode("utf-8", "surrogateescape")
    found = read(text)
    as_batch(found)  # which judges positions and cells
    again = read(rewrite(text))
    if len(again) != len(found):
        raise WrongError(f"{len(found)} structures, and {len(again)} in another writing")
    for one, other in zip(found, again, strict=True):
        _same(one, other, "another writing")


@target(".cif", _text(*corpus.cifs()))
def cif(path: Path) -> None:
    from atomprint.formats.cif import crystals_of_cif

    def read(text: str) -> list[Any]:
        return [crystal if hasattr(crystal, "numbers") else _atoms(crystal) for crystal in crystals_of_cif(text)]

    def rewrite(text: str) -> str:
        plain = not any(word in text for word in (";", "\r", "#", "\x00", '"', "\t"))
        return text.replace("\n", "  \n") if plain else text

    _in_another_writing(path, read, rewrite)


def _atoms(crystal: Any) -> Any:
    from atomprint.datasets.files.structures import to_atoms

    return to_atoms(crystal)


@target(".xyz", _text(corpus.XYZ, corpus.EXTXYZ, corpus.EXTXYZ))
def xyz(path: Path) -> None:
    from atomprint.formats.structures import frames_of_text

    def rewrite(text: str) -> str:
        return text if "\r" in text or '"' in text else text.replace("\n", "\r\n")

    _in_another_writing(path, lambda text: frames_of_text("a.xyz", text), rewrite)


@target("", _text(corpus.POSCAR, corpus.POSCAR4))
def poscar(path: Path) -> None:
    from atomprint.formats.structures import frames_of_text

    def rewrite(text: str) -> str:
        return text if "\r" in text else text.replace("\n", " \t\r\n")

    _in_another_writing(path, lambda text: frames_of_text("POSCAR", text), rewrite)


@target(".json", _json(lambda: corpus.pymatgen_dict(corpus.crystals()[0])))
def structure_json(path: Path) -> None:
    from atomprint.structures import read_structures

    _finite([_atoms(item) for item in read_structures(path)])


# Data sets ----------------------------------------------------------------------------------------------------------


def _counted(path: Path, n: int | None, **options: Any) -> None:
    """Read a data set: each row is read, or listed as left out."""
    from atomprint.datasets import read_dataset

    data = read_dataset(path, on_error="skip", **options)
    if n is not None and len(data) + len(data.failures) != n:
        raise WrongError(f"{len(data)} rows read and {len(data.failures)} left out of {n}")
    for failure in data.failures:
        if not failure.reason.strip():
            raise WrongError("a row is left out without a reason")
        check_words(failure.reason)
    for name, values in data.targets.items():
        if len(values.values) != len(data):
            raise WrongError(f"{len(values.values)} values of {name} for {len(data)} rows")
        numbers = [v for v in values.values if isinstance(v, float)]
        if any(np.isinf(v) for v in numbers):
            raise WrongError(f"an infinite value of {name}")
    if data.structures is not None:
        _finite(list(data.structures))


def _rows(rng: Rng) -> bytes:
    """Return a table with changed cells, whose number of rows is known: it is in the first name."""
    rows = corpus.table()
    for _ in range(int(rng.integers(1, 5))):
        row = rows[int(rng.integers(0, len(rows)))]
        column = int(rng.integers(len(row)))
        row[column] = pick(rng, (mutate.NUMBERS, mutate.WORDS, corpus.FORMULAS))[0:][int(rng.integers(15))]
        row[column] = row[column].replace("\x00", "0").replace("\udcff", "?").replace("\r", " ")
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=pick(rng, (",", ",", ";", "\t")), lineterminator=pick(rng, ("\n", "\r\n"))).writerows(
        rows
    )
    return _encoded(buffer.getvalue())


@target(".csv", _rows)
def table_rows(path: Path) -> None:
    _counted(path, 6, formula="formula", targets=("y",))


@target(".csv", lambda rng: _encoded(mutate.text(rng, _rows(rng).decode("utf-8", "replace"))))
def table_text(path: Path) -> None:
    from atomprint.datasets import inspect_file

    inspect_file(path)
    _counted(path, None)


@target(".json", _json(corpus.records))
def records_json(path: Path) -> None:
    try:
        given = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        given = None
    n = len(given) if isinstance(given, list) and all(isinstance(row, dict) for row in given) else None
    _counted(path, n, targets="gap", structure="structure")


def _lines(rng: Rng) -> bytes:
    return b"\n".join(_json(lambda row=row: row)(rng) for row in corpus.records())


@target(".jsonl", _lines)
def json_lines(path: Path) -> None:
    _counted(path, None, targets="gap")


def _frames(rng: Rng) -> bytes:
    """Return frames with changed words in lines of atoms, whose number is known."""
    frames = [corpus.XYZ.replace("water", f"energy={i}") for i in range(4)]
    lines = "".join(frames).split("\n")
    for _ in range(int(rng.integers(1, 4))):
        place = 5 * int(rng.integers(4)) + int(rng.integers(2, 5))
        words = lines[place].split()
        if words:
            new = pick(rng, (mutate.NUMBERS, mutate.WORDS))[int(rng.integers(30))]
            words[int(rng.integers(len(words)))] = new.replace("\n", "n").replace("\r", "r") or "?"
            lines[place] = " ".join(words)
    return _encoded("\n".join(lines))


@target(".xyz", _frames)
def frames(path: Path) -> None:
    _counted(path, 4, targets=("energy",))


def _archive(rng: Rng) -> bytes:
    """Return a zip or tar file of CIFs, some of them changed, sometimes with a changed byte."""
    names = [f"{pick(rng, ('', 'a/', 'b/c/', './'))}{i}.cif" for i in range(4)]
    members = {name: _encoded(corpus.cifs()[i % 7]) for i, name in enumerate(names)}
    name = pick(rng, names)
    members[name] = _encoded(mutate.text(rng, members[name].decode()))
    buffer = io.BytesIO()
    if rng.random() < 0.5:
        with zipfile.ZipFile(buffer, "w", pick(rng, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                if rng.random() < 0.1:
                    info.type, info.linkname, info.size = pick(rng, (tarfile.SYMTYPE, tarfile.LNKTYPE)), names[0], 0
                tar.addfile(info, io.BytesIO(content))
    given = buffer.getvalue()
    return mutate.data(rng, given) if rng.random() < 0.5 else given


@target(".zip", _archive, cost=3)
def archive(path: Path) -> None:
    if not zipfile.is_zipfile(path):
        path = path.rename(path.with_suffix(".tar"))
    try:
        _counted(path, None)
    finally:
        if path.suffix == ".tar":
            path.rename(path.with_suffix(".zip"))


@target(".txt", _text(*corpus.FORMULAS))
def formula(path: Path) -> None:
    from atomprint.chemistry.formula import parse_formula, reduced_formula

    text = path.read_bytes().decode("utf-8", "surrogateescape")
    found = parse_formula(text)
    if not found or not all(np.isfinite(n) and n > 0 for n in found.values()):
        raise WrongError(f"{text!r} is {found}")
    reduced = reduced_formula(text)
    again = parse_formula(reduced)
    shares = {z: n / sum(found.values()) for z, n in found.items()}
    if set(again) != set(shares) or any(abs(n / sum(again.values()) - shares[z]) > 0.02 for z, n in again.items()):
        raise WrongError(f"{text!r} is {found}, and reduced {reduced!r}")


@target(".toml", _text(corpus.RECIPE))
def recipe(path: Path) -> None:
    from atomprint.workflow import Recipe

    again = Recipe.read(path)
    text = again.to_toml()
    if Recipe.from_dict(again.to_dict()).to_toml() != text:
        raise WrongError("a recipe that is another one after it was written")


# Models -------------------------------------------------------------------------------------------------------------


@cache
def _models() -> list[dict[str, bytes]]:
    """Return the members of small model files of several kinds."""
    import tempfile

    from ase.build import molecule
    from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
    from sklearn.linear_model import Ridge
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.svm import SVR

    from atomprint.datasets import Dataset, Target
    from atomprint.descriptors import SOAP
    from atomprint.learn.task.problem import Problem
    from atomprint.workflow import TrainedModel, assemble
    from atomprint.workflow.saved.container import read_container

    rng, structures = np.random.default_rng(0), []
    for _ in range(20):
        structures.append(molecule("H2O"))
        structures[-1].positions += rng.normal(0, 0.05, (3, 3))
    y = rng.normal(size=20)
    data = Dataset("d", "D", structures, tuple(map(str, range(20))), {"y": Target(y, "eV", "y", "y")}, "", "")
    made = []
    models = [Ridge(), RandomForestRegressor(2, max_depth=2, random_state=0), KNeighborsRegressor(3), SVR()]
    models.append(HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=5))
    for model in models:
        features = SOAP(r_cut=3.0, n_max=2, l_max=1, average="inner")
        pipeline = assemble(features, model).fit(structures, y)
        with tempfile.TemporaryDirectory() as folder:
            path = TrainedModel.of(pipeline, Problem.of(data, "y")).save(Path(folder) / "m.atomprint")
            card, members = read_container(path)
        for key in ("format", "format_version", "members"):
            card.pop(key)
        made.append({"card": json.dumps(card).encode(), **members})
    return made


def _model(rng: Rng) -> bytes:
    """Return a model file with right checksums around something that was changed."""
    import tempfile

    from atomprint.workflow.saved.container import write_container

    members = dict(pick(rng, _models()))
    card = json.loads(members.pop("card"))
    kind = int(rng.integers(6))
    if kind == 0:
        card = mutate.value(rng, card)
    elif kind == 1:
        name = pick(rng, sorted(members))
        members[name] = mutate.data(rng, members[name])
    elif kind in (2, 3, 4):
        with zipfile.ZipFile(io.BytesIO(members["pipeline.skops"])) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        if kind == 2:
            files["schema.json"] = json.dumps(mutate.value(rng, json.loads(files["schema.json"]))).encode()
        else:
            arrays = sorted(name for name in files if name.endswith(".npy"))
            name = pick(rng, arrays or sorted(files))  # those of trees are in a member of their own
            files[name] = _array(rng, files[name]) if arrays and kind == 3 else mutate.data(rng, files[name])
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        members["pipeline.skops"] = buffer.getvalue()
    else:
        member = pick(rng, sorted(name for name in members if name.endswith(".npz")))
        found = dict(np.load(io.BytesIO(members[member])))
        name = pick(rng, sorted(found))
        buffer = io.BytesIO()
        np.save(buffer, found[name])
        found[name] = np.load(io.BytesIO(_array(rng, buffer.getvalue())))
        buffer = io.BytesIO()
        np.savez(buffer, **found)
        members[member] = buffer.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.atomprint"
        try:
            write_container(path, card, members)
        except (ValueError, TypeError):  # a card that is no JSON
            return b""
        given = path.read_bytes()
    return mutate.data(rng, given) if rng.random() < 0.1 else given


def _array(rng: Rng, given: bytes) -> bytes:
    """Return an array with other values, another shape or another type."""
    array = np.load(io.BytesIO(given)).copy()
    kind = int(rng.integers(5))
    if kind == 0 and array.size and array.dtype.names:
        field = pick(rng, array.dtype.names)
        array[field].flat[int(rng.integers(array.size))] = pick(rng, (0, 1, 2, 100, 127))
    elif kind <= 1 and array.size and array.dtype.kind in "iuf":
        values = (0, 1, 100) if array.dtype.kind == "u" else (0, -1, 1, 100, 2**30)
        if array.dtype.kind == "f":
            values = (*values, np.nan, np.inf, 1e300)
        array.flat[int(rng.integers(array.size))] = pick(rng, values)
    elif kind == 2:
        array = np.atleast_1d(array)[: int(rng.integers(0, max(1, len(np.atleast_1d(array)))))]
    elif kind == 3:
        array = pick(rng, (array[None], array.ravel(), np.repeat(np.atleast_1d(array), 3, axis=0)))
    elif array.dtype.kind in "iuf":
        array = array.astype(pick(rng, (np.float32, np.int8, np.float64, bool, str)))
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@target(".atomprint", _model, cost=20)
def model(path: Path) -> None:
    from ase.build import molecule

    from atomprint.workflow import load_model

    loaded = load_model(path)
    json.dumps(loaded.info(), allow_nan=False)
    repr(loaded)
    found = loaded.predict([molecule("H2O")], on_error="skip")
    if not found.failures and not np.isfinite(found.values).all():
        raise WrongError("a prediction that is no number")
    json.dumps(found.to_dict(), allow_nan=False)


def _batch(rng: Rng) -> bytes:
    """Return structures as arrays of which one was changed, or the file of them."""
    from atomprint.structures import as_batch

    arrays = {}
    for name, array in zip(
        ("positions", "numbers", "offsets", "cells", "pbc"),
        as_batch(corpus.crystals(), periodic=None).arrays(),
        strict=True,
    ):
        buffer = io.BytesIO()
        np.save(buffer, array)
        arrays[name] = buffer.getvalue()
    name = pick(rng, sorted(arrays))
    arrays[name] = _array(rng, arrays[name]) if rng.random() < 0.7 else mutate.data(rng, arrays[name])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)
    return mutate.data(rng, buffer.getvalue()) if rng.random() < 0.3 else buffer.getvalue()


@target(".npz", _batch)
def batch(path: Path) -> None:
    from atomprint.descriptors import ACSF
    from atomprint.neighbours import pairs
    from atomprint.structures import Batch, as_batch

    for mmap in (True, False):
        loaded = Batch.load(path, mmap=mmap)
        if not np.isfinite(as_batch(loaded, periodic=None).positions).all():  # cells that count for nothing may be
            raise WrongError("a position that is no number")
        pairs(loaded, 3.0)
        ACSF(species=range(1, 119), r_cut=3.0, g2_params=[[1, 1]]).create(loaded)


# The command line ---------------------------------------------------------------------------------------------------

_COMMANDS = (
    ["init", "{file}", "-o", "{out}.toml"],
    ["init", "{file}", "--target", "y", "-o", "{out}.toml", "--force"],
    ["data", "show", "{file}"],
    ["data", "list"],
    ["train", "{file}", "--target", "y", "-s", "models={dummy2={type='ridge'}}", "-s", "split.n_folds=x"],
    ["featurize", "{file}", "-d", "ElementProperty", "-o", "{out}.csv", "--skip"],
    ["featurize", "{file}", "-d", "SOAP", "-s", "r_cut=3", "-s", "n_max=2", "-s", "l_max=1", "-o", "{out}.npz"],
    ["predict", "{file}", "-m", "{model}", "--skip", "-o", "{out}.json"],
    ["predict", "H2O", "NaCl", "-m", "{model}"],
    ["evaluate", "{file}", "-m", "{model}", "--skip"],
    ["info", "{model}"],
    ["info", "{file}"],
    ["report", "{folder}"],
    ["benchmark", "matbench_steels", "--data", "{file}", "-o", "{out}"],
)


def _command(rng: Rng) -> bytes:
    name, content = pick(
        rng,
        (
            ("d.csv", _rows),
            ("d.csv", TARGETS["table_text"].make),
            ("d.json", TARGETS["records_json"].make),
            ("d.xyz", TARGETS["xyz"].make),
            ("d.cif", TARGETS["cif"].make),
            ("d.toml", TARGETS["recipe"].make),
        ),
    )
    words = list(pick(rng, _COMMANDS))
    if rng.random() < 0.5:
        place = int(rng.integers(len(words)))
        kind = int(rng.integers(4))
        if kind == 0:
            words[place] = pick(rng, mutate.WORDS).replace("\x00", "0")
        elif kind == 1:
            words.insert(place, pick(rng, (*mutate.NUMBERS, "--json", "--jobs", "--sort", "--top", "-x", "--help")))
        elif kind == 2:
            del words[place]
        else:
            words += ["-s", mutate.text(rng, "r_cut=5.0").replace("\x00", "0")]
    return json.dumps({"words": words, "name": name, "content": content(rng).decode("latin-1")}).encode()


@target(".json", _command, cost=20)
def command(path: Path) -> None:
    import os
    import tempfile

    from typer.testing import CliRunner

    from atomprint.cli.app import app
    from atomprint.workflow.saved.container import write_container

    given = json.loads(path.read_bytes())
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        os.chdir(where)
        try:
            (where / given["name"]).write_bytes(given["content"].encode("latin-1"))
            members = dict(_models()[0])
            write_container(where / "m.atomprint", json.loads(members.pop("card")), members)
            places = {"file": given["name"], "out": "out", "model": "m.atomprint", "folder": "."}
            words = given["words"]
            for name, place in places.items():
                words = [word.replace(f"{{{name}}}", place) for word in words]
            result = CliRunner().invoke(app, words)
            left = sorted(item.name for item in where.iterdir() if item.name.startswith("."))
        finally:
            os.chdir(here)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if "Traceback (most recent" in result.output:
        raise WrongError(f"a traceback: {result.output[-500:]}")
    if left and result.exit_code == 0:
        raise WrongError(f"left behind: {left}")
    if result.exit_code == 70:
        raise WrongError(result.output[-300:])
    if result.exit_code == 1:
        if not result.output.strip():
            raise WrongError("it failed without a word")
        check_words(result.output.strip().splitlines()[-1])


# What messages must not hold ----------------------------------------------------------------------------------------

_PYTHON = (
    *mutate.split("KeyError IndexError TypeError( ValueError( AttributeError AssertionError OverflowError NoneType"),
    "object has no attribute",
    "index out of range",
    "object is not subscriptable",
    "values to unpack",
    "object at 0x",
    "invalid literal for int()",
    "could not convert string to float",
    "unsupported operand",
    "object is not iterable",
    "unhashable type",
    "must be real number, not",
    "inhomogeneous shape",
    "cannot convert float NaN",
    "takes no arguments",
    "codec can't",
    "maximum recursion",
    "positional argument",
    "setting an array element",
    "not supported between instances",
)


def check_words(text: str) -> None:
    """Raise if a message is for programmers, or empty."""
    if not text.strip():
        raise WrongError("an error without a word")
    for words in _PYTHON:
        if words in text:
            raise WrongError(f"a message in words of Python: {text[:300]}")


def run(name: str, path: Path) -> str:
    """Do what a target does with an input; return what it was refused with, or nothing."""
    from atomprint.workflow.saved.container import ModelFileError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            TARGETS[name].use(path)
        except (ModelFileError, FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            check_words(str(error))
            return str(error)
        except (ValueError, TypeError) as error:
            if isinstance(error, TypeError) and name != "recipe":  # which says that it raises it
                raise
            if isinstance(error, UnicodeError | json.JSONDecodeError):
                raise WrongError(f"an error of Python itself: {error!r}") from error
            check_words(str(error))
            return str(error)
    return ""


def prepare(name: str) -> None:
    """Import and make what a target needs once, and not in each child process."""
    import gemmi  # noqa: F401
    import pandas  # noqa: F401
    from skops import io  # noqa: F401

    import atomprint.cli.app
    import atomprint.datasets
    import atomprint.formats.cif
    import atomprint.workflow  # noqa: F401

    if name in ("model", "command"):
        _models()
