"""Whatever is sent is answered, in words: a small part of what `python tests/fuzz/run.py` spoils, over HTTP."""

import json

import numpy as np
import pytest
from fuzz import mutate
from fuzz.targets import TARGETS, check_words

READERS = {"cif": "x.cif", "xyz": "x.xyz", "poscar": "POSCAR", "structure_json": "x.json", "formula": "", "archive": ""}
CRYSTAL = {
    "lattice": {"matrix": [[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]]},
    "sites": [{"species": [{"element": "Na", "occu": 1}], "abc": [0, 0, 0]}],
}
ASKED = {
    "/v1/predict": {"structures": ["NaCl", CRYSTAL, {"text": "NaCl", "form": "formula"}], "explain": True},
    "/v1/descriptors/SOAP": {"structures": [CRYSTAL], "parameters": {"r_cut": 4.0, "n_max": 2, "average": "inner"}},
    "/v1/similar": {"structure": CRYSTAL, "k": 3, "where": "gap > 1"},
}


def check(answer):
    assert answer.status_code < 500, answer.text
    found = answer.json()
    for reason in (found.get("detail"), *(failure["reason"] for failure in found.get("failures") or ())):
        if reason is not None:
            check_words(reason)


@pytest.mark.parametrize("name", READERS)
def test_spoilt_files_are_answered_in_words(client, name):
    rng = np.random.default_rng(18)
    for _ in range(25):
        check(client.post("/v1/predict", files=[("structures", (READERS[name] or "x", TARGETS[name].make(rng)))]))


@pytest.mark.parametrize("path", ASKED)
def test_spoilt_requests_are_answered_in_words(client, path):
    rng = np.random.default_rng(18)
    for _ in range(60):
        text = json.dumps(mutate.value(rng, json.loads(json.dumps(ASKED[path]))))
        text = mutate.text(rng, text) if rng.random() < 0.2 else text
        body = text.encode("utf-8", "surrogatepass")
        check(client.post(path, content=body, headers={"Content-Type": "application/json"}))
