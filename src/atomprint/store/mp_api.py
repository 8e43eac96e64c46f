"""Structures of the Materials Project by its own client, with the key of the user."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from atomprint.formats.source import Row
from atomprint.util.extras import require
from atomprint.util.objects import parsed

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


def rows_of(source: str) -> Iterator[Row]:
    """Yield materials as rows, by conditions of ``MPRester.materials.summary.search``.

    Raises
    ------
    ImportError
        If mp-api is not installed.
    ValueError
        If there is no key, or a condition cannot be read.
    """
    client = require("mp_api.client", "mp", "the Materials Project by its own client")
    key = os.environ.get(KEY)
    if not key:
        raise ValueError(
            f"{SCHEME} needs the environment variable {KEY}: a key is on https://materialsproject.org/api; "
            "without one, optimade:mp has the structures, too"
        )
    asked: dict[str, Any] = {}
    for text in filter(None, source.removeprefix(SCHEME).split("&")):
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"a condition must look like elements=['Li', 'O'], got {text!r}")
        given = parsed(value)
        if given in ([], ""):
            raise ValueError(f"a condition must have a value, got {text!r}")
        asked[name.strip()] = tuple(given) if isinstance(given, list) and not isinstance(given[0], str) else given
    with client.MPRester(key) as rester:
        found = rester.materials.summary.search(fields=["material_id", "structure", *_FIELDS], **asked)
        # In an order that is always the same: that of the server may change from day to day.
        for material in sorted(found, key=lambda one: str(one.material_id)):
            fields = {name: getattr(material, name, None) for name in _FIELDS}
            yield Row(fields, material.structure.as_dict(), id=str(material.material_id))
