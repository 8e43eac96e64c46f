"""How much a service takes on, whom it answers, and where."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address

from atomprint.util.validation import check_integer, check_real

TOKEN = "ATOMPRINT_TOKEN"
"""The environment variable with what requests must show to be answered."""

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a service refuses before it costs; each answer says which limit was met.

    Parameters
    ----------
    body : int
        Bytes of a request.
    text : int
        Bytes of the text of one crystal; of a file of several structures, of each of them.
    structures, atoms, all_atoms : int
        Structures of a request, atoms of a structure, and atoms of all structures of a request.
    pairs : int
        Pairs of atoms within 6 Å of a structure, about: what a dense one costs.
    numbers : int
        Features of an answer.
    explained : int
        Structures of a request whose predictions are explained.
    seconds : float
        For a request, with the time that it waits.
    receiving : float
        Seconds in which the body of a request has to arrive.
    workers : int
        Requests that are worked on at once, each by a thread.
    queue : int
        Requests that may wait for these.
    connections : int
        Open connections.
    held : int
        Bytes of all bodies that are held at once.
    """

    body: int = 8 * 2**20
    text: int = 2 * 2**20
    structures: int = 1000
    atoms: int = 2000
    all_atoms: int = 50_000
    pairs: int = 2_000_000
    numbers: int = 500_000
    explained: int = 20
    seconds: float = 30.0
    receiving: float = 20.0
    workers: int = field(default_factory=lambda: max(2, min(4, os.cpu_count() or 1)))
    queue: int = 64
    connections: int = 256
    held: int = 64 * 2**20

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in ("seconds", "receiving"):
                if not check_real(item.name, value) > 0:
                    raise ValueError(f"{item.name} must be above 0, got {value}")
            else:
                check_integer(item.name, value, 0 if item.name == "queue" else 1)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Whom a service answers, and how much it takes on.

    Parameters
    ----------
    limits : Limits
        What is refused.
    token : str
        What requests must show as ``Authorization: Bearer TOKEN``; empty: nothing.
    hosts : tuple of str
        Names that a request may call this machine by; empty: any. It keeps pages of others, whose names are made to
        point here, from asking.
    watch : float
        Seconds between looks at whether the files of the models have changed; 0 for never.
    """

    limits: Limits = field(default_factory=Limits)
    token: str = ""
    hosts: tuple[str, ...] = _LOOPBACK
    watch: float = 2.0


def hosts_of(host: str) -> tuple[str, ...]:
    """Return the names by which a service may be called that is bound to an address: any if that is no loopback."""
    return (*_LOOPBACK, host) if is_loopback(host) else ()


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def token_from(environment: Mapping[str, str]) -> str:
    """Return the token that the environment gives, empty if there is none.

    Raises
    ------
    ValueError
        If it is too short to keep a secret, or cannot be sent in a header.
    """
    token = environment.get(TOKEN, "")
    if token and (len(token) < 16 or not (token.isascii() and token.isprintable()) or " " in token):
        raise ValueError(f"{TOKEN} must have at least 16 characters of ASCII without blanks, such as 32 random digits")
    return token
