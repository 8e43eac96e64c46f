"""What the page on the service shows works as it says."""

import re
import threading
from pathlib import Path

from atomprint.service import Limits, Settings

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "service.md").read_text(encoding="utf-8")


def blocks():
    return re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_examples_run(model_files, tmp_path, monkeypatch, capsys):
    from atomprint.service.run import bound, server_of

    (tmp_path / "gaps.atomprint").write_bytes(model_files["formula"].read_bytes())
    monkeypatch.chdir(tmp_path)
    client, application = blocks()
    scope = {}
    exec(application, scope)
    listening = bound("127.0.0.1", 0)
    server = server_of(scope["app"])
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        exec(client.replace("127.0.0.1:8000", f"127.0.0.1:{listening.getsockname()[1]}"), {})
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["NaCl", "water.xyz"]
    assert "Unlike what the model was trained with" in lines[1]


def test_the_limits_are_those_of_the_program(client):
    limits = Limits()
    assert f"{limits.body // 2**20} MiB | `--max-body`" in TEXT
    assert f"{limits.structures}, {limits.all_atoms:,} | `--max-structures`" in TEXT
    assert f"{limits.atoms}; {limits.text // 2**20} MiB; {limits.pairs // 10**6} million" in TEXT
    assert f"{limits.numbers:,}; {limits.explained} |" in TEXT
    assert f"| {limits.seconds:g} | `--timeout`" in TEXT
    assert f"at most 4; {limits.queue} |" in TEXT
    assert f"| {limits.held // 2**20} MiB |" in TEXT
    assert f"| {limits.connections} |" in TEXT
    assert Settings().hosts
    for path in client.get("/openapi.json").json()["paths"]:
        assert path.replace("{name}", "NAME").removeprefix("/v1/models") in TEXT
