"""SevenNet: equivariant message passing, whose layers are asked for their scalars after each gate."""

from __future__ import annotations

from copy import deepcopy
from tempfile import NamedTemporaryFile
from types import MappingProxyType
from typing import Any

from atomprint.descriptors.pretrained.network import Graph, Network, Tensor
from atomprint.descriptors.pretrained.weights import ENERGY

_GATE, _ONE_HOT, _LAST = "_equivariant_gate", "onehot_idx_to_onehot", "rescale_atomic_energy"


class SevenNet(Network):
    """A potential of the package ``sevenn``."""

    @classmethod
    def of(cls, content: bytes, name: str, identity: str, package: str) -> SevenNet:
        """Return the network of a checkpoint whose content is trusted."""
        from sevenn.checkpoint import SevenNetCheckpoint

        with NamedTemporaryFile(suffix=".pth") as file:  # the package reads files alone, this one what was looked at
            file.write(content)
            file.flush()
            module = SevenNetCheckpoint(file.name).build_model()
        widths = {
            f"layer {int(key.partition('_')[0]) + 1}": _n_scalars(part)
            for key, part in module.named_children()
            if key.endswith(_GATE)
        }
        layers = MappingProxyType({**widths, ENERGY: 1})
        elements = frozenset(map(int, module.type_map))
        return cls(name, module, layers, elements, float(module.cutoff), identity, package)

    def _layers(self, module: Any, numbers: Tensor, graph: Graph, vectors: Tensor) -> list[Tensor]:
        import torch

        table = torch.full((120,), -1)
        table[list(module.type_map)] = torch.tensor(list(module.type_map.values()))
        bonds = torch.from_numpy(graph.first), torch.from_numpy(graph.second)
        data = {"x": table[numbers], "atomic_numbers": numbers, "edge_index": torch.stack(bonds), "edge_vec": vectors}
        found = []
        for key, part in module.named_children():
            data = part(data)
            if key == _ONE_HOT:  # in single precision, whatever that of the network
                data = {name: x.to(vectors.dtype) if x.is_floating_point() else x for name, x in data.items()}
            elif key.endswith(_GATE):
                found.append(data["x"][:, : _n_scalars(part)])
            elif key == _LAST:
                return [*found, data["atomic_energy"]]
        raise RuntimeError(f"{self.package}: the network has no part {_LAST!r}: install a version that is known")

    def _in_double(self, module: Any) -> Any:
        return deepcopy(module).double()


def _n_scalars(gate: Any) -> int:
    """Return how many scalars a gate gives, which come first."""
    return int(gate.gate.irreps_out.count("0e"))
