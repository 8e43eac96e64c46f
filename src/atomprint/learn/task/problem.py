"""One target of one data set as the samples that models are fitted to and tested on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from atomprint.datasets import Dataset, Target
from atomprint.util.types import FloatArray, Indices
from atomprint.util.validation import check_choice


def lower(title: str) -> str:
    """Return a title inside a sentence: "random forest" and "band gap (eV)", but "SVM" and "HOMO energy"."""
    return title if title[:2].isupper() else title[:1].lower() + title[1:]


# Words of quantities that are never negative, and words that make another quantity of them.
_NEVER_NEGATIVE = re.compile(
    r"\b(gaps?|bandgaps?|volumes?|modul(us|i)|hardness|mass|lifetime|thickness|hull|refractive index|debye "
    r"temperature)\b"
    r"|^(mass )?density$|^e ?g$"
)
_OF_ANY_SIGN = re.compile(
    r"\b(log\d*|ln|change|diff(erence)?|delta|correction|error|shift|excess|relative|residual|minus|derivative|scaled|"
    r"normali[sz]ed|standardi[sz]ed|z score)\b"
)


_MASS = 0.01  # share of training values from which on they are many


class LowerLimit(NamedTuple):
    """What a target cannot be less than.

    Parameters
    ----------
    value : float
        Such as 0 for a band gap.
    why : str
        How that was decided, in words.
    """

    value: float
    why: str


def lower_limit(names: Iterable[str], smallest: float, share: float | None = None) -> LowerLimit | None:
    """Return what a target cannot be less than, as far as its names and its training values tell.

    That is 0 for a quantity that is never negative by its name, such as a band gap, a volume or a modulus, and where
    many training values are exactly 0 and none is less: the end of what there is, such as the energy above the hull. A
    single 0 is no such end: energies may be relative to the lowest of the training set, and new ones lower. None if a
    training value is negative, or nothing is known.

    Parameters
    ----------
    names : iterable of str
        What the target is called.
    smallest : float
        Its smallest training value.
    share : float, optional
        Share of the training values that are the smallest one, see :func:`share_at_lowest`. Default: not known, as in
        older files, and taken to be large.
    """
    words = [" ".join(re.split(r"[\W_]+", name)).strip().lower() for name in names]
    if smallest < 0 or any(map(_OF_ANY_SIGN.search, words)):
        return None
    if found := next(filter(None, map(_NEVER_NEGATIVE.search, words)), None):
        return LowerLimit(0.0, f"by its name ({found[0]}) it is never negative, and no training value is")
    if smallest == 0 and (share is None or share >= _MASS):
        many = "the smallest is" if share is None else f"{100 * share:.0f} % are"
        return LowerLimit(0.0, f"no training value is negative, and {many} exactly 0")
    return None


def share_at_lowest(y: FloatArray) -> float:
    """Return the share of values that are the smallest one; 0 if that is a single one."""
    n = int(np.count_nonzero(y == y.min()))
    return n / len(y) if n > 1 else 0.0


@dataclass(frozen=True, eq=False)
class Problem:
    """A question to models: predict one target of one data set.

    Samples are the structures, or the atoms, of which the target is known, in the order of the data set.

    Parameters
    ----------
    dataset : Dataset
        The data set.
    target_name : str
        Which of its targets.
    structures : ndarray of int, shape (n_samples,)
        The structure that each sample is or belongs to: an index into the data set.
    atoms : ndarray of int, shape (n_samples,), or None
        For a target of atoms: the atom that each sample is, an index into its structure.
    y : ndarray of float64, shape (n_samples,)
        The target in its unit, or indices of classes.
    """

    dataset: Dataset
    target_name: str
    structures: Indices
    atoms: Indices | None
    y: FloatArray

    @classmethod
    def of(cls, dataset: Dataset, target: str) -> Problem:
        """Return the problem of predicting a target, with all samples of which it is known.

        Raises
        ------
        ValueError
            If there is no such target, it is not known for any sample, or all samples are of one class.
        """
        values = dataset.targets[check_choice("target", target, tuple(dataset.targets))]
        known = values.known
        if len(known) == 0:
            raise ValueError(f"target {target!r} of {dataset.name!r} is not known for any structure")
        if len(values.classes) == 1:
            raise ValueError(
                f"target {target!r} of {dataset.name!r} must have at least 2 classes, got only "
                f"{values.classes[0]!r} for all {len(known)} samples: there is nothing to tell apart"
            )
        if values.level == "structure":
            return cls(dataset, target, known, None, np.asarray(values.values[known], dtype=np.float64))
        atoms = [np.flatnonzero(np.isfinite(values.values[s])) for s in known]
        return cls(
            dataset,
            target,
            np.repeat(known, [len(a) for a in atoms]),
            np.concatenate(atoms),
            np.concatenate([values.values[s][a] for s, a in zip(known, atoms, strict=True)]).astype(np.float64),
        )

    def __len__(self) -> int:
        return len(self.y)

    @property
    def target(self) -> Target:
        """The property that is predicted."""
        return self.dataset.targets[self.target_name]

    @property
    def kind(self) -> str:
        """``"regression"`` or ``"classification"``."""
        return self.target.kind

    @property
    def at_least(self) -> float | None:
        """What the target cannot be less than, see :func:`lower_limit`; None if nothing is known."""
        return None if self.limit is None else self.limit.value

    @cached_property
    def limit(self) -> LowerLimit | None:
        """What the target cannot be less than, and why; None if nothing is known."""
        if self.kind != "regression":
            return None
        return lower_limit((self.target_name, self.target.title), float(self.y.min()), share_at_lowest(self.y))

    @property
    def title(self) -> str:
        """Data set and target in words."""
        return f"{self.dataset.title}: {lower(self.target.title)}"

    @property
    def ids(self) -> list[str]:
        """Names of the samples; atoms are named ``"<structure>/<atom>"``."""
        names = [self.dataset.ids[s] for s in self.structures]
        if self.atoms is None:
            return names
        return [f"{name}/{atom}" for name, atom in zip(names, self.atoms, strict=True)]
