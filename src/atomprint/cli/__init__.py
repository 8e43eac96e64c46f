"""The command line, ``atomprint``. Needs the extra ``cli``; what a command needs beyond is imported in it."""

import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command line."""
    for module in ("typer", "rich"):
        if find_spec(module) is None:
            print(
                f"atomprint: the command line needs {module}, which is not installed. "
                "Install it with: pip install 'atomprint[cli]'",
                file=sys.stderr,
            )
            raise SystemExit(1)
    from atomprint.cli.app import app

    app()
