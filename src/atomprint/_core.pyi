from collections.abc import Sequence
import enum
from typing import Annotated, overload

import numpy
from numpy.typing import NDArray

class Stop:
    """
    With this, computations of a thread stop once it is set, from any thread.
    """

    def __init__(self) -> None: ...
    def set(self) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *args: object) -> None: ...

def instruction_sets() -> list[str]:
    """
    Names of the instruction sets that this processor supports, slowest first.
    """

def instruction_set() -> str:
    """Name of the instruction set in use."""

def use_instruction_set(name: str) -> None:
    """Change the instruction set in use."""

class SparseRows64:
    """Rows of a sparse matrix that are added one after the other."""

    def __init__(self, n_features: int) -> None: ...
    @property
    def n_rows(self) -> int: ...
    def append(
        self, rows: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu", writable=False)]
    ) -> None:
        """Add rows with all their features."""

    def take(self) -> tuple:
        """
        Hand over all rows as (numbers, their features, start of each row and end of the last).
        """

class SparseRows32:
    """Rows of a sparse matrix that are added one after the other."""

    def __init__(self, n_features: int) -> None: ...
    @property
    def n_rows(self) -> int: ...
    def append(
        self, rows: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)]
    ) -> None:
        """Add rows with all their features."""

    def take(self) -> tuple:
        """
        Hand over all rows as (numbers, their features, start of each row and end of the last).
        """

class ZeroRows64:
    """Zeros of which only those that do not stay so are written to."""

    def __init__(
        self, zeros: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")]
    ) -> None: ...

class ZeroRows32:
    """Zeros of which only those that do not stay so are written to."""

    def __init__(
        self, zeros: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")]
    ) -> None: ...

class Batch:
    """Structures as flat arrays, which are shared and not copied."""

    def __init__(
        self,
        positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu", writable=False)],
        numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order="C", device="cpu", writable=False)],
        offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order="C", device="cpu", writable=False)],
        pbc: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order="C", device="cpu", writable=False)],
    ) -> None: ...

class RowWeights:
    """
    Which rows of its structure each centre goes to, and with which weights.
    """

    def __init__(
        self,
        offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        rows: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        values: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        n_rows: int,
    ) -> None: ...

class Centers:
    """Centres of the structures of a batch: points with their atoms."""

    def __init__(
        self,
        points: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu", writable=False)],
        atoms: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        weights: RowWeights | None = None,
    ) -> None: ...

class Problem(enum.Enum):
    none = 0

    empty = 1

    position = 2

    number = 3

    cell = 4

    no_cell = 5

    volume = 6

    far = 7

    coincident = 8

def read_atoms(items: list, type: type) -> object:
    """
    Arrays of a list of ase.Atoms as (numbers, positions, offsets, cells, pbc); None if any is no object of the type, or not as ASE makes it.
    """

def read_checked(
    items: list,
    type: type,
    periodic: bool | None,
    radii: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    fraction: float,
    least: float,
    n_threads: int,
) -> object:
    """
    The same, how many structures repeat, and what inspect_batch finds. With periodic=False cells are zeros; with True there must be some.
    """

@overload
def all_finite(
    numbers: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    n_threads: int = 1,
) -> bool: ...
@overload
def all_finite(
    numbers: Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)],
    n_threads: int = 1,
) -> bool:
    """Whether there is neither an infinity nor a nan among numbers."""

@overload
def join(
    arrays: list,
    out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")],
    n_threads: int,
) -> bool: ...
@overload
def join(
    arrays: list,
    out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")],
    n_threads: int,
) -> bool:
    """
    Write the rows of arrays one after the other, unless some are of another type or number, or not contiguous: then return False.
    """

def first_unknown(
    numbers: Annotated[NDArray[numpy.int32], dict(shape=(None,), order="C", device="cpu", writable=False)],
    index_of_number: Annotated[NDArray[numpy.int32], dict(shape=(119), order="C", device="cpu", writable=False)],
) -> int:
    """
    First atom whose number has no index, that is -1, in a table of all up to 118; -1 if there is none.
    """

def inspect_batch(
    batch: Batch,
    need_cell: bool,
    radii: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)] | None,
    fraction: float,
    least: float,
    n_threads: int,
) -> object:
    """
    None or, if there is something to tell, the first problem of a batch and, if there is none, what close_pairs returns: (problem, structure, atom, other atom, close pairs); none are looked for if radii is None.
    """

def close_pairs(
    batch: Batch,
    radii: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    fraction: float,
    least: float,
) -> tuple:
    """
    For each structure of a checked batch with atoms nearer than fraction of the sum of their radii or than least, those nearest to each other: (structure, atom, other atom, distance, limit); () if there are none.
    """

def neighbour_pairs(
    batch: Batch,
    centers: Centers,
    cutoff: float,
    with_own: bool,
    radii: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)] | None,
    n_nearest: int,
    keep_ties: bool,
    tolerance: float,
    most: int,
    n_threads: int,
) -> tuple:
    """
    Pairs of centres and atoms, sorted: (structure, centre and atom in it, shift, vector, distance). With with_own an atom on its own centre is one, too. With radii of all atoms those closer than the sum of two; of these n_nearest, unless 0. More than most raise MemoryError.
    """

