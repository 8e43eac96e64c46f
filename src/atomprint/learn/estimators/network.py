"""Residual networks that are trained on absolute errors: slower than trees, and better where there are many samples."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import issparse
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags, check_random_state, gen_batches
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from atomprint.learn.estimators.novelty import NearestInLayer, near_rows
from atomprint.util.extras import require
from atomprint.util.registry import public
from atomprint.util.types import Array, FloatArray, Samples, Targets
from atomprint.util.validation import check_choice, check_integer, check_real

Layers = list[npt.NDArray[np.float32]]  # weights and biases in turn, from the input to the output

_LOSSES = ("absolute_error", "squared_error")
_MIN_STEPS, _MIN_EPOCHS, _MAX_EPOCHS = 6000, 30, 200
_WARM_UP = 0.1  # share of the steps in which the learning rate grows
_MEMORY = 0.04  # share of the steps over which weights are averaged
_MAX_NORM = 1.0  # of the gradient
_ROWS = 4096  # predicted at once

Jax: TypeAlias = Any
"""Arrays of JAX or of NumPy, or lists and states of them."""


class _ResidualNetwork(BaseEstimator):
    """What networks for numbers and for classes have in common."""

    def __init__(
        self,
        width: int = 512,
        n_layers: int = 3,
        *,
        dropout: float = 0.0,
        learning_rate: float = 4e-3,
        weight_decay: float = 1e-3,
        batch_size: int = 256,
        n_epochs: int | None = None,
        limit: float = 4.0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.width = width
        self.n_layers = n_layers
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.n_epochs = n_epochs
        self.limit = limit
        self.random_state = random_state

    def _train(self, X: Samples, targets: Array, n_outputs: int, loss: str) -> None:
        width, n_layers = check_integer("width", self.width, 1), check_integer("n_layers", self.n_layers, 1)
        dropout = check_real("dropout", self.dropout, at_least=0)
        if dropout >= 1:
            raise ValueError(f"dropout must be < 1, got {dropout:g}")
        learning_rate = check_real("learning_rate", self.learning_rate, above=0)
        weight_decay = check_real("weight_decay", self.weight_decay, at_least=0)
        limit = check_real("limit", self.limit, above=0)
        batch = min(check_integer("batch_size", self.batch_size, 1), max(1, X.shape[0] // 8))
        n_batches = X.shape[0] // batch
        if self.n_epochs is None:
            n_epochs = int(np.clip(_MIN_STEPS // n_batches, _MIN_EPOCHS, _MAX_EPOCHS))
        else:
            n_epochs = check_integer("n_epochs", self.n_epochs, 1)
        self.scales_ = np.maximum(1, _largest(X) / limit).astype(np.float32)
        random = check_random_state(self.random_state)
        layers = _first_layers(random, [X.shape[1], *[width] * n_layers, n_outputs])
        begin, step = _trainer(loss, dropout, weight_decay)
        state = begin(layers, int(random.randint(2**31)))
        rates = iter(_learning_rates(n_epochs * n_batches, learning_rate))
        renewed = 1 / max(1.0, _MEMORY * n_epochs * n_batches)
        for _ in range(n_epochs):
            order = random.permutation(X.shape[0])
            for first in range(0, n_batches * batch, batch):
                rows = order[first : first + batch]
                state = step(state, self._inputs(X[rows]), targets[rows], next(rates), renewed)
        self.layers_: Layers = [np.asarray(part) for part in state.averages]
        if not all(np.isfinite(part).all() for part in self.layers_):
            raise ValueError(f"learning_rate must be smaller: training diverged with {self.learning_rate:g}")
        self.n_epochs_ = n_epochs
        self.near_ = NearestInLayer.fit(_last_units(self.layers_, self._inputs(X[near_rows(X.shape[0])]), expit))

    def _inputs(self, X: Samples) -> Array:
        return np.clip((X.toarray() if issparse(X) else X) / self.scales_, -self.limit, self.limit)

    def _outputs(self, X: Samples, distances: FloatArray | None = None) -> FloatArray:
        """Return what the last layer gives, and fill in distances to training samples, if they are asked for."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=(np.float64, np.float32), reset=False)
        layers = [part.astype(X.dtype) for part in self.layers_]
        outputs = np.empty((X.shape[0], layers[-1].shape[0]))
        for rows in gen_batches(X.shape[0], _ROWS):
            units = _last_units(layers, self._inputs(X[rows]), expit)
            outputs[rows] = units @ layers[-2] + layers[-1]
            if distances is not None:
                distances[rows] = self.near_.distances(units)
        return outputs

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


