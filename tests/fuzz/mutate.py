"""Changes of text, bytes and values that files meet: by accident, by other programs, by somebody who means ill."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np

Rng = np.random.Generator

split = str.split

NUMBERS = (
    *split(
        "0 -0 1 -1 1e400 -1e400 1e-400 nan NaN inf -inf 1e308 1_000 0x10 1,5 1.5(2) 1.5d0 1.5D+01 ٣ ² 1e --1 +-1 . - ?"
    ),
    *split("1e9 1e12 99999999999999 2147483648 -2147483649 18446744073709551616 1/3 0.33333 0.3333333333333333 True"),
    "9" * 40,
    "1" * 5000,
    "1.0000000000000002",
)
WORDS = (
    *("", " ", "\t", "\n", "\r", "\x00", "\ufeff", "\udcff", "\x1b[31m", "x" * 3000, "(" * 300, "[" * 3000, "H2O M"),
    *split(
        "' \" ; # , _ loop_ data_ save_ global_ stop_ H D T X Xx Fe3+ O2- C1A NA CL Zz Wat OH H2O M null true [] {}"
    ),
    *split("[[[ }}} -1 =1+1 ../../etc/passwd /dev/zero C:\\x %s%s%n {0} $x$ [red] é 安 🙂 P-1 x,y,z -x,-y,-z 1/2+x"),
    *("P 1", "F m -3 m", "x+1/0,y,z"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**70, 10**400, 0.0, -0.0, 1e308, float("nan"), float("inf")),
    *("", "x", "1", "nan", "H", [], [[]], {}, [None], [1, "a"], ["H"], {"a": 1}, [[1, 2, 3]], [[[]]]),
    {"@module": "os", "@class": "system"},
)


def pick(rng: Rng, items: Any) -> Any:
    return items[int(rng.integers(len(items)))]


def text(rng: Rng, given: str) -> str:
    """Return text after one to four changes of characters, words or lines."""
    for _ in range(int(rng.integers(1, 5))):
        given = pick(rng, (_characters, _words, _words, _words, _lines, _lines, _whole))(rng, given)
        given = given[:200_000]
    return given


def _characters(rng: Rng, given: str) -> str:
    place = int(rng.integers(len(given) + 1))
    kind = int(rng.integers(4))
    if kind == 0:
        return given[:place] + chr(int(rng.integers(1, 0x2FF))) + given[place:]
    if kind == 1:
        return given[:place] + given[place + int(rng.integers(1, 4)) :]
    if kind == 2:
        return given[:place] + given[place : place + 1].swapcase() + given[place + 1 :]
    return given[:place] + pick(rng, WORDS) + given[place:]


def _words(rng: Rng, given: str) -> str:
    """Change one of the words, without the blanks between them."""
    spans, start = [], None
    for i, character in enumerate(given + " "):
        if character.isspace() or character in ',;"':
            if start is not None:
                spans.append((start, i))
            start = None
        elif start is None:
            start = i
    if not spans:
        return given + pick(rng, WORDS)
    start, stop = pick(rng, spans)
    kind = int(rng.integers(5))
    if kind == 0:
        new = pick(rng, NUMBERS)
    elif kind == 1:
        new = pick(rng, WORDS)
    elif kind == 2:
        other = pick(rng, spans)
        new = given[other[0] : other[1]]
    elif kind == 3:
        new = ""
    else:
        new = _nudged(rng, given[start:stop])
    return given[:start] + new + given[stop:]


def _nudged(rng: Rng, word: str) -> str:
    try:
        value = float(word)
    except ValueError:
        return word + pick(rng, ("", "'", "1", "_", "+", "(3)"))
    return repr(value * pick(rng, (-1, 0, 1 + 1e-9, 1.001, 2, 1e6, 1e-6, 1e200)))


def _lines(rng: Rng, given: str) -> str:
    lines = given.split("\n")
    place = int(rng.integers(len(lines)))
    kind = int(rng.integers(6))
    if kind == 0:
        del lines[place]
    elif kind == 1:
        lines.insert(place, pick(rng, lines) if lines else "")
    elif kind == 2:
        lines.insert(place, pick(rng, WORDS))
    elif kind == 3:
        lines[place : place + 1] *= int(rng.integers(2, 40))
    elif kind == 4:
        other = int(rng.integers(len(lines)))
        lines[place], lines[other] = lines[other], lines[place]
    else:
        lines = lines[:place]
    return "\n".join(lines)


def _whole(rng: Rng, given: str) -> str:
    kind = int(rng.integers(8))
    if kind == 0:
        return "\ufeff" + given
    if kind == 1:
        return given.replace("\n", "\r\n")
    if kind == 2:
        return given.replace("\n", "\r")
    if kind == 3:
        return given + given
    if kind == 4:
        return given.upper() if rng.random() < 0.5 else given.lower()
    if kind == 5:
        return given.replace(" ", "\t")
    if kind == 6:
        return given[: int(rng.integers(len(given) + 1))]
    return given.replace(pick(rng, (".", ",", "_", "'", '"')), pick(rng, (".", ",", "", ";")))


def data(rng: Rng, given: bytes) -> bytes:
    """Return bytes after one to four changes."""
    changed = bytearray(given)
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(len(changed) + 1))
        kind = int(rng.integers(5))
        if kind == 0 and changed:
            changed[min(place, len(changed) - 1)] = int(rng.integers(256))
        elif kind == 1:
            del changed[place : place + int(rng.integers(1, 64))]
        elif kind == 2:
            changed[place:place] = bytes(rng.integers(0, 256, int(rng.integers(1, 16))).astype(np.uint8))
        elif kind == 3:
            changed = changed[:place]
        else:
            size = int(rng.integers(1, 9))
            changed[place : place + size] = pick(rng, (b"\xff", b"\x00", b"\x7f")) * size
    return bytes(changed)


def value(rng: Rng, given: Any) -> Any:
    """Return what JSON holds with something else in one to three of its places."""
    for _ in range(int(rng.integers(1, 4))):
        places = list(_places(given))
        if not places:
            return deepcopy(pick(rng, VALUES))
        at, key = pick(rng, places)
        kind = int(rng.integers(6))
        if kind <= 2:
            at[key] = deepcopy(pick(rng, VALUES))
        elif kind == 3 and isinstance(at, dict):
            at[str(pick(rng, WORDS))] = at.pop(key)
        elif kind == 3:
            at.insert(key, deepcopy(at[key]))
        elif kind == 4:
            del at[key]
        elif isinstance(at[key], str):
            at[key] = text(rng, at[key])
        elif isinstance(at[key], int | float):
            at[key] = at[key] * pick(rng, (-1, 0, 2, 10**6) if isinstance(at[key], int) else (-1, 0, 2, 1e6, 1e-9))
    return given


def _places(given: Any) -> Any:
    """Yield each place in lists and mappings: what holds it, and its key."""
    items = given.items() if isinstance(given, dict) else enumerate(given) if isinstance(given, list) else ()
    for key, part in list(items):
        yield given, key
        yield from _places(part)
