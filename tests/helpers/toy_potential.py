"""A potential in NumPy, for tests of what is done with pretrained ones."""

import numpy as np

from atomprint.neighbours import find_pairs
from atomprint.ragged import owners

_ETAS = np.array([0.05, 0.2, 0.6])


class ToyPotential:
    """Two layers, the second of which sees what the first has found, and an energy."""

    cutoff = 3.9

    def __init__(self, elements=None, identity=None):
        self.layers = {"layer 1": 3, "layer 2": 3, "energy": 1}
        self.elements, self.identity, self.calls = elements, identity, 0

    def __repr__(self):
        return "ToyPotential()"

    def _terms(self, batch):
        pairs = find_pairs(batch, self.cutoff)
        start = batch.offsets[pairs.structures]
        first, second = start + pairs.first, start + pairs.second
        u = pairs.distances[:, None] ** 2
        left, bell = 1 - u / self.cutoff**2, np.exp(-_ETAS * u)
        values = bell * left**3
        slopes = (-_ETAS * left - 3 / self.cutoff**2) * bell * left**2  # by the square of the distance
        return pairs, first, second, values, slopes

    def _layers(self, batch, first, second, values):
        charge = np.log1p(batch.numbers)[:, None]
        one = np.zeros((len(batch.numbers), 3))
        np.add.at(one, first, values * charge[second])
        hidden = np.tanh(one / 4)
        two = np.zeros_like(one)
        np.add.at(two, first, values * hidden[second])
        return charge, one, hidden, two

    def __call__(self, batch):
        self.calls += 1
        _, first, second, values, _ = self._terms(batch)
        _, one, _, two = self._layers(batch, first, second, values)
        return np.column_stack([one, two, two.sum(axis=1) - one[:, 0]])

    def vjp(self, batch, cotangents):
        pairs, first, second, values, slopes = self._terms(batch)
        charge, _, hidden, _ = self._layers(batch, first, second, values)
        by_two = cotangents[:, 3:6] + cotangents[:, 6:]
        by_hidden = np.zeros_like(hidden)
        np.add.at(by_hidden, second, values * by_two[first])
        by_one = cotangents[:, :3] + by_hidden * (1 - hidden**2) / 4
        by_one[:, 0] -= cotangents[:, 6]
        by_values = by_one[first] * charge[second] + by_two[first] * hidden[second]
        by_vectors = 2 * pairs.vectors * (by_values * slopes).sum(axis=1)[:, None]
        positions, strain = np.zeros((len(batch.numbers), 3)), np.zeros((len(batch), 3, 3))
        np.add.at(positions, second, by_vectors)
        np.subtract.at(positions, first, by_vectors)
        np.add.at(strain, owners(batch.offsets)[first], by_vectors[:, :, None] * pairs.vectors[:, None, :])
        return positions, strain
