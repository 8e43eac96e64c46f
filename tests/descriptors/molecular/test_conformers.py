"""Geometries of molecules by their bonds, and averages over them."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from atomprint.descriptors import SOAP, ConformerAverage, CoulombMatrix, MorganFingerprint
from atomprint.molecules import embed
from atomprint.structures import StructureError

Chem = pytest.importorskip("rdkit.Chem")
from rdkit.Chem import AllChem, rdDistGeom, rdMolAlign  # noqa: E402

SMILES = ["CCCCC", "CCO", "C[C@H](N)C(=O)O", "c1ccccc1"]
SMALL = SOAP(r_cut=3.0, n_max=2, l_max=1, pooling="mean")


def test_geometries_are_those_of_rdkit_one_by_one():
    for text in SMILES:
        mol = Chem.AddHs(Chem.MolFromSmiles(Chem.MolToSmiles(Chem.MolFromSmiles(text))))
        options = rdDistGeom.ETKDGv3()
        options.randomSeed = 8  # one more than ours, as with 0 all are the same
        AllChem.EmbedMultipleConfs(mol, 3, options)
        energies = np.array([energy for _, energy in AllChem.MMFFOptimizeMoleculeConfs(mol, maxIters=2000)])
        found = embed(text, 3, seed=7)
        assert [atoms.info["conformer"] for atoms in found] == [0, 1, 2]
        np.testing.assert_allclose([atoms.info["energy"] for atoms in found], np.sort(energies) * 0.0433641, rtol=1e-5)
        for atoms, place in zip(found, np.argsort(energies, kind="stable"), strict=True):
            expected = mol.GetConformer(int(place)).GetPositions()
            np.testing.assert_allclose(atoms.positions, expected, atol=1e-9)
            assert atoms.numbers.tolist() == [atom.GetAtomicNum() for atom in mol.GetAtoms()]


def test_geometries_are_the_same_however_they_are_asked_for():
    expected = embed(SMILES, 2)
    assert [atoms.info["molecule"] for atoms in expected] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [atoms.info["smiles"] for atoms in expected][::2] == [Chem.CanonSmiles(text) for text in SMILES]
    written = [Chem.MolToSmiles(Chem.MolFromSmiles(text), doRandom=True) for text in SMILES[::-1]]
    again = embed(written, 2, n_jobs=2)
    for atoms, other in zip(expected[::2], again[::-2], strict=True):
        pair = embed(atoms.info["smiles"], 2)
        assert np.array_equal(atoms.positions, pair[0].positions)
        assert np.array_equal(other.positions, pair[1].positions)
    assert not np.array_equal(embed("CCO", seed=1)[0].positions, embed("CCO", seed=2)[0].positions)
    # What is handed out is not what is kept.
    embed("CCO")[0].positions[:] = 0
    assert embed("CCO")[0].positions.any()
    # Fingerprints read the bonds of what is embedded.
    fingerprint = MorganFingerprint(n_bits=64)
    np.testing.assert_array_equal(fingerprint.create(expected[::2]), fingerprint.create(SMILES))


def test_stereo_is_kept():
    for text in ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "C/C=C/C", "C/C=C\\C"):
        (atoms,) = embed(text)
        mol = Chem.AddHs(Chem.MolFromSmiles(atoms.info["smiles"]))
        conformer = Chem.Conformer(len(atoms))
        conformer.SetPositions(atoms.positions.copy())
        mol.AddConformer(conformer)
        Chem.AssignStereochemistryFrom3D(mol)
        assert Chem.MolToSmiles(Chem.RemoveHs(mol)) == Chem.CanonSmiles(text)


def test_conformers_that_are_near_or_high_are_left_out():
    every = embed("OCCOCC", 12)
    energies = np.array([atoms.info["energy"] for atoms in every])
    assert (np.diff(energies) >= 0).all()
    assert np.ptp(energies) > 0.05
    low = embed("OCCOCC", 12, max_energy=0.05)
    assert len(low) == (energies - energies[0] <= 0.05).sum() < 12
    few = embed("OCCOCC", 12, min_rmsd=0.4)
    assert 1 < len(few) < 12
    mol = Chem.AddHs(Chem.MolFromSmiles(few[0].info["smiles"]))
    for atoms in few:
        conformer = Chem.Conformer(len(atoms))
        conformer.SetPositions(atoms.positions.copy())
        mol.AddConformer(conformer, assignId=True)
    heavy = Chem.RemoveHs(mol)
    distances = [rdMolAlign.GetBestRMS(heavy, heavy, i, j) for i in range(len(few)) for j in range(i)]
    assert min(distances) >= 0.4
    assert few[0].info["energy"] == every[0].info["energy"]


def test_force_fields():
    assert "energy" not in embed("CCO", force_field="none")[0].info
    assert embed("CCO", force_field="uff")[0].info["force_field"] == "uff"
    assert embed("[SiH3]B", 1)[0].info["force_field"] == "uff"  # MMFF knows no boron
    assert len(embed("[SiH3]B", 2)) == 2


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            "[Na+].[Cl-]",
            r"molecule 1: '\[Cl-\].\[Na\+\]' cannot be embedded: it has 2 parts, whose distance is not known",
        ),
        ("*CC*", r"molecule 1: '\*CC\*' cannot be embedded: it has open ends"),
        ("CC(", "molecule 1: 'CC\\(' is no molecule"),
        ("C1C[C@H]2C[C@H]1CC2", r"molecule 1: 'C1C\[C@H\]2CC\[C@H\]1C2' cannot be embedded: no geometry satisfies"),
        (None, "molecule 1 must be SMILES"),
    ],
)
def test_what_cannot_be_embedded(item, message, capfd):
    with pytest.raises(StructureError, match=message):
        embed(["CCO", item])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_conformers": 0}, "n_conformers must be >= 1, got 0"),
        ({"force_field": "amber"}, "force_field must be one of 'mmff', 'uff', 'none', got 'amber'"),
        ({"max_energy": -1.0}, "max_energy must be > 0, got -1.0"),
        ({"max_energy": 1.0, "force_field": "none"}, "max_energy needs a force field"),
        ({"min_rmsd": -0.1}, "min_rmsd must be >= 0, got -0.1"),
        ({"seed": -1}, "seed must be >= 0, got -1"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        embed("CCO", **options)
    with pytest.raises(ValueError, match=message):
        ConformerAverage(SMALL, **options)


def test_averages_are_those_by_hand():
    average = ConformerAverage(SMALL, n_conformers=3)
    rows = average.fit_transform(SMILES)
    structures = embed(SMILES, 3)
    soap = clone(SMALL).fit(structures)
    every = soap.create(structures).reshape(len(SMILES), 3, -1)
    np.testing.assert_allclose(rows, every.mean(axis=1), rtol=1e-12)
    assert average.get_feature_names_out().tolist() == soap.get_feature_names_out().tolist()
    assert average.get_number_of_features() == rows.shape[1]
    assert ("elements", "O") in set(average.get_feature_meanings().groups)
    copy = pickle.loads(pickle.dumps(average))
    np.testing.assert_allclose(copy.transform(SMILES[1:2]), rows[1:2], rtol=1e-12)
    np.testing.assert_allclose(copy.create(SMILES[1], n_jobs=2), rows[1], rtol=1e-12)
    packed = clone(average).set_params(sparse=True).fit(SMILES).transform(SMILES)
    np.testing.assert_allclose(packed.toarray(), rows, rtol=1e-12)
    warm = clone(average).set_params(temperature=300.0).fit_transform(SMILES)
    energies = np.array([atoms.info["energy"] for atoms in structures]).reshape(-1, 3)
    weights = np.exp(-(energies - energies.min(axis=1, keepdims=True)) / (8.617333262e-5 * 300))
    weights /= weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(warm, (weights[:, :, None] * every).sum(axis=1), rtol=1e-9)


def test_what_cannot_be_averaged():
    with pytest.raises(TypeError, match="descriptor must be a descriptor of structures, got 3"):
        ConformerAverage(3)
    with pytest.raises(TypeError, match="descriptor must be a descriptor of structures, got MorganFingerprint"):
        ConformerAverage(MorganFingerprint())
    with pytest.raises(ValueError, match="temperature needs energies of a force field"):
        ConformerAverage(SMALL, force_field="none", temperature=300.0)
    with pytest.raises(ValueError, match="descriptor must give one row for each structure, and SOAP gives several"):
        ConformerAverage(SOAP(r_cut=3.0, n_max=2, l_max=1), n_conformers=1).fit_transform(["CCO", "C"])
    average = ConformerAverage(SMALL, n_conformers=2).fit(["CCO", "C"])
    with pytest.raises(StructureError, match="molecule 1: atom 2: species must be one of H, C, O, got S"):
        average.transform(["CCO", "CCS"])
    largest = ConformerAverage(CoulombMatrix(n_atoms_max=9, permutation="eigenspectrum"), n_conformers=2)
    assert largest.fit_transform(["CCO", "C"]).shape == (2, 9)
    with pytest.raises(StructureError, match="molecule 1"):
        largest.transform(["CCO", "CCCC"])
