"""Which structures are the same, however they are written, and how far others are from each other."""

from typing import TYPE_CHECKING

from atomprint.util.door import door

if TYPE_CHECKING:
    from atomprint.similarity.duplicates import Duplicates, Group, find_duplicates
    from atomprint.similarity.fingerprint import Fingerprint, distance, fingerprints

__getattr__, __dir__ = door(__name__)

__all__ = ["Duplicates", "Fingerprint", "Group", "distance", "find_duplicates", "fingerprints"]
