"""What all features of molecules by their bonds share: how molecules are read, and the contract of scikit-learn."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from atomprint.chemistry.smiles import is_molecule, molecule_of, quiet_rdkit
from atomprint.formats.components import check_names
from atomprint.layout import HasLayout
from atomprint.structures import StructureError
from atomprint.util import sparse
from atomprint.util.extras import require
from atomprint.util.items import items_of
from atomprint.util.parameters import CheckedParameters
from atomprint.util.scikit import Transformer
from atomprint.util.validation import check_bool, check_dtype, check_n_jobs

Molecules: TypeAlias = Any
"""One molecule, or a sequence of them: SMILES, InChI or the text of a mol file, a molecule of RDKit, or an
``ase.Atoms`` with ``"smiles"`` in its info."""

_PIECE = 1024  # molecules that are held at once


class MoleculeError(StructureError):
    """A molecule that cannot be used, as for structures."""

    noun = "molecule"


class MoleculeTypeError(MoleculeError, TypeError):
    """Something in place of a molecule that is none."""


class Observer(Protocol):
    """What looks at molecules of RDKit."""

    def add(self, molecules: Sequence[Any]) -> None:
        """Look at more of them."""


class MolecularDescriptor(HasLayout, Transformer, CheckedParameters):
    """Base of the features of molecules: a scikit-learn transformer that needs bonds and no coordinates.

    A subclass gives ``_validate``, ``_layout`` and ``_rows``, and ``_observer`` and ``_learn`` if names of features
    come from the molecules of ``fit``. Needs RDKit: ``pip install 'atomprint[rdkit]'``.
    """

    takes = "molecules"

    sparse: bool
    dtype: Any
    n_jobs: int | None

    def _validate(self) -> None:
        """Check the parameters that all have alike; a subclass checks its own, too."""
        check_bool("sparse", self.sparse)
        check_dtype(self.dtype)
        check_n_jobs(self.n_jobs)

    @abstractmethod
    def _rows(self, molecules: Sequence[Any], n_threads: int) -> Any:
        """Return the features of molecules of RDKit, dense or sparse, shape (n_molecules, n_features)."""

    def _observer(self) -> Observer | None:
        """Return what is shown all molecules of ``fit``, if anything is to be learnt of them."""
        return None

    def _learn(self, observer: Any) -> None:
        """Keep what the observer has seen."""

    def create(self, molecules: Molecules, n_jobs: int | None = None) -> Any:
        """Compute the features.

        Parameters
        ----------
        molecules : molecule or sequence of molecules
            SMILES (text, or :class:`~atomprint.chemistry.smiles.Smiles`), InChI, the text of a mol file, molecules of
            RDKit, or ``ase.Atoms`` with ``"smiles"`` in their info. Hydrogens that are written out count as those that
            are not; all parts of a salt or mixture count.
        n_jobs : int, optional
            Number of threads, -1 for all cores. RDKit reads molecules on one. Default: that of the constructor.

        Returns
        -------
        ndarray or scipy.sparse.csr_array, shape (n_features,) or (n_molecules, n_features)
            A single molecule gives no leading axis; a sequence gives one, whatever its length.

        Raises
        ------
        ImportError
            If RDKit is not installed.
        ValueError, TypeError
            If something is not a molecule, or not one for these features; the message names it, with RDKit's reason.
        """
        molecules = items_of("molecules", molecules)
        single = is_molecule(molecules)
        n_threads = check_n_jobs(self.n_jobs if n_jobs is None else n_jobs)
        parts = [self._part(mols, start, n_threads) for start, mols in pieces(molecules)]
        made = parts[0] if len(parts) == 1 else _stacked(parts)
        return made[[0]] if single and self.sparse else made[0] if single else made

    def _part(self, molecules: Sequence[Any], start: int, n_threads: int) -> Any:
        try:
            made = self._rows(molecules, n_threads)
        except MoleculeError as error:
            error.index += start
            raise
        if sparse.issparse(made) and not self.sparse:
            return made.toarray().astype(self.dtype, copy=False)
        return sparse.csr_array(made).astype(self.dtype) if self.sparse else np.asarray(made, dtype=self.dtype)

    def fit(self, X: Molecules, y: Any = None) -> Self:
        """Check the parameters and the molecules, and learn what names of features can say of them.

        Parameters
        ----------
        X : sequence of molecules
            As for :meth:`create`.
        y : ignored
            But for the names of a series or table of pandas, which must not be components of vectors.

        Returns
        -------
        self

        Warns
        -----
        UserWarning
            If molecules have several parts, as salts and mixtures do: they are described by all of them.
        """
        check_names(y)
        self._validate()
        several: list[tuple[int, str]] = []
        observer = self._observer()
        for start, mols in pieces(items_of("molecules", X)):
            if observer is not None:
                observer.add(mols)
            several += [(start + at, text) for at, mol in enumerate(mols) if "." in (text := _written(mol))]
        self._learn(observer)
        if several:
            which, text = several[0]
            warnings.warn(
                f"{len(several)} of the molecules have several parts, such as molecule {which} ({text:.60}): all parts "
                "are described together",
                UserWarning,
                stacklevel=2,
            )
        return self

    def transform(self, X: Molecules) -> Any:
        """Compute the features of a sequence of molecules, always with a leading axis; see :meth:`create`."""
        X = items_of("molecules", X)
        return self.create([X] if is_molecule(X) else X)

    def fit_transform(self, X: Molecules, y: Any = None, **fit_params: Any) -> Any:
        """Call ``fit`` and ``transform`` with the same molecules."""
        X = items_of("molecules", X)
        return self.fit(X, y).transform(X)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.requires_fit = False
        return tags


def _stacked(parts: Sequence[Any]) -> Any:
    return sparse.vstack(parts).tocsr() if sparse.issparse(parts[0]) else np.concatenate(parts)


def _written(mol: Any) -> str:
    """Return the SMILES of a molecule if it has several parts; else nothing, which is quicker."""
    from rdkit import Chem

    return Chem.MolToSmiles(mol) if len(Chem.GetMolFrags(mol)) > 1 else ""


def read_molecules(molecules: Molecules, first: int = 0) -> list[Any]:
    """Return molecules of RDKit, or raise a :class:`MoleculeError` that names the first that is none."""
    read = require("rdkit.Chem", "rdkit", "reading molecules").MolFromSmiles
    made = []
    with quiet_rdkit():
        for index, item in enumerate(molecules, first):
            plain = isinstance(item, str) and item.isascii() and item.isprintable()
            plain = plain and ":" not in item and not item.startswith("InChI")  # : numbers atoms, or is rare
            mol = read(item) if plain else None
            if mol is None or not mol.GetNumAtoms():  # what else it may be, and what is wrong with it
                mol = _read(item, index)
            made.append(mol)
    return made


def _read(item: Any, index: int) -> Any:
    try:
        return molecule_of(item)
    except (ValueError, TypeError) as error:
        kind = MoleculeTypeError if isinstance(error, TypeError) else MoleculeError
        raise kind(index, None, str(error)) from error


def pieces(molecules: Molecules) -> Iterator[tuple[int, list[Any]]]:
    """Yield runs of molecules of RDKit, each with the index of its first; a single molecule is a run of its own."""
    if is_molecule(molecules):
        molecules = [molecules]
    elif not isinstance(molecules, Iterable) or isinstance(molecules, bytes):
        raise TypeError(f"molecules must be SMILES or a sequence of these, got {type(molecules).__name__}")
    molecules = list(molecules)
    if not molecules:
        raise ValueError("molecules must hold at least one molecule, got none")
    for start in range(0, len(molecules), _PIECE):
        yield start, read_molecules(molecules[start : start + _PIECE], start)


def sparse_rows(indices: Sequence[Any], data: Sequence[Any] | None, n_features: int) -> Any:
    """Return a sparse array from the places and values of each row; without values all are 1."""
    offsets = np.zeros(len(indices) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in indices], out=offsets[1:])
    columns: npt.NDArray[np.int64] = np.fromiter((k for row in indices for k in row), np.int64, offsets[-1])
    values = np.ones(len(columns), dtype=np.float32)
    if data is not None:
        values = np.fromiter((v for row in data for v in row), np.float32, offsets[-1])
    made = sparse.csr_array((values, columns, offsets), shape=(len(indices), n_features))
    made.sort_indices()
    return made
