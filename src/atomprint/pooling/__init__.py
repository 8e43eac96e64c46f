"""One row for each structure out of the rows of its centres, and the choice of centres."""

from atomprint.pooling.pooling import LocalFeatures, Plan, Pooling, PoolingPlan
from atomprint.pooling.sampling import CenterSampler, farthest_point

__all__ = ["CenterSampler", "LocalFeatures", "Plan", "Pooling", "PoolingPlan", "farthest_point"]
