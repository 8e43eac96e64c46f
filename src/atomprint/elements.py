"""Element properties, and embeddings that keep features few where elements are many."""

from atomprint.chemistry.elements import (
    DEFAULT_PROPERTIES,
    N_ELEMENTS,
    ElementEmbedding,
    PropertyChannels,
    channel_table,
    element_embedding,
    element_properties,
    element_similarity,
    ground_states,
    pauling_electronegativity,
)

__all__ = [
    "DEFAULT_PROPERTIES",
    "N_ELEMENTS",
    "ElementEmbedding",
    "PropertyChannels",
    "channel_table",
    "element_embedding",
    "element_properties",
    "element_similarity",
    "ground_states",
    "pauling_electronegativity",
]
