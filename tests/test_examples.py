"""The examples run, and show what they promise."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name):
    spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_molecules(capsys):
    example = load("molecules")
    structures = example.molecules()
    assert example.coulomb_matrices(structures).shape == (3, 9)
    environments, stacked = example.oxygen_environments(structures)
    assert [features.shape for features in environments] == [(1, 3696), (2, 3696), (2, 3696)]
    assert stacked.shape == (5, 3696)
    assert [array.shape for array in example.derivatives(structures)] == [
        (1, 3, 3, 3696),
        (2, 3, 3, 3696),
        (2, 3, 3, 3696),
    ]
    forces, difference = example.forces(structures)
    np.testing.assert_allclose(forces[0, 2], difference, rtol=1e-6)
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=1e-9 * np.abs(forces).max())
    out = capsys.readouterr().out
    assert "Two threads give the same: True" in out
    assert "[False, False, False, True, True]" in out


def test_crystals(tmp_path, capsys):
    example = load("crystals")
    X, names = example.features(list(example.crystals().values()))
    assert X.shape == (3, 1500)
    assert len(names) == 1500
    forces, stress, difference = example.forces_and_stress(example.crystals()["NaCl"])
    np.testing.assert_allclose(stress[0, 0], difference, rtol=1e-6)
    np.testing.assert_allclose(stress, stress.T, atol=1e-9 * np.abs(stress).max())
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=1e-9 * np.abs(forces).max())
    result = example.main(tmp_path)
    out = capsys.readouterr().out
    assert "R² needs at least 2 test samples, got 1" in out
    assert "nan" not in out
    assert result.test.metrics["r2"].value is None
    assert out.count("  SOAP ") == 10
    assert (tmp_path / "crystals_parity.png").stat().st_size > 5000


def test_potential(tmp_path):
    from ase.io import read

    load("potential").main(tmp_path)
    frames = read(tmp_path / "train.extxyz", ":")
    assert len(frames) == 80
    assert {"energy", "forces", "stress"} <= set(frames[0].calc.results)
    assert {frame.info["config_type"] for frame in frames} == {"copper", "gold", "alloy"}
    assert read(tmp_path / "alloy.cif").get_chemical_formula() == "Au3Cu"


@pytest.mark.slow
def test_melting(tmp_path, capsys):
    sizes = {"n_cells": 2, "n_windows": 1, "n_steps": 75, "n_temperatures": 7, "n_settle": 60}
    found = load("melting").main(tmp_path, **sizes)
    assert found["accuracy"] >= 0.75  # crystals and liquids of other runs, hardly settled
    assert found["liquid"][0] < 0.5 < found["liquid"][-1]
    assert found["energies"].shape == found["temperatures"].shape
    assert "K, says the classifier" in capsys.readouterr().out
    assert (tmp_path / "melting.png").stat().st_size > 5000


def test_crystal_graph_network(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    example = load("crystal_graph_network")
    found = example.main(tmp_path, epochs=3)
    assert len(found["y"]) == len(found["predicted"]) == 15
    assert np.isfinite(found["predicted"]).all()
    assert "Test: mean absolute error" in capsys.readouterr().out
    assert (tmp_path / "crystal_graph_network.png").stat().st_size > 5000
    # One linear layer of what a convolution reads, as the paper has it, gives the same messages.
    layer, edges = example.Convolution(4, 3), torch.tensor([[0, 0, 1], [1, 1, 0]])
    atoms, features = torch.randn(2, 4), torch.randn(3, 3)
    weights = torch.cat([layer.of_atom.weight, layer.of_neighbour.weight, layer.of_edge.weight], dim=1)
    together = torch.cat([atoms[edges[0]], atoms[edges[1]], features], dim=1) @ weights.T + layer.of_atom.bias
    gate, core = layer.eval().scale_messages(together).chunk(2, dim=1)
    sums = torch.zeros(2, 4).index_add(0, edges[0], torch.sigmoid(gate) * torch.nn.functional.softplus(core))
    expected = torch.nn.functional.softplus(atoms + layer.scale_sums(sums))
    torch.testing.assert_close(layer(atoms, edges, features), expected)


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_examples_are_scripts_with_a_main(name):
    if name == "crystal_graph_network":
        pytest.importorskip("torch")
    assert callable(load(name).main)


def test_photovoltaics(tmp_path, capsys):
    pytest.importorskip("rdkit")
    from atomprint.molecules import embed

    smiles = ["c1ccsc1", "Cc1ccsc1", "c1ccccc1", "Cc1ccccc1", "c1ccncc1", "c1ccoc1", "C1=CCC=C1", "c1cc[nH]c1"]
    functionals = ("B3LYP", "BP86", "M06-2X", "PBE0")
    calculations = [f"QChem {name}/def2-SVP DFT,-0.2,-0.1,0.1,1.5,0.4,49.2" for name in functionals]
    lines = []
    for number, text in enumerate(smiles):
        values = f"10.1/{number},KEY{number},molecule,bulk,PC61BM,{-5 - 0.1 * number},-3.5,1.5,1.6,7.8,0.7,17.1,66.3"
        lines += [text, "InChI=1S/unused", values, text, "2"]
        for place, atoms in enumerate(embed(text, 2), 1):
            lines += [f"Conformer {place}", str(len(atoms))]
            lines += [f"{atom.symbol} {atom.x} {atom.y} {atom.z}" for atom in atoms]
            lines += calculations
    path = tmp_path / "HOPV_15_revised_2.data"
    path.write_text("\n".join(lines) + "\n")
    errors = load("photovoltaics").main(path, n_folds=3)
    assert set(errors) == {"fragments (2-D)", "SOAP, conformers averaged (3-D)"}
    assert all(np.isfinite(error) for error in errors.values())
    assert "16 conformers of 8 molecules, 6 scaffolds; homo, 3 folds" in capsys.readouterr().out


@pytest.mark.slow
def test_picture(tmp_path):
    pytest.importorskip("matplotlib.pyplot").switch_backend("Agg")
    assert load("picture").main(tmp_path / "overview.png", n_cells=20) < 0.1  # eV/Å; the forces are 0.3 on average
    assert (tmp_path / "overview.png").stat().st_size > 30_000
