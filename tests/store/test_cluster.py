"""A Dask cluster makes the same store, and a worker that is killed costs nothing."""

import os
import signal
import time
from threading import Thread

import pytest
from ase.io import write

from atomprint.store import FeatureStore, build_store

from .test_build import SMALL, crystals, files
from .test_processes import DEADLY

pytest.importorskip("pyarrow")
distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    (tmp_path / "deadly_descriptor.py").write_text(DEADLY)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(tmp_path)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=None) as made,
        distributed.Client(made, set_as_default=False) as client,
    ):
        yield made.scheduler_address, client


def test_workers_that_are_killed_lose_nothing_and_poison_costs_only_itself(cluster, tmp_path):
    address, client = cluster
    write(tmp_path / "some.extxyz", crystals(160))
    build_store(tmp_path / "threads", tmp_path / "some.extxyz", "SOAP", SMALL, block=8)
    pids = list(client.run(os.getpid).values())
    killer = Thread(target=lambda: (time.sleep(0.2), os.kill(pids[0], signal.SIGKILL)))
    killer.start()
    build_store(tmp_path / "s", tmp_path / "some.extxyz", "SOAP", SMALL, block=8, executor=f"dask:{address}")
    killer.join()
    assert files(tmp_path / "s") == files(tmp_path / "threads")

    given = crystals(2)
    given[1].numbers[0] = 47
    write(tmp_path / "few.extxyz", given)
    client.run_on_scheduler(lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", 0))
    build_store(tmp_path / "d", tmp_path / "few.extxyz", "deadly_descriptor.Deadly", executor=f"dask:{address}")
    (failed,) = FeatureStore.open(tmp_path / "d").failures().to_pylist()
    assert (failed["place"], failed["reason"]) == (1, "it kills the Dask worker that describes it")