class AceBasis:
    """
    Radial functions, channels and couplings of an atomic cluster expansion.
    """

    def __init__(
        self,
        *,
        species: Sequence[int],
        cutoff: float,
        n_max: int,
        l_max: int,
        tables: Annotated[
            NDArray[numpy.float64], dict(shape=(None, None, None, None), order="C", device="cpu", writable=False)
        ],
        table_of: Annotated[NDArray[numpy.int32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        channels: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        product_first: Annotated[NDArray[numpy.int32], dict(shape=(None,), order="C", device="cpu", writable=False)],
        product_a: Annotated[NDArray[numpy.int32], dict(shape=(None,), order="C", device="cpu", writable=False)],
        product_b: Annotated[NDArray[numpy.int32], dict(shape=(None,), order="C", device="cpu", writable=False)],
        product_c: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        function_first: Annotated[NDArray[numpy.int32], dict(shape=(None,), order="C", device="cpu", writable=False)],
        function_p: Annotated[NDArray[numpy.int32], dict(shape=(None,), order="C", device="cpu", writable=False)],
        function_q: Annotated[NDArray[numpy.int32], dict(shape=(None,), order="C", device="cpu", writable=False)],
        function_c: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    ) -> None: ...
    @property
    def n_functions(self) -> int: ...

class AceRows:
    """Rows of a fit of an atomic cluster expansion, linear in its functions."""

    def __init__(self, basis: AceBasis, limits: Sequence[float] = []) -> None: ...
    @property
    def n_columns(self) -> int: ...
    def rows(
        self,
        batch: Batch,
        out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), device="cpu")],
        n_threads: int,
    ) -> None:
        """
        Write energy, forces and derivatives by strain for a coefficient 1 of each function of each species.
        """

    def sums(
        self,
        batch: Batch,
        out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), device="cpu")],
        n_threads: int,
    ) -> None:
        """Write the energies of these alone."""

    def atoms(
        self,
        batch: Batch,
        out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), device="cpu")],
        n_threads: int,
    ) -> None:
        """Write the energies of single atoms."""

    def densities(
        self,
        batch: Batch,
        out: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
        n_threads: int,
    ) -> None:
        """
        Write the density of each atom: what limits, by the species of an atom, are of.
        """

class Ace64:
    """Immutable calculator of an atomic cluster expansion."""

    def __init__(self, basis: AceBasis) -> None: ...
    @property
    def n_features(self) -> int: ...
    @overload
    def compute(
        self,
        batch: Batch,
        centers: Centers,
        out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")],
        n_threads: int,
    ) -> None:
        """Write the features of all centres or structures to `out`."""

    @overload
    def compute(self, batch: Batch, centers: Centers, out: ZeroRows64, n_threads: int) -> None:
        """
        Write the features of all centres or structures that are not zero to an array of zeros.
        """

    @overload
    def compute(self, batch: Batch, centers: Centers, out: SparseRows64, n_threads: int) -> None:
        """Add the features of all centres or structures to a sparse matrix."""

    @overload
    def vjp(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        cotangents: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
        gradient: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """
        Write the derivatives of cotangents * features by positions and strain; several have an axis before.
        """

    @overload
    def vjp(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        cotangents: Sequence[Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)]],
        gradient: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """The same, with an array of cotangents for each structure."""

    def jacobian(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        row_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, None), order="C", device="cpu")] | None,
        strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3, None), order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """Write the derivatives of each feature into zeroed arrays."""

    def pairs(self, batch: Batch, centers: Centers, n_threads: int) -> tuple:
        """
        Pairs sorted by species and centre: (start of each species, centre, atom, shift, vector, first pair of each centre among those of a species).
        """

    def touched(self, species: int) -> object:
        """Features that depend on the atoms of a species."""

    def pair_jacobian(
        self,
        batch: Batch,
        centers: Centers,
        first: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        to: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        values: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
        n_threads: int,
    ) -> None:
        """
        Write the derivatives of the features by the vectors of `pairs`, those of pair p from values[to[p]] on unless that is -1; `first` counts among all pairs.
        """

