"""``atomprint store``: from files to a store, and out of it again."""

import subprocess

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from typer.testing import CliRunner

from atomprint.cli.app import app

pytest.importorskip("pyarrow")
runner = CliRunner()
SMALL = ("-s", "r_cut=3.5", "-s", "n_max=2", "-s", "l_max=1", "--threads", "-j", "1")


def run(*arguments, code=0):
    done = runner.invoke(app, ["store", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


@pytest.fixture
def source(tmp_path):
    given = [bulk("NaCl", "rocksalt", a=5 + 0.1 * number) for number in range(10)]
    for number, atoms in enumerate(given):
        atoms.info = {"gap": float(number)}
    write(tmp_path / "some.extxyz", given)
    return tmp_path / "some.extxyz"


def test_from_files_to_a_store_and_out_of_it(source, tmp_path):
    store = tmp_path / "s"
    assert "10 rows described, 0 failed" in run("build", store, source, *SMALL)
    assert "10 rows were there before" in run("build", store, source, *SMALL)
    (tmp_path / "more.csv").write_text('cif,gap\n"no cif",1\n')
    assert "1 row: structure: this is neither" in run("add", store, tmp_path / "more.csv", "--threads")
    shown = run("info", store, "--failures")
    for text in ("10 described, 1 failed", "2: Na, Cl", "gap", "SOAP (version", "more.csv, line 2"):
        assert text in shown
    assert "11 rows" not in run("verify", store)
    for ending in (".csv", ".csv.gz", ".parquet", ".npz"):
        run("export", store, "-o", tmp_path / f"out{ending}", "--where", "gap >= 7")
    with np.load(tmp_path / "out.npz") as arrays:
        assert arrays["features"].shape == (3, len(arrays["names"]))
        assert arrays["gap"].tolist() == [7, 8, 9]
    assert (tmp_path / "out.csv").read_text().startswith("id,formula,n_atoms,gap,source,key,")


def test_damage_is_found_and_mended(source, tmp_path):
    store = tmp_path / "s"
    run("build", store, source, *SMALL)
    (shard,) = (store / "shards").iterdir()
    before = (shard / "rows.parquet").read_bytes()
    (shard / "rows.parquet").write_bytes(before[:-1] + b"?")
    shown = run("verify", store, code=1)
    assert "rows.parquet is not what was written" in shown
    assert "1 shard damaged: the command that built the store mends them" in shown
    run("build", store, source, *SMALL)
    assert (shard / "rows.parquet").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-s", "r_cut"), "must look like"),
        (("-d", "SOAPY"), "did you mean"),
        (("--max-failures", "few"), "must be a share"),
        (("--array", "5/4"), "must look like 3/16"),
        (("-s", 'pooling="none"'), "pooling"),
    ],
)
def test_mistakes_are_told(arguments, message, source, tmp_path):
    assert message in run("build", tmp_path / "s", source, "--threads", *arguments, code=1)
    assert not (tmp_path / "s").exists()


def test_a_script_for_slurm_fills_the_store_that_it_comes_with(source, tmp_path, monkeypatch):
    words = ["build", tmp_path / "s", source, *SMALL, "--block", "3", "--slurm", tmp_path / "job.sh"]
    words += ["--slurm-jobs", "2"]
    monkeypatch.setattr("sys.argv", ["atomprint", "store", *map(str, words)])
    assert "sbatch" in run(*words)
    assert "2: Na, Cl" in run("info", tmp_path / "s")  # no job has to look which elements there are
    assert "#SBATCH --array=1-2\n" in (tmp_path / "job.sh").read_text()
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    done = subprocess.run(["bash", tmp_path / "job.sh"], capture_output=True, text=True, check=False)
    assert "4 rows described" in done.stdout, done.stderr
    assert "6 rows described" in run("build", tmp_path / "s", source, *SMALL, "--array", "1/2")
    run("build", tmp_path / "whole", source, *SMALL, "--block", "3")
    kept, expected = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).glob("shards/*/*")}
        for name in ("s", "whole")
    )
    assert kept == expected
    assert "give one of them" in run(*words, "--array", "1/2", code=1)


@pytest.mark.parametrize("command", ["search s c.extxyz", "duplicates s", "store pick s -n 1 -o p.csv"])
def test_what_is_without_damaged_shards_says_so(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("c.extxyz", [bulk(name) for name in ("Cu", "Al", "Ni", "Ag")])
    for name in ("c", "d"):
        write(f"{name}.extxyz", [bulk("Cu"), bulk("Al")])
    run("build", "s", "c.extxyz", "d.extxyz", "-d", "SOAP", *SMALL)
    (next((tmp_path / "s" / "shards").iterdir()) / "shard.json").write_text("")
    assert "1 shard damaged" in runner.invoke(app, command.split()).output
