"""Agreement with DScribe 2.1.2, over random structures and all options (see golden/make_golden.py)."""

import json
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from golden.cases import HERE, GoldenCase, load_cases

import atomprint.descriptors
from atomprint.descriptors import SOAP


@pytest.mark.filterwarnings("ignore:SOAP weighting 'exp' grows")
@pytest.mark.filterwarnings("ignore:periodic is False, but all structures repeat")
@pytest.mark.parametrize("case", load_cases(), ids=lambda case: case.name)
def test_agrees_with_dscribe(case: GoldenCase):
    descriptor = getattr(atomprint.descriptors, case.descriptor)(**case.kwargs)
    case.check(descriptor.create(case.structures, **case.create_arguments), rtol=1e-6)


def derivative_cases() -> list[dict[str, Any]]:
    with np.load(HERE / "derivatives.npz") as data:
        cases = json.loads(str(data["index"]))
        for case in cases:
            case |= {key: data[f"{case['name']}/{key}"] for key in ("positions", "features", "values")}
    return cases


@pytest.mark.parametrize("case", derivative_cases(), ids=lambda case: case["name"])
def test_derivatives_agree_with_dscribe(case: dict[str, Any]):
    atoms = Atoms(list(case["symbols"]), positions=case["positions"])
    derivatives = SOAP(**case["kwargs"]).derivatives(
        atoms, centers=case["centers"], attach=case["attach"], method="analytical", return_descriptor=False
    )
    assert derivatives.shape == tuple(case["shape"])
    values = case["values"]
    # Relative to each value down to 1e-4 of the largest: below, DScribe's own sums cancel.
    np.testing.assert_allclose(derivatives[..., case["features"]], values, rtol=1e-6, atol=1e-10 * np.abs(values).max())
