"""Whether more data would help: errors against the number of training samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from atomprint.learn.metrics import Spread


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """A figure of merit against the number of samples of the fit.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of samples, ascending: mean over the folds.
    train : sequence of Spread
        The figure on the samples of the fit themselves, over the folds.
    test : sequence of Spread
        The figure on the held-out samples, the same for all sizes, over the folds. A size at which the model cannot be
        fitted has the reason instead of a value.
    metric : str
        Name of the figure in :data:`~atomprint.learn.metrics.METRICS`.
    model, features : str
        Keys of what was fitted, as in the study.
    description : str
        How it was made, in words.
    """

    sizes: Sequence[int]
    train: Sequence[Spread]
    test: Sequence[Spread]
    metric: str
    model: str
    features: str
    description: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and words, for JSON."""
        return {
            "metric": self.metric,
            "model": self.model,
            "features": self.features,
            "description": self.description,
            "points": [
                {"size": size, "train": train.to_dict(), "test": test.to_dict()}
                for size, train, test in zip(self.sizes, self.train, self.test, strict=True)
            ],
        }
