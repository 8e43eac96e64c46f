"""What every loader returns: structures or compositions, what is known about each, and what that means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt
from ase.data import atomic_numbers, chemical_symbols

from atomprint.chemistry.contents import amounts_of, counted, each_counted, numbers_of
from atomprint.chemistry.formula import chemical_system, reduced_formula
from atomprint.chemistry.smiles import Smiles
from atomprint.datasets.failures import Failure
from atomprint.datasets.summary import Summary, TargetSummary, shown, text_table
from atomprint.datasets.target import Label, Target
from atomprint.formats.labels import FoundLabel
from atomprint.util.extras import require
from atomprint.util.items import items_of
from atomprint.util.lazy import pick_items
from atomprint.util.notebook import MOST_ROWS, card
from atomprint.util.text import with_unit
from atomprint.util.types import Array, Indices, Items, Mask
from atomprint.util.validation import check_choice, check_integer, check_real
from atomprint.viewing import show

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Dataset:
    """Structures, molecules or compositions and their properties.

    Parameters
    ----------
    name : str
        Short name, as loaders and files use it.
    title : str
        The data set in a few words.
    structures : sequence or None
        Structures of any kind that descriptors take; None if there are only compositions.
    ids : tuple of str
        One unique name for each structure.
    targets : mapping of str to Target
        Properties by short name.
    description : str
        What the structures are.
    source : str
        Where the data come from and how to cite them.
    compositions : sequence of str or None
        A formula for each sample, or :class:`~atomprint.chemistry.smiles.Smiles` of molecules that are known by their
        bonds; None if there are structures, whose formulas are then known.
    groups : mapping of str to ndarray of str
        Labels by which to keep structures together or apart, such as ``"space group"`` or ``"prototype"``; one for each
        structure, empty where it is not known.
    folds : tuple of (ndarray of int, ndarray of int)
        The official folds, if the data set has any: indices to fit, and indices to predict.
    licence : str
        Licence of the data.
    failures : tuple of Failure
        Rows that were left out, with ``on_error="skip"``.
    notes : tuple of str
        What was passed over or guessed when the data were read, in sentences.
    lines : tuple of (int or None), optional
        The line of its file on which each row begins, counted from 1 as editors do; None where there are no lines.
    labels : tuple of FoundLabel
        Energies, forces and stresses that the file has, with their keys and units, whether they are targets or not;
        potentials are fitted to them, see :func:`~atomprint.potentials.read_labels`.
    """

    name: str
    title: str
    structures: Items
    ids: tuple[str, ...]
    targets: Mapping[str, Target]
    description: str
    source: str
    compositions: Sequence[str] | None = None
    groups: Mapping[str, npt.NDArray[np.str_]] = field(default_factory=dict)
    folds: tuple[tuple[Indices, Indices], ...] = ()
    licence: str = ""
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()
    lines: tuple[int | None, ...] | None = None
    labels: tuple[FoundLabel, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.ids)
        if self.structures is None and self.compositions is None:
            raise ValueError("structures and compositions must not both be None")
        for what in ("structures", "compositions"):
            items = getattr(self, what)
            if items is None:
                continue
            items = items_of(what, items)
            object.__setattr__(self, what, items)
            if len(items) != n:
                raise ValueError(f"ids must name each of {len(items)} {what}, got {n}")
        if self.structures is None:
            bonds = [isinstance(item, Smiles) for item in self.items]
            if len(set(bonds)) > 1:
                row = bonds.index(not bonds[0])
                raise ValueError(f"compositions must all be Smiles or none, got {self.items[row]!r} in row {row}")
        if self.lines is not None and len(self.lines) != n:
            raise ValueError(f"lines must be given for each of {n} rows, got {len(self.lines)}")
        if len(set(self.ids)) != n:
            raise ValueError(f"ids must be {n} different names, got {len(set(self.ids))}")
        for what, arrays in (
            ("target", {name: target.values for name, target in self.targets.items()}),
            ("group", self.groups),
        ):
            for name, values in arrays.items():
                if values.shape != (n,):
                    raise ValueError(
                        f"{what} {name!r} must have one value for each of {n} structures, got shape {values.shape}"
                    )

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}: {len(self)} {self.kind}, targets {', '.join(self.targets)})"

    def _repr_html_(self) -> str:
        summary, (headers, rows) = self.summary(), self._first(MOST_ROWS)
        targets = [(f"target {name}", f"{values} {unit}") for name, unit, _, _, values in summary.target_rows()]
        title = f"{self.title}: {summary.n} {summary.kind}"
        return card(title, (*summary.lines(), *targets), headers, rows, n_rows=len(self))

    def __iter__(self) -> Iterator[Record]:
        return (Record(self, index) for index in range(len(self)))

    @overload
    def __getitem__(self, key: int) -> Record: ...
    @overload
    def __getitem__(self, key: slice | Sequence[int] | Array) -> Dataset: ...
    def __getitem__(self, key: Any) -> Record | Dataset:
        """Return one record for an integer; a data set for a slice, a mask, or a sequence of indices."""
        if isinstance(key, Integral) and not isinstance(key, bool | np.bool_):
            return Record(self, int(self._indices([int(key)])[0]))
        if isinstance(key, slice):
            return self.take(range(*key.indices(len(self))))
        if isinstance(key, str | bytes) or not hasattr(key, "__len__"):
            raise TypeError(f"{self.name!r} is indexed by an integer, a slice, a mask or indices, got {key!r}")
        return self.take(self._masked("mask", key) if _is_mask(key) else key)

    def take(self, indices: Iterable[int]) -> Dataset:
        """Return the data set with only some of its structures, in the given order, and without official folds.

        Parameters
        ----------
        indices : iterable of int
            Which structures; a negative index counts from the end. None may occur twice, since ids are unique.

        Raises
        ------
        IndexError, TypeError, ValueError
            If an index is out of range, is no integer, or occurs twice.
        """
        chosen = self._indices(indices)
        if len(np.unique(chosen)) != len(chosen):
            values, counts = np.unique(chosen, return_counts=True)
            raise ValueError(f"indices must be different, got {values[np.argmax(counts > 1)]} twice")
        return replace(
            self,
            structures=pick_items(self.structures, chosen),
            compositions=pick_items(self.compositions, chosen),
            ids=tuple(self.ids[i] for i in chosen),
            targets={name: replace(target, values=target.values[chosen]) for name, target in self.targets.items()},
            groups={name: labels[chosen] for name, labels in self.groups.items()},
            folds=(),
            lines=None if self.lines is None else tuple(self.lines[i] for i in chosen),
        )

    def filter(self, keep: Callable[[Record], bool] | npt.ArrayLike) -> Dataset:
        """Return the data set with only those structures that pass.

        Parameters
        ----------
        keep : callable or array of bool, shape (n_structures,)
            Whether to keep a structure: a function of its :class:`Record`, as in
            ``dataset.filter(lambda record: "O" in record.formula and record["gap"] > 0)``, or a mask.
        """
        mask = [bool(keep(record)) for record in self] if callable(keep) else keep
        return self.take(self._masked("keep", mask))

    def where_known(self, target: str) -> Dataset:
        """Return the data set with only those structures of which a target is known (for one atom at least)."""
        return self.take(self.targets[check_choice("target", target, tuple(self.targets))].known)

    def split(self, *, valid: float = 0.1, test: float = 0.1, target: str | None = None, seed: int = 0) -> DatasetSplit:
        """Return three data sets, drawn at random, to train, to choose and to test models.

        Parameters
        ----------
        valid, test : float or int
            Share of the structures, or how many; 0 for none.
        target : str or None
            What will be predicted: structures of which it is not known are left out, and if it has classes, each
            part gets the same shares of them. None is the only target, or no particular one if there are several.
        seed : int
            Same seed, same parts.

        Returns
        -------
        DatasetSplit
            ``train``, ``valid`` and ``test``, each in the order of the data set.

        Raises
        ------
        ValueError
            If nothing is left to train with, or a class has too few structures to be in every part.

        Notes
        -----
        Equal and similar structures may get into different parts: for splits by formula, element or group, and for
        a count of leaks, see :func:`atomprint.learn.make_split`.
        """
        if target is None and len(self.targets) == 1:
            (target,) = self.targets
        rest = (
            np.arange(len(self))
            if target is None
            else self.targets[check_choice("target", target, tuple(self.targets))].known
        )
        strata = None
        if target is not None and self.targets[target].classes:
            strata = self.targets[target].values
        sizes = {name: self._part_size(name, size, len(rest)) for name, size in (("test", test), ("valid", valid))}
        if sum(sizes.values()) >= len(rest):
            raise ValueError(
                f"valid and test must leave something to train with, got {sizes['valid']} + {sizes['test']} "
                f"of {len(rest)}"
            )
        from sklearn.model_selection import train_test_split

        parts = {}
        for name, size in sizes.items():
            parts[name] = rest[:0]
            if size:
                rest, parts[name] = train_test_split(
                    rest, test_size=size, random_state=seed, stratify=None if strata is None else strata[rest]
                )
        return DatasetSplit(*(self.take(np.sort(part)) for part in (rest, parts["valid"], parts["test"])))

    @property
    def kind(self) -> str:
        """What there is of each sample: ``"structures"``, ``"molecules"`` (by their bonds), or ``"compositions"``."""
        if self.structures is not None:
            return "structures"
        return "molecules" if len(self) and isinstance(self.items[0], Smiles) else "compositions"

    @property
    def items(self) -> Items:
        """What descriptors are given: the structures, or where there are none the molecules or compositions."""
        return self.compositions if self.structures is None else self.structures

    @cached_property
    def formulas(self) -> tuple[str, ...]:
        """Reduced formula of each structure, see :func:`atomprint.chemistry.formula.reduced_formula`."""
        return tuple(map(reduced_formula, self._amounts))

    @cached_property
    def chemical_systems(self) -> tuple[str, ...]:
        """Elements of each structure, as in ``"Cl-Na"``."""
        return tuple(map(chemical_system, self._amounts))

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """All elements that occur, in the order of their atomic numbers."""
        return tuple(sorted(set().union(*self._amounts), key=atomic_numbers.__getitem__))

    @cached_property
    def contains(self) -> Mask:
        """Whether each structure has the element of each atomic number, shape (n_structures, 119); nothing is 0."""
        found = np.zeros((len(self), len(chemical_symbols)), dtype=bool)
        for row, amounts in enumerate(self._amounts):
            found[row, [atomic_numbers[symbol] for symbol in amounts]] = True
        return found

    @cached_property
    def n_atoms(self) -> Indices:
        """Number of atoms of each structure, shape (n_structures,).

        Raises
        ------
        ValueError
            If there are only compositions.
        """
        if self.structures is None:
            raise ValueError(f"data set {self.name!r} has {self.kind} only, and no structures whose atoms to count")
        return np.array([round(sum(amounts.values())) for amounts in self._amounts], dtype=np.intp)

    def summary(self) -> Summary:
        """Return counts, ranges and units of everything; ``print`` shows them."""
        occurring = Counter(element for amounts in self._amounts for element in amounts)
        sizes = None
        if self.structures is not None and len(self):
            n_atoms = self.n_atoms
            sizes = (int(n_atoms.min()), float(np.median(n_atoms)), int(n_atoms.max()))
        return Summary(
            name=self.name,
            title=self.title,
            licence=self.licence,
            kind=self.kind,
            n=len(self),
            targets={name: TargetSummary.of(target) for name, target in self.targets.items()},
            elements={element: occurring[element] for element in self.elements},
            n_formulas=len(set(self.formulas)),
            n_chemical_systems=len(set(self.chemical_systems)),
            n_atoms=sizes,
            groups={name: len(set(labels.tolist()) - {""}) for name, labels in self.groups.items()},
            n_folds=len(self.folds),
            failures=dict(Counter(failure.step for failure in self.failures)),
            labels=self.labels,
        )

    def preview(self, n: int = 5) -> str:
        """Return the first ``n`` records as a small table."""
        return text_table(*self._first(check_integer("n", n, 0)))

    def _first(self, n: int) -> tuple[list[str], list[tuple[str, ...]]]:
        """Return headers and cells of a table of the first records."""
        part = self[:n]
        sizes = [] if part.structures is None else [part.n_atoms.astype(str).tolist()]
        headers = ["id", "formula", *["atoms"] * len(sizes)]
        headers += [with_unit(name, target.unit) for name, target in part.targets.items()]
        headers += list(part.groups)
        columns = [list(part.ids), list(part.formulas), *sizes]
        columns += [[shown(target.label(i)) for i in range(len(part))] for target in part.targets.values()]
        columns += [labels.tolist() for labels in part.groups.values()]
        return headers, list(zip(*columns, strict=True))

    def to_pandas(self, structures: bool | None = None) -> pd.DataFrame:
        """Return a data frame with a row for each structure; needs pandas.

        Parameters
        ----------
        structures : bool or None
            Whether to have a column ``"structure"`` of objects; None if there are structures.

        Returns
        -------
        pandas.DataFrame
            Ids are the index; then ``"structure"``, ``"formula"`` (reduced), the targets (a class is a category, a
            property of atoms an array for each structure) and the groups. A name that is
            taken gets the prefix ``"target "`` or ``"group "``.

        Raises
        ------
        ImportError
            If there is no pandas.
        ValueError
            If structures are asked for, and there are only compositions.
        """
        if structures and self.structures is None:
            raise ValueError(f"structures: data set {self.name!r} has {self.kind} only, and no structures")
        columns: dict[str, Any] = {}
        pd = require("pandas", "data", "to_pandas")
        if structures is not False and self.structures is not None:
            columns["structure"] = pd.Series(list(self.structures), dtype=object).to_numpy()
        columns["formula"] = list(self.formulas)
        for name, target in self.targets.items():
            values: Any = target.values
            if target.level == "structure" and target.classes:
                codes = np.where(np.isfinite(target.values), target.values, -1).astype(int)
                values = pd.Categorical.from_codes(codes, categories=list(target.classes))
            columns[f"target {name}" if name in columns else name] = values
        for name, labels in self.groups.items():
            columns[f"group {name}" if name in columns else name] = labels.tolist()
        return pd.DataFrame(columns, index=pd.Index(self.ids, name="id", dtype=object))

    def amounts(self, index: int) -> dict[str, float]:
        """Return how much of each element one structure has, by symbol; reads that structure only."""
        if "_amounts" in vars(self):
            return self._amounts[index]
        if self.structures is None:
            return amounts_of(self.items[index])
        return counted(numbers_of(self.structures[index]))

    @cached_property
    def _amounts(self) -> list[dict[str, float]]:
        if self.structures is not None:
            return each_counted(self.structures)
        found = []
        for row, formula in enumerate(self.items):
            try:
                found.append(amounts_of(formula))
            except (ValueError, TypeError) as error:
                raise type(error)(f"{self.name}: row {row}, {self.ids[row]!r}: {error}") from error
        return found

    def _indices(self, indices: Iterable[int]) -> Indices:
        """Return indices that are checked and count from the start."""
        chosen = np.asarray(indices if isinstance(indices, np.ndarray) else list(indices))
        if chosen.ndim != 1 or (len(chosen) and chosen.dtype.kind not in "iu"):
            raise TypeError(f"indices must be integers, got an array of {chosen.dtype} with shape {chosen.shape}")
        chosen = chosen.astype(np.intp)
        outside = (chosen < -len(self)) | (chosen >= len(self))
        if outside.any():
            raise IndexError(f"index {chosen[outside][0]} is out of range for {len(self)} structures")
        return np.asarray(np.where(chosen < 0, chosen + len(self), chosen))

    def _masked(self, name: str, mask: Any) -> Indices:
        array = np.asarray(mask)
        if array.shape != (len(self),) or (len(self) and array.dtype != np.bool_):
            raise ValueError(
                f"{name} must have True or False for each of {len(self)} structures, "
                f"got {array.dtype} with shape {array.shape}"
            )
        return np.flatnonzero(array)

    @staticmethod
    def _part_size(name: str, size: float, n: int) -> int:
        if isinstance(size, Integral):
            return check_integer(name, size, 0)
        share = check_real(name, size, at_least=0)
        if share >= 1:
            raise ValueError(f"{name} must be a share below 1, or a whole number of structures, got {size}")
        return round(share * n)


@dataclass(frozen=True, eq=False, slots=True)
class Record:
    """One structure of a data set and what is known about it.

    ``record["gap"]`` is the value of a target: a number in its unit (nan if not known), the name of a class (None if
    not known), or an array with a number for each atom.

    Parameters
    ----------
    dataset : Dataset
        The data set.
    index : int
        Which of its structures.
    """

    dataset: Dataset
    index: int

    @property
    def id(self) -> str:
        """Its name."""
        return self.dataset.ids[self.index]

    @property
    def structure(self) -> Any:
        """The structure; an error if the data set has none."""
        if self.dataset.structures is None:
            raise ValueError(f"data set {self.dataset.name!r} has {self.dataset.kind} only, and no structures")
        return self.dataset.structures[self.index]

    @property
    def formula(self) -> str:
        """Its reduced formula."""
        return reduced_formula(self.dataset.amounts(self.index))

    @property
    def targets(self) -> dict[str, Label]:
        """All targets by name."""
        return {name: self[name] for name in self.dataset.targets}

    @property
    def groups(self) -> dict[str, str]:
        """All labels by the name of the group."""
        return {name: str(labels[self.index]) for name, labels in self.dataset.groups.items()}

    def __getitem__(self, target: str) -> Label:
        column = self.dataset.targets[check_choice("target", target, tuple(self.dataset.targets))]
        return column.label(self.index)

    def __repr__(self) -> str:
        return f"Record({self.id!r}: {self.formula}, {', '.join(f'{k}={v!r}' for k, v in self.targets.items())})"

    def _repr_html_(self) -> str:
        columns = self.dataset.targets.items()
        lines = [(with_unit(target.title or name, target.unit), shown(self[name])) for name, target in columns]
        about = card(f"{self.id}: {self.formula}", [*lines, *self.groups.items()])
        if self.dataset.structures is None:
            return about
        try:
            return f"{about}{show(self.structure)._repr_html_()}"
        except ValueError:  # too large to be drawn
            return about


class DatasetSplit(NamedTuple):
    """Parts of a data set to train, to choose and to test models."""

    train: Dataset
    valid: Dataset
    test: Dataset


def _is_mask(key: Any) -> bool:
    kind = key.dtype.kind if hasattr(key, "dtype") else {type(item) for item in key} <= {bool, np.bool_} and "b"
    return bool(kind == "b" and len(key))
