"""Windows of trajectories, and one row of numbers for each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.data import chemical_symbols

from atomprint.descriptors.engine.contract import Descriptor
from atomprint.layout import Meanings
from atomprint.structures import StructureError
from atomprint.trajectories.statistics import STATISTICS, statistics_of
from atomprint.trajectories.trajectory import Trajectory, unwrapped
from atomprint.util.parameters import CheckedParameters
from atomprint.util.registry import public
from atomprint.util.scikit import Transformer
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_dtype, check_integer, check_n_jobs, check_names, check_species

Window = Sequence[Atoms] | Trajectory


def windows(trajectory: Trajectory, length: int, step: int | None = None) -> Iterator[list[Atoms]]:
    """Yield the frames of windows that move along a trajectory.

    Parameters
    ----------
    trajectory : Trajectory
        The frames, read one after the other; no more than a window of them is kept.
    length : int
        Number of frames of a window.
    step : int, optional
        How many frames a window begins after the one before. Default: ``length``, so that no frame is in two.

    Yields
    ------
    list of Atoms
        Windows are full; frames that are left at the end are in none. Frames that two windows have are the same
        objects.
    """
    check_integer("length", length, 1)
    apart = length if step is None else check_integer("step", step, 1)
    kept: deque[Atoms] = deque(maxlen=length)
    for index, atoms in enumerate(trajectory):
        kept.append(atoms.copy())  # a generator may move the same Atoms
        first = index - length + 1
        if first >= 0 and first % apart == 0:
            yield list(kept)


class WindowError(StructureError):
    """A window of frames that cannot be used."""

    noun = "window"


@public("TimeSeries", version=1)
class TimeSeries(Transformer, CheckedParameters):
    """One row for each window of a trajectory: statistics of a descriptor over time, and how far atoms get.

    Parameters
    ----------
    descriptor : Descriptor, optional
        What each frame is described by: one row for each, of structures or pooled (``pooling="mean"``).
    statistics : sequence of {"mean", "std", "min", "max", "slope", "memory"}
        Of each feature over the frames of a window, see :func:`rolling`.
    lags : sequence of int
        For each of these numbers of frames and each element, the mean square displacement of its atoms in this time,
        in Å²: over all pairs of frames of the window, followed across periodic boundaries, the centre of mass held in
        place.
    species : sequence of str or int, optional
        Elements of the displacements. Default: those seen in ``fit``.
    dtype : {"float64", "float32"}
        Of the features.
    n_jobs : int
        Number of threads of the descriptor.

    Notes
    -----
    A window is a sample: a list of frames (:func:`windows` cuts a trajectory into them), or a trajectory. Windows that
    have frames in common are not independent: in tests of models all windows of a run belong to one part.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from atomprint.descriptors import NeighbourStatistics
    >>> from atomprint.trajectories import TimeSeries, Trajectory, windows
    >>> frames = []
    >>> for k in range(40):
    ...     frames.append(bulk("Cu", cubic=True) * 2)
    ...     frames[-1].rattle(0.002 * k, seed=k)
    >>> series = TimeSeries(NeighbourStatistics(r_cut=3.2), ("mean", "slope"), lags=[5])
    >>> rows = series.fit_transform(list(windows(Trajectory(frames, time_step=1.0), length=10)))
    >>> rows.shape, series.get_feature_names_out()[-1]
    ((4, 23), 'TimeSeries Cu mean square displacement lag=5')
    """

    _samples = "windows of trajectories"

    def __init__(
        self,
        descriptor: Any = None,
        statistics: Sequence[str] = ("mean", "std"),
        lags: Sequence[int] = (),
        *,
        species: Any = None,
        dtype: str = "float64",
        n_jobs: int | None = 1,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        if self.descriptor is not None and not isinstance(self.descriptor, Descriptor):
            raise TypeError(f"descriptor must be a Descriptor, got {type(self.descriptor).__name__}")
        check_names("statistics", self.statistics, STATISTICS)
        if isinstance(self.lags, str) or not isinstance(self.lags, Sequence):
            raise TypeError(f"lags must be a sequence of integers, got {self.lags!r}")
        lags = [check_integer(f"lags[{k}]", lag, 1) for k, lag in enumerate(self.lags)]
        if len(set(lags)) < len(lags):
            raise ValueError(f"lags must be different from each other, got {lags}")
        if self.descriptor is None and not lags:
            raise ValueError("descriptor or lags must be given, got neither")
        if self.species is not None:
            check_species(self.species)
        check_dtype(self.dtype)
        check_n_jobs(self.n_jobs)

    def fit(self, X: Sequence[Window], y: Any = None) -> Self:
        """Check the parameters; learn ``species``, and fit a copy of the descriptor to all frames.

        Parameters
        ----------
        X : sequence of windows
            As for :meth:`create`.
        y : ignored
            Present for scikit-learn.
        """
        from sklearn.base import clone

        self._validate()
        listed = _listed(X)
        frames, _ = _frames_of(listed)
        if self.descriptor is not None:
            self.descriptor_ = clone(self.descriptor).fit(frames)
        if self.species is None:
            self.species_ = tuple(sorted({int(z) for atoms in frames for z in set(atoms.numbers)}))
        return self

    def create(self, windows: Window | Sequence[Window]) -> npt.NDArray[Any]:
        """Compute the features.

        Parameters
        ----------
        windows : window or sequence of windows
            A window is a sequence of ``Atoms`` or a :class:`Trajectory`; a list of ``Atoms`` is one window.

        Returns
        -------
        ndarray, shape (n_features,) or (n_windows, n_features)

        Raises
        ------
        ValueError, TypeError
            If a window is not usable: without frames, shorter than a lag, with frames that do not belong together; the
            message names it.
        """
        if isinstance(windows, Trajectory) or (len(windows) and isinstance(windows[0], Atoms)):
            return self._rows([list(windows)])[0]
        return self._rows(_listed(windows))

    def transform(self, X: Sequence[Window]) -> npt.NDArray[Any]:
        """Compute the features of a sequence of windows; see :meth:`create`."""
        return self._rows(_listed(X))

    def fit_transform(self, X: Sequence[Window], y: Any = None, **fit_params: Any) -> npt.NDArray[Any]:
        """Call ``fit`` and ``transform`` with the same windows."""
        listed = _listed(X)
        return self.fit(listed, y).transform(listed)

    def get_number_of_features(self) -> int:
        """Return the number of features of one row."""
        return len(self.get_feature_names_out())

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Return the names of the features; ``input_features`` is ignored."""
        return np.array(self.get_feature_meanings().names, dtype=object)

    def get_feature_meanings(self, given: Meanings | None = None) -> Meanings:
        """Return what the features are about; ``given`` is ignored, as there are none before them."""
        names: list[str] = []
        groups: list[tuple[str, str]] = []
        columns: list[npt.NDArray[np.intp]] = []
        codes: list[npt.NDArray[np.intp]] = []
        if self.descriptor is not None:
            own = self._described_by().get_feature_meanings()
            texts = [f"{statistic} {name}" for statistic in self.statistics for name in own.names]
            of_frames = own.repeated(texts, [[("statistics over time", statistic)] for statistic in self.statistics])
            names, groups = list(of_frames.names), list(of_frames.groups)
            columns.append(of_frames.columns)
            codes.append(of_frames.codes)
        for symbol, lag in ((symbol, lag) for symbol in self._symbols() for lag in self.lags):
            columns.append(np.full(3, len(names)))
            codes.append(len(groups) + np.arange(3))
            groups += [("descriptors", "TimeSeries"), ("elements", symbol), ("lags", f"{lag} frames")]
            names.append(f"TimeSeries {symbol} mean square displacement lag={lag}")
        return Meanings(names, groups, np.concatenate(columns), np.concatenate(codes))

    def __sklearn_is_fitted__(self) -> bool:
        described = self.descriptor is None or hasattr(self, "descriptor_") or self.descriptor.__sklearn_is_fitted__()
        return described and (not self.lags or self.species is not None or hasattr(self, "species_"))

    def _described_by(self) -> Descriptor:
        fitted: Any = getattr(self, "descriptor_", None)
        return self.descriptor if fitted is None else fitted

    def _symbols(self) -> list[str]:
        """Return the elements of the displacements."""
        if not self.lags:
            return []
        species = check_species(self.species) if self.species is not None else getattr(self, "species_", None)
        if species is None:
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("TimeSeries: species is not known: give it to the constructor or call fit first")
        return [chemical_symbols[z] for z in species]

    def _rows(self, listed: list[list[Atoms]]) -> npt.NDArray[Any]:
        parts = []
        if self.descriptor is not None:
            frames, places = _frames_of(listed)
            features = self._described_by().create(frames, n_jobs=self.n_jobs)
            features = features.toarray() if hasattr(features, "toarray") else features
            if not isinstance(features, np.ndarray) or features.ndim != 2:
                raise ValueError("descriptor must give one row for each frame: give it pooling='mean'")
            rows = [statistics_of(np.moveaxis(features[own], 0, -1), self.statistics).ravel() for own in places]
            parts.append(np.array(rows))
        if self.lags:
            symbols = self._symbols()
            parts.append(np.array([self._displacements(index, frames, symbols) for index, frames in enumerate(listed)]))
        return np.concatenate(parts, axis=1).astype(check_dtype(self.dtype))

    def _displacements(self, index: int, frames: list[Atoms], symbols: list[str]) -> FloatArray:
        """Return the mean square displacement of each element at each lag; 0 of an element that is not there."""
        if max(self.lags) >= len(frames):
            rule = f"must have more frames than the longest lag, {max(self.lags)}, got {len(frames)}"
            raise WindowError(index, None, rule)
        own = np.array(frames[0].get_chemical_symbols())
        if (unknown := ~np.isin(own, symbols)).any():
            atom = int(np.argmax(unknown))
            raise WindowError(index, atom, f"species must be one of {', '.join(symbols)}, got {own[atom]}")
        try:
            places = np.array(list(unwrapped(Trajectory(frames, time_step=1.0))))
        except StructureError as error:
            raise WindowError(index, None, str(error)) from error
        masses = frames[0].get_masses()
        places -= np.einsum("tic,i->tc", places, masses / masses.sum())[:, None]
        squares = np.array([((places[lag:] - places[:-lag]) ** 2).sum(axis=-1).mean(axis=0) for lag in self.lags])
        return np.concatenate(
            [squares[:, own == s].mean(axis=1) if (own == s).any() else np.zeros(len(squares)) for s in symbols]
        )


