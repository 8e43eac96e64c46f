"""The command line, ``atomprint``."""


def main() -> None:
    """Run the command line."""
    from atomprint.cli.app import app  # here, so that importing the package stays light

    app()
