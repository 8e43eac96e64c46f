"""Parameters that are checked as soon as they are given, and never changed by what they belong to."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

from sklearn.base import BaseEstimator, clone


class CheckedParameters(BaseEstimator):
    """Base of estimators that check their parameters when they are made and when they are set.

    A subclass calls ``_initialise(locals())`` in ``__init__``, and gives ``_validate``.
    """

    def _initialise(self, parameters: dict[str, Any]) -> None:
        """Keep the constructor's arguments as they are, and check them."""
        for name in self._get_param_names():
            setattr(self, name, parameters[name])
        self._validate()

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name and check them together; nothing is changed if one of them is wrong."""
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
