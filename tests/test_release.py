"""What is released says the same everywhere, and the changelog keeps up."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def entry(text, name):
    """Return the list below a key of a YAML file in which lists of texts are indented by blanks."""
    found = re.search(rf"^( *){re.escape(name)}:\n((?:\1  *- .*\n)+)", text, re.M)
    assert found, name
    return [line.strip().removeprefix("- ") for line in found[2].splitlines()]


def requirement(text):
    """Return the name and the bound of a requirement of either kind."""
    return tuple(re.fullmatch(r"([\w-]+)\s*(\S*)", text).groups())


def test_conda_needs_what_pip_needs():
    recipe = (ROOT / "packaging/conda/recipe.yaml").read_text(encoding="utf-8")
    run = {requirement(item) for item in entry(recipe, "run")} - {("python", "")}
    assert run == {requirement(item) for item in PROJECT["project"]["dependencies"]}
    host = {requirement(item) for item in entry(recipe, "host")} - {("python", ""), ("pip", "")}
    assert host == {requirement(item) for item in PROJECT["build-system"]["requires"]}
    for name, bound in PROJECT["tool"]["scikit-build"].items():
        if name in ("cmake", "ninja"):
            assert f"- {name} {bound['version']}" in recipe
    scripts = [f"{name} = {place}" for name, place in PROJECT["project"]["scripts"].items()]
    assert entry(recipe, "entry_points") == scripts
    assert entry(recipe, "license_file") == PROJECT["project"]["license-files"]
    assert f"  summary: {PROJECT['project']['description']}\n" in recipe


def test_citations_say_the_same():
    zenodo = json.loads((ROOT / ".zenodo.json").read_text(encoding="utf-8"))
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f'\ntitle: "{zenodo["title"]}"\n' in citation
    assert entry(citation, "keywords") == zenodo["keywords"]
    assert entry(citation, "authors") == [f"name: {person['name']}" for person in zenodo["creators"]]
    assert zenodo["creators"] == PROJECT["project"]["authors"]
    abstract = re.search(r"\nabstract: >-\n((?:  .*\n)+)", citation)[1]
    assert " ".join(abstract.split()) == zenodo["description"]
    for text in (f"\nlicense: {zenodo['license']}\n", "\ncff-version: 1.2.0\n"):
        assert text in f"\n{citation}"
    assert zenodo["license"] == PROJECT["project"]["license"]


def test_the_versions_of_python_are_those_that_are_tested():
    classifiers = PROJECT["project"]["classifiers"]
    told = [c.rpartition(" ")[2] for c in classifiers if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", c)]
    matrix = re.search(r"python: (\[.*\])", (ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))[1]
    assert json.loads(matrix) == told
    assert PROJECT["tool"]["cibuildwheel"]["build"] == [f"cp{version.replace('.', '')}-*" for version in told]
    assert PROJECT["project"]["requires-python"] == f">={told[0]}"


@pytest.fixture
def clone(tmp_path):
    """Return a function that runs a program in a repository with one commit, and gives its exit status and words."""
    if shutil.which("git") is None or shutil.which("bash") is None:
        pytest.skip("needs git and bash")
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")

    def run(*command):
        command = ("git", *who, *command[1:]) if command[0] == "git" else command
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    for name in ("src/code.py", "docs/page.md", "CHANGELOG.md", ".ci/changelog"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("# Changelog\n\n## 0.2.0 (unreleased)\n\n- x\n", encoding="utf-8")
    shutil.copy(ROOT / ".ci" / "changelog", tmp_path / ".ci" / "changelog")
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "first"), ("tag", "first")):
        assert run("git", *command)[0] == 0
    return run, tmp_path


def check(run, *arguments):
    return run("bash", ".ci/changelog", *arguments)


def test_changes_of_the_package_are_in_the_changelog(clone):
    run, folder = clone

    def change(name, message):
        (folder / name).write_text((folder / name).read_text(encoding="utf-8") + "y\n", encoding="utf-8")
        assert run("git", "commit", "-qam", message)[0] == 0

    assert check(run, "--since", "first") == (0, "")
    change("docs/page.md", "a page")
    assert check(run, "--since", "first") == (0, "")
    change("src/code.py", "code; no changelog: nobody says none")
    code, words = check(run, "--since", "first")
    assert code == 1
    assert "src/code.py" in words
    assert "docs/page.md" not in words
    change("CHANGELOG.md", "an entry")
    assert check(run, "--since", "first") == (0, "")
    assert check(run, "--since", "HEAD~1")[0] == 0
    change("src/code.py", "inside\n\nChangelog: none")
    assert check(run, "--since", "HEAD~1") == (0, "")
    assert check(run, "--since", "no-such-commit") == (2, "there is no commit no-such-commit\n")


def test_a_release_has_its_heading(clone):
    run, folder = clone
    code, words = check(run, "--release", "v0.2.0")
    assert code == 1
    assert "unreleased" in words
    (folder / "CHANGELOG.md").write_text("# Changelog\n\n## 0.2.0 (2027-01-31)\n\n## 0.1.0 (2026-12-01)\n", "utf-8")
    assert check(run, "--release", "v0.2.0") == (0, "")
    assert check(run, "--release", "v0.1.0")[0] == 1
    assert check(run, "--release", "v0.2")[0] == 1
    assert check(run, "--release", "v0x2x0")[0] == 1


def test_what_else_is_asked_gets_the_usage(clone):
    run, _ = clone
    for arguments in ((), ("--since",), ("--since", ""), ("--release", "0.1.0"), ("--other", "x")):
        code, words = check(run, *arguments)
        assert code == 2
        assert words.startswith("Tell whether CHANGELOG.md keeps up:\n")
