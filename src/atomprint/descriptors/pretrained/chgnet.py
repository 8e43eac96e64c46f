"""CHGNet: messages along bonds and angles, whose convolutions are asked for the features of atoms."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from copy import deepcopy
from threading import local
from types import MappingProxyType
from typing import Any

from atomprint.descriptors.pretrained.network import Graph, Network, Tensor
from atomprint.descriptors.pretrained.weights import ENERGY

_ASKED = local()  # what the convolutions of this thread have given


class CHGNet(Network):
    """A potential of the package ``chgnet``."""

    needs_neighbours = True

    @classmethod
    def of(
        cls, content: bytes, name: str, identity: str, package: str, elements: frozenset[int] | None = None
    ) -> CHGNet:
        """Return the network of a checkpoint, in which there are numbers and names alone."""
        import torch
        from chgnet.model import CHGNet as Potential

        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)["model"]
        biased = any(
            key.startswith("atom_conv_layers.0.mlp_out") and key.endswith("bias") for key in found["state_dict"]
        )
        with redirect_stdout(io.StringIO()):  # it tells how many parameters it has
            module = Potential.from_dict(found, mlp_out_bias=biased)
        if not module.mlp_first or module.composition_model is None:
            raise ValueError(f"{name!r}: only networks with energies of atoms are known")
        for layer in module.atom_conv_layers:
            layer.register_forward_hook(_tell)
        width = int(module.atom_embedding.embedding.embedding_dim)
        layers = {**{f"layer {k + 1}": width for k in range(len(module.atom_conv_layers))}, ENERGY: 1}
        known = frozenset(range(1, 1 + module.atom_embedding.embedding.num_embeddings))
        cutoff = float(module.graph_converter.atom_graph_cutoff)
        return cls(name, module, MappingProxyType(layers), elements or known, cutoff, identity, package)

    def _layers(self, module: Any, numbers: Tensor, graph: Graph, vectors: Tensor) -> list[Tensor]:
        import torch
        from chgnet.model.model import BatchedGraph

        opposite = graph.opposite
        lengths = torch.linalg.vector_norm(vectors, dim=1)
        of_bonds, units = lengths[: len(lengths) // 2], vectors / lengths[:, None]
        one, other = graph.angles(float(module.graph_converter.bond_graph_cutoff))
        bonds = torch.from_numpy(one), torch.from_numpy(other)
        expand = module.bond_basis_expansion
        angles = module.angle_basis_expansion(units[bonds[0]], units[bonds[1]]) if len(one) else torch.zeros(0)
        centres = [torch.from_numpy(part) for part in (graph.first[one], opposite[one], opposite[other])]
        batched = BatchedGraph(
            atomic_numbers=numbers,
            bond_bases_ag=expand.rbf_expansion_ag(of_bonds),
            bond_bases_bg=expand.rbf_expansion_bg(of_bonds),
            angle_bases=angles,
            batched_atom_graph=torch.stack([torch.from_numpy(graph.first), torch.from_numpy(graph.second)], dim=1),
            batched_bond_graph=torch.stack(centres, dim=1),
            atom_owners=torch.zeros_like(numbers),
            directed2undirected=torch.from_numpy(opposite),
            atom_positions=[],
            strains=[],
            volumes=[],
        )
        with _asked() as found:
            energies = module._compute(batched, return_site_energies=True)["site_energies"]
        of_elements = module.composition_model.fc.weight[0, numbers - 1]
        return [*found, torch.cat(energies) + of_elements]

    def _in_double(self, module: Any) -> Any:
        return deepcopy(module).double()


def _tell(layer: Any, given: Any, output: Tensor) -> None:
    """Keep what a convolution has given, if anybody asks."""
    found = getattr(_ASKED, "found", None)
    if found is not None:
        found.append(output)


@contextmanager
def _asked() -> Iterator[list[Tensor]]:
    _ASKED.found = []
    try:
        yield _ASKED.found
    finally:
        del _ASKED.found
