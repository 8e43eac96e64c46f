"""From what a user gives to a network that is ready: known weights, checkpoints of their own, functions."""

from __future__ import annotations

import hashlib
import io
import warnings
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from atomprint.descriptors.pretrained.network import Model, Network
from atomprint.descriptors.pretrained.own import OwnModel
from atomprint.descriptors.pretrained.weights import WEIGHTS, Weights, named
from atomprint.structures import Batch
from atomprint.util.extras import require

_SAME = 1e-3  # of the fingerprint: rounding is 1e-6

# A cell of four atoms without symmetry, whose features tell whether a package still computes what it did.
_REFERENCE = Batch.from_arrays(
    [11, 17, 22, 8],
    [[0.1, 0.0, 0.2], [2.3, 2.2, 1.9], [0.2, 2.1, 2.2], [2.0, 0.1, 2.3]],
    [[4.2, 0.0, 0.3], [0.1, 4.3, 0.0], [0.0, 0.2, 4.4]],
    True,
)


def model_of(given: Any, trusted: str | None) -> Model:
    """Return what computes the features of atoms.

    Parameters
    ----------
    given : str, path or callable
        See :class:`~atomprint.descriptors.PretrainedEmbedding`.
    trusted : str or None
        SHA-256 of a checkpoint of the user.

    Raises
    ------
    ImportError
        If the package is not installed.
    ValueError, TypeError
        If the checkpoint is not the one known, or not trusted, or cannot be read; if a callable lacks something.
    RuntimeError
        If the installed package gives other features than it should.
    """
    if callable(given):
        return OwnModel(given)
    if str(given) in WEIGHTS:
        return _known(str(given))
    return _own(str(given), trusted)


@lru_cache(maxsize=4)
def _known(name: str) -> Network:
    weights = named(name)
    content = weights.read()
    made = _network(weights.package, content, name, weights.sha256, weights)
    if dict(made.layers) != dict(weights.layers) or made.elements != weights.elements:
        raise RuntimeError(f"{made.package} makes another network of the weights {name!r}: {_other_version(weights)}")
    found = fingerprint(made)
    if not np.allclose(found, weights.fingerprint, rtol=_SAME):
        raise RuntimeError(
            f"{made.package} gives other features with the weights {name!r} than are known (root mean squares "
            f"{', '.join(f'{x:.4g}' for x in found)}): {_other_version(weights)}"
        )
    return made


def _other_version(weights: Weights) -> str:
    return f"install {weights.tested}, with which they were tested"


@lru_cache(maxsize=4)
def _own(path: str, trusted: str | None) -> Network:
    if not Path(path).is_file():
        named(path)  # which says what there is
    content = Path(path).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if trusted is None:
        raise ValueError(
            f"model: the checkpoint {path!r} is a pickle, which may run anything where it is read: if you know where "
            f"it is from, give trusted={found!r}, its SHA-256"
        )
    if trusted != found:
        raise ValueError(f"model: the checkpoint {path!r} has the SHA-256 {found}, not {trusted}, which is trusted")
    plain = _plain(content, path)
    package = "chgnet" if isinstance(plain.get("model"), dict) else "sevenn" if "model_state_dict" in plain else None
    if package is None:
        raise ValueError(f"model: the checkpoint {path!r} is neither of SevenNet nor of CHGNet")
    return _network(package, content, Path(path).name.partition(".")[0], found, None)


def _network(package: str, content: bytes, name: str, identity: str, weights: Weights | None) -> Network:
    extra = {"sevenn": "sevennet"}.get(package, package)
    for module in ("torch", package):
        require(module, extra, f"model {name!r}")
    told = f"{package} {version(package)}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it is made of: nothing that a user could change
            return _made(package, content, name, identity, told, weights)
    except (AttributeError, KeyError, TypeError) as error:  # names that no longer are
        hint = "" if weights is None else f": {_other_version(weights)}"
        raise RuntimeError(f"{told} does not make a network of {name!r}: {error!r}{hint}") from error


def _made(package: str, content: bytes, name: str, identity: str, told: str, weights: Weights | None) -> Network:
    if package == "chgnet":
        from atomprint.descriptors.pretrained.chgnet import CHGNet

        return CHGNet.of(content, name, identity, told, None if weights is None else weights.elements)
    from atomprint.descriptors.pretrained.sevennet import SevenNet

    return SevenNet.of(content, name, identity, told)


def _plain(content: bytes, path: str) -> dict[str, Any]:
    """Return what is in a checkpoint that has numbers, texts and arrays alone, so that reading it runs nothing."""
    torch = require("torch", "sevennet", "a checkpoint")
    core: Any = np._core.multiarray if hasattr(np, "_core") else np.core.multiarray  # type: ignore[attr-defined]
    dtypes = [type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?")]
    arrays = [(core._reconstruct, "numpy.core.multiarray._reconstruct"), core._reconstruct]
    arrays += [(core.scalar, "numpy.core.multiarray.scalar"), core.scalar]
    import _codecs

    with torch.serialization.safe_globals([*arrays, np.ndarray, np.dtype, *dtypes, _codecs.encode]):
        try:
            found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:  # of a file that is anything
            reason = str(error).splitlines()[0]
            raise ValueError(f"model: {path!r} is no checkpoint of numbers and arrays alone: {reason}") from error
    if not isinstance(found, dict):
        raise ValueError(f"model: {path!r} is no checkpoint of a potential")
    return found


def fingerprint(model: Model) -> list[float]:
    """Return the root mean square of each layer's features for a structure that never changes."""
    rows = model.rows(_REFERENCE, np.dtype(np.float32), 1).astype(np.float64)
    parts = np.split(rows, np.cumsum(list(model.layers.values()))[:-1], axis=1)
    return [float(np.sqrt((part**2).mean())) for part in parts]
