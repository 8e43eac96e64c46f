"""Fingerprints and descriptors of molecules by their bonds."""

import pickle

import numpy as np
import pytest
from ase import Atoms
from helpers.molecules import ALCOHOLS, UNUSUAL, nci
from numpy.testing import assert_array_equal
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from atomprint.chemistry.smiles import Smiles, scaffold_of, smiles_of
from atomprint.descriptors import MACCSKeys, MorganFingerprint, RDKitDescriptors
from atomprint.descriptors.molecular import rdkit_descriptors
from atomprint.structures import StructureError

Chem = pytest.importorskip("rdkit.Chem")
from rdkit import DataStructs  # noqa: E402
from rdkit.Chem import Descriptors, rdFingerprintGenerator, rdMolDescriptors  # noqa: E402

EVERY = {
    "bits": MorganFingerprint(n_bits=256),
    "counts": MorganFingerprint(radius=3, n_bits=128, counts=True),
    "features": MorganFingerprint(n_bits=64, invariants="features", chirality=True),
    "sparse": MorganFingerprint(n_bits=512, counts=True, sparse=True),
    "maccs": MACCSKeys(),
    "properties": RDKitDescriptors(["MolLogP", "TPSA", "RingCount"]),
}
MESSY = [*ALCOHOLS, *UNUSUAL.values()]


def dense(rows):
    return rows.toarray() if issparse(rows) else rows


@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("invariants", ["atoms", "features"])
@pytest.mark.parametrize("chirality", [False, True])
def test_values_are_those_of_rdkit_one_by_one(counts, invariants, chirality):
    smiles = nci() + MESSY
    options = {"atomInvariantsGenerator": rdFingerprintGenerator.GetMorganFeatureAtomInvGen()}
    generator = rdFingerprintGenerator.GetMorganGenerator(
        radius=2, fpSize=1024, includeChirality=chirality, **(options if invariants == "features" else {})
    )
    one = generator.GetCountFingerprintAsNumPy if counts else generator.GetFingerprintAsNumPy
    expected = np.array([one(Chem.MolFromSmiles(text)) for text in smiles])
    fingerprint = MorganFingerprint(2, 1024, counts, invariants, chirality)
    assert_array_equal(fingerprint.create(smiles), expected)
    assert_array_equal(fingerprint.create(smiles, n_jobs=2), expected)
    packed = clone(fingerprint).set_params(sparse=True).create(smiles)
    assert issparse(packed)
    assert packed.nnz == (expected > 0).sum()
    assert_array_equal(packed.toarray(), expected)


def test_similarities_are_those_of_rdkit():
    smiles = nci(40)
    bits = MorganFingerprint(n_bits=1024, dtype="float64").create(smiles)
    common = bits @ bits.T
    sizes = bits.sum(axis=1)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in smiles]
    expected = [DataStructs.BulkTanimotoSimilarity(one, prints) for one in prints]
    np.testing.assert_allclose(common / (sizes[:, None] + sizes - common), expected, rtol=1e-14)


def test_maccs_keys_are_those_of_rdkit():
    smiles = nci(60) + MESSY
    expected = [list(rdMolDescriptors.GetMACCSKeysFingerprint(Chem.MolFromSmiles(text))) for text in smiles]
    assert not np.array(expected)[:, 0].any()
    assert_array_equal(MACCSKeys().create(smiles), np.array(expected)[:, 1:])
    names = MACCSKeys().get_feature_names_out()
    assert names[163] == "MACCSKeys 164 [#8]"
    assert names[158] == "MACCSKeys 159 [#8] more than 1"
    assert len(names) == 166 == MACCSKeys().get_number_of_features()


def test_descriptors_are_those_of_rdkit():
    smiles = nci(12)
    descriptors = RDKitDescriptors("all", missing="nan")
    rows, names = descriptors.create(smiles), [name.split()[1] for name in descriptors.get_feature_names_out()]
    known = dict(Descriptors.descList)
    assert set(names) == set(known)
    for text, row in zip(smiles, rows, strict=True):
        mol = Chem.MolFromSmiles(text)
        assert_array_equal(row, [known[name](mol) for name in names])
    assert np.isfinite(RDKitDescriptors().create(MESSY)).all()
    groups = set(RDKitDescriptors().get_feature_meanings().groups)
    assert {("molecular properties", "functional groups"), ("molecular properties", "surface areas")} <= groups


