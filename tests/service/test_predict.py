"""Predictions over HTTP are those of the model, in every form in which structures come."""

import gzip
import json
from io import StringIO

import pytest
from ase.build import bulk
from ase.io import write

from atomprint.workflow import load_model


def asked(client, *structures, status=200, **options):
    answer = client.post("/v1/predict", json={"structures": list(structures), **options})
    assert answer.status_code == status, answer.text
    return answer.json()


def written(atoms, form):
    out = StringIO()
    write(out, atoms, format=form)
    return out.getvalue()


def pymatgen_dict(atoms):
    scaled = atoms.get_scaled_positions()
    symbols = atoms.get_chemical_symbols()
    sites = [{"species": [{"element": e, "occu": 1}], "abc": x.tolist()} for e, x in zip(symbols, scaled, strict=True)]
    return {"lattice": {"matrix": atoms.cell.tolist()}, "sites": sites}


@pytest.fixture(scope="module")
def expected(model_files):
    return load_model(model_files["volume"]).predict([bulk("NaCl", "rocksalt", 5.64, cubic=True)]).values[0]


@pytest.mark.parametrize("form", ["cif", "vasp", "extxyz", "json", "dict"])
def test_every_form_gives_the_prediction_of_the_model(client, form, expected, salt):
    atoms = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    given = pymatgen_dict(atoms)
    text = salt if form == "cif" else json.dumps(given) if form == "json" else written(atoms, "vasp")
    text = written(atoms, form) if form in ("vasp", "extxyz") else text
    found = asked(client, given if form == "dict" else text, models=["volume"])
    assert found["models"][0]["rows"][0]["value"] == pytest.approx(expected)
    assert found["structures"][0]["n_atoms"] == 8


def test_several_models_say_what_they_can(client, salt):
    found = asked(client, salt, "MgO")
    volume, formula = found["models"]
    assert [row["id"] for row in volume["rows"]] == ["0"]
    assert volume["failures"] == [
        {"row": 1, "id": "MgO", "step": "model", "reason": "model 'volume' needs structures, a formula is not enough"}
    ]
    assert [row["id"] for row in formula["rows"]] == ["0", "MgO"]
    assert volume["level"] == 0.9
    row = volume["rows"][0]
    assert row["lower"] == pytest.approx(row["value"] - 4)
    assert "is to hold the truth for 90 %" in row["in_words"]
    assert row["in_training"]
    assert "what it remembers" in row["domain_in_words"]


def test_what_is_unlike_the_training_is_said_in_words(client):
    rows = asked(client, "Fe2O3", models=["formula"])["models"][0]["rows"]
    assert not rows[0]["in_domain"]
    said = "Unlike what the model was trained with, or hard for it, so not to be relied on: "
    assert rows[0]["domain_in_words"].startswith(said)


def test_structures_come_back_as_they_were_read(client, salt):
    found = asked(client, salt, include_structures=True)["structures"][0]
    assert sorted(found["symbols"]) == ["Cl"] * 4 + ["Na"] * 4
    assert found["cell"][0] == [5.64, 0, 0]
    assert found["formula"] == "Na4Cl4"


def test_files_are_uploaded_and_named(client, salt):
    frames = written([bulk("NaCl", "rocksalt", 5.6), bulk("MgO", "rocksalt", 4.2)], "extxyz")
    files = [
        ("structures", ("salt.cif.gz", gzip.compress(salt.encode()))),
        ("structures", ("two.xyz", frames)),
        ("structures", ("POSCAR", written(bulk("LiF", "rocksalt", 4.0), "vasp"))),
    ]
    answer = client.post("/v1/predict", files=files, data={"structures": "MgO", "models": ["volume", "formula"]})
    found = answer.json()
    assert [entry["id"] for entry in found["structures"]] == ["MgO", "salt.cif.gz", "two.xyz#0", "two.xyz#1", "POSCAR"]
    assert len(found["models"][0]["rows"]) == 4
    assert len(found["models"][1]["rows"]) == 5


