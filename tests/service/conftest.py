"""Two small models, served in process."""

import numpy as np
import pytest
from ase.build import bulk

from atomprint.datasets import Dataset, Target

fastapi = pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
pytest.importorskip("python_multipart")

CELLS = {"NaCl": 5.64, "KCl": 6.29, "MgO": 4.21, "LiF": 4.03, "CaO": 4.81, "NaF": 4.62, "KBr": 6.6, "LiCl": 5.13}


def rocksalts():
    """Return rocksalt crystals, and the volumes of their cells."""
    structures = [bulk(name, "rocksalt", a * scale) for name, a in CELLS.items() for scale in (0.97, 1.0, 1.03)]
    return structures, np.array([atoms.get_volume() for atoms in structures])


@pytest.fixture(scope="session")
def model_files(tmp_path_factory):
    """Return a model of structures, "volume", and one of formulas, "formula", both of trees."""
    from sklearn.ensemble import ExtraTreesRegressor

    from atomprint.descriptors import SOAP, ElementProperty
    from atomprint.learn import Problem
    from atomprint.workflow import PredictionInterval, TrainedModel, assemble

    folder = tmp_path_factory.mktemp("models")
    structures, volumes = rocksalts()
    target = Target(volumes, "Å^3", "Volume", "Of the primitive cell.")
    data = Dataset("salts", "Salts", structures, tuple(map(str, range(len(volumes)))), {"volume": target}, "", "", None)
    problem = Problem.of(data, "volume")
    for name, features in (
        ("volume", SOAP(r_cut=4.0, n_max=2, l_max=1, periodic=True, average="inner")),
        ("formula", ElementProperty(["mass", "group"], ["mean", "range"])),
    ):
        pipeline = assemble(features, ExtraTreesRegressor(5, random_state=0)).fit(structures, volumes)
        model = TrainedModel.of(pipeline, problem)
        model.card.__dict__["interval"] = PredictionInterval(0.9, 4.0)
        model.save(folder / f"{name}.atomprint")
    return {name: folder / f"{name}.atomprint" for name in ("volume", "formula")}


@pytest.fixture(scope="session")
def make(model_files):
    """Return what makes a client of a service with these models and limits."""
    from fastapi.testclient import TestClient

    from atomprint.service import Limits, Settings, create_app

    def made(models=None, *, token="", hosts=(), watch=0.0, store=None, **limits):
        settings = Settings(limits=Limits(**limits), token=token, hosts=hosts, watch=watch)
        return TestClient(create_app(models or model_files, settings, store=store), raise_server_exceptions=True)

    return made


@pytest.fixture(scope="module")
def client(make):
    with make() as client:
        yield client


@pytest.fixture(scope="session")
def salt():
    """Return NaCl as CIF text, with its symmetry."""
    return """data_NaCl
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na 0 0 0
Cl 0.5 0.5 0.5
"""
