"""``python -m atomprint.cli``."""

from atomprint.cli import main

main()
