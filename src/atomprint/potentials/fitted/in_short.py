"""What a person wants to know of a potential, in ten lines."""

from __future__ import annotations

from collections.abc import Iterator

from ase.data import chemical_symbols
from ase.units import GPa

from atomprint.potentials.fitted.model import Model
from atomprint.util.text import counted


def in_short(name: str, fitted: Model) -> Iterator[tuple[str, str]]:
    """Yield heads and texts of the lines, of a potential of a class of this name."""
    summary = fitted.summary
    yield "potential", f"{name} with {counted(fitted.terms.n_functions, 'function')}"
    yield "elements", ", ".join(chemical_symbols[z] for z in fitted.species)
    yield "cutoff", f"{fitted.cutoff:.3g} Å"
    counts, keys = summary.get("labels", {}), summary.get("keys", {})
    listed = ", ".join(
        f"{counts[kind]:,} {kind} ({keys[kind]})" for kind in ("energy", "forces", "stress") if kind in keys
    )
    yield (
        "fitted to",
        f"{counted(summary['n_structures'], 'structure')}, {counted(summary['n_atoms'], 'atom')}: {listed}",
    )
    errors = summary.get("cross_validation", {})
    scale = {"energies": (1000.0, "meV/atom"), "forces": (1.0, "eV/Å"), "stresses": (1 / GPa, "GPa")}
    said = [f"{name} {scale[name][0] * own['mae']:.3g} {scale[name][1]}" for name, own in errors.items()]
    yield "error", f"mean absolute, in cross-validation: {', '.join(said)}" if said else "not measured"
    references = ", ".join(f"{chemical_symbols[z]} {energy:.4f} eV" for z, energy in fitted.reference_energies.items())
    yield "references", f"{summary.get('references', {}).get('kind', '')}: {references}"
    yield "units", "Å, eV, eV/Å, eV/Å^3 (stress, positive in tension)"
    yield "checksum", str(summary.get("checksum", ""))[:16]