@public("ResidualNetworkRegressor", version=1)
class ResidualNetworkRegressor(RegressorMixin, _ResidualNetwork):
    r"""A residual network for numbers [1]_, trained on the mean absolute error.

    The first layer is :math:`h_1 = f(W_1 x + b_1)`, each after it adds to what there is,
    :math:`h_k = h_{k-1} + f(W_k h_{k-1} + b_k)` with :math:`f(z) = z / (1 + e^{-z})`, and the prediction is
    :math:`w \cdot h_n + b`. Training is by AdamW [2]_ with gradients cut at norm 1 and a learning rate that grows for a
    tenth of all steps and falls along a cosine afterwards [3]_; the weights used are averages over the last steps.
    Features and targets are expected with mean 0 and standard deviation 1, which
    :func:`~atomprint.learn.make_model` sees to. Training needs JAX and Optax (``pip install 'atomprint[neural]'``) and
    takes all cores that it is given; predictions need neither, and are made in the precision of the features.

    Parameters
    ----------
    width : int
        Units of each layer.
    n_layers : int
        Layers before the last one.
    dropout : float
        Share of units that are left out at random in training.
    learning_rate : float
        The largest one.
    weight_decay : float
        What weights shrink by, times the learning rate, in each step.
    batch_size : int
        Samples of one step; fewer where there are fewer than 8 times as many.
    n_epochs : int, optional
        How often each sample is seen. Default: 30, or as often as makes 6000 steps, but at most 200.
    limit : float
        Features that reach farther from 0 than this are scaled down to it, such as shares of elements that are rare;
        those of new samples are cut there.
    loss : {"absolute_error", "squared_error"}
        What is minimised.
    random_state : int or RandomState, optional
        Seed of the first weights, the order of samples and the dropout.

    Attributes
    ----------
    layers_ : list of ndarray of float32
        Weights of shape (n_inputs, n_outputs) and biases of shape (n_outputs,) of each layer in turn.
    scales_ : ndarray of float32, shape (n_features,)
        What features are divided by.
    n_epochs_ : int
        How often each sample was seen.
    near_ : NearestInLayer
        Training samples as the last layer sees them.
    n_features_in_ : int
        Number of features.

    Raises
    ------
    ImportError
        In ``fit``, if JAX or Optax is not installed.
    ValueError
        In ``fit``, if a parameter is out of its range or training diverges.

    References
    ----------
    .. [1] Y. Gorishniy, I. Rubachev, V. Khrulkov, A. Babenko, "Revisiting deep learning models for tabular data",
       NeurIPS (2021), section 3.2, without batch normalisation.
    .. [2] I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR (2019).
    .. [3] L. N. Smith, N. Topin, "Super-convergence: very fast training of neural networks using large learning rates",
       arXiv:1708.07120 (2017).
    """

    def __init__(
        self,
        width: int = 512,
        n_layers: int = 3,
        *,
        dropout: float = 0.0,
        learning_rate: float = 4e-3,
        weight_decay: float = 1e-3,
        batch_size: int = 256,
        n_epochs: int | None = None,
        limit: float = 4.0,
        loss: str = "absolute_error",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            width,
            n_layers,
            dropout=dropout,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            batch_size=batch_size,
            n_epochs=n_epochs,
            limit=limit,
            random_state=random_state,
        )
        self.loss = loss

    def fit(self, X: Samples, y: Targets) -> Self:
        """Fit the network.

        Parameters
        ----------
        X : array or sparse array, shape (n_samples, n_features)
            Features.
        y : array of shape (n_samples,)
            Targets.

        Returns
        -------
        self
        """
        loss = check_choice("loss", self.loss, _LOSSES)
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=np.float32, y_numeric=True)
        self._train(X, np.asarray(y, dtype=np.float32)[:, None], 1, loss)
        return self

    def predict(self, X: Samples) -> FloatArray:
        """Predict the targets of samples.

        Parameters
        ----------
        X : array or sparse array, shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of float64, shape (n_samples,)
        """
        return self._outputs(X)[:, 0]

    def predict_with_distance(self, X: Samples) -> tuple[FloatArray, FloatArray]:
        """Predict, and tell how far samples are from those of the fit in the last layer.

        Parameters
        ----------
        X : array or sparse array, shape (n_samples, n_features)
            Features.

        Returns
        -------
        predictions, distances : ndarray of float64, shape (n_samples,)
            The distance is the mean over the 5 nearest of up to 1000 training samples.
        """
        distances = np.empty(X.shape[0])
        return self._outputs(X, distances)[:, 0], distances