class Ace32:
    """Immutable calculator of an atomic cluster expansion."""

    def __init__(self, basis: AceBasis) -> None: ...
    @property
    def n_features(self) -> int: ...
    @overload
    def compute(
        self,
        batch: Batch,
        centers: Centers,
        out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")],
        n_threads: int,
    ) -> None:
        """Write the features of all centres or structures to `out`."""

    @overload
    def compute(self, batch: Batch, centers: Centers, out: ZeroRows32, n_threads: int) -> None:
        """
        Write the features of all centres or structures that are not zero to an array of zeros.
        """

    @overload
    def compute(self, batch: Batch, centers: Centers, out: SparseRows32, n_threads: int) -> None:
        """Add the features of all centres or structures to a sparse matrix."""

    @overload
    def vjp(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        cotangents: Annotated[NDArray[numpy.float32], dict(order="C", device="cpu", writable=False)],
        gradient: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """
        Write the derivatives of cotangents * features by positions and strain; several have an axis before.
        """

    @overload
    def vjp(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        cotangents: Sequence[Annotated[NDArray[numpy.float32], dict(order="C", device="cpu", writable=False)]],
        gradient: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """The same, with an array of cotangents for each structure."""

    def jacobian(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        row_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        gradient: Annotated[NDArray[numpy.float32], dict(shape=(None, 3, None), order="C", device="cpu")] | None,
        strain: Annotated[NDArray[numpy.float32], dict(shape=(None, 3, 3, None), order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """Write the derivatives of each feature into zeroed arrays."""

    def pairs(self, batch: Batch, centers: Centers, n_threads: int) -> tuple:
        """
        Pairs sorted by species and centre: (start of each species, centre, atom, shift, vector, first pair of each centre among those of a species).
        """

    def touched(self, species: int) -> object:
        """Features that depend on the atoms of a species."""

    def pair_jacobian(
        self,
        batch: Batch,
        centers: Centers,
        first: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        to: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        values: Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu")],
        n_threads: int,
    ) -> None:
        """
        Write the derivatives of the features by the vectors of `pairs`, those of pair p from values[to[p]] on unless that is -1; `first` counts among all pairs.
        """

class Acsf64:
    """Immutable ACSF calculator for one set of parameters."""

    def __init__(
        self,
        *,
        species: Sequence[int],
        cutoff: float,
        g2: Sequence[Sequence[float]],
        g3: Sequence[float],
        g4: Sequence[Sequence[float]],
        g5: Sequence[Sequence[float]],
    ) -> None: ...
    @property
    def n_features(self) -> int: ...
    @overload
    def compute(
        self,
        batch: Batch,
        centers: Centers,
        out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")],
        n_threads: int,
    ) -> None:
        """Write the features of all centres or structures to `out`."""

    @overload
    def compute(self, batch: Batch, centers: Centers, out: ZeroRows64, n_threads: int) -> None:
        """
        Write the features of all centres or structures that are not zero to an array of zeros.
        """

    @overload
    def compute(self, batch: Batch, centers: Centers, out: SparseRows64, n_threads: int) -> None:
        """Add the features of all centres or structures to a sparse matrix."""

    @overload
    def vjp(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        cotangents: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
        gradient: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """
        Write the derivatives of cotangents * features by positions and strain; several have an axis before.
        """

    @overload
    def vjp(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        cotangents: Sequence[Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)]],
        gradient: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """The same, with an array of cotangents for each structure."""

    def jacobian(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        row_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, None), order="C", device="cpu")] | None,
        strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3, None), order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """Write the derivatives of each feature into zeroed arrays."""

    def pairs(self, batch: Batch, centers: Centers, n_threads: int) -> tuple:
        """
        Pairs sorted by species and centre: (start of each species, centre, atom, shift, vector, first pair of each centre among those of a species).
        """

    def touched(self, species: int) -> object:
        """Features that depend on the atoms of a species."""

    def pair_jacobian(
        self,
        batch: Batch,
        centers: Centers,
        first: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        to: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        values: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
        n_threads: int,
    ) -> None:
        """
        Write the derivatives of the features by the vectors of `pairs`, those of pair p from values[to[p]] on unless that is -1; `first` counts among all pairs.
        """

class Acsf32:
    """Immutable ACSF calculator for one set of parameters."""

    def __init__(
        self,
        *,
        species: Sequence[int],
        cutoff: float,
        g2: Sequence[Sequence[float]],
        g3: Sequence[float],
        g4: Sequence[Sequence[float]],
        g5: Sequence[Sequence[float]],
    ) -> None: ...
    @property
    def n_features(self) -> int: ...
    @overload
    def compute(
        self,
        batch: Batch,
        centers: Centers,
        out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")],
        n_threads: int,
    ) -> None:
        """Write the features of all centres or structures to `out`."""

    @overload
    def compute(self, batch: Batch, centers: Centers, out: ZeroRows32, n_threads: int) -> None:
        """
        Write the features of all centres or structures that are not zero to an array of zeros.
        """

    @overload
    def compute(self, batch: Batch, centers: Centers, out: SparseRows32, n_threads: int) -> None:
        """Add the features of all centres or structures to a sparse matrix."""

    @overload
    def vjp(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        cotangents: Annotated[NDArray[numpy.float32], dict(order="C", device="cpu", writable=False)],
        gradient: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """
        Write the derivatives of cotangents * features by positions and strain; several have an axis before.
        """

    @overload
    def vjp(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        cotangents: Sequence[Annotated[NDArray[numpy.float32], dict(order="C", device="cpu", writable=False)]],
        gradient: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """The same, with an array of cotangents for each structure."""

    def jacobian(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        row_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        gradient: Annotated[NDArray[numpy.float32], dict(shape=(None, 3, None), order="C", device="cpu")] | None,
        strain: Annotated[NDArray[numpy.float32], dict(shape=(None, 3, 3, None), order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """Write the derivatives of each feature into zeroed arrays."""

    def pairs(self, batch: Batch, centers: Centers, n_threads: int) -> tuple:
        """
        Pairs sorted by species and centre: (start of each species, centre, atom, shift, vector, first pair of each centre among those of a species).
        """

    def touched(self, species: int) -> object:
        """Features that depend on the atoms of a species."""

    def pair_jacobian(
        self,
        batch: Batch,
        centers: Centers,
        first: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        to: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        values: Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu")],
        n_threads: int,
    ) -> None:
        """
        Write the derivatives of the features by the vectors of `pairs`, those of pair p from values[to[p]] on unless that is -1; `first` counts among all pairs.
        """

class Diffraction:
    """Immutable calculator of powder patterns."""

    def __init__(
        self,
        *,
        wavelength: float,
        lorentz: bool,
        polarized: bool,
        n: int,
        minimum: float,
        spacing: float,
        sigma: float,
        normalization: Diffraction.Normalization,
        factors: Annotated[NDArray[numpy.float64], dict(shape=(None, 10), order="C", device="cpu", writable=False)],
    ) -> None: ...

    class Normalization(enum.Enum):
        none = 0

        max = 1

        area = 2

    def lines(self, batch: Batch, low: float, high: float) -> tuple:
        """
        Return hkl, angles and intensities of all lines between two angles, in no order, without those of -G.
        """

    @overload
    def compute(
        self,
        batch: Batch,
        out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")],
        n_threads: int,
    ) -> None: ...
    @overload
    def compute(
        self,
        batch: Batch,
        out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")],
        n_threads: int,
    ) -> None:
        """Write the patterns of structures."""

    @overload
    def vjp(
        self,
        batch: Batch,
        cotangents: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
        gradient: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None: ...
    @overload
    def vjp(
        self,
        batch: Batch,
        cotangents: Annotated[NDArray[numpy.float32], dict(order="C", device="cpu", writable=False)],
        gradient: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """
        Add the derivatives of cotangents * features by positions and strain; several have an axis before.
        """

    @overload
    def jacobian(
        self,
        batch: Batch,
        slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        row_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, None), order="C", device="cpu")] | None,
        strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3, None), order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None: ...
    @overload
    def jacobian(
        self,
        batch: Batch,
        slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        row_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        gradient: Annotated[NDArray[numpy.float32], dict(shape=(None, 3, None), order="C", device="cpu")] | None,
        strain: Annotated[NDArray[numpy.float32], dict(shape=(None, 3, 3, None), order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """Add the derivatives of each feature to arrays."""

class Gaussians:
    """Gaussians of structures, and the points of a grid of each."""

    def __init__(
        self,
        positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu", writable=False)],
        channels: Annotated[NDArray[numpy.int32], dict(shape=(None,), order="C", device="cpu", writable=False)],
        weights: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        sigmas: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        origins: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu", writable=False)],
        steps: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order="C", device="cpu", writable=False)],
        wraps: Annotated[NDArray[numpy.bool_], dict(shape=(None, 3), order="C", device="cpu", writable=False)],
        shape: tuple[int, int, int],
        n_channels: int,
        cutoff: float,
    ) -> None: ...

@overload
def density(
    gaussians: Gaussians,
    out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")],
    n_threads: int,
) -> None: ...
@overload
def density(
    gaussians: Gaussians,
    out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")],
    n_threads: int,
) -> None:
    """Write the sums of all Gaussians of each structure and channel."""

@overload
def density_vjp(
    gaussians: Gaussians,
    cotangents: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu")],
    strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order="C", device="cpu")],
    n_threads: int,
) -> None: ...
@overload
def density_vjp(
    gaussians: Gaussians,
    cotangents: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu")],
    strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order="C", device="cpu")],
    n_threads: int,
) -> None:
    """
    Write the derivatives of the sum of cotangents * features by each Gaussian's position, and by its share of a strain that takes the grid along.
    """

@overload
def density_slopes(
    gaussians: Gaussians,
    rows: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    factors: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    out: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, None), order="C", device="cpu")],
    n_threads: int,
) -> None: ...
@overload
def density_slopes(
    gaussians: Gaussians,
    rows: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    factors: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    out: Annotated[NDArray[numpy.float32], dict(shape=(None, 3, None), order="C", device="cpu")],
    n_threads: int,
) -> None:
    """
    Add the derivatives by each Gaussian's position, times its factor, to a row unless that is negative.
    """

