"""A script for Slurm's job arrays: each job describes its share of the blocks."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path


def script(command: Sequence[str], store: Path, n_jobs: int) -> str:
    """Return the text of a script.

    Parameters
    ----------
    command : sequence of str
        The command that builds the store, as it would be typed.
    store : Path
        The store, for the name of the job.
    n_jobs : int
        Number of jobs.
    """
    words = " ".join(map(shlex.quote, command))
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in store.absolute().name)
    return f"""#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --array=1-{n_jobs}
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --time=12:00:00
#SBATCH --requeue
# Submit with sbatch. A job that is killed, or started twice, costs and spoils nothing: what is complete is passed over.
set -euo pipefail
cd {shlex.quote(str(Path.cwd()))}
export OMP_NUM_THREADS=1
{words} --jobs 1 --array "$SLURM_ARRAY_TASK_ID/{n_jobs}"
"""
