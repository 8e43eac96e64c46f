"""Agreement with DScribe 2.1.2, on random molecules and crystals over all options (see golden/make_golden.py)."""

import pytest
from golden.cases import GoldenCase, load_cases

import atomprint.descriptors


@pytest.mark.filterwarnings("ignore:SOAP weighting 'exp' grows")
@pytest.mark.parametrize("case", load_cases(), ids=lambda case: case.name)
def test_agrees_with_dscribe(case: GoldenCase):
    descriptor = getattr(atomprint.descriptors, case.descriptor)(**case.kwargs)
    case.check(descriptor.create(case.structures, **case.create_arguments), rtol=1e-6)