@overload
def density_strain(
    gaussians: Gaussians,
    arms: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu", writable=False)] | None,
    out: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3, None), order="C", device="cpu")],
    n_threads: int,
) -> None: ...
@overload
def density_strain(
    gaussians: Gaussians,
    arms: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu", writable=False)] | None,
    out: Annotated[NDArray[numpy.float32], dict(shape=(None, 3, 3, None), order="C", device="cpu")],
    n_threads: int,
) -> None:
    """
    Add the derivatives by strain: of grids that it takes along unless there are arms of the Gaussians.
    """

class MatrixKind(enum.Enum):
    coulomb = 0

    sine = 1

    ewald = 2

class Permutation(enum.Enum):
    none = 0

    sorted_l2 = 1

    eigenspectrum = 2

    random = 3

@overload
def matrix_features(
    kind: MatrixKind,
    batch: Batch,
    parameters: Annotated[NDArray[numpy.float64], dict(shape=(None, 4), order="C", device="cpu", writable=False)]
    | None,
    out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")],
    n_atoms_max: int,
    permutation: Permutation,
    noise: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu", writable=False)] | None,
    n_threads: int,
) -> None: ...
@overload
def matrix_features(
    kind: MatrixKind,
    batch: Batch,
    parameters: Annotated[NDArray[numpy.float64], dict(shape=(None, 4), order="C", device="cpu", writable=False)]
    | None,
    out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")],
    n_atoms_max: int,
    permutation: Permutation,
    noise: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu", writable=False)] | None,
    n_threads: int,
) -> None:
    """
    Write the matrices of a batch; parameters are a, r_cut, g_cut and d ln a / d strain of each structure.
    """

@overload
def matrix_vjp(
    kind: MatrixKind,
    batch: Batch,
    parameters: Annotated[NDArray[numpy.float64], dict(shape=(None, 4), order="C", device="cpu", writable=False)]
    | None,
    cotangents: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    gradient: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
    strain: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")] | None,
    features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")] | None,
    n_atoms_max: int,
    permutation: Permutation,
    n_threads: int,
) -> None: ...
@overload
def matrix_vjp(
    kind: MatrixKind,
    batch: Batch,
    parameters: Annotated[NDArray[numpy.float64], dict(shape=(None, 4), order="C", device="cpu", writable=False)]
    | None,
    cotangents: Annotated[NDArray[numpy.float32], dict(order="C", device="cpu", writable=False)],
    gradient: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
    strain: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")] | None,
    features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")] | None,
    n_atoms_max: int,
    permutation: Permutation,
    n_threads: int,
) -> None:
    """
    Write the derivatives of the sum of cotangents * features, by positions and, unless None, by strain, and the features unless None.
    """

