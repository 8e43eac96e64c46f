"""Try fitted potentials as people use them: crystals relaxed and strained, a vacancy, phonons, dynamics, holes.

    atomprint potential fit silicon.extxyz -o fitted
    python benchmarks/potential_physics.py fitted/potential.npz --crystal Si diamond 5.43 --plots plots
    python benchmarks/potential_physics.py ace.npz gp.npz --crystal InP zincblende 5.9 --only crystal holes

Figures are printed as Markdown, a column for each potential, beside those of density functional theory where they are
known: silicon of A. P. Bartok, J. Kermode, N. Bernstein, G. Csanyi, Phys. Rev. X 8, 041048 (2018); indium phosphide of
M. A. Cusentino, M. A. Wood, A. P. Thompson, J. Phys. Chem. A 124, 5456 (2020). The frequency of silicon at gamma is
of an experiment at 300 K, 520.2 per cm: J. H. Parker, D. W. Feldman, M. Ashkin, Phys. Rev. 155, 712 (1967).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.build import bulk, make_supercell
from ase.data import chemical_symbols
from harness import table as lay_out
from potential_lattices import dense_crystals

from atomprint.neighbours import pairs
from atomprint.potentials import dynamics, elastic_constants, load_potential, relax
from atomprint.potentials.short_range.scan import dimer_energies

KNOWN = {
    "Si": {
        "a0": 5.461,
        "C11": 153.3,
        "C12": 56.3,
        "C44": 72.2,
        "vacancy": 3.67,
        "phonon gamma": 15.60,
    },
    "InP": {"C11": 101.0, "C12": 57.0, "C44": 42.0},
}
PARTS = ("crystal", "vacancy", "phonons", "drift", "ensembles", "melt", "cutoff", "holes", "dimers")


class Table:
    """Rows of figures of a potential."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.rows: dict[str, str] = {}

    def row(self, name: str, value: float | str, unit: str = "") -> None:
        """Keep a figure, and tell it at once."""
        said = value if isinstance(value, str) else f"{value:.4g}"
        self.rows[f"{name}, {unit}" if unit else name] = said
        print(f"{self.label}: {name} {said} {unit}", file=sys.stderr, flush=True)


def side_by_side(tables: list[Table], known: dict[str, float]) -> str:
    """Lay out the figures of all potentials, and those that are known."""
    names = list(dict.fromkeys(name for table in tables for name in table.rows))
    rows = [
        [name, *(table.rows.get(name, "–") for table in tables), f"{known.get(name.partition(',')[0], '')}"]
        for name in names
    ]
    return lay_out("Of the crystal, its defects and its motion", ["", *(t.label for t in tables), "reference"], rows)


def conventional(crystal: Atoms) -> Atoms:
    """Return the cubic cell of a crystal with a face-centred one."""
    return make_supercell(crystal, [[-1, 1, 1], [1, -1, 1], [1, 1, -1]])


def crystal_figures(atoms: Atoms, table: Table) -> None:
    table.row("a0", (4 * atoms.get_volume()) ** (1 / 3), "Å")
    found = elastic_constants(atoms)
    for name, value in (("C11", found[0, 0]), ("C12", found[0, 1]), ("C44", found[3, 3])):
        table.row(name, float(value), "GPa")
    volumes, energies = [], []
    for scale in np.linspace(0.97, 1.03, 9):
        moved = atoms.copy()
        moved.set_cell(atoms.cell * scale, scale_atoms=True)
        moved.calc = atoms.calc
        volumes.append(moved.get_volume())
        energies.append(moved.get_potential_energy())
    curve = np.polynomial.Polynomial.fit(volumes, energies, 4)
    table.row(
        "bulk modulus from energies", float(atoms.get_volume() * curve.deriv(2)(atoms.get_volume()) / units.GPa), "GPa"
    )
    table.row("(C11 + 2 C12) / 3", float(found[0, 0] + 2 * found[0, 1]) / 3, "GPa")


def vacancy(potential: Any, atoms: Atoms, table: Table) -> None:
    whole = conventional(atoms).repeat(2)
    whole.calc = potential.calculator()
    energy = whole.get_potential_energy() / len(whole)
    less = whole.copy()
    del less[0]
    less.rattle(0.01, seed=0)
    done = relax(potential, less, cell=False, fmax=0.002)
    table.row("vacancy", float(done.atoms.get_potential_energy() - energy * len(less)), "eV")


