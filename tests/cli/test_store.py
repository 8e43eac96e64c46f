"""``atomprint store``: from files to a store, and out of it again."""

import json
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


def test_a_script_for_slurm_is_the_command_with_a_share_for_each_job(source, tmp_path, monkeypatch):
    words = [
        "store",
        "build",
        str(tmp_path / "s"),
        str(source),
        "--slurm",
        str(tmp_path / "job.sh"),
        "--slurm-jobs",
        "3",
    ]
    monkeypatch.setattr("sys.argv", ["atomprint", *words])
    assert "sbatch" in run(*words[1:])
    text = (tmp_path / "job.sh").read_text()
    assert "#SBATCH --array=1-3" in text
    assert f'atomprint store build {tmp_path / "s"} {source} --jobs 1 --array "$SLURM_ARRAY_TASK_ID/3"' in text
    assert subprocess.run(["bash", "-n", tmp_path / "job.sh"], check=False).returncode == 0
    assert not (tmp_path / "s").exists()
    for job in range(1, 4):
        run("build", tmp_path / "s", source, *SMALL, "--block", "3", "--array", f"{job}/3")
    assert json.loads((tmp_path / "s" / "store.json").read_text())["block"] == 3
    assert "10 described" in run("info", tmp_path / "s")


@pytest.mark.parametrize("command", ["search s c.extxyz", "duplicates s", "store pick s -n 1 -o p.csv"])
def test_what_is_without_damaged_shards_says_so(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("c.extxyz", [bulk(name) for name in ("Cu", "Al", "Ni", "Ag")])
    for name in ("c", "d"):
        write(f"{name}.extxyz", [bulk("Cu"), bulk("Al")])
    run("build", "s", "c.extxyz", "d.extxyz", "-d", "SOAP", *SMALL)
    (next((tmp_path / "s" / "shards").iterdir()) / "shard.json").write_text("")
    assert "1 shard damaged" in runner.invoke(app, command.split()).output
