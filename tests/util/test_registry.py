"""The classes that files know by name."""

import importlib
import pkgutil
import subprocess
import sys

import pytest
from helpers.registry import REGISTRY
from sklearn.base import BaseEstimator

import atomprint
from atomprint import descriptors
from atomprint.descriptors import SOAP, Descriptor
from atomprint.util.registry import KNOWN, import_class, public


def test_every_public_class_is_known_where_models_are_loaded():
    for module in pkgutil.walk_packages(atomprint.__path__, "atomprint."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    door = "potentials as door; [getattr(door, name) for name in door.__all__]"  # as load_potential asks it
    for loader, own in (("workflow.saved.persist", False), (door, True)):  # potentials have other files
        code = f"import atomprint.{loader}; from atomprint.util.registry import KNOWN; print(*KNOWN)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert {name for name, found in KNOWN.items() if _of_potentials(found.cls) == own} <= set(done.stdout.split())


def test_every_estimator_can_be_in_a_saved_model():
    made = {cls.__name__ for cls in _made(BaseEstimator) if not _of_potentials(cls)}
    searches = {"OptunaSearch", "WideningGridSearch", "WideningRandomSearch"}  # the best estimator is saved
    graphs = {"NeighbourGraph", "ElementFeatures", "GaussianDistances", "BesselDistances"}  # no rows for our models
    assert made - searches - graphs <= set(KNOWN)


def test_every_descriptor_is_known_exported_and_tested():
    known = {found.cls for found in KNOWN.values() if issubclass(found.cls, Descriptor)}
    assert _made(Descriptor) == known == {type(descriptor) for descriptor in REGISTRY.values()}
    for name, found in KNOWN.items():
        assert name == found.cls.__name__.strip("_")
        if found.cls.__module__.startswith("atomprint.descriptors"):
            assert found.in_recipes
            assert getattr(descriptors, name) is found.cls
            assert name in descriptors.__all__


def _of_potentials(cls):
    return cls.__module__.startswith("atomprint.potentials.")


def _made(base):
    """Return the public classes of atomprint below one, without those that others build on."""
    own = {cls for cls in _below(base) if cls.__module__.startswith("atomprint.") and cls.__name__[0] != "_"}
    return {cls for cls in own if own.isdisjoint(cls.__subclasses__())}


def _below(cls):
    for one in cls.__subclasses__():
        yield one
        yield from _below(one)


def test_names_are_given_once_and_to_classes_of_atomprint():
    with pytest.raises(ValueError, match=r"public is for classes of atomprint, got .*Own: name it by its import path"):

        @public("Own", version=1)
        class Own:
            pass

    other = type("Other", (), {"__module__": "atomprint.other"})
    with pytest.raises(ValueError, match=r"'SOAP' must be given once, got atomprint.other.Other after .*soap.SOAP"):
        public("SOAP", version=1)(other)
    assert KNOWN["SOAP"].cls is SOAP


def test_classes_by_import_path():
    assert import_class("type", "sklearn.base.BaseEstimator", ("get_params",)) is BaseEstimator
    for path, message in (
        ("nowhere.Nothing", "type 'nowhere.Nothing' cannot be imported: No module named 'nowhere'"),
        ("sklearn.base.Nothing", "cannot be imported: module 'sklearn.base' has no attribute 'Nothing'"),
        (".Nothing", "cannot be imported"),
        ("sklearn.base.clone", "must be a class with get_params"),
        ("pathlib.Path", "must be a class with get_params"),
    ):
        with pytest.raises(ValueError, match=message):
            import_class("type", path, ("get_params",))


@pytest.mark.parametrize(
    ("text", "reason"),
    [("def (", "invalid syntax"), ("nothing", "name 'nothing' is not defined"), ("raise RuntimeError('no')", "no")],
)
def test_modules_that_cannot_be_run_are_named(tmp_path, monkeypatch, text, reason):
    (tmp_path / "broken_module.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=f"type 'broken_module.Mine' cannot be imported: {reason}"):
        import_class("type", "broken_module.Mine", ("get_params",))