def phonons(potential: Any, atoms: Atoms, table: Table) -> None:
    from ase.phonons import Phonons

    with tempfile.TemporaryDirectory() as folder:
        found = Phonons(
            atoms, potential.calculator(), supercell=(4, 4, 4), delta=0.01, name=str(Path(folder) / "phonons")
        )
        found.run()
        found.read(acoustic=True)
        paths = {"gamma": [0, 0, 0], "X": [0.5, 0.5, 0], "L": [0.5, 0, 0]}
        modes = {name: found.band_structure([point])[0] / units.invcm * 0.0299792458 for name, point in paths.items()}
    # By rising frequency: at X of diamond transverse acoustic, longitudinal, and transverse optical modes.
    names = {"gamma": {5: "gamma"}, "X": {0: "X, lowest", 2: "X, third", 5: "X, highest"}, "L": {0: "L, lowest"}}
    for point, own in names.items():
        for mode, name in own.items():
            table.row(f"phonon {name}", float(np.real(modes[point][mode])), "THz")
    table.row("lowest acoustic phonon at gamma", float(np.real(modes["gamma"][0])), "THz")


def drift(potential: Any, atoms: Atoms, table: Table, picoseconds: float, temperatures: list[float]) -> None:
    for temperature in temperatures:
        moving = conventional(atoms).repeat(2)
        # Half of the energy of the first velocities goes into the crystal.
        moments = dynamics(
            potential,
            moving,
            steps=round(1000 * picoseconds),
            temperature=2 * temperature,
            ensemble="nve",
            look_every=20,
        )
        later = [moment for moment in moments if moment.time > 0.5]
        slope, _ = np.polyfit([m.time for m in later], [1000 * m.total for m in later], 1)
        mean = np.mean([m.temperature for m in later])
        table.row(f"drift over {picoseconds:g} ps from {temperature:g} K", f"{slope:.5f}", "meV/atom/ps")
        table.row(f"temperature of that from {temperature:g} K", float(mean), "K")