@overload
def matrix_jacobian(
    kind: MatrixKind,
    batch: Batch,
    parameters: Annotated[NDArray[numpy.float64], dict(shape=(None, 4), order="C", device="cpu", writable=False)]
    | None,
    slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    row_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    derivatives: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, None), order="C", device="cpu")] | None,
    strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3, None), order="C", device="cpu")] | None,
    features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")] | None,
    n_atoms_max: int,
    permutation: Permutation,
    n_threads: int,
) -> None: ...
@overload
def matrix_jacobian(
    kind: MatrixKind,
    batch: Batch,
    parameters: Annotated[NDArray[numpy.float64], dict(shape=(None, 4), order="C", device="cpu", writable=False)]
    | None,
    slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    row_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    derivatives: Annotated[NDArray[numpy.float32], dict(shape=(None, 3, None), order="C", device="cpu")] | None,
    strain: Annotated[NDArray[numpy.float32], dict(shape=(None, 3, 3, None), order="C", device="cpu")] | None,
    features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")] | None,
    n_atoms_max: int,
    permutation: Permutation,
    n_threads: int,
) -> None:
    """
    Write to zeroed arrays, each unless None, the derivatives of all features by the positions of selected atoms and by strain, and the features.
    """

def canonical_order(
    matrix: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    equal: float,
) -> list[int]:
    """
    Return the rows of a symmetric matrix in an order such that its elements do not depend on the order in which they were given; elements that differ by less than the fraction equal of the largest are the same.
    """

class MbtrParameters:
    """What a term of MBTR or LMBTR is made for."""

    def __init__(
        self,
        *,
        geometry: MbtrParameters.Geometry,
        weighting: MbtrParameters.Weighting,
        normalization: MbtrParameters.Normalization,
        local: bool,
        species: Sequence[int],
        n: int,
        minimum: float,
        spacing: float,
        sigma: float,
        height: float,
        scale: float,
        cutoff: float,
        sharpness: float,
    ) -> None: ...

    class Geometry(enum.Enum):
        atomic_number = 0

        distance = 1

        inverse_distance = 2

        angle = 3

        cosine = 4

    class Weighting(enum.Enum):
        unity = 0

        exponential = 1

        inverse_square = 2

        smooth_cutoff = 3

    class Normalization(enum.Enum):
        none = 0

        l2 = 1

        n_atoms = 2

        valle_oganov = 3

class Mbtr64:
    """Immutable calculator of terms of MBTR, or one of LMBTR."""

    def __init__(self, terms: Sequence[MbtrParameters]) -> None: ...
    @property
    def n_features(self) -> int: ...
    @overload
    def compute(
        self,
        batch: Batch,
        centers: Centers,
        out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")],
        n_threads: int,
    ) -> None:
        """Write the features of all centres or structures to `out`."""

    @overload
    def compute(self, batch: Batch, centers: Centers, out: ZeroRows64, n_threads: int) -> None:
        """
        Write the features of all centres or structures that are not zero to an array of zeros.
        """

    @overload
    def compute(self, batch: Batch, centers: Centers, out: SparseRows64, n_threads: int) -> None:
        """Add the features of all centres or structures to a sparse matrix."""

    @overload
    def vjp(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        cotangents: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
        gradient: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """
        Write the derivatives of cotangents * features by positions and strain; several have an axis before.
        """

    @overload
    def vjp(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        cotangents: Sequence[Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)]],
        gradient: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """The same, with an array of cotangents for each structure."""

    def jacobian(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        row_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, None), order="C", device="cpu")] | None,
        strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3, None), order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """Write the derivatives of each feature into zeroed arrays."""

    def pairs(self, batch: Batch, centers: Centers, n_threads: int) -> tuple:
        """
        Pairs sorted by species and centre: (start of each species, centre, atom, shift, vector, first pair of each centre among those of a species).
        """

    def touched(self, species: int) -> object:
        """Features that depend on the atoms of a species."""

    def pair_jacobian(
        self,
        batch: Batch,
        centers: Centers,
        first: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        to: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        values: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
        n_threads: int,
    ) -> None:
        """
        Write the derivatives of the features by the vectors of `pairs`, those of pair p from values[to[p]] on unless that is -1; `first` counts among all pairs.
        """

