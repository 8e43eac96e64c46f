"""Geometries of molecules that are known by their bonds: conformers by distance geometry and force fields."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.units import kcal, mol

from atomprint.chemistry.smiles import quiet_rdkit
from atomprint.descriptors.molecular.contract import (
    MolecularDescriptor,
    MoleculeError,
    Molecules,
    pieces,
)
from atomprint.layout import Layout, Meanings
from atomprint.ragged import offsets_of
from atomprint.structures import StructureError
from atomprint.util import sparse as sparse_arrays
from atomprint.util.extras import require
from atomprint.util.items import items_of
from atomprint.util.overlap import in_order
from atomprint.util.registry import public
from atomprint.util.validation import check_choice, check_integer, check_n_jobs, check_real

FORCE_FIELDS = ("mmff", "uff", "none")
_ITERATIONS = 2000  # of the force field
_KEPT = 4096  # molecules whose conformers are kept
_BOLTZMANN = 8.617333262e-5  # eV/K, CODATA 2018


class Conformers(NamedTuple):
    """Conformers of a molecule, the lowest energy first."""

    numbers: npt.NDArray[np.int64]
    positions: tuple[npt.NDArray[np.float64], ...]  # Å
    energies: tuple[float, ...]  # eV; nan without a force field
    force_field: str


class _Settings(NamedTuple):
    n_conformers: int
    force_field: str
    max_energy: float | None
    min_rmsd: float
    seed: int


def embed(
    molecules: Molecules,
    n_conformers: int = 1,
    *,
    force_field: str = "mmff",
    max_energy: float | None = None,
    min_rmsd: float = 0.0,
    seed: int = 0,
    n_jobs: int | None = 1,
) -> list[Atoms]:
    """Return geometries of molecules: conformers by ETKDG (version 3), relaxed by a force field.

    Parameters
    ----------
    molecules : molecule or sequence of molecules
        SMILES, InChI, the text of a mol file, molecules of RDKit, or ``ase.Atoms`` with ``"smiles"`` in their info.
    n_conformers : int
        How many geometries are tried for each; there may be fewer after ``min_rmsd`` and ``max_energy``.
    force_field : {"mmff", "uff", "none"}
        What relaxes them. Where MMFF94 has no parameters for an atom it is UFF, and none where that has none either.
    max_energy : float, optional
        Conformers whose energy is that far above the lowest are left out, in eV. Needs a force field.
    min_rmsd : float
        Of conformers nearer than this to one of lower energy, by the root mean square distance of their heavy atoms in
        Å, the latter is kept.
    seed : int
        Same seed, same geometries, whatever the order of the molecules and however their SMILES are written.
    n_jobs : int
        Number of threads; -1 for all cores.

    Returns
    -------
    list of ase.Atoms
        All conformers of the first molecule, from the lowest energy on, then of the next. ``info`` has ``"smiles"``,
        ``"molecule"`` (its index), ``"conformer"`` (from 0), ``"force_field"`` and, with one, ``"energy"`` in eV: that
        of the force field, whose zero is its own. Hydrogens are there; atoms have the order of the canonical SMILES.

    Raises
    ------
    ImportError
        If RDKit is not installed.
    ValueError, TypeError
        If something is no molecule, has several parts or open ends, or no geometry is found; the message names it.

    Notes
    -----
    Needs RDKit: ``pip install 'atomprint[rdkit]'``. Stereo that the SMILES leaves open is chosen at random. To keep
    conformers of a molecule in one part of a split, group them by ``info["molecule"]``;
    :class:`~atomprint.descriptors.ConformerAverage` makes one row of them.

    References
    ----------
    S. Wang, J. Witek, G. A. Landrum and S. Riniker, J. Chem. Inf. Model. 60, 2044 (2020).

    Examples
    --------
    >>> from atomprint.molecules import embed
    >>> embed(["CCO", "C"])[1].get_chemical_formula()  # doctest: +SKIP
    'CH4'
    """
    settings = _settings(n_conformers, force_field, max_energy, min_rmsd, seed)
    molecules = items_of("molecules", molecules)
    made: list[Atoms] = []
    for start, mols in pieces(molecules):
        for index, (smiles, found) in enumerate(_all_conformers(mols, settings, check_n_jobs(n_jobs), start), start):
            for place, (positions, energy) in enumerate(zip(found.positions, found.energies, strict=True)):
                info = {"smiles": smiles, "molecule": index, "conformer": place, "force_field": found.force_field}
                info |= {} if np.isnan(energy) else {"energy": energy}
                made.append(Atoms(found.numbers, positions, info=info))
    return made


def _settings(n_conformers: Any, force_field: Any, max_energy: Any, min_rmsd: Any, seed: Any) -> _Settings:
    check_choice("force_field", force_field, FORCE_FIELDS)
    if max_energy is not None:
        check_real("max_energy", max_energy, above=0)
        if force_field == "none":
            raise ValueError(f"max_energy needs a force field, got {max_energy!r} with force_field='none'")
    return _Settings(
        check_integer("n_conformers", n_conformers, 1, 10_000),
        force_field,
        None if max_energy is None else float(max_energy),
        float(check_real("min_rmsd", min_rmsd, at_least=0)),
        check_integer("seed", seed, 0, 2**31 - 2),
    )


def _all_conformers(
    molecules: Sequence[Any], settings: _Settings, n_threads: int, first: int
) -> list[tuple[str, Conformers]]:
    chem = require("rdkit.Chem", "rdkit", "embed")
    texts = [chem.MolToSmiles(one) for one in molecules]

    def make(at: int) -> tuple[str, Conformers]:
        try:
            return texts[at], _conformers(texts[at], settings)
        except ValueError as error:
            raise MoleculeError(first + at, None, f"{texts[at]!r} cannot be embedded: {error}") from error

    with quiet_rdkit():
        return list(in_order(make, range(len(texts)), n_threads))


@lru_cache(maxsize=_KEPT)
def _conformers(smiles: str, settings: _Settings) -> Conformers:
    """Return the conformers of a molecule by its canonical SMILES; ValueError if there are none."""
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom

    molecule = Chem.MolFromSmiles(smiles)
    n_parts = len(Chem.GetMolFrags(molecule))
    if n_parts > 1:
        raise ValueError(f"it has {n_parts} parts, whose distance is not known; give one of them")
    if any(not atom.GetAtomicNum() for atom in molecule.GetAtoms()):
        raise ValueError("it has open ends (*)")
    molecule = Chem.AddHs(molecule)
    options: Any = rdDistGeom.ETKDGv3()
    options.randomSeed = settings.seed + 1  # with 0 all conformers of a molecule are the same
    found = list(rdDistGeom.EmbedMultipleConfs(molecule, settings.n_conformers, options))
    if not found:
        options.useRandomCoords = True  # for large rings and crowded molecules
        found = list(rdDistGeom.EmbedMultipleConfs(molecule, settings.n_conformers, options))
    if not found:
        raise ValueError("no geometry satisfies its distances and stereo")
    energies, force_field = _relaxed(molecule, settings.force_field)
    order = np.argsort(energies, kind="stable")
    kept = _different(molecule, [found[k] for k in order], settings.min_rmsd)
    chosen = [k for k in order if found[k] in kept]
    if settings.max_energy is not None and force_field != "none":
        chosen = [k for k in chosen if energies[k] - energies[order[0]] <= settings.max_energy]
    return Conformers(
        np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()]),
        tuple(molecule.GetConformer(found[k]).GetPositions() for k in chosen),
        tuple(float(energies[k]) for k in chosen),
        force_field,
    )


def _relaxed(molecule: Any, force_field: str) -> tuple[npt.NDArray[np.float64], str]:
    """Relax all conformers, and return their energies in eV and the force field that has all parameters."""
    fields = require("rdkit.Chem.rdForceFieldHelpers", "rdkit")

    n = molecule.GetNumConformers()
    if force_field == "mmff" and not fields.MMFFHasAllMoleculeParams(molecule):
        force_field = "uff"
    if force_field == "uff" and not fields.UFFHasAllMoleculeParams(molecule):
        force_field = "none"
    if force_field == "none":
        return np.full(n, np.nan), force_field
    relax = fields.MMFFOptimizeMoleculeConfs if force_field == "mmff" else fields.UFFOptimizeMoleculeConfs
    energies = np.array([energy for _, energy in relax(molecule, maxIters=_ITERATIONS)]) * (kcal / mol)
    return energies, force_field


def _different(molecule: Any, ids: Sequence[int], min_rmsd: float) -> set[int]:
    """Return conformers that are not near one of those before."""
    if min_rmsd == 0:
        return set(ids)
    from rdkit import Chem
    from rdkit.Chem import rdMolAlign

    heavy = Chem.RemoveHs(molecule)
    kept: list[int] = []
    for one in ids:
        if all(rdMolAlign.GetBestRMS(heavy, heavy, one, other) >= min_rmsd for other in kept):
            kept.append(one)
    return set(kept)


@public("ConformerAverage", version=1, in_recipes=True)
class ConformerAverage(MolecularDescriptor):
    """A descriptor of structures for molecules without geometry: the average over their conformers.

    Molecules are embedded (see :func:`~atomprint.molecules.embed`), each conformer is described, and the rows of a
    molecule are averaged. A molecule stays one sample, so its conformers are never divided among the parts of a split,
    and new molecules are embedded in the same way when they are predicted.

    Parameters
    ----------
    descriptor : transformer
        What describes conformers, with one row for each structure, such as ``SOAP(r_cut=5.0, pooling="mean")``.
    n_conformers, force_field, max_energy, min_rmsd, seed
        See :func:`~atomprint.molecules.embed`.
    temperature : float, optional
        Temperature in K of Boltzmann weights by the energies of the force field. Default: all conformers weigh the
        same.
    sparse : bool
        Whether to return SciPy sparse arrays.
    dtype : {"float64", "float32"}
        Precision of the result.
    n_jobs : int
        Number of threads, which share out the molecules.

    Attributes
    ----------
    descriptor_ : transformer
        The descriptor, fitted to the conformers.

    Notes
    -----
    Needs RDKit: ``pip install 'atomprint[rdkit]'``. Energies of a force field in vacuum are rough: so are weights by
    them.

    Examples
    --------
    >>> from atomprint.descriptors import SOAP, ConformerAverage
    >>> soap = SOAP(r_cut=4.0, n_max=3, l_max=2, pooling="mean")
    >>> ConformerAverage(soap, n_conformers=3).fit_transform(["CCO", "CCCO"]).shape  # doctest: +SKIP
    (2, 135)
    """

    def __init__(
        self,
        descriptor: Any,
        n_conformers: int = 5,
        force_field: str = "mmff",
        max_energy: float | None = None,
        min_rmsd: float = 0.0,
        temperature: float | None = None,
        seed: int = 0,
        sparse: bool = False,
        dtype: Any = "float64",
        n_jobs: int | None = 1,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        super()._validate()
        if not hasattr(self.descriptor, "transform") or getattr(self.descriptor, "takes", "structures") != "structures":
            raise TypeError(f"descriptor must be a descriptor of structures, got {self.descriptor!r}")
        self._settings()
        if self.temperature is not None:
            check_real("temperature", self.temperature, above=0)
            if self.force_field == "none":
                raise ValueError(
                    f"temperature needs energies of a force field, got {self.temperature!r} with force_field='none'"
                )

    def _settings(self) -> _Settings:
        return _settings(self.n_conformers, self.force_field, self.max_energy, self.min_rmsd, self.seed)

    def _fitted(self) -> Any:
        return getattr(self, "descriptor_", self.descriptor)

    def _observer(self) -> _Gathered:
        return _Gathered(self._settings(), check_n_jobs(self.n_jobs))

    def _learn(self, observer: _Gathered) -> None:
        from sklearn.base import clone

        self.descriptor_ = clone(self.descriptor).fit(observer.structures)

    def _rows(self, molecules: Sequence[Any], n_threads: int) -> Any:
        found = [one for _, one in _all_conformers(molecules, self._settings(), n_threads, 0)]
        offsets = offsets_of([len(one.positions) for one in found])
        structures = [Atoms(one.numbers, positions) for one in found for positions in one.positions]
        try:
            rows = self._fitted().transform(structures)
        except StructureError as error:
            index = int(np.searchsorted(offsets, error.index, side="right")) - 1
            raise MoleculeError(index, None, error.reason) from error
        if getattr(rows, "ndim", 0) != 2 or rows.shape[0] != len(structures):
            raise ValueError(
                f"descriptor must give one row for each structure, and {type(self.descriptor).__name__} gives several: "
                "give it an average or a pooling"
            )
        weights = np.concatenate([self._weights(one) for one in found])
        shape = (len(found), len(structures))
        return sparse_arrays.csr_array((weights, np.arange(len(structures)), offsets), shape=shape) @ rows

    def _weights(self, found: Conformers) -> npt.NDArray[np.float64]:
        """Return the weights of the conformers of a molecule, which sum to 1."""
        weights = np.ones(len(found.positions))
        if self.temperature is not None and found.force_field != "none":
            energies = np.array(found.energies)
            weights = np.exp(-(energies - energies.min()) / (_BOLTZMANN * float(self.temperature)))
        return np.asarray(weights / weights.sum())

    def _layout(self) -> Layout:
        raise NotImplementedError  # names and meanings are those of the descriptor

    def get_number_of_features(self) -> int:
        """Return the number of features of one row."""
        return len(self.get_feature_names_out())

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Return the names of the features: those of the descriptor."""
        return np.asarray(self._fitted().get_feature_names_out(), dtype=object)

    def get_feature_meanings(self, given: Meanings | None = None) -> Meanings:
        """Return what the features are about: what those of the descriptor are."""
        meanings = getattr(self._fitted(), "get_feature_meanings", None)
        return Meanings.of_names(self.get_feature_names_out()) if meanings is None else meanings()

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "descriptor_") or bool(getattr(self.descriptor, "__sklearn_is_fitted__", bool)())


class _Gathered:
    """Geometries of the molecules of a fit."""

    def __init__(self, settings: _Settings, n_threads: int) -> None:
        self.settings, self.n_threads = settings, n_threads
        self.structures: list[Atoms] = []
        self.n = 0

    def add(self, molecules: Sequence[Any]) -> None:
        """Embed more molecules."""
        for _, found in _all_conformers(molecules, self.settings, self.n_threads, self.n):
            self.structures += [Atoms(found.numbers, positions) for positions in found.positions]
        self.n += len(molecules)