def ensembles(potential: Any, atoms: Atoms, table: Table, picoseconds: float) -> None:
    for ensemble in ("nvt", "npt", "npt-berendsen"):
        moving = conventional(atoms).repeat(2)
        moments = dynamics(
            potential,
            moving,
            steps=round(1000 * picoseconds),
            temperature=300.0,
            ensemble=ensemble,
            timestep=2.0,
            look_every=20,
        )
        later = moments[len(moments) // 3 :]
        table.row(f"{ensemble} at 300 K: mean temperature", float(np.mean([m.temperature for m in later])), "K")
        table.row(f"{ensemble}: lattice constant at the end", float(moving.get_volume() / 8) ** (1 / 3), "Å")


def melt(potential: Any, atoms: Atoms, table: Table, picoseconds: float, start: float) -> None:
    moving = conventional(atoms).repeat(2)
    dynamics(potential, moving, steps=4000, temperature=start, ensemble="nvt", look_every=1000)
    nearest, hottest = np.inf, 0.0
    steps = round(1000 * picoseconds)
    for part in range(10):
        moments = dynamics(
            potential,
            moving,
            steps=4000 + (part + 1) * steps // 10,
            done=4000 + part * steps // 10,
            temperature=2000.0,
            ensemble="nvt",
            look_every=50,
        )
        nearest = min(nearest, float(pairs(moving, 3.0).distances.min()))
        hottest = max(hottest, max(m.temperature for m in moments[len(moments) // 2 if part == 0 else 0 :]))
    neighbours = len(pairs(moving, 3.1)) / len(moving)
    table.row(f"molten, {picoseconds:g} ps at 2000 K: shortest distance", nearest, "Å")
    table.row("molten: highest temperature", hottest, "K")
    table.row("molten: neighbours within 3.1 Å", neighbours)


def across_the_cutoff(potential: Any, atoms: Atoms, table: Table, plots: Path | None) -> None:
    """Move an atom along a line on which others come into the cutoff, and look at how its force changes."""
    cutoff = potential.model_.cutoff
    symbols = [chemical_symbols[z] for z in potential.model_.species]
    reach = np.linspace(cutoff - 0.05, cutoff + 0.05, 401)
    energies, forces = [], []
    for r in reach:
        trimer = Atoms(
            [symbols[0], symbols[-1], symbols[0]], [[0, 0, 0], [r, 0, 0], [0, 2.4, 0]], cell=[60] * 3, pbc=True
        )
        trimer.calc = potential.calculator()
        energies.append(trimer.get_potential_energy())
        forces.append(trimer.get_forces()[1, 0])
    step = reach[1] - reach[0]
    slopes = np.diff(forces) / step
    table.row("largest step of an energy at the cutoff", float(np.abs(np.diff(energies)).max()), "eV")
    table.row("largest step of a force at the cutoff", float(np.abs(np.diff(forces)).max()), "eV/Å")
    table.row("largest step of a force constant at the cutoff", float(np.abs(np.diff(slopes)).max()), "eV/Å^2")
    if plots is not None:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot as plt

        figure, axes = plt.subplots(3, 1, sharex=True, figsize=(6, 7))
        for axis, x, values, name in zip(
            axes,
            (reach, reach, reach[1:]),
            (np.array(energies) - energies[-1], forces, slopes),
            ("energy, eV", "force, eV/Å", "dF/dr, eV/Å²"),
            strict=True,
        ):
            axis.plot(x, values)
            axis.axvline(cutoff, color="0.7")
            axis.set_ylabel(name)
        axes[-1].set_xlabel("distance, Å")
        figure.savefig(plots / f"cutoff-{table.label}.png", dpi=110, bbox_inches="tight")


def holes(atoms: Atoms, table: Table) -> None:
    """Count compressed and rattled cells that lie below the crystal: its own, and of lattices that no fit is given."""
    lowest = atoms.get_potential_energy() / len(atoms)
    rng = np.random.default_rng(3)
    own = []
    for _ in range(400):
        own.append(conventional(atoms))
        own[-1].set_cell(own[-1].cell * rng.uniform(0.6, 0.98), scale_atoms=True)
        own[-1].rattle(rng.uniform(0.05, 0.3), rng=rng)
    others = [other for _, other in dense_crystals(atoms, 400)]
    for name, cells in (("compressed and rattled cells", own), ("dense crystals of other lattices", others)):
        below = 0
        for cell in cells:
            cell.calc = atoms.calc
            below += not cell.get_potential_energy() / len(cell) >= lowest
        table.row(f"{name} below the crystal", f"{below} of {len(cells)}")


def dimers(potential: Any, atoms: Atoms, table: Table) -> None:
    core = potential.model_.known
    for k, first in enumerate(core.species):
        for second in core.species[k:]:
            r = np.linspace(0.4, 2.5, 400)
            energies = dimer_energies(potential.model_.parts(), first, second, r)
            inside = r < 0.85 * core.near[first, second]
            rising = bool((np.diff(energies[inside]) < 0).all())
            name = f"{chemical_symbols[first]}-{chemical_symbols[second]}"
            table.row(f"dimer {name}: rises from {r[inside][-1]:.2f} to 0.4 Å", "yes" if rising else "NO")


def tried(path: Path, start: Atoms, options: argparse.Namespace) -> Table:
    """Try one potential."""
    potential = load_potential(path)
    table = Table(path.stem)
    atoms = relax(potential, start, fmax=1e-5).atoms
    does: dict[str, Any] = {
        "crystal": lambda: crystal_figures(atoms, table),
        "vacancy": lambda: vacancy(potential, atoms, table),
        "phonons": lambda: phonons(potential, atoms, table),
        "drift": lambda: drift(potential, atoms, table, options.picoseconds, options.temperatures),
        "ensembles": lambda: ensembles(potential, atoms, table, options.picoseconds),
        "melt": lambda: melt(potential, atoms, table, options.melt, options.melt_from),
        "cutoff": lambda: across_the_cutoff(potential, atoms, table, options.plots),
        "holes": lambda: holes(atoms, table),
        "dimers": lambda: dimers(potential, atoms, table),
    }
    for name in options.only:
        try:
            does[name]()
        except RuntimeError as error:  # what has gone wild is a result, too
            table.row(name, f"stopped: {error}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--crystal", nargs=3, default=["Si", "diamond", "5.43"], metavar=("FORMULA", "KIND", "A"))
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--picoseconds", type=float, default=10.0, help="of the runs whose energy drifts")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[300.0, 1500.0], help="of these, in K")
    parser.add_argument("--melt", type=float, default=50.0, help="picoseconds of the melt")
    parser.add_argument("--melt-from", type=float, default=5000.0, help="temperature of 4 ps before it, in K")
    parser.add_argument("--plots", type=Path, help="folder for a plot of what is seen at the cutoff")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    formula, kind, a = options.crystal
    if options.plots is not None:
        options.plots.mkdir(parents=True, exist_ok=True)
    tables = [tried(path, bulk(formula, kind, a=float(a)), options) for path in options.models]
    print(side_by_side(tables, KNOWN.get(formula, {})))


if __name__ == "__main__":
    main()
