"""Who may ask, what every answer has, what is counted and logged, and how models are exchanged."""

import json
import logging
import shutil

import pytest
from typer.testing import CliRunner

from atomprint.cli.app import app
from atomprint.service.settings import Settings, hosts_of, token_from
from atomprint.service.shelf import Shelf, named_paths

TOKEN = "0123456789abcdef0123"


def test_health_models_and_openapi_tell_what_there_is(client):
    assert client.get("/health/live").json()["live"]
    ready = client.get("/health/ready").json()
    assert (ready["ready"], ready["models"], ready["store"]) == (True, ["volume", "formula"], False)
    volume, formula = client.get("/v1/models").json()["models"]
    assert (volume["inputs"], formula["inputs"]) == ("structures", "compositions")
    assert client.get("/v1/models/volume").json()["domain"]["n_samples"] == 24
    assert client.get("/v1/models/no").status_code == 404
    described = client.get("/openapi.json").json()
    assert {"/v1/predict", "/v1/models", "/metrics"} <= set(described["paths"])
    kinds = described["paths"]["/v1/predict"]["post"]["requestBody"]["content"]
    assert set(kinds) == {"application/json", "multipart/form-data"}
    assert "PredictRequest" in described["components"]["schemas"]


def test_every_answer_has_an_id_and_says_what_a_browser_may_do_with_it(client):
    for answer in (client.get("/health/live"), client.get("/nothing"), client.delete("/v1/predict")):
        assert len(answer.headers["x-request-id"]) == 32
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert client.get("/nothing").json()["detail"] == "there is nothing at this address"
    assert client.delete("/v1/predict").headers["allow"] == "POST"
    own = client.get("/nothing", headers={"X-Request-ID": "mine-1"})
    assert own.headers["x-request-id"] == own.json()["request_id"] == "mine-1"
    foreign = client.get("/nothing", headers={"X-Request-ID": "a b\u00e9".encode("latin-1")})
    assert len(foreign.headers["x-request-id"]) == 32


def test_a_token_is_asked_for_where_there_is_one(make):
    with make(token=TOKEN) as client:
        for path in ("/v1/models", "/metrics"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert client.get(path, headers={"Authorization": "Bearer é".encode("latin-1")}).status_code == 401
            assert client.get(path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert client.post("/v1/predict", json={"structures": ["MgO"]}).status_code == 401
        assert client.get("/health/ready").status_code == 200
        assert client.get("/openapi.json").json()["security"] == [{"token": []}]


@pytest.mark.parametrize("token", ["short", "with a blank in it and long", "é" * 20])
def test_a_token_that_keeps_no_secret_is_refused(token):
    with pytest.raises(ValueError, match="ATOMPRINT_TOKEN must have"):
        token_from({"ATOMPRINT_TOKEN": token})


def test_a_service_of_this_machine_answers_to_its_names_alone(make):
    assert hosts_of("0.0.0.0") == ()
    assert "127.0.0.1" in hosts_of("127.0.0.1")
    with make(hosts=Settings().hosts) as client:
        assert client.get("/health/live", headers={"Host": "evil.example"}).status_code == 421
        for host in ("localhost:8000", "127.0.0.1", "[::1]:80", "LOCALHOST"):
            assert client.get("/health/live", headers={"Host": host}).status_code == 200


def test_the_log_has_a_line_for_each_request_and_nothing_of_its_content(client, caplog):
    with caplog.at_level(logging.INFO, "atomprint.access"):
        client.post("/v1/predict", json={"structures": ["LiFeSecret"]})
        client.get("/v1/models/secret?secret=1")
        client.get("/secret")
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "atomprint.access"]
    assert [line["route"] for line in lines] == ["/v1/predict", "/v1/models/{name}", "none"]
    assert [line["status"] for line in lines] == [422, 404, 404]
    assert "ecret" not in caplog.text.replace("httpx", "").split("HTTP Request")[0]


def test_a_fault_is_told_without_what_the_user_sent(client, monkeypatch, caplog):
    from atomprint.service import routes

    def broken(*_, **__):
        raise RuntimeError("secret")

    monkeypatch.setattr(routes, "predict", broken)
    answer = client.post("/v1/predict", json={"structures": ["MgO"]})
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in answer.text + "".join(record.getMessage() for record in caplog.records)
    assert "RuntimeError" in caplog.text


def test_metrics_count_requests_and_predictions(make):
    with make() as client:
        client.post("/v1/predict", json={"structures": ["MgO", "Fe2O3", "no"], "models": ["formula"]})
        text = client.get("/metrics").text
    for line in (
        'atomprint_requests_total{method="POST",route="/v1/predict",status="200"} 1.0',
        'atomprint_predictions_total{domain="inside",model="formula"} 1.0',
        'atomprint_predictions_total{domain="outside",model="formula"} 1.0',
        'atomprint_structures_total{kind="failed"} 1.0',
        "atomprint_workers_busy 0.0",
    ):
        assert line in text


def test_a_changed_file_is_loaded_and_a_damaged_one_is_not(model_files, tmp_path):
    path = tmp_path / "one.atomprint"
    shutil.copy(model_files["volume"], path)
    shelf = Shelf({"one": path})
    old = shelf.models
    assert shelf.reload() == []
    path.write_bytes(b"damaged")
    assert shelf.reload() == []
    assert "not a saved model" in shelf.refused["one"]
    assert shelf.models is old
    assert shelf.reload() == []  # and is not tried again before it changes
    shutil.copy(model_files["formula"], tmp_path / "new")
    (tmp_path / "new").replace(path)
    assert shelf.reload() == ["one"]
    assert (shelf.refused, shelf.models["one"].taken) == ({}, "compositions")
    assert old["one"].taken == "structures"  # whoever had it keeps it
    path.unlink()
    assert shelf.reload() == []
    assert "no such file" in shelf.refused["one"]


def test_models_have_names(model_files, tmp_path):
    run = tmp_path / "my run"
    run.mkdir()
    shutil.copy(model_files["volume"], run / "model.atomprint")
    path = str(model_files["volume"])
    assert list(named_paths([str(run), path, f"v={path}"])) == ["my-run", "volume", "v"]
    for given, said in (
        ([path, path], "two models are called 'volume'"),
        ([f"a b={path}"], "got 'a b'"),
        ([], "at least"),
    ):
        with pytest.raises(ValueError, match=said):
            named_paths(given)
    with pytest.raises(FileNotFoundError, match="no model at"):
        named_paths(["nothing"])


def test_the_command_says_what_is_wrong(model_files, tmp_path, monkeypatch):
    monkeypatch.setenv("ATOMPRINT_TOKEN", "short")
    found = CliRunner().invoke(app, ["serve", str(model_files["volume"])])
    assert (found.exit_code, "at least 16 characters" in found.output) == (1, True)
    found = CliRunner().invoke(app, ["serve", str(tmp_path / "none")])
    assert found.exit_code == 1
