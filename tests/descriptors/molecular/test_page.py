"""The page on molecules without geometry: its code runs, exactly as it is printed."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from atomprint.workflow import Recipe

PAGE = Path(__file__).parents[3] / "docs" / "molecules-without-geometry.md"


def test_the_page_does_what_it_says(tmp_path, monkeypatch):
    DataStructs = pytest.importorskip("rdkit.DataStructs")
    from rdkit import Chem
    from rdkit.Chem import rdFingerprintGenerator

    monkeypatch.chdir(tmp_path)
    names = {}
    text = PAGE.read_text(encoding="utf-8")
    for code in re.findall(r"```python\n(.*?)```", text, re.S):
        exec(compile(code, PAGE.name, "exec"), names)
    assert names["X"].shape == (4, 2048)
    assert names["keys"].shape == (4, 166)
    assert names["fingerprint"].get_feature_names_out()[807].startswith("MorganFingerprint 807 [OH]")
    assert (tmp_path / "hydroxyl.svg").stat().st_size > 500
    assert names["Z"].shape[0] == 4
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(one)) for one in names["smiles"]]
    expected = [DataStructs.BulkTanimotoSimilarity(one, prints) for one in prints]
    np.testing.assert_allclose(names["tanimoto"], expected, rtol=1e-6)
    (recipe,) = re.findall(r"```toml\n(.*?)```", text, re.S)
    assert set(Recipe.from_dict(tomllib.loads(recipe)).features) == {"fragments", "geometry"}
