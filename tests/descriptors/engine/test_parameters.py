"""No parameter of a descriptor, a pooling or a kernel is taken without a word where it makes no sense."""

import inspect
import re

import numpy as np
import pytest
from helpers.registry import DISTANCES
from sklearn.base import clone

from atomprint.descriptors import (
    ACSF,
    LMBTR,
    MBTR,
    SOAP,
    AngularDistribution,
    CompositionChannels,
    CoordinationNumbers,
    CoulombMatrix,
    ElementProperty,
    EwaldSumMatrix,
    LearnedEmbedding,
    NeighbourStatistics,
    OxidationStates,
    PowderDiffraction,
    RadialDistribution,
    SineMatrix,
    SpaceGroup,
    SteinhardtParameters,
    StructureStatistics,
    ValleOganov,
    WarrenCowley,
)
from atomprint.elements import ElementEmbedding, PropertyChannels
from atomprint.kernels import AverageKernel, REMatchKernel
from atomprint.pooling import Pooling
from atomprint.sampling import CenterSampler

SPECIES = {"species": ["H", "O"]}
MADE = {
    CoulombMatrix: {},
    SineMatrix: {},
    EwaldSumMatrix: {},
    SOAP: {**SPECIES, "r_cut": 4.0, "n_max": 2, "l_max": 1},
    ACSF: {**SPECIES, "r_cut": 4.0},
    MBTR: {**SPECIES, **DISTANCES},
    LMBTR: {**SPECIES, **DISTANCES},
    ValleOganov: {**SPECIES, "function": "distance", "n": 5, "sigma": 0.1, "r_cut": 4.0},
    NeighbourStatistics: SPECIES,
    PowderDiffraction: {},
    RadialDistribution: SPECIES,
    CoordinationNumbers: SPECIES,
    SpaceGroup: {},
    WarrenCowley: SPECIES,
    AngularDistribution: SPECIES,
    SteinhardtParameters: {},
    StructureStatistics: {},
    ElementProperty: {},
    OxidationStates: {},
    CompositionChannels: {},
    LearnedEmbedding: {},
    Pooling: {},
    CenterSampler: {},
    AverageKernel: {},
    REMatchKernel: {},
    ElementEmbedding: {},
    PropertyChannels: {},
}
# Nothing of this means anything for any parameter.
SENSELESS = [
    {},
    (),
    "",
    "abc",
    b"x",
    set(),
    {"a": 1},
    float("nan"),
    float("inf"),
    1j,
    object(),
    np.array("x"),
    np.array(3.5),
    [None, "abc"],
    [[1], "b"],
]
PARAMETERS = [(cls, name) for cls in MADE for name in inspect.signature(cls).parameters]


@pytest.mark.parametrize(("cls", "name"), PARAMETERS, ids=[f"{cls.__name__}-{name}" for cls, name in PARAMETERS])
def test_what_means_nothing_is_refused_by_name(cls, name):
    for value in SENSELESS:
        if name in ("centers", "indices", "weights") and isinstance(value, list | tuple):
            continue  # a list with an item for each structure: whether it fits is known when these are
        with pytest.raises((ValueError, TypeError), match=re.escape(name)):
            cls(**{**MADE[cls], name: value})


