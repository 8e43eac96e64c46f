"""Write ``soap.npz``, ``matrices.npz`` and ``acsf.npz``: DScribe's values for random structures and all options.

Run it in an environment of its own (DScribe 2.1.2 does not work with newer ASE versions)::

    python -m venv peers
    peers/bin/pip install dscribe==2.1.2 ase==3.26.0
    peers/bin/python tests/golden/make_golden.py

Every value is compared with the formulas in ``naive.py`` before it is written, and the script stops where
the two disagree: the files hold only values that are right. This leaves out what DScribe 2.1.2 gets wrong:
polynomial SOAP with l_max >= 10 or sigma near 1 or more, its weighted mu2 (below), and atoms or points
outside a periodic cell.

How ``compression`` treats species weights, found by trying:

- ``species_weighting`` multiplies the density of each atom by the weight of its species, **in every mode**,
  ``off``, ``crossover`` and ``mu1nu1`` included: the block (Z, Z') of the power spectrum gets the factor
  w_Z w_Z'. A negative weight is allowed.
- ``mu2`` adds up the (weighted) coefficients of all species before the power spectrum, so that the features
  are those of one species whose atoms carry weights. Without weights every atom counts 1.
- ``mu1nu1`` pairs w_Z c^Z_n (first index) with the sum over Z' of w_Z' c^Z'_n' (second index), the species
  itself included; all n n' are kept because the block is not symmetric.
- ``mu2`` with unequal weights is right for the GTO basis with any order of atoms. With the polynomial basis
  it is right only for centres that are not on an atom, or on the last atom of a structure that is not
  periodic: for any other centre the weights of the atoms are mixed up.
- ``w0`` counts for a Cartesian centre only where it is exactly on the atom (GTO) or within about 1e-6 Å of it
  (polynomial); the cases use indices.

The cutoff that ``r_cut=None`` means is r0 for ``poly``, r0 (c / threshold - d)^(1/m) for ``pow`` and
r0 ln(c / threshold - d) for ``exp`` (threshold 0.01 if not given), although the last formula belongs to a
function that decays and the implemented one grows.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import naive  # noqa: E402

SEED = 20240229
MAX_VALUES = 190  # of one case; larger outputs keep a random subset of the features
MAX_ERROR = 2e-7  # of a value that is kept, relative to the value or to floor x the largest one
FLOORS = (1e-9, 1e-7, 1e-5, 1e-3)
ALL_WEIGHTS = {"O": 1.4, "Na": -0.6, "Cl": 0.5, "H": 0.7, "C": 2.0, "N": -0.8}
TRICLINIC = [[4.1, 0.0, 0.0], [0.7, 3.6, 0.0], [-0.5, 0.9, 3.9]]


@dataclass
class Recipe:
    """A case to be computed; see ``cases.GoldenCase`` for the meaning of the fields."""

    name: str
    descriptor: str
    kwargs: dict[str, Any]
    structures: list[str]
    centers: list[list[Any]] | None = None
    create_kwargs: dict[str, Any] = field(default_factory=dict)


def random_atoms(
    rng: np.random.Generator,
    symbols: str,
    cell: list[list[float]],
    pbc: tuple[bool, bool, bool] | bool,
    closest: float = 0.9,
) -> Atoms:
    """Atoms at random places inside a cell, none nearer to another (or its image) than `closest`."""
    count = len(Atoms(symbols))
    for _ in range(20000):
        atoms = Atoms(symbols, scaled_positions=rng.uniform(0.02, 0.98, (count, 3)), cell=cell, pbc=pbc)
        distances = atoms.get_all_distances(mic=True)[np.triu_indices(count, 1)]
        if distances.min(initial=np.inf) > closest:
            return atoms
    raise RuntimeError(f"no room for {symbols}")


def make_structures(rng: np.random.Generator) -> dict[str, Atoms]:
    """Random molecules, crystals and slabs by name; molecules have no cell."""
    cube = [[3.4, 0.0, 0.0], [0.0, 3.4, 0.0], [0.0, 0.0, 3.4]]
    out = {
        "molecule_3": random_atoms(rng, "OCHNHC", cube, False),
        "molecule_4": random_atoms(rng, "HNOC", cube, False),
        "molecule_1": random_atoms(rng, "C4", cube, False),
        "molecule_2": random_atoms(rng, "HOHOH", cube, False),
        "atom": Atoms("N", positions=[[0.3, -0.2, 0.1]]),
        "crystal_3": random_atoms(rng, "ONaClNaO", TRICLINIC, True, 1.3),
        "crystal_2": random_atoms(rng, "NaCl", [[3.0, 0.2, 0.1], [1.6, 2.7, -0.2], [1.4, 0.8, 2.6]], True, 1.6),
        "crystal_1": random_atoms(rng, "Na", [[2.5, 0.0, 0.0], [1.3, 2.2, 0.0], [1.1, 0.8, 2.1]], True),
        "crystal_flat": random_atoms(rng, "OClNa", [[7.5, 0.5, 0.0], [0.3, 6.8, 0.4], [0.2, 0.3, 2.2]], True, 1.5),
        "slab": random_atoms(rng, "ClNaOO", TRICLINIC, (True, True, False), 1.3),
        "slab_x": random_atoms(rng, "ONaCl", TRICLINIC, (False, True, True), 1.3),
        "wire": random_atoms(rng, "NaOCl", TRICLINIC, (False, False, True), 1.3),
        "left_handed": random_atoms(rng, "NaOCl", [TRICLINIC[1], TRICLINIC[0], TRICLINIC[2]], True, 1.3),
    }
    for name in out:
        if name.startswith("molecule"):
            out[name].cell[:] = 0.0
            out[name].positions -= 1.7
    return out


def matrix_recipes() -> list[Recipe]:
    """Coulomb, sine and Ewald-sum matrices."""
    out = []
    molecules = ["molecule_3", "molecule_1", "atom"]
    crystals = ["crystal_3", "crystal_2", "crystal_1", "left_handed"]
    for permutation in ("none", "sorted_l2", "eigenspectrum"):
        kwargs = {"n_atoms_max": 7, "permutation": permutation}
        out.append(Recipe(f"coulomb-{permutation}", "CoulombMatrix", kwargs, molecules))
        out.append(Recipe(f"sine-{permutation}", "SineMatrix", kwargs, [*crystals, "crystal_flat"]))
        out.append(Recipe(f"ewald-{permutation}", "EwaldSumMatrix", kwargs, crystals))
    tight = {"n_atoms_max": 6, "permutation": "none"}
    out.append(Recipe("coulomb-no-padding", "CoulombMatrix", tight, ["molecule_3"]))
    tight = {"n_atoms_max": 5, "permutation": "sorted_l2"}
    out.append(Recipe("sine-no-padding", "SineMatrix", tight, ["crystal_3"]))
    # The sine and Ewald matrices take every direction as periodic, whatever pbc says.
    tight = {"n_atoms_max": 4, "permutation": "none"}
    out.append(Recipe("sine-slab", "SineMatrix", tight, ["slab", "wire"]))
    out.append(Recipe("ewald-slab", "EwaldSumMatrix", tight, ["slab", "wire"]))
    tight = {"n_atoms_max": 5, "permutation": "none"}
    for name, options in {
        "accuracy-1e-2": {"accuracy": 1e-2},
        "accuracy-1e-10": {"accuracy": 1e-10},
        "w-3": {"w": 3.0},
        "a": {"a": 0.6},
        "a-accuracy": {"a": 0.5, "accuracy": 1e-8},
        "cutoffs": {"r_cut": 6.3, "g_cut": 5.1},
        "cutoffs-w": {"r_cut": 6.3, "g_cut": 5.1, "w": 0.4},
        "cutoffs-a": {"r_cut": 6.3, "g_cut": 5.1, "a": 0.4},
    }.items():
        case = Recipe(f"ewald-{name}", "EwaldSumMatrix", tight, ["crystal_3", "crystal_flat"], None, options)
        out.append(case)
    kwargs = {"n_atoms_max": 5, "permutation": "eigenspectrum"}
    case = Recipe("ewald-a-eigenspectrum", "EwaldSumMatrix", kwargs, ["crystal_3"], None, {"a": 0.7})
    out.append(case)
    return out


def soap_recipes() -> list[Recipe]:
    """SOAP with all of its options, each with both bases, molecules and crystals."""
    organic, salt = ["H", "C", "N", "O"], ["O", "Na", "Cl"]
    molecules, crystals = ["molecule_3", "molecule_4"], ["crystal_3", "crystal_2"]
    base: dict[str, Any] = {"r_cut": 3.7, "n_max": 3, "l_max": 3, "sigma": 0.4}
    out = []

    def add(
        name: str,
        structures: list[str],
        options: dict[str, Any] | None = None,
        centers: list[list[Any]] | None = None,
    ) -> None:
        periodic = not structures[0].startswith(("molecule", "atom"))
        species = salt if periodic else organic
        kwargs = {"species": species, "periodic": periodic, **base, **(options or {})}
        out.append(Recipe(f"soap-{name}", "SOAP", kwargs, structures, centers))

    sizes = {
        "gto": [
            (1, 0, 1.0, 3.0),
            (2, 9, 0.5, 4.0),
            (4, 4, 0.3, 6.0),
            (6, 3, 0.8, 4.5),
            (8, 6, 1.0, 5.0),
            (3, 13, 0.4, 3.0),
            (3, 20, 0.5, 3.5),
            (2, 2, 2.0, 2.1),
            (3, 2, 0.1, 4.0),
        ],
        "polynomial": [
            (1, 0, 0.5, 3.0),
            (2, 9, 0.5, 4.0),
            (4, 4, 0.3, 6.0),
            (5, 3, 0.7, 4.5),
            (3, 6, 0.5, 0.9),
            (3, 2, 0.15, 4.0),
        ],
    }
    weightings: dict[str, dict[str, Any]] = {
        "poly": {"function": "poly", "r0": 3.5, "c": 1.2, "m": 2.0},
        "poly-short": {"function": "poly", "r0": 2.0, "c": 1.0, "m": 3.0},
        "pow": {"function": "pow", "r0": 2.0, "c": 1.3, "d": 0.8, "m": 3.0},
        "exp": {"function": "exp", "r0": 2.5, "c": 0.9, "d": 1.1},
        "w0": {"w0": 0.3},
        "poly-w0": {"function": "poly", "r0": 3.5, "c": 1.2, "m": 2.0, "w0": 0.0},
        "pow-w0": {"function": "pow", "r0": 2.0, "c": 1.0, "d": 0.0, "m": 4.0, "w0": 1.7},
        "exp-w0": {"function": "exp", "r0": 2.5, "c": 0.9, "d": 1.1, "w0": 0.5},
    }
    implied: dict[str, dict[str, Any]] = {
        "poly": {"function": "poly", "r0": 3.3, "c": 1.2, "m": 2.0},
        "pow": {"function": "pow", "r0": 2.0, "c": 1.0, "d": 0.8, "m": 3.0, "threshold": 0.2},
        "exp": {"function": "exp", "r0": 1.5, "c": 0.9, "d": 1.1, "threshold": 0.1},
    }
    points = [[[1.3, 2.1, 1.7], [0.4, 0.9, 2.6]], [[2.0, 1.0, 0.5]]]
    outside = [[[1.3, -2.1, 1.7]], [[-4.0, 1.0, 0.5], [0.0, 0.0, 0.0]]]  # harmless without a cell

    for rbf in ("gto", "polynomial"):
        poly = rbf == "polynomial"
        use = {"rbf": rbf}
        for n_max, l_max, sigma, r_cut in sizes[rbf]:
            options = {**use, "n_max": n_max, "l_max": l_max, "sigma": sigma, "r_cut": r_cut}
            label = f"{rbf}-n{n_max}-l{l_max}-s{sigma}-r{r_cut}"
            add(f"{label}-molecule", ["molecule_4"], options)
            add(f"{label}-crystal", ["crystal_2"], options)
        add(f"{rbf}-molecules", ["molecule_2", "molecule_1", "atom"], use)
        add(f"{rbf}-missing-species", ["molecule_2"], {**use, "species": ["Li", "H", "C", "O", "F"]})
        add(f"{rbf}-one-species", ["molecule_1"], {**use, "species": ["C"]})
        add(f"{rbf}-species-order", ["molecule_2"], {**use, "species": ["O", "H"]})
        add(
            f"{rbf}-crystals",
            ["crystal_3", "crystal_1", "crystal_flat", "left_handed"],
            {**use, "r_cut": 5.0},
        )
        add(f"{rbf}-partial", ["slab", "slab_x", "wire"], use)
        add(f"{rbf}-crystal-as-molecule", ["crystal_3"], {**use, "periodic": False})
        add(f"{rbf}-molecule-as-periodic", ["molecule_box"], {**use, "species": organic, "periodic": True})
        for kind, names in (("molecules", molecules), ("crystals", crystals)):
            add(f"{rbf}-subset-{kind}", names, use, [[3, 0], [1]])
            add(f"{rbf}-points-{kind}", names, use, points)
            for average in ("inner", "outer"):
                add(f"{rbf}-{average}-{kind}", names, {**use, "average": average})
                add(f"{rbf}-{average}-subset-{kind}", names, {**use, "average": average}, [[1, 2], [0]])
            for mode in ("off", "mu2", "mu1nu1", "crossover"):
                for weighted in (False, True):
                    if mode == "off" and not weighted:
                        continue
                    weights = {s: ALL_WEIGHTS[s] for s in (salt if kind == "crystals" else organic)}
                    compression = {"mode": mode, "species_weighting": weights if weighted else None}
                    label = f"{rbf}-{mode}{'-weighted' if weighted else ''}"
                    if poly and mode == "mu2" and weighted:
                        add(f"{label}-points-{kind}", names, {**use, "compression": compression}, points)
                        if kind == "molecules":
                            last = [[5], [3]]
                            add(f"{label}-last-{kind}", names, {**use, "compression": compression}, last)
                        continue
                    add(f"{label}-{kind}", names, {**use, "compression": compression}, [[0, 3], [1]])
                    if weighted:
                        options = {**use, "compression": compression, "average": "inner", "l_max": 2}
                        add(f"{label}-inner-{kind}", names, options)
            for label, rule in weightings.items():
                add(f"{rbf}-{label}-{kind}", names, {**use, "weighting": rule}, [[0, 2], [1]])
        for label, rule in implied.items():
            options = {**use, "r_cut": None, "weighting": rule}
            add(f"{rbf}-{label}-implied-cutoff", ["molecule_3"], options, [[0, 4]])
        add(f"{rbf}-points-outside", molecules, use, outside)
        add(f"{rbf}-poly-points", crystals, {**use, "weighting": weightings["poly"]}, points)
    return out


def acsf_recipes() -> list[Recipe]:
    """Symmetry functions, each kind alone and all together. DScribe takes no points as centres."""
    organic, salt = ["H", "C", "N", "O"], ["O", "Na", "Cl"]
    kinds: dict[str, dict[str, Any]] = {
        "g1": {},
        "g2": {"g2_params": [[1.0, 0.0], [0.4, 2.0], [4.0, 1.0], [0.0, 1.0]]},
        "g3": {"g3_params": [1.0, 2.6, -7.0, 0.0]},
        "g4": {
            "g4_params": [[0.005, 1, 1], [0.1, 4, -1], [0.0, 2, 1], [0.05, 1.5, 1], [0.02, 16, -1], [0.1, 3.7, 0.5]]
        },
        "g5": {"g5_params": [[0.005, 1, 1], [0.1, 4, -1], [0.0, 2, 1], [0.05, 64, 1], [0.02, 1, 0], [0.1, 1.2, -0.3]]},
    }
    kinds["all"] = {name: values[:2] for kind in kinds.values() for name, values in kind.items()}
    out = []
    for label, params in kinds.items():
        for name, structures in (
            ("molecules", ["molecule_3", "molecule_2"]),
            ("crystals", ["crystal_3", "crystal_2"]),
        ):
            periodic = name == "crystals"
            kwargs = {"species": salt if periodic else organic, "r_cut": 4.0, "periodic": periodic, **params}
            out.append(Recipe(f"acsf-{label}-{name}", "ACSF", kwargs, structures))
    every = {"r_cut": 3.3, **kinds["all"]}
    crystal = {**every, "species": salt, "periodic": True}
    out += [
        Recipe("acsf-subset", "ACSF", {**every, "species": organic}, ["molecule_3", "molecule_4"], [[3, 0], [1]]),
        Recipe("acsf-missing-species", "ACSF", {**every, "species": ["Li", "H", "O", "F"]}, ["molecule_2"]),
        Recipe("acsf-one-species", "ACSF", {**every, "species": ["C"]}, ["molecule_1"]),
        Recipe("acsf-partial", "ACSF", crystal, ["slab", "slab_x", "wire"]),
        Recipe("acsf-small-cells", "ACSF", {**crystal, "r_cut": 5.0}, ["crystal_1", "crystal_flat", "left_handed"]),
        Recipe("acsf-crystal-as-molecule", "ACSF", {**crystal, "periodic": False}, ["crystal_3"]),
    ]
    return out


def reference(recipe: Recipe, atoms: Atoms, centers: list[Any] | None) -> NDArray[np.float64]:
    """DScribe's features."""
    from dscribe import descriptors

    # The constructor changes the dictionaries that it is given.
    descriptor = getattr(descriptors, recipe.descriptor)(**copy.deepcopy(recipe.kwargs))
    arguments = dict(recipe.create_kwargs)
    if centers is not None:
        arguments["centers"] = centers
    return np.asarray(descriptor.create(atoms, **arguments))


