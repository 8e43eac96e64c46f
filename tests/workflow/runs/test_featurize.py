"""Tables of features: by defaults for every descriptor, in pieces, within bounds, and resumed."""

import csv
import gzip

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.io import write

from atomprint.descriptors import SOAP, SineMatrix
from atomprint.structures import StructureError
from atomprint.util import registry
from atomprint.workflow.runs import featurize as module
from atomprint.workflow.runs.featurize import check_fits, featurize, plan_features, write_features

NAMES = (
    "ACSF", "AngularDistribution", "CompositionChannels", "CoordinationNumbers", "CoulombMatrix", "ElementProperty",
    "EwaldSumMatrix", "LMBTR", "MBTR", "NeighbourStatistics", "OxidationStates", "PowderDiffraction",
    "RadialDistribution", "SOAP", "SineMatrix",
    "SpaceGroup", "SteinhardtParameters", "StructureStatistics", "ValleOganov", "WarrenCowley",
)  # fmt: skip
CRYSTALS = ("EwaldSumMatrix", "PowderDiffraction", "RadialDistribution", "SineMatrix",
    "SpaceGroup", "StructureStatistics", "ValleOganov")  # fmt: skip
METALS = ("Cu", "Ag", "Au", "Al", "Ni", "Pd", "Pt", "Rh", "Ir", "Tb")


@pytest.fixture
def salts(tmp_path):
    """Crystals of one to three atoms in a file."""
    frames = [bulk("NaCl", "rocksalt", a=5.6), bulk("Cu", "fcc", a=3.6), bulk("CaF2", "fluorite", a=5.5)]
    write(tmp_path / "salts.extxyz", frames)
    return tmp_path / "salts.extxyz", frames


@pytest.mark.parametrize("name", NAMES)
def test_defaults_suffice_for_every_descriptor(name, salts):
    stream = plan_features(salts[0], name)
    pieces = list(stream.pieces())
    values = np.concatenate([rows for _, rows in pieces])
    assert values.shape == (stream.n_rows, stream.n_columns)
    assert np.isfinite(values).all()
    assert np.ptp(values, axis=0).any()
    assert f"{stream.n_rows} rows" in stream.sentence()


@pytest.mark.parametrize("name", NAMES)
def test_defaults_suffice_for_many_elements_and_for_molecules(name, tmp_path):
    write(tmp_path / "many.extxyz", [bulk(metal, "fcc", a=4.0) for metal in METALS])
    write(tmp_path / "molecules.extxyz", [molecule("H2O"), molecule("CH4")])
    assert len(featurize(tmp_path / "many.extxyz", name).ids) == len(METALS)
    if name not in CRYSTALS:
        assert len(featurize(tmp_path / "molecules.extxyz", name).ids) in (2, 8)


def test_many_elements_are_seen_through_few_channels_and_it_is_said(tmp_path):
    write(tmp_path / "many.extxyz", [bulk(metal, "fcc", a=4.0) for metal in METALS])
    assert plan_features(tmp_path / "many.extxyz").chosen == {
        "r_cut": 5.0,
        "species_embedding": {"type": "ElementEmbedding", "n_channels": 8},
    }
    assert plan_features(tmp_path / "many.extxyz", parameters=["r_cut=4", "compression=mu2"]).chosen == {}


@pytest.mark.parametrize("suffix", module.FORMATS)
@pytest.mark.parametrize("piece", [1, 2**26])
def test_pieces_make_the_table_that_one_call_makes(salts, tmp_path, monkeypatch, suffix, piece):
    pd = pytest.importorskip("pandas")
    monkeypatch.setattr(module, "_PIECE", piece)
    path, frames = salts
    soap = SOAP(r_cut=4.0, n_max=2, l_max=1, periodic=True).fit(frames)
    expected = np.concatenate(soap.create(frames))
    stream = plan_features(path, "SOAP", ["r_cut=4.0", "n_max=2", "l_max=1"])
    assert stream.step == (1 if piece == 1 else 3)
    out = tmp_path / f"out{suffix}"
    assert write_features(out, stream) == 6
    if suffix == ".npz":
        with np.load(out) as file:
            values, ids, names = file["values"], file["ids"].tolist(), file["names"].tolist()
    else:
        frame = pd.read_parquet(out) if suffix == ".parquet" else pd.read_csv(out)
        values, ids, names = frame.iloc[:, 1:].to_numpy(), frame["id"].tolist(), list(frame.columns[1:])
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    assert ids == ["0/0", "0/1", "1/0", "2/0", "2/1", "2/2"]
    assert names == list(soap.get_feature_names_out())
    assert sorted(item.name for item in tmp_path.iterdir()) == sorted([out.name, "salts.extxyz"])


def test_compressed_text_is_the_same_every_time(salts, tmp_path):
    contents = []
    for name in ("a", "b"):
        write_features(tmp_path / f"{name}.csv.gz", plan_features(salts[0], "SineMatrix"))
        contents.append((tmp_path / f"{name}.csv.gz").read_bytes())
    assert contents[0] == contents[1]
    with gzip.open(tmp_path / "a.csv.gz", "rt") as file:
        assert len(list(csv.reader(file))) == 4


