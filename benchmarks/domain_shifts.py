"""How well a model finds the predictions that it is wrong about, where samples are of another kind than those it knows.

    python benchmarks/domain_shifts.py --data ../shared/data [--datasets mp_20 qm7] [--models auto ridge] [--signs]

Of each data set some kind is left out of the training (an element, a lattice, the dense or the large, the hot, the
later ones); models see 1000 of the others, are calibrated by three folds within these, and are asked about others of
the same kind and about those left out. A detector is good if it tells which errors exceed the interval that holds 90 %
of the errors of the folds, or for classes which predictions are wrong: its AUC is that over both kinds together, and
over those left out alone. Beside it stand the
share that is called outside the domain (of the same kind: false alarms), and the mean errors of those left out that are
inside and outside, in units of the error of the same kind.
"""

from __future__ import annotations

import argparse
import lzma
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.io import read
from sklearn.metrics import roc_auc_score

from atomprint.datasets import Dataset, Target, load, read_dataset
from atomprint.learn import Problem, Split, evaluate, make_model
from atomprint.workflow import TrainedModel, assemble
from atomprint.workflow.recipes.auto import auto_recipe
from atomprint.workflow.recipes.features import build_features, read_features
from atomprint.workflow.runs.describe import compute_features
from atomprint.workflow.runs.learnt import LearntColumns

N_TRAIN, N_SAME, N_SHIFTED, N_FOLDS = 1000, 500, 300, 3
MODELS: Mapping[str, Mapping[str, Any]] = {
    "auto": {},
    "trees": {"type": "extra_trees", "n_estimators": 150},
    "kernel ridge": {"type": "kernel_ridge"},
    "network": {"type": "resnet", "width": 128, "n_epochs": 100},
    "two": {
        "type": "ensemble",
        "combine": "mean",
        "members": [{"type": "extra_trees", "n_estimators": 50, "max_features": 0.3}, "kernel_ridge"],
    },
    "ridge": {"type": "ridge"},
    "boosting": {"type": "hist_gradient_boosting"},
}
_LATTICES = (225, 221, 62, 139, 194)


class Shift(NamedTuple):
    """A kind of samples to leave out."""

    name: str
    left_out: np.ndarray  # of bool, one for each sample


# Data sets and shifts -------------------------------------------------------------------------------------------------


def _has(dataset: Dataset, *symbols: str) -> np.ndarray:
    return dataset.contains[:, [atomic_numbers[symbol] for symbol in symbols]].any(axis=1)


def _above(values: np.ndarray, share: float) -> np.ndarray:
    return np.asarray(values > np.quantile(values, 1 - share))


def _volumes(dataset: Dataset) -> np.ndarray:
    return np.array([abs(np.linalg.det(atoms.cell)) / len(atoms) for atoms in dataset.structures])


def _crystals(dataset: Dataset) -> Iterator[Shift]:
    volumes = _volumes(dataset)
    yield Shift("dense tenth", _above(-volumes, 0.1))
    yield Shift("loose tenth", _above(volumes, 0.1))


def perovskites(folder: Path) -> tuple[Dataset, list[Shift]]:
    """Return formation energies of perovskites: elements and volumes."""
    dataset = load("matbench_perovskites", path=folder / "matbench/matbench_perovskites.json.gz")
    dataset = dataset.take(np.random.default_rng(1).permutation(len(dataset))[:6000])
    elements = [("N",), ("Ti",), ("K", "Rb", "Cs")]
    named = [Shift(f"element {', '.join(symbols)}", _has(dataset, *symbols)) for symbols in elements]
    return dataset, [*named, *_crystals(dataset)]


@cache
def _crystals_of_20(folder: Path) -> Dataset:
    targets = ("formation_energy_per_atom", "band_gap", "e_above_hull")
    path = folder / "mp/mp_20_biternary_test.csv.gz"
    return read_dataset(path, structure="cif", targets=targets, groups=("spacegroup.number",))