class Mbtr32:
    """Immutable calculator of terms of MBTR, or one of LMBTR."""

    def __init__(self, terms: Sequence[MbtrParameters]) -> None: ...
    @property
    def n_features(self) -> int: ...
    @overload
    def compute(
        self,
        batch: Batch,
        centers: Centers,
        out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")],
        n_threads: int,
    ) -> None:
        """Write the features of all centres or structures to `out`."""

    @overload
    def compute(self, batch: Batch, centers: Centers, out: ZeroRows32, n_threads: int) -> None:
        """
        Write the features of all centres or structures that are not zero to an array of zeros.
        """

    @overload
    def compute(self, batch: Batch, centers: Centers, out: SparseRows32, n_threads: int) -> None:
        """Add the features of all centres or structures to a sparse matrix."""

    @overload
    def vjp(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        cotangents: Annotated[NDArray[numpy.float32], dict(order="C", device="cpu", writable=False)],
        gradient: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """
        Write the derivatives of cotangents * features by positions and strain; several have an axis before.
        """

    @overload
    def vjp(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        cotangents: Sequence[Annotated[NDArray[numpy.float32], dict(order="C", device="cpu", writable=False)]],
        gradient: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """The same, with an array of cotangents for each structure."""

    def jacobian(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        row_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        gradient: Annotated[NDArray[numpy.float32], dict(shape=(None, 3, None), order="C", device="cpu")] | None,
        strain: Annotated[NDArray[numpy.float32], dict(shape=(None, 3, 3, None), order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """Write the derivatives of each feature into zeroed arrays."""

    def pairs(self, batch: Batch, centers: Centers, n_threads: int) -> tuple:
        """
        Pairs sorted by species and centre: (start of each species, centre, atom, shift, vector, first pair of each centre among those of a species).
        """

    def touched(self, species: int) -> object:
        """Features that depend on the atoms of a species."""

    def pair_jacobian(
        self,
        batch: Batch,
        centers: Centers,
        first: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        to: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        values: Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu")],
        n_threads: int,
    ) -> None:
        """
        Write the derivatives of the features by the vectors of `pairs`, those of pair p from values[to[p]] on unless that is -1; `first` counts among all pairs.
        """

class PreparedPairs:
    """Pairs of structures, kept while their atoms move."""

    @property
    def n_lists(self) -> int:
        """How often pairs of a structure were listed."""

class PairTable:
    """Energies of pairs of atoms, tabulated by pair of species."""

    def __init__(
        self,
        *,
        species: Sequence[int],
        tables: Annotated[NDArray[numpy.float64], dict(shape=(None, None, 6), order="C", device="cpu", writable=False)],
        ranges: Sequence[float],
        table_of: Annotated[NDArray[numpy.int32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        over_distance: bool,
        known: Sequence[float],
    ) -> None: ...
    @property
    def cutoff(self) -> float: ...
    def evaluate(
        self,
        batch: Batch,
        energies: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
        gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order="C", device="cpu")],
        n_threads: int,
    ) -> float:
        """
        Write energies by atoms, and their sum's derivatives by positions and by strain; returns the distance of the two atoms that are nearest to each other in units of that which is known, where one is.
        """

    def prepare(self, batch: Batch, skin: float) -> PreparedPairs:
        """Return what keeps the pairs of these structures between calls."""

    def evaluate_moved(
        self,
        prepared: PreparedPairs,
        positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu", writable=False)],
        cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order="C", device="cpu", writable=False)],
        energies: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
        gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order="C", device="cpu")],
        n_threads: int,
    ) -> float:
        """The same for other positions and cells, with the pairs that were kept."""

class AcePotential64:
    """A sum of invariants of a cluster expansion times weights."""

    def __init__(
        self,
        basis: AceBasis,
        weights: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        limits: Sequence[float] = [],
    ) -> None: ...
    @property
    def cutoff(self) -> float: ...
    def evaluate(
        self,
        batch: Batch,
        energies: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
        gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order="C", device="cpu")],
        n_threads: int,
    ) -> float:
        """
        Write energies by atoms, and their sum's derivatives by positions and by strain; returns the distance of the two atoms that are nearest to each other in units of that which is known, where one is.
        """

    def prepare(self, batch: Batch, skin: float) -> PreparedPairs:
        """Return what keeps the pairs of these structures between calls."""

    def evaluate_moved(
        self,
        prepared: PreparedPairs,
        positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu", writable=False)],
        cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order="C", device="cpu", writable=False)],
        energies: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
        gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order="C", device="cpu")],
        n_threads: int,
    ) -> float:
        """The same for other positions and cells, with the pairs that were kept."""

class AcePotential32:
    """A sum of invariants of a cluster expansion times weights."""

    def __init__(
        self,
        basis: AceBasis,
        weights: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        limits: Sequence[float] = [],
    ) -> None: ...
    @property
    def cutoff(self) -> float: ...
    def evaluate(
        self,
        batch: Batch,
        energies: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
        gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order="C", device="cpu")],
        n_threads: int,
    ) -> float:
        """
        Write energies by atoms, and their sum's derivatives by positions and by strain; returns the distance of the two atoms that are nearest to each other in units of that which is known, where one is.
        """

    def prepare(self, batch: Batch, skin: float) -> PreparedPairs:
        """Return what keeps the pairs of these structures between calls."""

    def evaluate_moved(
        self,
        prepared: PreparedPairs,
        positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu", writable=False)],
        cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order="C", device="cpu", writable=False)],
        energies: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
        gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order="C", device="cpu")],
        n_threads: int,
    ) -> float:
        """The same for other positions and cells, with the pairs that were kept."""

class LocalKernel:
    """Similarity of two centres, from the scalar product of their features."""

    def __init__(self, *, kind: LocalKernel.Kind, gamma: float, degree: float, coef0: float) -> None: ...

    class Kind(enum.Enum):
        given = 0

        polynomial = 1

        rbf = 2

class Match(enum.Enum):
    found = 0

    not_finite = 1

    out_of_range = 2

    not_converged = 3

def compare_structures(
    kernel: LocalKernel,
    products: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    pairs: Annotated[NDArray[numpy.int64], dict(shape=(None, 6), order="C", device="cpu", writable=False)],
    x_squares: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    y_squares: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    alpha: float | None,
    threshold: float,
    out: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
    n_threads: int,
) -> tuple:
    """
    Write the mean similarity of the centres of each pair of structures, or with alpha that of their best match; returns the first problem as (match, pair).
    """

def neighbour_distances(batch: Batch, n_neighbours: int, with_columns: bool, n_threads: int) -> tuple:
    """
    Sorted distances from atoms to neighbours as (n_species, n_columns, species, counts, summaries, columns), those of all structures one after the other: the mean, least and largest of each species and column, and the columns themselves, if they are asked for.
    """

def largest_difference(
    columns: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    counts: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    scale: float,
    other_columns: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    other_counts: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    other_scale: float,
) -> float:
    """
    The largest difference of the distances of two structures with one formula, each multiplied by its scale.
    """