@pytest.mark.parametrize(
    ("cls", "wrong", "message"),
    [
        (SOAP, {"compression": {}}, r"compression needs \['mode'\], got {}"),
        (SOAP, {"compression": {"species_weighting": {"H": 1, "O": 2}}}, r"compression needs \['mode'\]"),
        (
            SOAP,
            {"compression": {"mode": "mu2", "species_weighting": {}}},
            "species_weighting must .*have entries, got {}",
        ),
        (SOAP, {"compression": {"mode": "mu2", "species_weighting": {"H": 1, "O": 1, "Xy": 2}}}, "got 'Xy'"),
        (SOAP, {"compression": {"mode": "mu2", "species_weighting": {"H": 1, 1: 2, "O": 1}}}, "once, got H twice"),
        (SOAP, {"compression": {"mode": "mu2", "species_weighting": {"H": 1, "O": None}}}, "of O must be a number"),
        (SOAP, {"compression": {"mod": "mu2"}}, r"compression takes .*got \['mod'\]: did you mean 'mode'\?"),
        (SOAP, {"weighting": {"funtion": "poly"}}, "did you mean 'function'"),
        (SOAP, {"weighting": {"function": "poly", "r0": 4, "M": 1}}, "did you mean 'm'"),
        (SOAP, {"n_jobs": 10**9}, "n_jobs must be <= 4096, got 1000000000"),
        (SOAP, {"n_max": 10**9}, "n_max must be <= 64, got 1000000000"),
        (SOAP, {"sigma": 1e300}, "sigma must be <= 1e.07, got 1e.300"),
        (SOAP, {"r_cut": 1e300}, "r_cut must be <= 1e.07, got 1e.300"),
        (ACSF, {"r_cut": 1e300}, "r_cut must be <= 1e.07, got 1e.300"),
        (ACSF, {"g3_params": []}, "g3_params must be None or numbers"),
        (ACSF, {"g2_params": np.empty((0, 2))}, "g2_params must be None or numbers"),
        (ValleOganov, {"r_cut": 1e300}, "r_cut must be <= 1e.07"),
        (NeighbourStatistics, {"r_cut": 1e300}, "r_cut must be <= 1e.07"),
        (SOAP, {"species": {"H": 1, "O": 8}}, "species must be a sequence"),
        (SOAP, {"dtype": None}, "dtype must be 'float64' or 'float32', got None"),
        (SOAP, {"dtype": "Float 64"}, "did you mean 'float64'"),
        (SOAP, {"rbf": "GTO"}, "did you mean 'gto'"),
        (SOAP, {"n_max": "8"}, "n_max must be an integer, got '8': leave out the quotation marks"),
        (SOAP, {"r_cut": "5"}, "r_cut must be a number, got '5': leave out the quotation marks"),
        (SOAP, {"sparse": "True"}, "sparse must be True or False, got 'True': leave out the quotation marks"),
        (ElementProperty, {"properties": {"mass", "group"}}, "properties must be a sequence of names"),
        (ElementProperty, {"statistics": {"mean": 1}}, "statistics must be a sequence of names"),
        (ElementProperty, {"tables": {"price": {}}}, "tables: price must be None or have entries"),
        (OxidationStates, {"tables": {"common", "observed"}}, "tables must be a sequence of names"),
        (Pooling, {"weights": {"Xy": 1}}, "weights: species must be .*got 'Xy'"),
        (Pooling, {"weights": {"Na": -1}}, "weights of Na must be >= 0, got -1"),
        (Pooling, {"weights": {"Na": "1"}}, "weights of Na must be a number"),
    ],
)
def test_refused(cls, wrong, message):
    with pytest.raises((ValueError, TypeError), match=message):
        cls(**{**MADE[cls], **wrong})


@pytest.mark.parametrize(
    ("cls", "wrong", "right"),
    [
        (SOAP, "nmax", "n_max"),
        (SOAP, "rcut", "r_cut"),
        (SOAP, "n-max", "n_max"),
        (SOAP, "specie", "species"),
        (MBTR, "normalisation", "normalization"),
        (CoulombMatrix, "n_atoms", "n_atoms_max"),
        (Pooling, "weight", "weights"),
        (CenterSampler, "random_seed", "random_state"),
        (AverageKernel, "metrics", "metric"),
        (ElementEmbedding, "n_channel", "n_channels"),
    ],
)
def test_the_parameter_that_was_meant(cls, wrong, right):
    with pytest.raises(TypeError, match=f"Invalid parameter '{wrong}' of {cls.__name__}: did you mean '{right}'"):
        cls(**{**MADE[cls], wrong: 1})
    with pytest.raises(ValueError, match=f"Invalid parameter '{wrong}' of {cls.__name__}: did you mean '{right}'"):
        cls(**MADE[cls]).set_params(**{wrong: 1})
    with pytest.raises(TypeError, match=f"Invalid parameter 'colour' of {cls.__name__}, which takes "):
        cls(colour=1)


@pytest.mark.parametrize("cls", MADE, ids=lambda cls: cls.__name__)
def test_parameters_are_kept_as_they_were_given(cls):
    made = cls(**MADE[cls])
    for name, value in MADE[cls].items():
        assert made.get_params()[name] is value
    assert clone(made).get_params().keys() == set(inspect.signature(cls).parameters)
