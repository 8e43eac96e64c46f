"""The page from a folder of files to a service is carried out, and prints what it says it prints."""

import contextlib
import re
import runpy
import shlex
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from atomprint.cli.app import app

PAGE = Path(__file__).parent.parent / "docs" / "from-files-to-a-service.md"


@contextlib.contextmanager
def serving(model, store):
    """Serve a model at a port that is free, and give its number."""
    from atomprint.service import Settings, create_app
    from atomprint.service.run import bound, server_of

    listening = bound("127.0.0.1", 0)
    server = server_of(create_app({model: Path(model) / "model.atomprint"}, Settings(), store=Path(store)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()


def pieces(line):
    """Return the words of a line, and its numbers; times are left out, since they differ."""
    line = re.sub(r"\d+(\.\d+)? s\b", "", line)
    number = r"(?<![\w-])-?\d+(?:\.\d+)?(?![\w-])"
    return re.sub(number, "#", line).split(), [float(text) for text in re.findall(number, line)]


def is_same(shown, printed):
    words, numbers = pieces(shown)
    others, found = pieces(printed)
    return words == others and numbers == pytest.approx(found, rel=0.02, abs=2e-4)


@pytest.mark.slow
def test_the_page(tmp_path, monkeypatch, capsys):
    for package in ("matplotlib", "pyarrow", "fastapi", "uvicorn", "prometheus_client", "python_multipart"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    names, output, n_shown = {}, "", 0
    with contextlib.ExitStack() as stack:
        stack.callback(sys.modules.pop, "alloys", None)
        port = 8000
        for language, text in re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
            first, _, rest = text.partition("\n")
            if language == "text":  # some of the lines that were printed, in their order
                lines = iter(output.splitlines())
                for shown in filter(str.strip, text.splitlines()):
                    assert shown.strip() == "…" or any(is_same(shown, line) for line in lines), shown + "\n" + output
                    n_shown += 1
                continue
            output = ""
            if first == "# alloys.py":
                Path("alloys.py").write_text(rest, encoding="utf-8")
            elif language == "python":
                capsys.readouterr()
                exec(compile(text.replace(":8000", f":{port}"), str(PAGE), "exec"), names)
                output = capsys.readouterr().out
            else:
                for line in text.splitlines():
                    program, *arguments = shlex.split(line)
                    if program == "python":
                        runpy.run_path(arguments[0], run_name="__main__")
                    elif arguments[0] == "serve":
                        assert arguments[2] == "--store"
                        port = stack.enter_context(serving(arguments[1], arguments[3]))
                    else:
                        result = CliRunner().invoke(app, arguments)
                        assert result.exit_code == 0, result.output + str(result.exception)
                        output += result.output
    assert n_shown > 30