def _materials_project(folder: Path, target: str) -> tuple[Dataset, list[Shift]]:
    dataset = _crystals_of_20(folder)
    dataset = replace(dataset, targets={target: dataset.targets[target]})
    space_groups = dataset.groups["spacegroup.number"].astype(float).astype(int)
    numbers = np.array([int(name.split("-")[-1]) if "-" in name else int(name) for name in dataset.ids])
    return dataset, [
        *(Shift(f"lattice: space group {number}", space_groups == number) for number in _LATTICES),
        Shift("lattice: space groups 1 to 15", space_groups <= 15),
        Shift("element O", _has(dataset, "O")),
        Shift("element S", _has(dataset, "S")),
        Shift("more than 14 atoms", dataset.n_atoms > 14),
        Shift("later tenth", _above(numbers, 0.1)),
        *_crystals(dataset),
    ]


def energies(folder: Path) -> tuple[Dataset, list[Shift]]:
    """Return formation energies of the Materials Project: lattices, elements, size, volumes, order of ids."""
    return _materials_project(folder, "formation_energy_per_atom")


def gaps(folder: Path) -> tuple[Dataset, list[Shift]]:
    """Return band gaps of the same."""
    return _materials_project(folder, "band_gap")


def hulls(folder: Path) -> tuple[Dataset, list[Shift]]:
    """Return energies above the hull of the same: also elements that were not looked at before."""
    dataset, shifts = _materials_project(folder, "e_above_hull")
    return dataset, [*shifts, *(Shift(f"element {symbol}", _has(dataset, symbol)) for symbol in ("F", "Al", "Fe"))]


def metals(folder: Path) -> tuple[Dataset, list[Shift]]:
    """Return whether crystals of the Materials Project are metals, by the same shifts."""
    dataset, shifts = _materials_project(folder, "band_gap")
    gap = dataset.targets["band_gap"]
    metal = Target((gap.values == 0).astype(int), "", "Metal", "Whether there is no gap.", classes=("gap", "metal"))
    return replace(dataset, targets={"metal": metal}), shifts


def larger(folder: Path) -> tuple[Dataset, list[Shift]]:
    """Return formation energies of crystals of up to 52 atoms: the large, the last years, the halides."""
    dataset = read_dataset(
        folder / "mp/mpts_52_val.csv.gz", structure="cif", targets="formation_energy_per_atom", groups=("year",)
    )
    years = dataset.groups["year"].astype(float)
    return dataset, [
        Shift("more than 20 atoms", dataset.n_atoms > 20),
        Shift("last years", years >= np.quantile(years, 0.8)),
        Shift("halides", _has(dataset, "F", "Cl", "Br", "I")),
    ]


def qm7(folder: Path) -> tuple[Dataset, list[Shift]]:
    """Return energies of molecules: the larger ones, elements, the unsaturated."""
    dataset = read_dataset(folder / "qm7/qm7_xyz.tar.xz", table=folder / "qm7/hof_qm7.txt", targets="1")
    heavy = np.array([np.count_nonzero(atoms.numbers > 1) for atoms in dataset.structures])
    return dataset, [
        Shift("7 heavy atoms", heavy == 7),
        Shift("element S", _has(dataset, "S")),
        Shift("element O", _has(dataset, "O")),
        Shift("fewer H than heavy atoms", dataset.n_atoms - heavy < heavy),
    ]


def measured_gaps(folder: Path) -> tuple[Dataset, list[Shift]]:
    """Return measured band gaps of compositions: elements, and compositions of more of them."""
    dataset = load("matbench_expt_gap", path=folder / "matbench/matbench_expt_gap.json.gz")
    n_elements = dataset.contains.sum(axis=1)
    return dataset, [
        Shift("element O", _has(dataset, "O")),
        Shift("element Se", _has(dataset, "Se")),
        Shift("halides", _has(dataset, "F", "Cl", "Br", "I")),
        Shift("four and more elements", n_elements > 3),
    ]


def _compounds(folder: Path, table: str, target: str) -> tuple[Dataset, list[Shift]]:
    dataset = read_dataset(folder / "oqmd_abx3/OQMD_cif.tar.xz", table=folder / "oqmd_abx3" / table, targets=target)
    dataset = dataset.take(np.flatnonzero(dataset.targets[target].values < 5)) if target != "band_gap" else dataset
    numbers = np.array([int("".join(filter(str.isdigit, name))) for name in dataset.ids])
    named = [Shift(f"element {symbol}", _has(dataset, symbol)) for symbol in ("O", "F", "Se")]
    return dataset, [*named, Shift("later tenth", _above(numbers, 0.1)), *_crystals(dataset)]


