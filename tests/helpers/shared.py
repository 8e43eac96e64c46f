"""Where real public data lie, and the mark of tests that need them."""

import os
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(os.environ.get("ATOMPRINT_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))


def needs_shared(test: Any) -> Any:
    """Skip a test where the data are not; reading them takes seconds."""
    return pytest.mark.slow(pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the data in {SHARED}")(test))
