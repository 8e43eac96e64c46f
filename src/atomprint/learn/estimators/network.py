"""Residual networks that are trained on absolute errors: slower than trees, and better where there are many samples."""

from __future__ import annotations

from typing import Self

import numpy as np
from scipy.sparse import issparse
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags, check_random_state, gen_batches
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from atomprint.learn.estimators.element_channels import Layers, Parts, first_channels, parts_of, with_strangers
from atomprint.learn.estimators.network_training import (
    Inputs,
    Weights,
    first_layers,
    last_units,
    learning_rates,
    trainer,
)
from atomprint.learn.estimators.novelty import NearestInLayer, near_rows
from atomprint.learn.task.blocks import Blocks, TakesBlocks, check_blocks, check_known
from atomprint.util.registry import public
from atomprint.util.types import Array, FloatArray, Samples, Targets
from atomprint.util.validation import check_choice, check_integer, check_real

_LOSSES = ("absolute_error", "squared_error")
_MIN_STEPS, _MIN_EPOCHS, _MAX_EPOCHS = 6000, 30, 200
_MEMORY = 0.04  # share of the steps over which weights are averaged
_ROWS = 4096  # predicted at once


class _ResidualNetwork(TakesBlocks, BaseEstimator):
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
        elements: str | None = None,
        n_channels: int = 64,
        random_state: int | np.random.RandomState | None = None,
        blocks: Blocks | None = None,
    ) -> None:
        self.width = width
        self.n_layers = n_layers
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.n_epochs = n_epochs
        self.limit = limit
        self.elements = elements
        self.n_channels = n_channels
        self.random_state = random_state
        self.blocks = blocks

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
        start, stop = self._place_of_shares(X.shape[1])
        self.shares_ = (start, stop)
        features, amounts = self._separate(X)
        self.scales_ = np.maximum(1, _largest(features) / limit).astype(np.float32)
        random = check_random_state(self.random_state)
        channels: Layers = []
        parts: Parts | None = None
        n_inputs = features.shape[1]
        if amounts is not None:
            n_channels = check_integer("n_channels", self.n_channels, 1)
            _check_amounts(self.elements, amounts)
            channels, parts = first_channels(random, stop - start, n_channels), parts_of(amounts)
            n_inputs += 2 * n_channels
        layers = first_layers(random, [n_inputs, *[width] * n_layers, n_outputs])
        begin, step = trainer(loss, dropout, weight_decay)
        state = begin(Weights(layers, channels), int(random.randint(2**31)))
        rates = iter(learning_rates(n_epochs * n_batches, learning_rate))
        renewed = 1 / max(1.0, _MEMORY * n_epochs * n_batches)
        for _ in range(n_epochs):
            order = random.permutation(X.shape[0])
            for first in range(0, n_batches * batch, batch):
                rows = order[first : first + batch]
                inputs = Inputs(self._limited(features[rows]), None if parts is None else parts.of(rows))
                state = step(state, inputs, targets[rows], next(rates), renewed)
        self.layers_: Layers = [np.asarray(part) for part in state.averages.layers]
        self.channels_: Layers = [np.asarray(part) for part in state.averages.channels]
        if amounts is not None:
            self.channels_ = with_strangers(self.channels_, amounts)
        if not all(np.isfinite(part).all() for part in [*self.layers_, *self.channels_]):
            raise ValueError(f"learning_rate must be smaller: training diverged with {self.learning_rate:g}")
        self.n_epochs_ = n_epochs
        near = self._inputs(X[near_rows(X.shape[0])])
        self.near_ = NearestInLayer.fit(last_units(Weights(self.layers_, self.channels_), near, expit))

    def _place_of_shares(self, n_features: int) -> tuple[int, int]:
        """Return first and one-past-last column of the block that tells how much of each element there is."""
        if self.elements is None:
            return 0, 0
        known = {} if self.blocks is None else check_blocks(self.blocks, n_features)
        check_known([self.elements], known)
        return known[self.elements]

    def _separate(self, X: Samples) -> tuple[Samples, Array | None]:
        """Return features, and amounts of the elements if the network learns channels of these."""
        start, stop = getattr(self, "shares_", (0, 0))  # not in files of an earlier version
        if start == stop:
            return X, None
        X = X.toarray() if issparse(X) else X
        return np.delete(X, np.s_[start:stop], axis=1), X[:, start:stop]

    def _limited(self, features: Samples) -> Array:
        dense = features.toarray() if issparse(features) else features
        return np.clip(dense / self.scales_, -self.limit, self.limit)

    def _inputs(self, X: Samples) -> Inputs:
        features, amounts = self._separate(X)
        return Inputs(self._limited(features), None if amounts is None else parts_of(amounts))

    def _outputs(self, X: Samples, distances: FloatArray | None = None) -> FloatArray:
        """Return what the last layer gives, and fill in distances to training samples, if they are asked for."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=(np.float64, np.float32), reset=False)
        layers = [part.astype(X.dtype) for part in self.layers_]
        channels = [part.astype(X.dtype) for part in getattr(self, "channels_", [])]
        outputs = np.empty((X.shape[0], layers[-1].shape[0]))
        for rows in gen_batches(X.shape[0], _ROWS):
            units = last_units(Weights(layers, channels), self._inputs(X[rows]), expit)
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
    elements : str, optional
        Name of the block of joined features that holds how much there is of each element, one in each column, not
        scaled (:func:`~atomprint.learn.make_model` sees to that). Channels of the elements are learnt then
        (:func:`~atomprint.learn.estimators.element_channels.pooled`), which act on each other through their mean over
        the composition, and their mean and sum stand in for the block, whatever the order of the elements, as in [4]_.
        Default: nothing is known of elements.
    n_channels : int
        Channels of each element.
    loss : {"absolute_error", "squared_error"}
        What is minimised.
    random_state : int or RandomState, optional
        Seed of the first weights, the order of samples and the dropout.
    blocks : mapping of str to (int, int), optional
        First and one-past-last column of each block. Default: those of the features, which
        :func:`~atomprint.learn.evaluate` sees to.

    Attributes
    ----------
    layers_ : list of ndarray of float32
        Weights of shape (n_inputs, n_outputs) and biases of shape (n_outputs,) of each layer in turn.
    channels_ : list of ndarray of float32
        Learnt channels of the elements, shape (n_elements + 1, n_channels), and weights of what is made of them;
        empty without ``elements``. Elements that no sample had have the mean of the others.
    shares_ : tuple of int
        First and one-past-last column of the block of the elements; equal where there is none.
    scales_ : ndarray of float32, shape (n_features,)
        What features are divided by, without those of the elements.
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
    .. [4] M. Zaheer, S. Kottur, S. Ravanbakhsh, B. Poczos, R. Salakhutdinov, A. Smola, "Deep sets", NIPS (2017).
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
        elements: str | None = None,
        n_channels: int = 64,
        loss: str = "absolute_error",
        random_state: int | np.random.RandomState | None = None,
        blocks: Blocks | None = None,
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
            elements=elements,
            n_channels=n_channels,
            random_state=random_state,
            blocks=blocks,
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
    width, n_layers, dropout, learning_rate, weight_decay, batch_size, n_epochs, limit
        As there.
    elements, n_channels, random_state, blocks
        As there.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The classes.
    layers_, channels_, shares_, scales_, n_epochs_, near_, n_features_in_
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


def _check_amounts(name: str | None, amounts: Array) -> None:
    """Raise ValueError unless amounts of elements are not negative, and each sample has some."""
    if (amounts < 0).any():
        row, column = (int(i) for i in np.argwhere(amounts < 0)[0])
        raise ValueError(
            f"elements: {name!r} must hold how much there is of each element, none negative, got "
            f"{amounts[row, column]:g} for sample {row}"
        )
    nothing = np.flatnonzero(~(amounts > 0).any(axis=1))
    if len(nothing):
        raise ValueError(f"elements: {name!r} must hold some element of each sample, got none for sample {nothing[0]}")