def test_what_has_no_value():
    descriptors = RDKitDescriptors(["MolWt", "BCUT2D_MWHI"])
    with pytest.raises(StructureError, match=r"molecule 1: BCUT2D_MWHI of \[U\] has no value: choose"):
        descriptors.create(["CCO", "[U]"])
    assert_array_equal(np.isnan(descriptors.set_params(missing="nan").create(["CCO", "[U]"])), [[0, 0], [0, 1]])


@pytest.mark.parametrize("name", EVERY)
def test_the_contract(name):
    descriptor = EVERY[name]
    rows = descriptor.create(MESSY)
    assert rows.shape == (len(MESSY), descriptor.get_number_of_features())
    assert rows.dtype == descriptor.dtype
    assert issparse(rows) == descriptor.sparse
    for index, text in enumerate(MESSY):
        alone = descriptor.create(text)
        assert alone.shape[-1] == rows.shape[1]
        assert_array_equal(dense(alone).ravel(), dense(rows)[index])
    assert_array_equal(dense(descriptor.transform(MESSY[0])), dense(rows)[:1])
    assert_array_equal(dense(clone(descriptor).set_params(n_jobs=2).create(MESSY)), dense(rows))
    with pytest.warns(UserWarning, match=r"2 of the molecules have several parts, such as molecule 6 \(CC\(=O\)\[O-\]"):
        fitted = clone(descriptor).fit(MESSY)
    copy = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(dense(copy.transform(MESSY)), dense(rows))
    names = copy.get_feature_names_out()
    assert len(set(names)) == rows.shape[1] == len(copy.get_feature_meanings().names)
    assert all(name.startswith(type(descriptor).__name__) for name in names)


@pytest.mark.parametrize("name", EVERY)
def test_ways_to_give_a_molecule(name):
    descriptor = EVERY[name]
    expected = dense(descriptor.create(["CCO"]))
    mol = Chem.AddHs(Chem.MolFromSmiles("OCC"))
    given = ["OCC", " CCO\n", "C(O)C", "[H]OCC", Smiles("CCO"), mol, Chem.MolToMolBlock(mol), Chem.MolToInchi(mol)]
    for one in [*given, Atoms("H2", info={"smiles": "CCO"})]:
        np.testing.assert_allclose(dense(descriptor.create([one])), expected, rtol=1e-9)  # sums in another order
        np.testing.assert_allclose(dense(descriptor.create(one)).ravel(), expected[0], rtol=1e-9)
    assert_array_equal(dense(descriptor.create(np.array(["CCO", "CCO"])))[1:], expected)
    assert mol.GetNumAtoms() == 9


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("CC(", r"molecule 1: 'CC\(' is no molecule: syntax error around position 3"),
        ("c1ccccc", "molecule 1: 'c1ccccc' is no molecule: unclosed ring"),
        ("CO(C)C", "molecule 1: 'CO\\(C\\)C' is no molecule: Explicit valence for atom # 1 O, 3, is greater"),
        ("c1cccc1", "molecule 1: 'c1cccc1' is no molecule: Can't kekulize"),
        ("CCO>>CC=O", "molecule 1: 'CCO>>CC=O' is no molecule: syntax error"),
        ("InChI=1S/nonsense", "molecule 1: 'InChI=1S/nonsense' is no molecule"),
        ("two\nlines", "is no molecule: RDKit cannot read it as the text of a mol file"),
        ("", "molecule 1 must be SMILES, got ''"),
        ("  ", "molecule 1 must be SMILES, got '  '"),
        ("x" * 500, "molecule 1: 'x{80}…' is no molecule"),
        (None, "molecule 1 must be SMILES, InChI.*got None"),
        (float("nan"), "molecule 1 must be SMILES.*got nan"),
        (7, "molecule 1 must be SMILES.*got 7"),
        (Chem.Mol(), "molecule 1 must have an atom, got none"),
        (Atoms("H2"), "molecule 1: its bonds are not known: there is no 'smiles' in info"),
    ],
)
def test_what_is_no_molecule(item, message, capfd):
    with pytest.raises(StructureError, match=message) as error:
        MorganFingerprint().create(["CCO", item])
    assert error.value.index == 1
    with pytest.raises(StructureError):
        MACCSKeys().fit(["CCO", item])
    assert capfd.readouterr() == ("", "")  # RDKit says nothing by itself


