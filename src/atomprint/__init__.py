"""From atomic structures to descriptors, and from descriptors to trained, tested and trusted models."""

from importlib.metadata import version as _version

__version__ = _version("atomprint")
__all__ = ["__version__"]
