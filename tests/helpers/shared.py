"""Where real public data lie, for tests that are skipped without them."""

import os
from pathlib import Path

SHARED = Path(os.environ.get("ATOMPRINT_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
