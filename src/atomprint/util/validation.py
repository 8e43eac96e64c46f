"""Checks of single parameters: each error names the parameter, the rule and the value."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from numbers import Integral, Real
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from joblib import cpu_count


def check_integer(name: str, value: Any, minimum: int | None = None, maximum: int | None = None) -> int:
    """Return ``value`` as an int, or raise if it is not an integer between ``minimum`` and ``maximum``."""
    if not isinstance(value, Integral) or isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if minimum is not None and int(value) < minimum:
        raise ValueError(f"{name} must be >= {minimum}, got {value}")
    if maximum is not None and int(value) > maximum:
        raise ValueError(f"{name} must be <= {maximum}, got {value}")
    return int(value)


def check_real(name: str, value: Any, *, above: float | None = None, at_least: float | None = None) -> float:
    """Return ``value`` as a float, or raise if it is not a finite number in the range."""
    if not isinstance(value, Real) or isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be a number, got {value!r}")
    number = float(value)
    if not np.isfinite(number):
        raise ValueError(f"{name} must be finite, got {value}")
    if above is not None and not number > above:
        raise ValueError(f"{name} must be > {above:g}, got {value}")
    if at_least is not None and not number >= at_least:
        raise ValueError(f"{name} must be >= {at_least:g}, got {value}")
    return number


def check_bool(name: str, value: Any) -> bool:
    """Return ``value`` as a bool, or raise if it is anything else."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_choice(name: str, value: Any, choices: Collection[str]) -> str:
    """Return ``value``, or raise if it is not one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def check_dtype(value: Any) -> np.dtype[Any]:
    """Return ``value`` as a dtype, or raise if it is neither float32 nor float64."""
    try:
        dtype = np.dtype(value)
    except TypeError:
        dtype = None
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype must be 'float64' or 'float32', got {value!r}")
    return dtype


def check_species(value: Any) -> tuple[int, ...]:
    """Return chemical species given as symbols or atomic numbers as ascending atomic numbers."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable) or not hasattr(value, "__len__"):
        raise TypeError(f"species must be a sequence of chemical symbols or atomic numbers, got {value!r}")
    if type(value) in (list, tuple) and set(map(type, value)) in ({str}, {int}):
        return _known_numbers_of(tuple(value))  # the usual case, checked in every call
    return _numbers_of(value)


def species_number(item: Any) -> int:
    """Return the atomic number of one species given as a symbol or an atomic number."""
    if isinstance(item, str):
        if item not in atomic_numbers or item == "X":
            raise ValueError(f"species must be chemical symbols or atomic numbers, got {item!r}")
        return int(atomic_numbers[item])
    if isinstance(item, Integral) and not isinstance(item, bool | np.bool_):
        if not 1 <= int(item) < len(chemical_symbols):
            raise ValueError(f"species must be atomic numbers in 1..{len(chemical_symbols) - 1}, got {item}")
        return int(item)
    raise TypeError(f"species must be chemical symbols or atomic numbers, got {item!r}")


def _numbers_of(value: Any) -> tuple[int, ...]:
    numbers = {species_number(item) for item in value}
    if not numbers:
        raise ValueError("species must name at least one element, got none")
    return tuple(sorted(numbers))


_known_numbers_of = lru_cache(maxsize=256)(_numbers_of)


def check_n_jobs(value: Any, only_physical_cores: bool = False) -> int:
    """Return the number of threads: ``n`` for n > 0, and all cores but ``-n - 1`` for n < 0.

    With ``only_physical_cores`` the threads of one core count once among all cores.
    """
    check_bool("only_physical_cores", only_physical_cores)
    if value is None:
        return 1
    n_jobs = check_integer("n_jobs", value, maximum=2**31 - 1)
    if n_jobs == 0:
        raise ValueError("n_jobs must not be 0: give a number of threads, or -1 for all cores")
    if n_jobs > 0:
        return n_jobs
    # What a batch system such as Slurm grants, not what is built in.
    return max(1, cpu_count(only_physical_cores) + 1 + n_jobs)