def _listed(windows: Any) -> list[list[Atoms]]:
    """Return the frames of each window, or raise for what is none."""
    if isinstance(windows, Trajectory):
        raise TypeError("X must be a sequence of windows, got one trajectory: windows(trajectory, length) cuts it")
    found = []
    for index, window in enumerate(windows):
        if isinstance(window, Atoms) or not isinstance(window, Sequence | Trajectory):
            raise TypeError(f"window {index} must be a sequence of Atoms or a Trajectory, got {type(window).__name__}")
        frames = list(window)
        if not frames or not all(isinstance(atoms, Atoms) for atoms in frames):
            got = "none" if not frames else "something else"
            raise WindowError(index, None, f"must have frames that are ase.Atoms, got {got}")
        found.append(frames)
    if not found:
        raise ValueError("windows must hold at least one window, got none")
    return found


def _frames_of(listed: list[list[Atoms]]) -> tuple[list[Atoms], list[npt.NDArray[np.intp]]]:
    """Return all different frames, and the places of those of each window: windows that overlap share them."""
    place: dict[int, int] = {}
    frames: list[Atoms] = []
    places = []
    for window in listed:
        for atoms in window:
            if id(atoms) not in place:
                place[id(atoms)] = len(frames)
                frames.append(atoms)
        places.append(np.array([place[id(atoms)] for atoms in window]))
    return frames, places
