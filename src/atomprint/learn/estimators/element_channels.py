"""Learnt channels of the elements: what networks make of a composition, whatever the order of its parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from atomprint.util.types import Array

Layers = list[npt.NDArray[np.float32]]

# Shares that formulas have: functions of a share that are 1 at one of these and 0 from a distance of _REACH on.
_CENTRES = np.array([1 / 16, 1 / 8, 1 / 6, 1 / 5, 1 / 4, 1 / 3, 2 / 5, 1 / 2, 3 / 5, 2 / 3, 3 / 4, 1])
_REACH = 0.08
_SMALLEST = 1e-3  # share below which the logarithm tells nothing any more
_N_FUNCTIONS = 2 + len(_CENTRES)
_N_ROUNDS = 2
_USUAL = 3.0  # elements in a composition: sums over them are divided by it


class Parts(NamedTuple):
    """The elements of compositions, those with the largest share first, and places without any behind them.

    Parameters
    ----------
    elements : ndarray of int, shape (n_samples, n_places)
        Column of each element among the shares; one more than the last for a place without.
    shares : ndarray, shape (n_samples, n_places)
        Sum 1 for each composition, 0 for places without an element.
    functions : ndarray, shape (n_samples, n_places, 14)
        Share, half its logarithm, and 12 functions of it that are each large at one ratio of simple formulas.
    """

    elements: Any
    shares: Any
    functions: Any

    def of(self, rows: Any) -> Parts:
        """Return those of some samples, with no more places than these need."""
        shares = self.shares[rows]
        n_places = max(1, int((shares > 0).any(axis=0).sum()))
        return Parts(self.elements[rows, :n_places], shares[:, :n_places], self.functions[rows, :n_places])


def parts_of(amounts: Array) -> Parts:
    """Return the elements of compositions.

    Parameters
    ----------
    amounts : ndarray, shape (n_samples, n_elements)
        How much of each element there is; negative amounts are none.

    Returns
    -------
    Parts
        Of the type of the amounts; a composition of nothing has no elements.
    """
    amounts = np.maximum(amounts, 0)
    totals = amounts.sum(axis=1, keepdims=True)
    shares = amounts / np.where(totals > 0, totals, 1)
    n_places = max(1, int((shares > 0).sum(axis=1).max(initial=0)))
    elements = np.argsort(-shares, axis=1, kind="stable")[:, :n_places]
    shares = np.take_along_axis(shares, elements, axis=1)
    elements = np.where(shares > 0, elements, amounts.shape[1]).astype(np.int32)
    functions = np.empty((*shares.shape, _N_FUNCTIONS), dtype=amounts.dtype)
    functions[..., 0] = shares
    functions[..., 1] = np.log(np.maximum(shares, _SMALLEST)) / 2
    functions[..., 2:] = np.maximum(1 - np.abs(shares[..., None] - _CENTRES) / _REACH, 0)
    return Parts(elements, shares, functions)


def first_channels(random: np.random.RandomState, n_elements: int, n_channels: int) -> Layers:
    """Return random channels of the elements, and weights of what is made of them.

    The first array holds the channels, shape (n_elements + 1, n_channels), the second what functions of shares are
    multiplied by; five for each round follow (:func:`pooled`).
    """

    def drawn(n_inputs: int, n_outputs: int, variance: float) -> npt.NDArray[np.float32]:
        return (np.sqrt(variance) * random.standard_normal((n_inputs, n_outputs))).astype(np.float32)

    zeros = np.zeros(n_channels, dtype=np.float32)
    layers = [drawn(n_elements + 1, n_channels, 0.4), drawn(_N_FUNCTIONS, n_channels, 1 / 40)]
    for _ in range(_N_ROUNDS):
        of_own, of_mean, new = (drawn(n_channels, n_channels, gain / n_channels) for gain in (2, 2, 1))
        layers += [of_own, zeros, of_mean, new, zeros]
    return layers


def pooled(layers: Any, parts: Parts, sigmoid: Callable[..., Any]) -> tuple[Any, Any]:
    r"""Return what layers make of compositions: a mean and a sum over their elements.

    With :math:`f(z) = z / (1 + e^{-z})`, an element begins with its channels :math:`c_e` and functions :math:`g` of its
    share :math:`s_e` as :math:`t_e = f(c_e + V g(s_e))`, and each round adds
    :math:`O f(Q t_e + C \sum_{e'} s_{e'} t_{e'} + b) + d` to it: what an element does depends on the others.

    Parameters
    ----------
    layers : list of arrays
        As of :func:`first_channels`.
    parts : Parts
        Compositions; both of NumPy, or both of JAX.
    sigmoid : callable
        The logistic function of arrays of this kind.

    Returns
    -------
    mean, total : arrays, shape (n_samples, n_channels)
        With shares as weights, and a third of the sum of all.
    """
    channels, of_functions, *rest = layers
    weights = parts.shares[..., None]
    z = channels[parts.elements] + parts.functions @ of_functions
    state = z * sigmoid(z)
    for first in range(0, len(rest), 5):
        of_own, bias, of_mean, new, shift = rest[first : first + 5]
        mean = (weights * state).sum(axis=1)
        z = state @ of_own + bias + (mean @ of_mean)[:, None]
        state = state + z * sigmoid(z) @ new + shift
    present = weights > 0
    return (weights * state).sum(axis=1), (present * state).sum(axis=1) / _USUAL


def with_strangers(layers: Layers, amounts: Array) -> Layers:
    """Return layers in which elements that no sample had have the mean of the channels of all others.

    Parameters
    ----------
    layers : list of ndarray
        After training.
    amounts : ndarray, shape (n_samples, n_elements)
        What they were trained with.
    """
    seen = np.append((amounts > 0).any(axis=0), False)
    channels = layers[0].copy()
    channels[~seen] = channels[seen].mean(axis=0)
    return [channels, *layers[1:]]
