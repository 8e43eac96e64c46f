"""Planted outsiders: which share of them the training domain of a model sees, and how often it is alarmed for nothing.

    python benchmarks/domain.py --data ../shared/data [--sizes 150 1000] [--datasets perovskites qm7] [--features auto]

Models are trained on some samples of each data set; then the domain is asked about others of the same data set, as they
are, blown up, squeezed, rattled, with other elements, cut into slabs, and about structures of another kind. The table
has the share that is called outside; of untouched samples that should be next to none.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from atomprint.datasets import Dataset, load, read_dataset
from atomprint.descriptors import SOAP
from atomprint.elements import ElementEmbedding
from atomprint.learn import DropNoise, Problem
from atomprint.workflow import TrainedModel, assemble
from atomprint.workflow.recipes.auto import auto_recipe
from atomprint.workflow.recipes.features import build_features, read_features
from atomprint.workflow.runs.describe import compute_features

N_TEST = 300
N_PLANTED = 150


def scaled(atoms: Atoms, factor: float) -> Atoms:
    """Return a crystal or a molecule with all distances multiplied."""
    atoms = atoms.copy()
    if atoms.pbc.any():
        atoms.set_cell(factor * atoms.cell, scale_atoms=True)
    else:
        atoms.positions *= factor
    return atoms


def rattled(atoms: Atoms, size: float, rng: np.random.Generator) -> Atoms:
    """Return a structure whose atoms are moved along each axis by a normal deviation of ``size`` in Å."""
    atoms = atoms.copy()
    atoms.positions += rng.normal(0, size, atoms.positions.shape)
    return atoms


def slab(atoms: Atoms, vacuum: float, periodic: bool) -> Atoms:
    """Return two cells of a crystal with vacuum above them, which repeats in two directions, or in all three."""
    made = atoms.repeat((1, 1, 2))
    made.center(vacuum=vacuum / 2, axis=2)
    made.pbc = (True, True, periodic)
    return made


def exchanged(atoms: Atoms, elements: np.ndarray, rng: np.random.Generator) -> Atoms:
    """Return a structure with every element replaced by another one."""
    atoms = atoms.copy()
    own = np.unique(atoms.numbers)
    new = dict(zip(own, rng.choice(np.setdiff1d(elements, own), len(own), replace=False), strict=True))
    atoms.numbers = [new[z] for z in atoms.numbers]
    return atoms


def planted(
    structures: list[Atoms], elements: np.ndarray, others: Mapping[str, list[Atoms]]
) -> Iterator[tuple[str, list[Atoms]]]:
    """Yield kinds of outsiders made of structures that are inside."""
    rng = np.random.default_rng(0)
    for factor in (1.1, 1.3, 1.5, 2, 3, 10, 0.9, 0.8, 0.7):
        yield f"{'blown up' if factor > 1 else 'squeezed'} × {factor:g}", [scaled(a, factor) for a in structures]
    for size in (0.3, 1.0):
        yield f"rattled by {size:g} Å", [rattled(a, size, rng) for a in structures]
    yield "elements never seen", [exchanged(a, np.array([61, 84, 85, 86, 87, 88, 89]), rng) for a in structures]
    if len(elements) > 20:
        yield "elements exchanged for others of the training", [exchanged(a, elements, rng) for a in structures]
    if structures[0].pbc.all():
        yield "slabs, 10 Å of vacuum, two directions", [slab(a, 10, False) for a in structures]
        yield "slabs, 10 Å of vacuum, three directions", [slab(a, 10, True) for a in structures]
    yield from others.items()


def datasets(folder: Path) -> dict[str, Callable[[], Dataset]]:
    """Return the data sets by name, not read yet."""
    return {
        "perovskites": lambda: load("matbench_perovskites", path=folder / "matbench/matbench_perovskites.json.gz"),
        "mp_20": lambda: read_dataset(
            folder / "mp/mp_20_biternary_test.csv.gz", structure="cif", targets="formation_energy_per_atom", limit=4000
        ),
        "qm7": lambda: read_dataset(
            folder / "qm7/qm7_xyz.tar.xz", table=folder / "qm7/hof_qm7.txt", targets="1", limit=4000
        ),
    }


def soap(problem: Problem) -> tuple[Any, Any]:
    """Return fitted features as in the README, with channels in place of many elements, and their table."""
    few = len(problem.dataset.elements) <= 8
    options: dict[str, Any] = {} if few else {"species_embedding": ElementEmbedding(n_channels=8)}
    features = SOAP(r_cut=5.0, n_max=4, l_max=3, average="outer", **options)
    return features, features.fit_transform(problem.dataset.structures)


def automatic(problem: Problem) -> tuple[Any, Any]:
    """Return the fitted features of the automatic recipe, and their table."""
    dataset = problem.dataset
    sections = read_features(auto_recipe(dataset, problem.target_name).features)
    sections = {key: section.suited_to(dataset) for key, section in sections.items()}
    features, transformer = compute_features(build_features(sections, dataset, "structure", 1)[-1], problem)
    return transformer, features.values


MAKERS: Mapping[str, Callable[[Problem], tuple[Any, Any]]] = {"SOAP": soap, "auto": automatic}


def trained(make: Callable[[Problem], tuple[Any, Any]], problem: Problem) -> TrainedModel:
    """Return a model; only what it has seen matters here, not how good it is."""
    transformer, table = make(problem)
    model = make_pipeline(DropNoise(), StandardScaler(with_mean=False), Ridge(1.0)).fit(table, problem.y)
    return TrainedModel.of(assemble(transformer, model), problem, table=table)


def shares(model: TrainedModel, kinds: Mapping[str, list[Atoms]]) -> dict[str, float]:
    """Return the share of each kind that is outside; what cannot be described is, too."""
    return {
        kind: float(np.mean(~model.predict(structures, on_error="skip").in_domain))
        for kind, structures in kinds.items()
    }


def main() -> None:
    """Print a table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the public data sets")
    parser.add_argument("--sizes", type=int, nargs="+", default=[150, 1000], help="numbers of training samples")
    parser.add_argument("--datasets", nargs="+", default=["perovskites", "mp_20", "qm7"])
    parser.add_argument("--features", nargs="+", default=list(MAKERS), choices=list(MAKERS))
    options = parser.parse_args()
    known = {name: read() for name, read in datasets(options.data).items()}
    rng = np.random.default_rng(0)
    order = {name: rng.permutation(len(dataset)) for name, dataset in known.items()}
    some = {name: list(known[name].take(order[name][:N_PLANTED]).structures) for name in known}
    others = {
        "perovskites": {"molecules": some["qm7"], "another family: Materials Project": some["mp_20"]},
        "mp_20": {"molecules": some["qm7"], "another family: perovskites": some["perovskites"]},
        "qm7": {"crystals": some["mp_20"], "another family: G2": list(_of_elements(load("g2"), known["qm7"].elements))},
    }
    for name in options.datasets:
        dataset, rows = known[name], order[name]
        columns, heads = [], []
        for size in options.sizes:
            train = dataset.take(rows[:size])
            problem = Problem.of(train, next(iter(train.targets)))
            elements = np.flatnonzero(train.contains.any(axis=0))
            test = dataset.take(rows[-2 * N_TEST :])
            known_elements = ~test.contains[:, ~train.contains.any(axis=0)].any(axis=1)
            kinds = {"untouched": list(test.take(np.flatnonzero(known_elements)[:N_TEST]).structures)}
            kinds |= dict(planted(kinds["untouched"][:N_PLANTED], elements, others[name]))
            for title in options.features:
                make = MAKERS[title]
                columns.append(shares(trained(make, problem), kinds))
                heads.append(f"{title}, {size}")
        print(f"\n| {name}: outside, % | {' | '.join(heads)} |")
        print(f"|---|{'---:|' * len(heads)}")
        for kind in columns[0]:
            print(f"| {kind} | {' | '.join(f'{100 * column[kind]:.0f}' for column in columns)} |", flush=True)


def _of_elements(dataset: Dataset, elements: tuple[str, ...]) -> Iterator[Atoms]:
    return (atoms for atoms in dataset.structures if len(atoms) > 2 and set(atoms.symbols) <= set(elements))


if __name__ == "__main__":
    main()