def distance_differences(
    columns: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    counts: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    scales: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    pairs: Annotated[NDArray[numpy.int64], dict(shape=(None, 2), order="C", device="cpu", writable=False)],
    out: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
    n_threads: int,
) -> None:
    """
    Write the largest difference of the distances of each pair of structures with one formula, each multiplied by its scale.
    """

def surroundings(
    batch: Batch,
    radii: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    cutoffs: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    near: float,
    far: float,
    beyond: float,
    n_threads: int = 1,
) -> tuple:
    """
    Of each atom the distance to its nearest neighbour and the atomic number of it, of each structure the mean number of neighbours, of atoms within its cutoff, and how lopsided they are: (distances, numbers, means).
    """

class Weighting:
    """Weight of a neighbour's density as a function of its distance in Å."""

    def __init__(
        self,
        *,
        kind: Weighting.Kind,
        c: float,
        d: float,
        m: float,
        r0: float,
        own: float | None = None,
        fade: tuple[float, float] | None = None,
    ) -> None: ...

    class Kind(enum.Enum):
        none = 0

        poly = 1

        pow = 2

        exp = 3

        exp_decay = 4

    def __call__(self, r: float) -> float:
        """Weight of an atom at a distance."""

class SoapParameters:
    """What a SOAP calculator is made for."""

    def __init__(
        self,
        *,
        n_max: int,
        l_max: int,
        species: Sequence[int],
        cutoff: float,
        weighting: Weighting,
        species_weights: Sequence[float],
        embedding: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu", writable=False)]
        | None,
        products: SoapParameters.Products,
        averages: bool,
    ) -> None: ...

    class Products(enum.Enum):
        all = 0

        diagonal = 1

        total = 2

class Soap64:
    """Immutable SOAP calculator for one set of parameters."""

    def __init__(
        self,
        parameters: SoapParameters,
        table: Annotated[
            NDArray[numpy.float64], dict(shape=(None, None, None, None), order="C", device="cpu", writable=False)
        ],
        short_table: Annotated[
            NDArray[numpy.float64], dict(shape=(None, None, None), order="C", device="cpu", writable=False)
        ],
        zone_basis: Annotated[
            NDArray[numpy.float64], dict(shape=(None, None, None, None), order="C", device="cpu", writable=False)
        ],
        zone_of_cell: Annotated[NDArray[numpy.int32], dict(shape=(None,), order="C", device="cpu", writable=False)],
    ) -> None: ...
    @property
    def n_features(self) -> int: ...
    @overload
    def compute(
        self,
        batch: Batch,
        centers: Centers,
        out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")],
        n_threads: int,
    ) -> None:
        """Write the features of all centres or structures to `out`."""

    @overload
    def compute(self, batch: Batch, centers: Centers, out: ZeroRows64, n_threads: int) -> None:
        """
        Write the features of all centres or structures that are not zero to an array of zeros.
        """

    @overload
    def compute(self, batch: Batch, centers: Centers, out: SparseRows64, n_threads: int) -> None:
        """Add the features of all centres or structures to a sparse matrix."""

    @overload
    def vjp(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        cotangents: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
        gradient: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """
        Write the derivatives of cotangents * features by positions and strain; several have an axis before.
        """

    @overload
    def vjp(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        cotangents: Sequence[Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)]],
        gradient: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """The same, with an array of cotangents for each structure."""

    def jacobian(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        row_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, None), order="C", device="cpu")] | None,
        strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3, None), order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """Write the derivatives of each feature into zeroed arrays."""

    def pairs(self, batch: Batch, centers: Centers, n_threads: int) -> tuple:
        """
        Pairs sorted by species and centre: (start of each species, centre, atom, shift, vector, first pair of each centre among those of a species).
        """

    def touched(self, species: int) -> object:
        """Features that depend on the atoms of a species."""

    def pair_jacobian(
        self,
        batch: Batch,
        centers: Centers,
        first: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        to: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        values: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
        n_threads: int,
    ) -> None:
        """
        Write the derivatives of the features by the vectors of `pairs`, those of pair p from values[to[p]] on unless that is -1; `first` counts among all pairs.
        """

class Soap32:
    """Immutable SOAP calculator for one set of parameters."""

    def __init__(
        self,
        parameters: SoapParameters,
        table: Annotated[
            NDArray[numpy.float64], dict(shape=(None, None, None, None), order="C", device="cpu", writable=False)
        ],
        short_table: Annotated[
            NDArray[numpy.float64], dict(shape=(None, None, None), order="C", device="cpu", writable=False)
        ],
        zone_basis: Annotated[
            NDArray[numpy.float64], dict(shape=(None, None, None, None), order="C", device="cpu", writable=False)
        ],
        zone_of_cell: Annotated[NDArray[numpy.int32], dict(shape=(None,), order="C", device="cpu", writable=False)],
    ) -> None: ...
    @property
    def n_features(self) -> int: ...
    @overload
    def compute(
        self,
        batch: Batch,
        centers: Centers,
        out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")],
        n_threads: int,
    ) -> None:
        """Write the features of all centres or structures to `out`."""

    @overload
    def compute(self, batch: Batch, centers: Centers, out: ZeroRows32, n_threads: int) -> None:
        """
        Write the features of all centres or structures that are not zero to an array of zeros.
        """

    @overload
    def compute(self, batch: Batch, centers: Centers, out: SparseRows32, n_threads: int) -> None:
        """Add the features of all centres or structures to a sparse matrix."""

    @overload
    def vjp(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        cotangents: Annotated[NDArray[numpy.float32], dict(order="C", device="cpu", writable=False)],
        gradient: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """
        Write the derivatives of cotangents * features by positions and strain; several have an axis before.
        """

    @overload
    def vjp(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        cotangents: Sequence[Annotated[NDArray[numpy.float32], dict(order="C", device="cpu", writable=False)]],
        gradient: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """The same, with an array of cotangents for each structure."""

    def jacobian(
        self,
        batch: Batch,
        centers: Centers,
        attach: bool,
        slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        row_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        gradient: Annotated[NDArray[numpy.float32], dict(shape=(None, 3, None), order="C", device="cpu")] | None,
        strain: Annotated[NDArray[numpy.float32], dict(shape=(None, 3, 3, None), order="C", device="cpu")] | None,
        features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")] | None,
        n_threads: int,
    ) -> None:
        """Write the derivatives of each feature into zeroed arrays."""

    def pairs(self, batch: Batch, centers: Centers, n_threads: int) -> tuple:
        """
        Pairs sorted by species and centre: (start of each species, centre, atom, shift, vector, first pair of each centre among those of a species).
        """

    def touched(self, species: int) -> object:
        """Features that depend on the atoms of a species."""

    def pair_jacobian(
        self,
        batch: Batch,
        centers: Centers,
        first: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        to: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        values: Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu")],
        n_threads: int,
    ) -> None:
        """
        Write the derivatives of the features by the vectors of `pairs`, those of pair p from values[to[p]] on unless that is -1; `first` counts among all pairs.
        """

class SparsePoints:
    """The sparse points of one species."""

    def __init__(
        self,
        *,
        points: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        basis: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu", writable=False)]
        | None = None,
        coefficients: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)]
        | None = None,
        form: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu", writable=False)]
        | None = None,
    ) -> None: ...

