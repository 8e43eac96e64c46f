"""Ctrl-C stops what takes long, and does so before it is done."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.interrupted import JOBS

SCRIPT = Path(__file__).parents[2] / "helpers" / "interrupted.py"
FEW = ("soap-threads", "acsf-one-centre", "mbtr", "mbtr-overlapped")


def interrupted(name):
    """Start a computation, send it the signal once it runs, and return what it says."""
    command = [sys.executable, str(SCRIPT), name]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    ) as job:
        try:
            assert job.stdout.readline() == "started\n"
            time.sleep(0.3)  # whether it is in compiled code by then makes no difference to what is right
            job.send_signal(signal.SIGINT)
            return job.communicate(timeout=60)[0]
        finally:
            job.kill()


@pytest.mark.skipif(os.name == "nt", reason="there is no signal to send")
@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in FEW else pytest.mark.slow) for name in JOBS])
def test_the_keyboard_stops_what_takes_minutes(name):
    assert interrupted(name) == "interrupted\n"
