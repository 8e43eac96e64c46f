"""What no matter does: by this a run that has gone wild is known."""

from __future__ import annotations

import numpy as np
from ase import Atoms

_LOST = 1e4  # eV/Å: no force of matter


def check_forces(atoms: Atoms, what: str) -> None:
    """Raise if forces are not finite, or larger than any of matter.

    Parameters
    ----------
    atoms : Atoms
        With a calculator.
    what : str
        What has gone wild, and when: "run has gone wild at step 3".

    Raises
    ------
    RuntimeError
        If a force is beyond 10000 eV/Å, or not finite.
    """
    force = float(np.abs(atoms.get_forces(apply_constraint=False)).max())
    if not force < _LOST:
        raise RuntimeError(
            f"the {what}: a force is {force:.3g} eV/Å. The structure may be far from the training data, or the steps "
            "too long"
        )