class Gap64:
    """Sparse Gaussian process on a SOAP calculator."""

    def __init__(
        self,
        soap: Soap64,
        weights: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        zeta: float,
        species: Sequence[SparsePoints],
    ) -> None: ...
    @property
    def cutoff(self) -> float: ...
    def evaluate(
        self,
        batch: Batch,
        energies: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
        gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order="C", device="cpu")],
        n_threads: int,
    ) -> float:
        """
        Write energies by atoms, and their sum's derivatives by positions and by strain; returns the distance of the two atoms that are nearest to each other in units of that which is known, where one is.
        """

    def prepare(self, batch: Batch, skin: float) -> PreparedPairs:
        """Return what keeps the pairs of these structures between calls."""

    def evaluate_moved(
        self,
        prepared: PreparedPairs,
        positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu", writable=False)],
        cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order="C", device="cpu", writable=False)],
        energies: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
        gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order="C", device="cpu")],
        n_threads: int,
    ) -> float:
        """The same for other positions and cells, with the pairs that were kept."""

    @property
    def n_functions(self) -> int: ...
    def features(
        self,
        batch: Batch,
        out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")],
        n_threads: int,
    ) -> None:
        """Write the weighted features of each atom, divided by their length."""

    def rows(
        self,
        batch: Batch,
        out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), device="cpu")],
        n_threads: int,
    ) -> None:
        """
        Write what energy, forces and derivatives by strain are for a coefficient 1 of each sparse point.
        """

class Gap32:
    """Sparse Gaussian process on a SOAP calculator."""

    def __init__(
        self,
        soap: Soap32,
        weights: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
        zeta: float,
        species: Sequence[SparsePoints],
    ) -> None: ...
    @property
    def cutoff(self) -> float: ...
    def evaluate(
        self,
        batch: Batch,
        energies: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
        gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order="C", device="cpu")],
        n_threads: int,
    ) -> float:
        """
        Write energies by atoms, and their sum's derivatives by positions and by strain; returns the distance of the two atoms that are nearest to each other in units of that which is known, where one is.
        """

    def prepare(self, batch: Batch, skin: float) -> PreparedPairs:
        """Return what keeps the pairs of these structures between calls."""

    def evaluate_moved(
        self,
        prepared: PreparedPairs,
        positions: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu", writable=False)],
        cells: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order="C", device="cpu", writable=False)],
        energies: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
        gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, 3), order="C", device="cpu")],
        strain: Annotated[NDArray[numpy.float64], dict(shape=(None, 3, 3), order="C", device="cpu")],
        n_threads: int,
    ) -> float:
        """The same for other positions and cells, with the pairs that were kept."""

    @property
    def n_functions(self) -> int: ...
    def features(
        self,
        batch: Batch,
        out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")],
        n_threads: int,
    ) -> None:
        """Write the weighted features of each atom, divided by their length."""

def tree_shape(is_leaf: NDArray) -> tuple[NDArray, NDArray, int]:
    """Children of the nodes of a tree in preorder, and its depth."""

def sum_up_tree(
    is_leaf: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order="C", device="cpu", writable=False)],
    kind: int,
    n: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu")],
    weight: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
    value: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order="C", device="cpu")],
    impurity: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
) -> None:
    """Fill in what inner nodes are of their children."""

def grow_twigs(
    is_leaf: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order="C", device="cpu", writable=False)],
    feature: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    threshold: Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)],
    rows: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    columns: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    y: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    ranks: Annotated[NDArray[numpy.int32], dict(shape=(None,), order="C", device="cpu", writable=False)],
    seed: int,
    chance: int,
) -> tuple:
    """A tree whose leaves of few samples are grown to the end."""

def replay_tree(
    is_leaf: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order="C", device="cpu", writable=False)],
    feature: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    n_left: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    columns: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    y: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    counts: Annotated[NDArray[numpy.int32], dict(shape=(None,), order="C", device="cpu", writable=False)],
    n_classes: int,
) -> tuple:
    """
    Thresholds, numbers of samples, and weights and values of leaves, from the samples that a tree was grown on.
    """
