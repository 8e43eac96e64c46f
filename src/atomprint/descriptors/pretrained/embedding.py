"""Embeddings of pretrained potentials as a descriptor."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

from atomprint.descriptors.engine.call import Array, Call, Derivatives, Prepared
from atomprint.descriptors.engine.centers import CenterBatch, Centers
from atomprint.descriptors.engine.evaluator import Evaluator
from atomprint.descriptors.engine.local import LocalDescriptor
from atomprint.descriptors.pretrained.cache import RowCache, keys_of, row_cache, user_cache
from atomprint.descriptors.pretrained.load import model_of
from atomprint.descriptors.pretrained.network import Model, Pullback
from atomprint.descriptors.pretrained.weights import WEIGHTS, Weights, named
from atomprint.layout import Axis, Block, Layout
from atomprint.pooling.pooling import Plan
from atomprint.ragged import chunks
from atomprint.structures import Batch, StructureError, Structures, Warn, counted_from, warn_user
from atomprint.util.registry import public
from atomprint.util.validation import check_names

ALL = "all"
_ATOMS = 64  # computed together: more do not stay in cache, fewer have too little to do
_KEPT_BYTES = 2**22  # of rows that are written together


@public("PretrainedEmbedding", version=1, in_recipes=True)
class PretrainedEmbedding(LocalDescriptor):
    r"""What the layers of a pretrained potential say of each atom.

    A graph network that was trained on the energies and forces of many crystals has learnt what environments have in
    common. Its invariant features of each atom, of every layer, and its own energy of the atom are the features here:
    for SevenNet [1]_ the channels of l = 0 after each gate, for CHGNet [2]_ the atoms after each convolution. Pooled
    over a structure (``pooling = ("mean", "std")``) and given to a network (``resnet``), they carry what was learnt to
    targets with fewer samples.

    The weights come with the packages on PyPI, and nothing is downloaded. ``WEIGHTS`` of
    :mod:`atomprint.descriptors.pretrained.weights` says what they were trained on; whoever predicts what they have
    seen, such as energies of the Materials Project, measures what they remember.

    Parameters
    ----------
    model : str, path or callable
        ``"sevennet-0"``, ``"sevennet-l3i5"`` (extra ``sevennet``) or ``"chgnet-0.3.0"`` (extra ``chgnet``); the path of
        a checkpoint that one of these packages has written; or a callable, see Notes.
    layers : "all" or sequence of str
        Which layers, in this order: ``"layer 1"`` and so on, and ``"energy"``, in eV.
    trusted : str, optional
        SHA-256 of a checkpoint of your own. Checkpoints are pickles, and those that hold more than numbers and arrays
        are refused even then.
    cache : bool or path
        Where the features of structures are kept, under a digest of their content, of the weights and of the version of
        the package: False keeps nothing, True is ``embeddings`` in ``ATOMPRINT_CACHE`` or the user's cache. What a
        callable gives is kept only if it has an ``identity``.
    centers, pooling, sparse
        As for :class:`SOAP`; centres are atoms.
    dtype : {"float32", "float64"}
        Precision of the network and of the features. Double precision takes about twice the time.
    n_jobs : int
        Number of threads of PyTorch; -1 means all cores.

    Attributes
    ----------
    weights_ : str
        SHA-256 of the weights seen in ``fit``: a saved model does not work with others.

    Raises
    ------
    ImportError
        If the package of the weights is not installed.
    ValueError
        If a name is not known (nothing is downloaded), a checkpoint is not trusted, or a structure has an element that
        was not there in training (Po, At, Rn, Fr, Ra and those beyond Pu), or, for CHGNet, an atom without neighbours.
    RuntimeError
        If the installed version of a package gives other features than the one that was tested.

    Warns
    -----
    UserWarning
        If structures do not repeat: the potentials were trained on crystals.

    Notes
    -----
    A callable is given a :class:`~atomprint.structures.Batch` and returns an array of shape (n_atoms, n_features). It
    has an attribute ``layers``, the number of features of each of its layers by name, and may have ``elements`` (the
    species that it knows), ``name``, ``identity`` (a text that changes when its features do) and ``vjp``, which is
    given a batch and cotangents of shape (n_atoms, n_features) and returns the derivatives by positions, (n_atoms, 3),
    and by strain, (n_structures, 3, 3). Without it derivatives are numerical.

    Structures are computed some 64 atoms at a time; which ones are together changes the last digits (1e-6 in single
    precision). Derivatives are those of autograd, in single precision to about 1e-4 of the largest; ``derivatives`` of
    all features asks for one pass for each, ``vjp`` for one in all.

    References
    ----------
    .. [1] Y. Park, J. Kim, S. Hwang, S. Han, "Scalable parallel algorithm for graph neural network interatomic
       potentials in molecular dynamics simulations", J. Chem. Theory Comput. 20, 4857 (2024).
    .. [2] B. Deng, P. Zhong, K. Jun, J. Riebesell, K. Han, C. J. Bartel, G. Ceder, "CHGNet as a pretrained universal
       neural network potential for charge-informed atomistic modelling", Nat. Mach. Intell. 5, 1031 (2023).

    Examples
    --------
    >>> embedding = PretrainedEmbedding("sevennet-0", pooling=("mean", "std"))
    >>> embedding.get_number_of_features()
    1282
    >>> print(embedding.get_feature_names_out()[130])
    mean sevennet-0 layer 2 k=2
    """

    _unwatched: Collection[str] = ("centers", "model")

    def __init__(
        self,
        model: Any = "sevennet-0",
        layers: str | Sequence[str] = ALL,
        *,
        trusted: str | None = None,
        cache: bool | str | PathLike[str] = True,
        centers: Any = None,
        pooling: Any = None,
        sparse: bool = False,
        dtype: str = "float32",
        n_jobs: int = 1,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        super()._validate()
        if isinstance(self.model, type) or not (callable(self.model) or isinstance(self.model, str | PathLike)):
            raise TypeError(f"model must be a name, the path of a checkpoint, or a callable, got {self.model!r}")
        if self.trusted is not None and not isinstance(self.trusted, str):
            raise TypeError(f"trusted must be the SHA-256 of a checkpoint as text, got {self.trusted!r}")
        if not isinstance(self.cache, bool | np.bool_ | str | PathLike):
            raise TypeError(f"cache must be True, False or the path of a folder, got {self.cache!r}")
        if not callable(self.model) and self.known is None and not Path(self.model).is_file() and not self.trusted:
            named(str(self.model))  # says what there is; a checkpoint of a saved model may be gone
        if not isinstance(self.layers, list | tuple) and not (isinstance(self.layers, str) and self.layers == ALL):
            raise TypeError(f"layers must be 'all' or a sequence of names, got {self.layers!r}")
        if callable(self.model) or self.known is not None:
            self._chosen()

    @property
    def known(self) -> Weights | None:
        """What is known of the weights; None for those of a user."""
        return None if callable(self.model) else WEIGHTS.get(str(self.model))

    # Features --------------------------------------------------------------------------------------------------

    def _widths(self) -> Mapping[str, int]:
        """Return the number of features of each layer that there is; those of known weights need no package."""
        return self._model().layers if self.known is None else self.known.layers

    def _chosen(self) -> tuple[str, ...]:
        """Return the names of the layers asked for."""
        widths = self._widths()
        if isinstance(self.layers, str) and self.layers == ALL:
            return tuple(widths)
        return check_names("layers", self.layers, tuple(widths))

    def _columns(self) -> npt.NDArray[np.int64] | slice:
        """Return the columns of these layers among those of all."""
        widths, chosen = self._widths(), self._chosen()
        if chosen == tuple(widths):
            return slice(None)
        ends = dict(zip(widths, np.cumsum(list(widths.values())).tolist(), strict=True))
        return np.concatenate([np.arange(ends[name] - widths[name], ends[name]) for name in chosen])

    def _n_features(self) -> int:
        widths = self._widths()
        return sum(widths[name] for name in self._chosen())

    def _layout(self) -> Layout:
        widths = self._widths()
        texts, groups = [], []
        for name in self._chosen():
            texts += [name] if widths[name] == 1 else [f"{name} k={k}" for k in range(widths[name])]
            groups += [name] * widths[name]
        prefix = self._model().name if callable(self.model) else Path(self.model).name
        return Layout(prefix, [Block((), [Axis("layers", texts, groups)])])

    def _model(self) -> Model:
        """Return what computes; raise if it is not what this was fitted with."""
        model = model_of(self.model if callable(self.model) else str(self.model), self.trusted)
        fitted = getattr(self, "weights_", None)
        if fitted is not None and fitted != (model.identity or ""):
            raise ValueError(
                f"model: {model.name!r} has the weights {model.identity}, but this was fitted with {fitted}: features "
                "of others mean something else"
            )
        return model

    def fit(self, X: Structures, y: Any = None) -> Self:
        """Check the structures, and remember which weights these are.

        Parameters
        ----------
        X : sequence of structures
            As for :meth:`create`.
        y : ignored

        Returns
        -------
        self
        """
        self.__dict__.pop("weights_", None)
        super().fit(X, y)
        self.weights_ = self._model().identity or ""
        return self

    # Structures ------------------------------------------------------------------------------------------------

    def _periodic(self) -> bool | None:
        return None  # as structures say themselves

    def _read(self, structures: Structures, n_threads: int = 1, warn: Warn = warn_user) -> Batch:
        batch = super()._read(structures, n_threads, warn)
        molecules = int((~batch.pbc.any(axis=1)).sum())
        model = self._model()
        if molecules and model.of_crystals:
            few = f"{molecules} of {len(batch)} structures do not repeat" if molecules < len(batch) else "no crystals"
            warn(f"{few}: {model.name!r} was trained on crystals, and knows little of molecules")
        return batch

    def _check_batch(self, batch: Batch) -> None:
        model = self._model()
        if model.elements is None:
            return
        known = np.zeros(len(chemical_symbols), dtype=bool)
        known[list(model.elements)] = True
        strange = ~known[batch.numbers]
        if strange.any():
            first = int(np.argmax(strange))
            symbol = chemical_symbols[batch.numbers[first]]
            rule = f"species must be one that {model.name!r} was trained with, got {symbol}"
            raise StructureError(*batch.locate(first), rule)

    def _places(
        self, structures: Structures, batch: Batch, centers: Centers, prepared: Prepared
    ) -> tuple[CenterBatch, Plan | None]:
        places, plan = super()._places(structures, batch, centers, prepared)
        if (places.atoms < 0).any():
            first = int(np.argmax(places.atoms < 0))
            s = int(np.searchsorted(places.offsets, first, side="right")) - 1
            raise StructureError(s, None, "must be an atom, got a point", f"centre {first - places.offsets[s]}")
        return places, plan

    # Values and derivatives ------------------------------------------------------------------------------------

    def _compute(self, call: Call, out: Array) -> None:
        columns, offsets = self._columns(), call.centers.offsets
        for s, rows in self._rows(call):
            own = slice(offsets[s], offsets[s + 1])
            out[own] = rows[:, columns][call.centers.atoms[own]]

    def _rows(self, call: Call) -> Iterator[tuple[int, Array]]:
        """Yield each structure and the features of all its atoms, in any order."""
        model, batch, missing = self._model(), call.batch, list(range(len(call)))
        cache = self._cache(model)
        keys = [] if cache is None else keys_of(batch)
        if cache is not None:
            there = set()
            for s, rows in cache.found(keys):
                there.add(s)
                yield s, rows
            missing = [s for s in missing if s not in there]
        if not missing:
            return
        left = batch.pick(missing)
        made: list[tuple[int, Array]] = []
        for start, stop in chunks(left.offsets, _ATOMS):
            with _counted(missing[start:stop]):
                rows = model.rows(left[start:stop], self._dtype(), call.n_threads)
            bounds = left.offsets[start : stop + 1] - left.offsets[start]
            found = [(missing[start + k], rows[bounds[k] : bounds[k + 1]]) for k in range(stop - start)]
            yield from found
            made += found
            if cache is not None and (stop == len(left) or sum(part.nbytes for _, part in made) > _KEPT_BYTES):
                cache.keep([keys[s] for s, _ in made], [part for _, part in made])
                made = []

    def _cache(self, model: Model) -> RowCache | None:
        if model.identity is None or self.cache is False:
            return None
        folder = user_cache() / "embeddings" if self.cache is True else Path(self.cache).expanduser()
        own = f"{model.name}-{model.identity[:16]}-{model.package.replace(' ', '-')}-{self._dtype().name}"
        return row_cache(folder / _file_name(own), sum(model.layers.values()), self._dtype())

    def _has_analytical(self) -> bool:
        return self._model().differentiable

    def _vjp(self, call: Call, cotangents: Array, out: Derivatives) -> None:
        assert out.positions is not None
        columns, lead, (batch, centers) = self._columns(), cotangents.shape[:-2], (call.batch, call.centers)
        for start, stop in chunks(batch.offsets, _ATOMS):
            rows, atoms, pullback = self._linearised(call, start, stop)
            own = slice(centers.offsets[start], centers.offsets[stop])
            if out.features is not None:
                out.features[own] = rows[:, columns][atoms]
            moved = slice(batch.offsets[start], batch.offsets[stop])
            for several in np.ndindex(lead):
                by_atom = np.zeros((len(rows), call.n_features), dtype=rows.dtype)
                np.add.at(by_atom, atoms, cotangents[(*several, own)])
                weights = np.zeros_like(rows)
                weights[:, columns] = by_atom
                positions, strain = pullback(weights)
                out.positions[(*several, moved)] += positions
                if out.strain is not None:
                    out.strain[(*several, slice(start, stop))] += strain

    def _jacobian(self, call: Call, out: Derivatives) -> None:
        selection, centers = call.selection, call.centers
        for s in range(len(call)):
            rows, atoms, pullback = self._linearised(call, s, s + 1)
            columns = np.arange(rows.shape[1])[self._columns()]
            own = slice(centers.offsets[s], centers.offsets[s + 1])
            if out.features is not None:
                out.features[own] = rows[:, columns][atoms]
            slots = selection.slots[call.batch.offsets[s] : call.batch.offsets[s + 1]]
            chosen = np.flatnonzero(slots >= 0)
            weights = np.zeros_like(rows)
            for row, atom in enumerate(atoms):
                first = selection.row_offsets[s] + row * selection.counts[s]
                for feature, column in enumerate(columns):
                    weights[atom, column] = 1
                    positions, strain = pullback(weights)
                    weights[atom, column] = 0
                    if out.positions is not None:
                        out.positions[first + slots[chosen], :, feature] += positions[chosen]
                    if out.strain is not None:
                        out.strain[own.start + row, :, :, feature] += strain[0]

    def _linearised(self, call: Call, start: int, stop: int) -> tuple[Array, npt.NDArray[np.int64], Pullback]:
        """Return the features of the atoms of some structures, which of them are the centres, and a pullback."""
        batch, centers = call.batch[start:stop], call.centers[start:stop]
        with counted_from(start):
            rows, pullback = self._model().linearised(batch, self._dtype(), call.n_threads)
        atoms = np.repeat(batch.offsets[:-1], np.diff(centers.offsets)) + centers.atoms
        return rows, atoms, pullback

    def _evaluator(
        self,
        structures: Structures,
        n_jobs: int | None,
        only_physical_cores: bool,
        centers: Centers = None,
        **given: Any,
    ) -> Evaluator:
        moving = copy(self)
        moving.cache = False  # of atoms that move nothing comes again
        return LocalDescriptor._evaluator(moving, structures, n_jobs, only_physical_cores, centers, **given)


def _file_name(text: str) -> str:
    """Return a text as the name of a folder."""
    return "".join(c if c.isalnum() or c in "-._" else "_" for c in text)


@contextmanager
def _counted(structures: Sequence[int]) -> Iterator[None]:
    """Make errors tell the index of a structure among all, of which these are some."""
    try:
        yield
    except StructureError as error:
        error.index = structures[error.index]
        raise
