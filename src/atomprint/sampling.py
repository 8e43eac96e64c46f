"""Which atoms to look at in a large cell: random, farthest-point, by element."""

from atomprint.pooling.sampling import CenterSampler, farthest_point

__all__ = ["CenterSampler", "farthest_point"]
