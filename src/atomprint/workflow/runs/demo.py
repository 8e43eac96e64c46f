"""The main job on real data: descriptors, models, honest tests and a report, without network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms
from threadpoolctl import threadpool_limits

from atomprint.chemistry.elements import N_ELEMENTS, ElementEmbedding, element_properties
from atomprint.datasets import Dataset, load_dcdft, load_g2
from atomprint.descriptors import SOAP, CoulombMatrix, SineMatrix
from atomprint.descriptors.engine.contract import Descriptor
from atomprint.layout import Meanings, symbols_of
from atomprint.learn.models.make import make_model
from atomprint.learn.splits.split import make_split
from atomprint.learn.study.run import count_steps, run_study
from atomprint.learn.task.features import Features, meanings_of
from atomprint.learn.task.problem import Problem
from atomprint.report import Report
from atomprint.util.plain import plain
from atomprint.util.progress import Progress, Steps, silent
from atomprint.util.validation import check_n_jobs

CRYSTAL_PROPERTIES = (
    "period",
    "valence_s",
    "valence_p",
    "valence_d",
    "electronegativity",
    "covalent_radius",
    "ionization_energy",
)
VOLUME_PER_ATOM = 20.0  # Å^3, to which crystals are rescaled where their volume is the question


@dataclass(frozen=True, slots=True)
class Size:
    """How much is computed.

    Parameters
    ----------
    n_structures : int or None
        How many structures of each data set; None for all.
    n_max, l_max : int
        Resolution of SOAP.
    n_folds : int
        Folds of the cross-validation.
    n_trees : int
        Trees of the random forest.
    n_repeats : int
        How often groups of features are scrambled.
    curve : bool
        Whether learning curves are made.
    """

    n_structures: int | None = None
    n_max: int = 4
    l_max: int = 3
    n_folds: int = 5
    n_trees: int = 100
    n_repeats: int = 5
    curve: bool = True


FULL = Size()
QUICK = Size(n_structures=40, n_max=2, l_max=1, n_folds=3, n_trees=20, n_repeats=3, curve=False)


def run_demo(
    output: str | os.PathLike[str],
    *,
    n_jobs: int = -1,
    seed: int = 0,
    quick: bool = False,
    progress: Progress = silent,
) -> tuple[Report, dict[str, Path]]:
    """Train and test models of molecules and crystals, and write a report.

    Parameters
    ----------
    output : path
        Folder for ``report.html``, ``results.json``, ``predictions.csv`` and ``model-card.md``.
    n_jobs : int
        Number of threads; -1 means all cores. Results do not depend on it.
    seed : int
        Seed of everything that is random.
    quick : bool
        Whether to use few structures and small models: for trying out, not for judging.
    progress : Progress
        Called as each step begins.

    Returns
    -------
    report : Report
        All results.
    files : dict of str to Path
        The files written, by name.
    """
    start = perf_counter()
    size = QUICK if quick else FULL
    threads = check_n_jobs(n_jobs)
    Path(output).mkdir(parents=True, exist_ok=True)  # if this fails, it should do so before the work
    models = {
        "kernel_ridge": make_model("kernel_ridge", random_state=seed),
        "random_forest": make_model("random_forest", random_state=seed, n_estimators=size.n_trees),
    }
    plans = [_enthalpy(size), _volume(size), _bulk_modulus(size)]
    problems = [Problem.of(plan.dataset, plan.target) for plan in plans]
    splits = [make_split(problem, n_folds=size.n_folds, seed=seed) for problem in problems]
    n_steps = 1 + sum(
        len(plan.recipes) + count_steps(len(plan.recipes), len(plan.recipes) * len(models), split, curve=size.curve)
        for plan, split in zip(plans, splits, strict=True)
    )
    step = Steps(progress, n_steps)
    studies = []
    for plan, problem, split in zip(plans, problems, splits, strict=True):
        features = []
        for recipe in plan.recipes:
            step(f"{problem.title}: {recipe.title}")
            features.append(recipe.compute(threads))
        # The folds share the threads; further ones in the linear algebra would only wait for each other.
        with threadpool_limits(1, user_api="blas"):
            study = run_study(
                problem,
                features,
                models,
                split,
                question=plan.question,
                n_repeats=size.n_repeats,
                curve=size.curve,
                n_jobs=threads,
                progress=step.part(f"{problem.title}: "),
            )
        studies.append(study)
    step("Report: plots and tables")
    report = Report(
        title="From structures to tested models",
        lead=(
            "Descriptors of real molecules and crystals, models trained on them and tested on structures that they "
            "have not seen, and what the models rely on."
            + (
                " Made with --quick: part of the data and small models, to try things out, not to judge."
                if quick
                else ""
            )
        ),
        studies=studies,
        settings={
            "command": f"atomprint demo --seed {seed}" + (" --quick" if quick else ""),
            "seed": seed,
            "threads": threads,
            "seconds": round(perf_counter() - start, 1),
        },
    )
    files = report.write(output)
    progress("Done", n_steps, n_steps)
    return report, files


@dataclass(frozen=True, eq=False)
class Recipe:
    """Features to compute: with a descriptor from structures, or given as they are.

    Parameters
    ----------
    key, title, description : str
        See :class:`~atomprint.learn.Features`.
    structures : sequence of Atoms
        The structures as the descriptor sees them.
    make : Descriptor or callable
        A descriptor, or a function that takes the structures and returns features and their names.
    channels : sequence of str
        Names for the channels of an embedding of the elements, in place of "channel1", "channel2" …
    """

    key: str
    title: str
    description: str
    structures: Sequence[Atoms]
    make: Descriptor | Callable[[Sequence[Atoms]], tuple[npt.NDArray[np.float64], list[str]]]
    channels: Sequence[str] = ()

    def compute(self, n_jobs: int) -> Features:
        """Compute the features and measure the time."""
        start = perf_counter()
        if isinstance(self.make, Descriptor):
            values = self.make.create(self.structures, n_jobs=n_jobs)
            seconds = perf_counter() - start
            names = list(self.make.get_feature_names_out())
            parameters, meanings = plain(self.make), meanings_of(self.make)
        else:
            values, names = self.make(self.structures)
            seconds = perf_counter() - start
            parameters, meanings = {}, Meanings.of_names(names)
        if self.channels:
            names, labels = self._with_channels(names), self._with_channels(label for _, label in meanings.groups)
            groups = [(way, label) for (way, _), label in zip(meanings.groups, labels, strict=True)]
            meanings = replace(meanings, names=names, groups=groups)
            parameters = {**parameters, "channels": list(self.channels)}
        return Features(self.key, self.title, self.description, values, names, seconds, parameters, meanings=meanings)

    def _with_channels(self, texts: Iterable[str]) -> list[str]:
        """Return texts with the names of the channels instead of "channel1" and so on."""
        texts = list(texts)
        for number, name in reversed(list(enumerate(self.channels, start=1))):  # channel12 before channel1
            texts = [text.replace(f"channel{number}", name) for text in texts]
        return texts


@dataclass(frozen=True, eq=False)
class Plan:
    """A target, what makes it a fair question, and the features to answer it with."""

    dataset: Dataset
    target: str
    question: str
    recipes: Sequence[Recipe]


def _enthalpy(size: Size) -> Plan:
    dataset = _some(load_g2(), size)
    molecules = dataset.structures
    species = sorted({int(z) for atoms in molecules for z in atoms.numbers})
    soap: dict[str, Any] = {
        "species": species,
        "r_cut": 3.0,
        "n_max": size.n_max,
        "l_max": size.l_max,
        "sigma": 0.5,
        "pooling": "sum",
    }
    largest = max(len(atoms) for atoms in molecules)
    return Plan(
        dataset,
        "enthalpy",
        "Can the enthalpy be read off the geometry? It grows with the size of a molecule, so SOAP is summed over "
        "atoms, not averaged. The first set of features knows only how many atoms of each element there are: what is "
        "better than that comes from the structure. Descriptors see neither charge nor spin, so that the radicals "
        "among the molecules, and the singlets and triplets of CH2 and SiH2, are hard.",
        [
            Recipe(
                "composition", "Composition", "number of atoms of each element, no geometry", molecules, _composition
            ),
            Recipe(
                "coulomb",
                "Coulomb matrix",
                f"Coulomb repulsion of all pairs of nuclei, rows sorted by norm, padded to {largest} atoms",
                molecules,
                CoulombMatrix(n_atoms_max=largest, permutation="sorted_l2"),
            ),
            Recipe(
                "soap",
                "SOAP, species pairs",
                f"neighbour densities of all pairs of {len(species)} elements within 3 Å, summed over atoms",
                molecules,
                SOAP(**soap),
            ),
            Recipe(
                "soap_embedded",
                "SOAP, 8 element channels",
                "neighbour densities within 3 Å, summed over atoms, with elements mixed into 8 channels by the "
                "similarity of their properties: what is learnt about one element carries over to similar ones",
                molecules,
                SOAP(**soap, species_embedding=ElementEmbedding(n_channels=8)),
            ),
        ],
    )


def _volume(size: Size) -> Plan:
    dataset = _some(load_dcdft(), size)
    return Plan(
        dataset,
        "volume",
        "Can the volume be told from the element and the type of structure? The crystals come at the very volume that "
        f"is asked for, so all are first rescaled to {VOLUME_PER_ATOM:g} Å³ per atom; otherwise the answer would be in "
        "the question. Each element occurs once, so that models must carry over from other elements: the first set of "
        "features has only tabulated properties of the element, and no structure.",
        _crystal_recipes([_rescaled(atoms) for atoms in dataset.structures], size),
    )


def _bulk_modulus(size: Size) -> Plan:
    dataset = _some(load_dcdft(), size)
    return Plan(
        dataset,
        "bulk_modulus",
        "How stiff is a crystal of known structure? Here the crystals keep their volume, so that distances between "
        "atoms tell about the strength of bonds. Again each element occurs once, and the first set of features has "
        "only properties of the element.",
        _crystal_recipes(dataset.structures, size),
    )


def _crystal_recipes(crystals: Sequence[Atoms], size: Size) -> list[Recipe]:
    largest = max(len(atoms) for atoms in crystals)
    species = sorted({int(z) for atoms in crystals for z in atoms.numbers})
    properties = ", ".join(name.replace("_", " ") for name in CRYSTAL_PROPERTIES)
    weights = np.column_stack([np.ones(len(species)), _standardised_properties(species)])
    soap: dict[str, Any] = {
        "species": species,
        "periodic": True,
        "r_cut": 5.0,
        "n_max": size.n_max,
        "l_max": size.l_max,
        "sigma": 0.5,
        "average": "outer",
    }
    return [
        Recipe(
            "properties",
            "Element properties",
            f"{properties}; standardised over the periodic table; no structure",
            crystals,
            lambda structures: (
                _standardised_properties([int(atoms.numbers[0]) for atoms in structures]),
                list(CRYSTAL_PROPERTIES),
            ),
        ),
        Recipe(
            "sine",
            "Sine matrix",
            f"periodic counterpart of the Coulomb matrix, rows sorted by norm, padded to {largest} atoms",
            crystals,
            SineMatrix(n_atoms_max=largest, permutation="sorted_l2"),
        ),
        Recipe(
            "soap_properties",
            "SOAP × element properties",
            f"neighbour densities within 5 Å, averaged over atoms, in {weights.shape[1]} channels: every atom alike "
            "(all), and weighted with each of the properties above",
            crystals,
            SOAP(**soap, species_embedding=weights),
            channels=("all", *CRYSTAL_PROPERTIES),
        ),
        Recipe(
            "soap_embedded",
            "SOAP, 12 element channels",
            "neighbour densities within 5 Å, averaged over atoms, with elements mixed into 12 channels by the "
            "similarity of their properties",
            crystals,
            SOAP(**soap, species_embedding=ElementEmbedding(n_channels=12)),
        ),
    ]


def _composition(structures: Sequence[Atoms]) -> tuple[npt.NDArray[np.float64], list[str]]:
    species = sorted({int(z) for atoms in structures for z in atoms.numbers})
    counts = [[int(np.count_nonzero(atoms.numbers == z)) for z in species] for atoms in structures]
    return np.array(counts, dtype=np.float64), [f"number of {symbol}" for symbol in symbols_of(species)]


def _standardised_properties(species: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return properties of elements with mean 0 and standard deviation 1 over the whole periodic table."""
    table = element_properties(range(1, N_ELEMENTS + 1), CRYSTAL_PROPERTIES)
    standardised: npt.NDArray[np.float64] = (table - table.mean(axis=0)) / table.std(axis=0)
    return standardised[np.asarray(species) - 1]


def _rescaled(atoms: Atoms) -> Atoms:
    """Return a copy with :data:`VOLUME_PER_ATOM`; angles and fractional coordinates are kept."""
    atoms = atoms.copy()
    factor = (VOLUME_PER_ATOM * len(atoms) / atoms.get_volume()) ** (1 / 3)
    atoms.set_cell(atoms.cell * factor, scale_atoms=True)
    return atoms


def _some(dataset: Dataset, size: Size) -> Dataset:
    """Return the data set, or structures spread evenly over it."""
    if size.n_structures is None or size.n_structures >= len(dataset):
        return dataset
    return dataset.take(np.linspace(0, len(dataset) - 1, size.n_structures).astype(int).tolist())