@public("ResidualNetworkClassifier", version=1)
class ResidualNetworkClassifier(ClassifierMixin, _ResidualNetwork):
    """A residual network for classes, trained on the likelihood of the classes.

    It is built and trained as :class:`ResidualNetworkRegressor`; the last layer gives logarithms of probabilities, but
    for a constant.

    Parameters
    ----------
    width, n_layers, dropout, learning_rate, weight_decay, batch_size, n_epochs, limit, random_state
        As there.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The classes.
    layers_, scales_, n_epochs_, near_, n_features_in_
        As there.

    Raises
    ------
    ImportError, ValueError
        As there.
    """

    def fit(self, X: Samples, y: Targets) -> Self:
        """Fit the network.

        Parameters
        ----------
        X : array or sparse array, shape (n_samples, n_features)
            Features.
        y : array of shape (n_samples,)
            Classes.

        Returns
        -------
        self
        """
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=np.float32)
        check_classification_targets(y)
        self.classes_, found = np.unique(y, return_inverse=True)
        self._train(X, found.astype(np.int32), len(self.classes_), "likelihood")
        return self

    def predict_proba(self, X: Samples) -> FloatArray:
        """Predict the probabilities of classes, shape (n_samples, n_classes)."""
        return np.asarray(softmax(self._outputs(X), axis=1))

    def predict(self, X: Samples) -> Array:
        """Predict the classes of samples, shape (n_samples,)."""
        places = self._outputs(X).argmax(axis=1)
        return np.asarray(self.classes_[places])


def _largest(X: Samples) -> Array:
    found = abs(X).max(axis=0)
    return found.toarray().ravel() if issparse(found) else found


def _first_layers(random: np.random.RandomState, widths: list[int]) -> Layers:
    """Return random weights that keep the size of what passes through them, and biases of 0."""
    layers: Layers = []
    for number, (n_inputs, n_outputs) in enumerate(pairwise(widths)):
        scale = np.sqrt((1 if number == len(widths) - 2 else 2) / n_inputs)
        layers.append((scale * random.standard_normal((n_inputs, n_outputs))).astype(np.float32))
        layers.append(np.zeros(n_outputs, dtype=np.float32))
    return layers


def _last_units(layers: Jax, inputs: Jax, sigmoid: Callable[..., Any], drop: Callable[..., Any] | None = None) -> Jax:
    """Return what the last layer is given, for inputs, both NumPy's or both JAX's."""
    hidden: Jax = None
    for number in range(0, len(layers) - 2, 2):
        z = (inputs if hidden is None else hidden) @ layers[number] + layers[number + 1]
        new = z * sigmoid(z)
        if drop is not None:
            new = drop(new, number)
        hidden = new if hidden is None else hidden + new
    return hidden


class _State(NamedTuple):
    """What changes from step to step of the training."""

    layers: Jax
    averages: Jax
    optimiser: Jax
    key: Jax


def _learning_rates(n_steps: int, largest: float) -> npt.NDArray[np.float32]:
    """Return the learning rate of each step, which grows from a 25th of the largest and falls to 0, along cosines."""
    place = (np.arange(n_steps) + 0.5) / n_steps
    up = (1 - np.cos(np.pi * place / _WARM_UP)) / 2
    down = (1 + np.cos(np.pi * (place - _WARM_UP) / (1 - _WARM_UP))) / 2
    return (largest * np.where(place < _WARM_UP, 0.04 + 0.96 * up, down)).astype(np.float32)


@lru_cache(maxsize=8)  # what is compiled for one fit serves the next
def _trainer(loss: str, dropout: float, weight_decay: float) -> tuple[Callable[..., _State], Callable[..., _State]]:
    """Return what makes the first state of a training, and what makes the next one from it and some samples."""
    jax, optax = require("jax", "neural"), require("optax", "neural")
    optimiser = optax.chain(
        optax.clip_by_global_norm(_MAX_NORM), optax.scale_by_adam(), optax.add_decayed_weights(weight_decay)
    )

    def mean_loss(layers: Jax, inputs: Jax, targets: Jax, key: Jax) -> Jax:
        def drop(hidden: Jax, number: int) -> Jax:
            stays = jax.random.bernoulli(jax.random.fold_in(key, number), 1 - dropout, hidden.shape)
            return hidden * stays / (1 - dropout)

        outputs = _last_units(layers, inputs, jax.nn.sigmoid, drop if dropout else None) @ layers[-2] + layers[-1]
        if loss == "likelihood":
            return optax.softmax_cross_entropy_with_integer_labels(outputs, targets).mean()
        errors = outputs - targets
        return (abs(errors) if loss == "absolute_error" else errors**2).mean()

    def begin(layers: Layers, seed: int) -> _State:
        layers = [jax.numpy.asarray(part) for part in layers]
        return _State(layers, layers, optimiser.init(layers), jax.random.key(seed))

    @jax.jit
    def step(state: _State, inputs: Jax, targets: Jax, rate: Jax, renewed: Jax) -> _State:
        key, now = jax.random.split(state.key)
        gradient = jax.grad(mean_loss)(state.layers, inputs, targets, now)
        changes, optimiser_state = optimiser.update(gradient, state.optimiser, state.layers)
        layers = jax.tree.map(lambda old, change: old - rate * change, state.layers, changes)
        averages = jax.tree.map(lambda old, new: old + renewed * (new - old), state.averages, layers)
        return _State(layers, averages, optimiser_state, key)

    return begin, step
