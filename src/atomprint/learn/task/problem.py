"""One target of one data set as the samples that models are fitted to and tested on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

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


def least_possible(names: Iterable[str], smallest: float) -> float | None:
    """Return what a target cannot be less than, as far as its names and its smallest training value tell.

    That is 0 for a quantity that is never negative, such as a band gap, a volume or a modulus, and for one whose
    smallest value is exactly 0: the end of what there is, such as the energy above the hull. None if a training value
    is negative, or nothing is known.
    """
    words = [" ".join(re.split(r"[\W_]+", name)).strip().lower() for name in names]
    if smallest < 0 or any(map(_OF_ANY_SIGN.search, words)):
        return None
    return 0.0 if smallest == 0 or any(map(_NEVER_NEGATIVE.search, words)) else None


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
            If there is no such target, or it is not known for any sample.
        """
        values = dataset.targets[check_choice("target", target, tuple(dataset.targets))]
        known = values.known
        if len(known) == 0:
            raise ValueError(f"target {target!r} of {dataset.name!r} is not known for any structure")
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
        """What the target cannot be less than, see :func:`least_possible`; None if nothing is known."""
        if self.kind != "regression":
            return None
        return least_possible((self.target_name, self.target.title), float(self.y.min()))

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
