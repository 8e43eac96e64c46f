"""A crystal graph network: atoms, their neighbours and a few convolutions, trained, tested and plotted.

The network has the shape of CGCNN (T. Xie, J. C. Grossman, Phys. Rev. Lett. 120, 145301 (2018)): atoms begin as a
vector for their element, gated convolutions add what neighbours say, the mean over atoms is the crystal, and two layers
make a number of it. It needs PyTorch (``pip install 'atomprint[torch,report]'``)::

    python examples/crystal_graph_network.py                              # bulk moduli of 71 elemental crystals
    python examples/crystal_graph_network.py mine.csv --target gap        # any file that atomprint reads
    python examples/crystal_graph_network.py matbench_perovskites --epochs 40     # fold 1 of a task of Matbench

Errors that it prints while it learns are in standard deviations of the target; that of the test samples is in its unit.
"""

from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from atomprint.datasets import Dataset, load_dcdft, load_matbench, read_dataset
from atomprint.graphs import ElementFeatures, GaussianDistances, GraphBatch, GraphDataset, NeighbourGraph

NEIGHBOURS = NeighbourGraph(r_cut=8.0, n_nearest=12, ties="cut")
NODES, EDGES = ElementFeatures(["properties", "one_hot"]), GaussianDistances(r_max=8.0, n=41)