def formula(recipe: Recipe, atoms: Atoms, centers: list[Any] | None) -> NDArray[np.float64]:
    """The same features from the formulas in ``naive.py``."""
    kwargs = dict(recipe.kwargs)
    numbers, positions, cell = atoms.numbers, atoms.positions, atoms.cell.array
    if recipe.descriptor not in ("SOAP", "ACSF"):
        if recipe.descriptor == "CoulombMatrix":
            matrix = naive.coulomb_matrix(numbers, positions)
        elif recipe.descriptor == "SineMatrix":
            matrix = naive.sine_matrix(numbers, positions, cell)
        else:
            matrix = naive.ewald_matrix(numbers, positions, cell, **recipe.create_kwargs)
        return naive.flatten(matrix, kwargs["permutation"], kwargs["n_atoms_max"])
    pbc = atoms.pbc if kwargs.pop("periodic", False) else (False, False, False)
    kwargs["species"] = sorted(chemical_symbols.index(s) for s in kwargs["species"])
    sites = range(len(atoms)) if centers is None else centers
    points = np.array([positions[c] if isinstance(c, int) else c for c in sites])
    if recipe.descriptor == "ACSF":
        return naive.acsf(numbers, positions, cell, pbc, points, **kwargs)
    compression = kwargs.pop("compression", {"mode": "off", "species_weighting": None})
    weights = compression["species_weighting"]
    if kwargs["r_cut"] is None:
        kwargs["r_cut"] = naive.soap_cutoff(kwargs["weighting"])
    return naive.soap(
        numbers,
        positions,
        cell,
        pbc,
        points,
        mode=compression["mode"],
        species_weighting=weights and {chemical_symbols.index(s): w for s, w in weights.items()},
        **kwargs,
    )


