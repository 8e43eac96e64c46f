"""Descriptors and known materials over HTTP."""

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from atomprint.descriptors import SOAP
from atomprint.service.describing import BOUNDS


@pytest.fixture(scope="module")
def known(make, tmp_path_factory):
    """Return a service with a store of rocksalt crystals."""
    pytest.importorskip("pyarrow")
    from atomprint.store import build_store

    folder = tmp_path_factory.mktemp("known")
    frames = []
    for name, a in (("NaCl", 5.64), ("KCl", 6.29), ("MgO", 4.21)):
        for scale in (0.99, 1.01):
            frames.append(bulk(name, "rocksalt", a * scale))
            frames[-1].info.update(name=f"{name}-{scale}", gap=a)
    write(folder / "salts.xyz", frames, format="extxyz")
    parameters = {"r_cut": 4.0, "n_max": 2, "l_max": 1}
    build_store(folder / "store", folder / "salts.xyz", "SOAP", parameters, id="name", targets="gap")
    with make(store=folder / "store") as client:
        yield client


def asked(client, structure, status=200, **options):
    answer = client.post("/v1/similar", json={"structure": structure, **options})
    assert answer.status_code == status, answer.text
    return answer.json()


def test_similar_materials_come_nearest_first_and_say_what_differs(known, salt):
    about = known.get("/v1/store").json()
    assert (about["rows"], about["descriptor"], about["targets"]) == (6, "SOAP", ["gap"])
    assert known.get("/health/ready").json()["store"]
    found = asked(known, salt, k=3, explain=True)
    assert {one["id"] for one in found["neighbours"][:2]} == {"NaCl-0.99", "NaCl-1.01"}
    distances = [one["distance"] for one in found["neighbours"]]
    assert distances == sorted(distances)
    assert found["neighbours"][0]["targets"] == {"gap": 5.64}
    assert "elements" in found["neighbours"][2]["explanation"]
    assert found["in_words"].startswith("The 3 of 6 materials in the store that are most like it by SOAP")
    some = asked(known, salt, where="gap < 5")
    assert [one["formula"] for one in some["neighbours"]] == ["MgO", "MgO"]
    assert asked(known, salt, where="gap < 1")["neighbours"] == []
    assert known.app.state.desk.known.reload() is None


def test_a_store_that_grew_is_opened_anew(make, tmp_path, salt):
    pytest.importorskip("pyarrow")
    from atomprint.store import build_store

    write(tmp_path / "a.xyz", bulk("NaCl", "rocksalt", 5.6), format="extxyz")
    given = {"r_cut": 4.0, "n_max": 2, "l_max": 1}
    build_store(tmp_path / "s", tmp_path / "a.xyz", "SOAP", given)
    with make(store=tmp_path / "s") as client:
        look = client.app.state.desk.known.look
        write(tmp_path / "b.xyz", bulk("NaCl", "rocksalt", 5.7), format="extxyz")
        build_store(tmp_path / "s", tmp_path / "b.xyz")
        look()  # more may come
        assert client.get("/v1/store").json()["rows"] == 1
        look()
        assert client.get("/v1/store").json()["rows"] == 2
        assert len(asked(client, salt)["neighbours"]) == 2


def test_what_cannot_be_sought_is_said(known, salt):
    assert "a formula is not enough" in asked(known, "NaCl", 422)["detail"]
    assert "which the store does not know" in asked(known, salt.replace("Na 0", "Ag 0"), 422)["detail"]
    assert "there is no 'no', but id" in asked(known, salt, 422, where="no > 1")["detail"]
    assert "this text has 2" in asked(known, salt + salt.replace("data_NaCl", "data_2"), 422)["detail"]
    assert asked(known, salt, 422, where="__import__('os').system('true')")["status"] == 422
    asked(known, "/etc/hostname", 422)


def described(client, name, *structures, status=200, **parameters):
    answer = client.post(f"/v1/descriptors/{name}", json={"structures": list(structures), "parameters": parameters})
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_descriptor_gives_the_numbers_of_the_package(client, salt):
    found = described(client, "SOAP", salt, r_cut=4.0, n_max=2, l_max=1)
    atoms = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    soap = SOAP(r_cut=4.0, n_max=2, l_max=1, pooling="mean").fit([atoms])
    assert found["names"] == list(soap.get_feature_names_out())
    assert np.allclose(found["rows"][0]["values"], soap.transform([atoms])[0])
    assert found["parameters"]["r_cut"] == 4.0


@pytest.mark.parametrize("name", BOUNDS)
def test_every_descriptor_works_by_defaults(client, name, salt):
    found = described(client, name, salt)
    assert len(found["rows"][0]["values"]) == len(found["names"]) > 0


def test_atoms_have_rows_without_a_pooling_and_formulas_where_they_are_enough(client, salt):
    found = described(client, "SOAP", salt, pooling="none", n_max=2)
    assert [row["id"] for row in found["rows"]] == [f"0/{k}" for k in range(8)]
    found = described(client, "ElementProperty", "NaCl", "no formula")
    assert (len(found["rows"]), found["failures"][0]["row"]) == (1, 1)


@pytest.mark.parametrize(
    ("name", "parameters", "status", "said"),
    [
        ("SOPA", {}, 404, "did you mean 'SOAP'"),
        ("os.system", {}, 404, "there is no descriptor"),
        ("SOAP", {"r_cut": 50}, 422, "r_cut must be a number from 0.5 to 8.0, got 50"),
        ("SOAP", {"n_max": 10**9}, 422, "n_max must be a number from 1 to 12"),
        ("SOAP", {"n_max": 2.5}, 422, "n_max"),
        ("SOAP", {"species_embedding": "os.system"}, 422, "is no parameter of SOAP here"),
        ("SOAP", {"average": "no"}, 422, "average must be one of off, inner, outer"),
        ("SOAP", {"pooling": "none"}, 413, "an answer may have 2000 numbers"),
    ],
)
def test_parameters_have_bounds(make, name, parameters, status, said, salt):
    with make(numbers=2000) as client:
        assert said in described(client, name, salt, status=status, **parameters)["detail"]


def test_a_service_without_a_store_says_so(client, salt):
    for answer in (client.get("/v1/store"), client.post("/v1/similar", json={"structure": salt})):
        assert (answer.status_code, "no store is served here" in answer.json()["detail"]) == (404, True)
    names = [one["name"] for one in client.get("/v1/descriptors").json()["descriptors"]]
    assert names == list(BOUNDS)


def test_many_elements_and_large_matrices_are_refused_before_they_are_made(client):
    numbers = list(range(1, 31))
    positions = [[3.0 * k, 0.0, 0.0] for k in range(30)]
    many = {"numbers": numbers, "positions": positions}
    assert "up to 20 elements" in described(client, "ACE", many, status=422)["detail"]
    line = {"numbers": [1] * 900, "positions": [[k % 30, k // 30, 0] for k in range(900)]}
    assert "would make 810000" in described(client, "CoulombMatrix", line, status=413)["detail"]
