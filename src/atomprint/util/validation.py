"""Checks of single parameters: each error names the parameter, the rule and the value."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from numbers import Integral, Real
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

_LONGEST = 1e7  # Å, as coordinates
_MOST_THREADS = 4096  # each has memory of its own


def meant(given: Any, known: Collection[str]) -> str:
    """Return ": did you mean 'n_max'?" for the known name that is most like a given one, nothing where none is."""
    plain = {_plain(name): name for name in known}
    close = get_close_matches(_plain(str(given)), plain, n=1)
    return f": did you mean {plain[close[0]]!r}?" if close else ""


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def check_integer(name: str, value: Any, minimum: int | None = None, maximum: int | None = None) -> int:
    """Return ``value`` as an int, or raise if it is not an integer between ``minimum`` and ``maximum``."""
    if not isinstance(value, Integral) or isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be an integer, got {value!r}{_quoted(value)}")
    if minimum is not None and int(value) < minimum:
        raise ValueError(f"{name} must be >= {minimum}, got {value}")
    if maximum is not None and int(value) > maximum:
        raise ValueError(f"{name} must be <= {maximum}, got {value}")
    return int(value)


def check_real(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
) -> float:
    """Return ``value`` as a float, or raise if it is not a finite number in the range."""
    if not isinstance(value, Real) or isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be a number, got {value!r}{_quoted(value)}")
    number = float(value)
    if not np.isfinite(number):
        raise ValueError(f"{name} must be finite, got {value}")
    if above is not None and not number > above:
        raise ValueError(f"{name} must be > {above:g}, got {value}")
    if at_least is not None and not number >= at_least:
        raise ValueError(f"{name} must be >= {at_least:g}, got {value}")
    if at_most is not None and not number <= at_most:
        raise ValueError(f"{name} must be <= {at_most:g}, got {value}")
    return number


def check_length(name: str, value: Any) -> float:
    """Return a length in Å as a float, or raise if it is not positive, or longer than any structure may be."""
    return check_real(name, value, above=0, at_most=_LONGEST)


def check_bool(name: str, value: Any) -> bool:
    """Return ``value`` as a bool, or raise if it is anything else."""
    if value is True or value is False:  # in every call
        return value
    if not isinstance(value, np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}{_quoted(value)}")
    return bool(value)


def check_periodic(value: Any) -> bool | str:
    """Return whether periodic boundaries count, True, False or "auto", or raise if it is anything else."""
    if isinstance(value, str) and value == "auto":
        return value
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"periodic must be True, False or 'auto', got {value!r}{_quoted(value)}")
    return bool(value)


def _quoted(value: Any) -> str:
    """Return a hint for a number or a truth value that was given as text."""
    if not isinstance(value, str):
        return ""
    try:
        float(value)
    except ValueError:
        return ": leave out the quotation marks" if value.strip().lower() in ("true", "false") else ""
    return ": leave out the quotation marks"


def check_choice(name: str, value: Any, choices: Collection[str]) -> str:
    """Return ``value``, or raise if it is not one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        hint = meant(value, choices) if isinstance(value, str) else ""
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}{hint}")
    return value


def check_keys(name: str, given: Any, required: Collection[str], optional: Collection[str] = ()) -> Mapping[str, Any]:
    """Return a dict that has just these keys, or raise."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{name} must be a dict, got {given!r}")
    known = [*required, *optional]
    unknown = [key for key in given if key not in known]
    if unknown:
        hint = meant(unknown[0], [key for key in known if key not in given])
        raise ValueError(f"{name} takes {known}, got {sorted(map(str, unknown))}{hint}")
    missing = [key for key in required if key not in given]
    if missing:
        raise ValueError(f"{name} needs {missing}, got {dict(given)!r}")
    return given


def check_names(name: str, given: Any, known: Collection[str]) -> tuple[str, ...]:
    """Return a sequence of one or more different known names, or raise; their order counts, so they are no set."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(f"{name} must be a sequence of names, got {given!r}")
    if not given:
        raise ValueError(f"{name} must name at least one, got none")
    for item in given:
        check_choice(name, item, known)
    if len(set(given)) < len(given):
        raise ValueError(f"{name} must be different from each other, got {tuple(given)}")
    return tuple(given)


def check_filled(name: str, given: Any) -> Mapping[Any, Any]:
    """Return a dict with something in it, or raise."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{name} must be None or a dict, got {given!r}")
    if not given:
        raise ValueError(f"{name} must be None or have entries, got {given!r}")
    return given


def check_dtype(value: Any) -> np.dtype[Any]:
    """Return ``value`` as a dtype, or raise if it is neither float32 nor float64."""
    try:
        dtype = None if value is None else np.dtype(value)  # which would take None for float64
    except (TypeError, ValueError):
        dtype = None
    if dtype not in (np.float32, np.float64):
        hint = meant(value, ("float64", "float32")) if isinstance(value, str) else ""
        raise ValueError(f"dtype must be 'float64' or 'float32', got {value!r}{hint}")
    return dtype


def check_species(value: Any) -> tuple[int, ...]:
    """Return chemical species given as symbols or atomic numbers as ascending atomic numbers."""
    listed = isinstance(value, Iterable) and hasattr(value, "__len__") and getattr(value, "ndim", 1) == 1
    if isinstance(value, str | bytes | Mapping) or not listed:
        raise TypeError(f"species must be a sequence of chemical symbols or atomic numbers, got {value!r}")
    if type(value) in (list, tuple) and set(map(type, value)) in ({str}, {int}):
        return _known_numbers_of(tuple(value))  # the usual case, checked in every call
    return _numbers_of(value)


def species_number(item: Any) -> int:
    """Return the atomic number of one species given as a symbol or an atomic number."""
    if isinstance(item, str):
        if item not in atomic_numbers or item == "X":
            hint = meant(item, chemical_symbols[1:]) if len(item) < 3 else ""
            raise ValueError(f"species must be chemical symbols or atomic numbers, got {item!r}{hint}")
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


def check_of_elements(name: str, given: Any, **bounds: float) -> dict[int, float]:
    """Return a dict of one number for each of some elements by atomic number, or raise.

    ``bounds`` are those of :func:`check_real`.
    """
    values: dict[int, float] = {}
    for key, value in check_filled(name, given).items():
        try:
            z = species_number(key)
        except (ValueError, TypeError) as error:
            raise type(error)(f"{name}: {error}") from None
        if z in values:
            raise ValueError(f"{name} must name each element once, got {chemical_symbols[z]} twice")
        values[z] = check_real(f"{name} of {chemical_symbols[z]}", value, **bounds)
    return values


_known_numbers_of = lru_cache(maxsize=256)(_numbers_of)


def check_n_jobs(value: Any, only_physical_cores: bool = False) -> int:
    """Return the number of threads: ``n`` for n > 0, and all cores but ``-n - 1`` for n < 0.

    With ``only_physical_cores`` the threads of one core count once among all cores.
    """
    check_bool("only_physical_cores", only_physical_cores)
    if value is None:
        return 1
    n_jobs = check_integer("n_jobs", value, maximum=_MOST_THREADS)
    if n_jobs == 0:
        raise ValueError("n_jobs must not be 0: give a number of threads, or -1 for all cores")
    if n_jobs > 0:
        return n_jobs
    from joblib import cpu_count  # what a batch system such as Slurm grants, not what is built in

    return max(1, cpu_count(only_physical_cores) + 1 + n_jobs)
