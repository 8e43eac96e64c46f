"""Published figures on the official folds of Matbench v0.1, for comparison."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Published(NamedTuple):
    """A published figure: who, what it was given, and the mean over the five folds."""

    model: str
    given: str
    figure: float


_DUMMY, _FOREST = "Dummy", "Random forest, sine matrix and Magpie"
_STRUCTURE, _COMPOSITION = "structure", "composition"

PUBLISHED: Mapping[str, tuple[Published, ...]] = MappingProxyType(
    {
        "matbench_expt_gap": (
            Published(_DUMMY, "nothing", 1.1435),
            Published(_FOREST, _COMPOSITION, 0.4461),
            Published("AMMExpress v2020", _COMPOSITION, 0.4161),
            Published("CrabNet", _COMPOSITION, 0.3463),
            Published("MODNet v0.1.12", _COMPOSITION, 0.3327),
        ),
        "matbench_perovskites": (
            Published(_DUMMY, "nothing", 0.5660),
            Published("CrabNet", _COMPOSITION, 0.4065),
            Published(_FOREST, _STRUCTURE, 0.2355),
            Published("AMMExpress v2020", _STRUCTURE, 0.2005),
            Published("MODNet v0.1.12", _STRUCTURE, 0.0908),
            Published("CGCNN v2019", _STRUCTURE, 0.0452),
            Published("coGN", _STRUCTURE, 0.0269),
        ),
        "matbench_mp_e_form": (
            Published(_DUMMY, "nothing", 1.0059),
            Published("AMMExpress v2020", _STRUCTURE, 0.1726),
            Published(_FOREST, _STRUCTURE, 0.1165),
            Published("CrabNet", _COMPOSITION, 0.0862),
            Published("MODNet v0.1.12", _STRUCTURE, 0.0448),
            Published("CGCNN v2019", _STRUCTURE, 0.0337),
            Published("coGN", _STRUCTURE, 0.0170),
        ),
        "matbench_mp_is_metal": (
            Published(_DUMMY, "nothing", 0.5012),
            Published(_FOREST, _STRUCTURE, 0.8992),
            Published("MODNet v0.1.12", _STRUCTURE, 0.9038),
            Published("AMMExpress v2020", _STRUCTURE, 0.9093),
            Published("coGN", _STRUCTURE, 0.9124),
        ),
    }
)
"""By task: mean absolute errors (expt_gap eV, perovskites eV per cell of five atoms, mp_e_form eV/atom), and for
mp_is_metal balanced accuracies, which the leaderboard calls rocauc. From the leaderboard at
matbench.materialsproject.org; Dunn, Wang, Ganose, Dopp and Jain, npj Comput. Mater. 6, 138 (2020)."""
