"""``atomprint potential``: fit, evaluate, look at and run interatomic potentials."""

import typer

from atomprint.cli.potential import models, runs

app = typer.Typer(
    help="Interatomic potentials: fitted to energies, forces and stresses, and run.", no_args_is_help=True
)
for command in (models.fit, models.evaluate, models.info, runs.relax, runs.md):
    app.command()(command)
