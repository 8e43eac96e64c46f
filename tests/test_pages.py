"""README and pages: links lead somewhere, commands exist, figures have a command that makes them, cells run."""

import builtins
import json
import re
import symtable
from importlib.util import module_from_spec, spec_from_file_location

import pytest
from helpers.pages import (
    PAGES,
    ROOT,
    anchors,
    blocks,
    commands,
    fault_of,
    is_executed,
    links,
    occur,
    prose,
    quotations,
    sections,
)

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


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "docs/accuracy.md"])
def test_quoted_figures_are_those_of_their_source(name):
    """What is quoted with a link to the page of measured figures stands there."""
    source = TEXTS["docs/accuracy.md"]
    wrong = [
        clause for clause, place in quotations(TEXTS[name], "accuracy.md") if not occur(clause, _part(source, place))
    ]
    assert not wrong


def _part(text, anchor):
    """Return the part of a page that an anchor leads to, with the parts below it; all of it without an anchor."""
    found = list(sections(text))
    return "\n\n".join(s.text for s in found if not anchor or any(anchor in anchors(f"# {t}") for t in _titles(s)))


def _titles(section):
    while section:
        yield section.title
        section = section.above


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
    page = "Measured ([a](accuracy.md#b)):\n\n| gap | 0.19 | 0.2 |\n\nNo 0.3. It is 4 % [less](accuracy.md); and 0.2.\n"
    assert list(quotations(page, "accuracy.md")) == [
        ("Measured ([a](accuracy.md#b)):", "b"),
        ("| gap | 0.19 | 0.2 |", "b"),
        ("It is 4 % [less](accuracy.md)", ""),
    ]
    assert occur("| a | 0.19 | 0.175", "| gap | 0.186 | **0.1752** |")
    assert not occur("| a | 0.175 | 0.19", "| gap | 0.186 | **0.1752** |")
    assert not occur("| a | 0.19 | 0.175", "| gap | 0.186 |\n| other | 0.175 |")
    assert occur("0.175 and 0.19", "| gap | 0.186 | **0.1752** |")
    assert not occur("0.1862", "0.186")
    assert not occur("4 % less", "6 % less")
    assert MEASURED.findall("takes 3.7 s of 10,000 crystals, 0.045 eV/cell") == ["3.7 s", "0.045 eV/cell"]


@pytest.fixture(scope="module")
def notebooks():
    """Return the module of the site that makes notebooks of pages."""
    spec = spec_from_file_location("notebooks", ROOT / "docs" / "_site" / "notebooks.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _global_names(table):
    """Return the names of a cell that are not those of its functions."""
    for symbol in table.get_symbols():
        if table.get_type() == "module" or symbol.is_global():
            yield symbol.get_name()
    for child in table.get_children():
        yield from _global_names(child)


def _first_need_of_a_solution(cells):
    """Return a name that a cell takes from a solution, with the cell; None if there is none."""
    known = {*dir(builtins), "__name__"}
    for cell in cells:
        if cell["cell_type"] == "code" and "tags" not in cell["metadata"]:
            table = symtable.symtable("".join(cell["source"]), "cell", "exec")
            known |= {
                s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()
            }
            if missing := set(_global_names(table)) - known:
                return sorted(missing), "".join(cell["source"])
    return None


@pytest.mark.parametrize("name", [name for name in EXECUTED if name != "docs/index.md"])  # which is not offered as one
def test_notebooks_hold_the_cells_and_run_without_the_solutions(name, notebooks):
    """Whoever does an exercise in another way has other names than its solution."""
    cells = json.loads(notebooks.notebook(TEXTS[name]))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert code == [text.rstrip("\n") for language, text in blocks(TEXTS[name]) if language == "python"]
    words = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert not re.findall(r"^:::.*|```\{.*|\{\w+\}`.*|\]\((?!\w+:).*", words, re.M)
    compile(notebooks.script(TEXTS[name]), name, "exec")
    assert _first_need_of_a_solution(cells) is None


def test_names_of_solutions_are_found(notebooks):
    hidden = "```{code-cell}\n---\ntags: [hide-cell]\n---\nx = 1\n```\n"
    page = hidden + "```{code-cell}\nprint([y * %s for y in range(3)])\n```\n"
    assert _first_need_of_a_solution(json.loads(notebooks.notebook(page % "x"))["cells"])[0] == ["x"]
    assert _first_need_of_a_solution(json.loads(notebooks.notebook(page % "2"))["cells"]) is None


@pytest.mark.pages
@pytest.mark.slow  # so that -m "not slow" leaves them out, too
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
