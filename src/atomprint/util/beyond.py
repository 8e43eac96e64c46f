"""Values beyond the choices for a hyperparameter whose orders of magnitude count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

STEPS = 3
"""How far choices are followed beyond their ends."""


def beyond(choices: Sequence[float], best: float, least: float = 0.0) -> Iterator[float]:
    """Yield values beyond the end of the choices that turned out best; none if it was in between.

    Parameters
    ----------
    choices : sequence of float
        Positive values. One or two are taken as meant: there is nothing beyond these.
    best : float
        The best of them.
    least : float
        No value is smaller than this.

    Yields
    ------
    float
        Up to 3, each as far from the one before, as a ratio, as the last two choices are from each other.
    """
    known = sorted(set(map(float, choices)))
    if len(known) < 3 or not known[0] > 0 or best not in (known[0], known[-1]):
        return
    ratio = known[-1] / known[-2] if best == known[-1] else known[0] / known[1]
    for _ in range(STEPS):
        best *= ratio
        if best < least:
            return
        yield best