def test_errors_count_from_the_first_of_many():
    with pytest.raises(StructureError, match=r"molecule 1500: 'C\(' is no molecule"):
        MorganFingerprint().create(["C"] * 1500 + ["C("])
    with pytest.raises(StructureError, match="molecule 1100: BCUT2D_MWHI"):
        RDKitDescriptors(["BCUT2D_MWHI"]).create(["CO"] * 1100 + ["[U]"])
    with pytest.raises(ValueError, match="molecules must hold at least one molecule, got none"):
        MorganFingerprint().create([])
    with pytest.raises(TypeError, match="molecules must be SMILES or a sequence of these, got int"):
        MorganFingerprint().create(3)


def test_names_tell_fragments():
    fingerprint = MorganFingerprint(radius=1, n_bits=4096).fit(ALCOHOLS)
    texts = {name.split(maxsplit=2)[2] for name in fingerprint.get_feature_names_out() if name.count(" ") > 1}
    assert {"[CH3]", "[CH2]", "[OH]", "C(C)O", "OC"} <= texts
    # A feature with a name is one that molecules have, and others are not.
    named = np.array([name.count(" ") > 1 for name in fingerprint.get_feature_names_out()])
    assert_array_equal(named, fingerprint.create(ALCOHOLS).any(axis=0))
    assert MorganFingerprint(n_bits=8).get_feature_names_out()[3] == "MorganFingerprint 3"
    crowded = MorganFingerprint(n_bits=1).fit(["CCO"]).get_feature_names_out()
    assert crowded.tolist() == ["MorganFingerprint 0 [OH] (+5)"]
    # Names follow parameters that are set later, features do not depend on the fit.
    assert len(fingerprint.set_params(n_bits=16).get_feature_names_out()) == 16


