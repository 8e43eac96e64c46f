"""The melting of copper, told by a classifier: runs of molecular dynamics, windows, a model, a plot.

Crystals and liquids are simulated with ASE's EMT at temperatures at which it is clear what they are. A classifier
learns from windows of these runs, is tested on others, and then looks at a crystal that is heated until it melts: at
which temperature does it say so, and when does the energy jump?
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.langevin import Langevin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from atomprint.descriptors import SOAP
from atomprint.trajectories import TimeSeries, Trajectory, change_points, windows
from atomprint.util.extras import installed

TIME_STEP = 4.0  # fs
EVERY = 3  # steps: a frame each 12 fs
WINDOW = 25  # frames, 0.3 ps
LAGS = (5, 20)  # frames
EXPANSION = 1.03  # of lengths: the crystal of about 1000 K; the volume stays the same throughout


def copper(n_cells: int, melted: bool, n_settle: int, rng: np.random.Generator) -> Atoms:
    """Return a crystal, or atoms that are far from their places in one."""
    atoms = bulk("Cu", cubic=True) * n_cells
    atoms.set_cell(atoms.cell * EXPANSION, scale_atoms=True)
    atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
    atoms.calc = EMT()
    if melted:
        simulate(atoms, 6000.0, n_settle, rng)
    return atoms


def simulate(atoms: Atoms, temperature: float, n_steps: int, rng: np.random.Generator) -> list[Atoms]:
    """Run molecular dynamics at a temperature in K, and return each frame with its energy."""
    frames: list[Atoms] = []

    def keep() -> None:
        frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        frame.info["energy per atom"] = atoms.get_potential_energy() / len(atoms)
        frames.append(frame)

    run = Langevin(
        atoms, TIME_STEP * units.fs, temperature_K=temperature, friction=0.01 / units.fs, fixcm=False, rng=rng
    )
    run.attach(keep, interval=EVERY)
    run.run(n_steps)
    return frames


def settled(n_cells: int, n_windows: int, n_settle: int, seed: int) -> tuple[list[list[Atoms]], list[str]]:
    """Return windows of crystals and liquids, and what they are."""
    samples, labels = [], []
    for run, (temperature, phase) in enumerate(
        [(500, "solid"), (900, "solid"), (1200, "solid"), (2200, "liquid"), (2600, "liquid"), (3200, "liquid")]
    ):
        rng = np.random.default_rng([seed, run])
        atoms = copper(n_cells, phase == "liquid", n_settle, rng)
        simulate(atoms, temperature, n_settle, rng)
        frames = simulate(atoms, temperature, n_windows * WINDOW * EVERY, rng)
        cut = list(windows(Trajectory(frames, TIME_STEP * EVERY), WINDOW))
        samples += cut
        labels += [phase] * len(cut)
    return samples, labels


def heated(
    n_cells: int, temperatures: np.ndarray, n_steps: int, n_settle: int, seed: int
) -> tuple[list[Atoms], np.ndarray]:
    """Return the frames of a crystal that is heated step by step, and the temperature of each."""
    rng = np.random.default_rng([seed, 99])
    atoms = copper(n_cells, False, n_settle, rng)
    simulate(atoms, float(temperatures[0]), n_settle, rng)
    frames, at = [], []
    for temperature in temperatures:
        part = simulate(atoms, float(temperature), n_steps, rng)
        frames += part
        at += [temperature] * len(part)
    return frames, np.array(at)


def classifier() -> Any:
    """Return a model of windows: order by SOAP, motion by displacements."""
    soap = SOAP(r_cut=5.0, n_max=4, l_max=6, sigma=0.4, periodic=True, average="outer", species=["Cu"])
    return make_pipeline(TimeSeries(soap, ("mean",), LAGS), StandardScaler(), LogisticRegression(C=0.1))


def melting(
    n_cells: int = 3, n_windows: int = 4, n_steps: int = 150, n_temperatures: int = 31, n_settle: int = 250
) -> dict[str, Any]:
    """Train, test and look at the crystal that melts."""
    train, phases = settled(n_cells, n_windows, n_settle, seed=0)
    test, wanted = settled(n_cells, n_windows, n_settle, seed=1)
    model = classifier().fit(train, phases)
    accuracy = float(np.mean(model.predict(test) == np.array(wanted)))
    frames, temperatures = heated(n_cells, np.linspace(800, 3200, n_temperatures), n_steps, n_settle, seed=2)
    step = max(1, WINDOW // 5)
    cut = list(windows(Trajectory(frames, TIME_STEP * EVERY), WINDOW, step))
    liquid = model.predict_proba(cut)[:, list(model.classes_).index("liquid")]
    middles = np.arange(len(cut)) * step + WINDOW // 2
    energies = np.array([frame.info["energy per atom"] for frame in frames])
    return {
        "accuracy": accuracy,
        "model": model,
        "temperatures": temperatures,
        "energies": energies,
        "middles": middles,
        "liquid": liquid,
    }


def melts_at(found: dict[str, Any]) -> dict[str, float]:
    """Return at which temperature the classifier says liquid for good, and where the energy jumps."""
    temperatures, middles, liquid = found["temperatures"], found["middles"], found["liquid"]
    solid = np.flatnonzero(liquid < 0.5)
    says = {"classifier": float(temperatures[middles[min(solid[-1] + 1, len(middles) - 1)]]) if len(solid) else np.nan}
    if installed("ruptures"):
        # The energy without what the heat of the thermostat adds: half of kT for each of three directions.
        excess = found["energies"] - 1.5 * units.kB * temperatures
        means = excess[: len(excess) // 10 * 10].reshape(-1, 10).mean(axis=1)
        says["energy"] = float(temperatures[10 * change_points(means, 1)[0]])
    return says


def plot(found: dict[str, Any], path: Path) -> None:
    """Draw energies and the classifier's probability over the temperature."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(6, 4.5), layout="constrained")
        above, below = figure.subplots(2, sharex=True)
        temperatures, middles = found["temperatures"], found["middles"]
        excess = found["energies"] - 1.5 * units.kB * temperatures
        above.plot(temperatures, excess, ".", ms=1.5, color="0.7")
        levels = np.unique(temperatures)
        above.plot(levels, [excess[temperatures == t].mean() for t in levels], color="C3")
        above.set_ylabel("energy − 3/2 kT\n(eV per atom)")
        below.plot(temperatures[middles], found["liquid"], ".", ms=3, color="C0")
        below.set_ylabel("probability that\nit is liquid")
        below.set_xlabel("temperature of the thermostat (K)")
        for name, temperature in melts_at(found).items():
            style = {"classifier": ("C0", "--"), "energy": ("C3", ":")}[name]
            for axis in (above, below):
                axis.axvline(temperature, color=style[0], ls=style[1], lw=1)
        figure.savefig(path, dpi=150)


def main(folder: Path = Path(), **sizes: int) -> dict[str, Any]:
    found = melting(**sizes)
    print(f"Right for {100 * found['accuracy']:.0f} % of the windows of other runs")
    for name, temperature in melts_at(found).items():
        print(f"Melts at {temperature:.0f} K, says the {name}")
    plot(found, Path(folder) / "melting.png")
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path())
