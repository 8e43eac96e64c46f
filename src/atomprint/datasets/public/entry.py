"""What is known of a public data set and of its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a public data set.

    Parameters
    ----------
    name : str
        Its name in the cache and on mirrors.
    url : str
        Where the original is.
    sha256 : str or None
        SHA-256 of its bytes in hexadecimal digits; None if no published value is known.
    size : int or None
        Number of bytes; None if not known.
    """

    name: str
    url: str
    sha256: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class TargetInfo:
    """What a property of a public data set is; see :class:`~atomprint.datasets.Target`.

    ``column`` is its name in the file, where that differs from its name here.
    """

    unit: str
    title: str
    definition: str
    classes: tuple[str, ...] = ()
    column: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A public data set.

    Parameters
    ----------
    name : str
        Its name here.
    title : str
        What it is in a few words.
    loader : str
        The function of :mod:`atomprint.datasets` that loads it.
    files : tuple of RemoteFile
        What is to be downloaded; empty if it comes with ASE.
    rows : int or None
        Number of structures or compositions; None if not known for certain.
    kind : {"structures", "compositions"}
        What its rows are.
    targets : mapping of str to TargetInfo
        The properties.
    description : str
        What the rows are, and how they were made.
    citation : str
        Whom to cite.
    licence : str
        Licence of the data, as far as it is stated.
    page : str
        A web page that describes it.
    arguments : mapping of str to str
        What the loader has to be told to load this data set.
    """

    name: str
    title: str
    loader: str
    files: tuple[RemoteFile, ...]
    rows: int | None
    kind: str
    targets: Mapping[str, TargetInfo]
    description: str
    citation: str
    licence: str
    page: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
