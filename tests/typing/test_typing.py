"""Code of users passes ``mypy --strict``, and what is wrong in it is found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import atomprint

HERE = Path(__file__).parent
SOURCE = Path(atomprint.__file__).parents[1]


@pytest.mark.slow  # 8 s, or 1 s with what mypy has kept
def test_code_of_users():
    pytest.importorskip("mypy")
    kept = HERE.parents[1] / ".mypy_cache" / "users"  # beside that of mypy itself; each has options of its own
    command = [sys.executable, "-m", "mypy", "--config-file", str(HERE / "mypy.ini"), "--cache-dir", str(kept)]
    path = {} if SOURCE.name == "site-packages" else {"MYPYPATH": str(SOURCE)}  # where mypy looks by itself
    found = subprocess.run(
        [*command, str(HERE / "users.py")], capture_output=True, text=True, env=os.environ | path, cwd=HERE, check=False
    )
    assert found.stdout + found.stderr == "Success: no issues found in 1 source file\n"


def test_types_come_with_the_package():
    assert (SOURCE / "atomprint" / "py.typed").exists()
    assert (SOURCE / "atomprint" / "_core.pyi").exists()
