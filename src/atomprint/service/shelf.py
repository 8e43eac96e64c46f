"""The models that are served: loaded, tried out, and exchanged for new ones without a gap."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

from ase import Atoms

from atomprint.chemistry.smiles import Smiles
from atomprint.learn.evaluation.feature_groups import Groups
from atomprint.service.because import groups_of
from atomprint.util.text import in_words
from atomprint.workflow.saved.container import find_model, name_of
from atomprint.workflow.saved.forests import quickened
from atomprint.workflow.saved.load import load_model
from atomprint.workflow.saved.model import TrainedModel
from atomprint.workflow.saved.pipeline import taken_by, with_n_jobs

_log = logging.getLogger("atomprint.service")
_NAME_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"


@dataclass(frozen=True, eq=False)
class Served:
    """A model as it is served.

    Parameters
    ----------
    name : str
        What requests call it.
    path : Path
        Its file.
    model : TrainedModel
        With one thread for each prediction: requests are what runs side by side.
    taken : {"structures", "molecules", "compositions"}
        What it takes at least.
    loaded : str
        When, in UTC.
    stamp : tuple
        By which it is known that the file has changed.
    """

    name: str
    path: Path
    model: TrainedModel
    taken: str
    loaded: str
    stamp: tuple[int, ...]

    @cached_property
    def groups(self) -> dict[str, Groups]:
        """Groups of its features that a chemist can read."""
        return groups_of(self.model)


def named_paths(given: Sequence[str]) -> dict[str, Path]:
    """Return the files of models by the names that requests call them.

    Parameters
    ----------
    given : sequence of str
        Files, folders of training runs, or ``NAME=FILE``. Without a name it is that of the file, or of the folder.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If there is none, a name has characters that do not belong in an address, or two models have one name.
    """
    found: dict[str, Path] = {}
    for text in given:
        name, equals, rest = text.partition("=")
        is_named = bool(equals) and not Path(text).exists()
        path = find_model(rest if is_named else text)
        if not is_named:
            name = "".join(c if c in _NAME_CHARACTERS else "-" for c in name_of(path))
        if not name or len(name) > 64 or set(name) - set(_NAME_CHARACTERS):
            raise ValueError(f"the name of a model must be 1 to 64 letters, digits, '.', '_' and '-', got {name!r}")
        if name in found:
            raise ValueError(f"two models are called {name!r}: give them names, as in NAME={path}")
        found[name] = path
    if not found:
        raise ValueError("give at least one model to serve")
    return found


class Shelf:
    """Models by name. Whoever asks is given those of the moment, and keeps them for as long as it needs them.

    Parameters
    ----------
    paths : mapping of str to Path
        Their files.
    trusted : iterable of str
        Types of other packages that they may hold, see :func:`~atomprint.workflow.load_model`.

    Raises
    ------
    ModelFileError, FileNotFoundError, ImportError
        If one of them cannot be loaded.
    """

    def __init__(self, paths: Mapping[str, Path], trusted: Iterable[str] = ()) -> None:
        self._trusted = tuple(trusted)
        self._loading = Lock()
        self.paths = dict(paths)
        self.models: Mapping[str, Served] = {name: self._load(name, path) for name, path in paths.items()}
        self.refused: dict[str, str] = {}
        self._refused_stamps: dict[str, tuple[int, ...]] = {}
        self.n_reloads = 0

    def _load(self, name: str, path: Path) -> Served:
        stamp = _stamp(path)
        model = load_model(path, trusted=self._trusted)
        model.pipeline = quickened(with_n_jobs(model.pipeline, 1))
        made = Served(name, path, model, taken_by(model.pipeline), _now(), stamp)
        made.groups  # noqa: B018  # made here, so that nobody has to wait for it
        try_out(made)
        return made

    def reload(self, *, all_of_them: bool = False) -> list[str]:
        """Load what has changed, or all; a file that cannot be loaded leaves the old model where it is.

        Returns
        -------
        list of str
            Names of the models that are new.
        """
        with self._loading:
            new = {}
            for name, path in self.paths.items():
                stamp = _stamp(path)
                if not all_of_them and stamp in (self.models[name].stamp, self._refused_stamps.get(name)):
                    continue
                try:
                    new[name] = self._load(name, path)
                    self.refused.pop(name, None)
                except Exception as error:  # the service goes on with what it has
                    self.refused[name], self._refused_stamps[name] = in_words(error), stamp
                    _log.error("model %s was not loaded anew, the old one stays: %s", name, in_words(error))
            if new:
                self.models = {**self.models, **new}
                self.n_reloads += len(new)
                _log.info("loaded anew: %s", ", ".join(new))
            return list(new)


def try_out(served: Served) -> None:
    """Predict something, so that the first who asks need not wait for what is made once."""
    symbols = served.model.domain.to_dict()["elements"]
    some: list[Any] = [{symbols[0]: 1.0}]
    if served.taken == "molecules":
        some = [Smiles("C")]
    elif served.taken == "structures":
        some = [Atoms([symbol] * 2, positions=[[0, 0, 0], [0, 0, 2.5]], cell=[5, 5, 5], pbc=True) for symbol in symbols]
        some += [Atoms(symbols[:1], cell=[5, 5, 5], pbc=False)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        served.model.predict(some[:8], on_error="skip")


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
