"""A service on a socket: slow clients, clients that go away, signals."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

BODY = json.dumps({"structures": ["MgO"], "models": ["formula"]}).encode()
HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture(scope="module")
def served(model_files):
    """Return a service that is soon impatient, and its port."""
    from atomprint.service import Limits, Settings, create_app
    from atomprint.service.run import PatientProtocol, bound, server_of

    class Impatient(PatientProtocol):
        patience = 0.2

    app = create_app(model_files, Settings(watch=0, limits=Limits(receiving=0.3, workers=1)))
    server = server_of(app)
    server.config.http_protocol_class = server.config.http = Impatient
    listening = bound("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield app, listening.getsockname()[1]
    server.should_exit = True
    thread.join()
    listening.close()


def said(connection):
    """Return all that comes until the other side closes."""
    connection.settimeout(10)
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("start", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
def test_a_connection_on_which_no_request_begins_is_closed(served, start):
    with socket.create_connection(("127.0.0.1", served[1])) as connection:
        connection.sendall(start)
        assert said(connection) == b""


def test_a_body_that_does_not_arrive_is_not_waited_for(served):
    with socket.create_connection(("127.0.0.1", served[1])) as connection:
        connection.sendall(HEAD % 100 + b"{")
        answer = said(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"did not arrive within 0.3 s" in answer


def test_too_long_a_body_is_refused_by_its_head(served):
    with socket.create_connection(("127.0.0.1", served[1])) as connection:
        connection.sendall(HEAD % 10**15)
        assert said(connection).startswith(b"HTTP/1.1 413")


def test_a_client_that_goes_away_leaves_its_thread(served, monkeypatch):
    from atomprint.service import routes

    _, port = served
    begun, gone = threading.Event(), threading.Event()
    tickets = []

    def waiting(found, served, ticket, **_):
        tickets.append(ticket)
        begun.set()
        while not ticket.cancelled:  # as between two blocks of structures
            time.sleep(0.001)
        gone.set()
        ticket.check()

    monkeypatch.setattr(routes, "predict", waiting)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(HEAD % len(BODY) + BODY)
        assert begun.wait(10)
    assert gone.wait(10)
    monkeypatch.undo()
    for _ in range(3):  # the only thread is free again
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/predict", BODY, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200


def test_answers_do_not_wait_for_receipts(served, monkeypatch):
    from atomprint.service.run import PatientProtocol

    options = []
    wait = PatientProtocol._wait

    def noted(self):
        found = self.transport.get_extra_info("socket")
        options.append(found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        wait(self)

    monkeypatch.setattr(PatientProtocol, "_wait", noted)
    with urllib.request.urlopen(f"http://127.0.0.1:{served[1]}/health/live", timeout=10) as answer:
        assert answer.status == 200
    assert options
    assert all(options)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of POSIX")
def test_signals_exchange_models_and_stop_after_what_is_worked_on(model_files, tmp_path):
    path = tmp_path / "one.atomprint"
    path.write_bytes(model_files["volume"].read_bytes())
    command = [sys.executable, "-m", "atomprint.cli", "serve", str(path), "--port", "0"]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "ATOMPRINT_TOKEN": ""}
    )
    try:
        address = next(found[0] for line in server.stdout if (found := re.search(r"http://[\d.:]+", line)))

        def models():
            with urllib.request.urlopen(f"{address}/v1/models", timeout=10) as answer:
                return json.load(answer)["models"]

        assert models()[0]["inputs"] == "structures"
        (tmp_path / "new").write_bytes(model_files["formula"].read_bytes())
        (tmp_path / "new").replace(path)
        server.send_signal(signal.SIGHUP)
        while models()[0]["inputs"] == "structures":
            time.sleep(0.02)
        body = json.dumps({"structures": ["MgO"]}).encode()
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as connection:
            connection.sendall((HEAD % len(body)).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
            assert connection.recv(1000).startswith(b"HTTP/1.1 100")  # it is being read
            server.terminate()
            time.sleep(0.2)
            connection.sendall(body)
            assert said(connection).startswith(b"HTTP/1.1 200")
        _, err = server.communicate(timeout=30)
        assert server.returncode == 0, err
    finally:
        server.kill()
        server.communicate()
    lines = [json.loads(line[line.index("{") :]) for line in err.splitlines() if "atomprint.access" in line]
    assert {line["route"] for line in lines} == {"/v1/models", "/v1/predict"}
    assert "loaded anew: one" in err
