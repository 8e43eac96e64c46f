"""Molecules by their bonds in files: columns and lines of SMILES, SD files."""

import gzip

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.io import write

from atomprint.chemistry.smiles import Smiles
from atomprint.datasets import inspect_file, read_dataset
from atomprint.formats.reading import structures_of

Chem = pytest.importorskip("rdkit.Chem")
from rdkit.Chem import AllChem  # noqa: E402

TABLE = (
    "name,SMILES,solubility\nethanol,CCO,1.1\nphenol,c1ccccc1O,-0.04\nbroken,CC(,2\nnothing,,3\nsalt,[Na+].[Cl-],0.8\n"
)


def sd_text(smiles, *, space=True, hydrogens=True, **data):
    mol = Chem.MolFromSmiles(smiles)
    mol = Chem.AddHs(mol) if hydrogens else mol
    if space:
        AllChem.EmbedMolecule(mol, randomSeed=1)
    else:
        AllChem.Compute2DCoords(mol)
    mol.SetProp("_Name", f"the {smiles}")
    items = "".join(f">  <{name}>  (1)\n{value}\n\n" for name, value in data.items())
    return Chem.MolToMolBlock(mol) + items + "$$$$\n"


def test_a_table_with_smiles(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(TABLE)
    with pytest.raises(ValueError, match=r"table.csv, row 2.*smiles: 'CC\(' is no molecule: syntax error around"):
        read_dataset(path, id="name")
    dataset = read_dataset(path, id="name", on_error="skip")
    assert dataset.kind == "molecules"
    assert dataset.ids == ("ethanol", "phenol", "salt")
    assert dataset.compositions == ["CCO", "c1ccccc1O", "[Na+].[Cl-]"]
    assert all(isinstance(item, Smiles) for item in dataset.compositions)
    assert [(failure.row, failure.step) for failure in dataset.failures] == [(2, "smiles"), (3, "smiles")]
    assert "there is none, got ''" in dataset.failures[1].reason
    assert list(dataset.targets) == ["solubility"]
    assert dataset.formulas == ("H6C2O", "H6C6O", "NaCl")
    assert dataset.amounts(0) == {"C": 2, "H": 6, "O": 1}
    assert repr(dataset) == "Dataset('table': 3 molecules, targets solubility)"
    assert "3 molecules" in str(dataset.summary())
    assert isinstance(dataset.take([2]).items[0], Smiles)
    assert inspect_file(path).smiles == "SMILES"
    with pytest.raises(ValueError, match="has SMILES, but no structures"):
        list(structures_of(path))


@pytest.mark.parametrize("name", ["smiles", "Canonical SMILES", "isomeric_smiles", "smi"])
def test_names_of_columns(tmp_path, name):
    path = tmp_path / "x.csv"
    path.write_text(f"{name},y\nCO,1\nCCO,2\n")
    assert read_dataset(path).amounts(0) == {"C": 1, "H": 4, "O": 1}


def test_which_column(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("raw_smiles,clean_smiles,formula,drug,y\nCO,CCO,CH4O,CN,1\n")
    with pytest.raises(ValueError, match="smiles: give one, since several columns may be meant: 'raw_smiles', 'clean"):
        read_dataset(path)
    assert read_dataset(path, smiles="drug", targets="y").items == ["CN"]
    formulas = read_dataset(path, formula="formula", targets="y")
    assert (formulas.kind, formulas.items) == ("compositions", ["CH4O"])
    with pytest.raises(ValueError, match="smiles: no column 'missing'"):
        read_dataset(path, smiles="missing", targets="y")
    path.write_text("raw_smiles,SMILES,y\nCO,CCO,1\n")
    assert read_dataset(path).items == ["CCO"]


def test_lines_of_smiles(tmp_path):
    path = tmp_path / "x.smi"
    path.write_text("# a remark\nCCO ethyl alcohol\n\nCO\tmethanol\nC(C\n")
    dataset = read_dataset(path, targets=(), on_error="skip", id="name")
    assert dataset.items == ["CCO", "CO"]
    assert dataset.ids == ("ethyl alcohol", "methanol")
    assert dataset.lines == (2, 4)
    assert dataset.failures[0].line == 5
    packed = tmp_path / "y.smi.gz"
    packed.write_bytes(gzip.compress(b"smiles\tgap\nCCO\t1.5\nCO\t2.5\n"))
    assert read_dataset(packed).targets["gap"].values.tolist() == [1.5, 2.5]


def test_sd_files_with_places_are_structures(tmp_path):
    path = tmp_path / "x.sdf"
    path.write_text(sd_text("CCO", gap=1.5) + sd_text("c1ccccc1", gap=2.5) + "\n")
    dataset = read_dataset(path, id="title")
    assert dataset.kind == "structures"
    assert dataset.ids == ("the CCO", "the c1ccccc1")
    assert dataset.targets["gap"].values.tolist() == [1.5, 2.5]
    assert [atoms.info for atoms in dataset.structures] == [{"smiles": "CCO"}, {"smiles": "c1ccccc1"}]
    assert dataset.n_atoms.tolist() == [9, 12]
    mol = Chem.MolFromMolBlock(path.read_text().split("$$$$")[0], removeHs=False)
    assert np.array_equal(dataset.structures[0].positions, mol.GetConformer().GetPositions())
    assert read_dataset(path, structure="").items == ["CCO", "c1ccccc1"]
    one = tmp_path / "one.mol"
    one.write_text(sd_text("CO"))
    assert read_dataset(one, targets=()).structures[0].info["smiles"] == "CO"


@pytest.mark.parametrize("options", [{"space": False}, {"hydrogens": False}])
def test_sd_files_without_places_are_molecules(tmp_path, options):
    path = tmp_path / "x.sdf"
    broken = sd_text("CC", **options).replace("C   0", "Qq  0", 1)
    path.write_text(sd_text("CCO", **options, SMILES="unused", y=1) + broken + sd_text("CN", **options, y=3))
    dataset = read_dataset(path, on_error="skip", targets="y")
    assert dataset.kind == "molecules"
    assert dataset.items == ["CCO", "CN"]
    assert "read by their bonds: not all atoms have places" in dataset.notes[0]
    (failure,) = dataset.failures
    assert (failure.row, failure.step) == (1, "read")
    assert "'the CC' cannot be read by RDKit" in failure.reason
    assert failure.line > 10


def test_smiles_must_be_those_of_the_structure(tmp_path):
    ethanol, crystal = molecule("CH3CH2OH"), bulk("NaCl", "rocksalt", 5.64)
    heavy = ethanol[[atom.symbol != "H" for atom in ethanol]]
    path = tmp_path / "some.xyz"
    for atoms in (ethanol, heavy, crystal):  # a crystal may have those of a part
        atoms.info["smiles"] = "CCO"
        write(path, atoms, format="extxyz")
        assert read_dataset(path, targets=()).structures[0].info == {"smiles": "CCO"}
    ethanol.info["smiles"] = "CCN"
    write(path, ethanol, format="extxyz")
    with pytest.raises(ValueError, match="the structure is C2H6O, but 'smiles' says C2H7N; smiles='' reads none"):
        read_dataset(path, targets=())
    assert read_dataset(path, targets=(), smiles="").structures[0].info == {}


def test_formulas_beside_smiles_are_checked(tmp_path):
    path = tmp_path / "both.csv"
    path.write_text("smiles,formula,n_smiles,y\nCCO,C2H6O,3,1\nCO,CO,2,2\n")  # methanol, carbon monoxide
    assert read_dataset(path, targets="y").compositions == ["CCO", "CO"]
    with pytest.raises(ValueError, match=r"row 1.* formula: the molecule is H4CO, but 'formula' says CO"):
        read_dataset(path, formula="formula", smiles="smiles", targets="y")
    path.write_text("formula,n_smiles,y\nH2O,3,1\nCO2,2,2\n")
    assert read_dataset(path, targets="y").compositions == ["H2O", "CO2"]
