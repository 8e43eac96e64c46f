"""Structures of the Materials Project by its own client, with the key of the user."""

from __future__ import annotations

import inspect
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from atomprint.formats.source import Row
from atomprint.util.extras import require
from atomprint.util.files import written_atomically
from atomprint.util.objects import parsed
from atomprint.util.plain import plain
from atomprint.util.validation import meant

SCHEME = "mp-api:"
"""What such a source begins with; conditions follow, as in ``mp-api:elements=["Li"]&energy_above_hull=[0, 0.05]``."""

KEY = "MP_API_KEY"
"""The environment variable with the key."""

_FIELDS = (
    "band_gap",
    "formation_energy_per_atom",
    "energy_above_hull",
    "density",
    "volume",
    "is_stable",
    "is_metal",
    "theoretical",
    "total_magnetization",
)


_KEPT = "materials.jsonl"
_OURS = ("num_chunks", "chunk_size", "all_fields", "fields", "kwargs")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def rows_of(source: str, folder: Path | None = None) -> Iterator[Row]:
    """Yield materials as rows, by conditions of ``MPRester.materials.summary.search``.

    Parameters
    ----------
    source : str
        :data:`SCHEME` and the conditions; infinite ends of a range are open, as in ``band_gap=[1, inf]``.
    folder : Path, optional
        Where they are kept, so that they are asked for once.

    Raises
    ------
    ImportError
        If mp-api is not installed.
    ValueError
        If there is no key, a condition cannot be read or is none of the client's, or the client fails.
    """
    if folder is None:
        yield from _asked_for(source)
        return
    path = folder / _KEPT
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with written_atomically(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            for row in _asked_for(source):
                file.write(json.dumps(plain({"id": row.id, "fields": row.fields, "structure": row.structure})) + "\n")
    with path.open(encoding="utf-8") as file:
        for line in file:
            kept = json.loads(line)
            yield Row(kept["fields"], kept["structure"], id=kept["id"])


def _asked_for(source: str) -> Iterator[Row]:
    client = require("mp_api.client", "mp", "the Materials Project by its own client")
    asked = _conditions(source)
    key = os.environ.get(KEY)
    if not key:
        raise ValueError(
            f"{SCHEME} needs the environment variable {KEY}: a key is on https://materialsproject.org/api; "
            "without one, optimade:mp has the structures, too"
        )
    try:
        with client.MPRester(key, mute_progress_bars=True) as rester:
            search = rester.materials.summary.search
            known = [name for name in inspect.signature(search).parameters if name not in _OURS and name[0] != "_"]
            for name in asked:
                if name not in known:
                    raise ValueError(
                        f"there is no condition {name!r}{meant(name, known)}; there are {', '.join(known)}"
                    )
            found = {
                str(one.material_id): one for one in search(fields=["material_id", "structure", *_FIELDS], **asked)
            }
    except (ValueError, ImportError):
        raise
    except Exception as error:  # of the client's own, or of what it is built on
        raise ValueError(f"the Materials Project cannot be asked: {_COLOURS.sub('', str(error))[:500]}") from error
    # In an order that is always the same: that of the server may change from day to day.
    for name, material in sorted(found.items()):
        fields = {field: getattr(material, field, None) for field in _FIELDS}
        yield Row(fields, material.structure.as_dict(), id=name)


def _conditions(source: str) -> dict[str, Any]:
    """Return conditions as the client takes them: ranges are tuples, open where they are infinite."""
    asked: dict[str, Any] = {}
    for text in filter(None, source.removeprefix(SCHEME).split("&")):
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"a condition must look like elements=['Li', 'O'], got {text!r}")
        given = parsed(value)
        if given in ([], ""):
            raise ValueError(f"a condition must have a value, got {text!r}")
        if isinstance(given, str) and given[0] in "[{(":
            raise ValueError(f"a condition must look like elements=['Li', 'O'] or band_gap=[1, inf], got {text!r}")
        if isinstance(given, list) and not isinstance(given[0], str):
            given = tuple(None if isinstance(end, float) and math.isinf(end) else end for end in given)
        asked[name.strip()] = given
    if not asked:
        raise ValueError(f"{SCHEME} needs a condition, such as {SCHEME}energy_above_hull=[0, 0.05]")
    return asked