def oqmd(folder: Path) -> tuple[Dataset, list[Shift]]:
    """Return formation energies of compounds ABX3: elements, volumes, order of ids."""
    return _compounds(folder, "oqmd_fm.csv", "formation_energy")


def oqmd_gaps(folder: Path) -> tuple[Dataset, list[Shift]]:
    """Return band gaps of such, by the same shifts."""
    return _compounds(folder, "oqmd_bg.csv", "band_gap")


def _calculations(folder: Path, name: str, kinds: Mapping[str, Callable[[str], bool]]) -> tuple[Dataset, list[Shift]]:
    """Return energies of cells with displaced atoms; the hot are those with the largest forces."""
    found: list[Any] = []
    for part in ("train", "test"):
        with lzma.open(folder / f"potentials/{name}_{part}.extxyz.xz", "rt") as file:
            found += read(file, index=":", format="extxyz")
    values = [
        atoms.info["REF_energy"] if "REF_energy" in atoms.info else atoms.get_potential_energy() for atoms in found
    ]
    forces = [atoms.arrays["REF_forces" if "REF_forces" in atoms.arrays else "force"] for atoms in found]
    plain = [Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True) for atoms in found]
    energy = Target(np.array(values) / [len(atoms) for atoms in found], "eV/atom", "Energy", "")
    dataset = Dataset(name, name, plain, tuple(map(str, range(len(found)))), {"energy": energy}, "", "")
    volumes, mean_forces = _volumes(dataset), np.array([np.linalg.norm(own, axis=1).mean() for own in forces])
    labels = [str(atoms.info.get("config_type", "")) for atoms in found]
    return dataset, [
        Shift("hot: largest forces", _above(mean_forces, 0.25)),
        Shift("strained: largest and smallest volumes", _above(np.abs(volumes - np.median(volumes)), 0.15)),
        *(Shift(kind, np.array([is_of(label) for label in labels])) for kind, is_of in kinds.items()),
    ]


def cells(element: str) -> Callable[[Path], tuple[Dataset, list[Shift]]]:
    """Return what reads energies per atom of an element, about 240 cells: temperature and strain."""
    return lambda folder: _calculations(folder, f"zuo2020_{element}", {})


def indium_phosphide(folder: Path) -> tuple[Dataset, list[Shift]]:
    """Return energies per atom of InP: temperature, strain, and defects in strained cells."""
    return _calculations(
        folder, "inp2020", {"vacancies": lambda label: "v" in label.lower(), "sheared": lambda label: label == "Shear"}
    )


DATASETS: Mapping[str, Callable[[Path], tuple[Dataset, list[Shift]]]] = {
    "perovskites": perovskites,
    "mp_20": energies,
    "mp_20 gaps": gaps,
    "mp_20 hulls": hulls,
    "mp_20 metals": metals,
    "mpts_52": larger,
    "qm7": qm7,
    "expt_gap": measured_gaps,
    "oqmd_abx3": oqmd,
    "oqmd_abx3 gaps": oqmd_gaps,
    **{element: cells(element) for element in ("Si", "Cu", "Li")},
    "InP": indium_phosphide,
}


# Models and detectors -------------------------------------------------------------------------------------------------


class Drawn(NamedTuple):
    """Places of the samples of one shift, among those that have features."""

    train: np.ndarray
    same: np.ndarray
    shifted: np.ndarray