def test_drawing_a_feature(tmp_path):
    fingerprint = MorganFingerprint(n_bits=4096).fit(ALCOHOLS)
    (feature,) = (k for k, name in enumerate(fingerprint.get_feature_names_out()) if name.endswith(" [OH]"))
    picture = fingerprint.draw(feature, ["CC", "CCO"])
    assert "<svg" in picture
    data = fingerprint.draw(feature, ["CC", "CCO"], tmp_path / "oh.png")
    assert data.startswith(b"\x89PNG")
    assert (tmp_path / "oh.png").read_bytes() == data
    fingerprint.draw(feature, "CCO", tmp_path / "oh.svg")
    assert "<svg" in (tmp_path / "oh.svg").read_text()
    with pytest.raises(ValueError, match=rf"feature {feature} is in none of 2 molecules"):
        fingerprint.draw(feature, ["CC", "CCC"])
    with pytest.raises(ValueError, match="feature must be <= 4095, got 4096"):
        fingerprint.draw(4096, "CCO")
    with pytest.raises(ValueError, match="format must be one of 'svg', 'png', got 'pdf'"):
        fingerprint.draw(feature, "CCO", format="pdf")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MorganFingerprint(radius=-1), "radius must be >= 0, got -1"),
        (lambda: MorganFingerprint(n_bits=0), "n_bits must be >= 1, got 0"),
        (lambda: MorganFingerprint(counts=1), "counts must be True or False, got 1"),
        (lambda: MorganFingerprint(invariants="atom"), "invariants must be one of 'atoms', 'features', got 'atom'"),
        (lambda: MorganFingerprint(dtype="int8"), "dtype must be"),
        (lambda: RDKitDescriptors(["LogP"]), "descriptors must be one of .*, got 'LogP'"),
        (lambda: RDKitDescriptors("some"), "descriptors must be one of 'default', 'all', got 'some'"),
        (lambda: RDKitDescriptors(missing="zero"), "missing must be one of 'raise', 'nan', got 'zero'"),
    ],
)
def test_wrong_parameters(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_in_a_pipeline_of_scikit_learn():
    carbons = np.array([text.upper().count("C") for text in ALCOHOLS], dtype=float)
    model = make_pipeline(MorganFingerprint(counts=True, sparse=True), Ridge(1e-6)).fit(ALCOHOLS, carbons)
    np.testing.assert_allclose(model.predict(ALCOHOLS), carbons, atol=1e-3)


def test_smiles_are_molecules_and_no_formulas():
    assert Smiles("CO").composition == {"C": 1, "H": 4, "O": 1}
    assert Smiles("*CC*").composition == {"C": 2, "H": 4}
    assert Smiles("[2H]O[2H]").composition == {"H": 2, "O": 1}
    assert Smiles("C(O)C").canonical == Smiles("OCC").canonical == "CCO"
    with pytest.raises(ValueError, match="is no molecule"):
        Smiles("CC(").composition  # noqa: B018
    assert isinstance(pickle.loads(pickle.dumps(Smiles("CO"))), Smiles)


MAPPED = {
    "CO": "[CH3:1][OH:2]",
    "c1ccccc1C": "[cH:1]1ccccc1[CH3:7]",
    "CC(C)(F)Cl": "F[C@]([CH3:1])([CH3:2])Cl",
    "C[C@H](F)Cl": "[CH3:3][C@H:1](F)[Cl:2]",
    "[2H]C": "[2H:1][CH3:2]",
}


@pytest.mark.parametrize(("plain", "mapped"), MAPPED.items())
def test_numbers_of_atoms_are_none_of_the_molecule(plain, mapped):
    for given in (mapped, Chem.MolFromSmiles(mapped)):
        assert smiles_of(given) == smiles_of(plain)
        assert scaffold_of(given) == scaffold_of(plain)
    for one in (MorganFingerprint(chirality=True), MACCSKeys(), RDKitDescriptors(["HeavyAtomCount", "TPSA"])):
        assert_array_equal(one.create(mapped), one.create(plain))
    assert not any(":" in name for name in MorganFingerprint(n_bits=64).fit([mapped]).get_feature_names_out())
    given = Chem.MolFromSmiles(mapped)
    smiles_of(given)
    assert any(atom.GetAtomMapNum() for atom in given.GetAtoms())  # the caller's own is left alone


def test_text_of_several_molecules_is_refused():
    one, other = (Chem.MolToMolBlock(Chem.MolFromSmiles(text)) for text in ("CCO", "CCN"))
    assert_array_equal(MACCSKeys().create(one + "$$$$\n"), MACCSKeys().create("CCO"))
    with pytest.raises(StructureError, match="molecule 0 must be one molecule, got the text of an SD file"):
        MACCSKeys().create([one + "$$$$\n" + other + "$$$$\n"])


def test_numbers_beyond_a_precision_are_missing():
    chain = "C" * 300
    assert RDKitDescriptors(["Ipc"]).create(chain)[0] > 1e39
    with pytest.raises(StructureError, match=r"molecule 0: Ipc of C+ has no value within float32"):
        RDKitDescriptors(["Ipc"], dtype="float32").create(chain)
    rows = RDKitDescriptors(["Ipc", "MolWt"], dtype="float32", missing="nan").create([chain, "C"])
    assert np.isnan(rows).tolist() == [[True, False], [False, False]]


def test_what_was_fitted_keeps_its_descriptors(monkeypatch):
    fitted = RDKitDescriptors().fit(ALCOHOLS)
    rows, names = fitted.create(ALCOHOLS), fitted.get_feature_names_out()
    known = dict(reversed(Descriptors.descList)) | {"New": Descriptors.MolWt}
    monkeypatch.setattr(rdkit_descriptors, "_known", lambda: known)
    assert RDKitDescriptors().create(ALCOHOLS).shape[1] == rows.shape[1] + 1
    assert_array_equal(fitted.create(ALCOHOLS), rows)
    assert_array_equal(fitted.get_feature_names_out(), names)
    fitted.set_params(descriptors="all")
    assert fitted.get_number_of_features() == len(known)
    fitted.set_params(descriptors="default")
    del known["MolWt"]
    with pytest.raises(ValueError, match=r"descriptors must be one of .*got 'MolWt'"):
        fitted.create(ALCOHOLS)
