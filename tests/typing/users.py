"""What users write, checked by ``mypy --strict``: see ``test_typing.py``. None of it is run."""

from pathlib import Path
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt
from ase import Atoms

from atomprint.datasets import Dataset, Target, load, read_dataset
from atomprint.descriptors import SOAP, CoulombMatrix, Descriptor, LocalDescriptor
from atomprint.graphs import GraphBatch, Graphs, NeighbourGraph
from atomprint.kernels import AverageKernel
from atomprint.learn import BoundedScaler, Split, Study, make_model, make_split, regression_metrics
from atomprint.neighbours import Pairs, pairs
from atomprint.pooling import Pooling
from atomprint.potentials import LinearACE, PotentialCalculator, Prediction, load_potential, relax
from atomprint.screening import Screening, pareto_fronts, screen
from atomprint.similarity import Duplicates, distance, find_duplicates
from atomprint.store import FeatureStore, build_store
from atomprint.structures import Batch, as_batch, read_structures
from atomprint.testing import check_derivatives
from atomprint.trajectories import MeanSquareDisplacement, Trajectory, mean_square_displacement
from atomprint.workflow import Predictions, Recipe, Run, TrainedModel, load_model, train

Floats = npt.NDArray[np.float64]


# Descriptors ------------------------------------------------------------------------------------------------------


def features(structures: list[Atoms]) -> Floats:
    soap = SOAP(species=["H", "C", "O"], r_cut=5.0, n_max=8, l_max=6, average="inner")
    assert_type(soap.get_number_of_features(), int)
    names = [str(name) for name in soap.get_feature_names_out()]
    X = soap.create(structures, n_jobs=2)
    assert X.shape == (len(structures), len(names))
    return X


def forces(crystal: Atoms, weights: Floats) -> tuple[Floats, Floats]:
    gradient = SOAP(r_cut=4.0).fit([crystal]).vjp(crystal, weights, wrt=("positions", "strain"))
    return -gradient.positions, gradient.strain / crystal.get_volume()


def learnt(structures: list[Atoms]) -> tuple[Floats, Floats]:
    matrix = CoulombMatrix(n_atoms_max=9).fit(structures)
    assert_type(matrix, CoulombMatrix)
    dX, X = matrix.derivatives(structures)
    value, gradient = SOAP(species=["H"], r_cut=3.0).value_and_vjp(structures, lambda rows: ((rows**2).sum(), 2 * rows))
    assert float(value) > 0
    return dX + gradient.positions, X


def moves(water: Atoms, descriptor: LocalDescriptor) -> Floats:
    evaluator = descriptor.prepare(water)
    positions: Floats = water.positions
    return evaluator.create(positions) + evaluator.vjp(positions, np.ones((3, 4))).positions


def in_parts(descriptor: Descriptor, structures: list[Atoms]) -> Floats:
    return np.concatenate(list(descriptor.iter_create(structures, chunk=100)))


def checked(descriptor: Descriptor, structures: list[Atoms]) -> str:
    return str(check_derivatives(descriptor, structures))


# Structures, pairs, graphs ----------------------------------------------------------------------------------------


def batch(path: Path) -> Batch:
    found = as_batch(read_structures(path))
    assert_type(found, Batch)
    assert_type(len(found), int)
    return found[0:2]


def near(crystal: Atoms) -> Floats:
    found = pairs(crystal, 3.0)
    assert_type(found, Pairs)
    assert_type(found.distances, Floats)
    return found.vectors[found.distances < 2.0]


def graph(structures: list[Atoms]) -> Graphs:
    return NeighbourGraph(r_cut=4.0).create(structures)


def kernel(structures: list[Atoms]) -> Floats:
    return AverageKernel(SOAP(species=["Si"], r_cut=4.0)).fit(structures).transform(structures)


def pooled() -> SOAP:
    return SOAP(species=["Si"], r_cut=4.0, pooling=Pooling("mean"))


# Data, models, recipes --------------------------------------------------------------------------------------------


def data(path: str) -> tuple[Floats, list[str]]:
    dataset = read_dataset(path) if path else load("g2")
    assert_type(dataset, Dataset)
    target = dataset.targets["gap"]
    assert_type(target, Target)
    return np.asarray(target.values, dtype=float), [dataset.title, target.unit]


def split(X: Floats, y: Floats) -> float:
    cut = make_split(len(y), n_folds=5)
    assert_type(cut, Split)
    model = make_model("ridge").fit(BoundedScaler().fit_transform(X), y)
    metrics = regression_metrics(y, model.predict(X))
    mae = metrics["mae"].value
    return np.nan if mae is None else mae


def trained(path: Path) -> Floats:
    run = train(Recipe.read(path))
    assert_type(run, Run)
    run.write()
    studies: list[Study] = [run.study]
    assert studies
    model = load_model("atomprint-run/model.atomprint", trusted=["my.Model"])
    assert_type(model, TrainedModel)
    predictions = model.predict(["new.cif", Path("other.cif")])
    assert_type(predictions, Predictions)
    return predictions.values


# Potentials -------------------------------------------------------------------------------------------------------


def potential(atoms: Atoms) -> Floats:
    fitted = LinearACE(r_cut=5.0).fit("train.extxyz")
    assert_type(fitted, LinearACE)
    fitted.save("potential.json")
    prediction = load_potential("potential.json").predict([atoms])
    assert_type(prediction, Prediction)
    for own in prediction.forces:
        assert own.shape[1] == 3
    calculator = fitted.calculator()
    assert_type(calculator, PotentialCalculator)
    atoms.calc = calculator
    relaxed = relax(atoms, fitted)
    assert_type(relaxed.converged, bool)
    return prediction.energies


# Many structures --------------------------------------------------------------------------------------------------


def screened() -> int:
    found = screen("gap.atomprint", ["candidates.store"], where="gap > 1", by="-gap", top=10)
    assert_type(found, Screening)
    fronts = pareto_fronts(np.ones((3, 2)))
    return len(found) + int(fronts.max())


def duplicates(structures: list[Atoms]) -> Duplicates:
    assert_type(distance(structures[0], structures[1]), float)
    return find_duplicates(structures)


def stored() -> Floats:
    build_store("mine.store", "crystals.csv", "SOAP", {"r_cut": 4.0})
    store = FeatureStore.open("mine.store")
    rows = store.where("gap > 1 and 'Cl' in elements")
    return store.features(rows)


def diffusion(path: str) -> float:
    trajectory = Trajectory(path, time_step=10.0)
    found = mean_square_displacement(trajectory)
    assert_type(found, MeanSquareDisplacement)
    coefficient = found.diffusion().coefficient
    assert_type(coefficient, float)
    return coefficient


# Mistakes that are found ------------------------------------------------------------------------------------------


def mistakes(structures: list[Atoms], dataset: Dataset, graphs: GraphBatch) -> Any:
    SOAP(species=["H"], r_cut="5")  # type: ignore[arg-type]
    SOAP(r_cut=5.0, nmax=8)  # type: ignore[call-arg]
    dataset.targets.sort()  # type: ignore[attr-defined]
    load_model(3)  # type: ignore[arg-type]
    train("recipe.toml")  # type: ignore[arg-type]
    pairs(structures[0], "3")  # type: ignore[arg-type]
    LinearACE(r_cut="5")  # type: ignore[arg-type]
    screen("gap.atomprint", "mine.store", top="all")  # type: ignore[arg-type]
    find_duplicates(structures, tolerance="small")  # type: ignore[arg-type]
    return graphs.no_such_thing  # type: ignore[attr-defined]
