"""How residual networks are made of layers, and how these are trained."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from atomprint.learn.estimators.element_channels import Parts, pooled
from atomprint.util.extras import require

Layers = list[npt.NDArray[np.float32]]  # weights and biases in turn, from the input to the output

Jax: TypeAlias = Any
"""Arrays of JAX or of NumPy, or lists and states of them."""

_WARM_UP = 0.1  # share of the steps in which the learning rate grows
_MEMORY = 0.04  # share of the steps over which weights are averaged
_MAX_NORM = 1.0  # of the gradient


class Weights(NamedTuple):
    """What is trained: the layers, and before them those that make features of learnt channels, if there are any."""

    layers: Jax
    channels: Jax


class Inputs(NamedTuple):
    """What a network is given: features, and the elements of compositions, if it learns channels of these."""

    features: Jax
    parts: Parts | None


def first_layers(random: np.random.RandomState, widths: list[int]) -> Layers:
    """Return random weights that keep the size of what passes through them, and biases of 0."""
    layers: Layers = []
    for number, (n_inputs, n_outputs) in enumerate(pairwise(widths)):
        scale = np.sqrt((1 if number == len(widths) - 2 else 2) / n_inputs)
        layers.append((scale * random.standard_normal((n_inputs, n_outputs))).astype(np.float32))
        layers.append(np.zeros(n_outputs, dtype=np.float32))
    return layers


def last_units(
    weights: Weights, inputs: Inputs, sigmoid: Callable[..., Any], drop: Callable[..., Any] | None = None
) -> Jax:
    """Return what the last layer is given, for inputs, both NumPy's or both JAX's."""
    layers = weights.layers
    z = layers[1]
    first = 0
    for part in (inputs.features, *(() if inputs.parts is None else pooled(weights.channels, inputs.parts, sigmoid))):
        z = z + part @ layers[0][first : first + part.shape[1]]
        first += part.shape[1]
    hidden: Jax = None
    for number in range(0, len(layers) - 2, 2):
        if hidden is not None:
            z = hidden @ layers[number] + layers[number + 1]
        new = z * sigmoid(z)
        if drop is not None:
            new = drop(new, number)
        hidden = new if hidden is None else hidden + new
    return hidden


class _State(NamedTuple):
    """What changes from step to step of the training."""

    weights: Weights
    averages: Weights
    optimiser: Jax
    key: Jax


def learning_rates(n_steps: int, largest: float) -> npt.NDArray[np.float32]:
    """Return the learning rate of each step, which grows from a 25th of the largest and falls to 0, along cosines."""
    place = (np.arange(n_steps) + 0.5) / n_steps
    up = (1 - np.cos(np.pi * place / _WARM_UP)) / 2
    down = (1 + np.cos(np.pi * (place - _WARM_UP) / (1 - _WARM_UP))) / 2
    return (largest * np.where(place < _WARM_UP, 0.04 + 0.96 * up, down)).astype(np.float32)


@lru_cache(maxsize=8)  # what is compiled for one fit serves the next
def trainer(loss: str, dropout: float, weight_decay: float) -> tuple[Callable[..., _State], Callable[..., _State]]:
    """Return what makes the first state of a training, and what makes the next one from it and some samples."""
    jax, optax = require("jax", "neural"), require("optax", "neural")
    optimiser = optax.chain(
        optax.clip_by_global_norm(_MAX_NORM), optax.scale_by_adam(), optax.add_decayed_weights(weight_decay)
    )

    def mean_loss(weights: Weights, inputs: Inputs, targets: Jax, key: Jax) -> Jax:
        def drop(hidden: Jax, number: int) -> Jax:
            stays = jax.random.bernoulli(jax.random.fold_in(key, number), 1 - dropout, hidden.shape)
            return hidden * stays / (1 - dropout)

        units = last_units(weights, inputs, jax.nn.sigmoid, drop if dropout else None)
        outputs = units @ weights.layers[-2] + weights.layers[-1]
        if loss == "likelihood":
            return optax.softmax_cross_entropy_with_integer_labels(outputs, targets).mean()
        errors = outputs - targets
        return (abs(errors) if loss == "absolute_error" else errors**2).mean()

    def begin(weights: Weights, seed: int) -> _State:
        weights, averages = (jax.tree.map(jax.numpy.array, weights) for _ in range(2))
        return _State(weights, averages, optimiser.init(weights), jax.random.key(seed))

    @partial(jax.jit, donate_argnums=0)  # the memory of a state is that of the next one
    def step(state: _State, inputs: Inputs, targets: Jax, rate: Jax, renewed: Jax) -> _State:
        key, now = jax.random.split(state.key)
        gradient = jax.grad(mean_loss)(state.weights, inputs, targets, now)
        changes, optimiser_state = optimiser.update(gradient, state.optimiser, state.weights)
        weights = jax.tree.map(lambda old, change: old - rate * change, state.weights, changes)
        averages = jax.tree.map(lambda old, new: old + renewed * (new - old), state.averages, weights)
        return _State(weights, averages, optimiser_state, key)

    return begin, step
