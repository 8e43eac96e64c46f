"""What costs too much is refused before it costs, with an answer that says which limit it met."""

import gzip
import json
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest
from ase.build import bulk

from atomprint.service import Limits
from atomprint.service.problems import Problem
from atomprint.service.reading import Sent, read_sent
from atomprint.service.work import Ticket

SMALL = {"atoms": 20, "structures": 3, "all_atoms": 40, "body": 20_000, "text": 4_000, "pairs": 20_000}


@pytest.fixture(scope="module")
def small(make):
    with make(**SMALL) as client:
        yield client


def sites(n):
    rows = "".join(f"H{k} {k / n} 0 0\n" for k in range(n))
    loop = "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
    return loop + rows


def cell(a):
    angles = "".join(f"_cell_angle_{name} 90\n" for name in ("alpha", "beta", "gamma"))
    return "data_x\n" + "".join(f"_cell_length_{name} {a}\n" for name in "abc") + angles


def zipped(text):
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.cif", text)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            cell(90) + "_space_group_name_H-M_alt 'P 1'\n" + sites(30),
            "at least 30 atoms in its cell, and no more than 20",
        ),
        (cell(90) + "_space_group_name_H-M_alt 'F m -3 m'\n" + sites(9), "at least 36 atoms in its cell"),
        (
            cell(90) + "_space_group_name_H-M_alt 'P m -3 m'\n" + sites(1).replace("0.0 0 0", "0.1 0.2 0.3"),
            "at least 48 atoms in its cell",
        ),
        (cell(90) + "_a " + "x" * 5000, "may have 4000 characters"),
        ("30\n\n" + "H 0 0 0\n" * 30, "a structure may have 20 atoms here, this has 30"),
        ("999999999\n\nH 0 0 0\n", "must have 999999999 atoms, but the file ends before"),
        ("x\n1\n9 0 0\n0 9 0\n0 0 9\nH\n30\nDirect\n" + "0 0 0\n" * 30, "may have 20 atoms here, this has 30"),
        ({"sites": [{}] * 30, "lattice": {}}, "may have 20 atoms here, this has 30"),
        (json.dumps({"numbers": [1] * 30, "positions": []}), "may have 20 atoms here, this has 30"),
        ('{"a":' * 3000 + "1" + "}" * 3000, "nested too deeply"),
        ("{" + "[" * 3999, "no JSON"),
        ("20\n\n" + "".join(f"H {k % 3 * 0.6} {k // 3 % 3 * 0.6} {k // 9 * 0.6}\n" for k in range(20)), "too dense"),
        (gzip.compress(b"\x00" * 10**6), "unpacked it has more than the 20000 bytes"),
        (gzip.compress(b"data_x" * 100)[:20], "the compressed data are broken"),
        (zipped("data_x"), "a ZIP archive, and not unpacked here"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "this is no text"),
        ('1\nLattice="5 0 0 0 5000 0 0 0 5" Properties=species:S:1:pos:R:3\nNa 0 0 0\n', "may be 1000 Å long here"),
        ("2\n\nH 0 0 0\nH 0 0 2000\n", "may be 1000 Å long here, this is 2000 Å long"),
        ("H" * 300, "a formula may have 200 characters"),
        ("(" * 150, "(((("),
        ("data_a\n" * 2000, "more blocks or tags"),
    ],
    ids=range(21),
)
def test_a_structure_that_costs_too_much_is_refused(content, said):
    limits = Limits(**{**SMALL, "pairs": 300})
    name = "x.json" if isinstance(content, str) and content.startswith("{") else ""
    try:
        (reason,) = [f.reason for f in read_sent([Sent(content, name)], limits, Ticket(60)).failures]
    except Problem as problem:
        reason = problem.detail
    assert said in reason


