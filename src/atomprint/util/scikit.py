"""The base classes of scikit-learn, which takes longer to import than all else and is not needed to compute.

What derives from :class:`Estimator` and :class:`Transformer` derives from scikit-learn's own classes from the moment on
in which ``sklearn.base`` is imported, by whomever: nobody can tell the difference, for to ask takes that import.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["Estimator", "Transformer"]

_MODULE = "sklearn.base"

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator as Estimator
    from sklearn.base import TransformerMixin as Transformer
else:
    _defined: dict[type, dict[str, Any]] = {}  # classes so far, and what else their definitions say

    def _awaited(*names: str) -> type:
        """Return what stands where a class of scikit-learn will: asked for methods of that, it imports it.

        There are two of them that have nothing in common, or Python cannot exchange one after the other.
        """

        def init_subclass(cls: type, **given: Any) -> None:
            _defined.setdefault(cls, given)
            super(awaited, cls).__init_subclass__()

        awaited = type("Awaited", (), {"__init_subclass__": init_subclass, **{name: _asks(name) for name in names}})
        return awaited

    def _asks(name: str) -> Callable[..., Any]:
        def method(self: Any, *args: Any, **given: Any) -> Any:
            importlib.import_module(_MODULE)
            found = getattr(self, name)
            return found(*args, **given) if callable(found) else found

        return method

    class Estimator(
        _awaited("__repr__", "__sklearn_tags__", "_repr_html_", "_repr_mimebundle_", "get_metadata_routing")
    ):
        """``sklearn.base.BaseEstimator``."""

    class Transformer(_awaited("set_output")):
        """``sklearn.base.TransformerMixin``; stands before an :class:`Estimator`."""

    def _derive(base: ModuleType) -> None:
        """Put scikit-learn's classes in their places, and let them see the classes that were defined before."""
        Estimator.__bases__ = (base.BaseEstimator,)
        Transformer.__bases__ = (base.TransformerMixin,)
        for cls, given in _defined.items():
            super(Transformer if issubclass(cls, Transformer) else Estimator, cls).__init_subclass__(**given)
        _defined.clear()

    class _Finder(MetaPathFinder):
        """Has :func:`_derive` called whenever ``sklearn.base`` has been imported, however it is found."""

        def find_spec(
            self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
        ) -> ModuleSpec | None:
            if name != _MODULE:
                return None
            others = (finder for finder in sys.meta_path if finder is not self)
            spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader)
            return spec

    class _Loader(Loader):
        """Loads as another does, which may load other modules too."""

        def __init__(self, loader: Loader) -> None:
            self._loader = loader

        def create_module(self, spec: ModuleSpec) -> ModuleType | None:
            return self._loader.create_module(spec)

        def exec_module(self, module: ModuleType) -> None:
            self._loader.exec_module(module)
            _derive(module)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._loader, name)

    if _MODULE in sys.modules:
        _derive(importlib.import_module(_MODULE))  # which another thread may be about to complete
    else:
        sys.meta_path.insert(0, _Finder())
