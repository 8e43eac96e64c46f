"""README and pages: links lead somewhere, commands exist, figures have a command that makes them, cells run."""

import re

import pytest
from helpers.pages import PAGES, ROOT, anchors, blocks, commands, fault_of, is_executed, links, prose, sections

TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
EXECUTED = [name for name, text in TEXTS.items() if is_executed(text)]
# A number with a unit that somebody has measured
UNITS = r"ms|µs|us|ns|s|min|minutes|hours|GB|MB|kcal/mol|m?eV(?:/atom|/cell|/Å)?"
MEASURED = re.compile(rf"(?<![\w.])\d[\d.,]*\s*(?:{UNITS})(?![\w/])")
COMMAND = re.compile(r"(?:benchmarks|tests|examples|\.ci)/\w+|atomprint [a-z]+|\{code-cell\}|```python")


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name):
    dead = []
    for target in links(TEXTS[name]):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (ROOT / name).parent / path if path else ROOT / name
        if path.startswith("/"):
            found = ROOT / "docs" / path[1:]
        if (not found.exists() and not found.with_suffix(".md").exists()) or (
            anchor and found.suffix == ".md" and anchor not in anchors(found.read_text(encoding="utf-8"))
        ):
            dead.append(target)
    assert not dead


@pytest.mark.parametrize("name", TEXTS)
def test_commands_exist(name):
    faults = {command: fault for command in commands(TEXTS[name]) if (fault := fault_of(command))}
    assert not faults


@pytest.mark.parametrize("name", TEXTS)
def test_files_that_are_named_exist(name):
    named = re.findall(r"`((?:benchmarks|tests|examples|src|docs(?!/build)|cpp|\.ci)/[\w./-]+)`", prose(TEXTS[name]))
    own = re.findall(r"^# ([\w/]+\.\w+)$", TEXTS[name], re.M)  # files that the page itself has
    own += re.findall(r"^`([\w/.]+)`\n```", TEXTS[name], re.M)
    missing = [path for path in named if not (ROOT / path).exists() and path not in own]
    assert not missing


@pytest.mark.parametrize("name", TEXTS)
def test_figures_have_a_command(name):
    """Where something measured stands, in a table, a sentence or a picture, a command that makes it stands, too."""
    bare = []
    for section in sections(TEXTS[name]):
        text = prose(section.text)
        measured = MEASURED.findall(text) or re.findall(r"!\[[^]]*\]\([^)]*\)", text)
        if measured and not COMMAND.search(section.whole()):
            bare.append((section.title, measured[:3]))
    assert not bare


def test_faults_are_found():
    assert fault_of("atomprint trian recipe.toml") == "atomprint has no command trian"
    assert fault_of("atomprint train recipe.toml --minuts 3") == "atomprint train has no option --minuts"
    assert fault_of("atomprint store build mine.store x.csv --force") == "atomprint store build has no option --force"
    assert fault_of("python benchmarks/compare.py --quik") == "benchmarks/compare.py has no option --quik"
    assert fault_of("python benchmarks/compair.py") == "benchmarks/compair.py does not exist"
    assert fault_of("pip install 'atomprint[al]'") == "there is no extra al"
    assert fault_of("atomprint predict new.cif --sort -gap --top 10") is None
    assert list(commands("Run `atomprint demo`.\n```sh\npip install x && atomprint info a  # a card\n```\n")) == [
        "pip install x",
        "atomprint info a",
        "atomprint demo",
    ]
    assert anchors("# A b\n## A `b`\n```\n# no\n```\n") == {"a-b", "a-b-1"}
    assert list(links("[a](b.md#c) `[x](y)` ![p](q.png)")) == ["b.md#c", "q.png"]
    _, two = sections("# A\n3 s by `benchmarks/x.py`\n## B\n4 s\n")
    assert COMMAND.search(two.whole())
    assert not COMMAND.search(two.text)
    assert MEASURED.findall("takes 3.7 s of 10,000 crystals, 0.045 eV/cell") == ["3.7 s", "0.045 eV/cell"]


@pytest.mark.slow
@pytest.mark.parametrize("name", EXECUTED)
def test_cells_run_as_a_script(name, tmp_path, monkeypatch):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.chdir(tmp_path)
    pyplot.switch_backend("Agg")
    names = {}
    for language, text in blocks(TEXTS[name]):
        if language == "python":
            exec(compile(text, name, "exec"), names)
    pyplot.close("all")
