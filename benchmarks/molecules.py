"""Molecules by their bonds: how fast features are beside RDKit alone, and what bonds and geometry predict.

    python benchmarks/molecules.py speed
    python benchmarks/molecules.py accuracy TABLE --target COLUMN [--sample 300] [--conformers 3]

Times are CPU times of one thread: medians of several runs, ours and RDKit's in turns. The accuracy is that of kernel
ridge regression on all features of a kind, in five folds at random and by scaffold.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
from rdkit import Chem, RDConfig, rdBase
from rdkit.Chem import AllChem, Descriptors, rdDistGeom, rdFingerprintGenerator, rdMolDescriptors

from atomprint.chemistry.smiles import Smiles
from atomprint.datasets import read_dataset
from atomprint.descriptors import SOAP, ConformerAverage, MACCSKeys, MorganFingerprint, RDKitDescriptors
from atomprint.descriptors.molecular import conformers
from atomprint.learn import Problem, make_split
from atomprint.learn.estimators.kernel_ridge import KernelRidgeCV
from atomprint.molecules import embed

_SOAP = {"r_cut": 5.0, "n_max": 4, "l_max": 3, "sigma": 0.3, "pooling": "mean"}


def in_turns(ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Return the median CPU times of both, run in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for function, kept in zip((ours, theirs), times, strict=True):
            start = process_time()
            function()
            kept.append(process_time() - start)
    return median(times[0]), median(times[1])


def embedded(smiles: list[str], n: int) -> None:
    for text in smiles:
        mol = Chem.AddHs(Chem.MolFromSmiles(text))
        options = rdDistGeom.ETKDGv3()
        options.randomSeed = 1
        rdDistGeom.EmbedMultipleConfs(mol, n, options)
        AllChem.MMFFOptimizeMoleculeConfs(mol, maxIters=2000)


def embedded_by_us(smiles: list[str], n: int) -> None:
    conformers._conformers.cache_clear()
    embed(smiles, n)


def speed() -> None:
    file = Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi"
    every = [line.split()[0] for line in file.read_text().splitlines()]
    smiles = [text for text in every if Chem.MolFromSmiles(text) is not None]
    few = [text for text in smiles if "." not in text][:20]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)

    def mols(texts: list[str]) -> list[Any]:
        return [Chem.MolFromSmiles(text) for text in texts]

    cases: list[tuple[str, int, int, Callable[[], Any], Callable[[], Any]]] = [
        (
            "Morgan, bits",
            len(smiles),
            5,
            lambda: MorganFingerprint().create(smiles),
            lambda: np.array([generator.GetFingerprintAsNumPy(mol) for mol in mols(smiles)]),
        ),
        (
            "Morgan, counts",
            len(smiles),
            5,
            lambda: MorganFingerprint(counts=True).create(smiles),
            lambda: np.array([generator.GetCountFingerprintAsNumPy(mol) for mol in mols(smiles)]),
        ),
        (
            "Morgan, counts, sparse",
            len(smiles),
            5,
            lambda: MorganFingerprint(counts=True, sparse=True).create(smiles),
            lambda: generator.GetCountFingerprints(mols(smiles), 1),
        ),
        (
            "MACCS keys",
            1000,
            3,
            lambda: MACCSKeys().create(smiles[:1000]),
            lambda: np.array([list(rdMolDescriptors.GetMACCSKeysFingerprint(mol)) for mol in mols(smiles[:1000])]),
        ),
        (
            "RDKit's descriptors, all",
            100,
            3,
            lambda: RDKitDescriptors("all", missing="nan").create(smiles[:100]),
            lambda: [list(Descriptors.CalcMolDescriptors(mol).values()) for mol in mols(smiles[:100])],
        ),
        ("3 conformers, MMFF94", len(few), 3, lambda: embedded_by_us(few, 3), lambda: embedded(few, 3)),
    ]
    print(f"{'':26}{'molecules':>10}{'ours':>10}{'RDKit':>10}{'ratio':>8}   (ms each; RDKit's time by ours)")
    for name, n, repeats, ours, theirs in cases:
        own, other = in_turns(ours, theirs, repeats)
        print(f"{name:26}{n:>10}{1e3 * own / n:>10.3f}{1e3 * other / n:>10.3f}{other / own:>8.2f}", flush=True)


def accuracy(table: Path, target: str, sample: int, n_conformers: int) -> None:
    dataset = read_dataset(table, targets=target, on_error="skip", structure="")
    alone = [at for at, item in enumerate(dataset.items) if "." not in item]
    rows = np.random.default_rng(0).permutation(alone)[:sample]
    dataset = dataset.take(np.sort(rows))
    problem = Problem.of(dataset, target)
    smiles: list[Smiles] = list(dataset.items)
    counts = MorganFingerprint(counts=True, dtype="float64").create(smiles)
    properties = RDKitDescriptors().create(smiles)
    tables = {
        "fragments (2-D)": (counts, ["none"]),
        "fragments and properties (2-D)": (np.hstack([np.sqrt(counts), properties]), ["standard"]),
        "SOAP, 1 conformer (3-D)": (ConformerAverage(SOAP(**_SOAP), n_conformers=1).fit_transform(smiles), ["none"]),
        f"SOAP, {n_conformers} conformers averaged (3-D)": (
            ConformerAverage(SOAP(**_SOAP), n_conformers=n_conformers).fit_transform(smiles),
            ["none"],
        ),
    }
    print(f"{len(dataset)} molecules of {table.name}, {target}; mean absolute error of 5 folds")
    print(f"{'':36}{'random':>10}{'scaffold':>10}")
    for name, (features, scalings) in tables.items():
        said = []
        for options in ({}, {"method": "group", "group_by": "scaffold"}):
            split = make_split(problem, test_size=0, n_folds=5, **options)
            errors = []
            for fit, predict in split.folds:
                model = KernelRidgeCV(kernels=["rbf", "matern52"], scalings=scalings).fit(features[fit], problem.y[fit])
                errors.append(np.abs(model.predict(features[predict]) - problem.y[predict]))
            said.append(np.concatenate(errors).mean())
        print(f"{name:36}{said[0]:>10.3f}{said[1]:>10.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    parts.add_parser("speed")
    measured = parts.add_parser("accuracy")
    measured.add_argument("table", type=Path)
    measured.add_argument("--target", required=True)
    measured.add_argument("--sample", type=int, default=300)
    measured.add_argument("--conformers", type=int, default=3)
    given = parser.parse_args()
    block = rdBase.BlockLogs()
    if given.part == "speed":
        speed()
    else:
        accuracy(given.table, given.target, given.sample, given.conformers)
    del block


if __name__ == "__main__":
    main()
