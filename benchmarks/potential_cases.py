"""Cases of ``potentials.py``: fits, what uncertainties see, holes, and steps; with what is wanted of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

KINDS = {"energy": "energies", "forces": "forces", "stress": "stresses"}


@dataclass(frozen=True)
class Fit:
    """A potential that is fitted to a data set.

    Attributes
    ----------
    name : str
        For the table and ``--cases``.
    data : str
        Start of the names of the files with training and test structures.
    model : str
        Class of ``atomprint.potentials``, or what it is called in the table.
    options : dict
        Arguments other than the defaults.
    every : int
        Every so many training structures, from the first.
    program : str
        That fits it.
    arguments : list of str
        Of its command line.
    aims : dict of str to list of float
        Errors of the test in meV/atom, eV/Å and GPa, then CPU seconds and MB of the fit: what is wanted first, and what
        after that.
    published : str
        Errors of others on the same test.
    long : bool
        Whether ``--quick`` leaves it out.
    """

    name: str
    data: str
    model: str
    options: dict[str, Any] = field(default_factory=dict)
    every: int = 1
    program: str = "atomprint"
    arguments: list[str] = field(default_factory=list)
    aims: dict[str, list[float]] = field(default_factory=dict)
    published: str = ""
    long: bool = False


@dataclass(frozen=True)
class Doubt:
    """What expected errors are worth: of structures like the training data, and of a kind that these do not have.

    Attributes
    ----------
    name : str
        For the table and ``--cases``.
    data : str
        As for :class:`Fit`.
    without : str
        The type of configuration that is left out of the training data; ``"melts"`` are those of silicon with an energy
        above -4.8 eV an atom. Empty leaves out none.
    options : dict
        Of ``LinearACE``, other than the defaults.
    every : int
        As for :class:`Fit`.
    """

    name: str
    data: str
    without: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    every: int = 1
    program: str = "atomprint"
    long: bool = False


@dataclass(frozen=True)
class Holes:
    """Dense crystals of lattices that no fit is given (``potential_physics.py``), and which lie below the ground state.

    Attributes
    ----------
    name : str
        For the table and ``--cases``.
    model : str
        Name of a fit.
    crystal : tuple
        Formula, structure and lattice constant in Å of the ground state.
    """

    name: str
    model: str
    crystal: tuple[str, str, float]
    program: str = "atomprint"
    long: bool = False


@dataclass(frozen=True)
class Step:
    """Energy and forces of silicon whose atoms have moved a little.

    Attributes
    ----------
    name : str
        For the table and ``--cases``.
    program : str
        Which computes it.
    model : str
        What ``potential_programs.py`` takes as the model: the name of a fit, or a size.
    what : str
        For the table.
    options : dict
        Of the program.
    aims : list of float
        µs an atom that are wanted first, and after that.
    """

    name: str
    program: str
    model: str
    what: str
    options: dict[str, Any] = field(default_factory=dict)
    aims: list[float] = field(default_factory=list)
    long: bool = False


Case: TypeAlias = Fit | Doubt | Holes | Step

_OTHERS = {
    "Ni": "GAP 0.42 / 0.02, MTP 0.48 / 0.01, SNAP 0.78 / 0.038",
    "Cu": "GAP 0.46 / 0.01, MTP 0.41 / 0.01, SNAP 0.53 / 0.037",
    "Li": "GAP 0.49 / 0.01, MTP 0.49 / 0.01, SNAP 1.03 / 0.028",
    "Si": "GAP 2.91 / 0.07, MTP 2.21 / 0.06, SNAP 6.44 / 0.133",
}
_WANTED: dict[str, dict[str, list[float]]] = {
    "Ni": {"energy": [0.40, 0.33], "forces": [0.015, 0.013]},
    "Cu": {"energy": [0.30, 0.23], "forces": [0.008, 0.0065]},
    "Li": {"energy": [0.49, 0.44], "forces": [0.009, 0.008]},
    "Si": {"energy": [2.3, 2.0], "forces": [0.060, 0.056], "seconds": [25], "peak": [500]},
    "InP": {"energy": [0.16], "forces": [0.0085], "stress": [0.018], "seconds": [30], "peak": [1500]},
    "InP-large": {"energy": [0.12], "forces": [0.0060], "stress": [0.010]},
}
_ELEMENTS = ("Ni", "Cu", "Li", "Si")
# What is published of GAP on these data has these parameters of SOAP; here with the cutoff of that paper for silicon.
_GAP = "soap l_max=8 n_max=8 atom_sigma=0.5 zeta=4 cutoff=5.4 cutoff_transition_width=0.5 delta=1.0"

FITS = [
    *(Fit(f"fit-{el}-ace", f"zuo2020_{el}", "LinearACE", aims=_WANTED[el], published=_OTHERS[el]) for el in _ELEMENTS),
    *(
        Fit(f"fit-{el}-gp", f"zuo2020_{el}", "SparseGP", aims={"seconds": [20]} if el == "Si" else {}, long=el != "Si")
        for el in _ELEMENTS
    ),
    Fit("fit-Si-gp-zeta2", "zuo2020_Si", "SparseGP", {"zeta": 2.0}),
    Fit("fit-InP-ace", "inp2020", "LinearACE", {"size": 750}, every=3, aims=_WANTED["InP"]),
    Fit(
        "fit-InP-ace-large",
        "inp2020",
        "LinearACE",
        {"size": "large"},
        aims=_WANTED["InP-large"],
        published="SNAP, training 3.31 / 0.0675 / 1.28",
        long=True,
    ),
    Fit("fit-InP-gp", "inp2020", "SparseGP", every=3, long=True),
    Fit(
        "fit-Si-ace-jax",
        "zuo2020_Si",
        "ace-jax",
        program="ace_jax",
        arguments=["--order", "4", "--max-degree", "15", "--rcut", "5.0"],
    ),
    Fit(
        "fit-InP-ace-jax",
        "inp2020",
        "ace-jax",
        every=3,
        program="ace_jax",
        arguments=["--order", "3", "--max-degree", "10", "--rcut", "5.0"],
        long=True,
    ),
    Fit("fit-Si-gap", "zuo2020_Si", "GAP", program="quippy", arguments=[_GAP, "n_sparse=500"], long=True),
]
DOUBTS = [
    Doubt("uncertainty-Si", "zuo2020_Si"),
    Doubt("uncertainty-Si-hot", "zuo2020_Si", "melts"),
    Doubt("uncertainty-InP", "inp2020", "", {"size": 750}, 3, long=True),
    *(Doubt(f"uncertainty-InP-{kind}", "inp2020", kind, {"size": 750}, 3, long=True) for kind in ("EOS", "Shear")),
]
HOLES = [
    Holes("holes-Si", "fit-Si-ace", ("Si", "diamond", 5.43)),
    Holes("holes-InP", "fit-InP-ace", ("InP", "zincblende", 5.9)),
    Holes("holes-Si-gp", "fit-Si-gp", ("Si", "diamond", 5.43)),
    Holes("holes-Cu", "fit-Cu-ace", ("Cu", "fcc", 3.6)),
    Holes("holes-Ni", "fit-Ni-ace", ("Ni", "fcc", 3.5)),
    Holes("holes-Li", "fit-Li-ace", ("Li", "bcc", 3.5)),
]


def _own(name: str, model: str, what: str, aims: list[float]) -> list[Step]:
    ways = {"": "calculator", "-prepared": "prepared"}
    words = {"calculator": "calculator of ASE", "prepared": "prepared"}
    return [
        Step(f"step-{name}{end}", "atomprint", model, f"{what}, {words[way]}", {"way": way}, aims if end else [])
        for end, way in ways.items()
    ]


STEPS = [
    *_own("ace", "fit-Si-ace", "LinearACE", [12.0, 7.0]),
    *_own("gp", "fit-Si-gp", "SparseGP, zeta 4", [25.0]),
    *_own("gp-zeta2", "fit-Si-gp-zeta2", "SparseGP, zeta 2", [14.0]),
    Step("step-ace-alone", "atomprint", "fit-Si-ace", "LinearACE, a lone atom", {"way": "one atom"}),
    Step("step-ace-jax", "ace_jax", "fit-Si-ace-jax", "ace-jax, calculator of ASE"),
    *(Step(f"step-pace-{n}", "pyace", str(n), f"PACE, {n} functions, calculator of ASE") for n in (300, 700, 1100)),
    *(Step(f"step-snap-{n}", "lammps", str(n), f"SNAP 2J = {n}, run of LAMMPS") for n in (6, 8)),
    Step("step-nep", "calorine", "30", "NEP, 30 neurons, calculator of ASE"),
    Step("step-gap", "quippy", "150", "GAP of QUIP, 150 points, calculator of ASE"),
]


def name_of(path: Path) -> str:
    """Return what a file of one's own is called in names of cases."""
    return path.name.split(".")[0].replace("_train", "")


def of_molecules(path: Path) -> list[Fit]:
    """Return fits to a file of one's own, to half of it and at most 1000 structures, tested on as many others.

    Where a file ``X_test`` lies beside ``X_train``, the first is tested on, and the second fitted to as a whole.
    """
    name = name_of(path)
    jax = ["--order", "4", "--max-degree", "10", "--rcut", "5.0"]
    return [
        Fit(f"fit-{name}-ace", str(path), "LinearACE"),
        Fit(f"fit-{name}-ace-large", str(path), "LinearACE", {"size": "large"}, long=True),
        Fit(f"fit-{name}-gp", str(path), "SparseGP"),
        Fit(f"fit-{name}-ace-jax", str(path), "ace-jax", program="ace_jax", arguments=jax, long=True),
    ]
