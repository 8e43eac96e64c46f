import enum
from typing import Annotated, overload

import numpy
from numpy.typing import NDArray


def instruction_sets() -> list[str]:
    """
    Names of the instruction sets that this processor supports, slowest first.
    """

def instruction_set() -> str:
    """Name of the instruction set in use."""

def use_instruction_set(name: str) -> None:
    """Change the instruction set in use."""

class Problem(enum.Enum):
    none = 0

    position = 1

    number = 2

    cell = 3

    no_cell = 4

    volume = 5

    coincident = 6

def gather_atoms(items: list, periodic: bool) -> object:
    """
    Arrays of a list of ase.Atoms as (numbers, positions, offsets, cells, pbc), pbc as bytes; None if any is not as ASE makes it.
    """

def check_batch(positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], need_cell: bool) -> tuple:
    """First problem of a batch as (problem, structure, atom, other atom)."""

def neighbour_pairs(positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], points: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], cutoff: float) -> tuple:
    """
    All atoms within the cutoff of points: (point, atom, lattice shift of the atom, vector).
    """

class Match(enum.Enum):
    found = 0

    not_finite = 1

    out_of_range = 2

    not_converged = 3

def compare_structures(products: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], pairs: Annotated[NDArray[numpy.int64], dict(shape=(None, 6), order='C', device='cpu', writable=False)], x_squares: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], y_squares: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], kind: int, gamma: float, degree: float, coef0: float, alpha: float | None, threshold: float, out: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu')], n_threads: int) -> tuple:
    """
    Write the mean similarity of the centres of each pair of structures, or with alpha that of their best match; returns the first problem as (match, pair).
    """

class Soap64:
    """Immutable SOAP calculator for one set of parameters."""

    def __init__(self, n_max: int, l_max: int, cutoff: float, table: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], short_table: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], zone_basis: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], zone_of_cell: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], species_weights: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], embedding: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], n_channels: int, products: int, weighting: int, c: float, d: float, power: float, r0: float, own: float, fade_from: float, fade_to: float) -> None: ...

    @property
    def n_features(self) -> int: ...

    def compute(self, positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], species: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], points: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], atoms: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], centre_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], average: int, n_threads: int, out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')]) -> None:
        """Write the features of all centres or structures to `out`."""

    def vjp(self, positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], species: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], points: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], atoms: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], centre_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], average: int, attach: bool, n_threads: int, cotangents: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu')], strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu')] | None, features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')] | None) -> None:
        """
        Write the derivatives of cotangents * features with respect to positions and strain.
        """

    def jacobian(self, positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], species: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], points: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], atoms: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], centre_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], average: int, attach: bool, n_threads: int, slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], row_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')] | None, strain: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None, None), order='C', device='cpu')] | None, features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')] | None) -> None:
        """Write the derivatives of each feature into zeroed arrays."""

    def pairs(self, positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], species: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], points: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], atoms: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], centre_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], n_threads: int) -> tuple:
        """
        Pairs sorted by species and centre: (start of each species, centre, atom, shift, vector, first pair of each centre among those of a species).
        """

    def touched(self, species: int) -> object:
        """Features that depend on the atoms of a species."""

    def pair_jacobian(self, positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], species: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], points: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], atoms: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], centre_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], average: int, n_threads: int, first: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], value_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], values: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu')]) -> None:
        """Write the derivatives with respect to the vectors of all pairs."""

class Soap32:
    """Immutable SOAP calculator for one set of parameters."""

    def __init__(self, n_max: int, l_max: int, cutoff: float, table: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], short_table: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], zone_basis: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], zone_of_cell: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], species_weights: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], embedding: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], n_channels: int, products: int, weighting: int, c: float, d: float, power: float, r0: float, own: float, fade_from: float, fade_to: float) -> None: ...

    @property
    def n_features(self) -> int: ...

    def compute(self, positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], species: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], points: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], atoms: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], centre_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], average: int, n_threads: int, out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')]) -> None:
        """Write the features of all centres or structures to `out`."""

    def vjp(self, positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], species: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], points: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], atoms: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], centre_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], average: int, attach: bool, n_threads: int, cotangents: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu')], strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu')] | None, features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')] | None) -> None:
        """
        Write the derivatives of cotangents * features with respect to positions and strain.
        """

    def jacobian(self, positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], species: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], points: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], atoms: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], centre_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], average: int, attach: bool, n_threads: int, slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], row_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], gradient: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')] | None, strain: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu')] | None, features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')] | None) -> None:
        """Write the derivatives of each feature into zeroed arrays."""

    def pairs(self, positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], species: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], points: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], atoms: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], centre_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], n_threads: int) -> tuple:
        """
        Pairs sorted by species and centre: (start of each species, centre, atom, shift, vector, first pair of each centre among those of a species).
        """

    def touched(self, species: int) -> object:
        """Features that depend on the atoms of a species."""

    def pair_jacobian(self, positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], species: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], points: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], atoms: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], centre_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], average: int, n_threads: int, first: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], value_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], values: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')]) -> None:
        """Write the derivatives with respect to the vectors of all pairs."""

class Permutation(enum.Enum):
    none = 0

    sorted_l2 = 1

    eigenspectrum = 2

    random = 3

@overload
def coulomb_features(positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')], n_atoms_max: int, permutation: Permutation, noise: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, n_threads: int) -> None: ...

@overload
def coulomb_features(positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], n_atoms_max: int, permutation: Permutation, noise: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, n_threads: int) -> None:
    """Write the Coulomb matrices of a batch."""