def test_all_structures_together_have_limits(small, salt):
    many = small.post("/v1/predict", json={"structures": ["MgO"] * 4})
    assert many.status_code == 413
    assert "may have 3 structures" in many.json()["detail"]
    heavy = small.post("/v1/predict", json={"structures": ["12\n\n" + "H 0 0 0\n" * 12] * 3})
    assert heavy.status_code == 422  # these are no structures
    frames = "".join("15\n\n" + "".join(f"H {k} 0 0\n" for k in range(15)) for _ in range(3))
    heavy = small.post("/v1/predict", json={"structures": [frames]})
    assert (heavy.status_code, "may have 40 atoms" in heavy.json()["detail"]) == (413, True)
    lines = small.post("/v1/predict", json={"structures": [{"text": "MgO\n" * 9, "form": "formula"}]})
    assert lines.status_code == 413


def test_a_large_body_is_refused_before_it_is_read(small):
    answer = small.post("/v1/predict", content=b"x" * 30_000)
    assert answer.status_code == 413
    assert "may have 20000 bytes" in answer.json()["detail"]

    def pieces():
        for _ in range(10):
            yield b"x" * 5000

    assert small.post("/v1/predict", content=pieces()).status_code == 413


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"structures": [' + b"[]," * 400_001 + b"[]]}", 413, "JSON may have 400000 lists"),
        (b'{"structures": ["' + b"," * 1_200_001 + b'"]}', 413, "1200000 values"),
        (b'{"structures": ["MgO"], ' + b",".join(b'"%d": 1' % k for k in range(200)) + b"}", 422, "may have 100 keys"),
        (b'{"structures": [' + b"1," * 20_000 + b"1]}", 422, "at most 10000 items"),
        (b'{"structures": [1, {"text": "MgO", "forn": "cif"}]}', 422, "structures.0: must be text, a text with a name"),
    ],
    ids=range(5),
)
def test_json_that_would_take_far_more_memory_than_itself_is_refused(client, body, status, said):
    answer = client.post("/v1/predict", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text


@pytest.fixture
def slow(make, monkeypatch):
    """Return a service of one thread and one place in its queue, and an event until which its model waits."""
    from atomprint.service import routes

    free, begun = threading.Event(), threading.Semaphore(0)
    predict = routes.predict

    def waiting(found, served, ticket, **_):
        begun.release()
        assert free.wait(20)
        ticket.check()
        return predict(found, served, ticket)

    with make(workers=1, queue=1, seconds=0.5) as client:
        monkeypatch.setattr(routes, "predict", waiting)
        yield client, free, begun
        free.set()


def test_a_full_queue_says_when_to_come_back_and_nothing_is_lost(slow):
    client, free, begun = slow
    body = {"structures": ["MgO"], "models": ["formula"]}
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.post, "/v1/predict", json=body)
        begun.acquire()
        second = pool.submit(client.post, "/v1/predict", json=body)
        while client.app.state.desk.workers.waiting < 1:
            time.sleep(0.001)
        full = client.post("/v1/predict", json=body)
        assert full.status_code == 429
        assert int(full.headers["retry-after"]) >= 1
        assert first.result().status_code == 504  # it took longer than it may
        assert second.result().status_code == 504  # nor did the thread come free
        stuck = client.post("/v1/predict", json=body)
        assert (stuck.status_code, stuck.headers["retry-after"]) == (503, "5")
        assert client.get("/health/ready").status_code == 503
        assert client.get("/health/live").status_code == 200
    free.set()
    workers = client.app.state.desk.workers
    while workers.running or workers.waiting:
        time.sleep(0.001)
    assert client.post("/v1/predict", json=body).status_code == 200
    assert client.get("/health/ready").json()["ready"]
    assert 'atomprint_requests_refused_total{reason="queue_full"} 1.0' in client.get("/metrics").text


def test_a_dense_crystal_is_told_from_a_usual_one():
    found = read_sent(
        [
            Sent(
                {
                    "numbers": [29] * 4,
                    "positions": bulk("Cu", cubic=True).positions.tolist(),
                    "cell": [[3.6, 0, 0], [0, 3.6, 0], [0, 0, 3.6]],
                    "pbc": True,
                }
            )
        ],
        Limits(),
        Ticket(9),
    )
    assert not found.failures