def drawn(shift: Shift, of_sample: np.ndarray, sizes: tuple[int, int, int], seed: int = 0) -> Drawn:
    """Draw samples to fit, others of the same kind, and some of those left out."""
    left_out, order = shift.left_out[of_sample], np.random.default_rng(seed).permutation(len(of_sample))
    inside, outside = order[~left_out[order]], order[left_out[order]]
    n = min(sizes[0], 2 * len(inside) // 3)
    return Drawn(inside[:n], inside[n : n + sizes[1]], outside[: sizes[2]])


def model_of(name: str, dataset: Dataset, target: str, task: str) -> Any:
    """Return a model that is not fitted: one of auto's, whose members count the same, or one of them alone."""
    if name == "two":
        given = dict(MODELS[name])
        return make_model(given.pop("type"), task, random_state=0, **given)
    recipe = auto_recipe(dataset, target)
    if name == "auto":
        ((kind, options),) = recipe.models.items()
        options = {**options, "combine": "mean"} if kind == "ensemble" else options
        return make_model(kind, task, random_state=0, **options)
    entries = [{"type": kind, **options} for kind, options in recipe.models.items()]
    members = [member for entry in entries for member in entry.get("members", [entry])]
    given = dict(MODELS[name])
    own = next((dict(member) for member in members if member["type"] == given["type"]), {})
    if given["type"] == "resnet":
        own = {key: value for member in members for key, value in member.items() if key == "blocks" and name != "auto"}
        own = own if len(recipe.features) > 2 else {}
    options = own | given
    return make_model(options.pop("type"), task, random_state=0, **options)


def judged(
    model: Any, transformer: Any, problem: Problem, features: Any, some: Drawn
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, float]:
    """Return scores of detectors for others of the same kind and those left out, flags, errors and the usual one."""
    folds = np.arange(len(some.train)) % N_FOLDS
    parts = tuple((some.train[folds != k], some.train[folds == k]) for k in range(N_FOLDS))
    asked = np.concatenate([some.same, some.shifted])
    split = Split(some.train, asked, parts, 0)
    evaluation = evaluate(model, features, problem, split)
    held = evaluation.out_of_fold()
    classes = problem.kind == "classification"
    usual = 0.5 if classes else float(np.quantile(np.abs(held.y_pred - problem.y[held.indices]), 0.9))
    everything, table = np.arange(len(problem)), features.values
    known = table[asked]  # so that they are not described once more
    if isinstance(features.learnt, LearntColumns):  # what the model was fitted to was learnt from its own samples alone
        known = None
        transformer, table = features.learnt.fitted(some.train), features.take(everything, some.train)
    saved = TrainedModel.of(
        assemble(transformer, evaluation.estimator), problem, some.train, table=table, held_out=held
    )
    dataset = problem.dataset
    items = dataset.compositions if dataset.structures is None else dataset.structures
    found = saved.predict([items[int(problem.structures[row])] for row in asked], features=known)
    test = evaluation.test
    assert test is not None
    scores = {"distance": found.distance, **({} if found.doubt is None else {"doubt": found.doubt}), **test.signs}
    if not classes:
        np.testing.assert_allclose(found.values, test.y_pred, rtol=1e-6, atol=1e-6)  # one and the same model
    errors = np.abs(found.values - problem.y[asked])
    return scores, ~found.in_domain, np.minimum(errors, 1.0) if classes else errors, usual


def area(label: np.ndarray, score: np.ndarray) -> float:
    """Return the AUC, nan where all are of one class."""
    return float(roc_auc_score(label, score)) if 0 < label.sum() < len(label) else float("nan")


class Row(NamedTuple):
    """Figures of one shift and model."""

    shift: str
    model: str
    error: float  # of the same kind
    shifted: float  # of those left out, in units of it
    beyond: float  # share of these that exceed the usual interval
    areas: Mapping[str, tuple[float, float]]  # AUC of each detector over all, and over those left out
    false_alarms: float
    flagged: float
    inside: float  # mean error of those left out that are called inside, in the same units
    outside: float
    seconds: float


def sections_of(dataset: Dataset, target: str, without: Collection[str]) -> Mapping[str, Any]:
    """Return the features of auto, but for some blocks."""
    given = {key: dict(section) for key, section in auto_recipe(dataset, target).features.items() if key not in without}
    for section in given.values():
        if "join" in section:
            section["join"] = [key for key in section["join"] if key not in without]
    return {key: section.suited_to(dataset) for key, section in read_features(given).items()}


def rows_of(
    dataset: Dataset,
    shifts: list[Shift],
    models: list[str],
    sizes: tuple[int, int, int],
    without: Collection[str] = (),
    draws: int = 1,
) -> Iterator[Row]:
    """Yield the figures of all shifts and models of a data set, averages over several draws."""
    target = next(iter(dataset.targets))
    of_sample = Problem.of(dataset, target).structures
    drawings = {shift.name: [drawn(shift, of_sample, sizes, seed) for seed in range(draws)] for shift in shifts}
    used = np.unique(np.concatenate([np.concatenate(one) for several in drawings.values() for one in several]))
    part = dataset.take(of_sample[used])
    problem = Problem.of(part, target)
    sections = sections_of(part, target, without)
    features, transformer = compute_features(build_features(sections, part, "structure", 1)[-1], problem)
    for name, several in drawings.items():
        for model in models:
            fresh = model_of(model, part, target, problem.kind)
            rows = []
            for draw in several:
                some = Drawn(*(np.searchsorted(used, own) for own in draw))
                start = process_time()
                found = judged(fresh, transformer, problem, features, some)
                rows.append(row_of(name, model, len(some.same), *found, process_time() - start))
            yield averaged(rows)


def row_of(
    name: str,
    model: str,
    n: int,
    scores: Mapping[str, np.ndarray],
    flags: np.ndarray,
    errors: np.ndarray,
    usual: float,
    seconds: float,
) -> Row:
    """Return the figures of samples, the first n of which are of the same kind as those of the fit."""
    beyond, same = errors > usual, float(errors[:n].mean())
    mean = {flag: errors[n:][flags[n:] == flag] for flag in (False, True)}
    return Row(
        name,
        model,
        same,
        float(errors[n:].mean()) / same,
        float(beyond[n:].mean()),
        {key: (area(beyond, score), area(beyond[n:], score[n:])) for key, score in scores.items()},
        float(flags[:n].mean()),
        float(flags[n:].mean()),
        float(mean[False].mean()) / same if len(mean[False]) else float("nan"),
        float(mean[True].mean()) / same if len(mean[True]) else float("nan"),
        seconds,
    )


def averaged(rows: list[Row]) -> Row:
    """Return means of figures over draws, without those that a draw does not have."""
    areas = {key: tuple(_mean(row.areas[key][k] for row in rows) for k in (0, 1)) for key in rows[0].areas}
    numbers = {key: _mean(getattr(row, key) for row in rows) for key in Row._fields[2:] if key != "areas"}
    return rows[0]._replace(areas=areas, **numbers)


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _cell(pair: tuple[float, float] | None) -> str:
    if pair is None:
        return "–"
    return " / ".join("–" if np.isnan(value) else f"{value:.2f}" for value in pair)


def main() -> None:
    """Print a table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the public data sets")
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), choices=list(DATASETS))
    parser.add_argument("--models", nargs="+", default=["auto"], choices=list(MODELS))
    parser.add_argument("--shifts", nargs="+", help="names of shifts; default: all")
    parser.add_argument("--size", type=int, default=N_TRAIN, help="training samples")
    parser.add_argument("--without", nargs="+", default=[], help="blocks of features to leave out, such as roles")
    parser.add_argument("--draws", type=int, default=1, help="of samples, over which figures are averaged")
    parser.add_argument("--signs", action="store_true", help="AUC of each sign that a model gives, too")
    options = parser.parse_args()
    for name in options.datasets:
        dataset, shifts = DATASETS[name](options.data)
        shifts = [shift for shift in shifts if not options.shifts or shift.name in options.shifts]
        if not shifts:
            continue
        print(f"\n| {name} | model | error left out | beyond the interval, % | AUC distance | AUC doubt | ", end="")
        print("false alarms, % | outside, % | error inside | error outside | signs |")
        print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---|")
        sizes = (options.size, N_SAME, N_SHIFTED)
        for row in rows_of(dataset, shifts, options.models, sizes, options.without, options.draws):
            signs = {key: pair for key, pair in row.areas.items() if key not in ("distance", "doubt")}
            told = ", ".join(f"{key} {_cell(pair)}" for key, pair in signs.items()) if options.signs else ""
            print(
                f"| {row.shift} | {row.model} | {row.shifted:.1f} | {100 * row.beyond:.0f} | "
                f"{_cell(row.areas.get('distance'))} | {_cell(row.areas.get('doubt'))} | "
                f"{100 * row.false_alarms:.0f} | {100 * row.flagged:.0f} | {row.inside:.1f} | "
                f"{row.outside:.1f} | {told} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
