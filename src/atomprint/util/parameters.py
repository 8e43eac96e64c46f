"""Parameters that are checked as soon as they are given, and never changed by what they belong to."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from typing import Any, Self

from atomprint.util.scikit import Estimator
from atomprint.util.validation import meant

_ANY_POSITION, _ANY_NAME = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD


class CheckedParameters(Estimator):
    """Base of estimators that check their parameters when they are made and when they are set.

    A subclass calls ``_initialise(locals())`` in ``__init__``, and gives ``_validate``.
    """

    # Names of attributes from which nothing follows that is kept; see :mod:`atomprint.util.memo`.
    _unwatched: Collection[str] = ()

    def __new__(cls, *args: Any, **given: Any) -> Self:
        """Refuse names that are no parameters, with the name that was meant, which Python's own message lacks."""
        if given:
            _check_parameters(cls, given, TypeError)
        return super().__new__(cls)

    def _initialise(self, parameters: dict[str, Any]) -> None:
        """Keep the constructor's arguments as they are, and check them."""
        for name in self._get_param_names():
            setattr(self, name, parameters[name])
        self._validate()

    @classmethod
    def _get_param_names(cls) -> list[str]:
        return sorted(_parameters(cls.__init__)[0])

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; if ``deep`` also those of parameters that have some, as ``a__b``."""
        found: dict[str, Any] = {}
        for name in self._get_param_names():
            value = getattr(self, name)
            if deep and hasattr(value, "get_params") and not isinstance(value, type):
                found.update({f"{name}__{key}": inner for key, inner in value.get_params().items()})
            found[name] = value
        return found

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name and check them together; nothing is changed if one of them is wrong."""
        _check_parameters(type(self), (name.partition("__")[0] for name in params), ValueError)
        from sklearn.base import BaseEstimator, clone

        trial = clone(self)
        try:
            BaseEstimator.set_params(trial, **params)
        except AttributeError as error:  # a parameter of something that is not there, such as pooling=None
            raise ValueError(f"set_params: no such parameter: {error}") from error
        trial._validate()
        super().set_params(**params)
        return self

    @abstractmethod
    def _validate(self) -> None:
        """Check all parameters; raise ``ValueError`` or ``TypeError``."""


@lru_cache(maxsize=256)
def _parameters(init: Callable[..., None]) -> tuple[tuple[str, ...], bool]:
    """Return the names of the parameters of a constructor, and whether it takes any others."""
    parameters = list(inspect.signature(init).parameters.values())[1:]
    named = [parameter for parameter in parameters if parameter.kind not in (_ANY_POSITION, _ANY_NAME)]
    return tuple(parameter.name for parameter in named), any(parameter.kind is _ANY_NAME for parameter in parameters)


def _check_parameters(cls: type[Any], names: Iterable[str], error: type[Exception]) -> None:
    known, any_other = _parameters(cls.__init__)
    if any_other:
        return
    for name in names:
        if name not in known:
            hint = meant(name, known) or f", which takes {', '.join(known)}"
            raise error(f"Invalid parameter {name!r} of {cls.__name__}{hint}")
