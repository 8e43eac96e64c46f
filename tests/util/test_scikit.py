"""What derives from scikit-learn's classes does so whether these are imported before it, after it or never."""

import subprocess
import sys

import pytest

MAKE = """
import pickle, sys
from ase.build import molecule
from atomprint.descriptors import SOAP
from atomprint.pooling import Pooling
class Own(SOAP):
    def transform(self, X):
        return 2 * super().transform(X)
class Bare(SOAP, auto_wrap_output_keys=None):
    pass
soap = Own(species=["H", "O"], r_cut=3.0, n_max=2, l_max=1, average="inner", pooling=None)
water = [molecule("H2O")]
"""
USE = """
X = soap.fit(water).transform(water)
soap.derivatives(water), soap.vjp(water, soap.create(water)), soap.get_params(), pickle.dumps(soap)
Pooling("max").fit_transform([X, X]), soap.get_feature_names_out()
"""
LEARN = """
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import get_tags
assert isinstance(soap, BaseEstimator) and issubclass(Own, TransformerMixin) and isinstance(Pooling(), BaseEstimator)
assert Own.__mro__.index(TransformerMixin) < Own.__mro__.index(BaseEstimator)
assert get_tags(soap).transformer_tags is not None and not get_tags(soap).input_tags.two_d_array
copy = clone(soap).set_output(transform="pandas").fit(water)
table = copy.transform(water)
assert list(table.columns) == list(copy.get_feature_names_out())
assert (table.to_numpy() == soap.transform(water)).all() and type(soap.transform(water)).__name__ == "ndarray"
assert (copy.fit_transform(water).to_numpy() == soap.transform(water)).all()
assert not hasattr(Bare(r_cut=3.0, n_max=2, l_max=1), "set_output") and hasattr(soap, "set_output")
assert "r_cut=3.0" in repr(soap) and soap.get_metadata_routing() is not None
class Late(SOAP):
    def transform(self, X):
        return 3 * super().transform(X)
late = Late(**soap.get_params()).set_output(transform="pandas")
assert type(late.fit_transform(water)).__name__ == "DataFrame" and isinstance(late, BaseEstimator)
"""
LOADED = "assert 'sklearn' in sys.modules\n"
NOT_LOADED = "assert not {'sklearn', 'pandas', 'scipy.stats'} & set(sys.modules)\n"


def run(code):
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_computing_needs_no_scikit_learn_and_learning_finds_its_own_classes():
    pytest.importorskip("pandas")
    run(MAKE + USE + NOT_LOADED + LEARN + USE)


def test_scikit_learn_first():
    pytest.importorskip("pandas")
    run("import sklearn.base\n" + MAKE + LEARN + USE)


@pytest.mark.parametrize("asked", ["repr(soap)", "soap.set_output(transform='default')", "soap._repr_html_()"])
def test_what_is_scikit_learns_is_asked_of_it(asked):
    made = "import sys\nfrom atomprint.descriptors import SOAP\nsoap = SOAP(r_cut=3.0, n_max=2, l_max=1)\n"
    run(made + NOT_LOADED + asked + "\n" + LOADED)


def test_an_import_that_was_stopped_can_be_tried_again():
    pytest.importorskip("pandas")
    run(
        MAKE
        + """
class Stops:
    def find_spec(self, name, path, target=None):
        if name == "sklearn.utils._tags":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Stops())
try:
    repr(soap)
    raise AssertionError
except KeyboardInterrupt:
    del sys.meta_path[0]
"""
        + LEARN
    )


def test_a_loader_of_many_modules_loads_them_all():
    pytest.importorskip("pandas")
    run(
        MAKE
        + """
from importlib.machinery import PathFinder
class Frozen:  # finder and loader of everything, as of programs in one file
    loaders = {}
    def find_spec(self, name, path, target=None):
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            self.loaders[name], spec.loader = spec.loader, self
        return spec
    def create_module(self, spec):
        return self.loaders[spec.name].create_module(spec)
    def exec_module(self, module):
        self.loaders[module.__name__].exec_module(module)
sys.meta_path.insert(1, Frozen())
"""
        + LEARN
    )


def test_another_thread_may_be_importing_scikit_learn_meanwhile():
    pytest.importorskip("pandas")
    run(
        """
import sys, threading, time
begun = threading.Event()
class Slow:
    def find_spec(self, name, path, target=None):
        if name == "sklearn.utils._tags":
            begun.set()
            time.sleep(0.3)
sys.meta_path.insert(0, Slow())
thread = threading.Thread(target=__import__, args=("sklearn.base",))
thread.start()
begun.wait()
"""
        + MAKE
        + "thread.join()"
        + LEARN
    )


def test_not_fitted_is_scikit_learns_own_error():
    run(
        """
from ase.build import molecule
from atomprint.descriptors import SOAP
try:
    SOAP(r_cut=3.0, n_max=2, l_max=1).create(molecule("H2O"))
except ValueError as error:
    from sklearn.exceptions import NotFittedError
    assert type(error) is NotFittedError
"""
    )