class Convolution(nn.Module):
    """Adds to each atom what its neighbours say, through a gate: equation 5 of the paper."""

    def __init__(self, width: int, n_edge_features: int) -> None:
        super().__init__()
        self.of_atom = nn.Linear(width, 2 * width)
        self.of_neighbour = nn.Linear(width, 2 * width, bias=False)
        self.of_edge = nn.Linear(n_edge_features, 2 * width, bias=False)
        self.scale_messages, self.scale_sums = nn.BatchNorm1d(2 * width), nn.BatchNorm1d(width)

    def forward(self, atoms: torch.Tensor, edges: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return the atoms after one step."""
        center, neighbour = edges
        # One linear layer of [atom, neighbour, edge] is the sum of three, of which two need be done only for each atom.
        said = self.of_atom(atoms).index_select(0, center) + self.of_neighbour(atoms).index_select(0, neighbour)
        messages = self.scale_messages(said + self.of_edge(features))
        gate, core = messages.chunk(2, dim=1)
        sums = torch.zeros_like(atoms).index_add_(0, center, torch.sigmoid(gate) * nn.functional.softplus(core))
        return nn.functional.softplus(atoms + self.scale_sums(sums))


class CrystalGraphNetwork(nn.Module):
    """A number for each crystal."""

    def __init__(
        self, n_node_features: int, n_edge_features: int, width: int = 64, n_convolutions: int = 3, hidden: int = 128
    ) -> None:
        super().__init__()
        self.embedding = nn.Linear(n_node_features, width)
        self.convolutions = nn.ModuleList(Convolution(width, n_edge_features) for _ in range(n_convolutions))
        self.to_hidden, self.to_number = nn.Linear(width, hidden), nn.Linear(hidden, 1)

    def forward(self, batch: GraphBatch) -> torch.Tensor:
        """Return a number for each crystal, shape (n_structures,)."""
        atoms = self.embedding(batch.nodes)
        for convolution in self.convolutions:
            atoms = convolution(atoms, batch.edges, batch.edge_features)
        n = torch.bincount(batch.owners, minlength=len(batch))
        crystals = torch.zeros(len(batch), atoms.shape[1], dtype=atoms.dtype).index_add_(0, batch.owners, atoms)
        crystals = self.to_hidden(nn.functional.softplus(crystals / n[:, None]))
        return self.to_number(nn.functional.softplus(crystals))[:, 0]


def predict(network: nn.Module, data: GraphDataset) -> np.ndarray:
    """Return what the network says of all structures."""
    network.eval()
    with torch.no_grad():
        loader = DataLoader(data, batch_size=256, collate_fn=data.collate)
        return torch.cat([network(batch) for batch in loader]).numpy()


def train(
    data: GraphDataset, valid: GraphDataset, valid_y: np.ndarray, epochs: int, batch_size: int, rate: float, seed: int
) -> CrystalGraphNetwork:
    """Return the network, as it was after the epoch that was best for the validation samples."""
    torch.manual_seed(seed)
    sample = data.batch([0])
    network = CrystalGraphNetwork(sample.nodes.shape[1], sample.edge_features.shape[1])
    # A last batch of few crystals would disturb the statistics by which messages are scaled.
    rest = len(data) > batch_size
    loader = DataLoader(data, batch_size, shuffle=True, collate_fn=data.collate, drop_last=rest)
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, epochs * len(loader), pct_start=0.2)
    best, state = np.inf, network.state_dict()
    start = time.process_time()
    for epoch in range(epochs):
        network.train()
        losses = []
        for batch in loader:
            loss = nn.functional.l1_loss(network(batch), batch.y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        error = np.abs(predict(network, valid) - valid_y).mean()
        if error <= best:
            best, state = error, copy.deepcopy(network.state_dict())
        if (epoch + 1) % max(1, epochs // 20) == 0 or epoch == 0:
            took = time.process_time() - start
            shown = f"training {np.mean(losses):.4f}  validation {error:.4f}  {took:.0f} s"
            print(f"epoch {epoch + 1:4d}  {shown}", flush=True)
    network.load_state_dict(state)
    return network


def parts(source: str, target: str | None, seed: int) -> tuple[Dataset, str, list[np.ndarray]]:
    """Return a data set, the name of its target, and which structures are for training, validation and testing."""
    if source == "dcdft":
        dataset = load_dcdft()
    else:
        is_task = Path(source).name.startswith("matbench_")
        path = source if Path(source).exists() else None
        task = Path(source).name.partition(".")[0]
        dataset = load_matbench(task, path=path) if is_task else read_dataset(source, targets=target)
    name = target or ("bulk_modulus" if source == "dcdft" else next(iter(dataset.targets)))
    dataset = dataset if dataset.folds else dataset.where_known(name)
    order = np.random.default_rng(seed).permutation(len(dataset))
    rest, test = dataset.folds[0] if dataset.folds else (order[: -len(order) // 5], order[-len(order) // 5 :])
    rest = np.random.default_rng(seed).permutation(rest)
    n = max(1, len(rest) // 20 if len(rest) > 1000 else len(rest) // 8)
    return dataset, name, [rest[n:], rest[:n], test]


def plot(y: np.ndarray, predicted: np.ndarray, label: str, path: Path) -> None:
    """Draw predictions over what is known."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.subplots()
    ends = [min(y.min(), predicted.min()), max(y.max(), predicted.max())]
    axes.plot(ends, ends, color="0.6", lw=1)
    axes.plot(y, predicted, ".", ms=8 if len(y) < 200 else 2, alpha=0.6)
    axes.set(xlabel=label, ylabel="by the network", aspect="equal")
    axes.set_title(f"test samples: mean absolute error {np.abs(y - predicted).mean():.3g}", fontsize=9)
    figure.savefig(path, dpi=150)


def main(
    folder: Path = Path(),
    source: str = "dcdft",
    target: str | None = None,
    epochs: int = 100,
    rate: float = 4e-3,
    seed: int = 0,
) -> dict[str, Any]:
    Path(folder).mkdir(parents=True, exist_ok=True)
    dataset, name, indices = parts(source, target, seed)
    y = np.asarray(dataset.targets[name].values, dtype=np.float64)
    mean, std = y[indices[0]].mean(), y[indices[0]].std()
    graphs = NEIGHBOURS.create(dataset)
    data = [GraphDataset(graphs.pick(part), y=(y[part] - mean) / std, nodes=NODES, edges=EDGES) for part in indices]
    print(f"{dataset.title}: {name}; {', '.join(map(str, map(len, data)))} to train, validate, test; {graphs}")
    batch_size = 64 if len(data[0]) > 1000 else 8
    network = train(data[0], data[1], (y[indices[1]] - mean) / std, epochs, batch_size, rate, seed)
    predicted = predict(network, data[2]) * std + mean
    errors = {
        "network": float(np.abs(predicted - y[indices[2]]).mean()),
        "mean": float(np.abs(y[indices[2]] - mean).mean()),
    }
    unit, title = dataset.targets[name].unit, dataset.targets[name].title or name
    print(f"Test: mean absolute error {errors['network']:.4f} {unit}, of the mean {errors['mean']:.4f} {unit}")
    plot(y[indices[2]], predicted, f"{title} ({unit})" if unit else title, Path(folder) / "crystal_graph_network.png")
    return {"errors": errors, "network": network, "predicted": predicted, "y": y[indices[2]]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="dcdft", help="a file, or the name of a task of Matbench")
    parser.add_argument("--target", help="what to learn; the first by default")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--rate", type=float, default=4e-3, help="the highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path(), help="where the plot goes")
    options = parser.parse_args()
    main(options.folder, options.source, options.target, options.epochs, options.rate, options.seed)
