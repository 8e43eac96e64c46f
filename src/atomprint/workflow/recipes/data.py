"""The ``[data]`` of a recipe, and the data set that it names."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms

from atomprint.datasets import REGISTRY, Dataset, load, read_dataset
from atomprint.util.validation import check_choice, check_integer, check_real


@dataclass(frozen=True, slots=True)
class DataSection:
    """``[data]``: the structures, molecules or compositions, and the target.

    Parameters
    ----------
    name : str or None
        A data set that atomprint knows (``atomprint data list``); or
    path : str or None
        a file or folder of your own, relative to the recipe. With ``name``, a copy of that data set.
    target : str or None
        The column or key to predict; may be left out where a data set has only one.
    structure, formula, smiles, id : str or None
        Columns or keys with the structures, the formulas, the SMILES and the names, for ``path``.
    folder : str or None
        For a table whose column ``structure`` names files: the folder they are in, relative to the recipe.
    groups : tuple of str
        Further columns, by which ``[split]`` can group.
    unit, title : str or None
        Unit of the target, and what it is in words.
    classes : tuple of str
        Classes in their order, the positive one last, if the target is a category.
    format : str or None
        Format of the file, if its name does not tell.
    sample : int or None
        Take only so many rows, drawn with the seed: for trying things out.
    volume_per_atom : float or None
        What crystals are rescaled to, in Å^3, where their volume must not be seen: because it is the target, above all.
        New structures must be rescaled in the same way.
    allow_close : bool
        Whether atoms may be nearer than any in matter, as in data for potentials.
    on_error : {"raise", "skip"}
        Whether a row that cannot be used stops the run, or is left out and listed in the report.
    """

    name: str | None = None
    path: str | None = None
    target: str | None = None
    structure: str | None = None
    formula: str | None = None
    smiles: str | None = None
    id: str | None = None
    folder: str | None = None
    groups: tuple[str, ...] = ()
    unit: str | None = None
    title: str | None = None
    classes: tuple[str, ...] = ()
    format: str | None = None
    sample: int | None = None
    volume_per_atom: float | None = None
    allow_close: bool = False
    on_error: str = "raise"

    def __post_init__(self) -> None:
        if self.name is None and self.path is None:
            raise ValueError("data must have a name (of a known data set) or a path (of your own file)")
        if self.sample is not None:
            check_integer("data.sample", self.sample, 1)
        if self.volume_per_atom is not None:
            check_real("data.volume_per_atom", self.volume_per_atom, above=0)
        check_choice("data.on_error", self.on_error, ("raise", "skip"))

    def load(self, seed: int = 0) -> Dataset:
        """Load the data set that atomprint knows, or read the user's own.

        Parameters
        ----------
        seed : int
            Seed of the choice of rows, if ``sample`` asks for some only.

        Raises
        ------
        ValueError
            If the data set, the columns or a row are not usable; the message names them.
        FileNotFoundError
            If there is no such file.
        """
        dataset = self._read() if self.name is None else self._known(self.name)
        if self.sample is not None and self.sample < len(dataset):
            rows = np.random.default_rng(seed).choice(len(dataset), self.sample, replace=False)
            dataset = dataset.take(np.sort(rows))
        if self.volume_per_atom is None:
            return dataset
        if dataset.structures is None:
            raise ValueError(f"data.volume_per_atom is for structures, but data set {dataset.name!r} has none")
        return replace(dataset, structures=[_rescaled(atoms, self.volume_per_atom) for atoms in dataset.structures])

    def target_of(self, dataset: Dataset) -> str:
        """Return the name of the target: the one that is given, or the only one that there is."""
        if self.target is not None:
            return check_choice("data.target", self.target, tuple(dataset.targets))
        if len(dataset.targets) != 1:
            raise ValueError(f"data.target must be one of {', '.join(dataset.targets)}: {dataset.name!r} has several")
        return next(iter(dataset.targets))

    def _known(self, name: str) -> Dataset:
        for entry in ("structure", "formula", "smiles", "id", "folder", "unit", "title", "format"):
            if getattr(self, entry) is not None:
                raise ValueError(f"data.{entry} belongs to files of your own, not to data set {name!r}")
        check_choice("data.name", name, tuple(REGISTRY))
        options = {"path": self.path, "on_error": self.on_error} if REGISTRY[name].files else {}
        return load(name, **options)

    def _read(self) -> Dataset:
        target = self.target
        if target is None:
            raise ValueError("data.target must name the column or key to predict")
        return read_dataset(
            str(self.path),
            targets=target,
            structure=self.structure,
            folder=self.folder,
            formula=self.formula,
            smiles=self.smiles,
            id=self.id,
            groups=self.groups,
            units={} if self.unit is None else {target: self.unit},
            titles={} if self.title is None else {target: self.title},
            classes={target: self.classes} if self.classes else {},
            format=self.format,
            allow_close=self.allow_close,
            on_error=self.on_error,
        )


def _rescaled(atoms: Atoms, volume_per_atom: float) -> Atoms:
    """Return a copy with another volume; angles and fractional coordinates are kept."""
    atoms = atoms.copy()
    volume = atoms.cell.volume
    if not volume > 0:
        raise ValueError(f"data.volume_per_atom is for crystals, got {atoms.symbols} without a cell")
    atoms.set_cell(atoms.cell * (volume_per_atom * len(atoms) / volume) ** (1 / 3), scale_atoms=True)
    return atoms
