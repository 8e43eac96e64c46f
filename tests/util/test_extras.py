"""What is installed with which extra, and what messages say of it."""

import re
import tomllib
from pathlib import Path

import pytest

from atomprint.util.extras import ADDED, how_to_install, missing, require

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_a_missing_package_is_named_with_the_command_that_works_from_a_clone_too():
    with pytest.raises(
        ImportError, match=r"needs nowhere_to_be_found, which is not installed: pip install 'atomprint\[x\]'"
    ):
        require("nowhere_to_be_found", "x")
    assert how_to_install("xgboost").endswith("(in a clone of atomprint: pip install '.[xgboost]')")


def test_what_is_missing_is_told(monkeypatch):
    monkeypatch.setattr("atomprint.util.extras.find_spec", lambda module: object())
    assert list(missing()) == []
    monkeypatch.setattr("atomprint.util.extras.find_spec", lambda module: None if module == "optax" else object())
    assert list(missing()) == [("neural", "neural networks")]


@pytest.mark.skipif(not PROJECT.exists(), reason="installed without its sources")
def test_every_extra_is_told_with_the_modules_that_are_asked_for():
    extras = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(ADDED) == set(extras) - {"all", "docs", "test"}
    for path in (PROJECT.parent / "src").rglob("*.py"):
        for module, extra in re.findall(r'require\("(\w+)[\w.]*", "(\w+)"', path.read_text(encoding="utf-8")):
            assert module in ADDED[extra][1], path


@pytest.mark.skipif(not PROJECT.exists(), reason="installed without its sources")
def test_xgboost_comes_once_and_without_libraries_for_gpus_where_that_can_be():
    requirements = pytest.importorskip("packaging.requirements")
    extras = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    assert requirements.Requirement(everything).extras == {"data", "optuna", "report", "xgboost"}
    variants = [requirements.Requirement(text) for text in extras["xgboost"]]
    for system, machine in (
        ("linux", "x86_64"), ("linux", "aarch64"), ("linux", "ppc64le"), ("darwin", "arm64"), ("win32", "AMD64"),
    ):  # fmt: skip
        environment = {"sys_platform": system, "platform_machine": machine}
        names = [variant.name for variant in variants if variant.marker.evaluate(environment)]
        assert names == ["xgboost-cpu" if (system, machine) == ("linux", "x86_64") else "xgboost"]