def test_one_that_cannot_be_read_does_not_hide_the_others(client, salt):
    found = asked(client, salt, "no formula", {"text": salt[:200], "name": "cut.cif"})
    assert [failure["row"] for failure in found["failures"]] == [1, 2]
    assert len(found["models"][0]["rows"]) == 1
    assert found["failures"][1]["id"] == "cut.cif"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 422, "structures: Field required"),
        ({"structures": []}, 422, "at least 1 item"),
        ({"structures": ["MgO"], "models": ["no"]}, 422, "there is no model 'no': there are volume, formula"),
        ({"structures": ["MgO"], "models": []}, 422, "models must name at least one"),
        ({"structures": ["MgO"], "modles": ["formula"]}, 422, "modles: Extra inputs are not permitted"),
        ({"structures": ["MgO"], "models": ["volume"]}, 422, "a formula is not enough"),
        ({"structures": [{"sites": 5}]}, 422, "the structure has no atoms"),
        ({"structures": [{"numbers": [1.5], "positions": [[0, 0, 0]]}]}, 422, "numbers must be a list of integers"),
        ({"structures": ["/etc/hostname"]}, 422, "/etc/hostname"),
        ({"structures": ["\n/etc/hostname\n"]}, 422, "/etc/hostname"),
        ({"structures": ["tests/service/conftest.py"], "models": ["formula"]}, 422, "formula"),
        ({"structures": [{"text": "print(1)", "name": "x.py"}]}, 422, "print(1)"),
    ],
)
def test_what_cannot_be_done_is_said(client, body, status, said):
    answer = client.post("/v1/predict", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"\xff\xfe\x00", "application/json", 400),
        (b'{"structures": [{"numbers": [1], "positions": [[NaN, 0, 0]]}]}', "application/json", 400),
        (b'{"structures": [{"numbers": [1], "positions": [[1e400, 0, 0]]}]}', "application/json", 422),
        (b'{"structures": ["\\ud800"]}', "application/json", 400),
        (b"MgO", "text/plain", 415),
        (b"x", "multipart/form-data", 400),
        (b"x", "multipart/form-data; boundary=y", 400),
        (b"--y\r\n\r\nMgO\r\n--y--", "multipart/form-data; boundary=y", 400),
        (b"--y--\r\n", "multipart/form-data; boundary=y", 422),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(client, body, kind, status):
    answer = client.post("/v1/predict", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_what_decided_is_what_changes_the_prediction(client, salt):
    found = asked(client, salt, explain=True)
    for model in found["models"]:
        because = model["rows"][0]["because"]
        assert because["unit"] == "Å^3"
        assert because["ways"]
        for way in because["ways"]:
            sizes = [abs(group["effect"]) for group in way["groups"]]
            assert sizes == sorted(sizes, reverse=True)
    assert {group["group"] for group in found["models"][1]["rows"][0]["because"]["ways"][0]["groups"]} <= {
        "mass",
        "group",
    }
    assert "explain is for 20 predictions" in asked(client, *["MgO"] * 11, explain=True, status=413)["detail"]


def test_an_effect_is_the_difference_to_the_mean_of_training(model_files):
    import numpy as np

    from atomprint.service.because import because
    from atomprint.service.work import Ticket

    model = load_model(model_files["formula"])
    columns = np.array([0, 1])
    (group,) = because(model, {"way": {"mass": columns, "none": np.array([], int)}}, {"Mg": 1, "O": 1}, Ticket(9))[
        "ways"
    ][0]["groups"]
    x = model.pipeline[0].transform([{"Mg": 1, "O": 1}])
    usual = x.copy()
    usual[:, columns] = model.domain.space.center[columns]
    assert group["effect"] == pytest.approx((model.pipeline[1].predict(x) - model.pipeline[1].predict(usual))[0])