@overload
def coulomb_vjp(positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], cotangents: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu')], strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu')] | None, features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')] | None, n_atoms_max: int, permutation: Permutation, n_threads: int) -> None: ...

@overload
def coulomb_vjp(positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], cotangents: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu')], strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu')] | None, features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')] | None, n_atoms_max: int, permutation: Permutation, n_threads: int) -> None:
    """
    Write the derivatives of the sum of cotangents * features, by positions and, unless None, by strain, and the features unless None.
    """

@overload
def coulomb_jacobian(positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], row_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], derivatives: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, None), order='C', device='cpu')] | None, strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3, None), order='C', device='cpu')] | None, features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')] | None, n_atoms_max: int, permutation: Permutation, n_threads: int) -> None: ...

@overload
def coulomb_jacobian(positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], row_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], derivatives: Annotated[NDArray[numpy.float32], dict(shape=(None, 3, None), order='C', device='cpu')] | None, strain: Annotated[NDArray[numpy.float32], dict(shape=(None, 3, 3, None), order='C', device='cpu')] | None, features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')] | None, n_atoms_max: int, permutation: Permutation, n_threads: int) -> None:
    """
    Write to zeroed arrays, each unless None, the derivatives of all features by the positions of selected atoms and by strain, and the features.
    """

@overload
def sine_features(positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')], n_atoms_max: int, permutation: Permutation, noise: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, n_threads: int) -> None: ...

@overload
def sine_features(positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], n_atoms_max: int, permutation: Permutation, noise: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, n_threads: int) -> None:
    """Write the sine matrices of a batch."""

@overload
def sine_vjp(positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], cotangents: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu')], strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu')] | None, features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')] | None, n_atoms_max: int, permutation: Permutation, n_threads: int) -> None: ...

@overload
def sine_vjp(positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], cotangents: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu')], strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu')] | None, features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')] | None, n_atoms_max: int, permutation: Permutation, n_threads: int) -> None:
    """
    Write the derivatives of the sum of cotangents * features, by positions and, unless None, by strain, and the features unless None.
    """

@overload
def sine_jacobian(positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], row_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], derivatives: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, None), order='C', device='cpu')] | None, strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3, None), order='C', device='cpu')] | None, features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')] | None, n_atoms_max: int, permutation: Permutation, n_threads: int) -> None: ...

@overload
def sine_jacobian(positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], row_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], derivatives: Annotated[NDArray[numpy.float32], dict(shape=(None, 3, None), order='C', device='cpu')] | None, strain: Annotated[NDArray[numpy.float32], dict(shape=(None, 3, 3, None), order='C', device='cpu')] | None, features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')] | None, n_atoms_max: int, permutation: Permutation, n_threads: int) -> None:
    """
    Write to zeroed arrays, each unless None, the derivatives of all features by the positions of selected atoms and by strain, and the features.
    """

@overload
def ewald_features(positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], parameters: Annotated[NDArray[numpy.float64], dict(shape=(None, 4), order='C', device='cpu', writable=False)], out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')], n_atoms_max: int, permutation: Permutation, noise: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, n_threads: int) -> None: ...

@overload
def ewald_features(positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], parameters: Annotated[NDArray[numpy.float64], dict(shape=(None, 4), order='C', device='cpu', writable=False)], out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], n_atoms_max: int, permutation: Permutation, noise: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, n_threads: int) -> None:
    """
    Write the Ewald-sum matrices of a batch; parameters are a, r_cut, g_cut and the strain derivative of ln a of each structure.
    """

@overload
def ewald_vjp(positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], parameters: Annotated[NDArray[numpy.float64], dict(shape=(None, 4), order='C', device='cpu', writable=False)], cotangents: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu')], strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu')] | None, features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')] | None, n_atoms_max: int, permutation: Permutation, n_threads: int) -> None: ...

@overload
def ewald_vjp(positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], parameters: Annotated[NDArray[numpy.float64], dict(shape=(None, 4), order='C', device='cpu', writable=False)], cotangents: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu')], strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu')] | None, features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')] | None, n_atoms_max: int, permutation: Permutation, n_threads: int) -> None:
    """
    Write the derivatives of the sum of cotangents * features, by positions and, unless None, by strain, and the features unless None.
    """

@overload
def ewald_jacobian(positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], parameters: Annotated[NDArray[numpy.float64], dict(shape=(None, 4), order='C', device='cpu', writable=False)], slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], row_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], derivatives: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, None), order='C', device='cpu')] | None, strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3, None), order='C', device='cpu')] | None, features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')] | None, n_atoms_max: int, permutation: Permutation, n_threads: int) -> None: ...

@overload
def ewald_jacobian(positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order='C', device='cpu', writable=False)], numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order='C', device='cpu', writable=False)], pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order='C', device='cpu', writable=False)], parameters: Annotated[NDArray[numpy.float64], dict(shape=(None, 4), order='C', device='cpu', writable=False)], slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], row_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], derivatives: Annotated[NDArray[numpy.float32], dict(shape=(None, 3, None), order='C', device='cpu')] | None, strain: Annotated[NDArray[numpy.float32], dict(shape=(None, 3, 3, None), order='C', device='cpu')] | None, features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')] | None, n_atoms_max: int, permutation: Permutation, n_threads: int) -> None:
    """
    Write to zeroed arrays, each unless None, the derivatives of all features by the positions of selected atoms and by strain, and the features.
    """