def test_a_run_that_was_stopped_goes_on_where_it_was(salts, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PIECE", 1)
    computed = []
    transform = SineMatrix.transform

    def counted(self, X):
        computed.extend(len(atoms) for atoms in X)
        return transform(self, X)

    monkeypatch.setattr(SineMatrix, "transform", counted)
    out = tmp_path / "out.csv"

    def interrupt(step, done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_features(out, plan_features(salts[0], "SineMatrix"), interrupt)
    assert not out.exists()
    assert computed == [2, 1]
    assert write_features(out, plan_features(salts[0], "SineMatrix")) == 3
    assert computed == [2, 1, 3]
    write_features(tmp_path / "again.csv", plan_features(salts[0], "SineMatrix"))
    assert (tmp_path / "again.csv").read_bytes() == out.read_bytes()
    assert not list(tmp_path.glob(".*"))


def stopped(out, stream, at):
    """Write features, and stop when some structures are done."""

    def stop(step, done, total):
        if done == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_features(out, stream, stop)


def test_pieces_of_other_versions_are_made_again(salts, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PIECE", 1)
    out, plan = tmp_path / "out.csv", lambda: plan_features(salts[0], "SineMatrix")
    kept = tmp_path / ".out.csv.parts.partial" / "kept"
    stopped(out, plan(), 1)
    stopped(out, plan(), 2)
    assert len(list(kept.iterdir())) == 2
    monkeypatch.setattr(module, "versions", lambda: {"atomprint": "another one"})
    stopped(out, plan(), 2)
    assert len(list(kept.iterdir())) == 4
    monkeypatch.setitem(registry._KNOWN, "SineMatrix", registry.KNOWN["SineMatrix"]._replace(version=1000))
    stopped(out, plan(), 2)
    assert len(list(kept.iterdir())) == 6


def test_structures_that_are_left_out_are_named_after_others_came_before_them(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PIECE", 1)
    transform = SineMatrix.transform

    def refuse(self, X):
        for k, atoms in enumerate(X):
            if len(atoms) == 1:
                raise StructureError(k, None, "there must be two atoms")
        return transform(self, X)

    monkeypatch.setattr(SineMatrix, "transform", refuse)
    out, path = tmp_path / "out.npz", tmp_path / "few.csv"
    for name, atoms in {"copper": bulk("Cu"), "salt": bulk("NaCl", "rocksalt", a=5.6), "gold": bulk("Au")}.items():
        write(tmp_path / f"{name}.cif", atoms)

    def plan(*names):
        path.write_text("\n".join(["structure", *(f"{name}.cif" for name in names), ""]))
        return plan_features(path, "SineMatrix", ["n_atoms_max=2"], on_error="skip")

    stopped(out, plan("copper", "salt", "gold"), 2)
    stream = plan("salt", "copper", "gold")
    assert write_features(out, stream) == 1
    assert [(failure.row, failure.line) for failure in stream.failures] == [(1, 3), (2, 4)]


def test_structures_that_cannot_be_described_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PIECE", 1)
    frames = [molecule("H2O"), molecule("CH4"), molecule("CO2")]
    write(tmp_path / "three.extxyz", frames)
    parameters = ["species=['H', 'O']", "r_cut=4.0", "n_max=2", "l_max=1", "pooling=mean"]
    with pytest.raises(ValueError, match="structure 1, atom 0: species must be one of H, O, got C; --skip leaves"):
        write_features(tmp_path / "out.csv", plan_features(tmp_path / "three.extxyz", parameters=parameters))
    stream = plan_features(tmp_path / "three.extxyz", parameters=parameters, on_error="skip")
    assert write_features(tmp_path / "out.npz", stream) == 1
    failures = (*stream.dataset.failures, *stream.failures)
    assert [(failure.row, failure.id) for failure in failures] == [(1, "1"), (2, "2")]
    with np.load(tmp_path / "out.npz") as file:
        assert file["values"].shape == (1, stream.n_columns)


def test_what_does_not_fit_is_refused_with_the_way_out(salts, tmp_path, monkeypatch):
    stream = plan_features(salts[0], "SOAP")
    check_fits(tmp_path / "out.csv", stream)
    monkeypatch.setattr(module, "available_memory", lambda: 1000)
    with pytest.raises(ValueError, match=r"There are 1 kB of memory\. Smaller: -s pooling=mean .*compression=mu2"):
        check_fits(tmp_path / "out.csv", stream)
    monkeypatch.setattr(module, "available_memory", lambda: None)
    stream.n_columns = 2_000_000
    with pytest.raises(ValueError, match=r"\.csv is not for more than 100,000 columns, and there are 2,000,000: write"):
        check_fits(tmp_path / "out.csv", stream)
    stream.n_rows = 10**12
    with pytest.raises(ValueError, match=r"of disk left for .*out\.npz.* Smaller: "):
        check_fits(tmp_path / "out.npz", stream)
    with pytest.raises(ValueError, match=r"must end in one of \.parquet"):
        check_fits(tmp_path / "out.txt", stream)


def test_a_table_larger_than_memory_is_not_begun(salts, monkeypatch):
    monkeypatch.setattr(module, "available_memory", lambda: 1000)
    with pytest.raises(MemoryError, match=r"6 rows \(atoms of 3 structures\)"):
        featurize(salts[0])
