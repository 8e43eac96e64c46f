"""Features of many structures in a folder: built piece by piece, never half-written, read by rows."""

from typing import TYPE_CHECKING

from atomprint.util.door import door

if TYPE_CHECKING:
    from atomprint.store.build import Built, TooManyFailuresError, build_store
    from atomprint.store.explain import Explanation
    from atomprint.store.feature_store import FeatureStore
    from atomprint.store.map import StoreMap
    from atomprint.store.opened import StoreBlock, StoreInfo
    from atomprint.store.plan import Plan
    from atomprint.store.search import Hits
    from atomprint.store.where import Condition

__getattr__, __dir__ = door(__name__)

__all__ = [
    "Built",
    "Condition",
    "Explanation",
    "FeatureStore",
    "Hits",
    "Plan",
    "StoreBlock",
    "StoreInfo",
    "StoreMap",
    "TooManyFailuresError",
    "build_store",
]
