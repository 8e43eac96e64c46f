"""Weights that come inside packages on PyPI: where they lie, what they were trained on, which elements they know."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from atomprint.util.extras import how_to_install
from atomprint.util.validation import meant

ENERGY = "energy"
"""Name of the layer that has the potential's own energy of an atom."""


@dataclass(frozen=True)
class Weights:
    """Weights that are known by name.

    Parameters
    ----------
    name, title : str
        Name for recipes, and for people.
    package, extra : str
        The module that has them and runs them, and the extra that installs it.
    file : str
        Path of the checkpoint in the folder of the module.
    tested : str
        The version of the package that these were tested with.
    sha256 : str
        Digest of the checkpoint: another file under its name is not read.
    layers : mapping of str to int
        Number of invariant features of each layer.
    cutoff : float
        How far a layer sees, in Å.
    elements : frozenset of int
        Atomic numbers of the elements that they were trained with.
    trained_on : str
        In words.
    seen : tuple of str
        Quantities that they were trained to predict.
    source, licence : str
        Where they were published; the licence of weights and package.
    fingerprint : tuple of float
        Root mean square of the features of each layer, for a structure that never changes: an installed version that
        gives others is refused.
    """

    name: str
    title: str
    package: str
    extra: str
    file: str
    tested: str
    sha256: str
    layers: Mapping[str, int]
    cutoff: float
    elements: frozenset[int]
    trained_on: str
    seen: tuple[str, ...]
    source: str
    licence: str
    fingerprint: tuple[float, ...] = field(repr=False)

    def path(self) -> Path:
        """Return where the checkpoint is.

        Raises
        ------
        ImportError
            If the package is not installed.
        """
        spec = find_spec(self.package)
        if spec is None or spec.origin is None:
            raise ImportError(
                f"weights {self.name!r} come with {self.package}, which is not installed: "
                f"{how_to_install(self.extra)}, after PyTorch for CPUs where there is no GPU (see docs/pretrained.md)"
            )
        return Path(spec.origin).parent / self.file

    def read(self) -> bytes:
        """Return the checkpoint, which is the one that is known.

        Raises
        ------
        ImportError
            If the package is not installed.
        ValueError
            If it has another file under this name, or none.
        """
        path = self.path()
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ValueError(f"weights {self.name!r}: {self.package} has no file {self.file!r}: {error}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise ValueError(
                f"weights {self.name!r}: the file of the installed {self.package} has the SHA-256 {found}, not "
                f"{self.sha256}: it is a pickle of somebody else, and was not read"
            )
        return content


# The 89 elements of MPtrj: those up to plutonium but Po, At, Rn, Fr and Ra.
_MPTRJ = frozenset(range(1, 95)) - {84, 85, 86, 87, 88}
_TRAINED_ON = (
    "MPtrj, 1.58 million structures along relaxations of 146,000 crystals of the Materials Project (PBE and PBE+U, "
    "September 2022)"
)
_OF_FIVE: Mapping[str, int] = MappingProxyType({**{f"layer {k}": 128 for k in range(1, 6)}, ENERGY: 1})

_SEVENNET_0 = Weights(
    name="sevennet-0",
    title="SevenNet-0 (11 July 2024)",
    package="sevenn",
    extra="sevennet",
    file="pretrained_potentials/SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth",
    tested="sevenn 0.13.0",
    sha256="7052cb42b7b3be42b40b97fa0d21077a48c54b5548948fc4dcf346629f813c36",
    layers=_OF_FIVE,
    cutoff=5.0,
    elements=_MPTRJ,
    trained_on=_TRAINED_ON,
    seen=("energy", "forces", "stress"),
    source="Y. Park, J. Kim, S. Hwang, S. Han, J. Chem. Theory Comput. 20, 4857 (2024)",
    licence="MIT",
    fingerprint=(0.335134, 0.619935, 1.13101, 2.39557, 3.21495, 4.24249),
)
_SEVENNET_L3I5 = replace(
    _SEVENNET_0,
    name="sevennet-l3i5",
    title="SevenNet-l3i5",
    file="pretrained_potentials/SevenNet_l3i5/checkpoint_l3i5.pth",
    sha256="a7ff190d41efe5b8317a03d20a468e4036a1a3e64e0b14fdbab64ac3f4bfc09d",
    fingerprint=(0.298928, 0.585027, 1.03036, 2.29153, 4.83961, 4.18011),
)
_CHGNET = Weights(
    name="chgnet-0.3.0",
    title="CHGNet 0.3.0",
    package="chgnet",
    extra="chgnet",
    file="pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
    tested="chgnet 0.4.2",
    sha256="d14ab7c0f093efe64b60a7bcd540bca10e74fb7f46c86108a079af60524659d1",
    layers=MappingProxyType({**{f"layer {k}": 64 for k in range(1, 5)}, ENERGY: 1}),
    cutoff=6.0,
    elements=_MPTRJ,
    trained_on=_TRAINED_ON,
    seen=("energy", "forces", "stress", "magnetic moments"),
    source="B. Deng et al., Nat. Mach. Intell. 5, 1031 (2023)",
    licence="BSD of Lawrence Berkeley National Laboratory",
    fingerprint=(2.68801, 3.00297, 3.05786, 4.16371, 4.56133),
)

WEIGHTS: Mapping[str, Weights] = MappingProxyType(
    {weights.name: weights for weights in (_SEVENNET_0, _SEVENNET_L3I5, _CHGNET)}
)
"""All weights that are known by name."""


def named(name: str) -> Weights:
    """Return the weights of a name.

    Raises
    ------
    ValueError
        If they are not known: nothing is ever downloaded.
    """
    found = WEIGHTS.get(name)
    if found is None:
        raise ValueError(
            f"model must be one of {', '.join(map(repr, WEIGHTS))}, the path of a checkpoint, or a callable, got "
            f"{name!r}{meant(name, WEIGHTS)}: there is no such file, and nothing is downloaded"
        )
    return found
