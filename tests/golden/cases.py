"""Golden values: reference features of random structures, with everything needed to compute them again.

``load_cases()`` reads the files that ``make_golden.py`` wrote. A test loops over the cases::

    for case in load_cases():
        descriptor = getattr(atomprint.descriptors, case.descriptor)(**case.kwargs)
        case.check(descriptor.create(case.structures, **case.create_arguments), rtol=1e-6)

Nothing here needs the program that the values come from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

HERE = Path(__file__).resolve().parent
FILES = ("matrices", "mbtr", "soap", "acsf")


@dataclass(frozen=True)
class GoldenCase:
    """One descriptor with one set of options, applied to a few structures.

    Attributes
    ----------
    name : str
        Unique, readable, usable as a test id.
    descriptor : str
        Name of the class.
    kwargs : dict
        Arguments of its constructor.
    structures : list of ase.Atoms
        Never empty.
    centers : list or None
        For each structure a list of atom indices or of Cartesian points; None where it was not given.
    create_kwargs : dict
        Further arguments of ``create``.
    expected : list of array
        One array for each structure, the features restricted to `features`.
    features : array of int or None
        Indices along the last axis that were kept; None where all were.
    shapes : list of tuple of int
        Full shape of the features of each structure.
    floor : float
        Fraction of the largest value down to which the expected values have a relative accuracy of 2e-7.
    """

    name: str
    descriptor: str
    kwargs: dict[str, Any]
    structures: list[Atoms]
    centers: list[list[Any]] | None
    create_kwargs: dict[str, Any]
    expected: list[NDArray[np.float64]]
    features: NDArray[np.int64] | None
    shapes: list[tuple[int, ...]]
    floor: float

    @property
    def create_arguments(self) -> dict[str, Any]:
        """Keyword arguments of ``create``, `centers` among them where they are given."""
        return self.create_kwargs if self.centers is None else {"centers": self.centers, **self.create_kwargs}

    def select(self, output: ArrayLike) -> NDArray[np.float64]:
        """The kept features of the output for one structure."""
        array = np.asarray(output, dtype=np.float64)
        return array if self.features is None else array[..., self.features]

    def deviations(self, outputs: Sequence[ArrayLike]) -> list[float]:
        """For each structure the largest deviation relative to the largest expected value."""
        return [
            float(np.abs(self.select(out) - want).max() / max(np.abs(want).max(), np.finfo(float).tiny))
            for out, want in zip(outputs, self.expected, strict=True)
        ]

    def check(self, outputs: Sequence[ArrayLike], rtol: float = 1e-6) -> None:
        """Assert that shapes and values agree.

        Parameters
        ----------
        outputs : sequence of array
            Features of each structure, as ``create`` returns them for a list.
        rtol : float
            Tolerance relative to each value, or to `floor` times the largest one of the structure where that
            is more: sums that cancel have no relative accuracy.
        """
        assert len(outputs) == len(self.expected), f"{self.name}: {len(outputs)} outputs"
        for i, (out, want, shape) in enumerate(zip(outputs, self.expected, self.shapes, strict=True)):
            assert np.shape(out) == shape, f"{self.name}, structure {i}: shape {np.shape(out)}, not {shape}"
            np.testing.assert_allclose(
                self.select(out),
                want,
                rtol=rtol,
                atol=rtol * self.floor * np.abs(want).max(),
                err_msg=f"{self.name}, structure {i}",
            )


def load_cases(*files: str) -> list[GoldenCase]:
    """All golden cases, or those of some files (``"soap"``, ``"matrices"``, ``"acsf"``)."""
    return [case for name in files or FILES for case in _read(HERE / f"{name}.npz")]


def _read(path: Path) -> Iterator[GoldenCase]:
    with np.load(path) as data:
        index = json.loads(str(data["index"]))
        values, features, geometry = data["values"], data["features"], data["geometry"]
    structures = {}
    for name, entry in index["structures"].items():
        block = geometry[entry["at"] : entry["at"] + len(entry["numbers"]) + 3]
        structures[name] = Atoms(entry["numbers"], positions=block[3:], cell=block[:3], pbc=entry["pbc"])
    for case in index["cases"]:
        kept = None
        if case["n_kept"] is not None:
            kept = features[case["features_at"] : case["features_at"] + case["n_kept"]].astype(np.int64)
        expected, at, shapes = [], case["values_at"], [tuple(s) for s in case["shapes"]]
        for shape in shapes:
            stored = shape if kept is None else (*shape[:-1], len(kept))
            size = int(np.prod(stored))
            expected.append(values[at : at + size].reshape(stored))
            at += size
        yield GoldenCase(
            name=case["name"],
            descriptor=case["descriptor"],
            kwargs=case["kwargs"],
            structures=[structures[s].copy() for s in case["structures"]],
            centers=case["centers"],
            create_kwargs=case["create_kwargs"],
            expected=expected,
            features=kept,
            shapes=shapes,
            floor=case["floor"],
        )