def write(
    path: Path,
    recipes: list[Recipe],
    structures: dict[str, Atoms],
    rng: np.random.Generator,
    formula: Callable[[Recipe, Atoms, list[Any] | None], NDArray[np.float64]] = formula,
) -> None:
    """Compute the cases, compare them with the formulas and write one file."""
    used = {name: structures[name] for recipe in recipes for name in recipe.structures}
    index: dict[str, Any] = {"structures": {}, "cases": []}
    geometry: list[NDArray[np.float64]] = []
    values: list[NDArray[np.float64]] = []
    features: list[NDArray[np.intp]] = []
    rows = n_values = n_features = 0
    for name, atoms in used.items():
        pbc = [bool(p) for p in atoms.pbc]
        index["structures"][name] = {"numbers": atoms.numbers.tolist(), "pbc": pbc, "at": rows}
        geometry += [atoms.cell.array, atoms.positions]
        rows += 3 + len(atoms)
    worst: dict[str, tuple[float, str]] = {}
    for recipe in recipes:
        outputs, floor = [], FLOORS[0]
        for i, name in enumerate(recipe.structures):
            centers = None if recipe.centers is None else recipe.centers[i]
            output, check = (f(recipe, used[name].copy(), centers) for f in (reference, formula))
            # DScribe has harmonics with 11 correct digits; large bases lose a few more.
            if output.shape != check.shape:
                raise RuntimeError(f"{recipe.name}, {name}: shape {output.shape}, not {check.shape}")
            errors = {}
            for level in FLOORS:
                scale = np.maximum(np.abs(check), level * np.abs(check).max())
                errors[level] = float((np.abs(output - check) / scale).max())
            good = [level for level, error in errors.items() if error < MAX_ERROR]
            if not good:
                raise RuntimeError(f"{recipe.name}, {name}: differs from the formula by {errors}")
            floor = max(floor, good[0])
            kind = recipe.kwargs.get("rbf", recipe.descriptor)
            worst[kind] = max(worst.get(kind, (0.0, "")), (errors[good[0]], recipe.name))
            outputs.append(output)
        length = outputs[0].shape[-1]
        allowed = max(12, MAX_VALUES // sum(out.size // length for out in outputs))
        kept = None
        if (
            not recipe.descriptor.endswith("Matrix") and length > allowed
        ):  # mostly features that are not zero, from every structure, and a few others
            picks = [rng.choice(length, 3, replace=False)]
            for out in outputs:
                used_here = np.flatnonzero(np.abs(out.reshape(-1, length)).max(axis=0))
                count = min(allowed // len(outputs), len(used_here))
                picks.append(rng.choice(used_here, count, replace=False))
            kept = np.unique(np.concatenate(picks))
        index["cases"].append(
            {
                "name": recipe.name,
                "descriptor": recipe.descriptor,
                "kwargs": recipe.kwargs,
                "structures": recipe.structures,
                "centers": recipe.centers,
                "create_kwargs": recipe.create_kwargs,
                "shapes": [out.shape for out in outputs],
                "values_at": n_values,
                "features_at": n_features,
                "floor": floor,
                "n_kept": None if kept is None else len(kept),
            }
        )
        for out in outputs:
            values.append((out if kept is None else out[..., kept]).ravel())
            n_values += values[-1].size
        if kept is not None:
            features.append(kept)
            n_features += len(kept)
    np.savez_compressed(
        path,
        index=np.array(json.dumps(index, separators=(",", ":")), dtype=np.str_),
        geometry=np.concatenate(geometry),
        values=np.concatenate(values),
        features=np.concatenate([*features, np.zeros(0, dtype=np.intp)]).astype(np.uint16),
    )
    print(f"{path.name}: {len(recipes)} cases, {n_values} values, {path.stat().st_size / 1024:.0f} KiB")
    for kind, (error, name) in worst.items():
        print(f"  {kind}: largest relative difference from the formulas {error:.1e} ({name})")


def main() -> None:
    """Write all files next to this script, or into another folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE, help="folder (default: that of this script)")
    output: Path = parser.parse_args().output
    warnings.filterwarnings("ignore", category=FutureWarning)  # ASE, through DScribe
    rng = np.random.default_rng(SEED)
    structures = make_structures(rng)
    structures["molecule_box"] = Atoms(
        structures["molecule_4"].numbers,
        positions=structures["molecule_4"].positions + 1.7,
        cell=TRICLINIC,
        pbc=False,
    )
    write(output / "matrices.npz", matrix_recipes(), structures, rng)
    write(output / "soap.npz", soap_recipes(), structures, rng)
    write(output / "acsf.npz", acsf_recipes(), structures, rng)


if __name__ == "__main__":
    main()
