"""Published figures on the official folds of Matbench v0.1, for comparison."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np


class Published(NamedTuple):
    """A published figure.

    Parameters
    ----------
    model : str
        Who.
    given : {"nothing", "composition", "structure"}
        What the model was given.
    folds : tuple of float
        The figure of each of the five folds; empty where only their mean was found.
    source : str
        Paper or address of the model.
    year : int
        Of the paper or, without one, of the submission.
    mean, spread : float or None
        Mean and standard deviation over the folds as they were given, where ``folds`` is empty.
    note : str
        What a reader should know.
    """

    model: str
    given: str
    folds: tuple[float, ...]
    source: str
    year: int
    mean: float | None = None
    spread: float | None = None
    note: str = ""

    @property
    def figure(self) -> float:
        """Mean over the five folds."""
        return float(np.mean(self.folds)) if self.mean is None else self.mean

    @property
    def std(self) -> float:
        """Standard deviation over the five folds, as leaderboards give it: no degree of freedom removed."""
        return float(np.std(self.folds)) if self.spread is None else self.spread


_STRUCTURE, _COMPOSITION = "structure", "composition"

_MATBENCH = "doi:10.1038/s41524-020-00406-3"
_CGCNN = "doi:10.1103/PhysRevLett.120.145301, run by the authors of Matbench"
_CRABNET = "doi:10.1038/s41524-021-00545-1"
_MODNET = "doi:10.1088/1361-648X/ac1280"
_ALIGNN = "doi:10.1038/s41524-021-00650-1"
_COGN = "arXiv:2302.14102"
_FINDER = "doi:10.1002/advs.202200164"
_SCHNET = "doi:10.1063/1.5019779, as implemented in kgcnn"
_MEGNET = "doi:10.1021/acs.chemmater.9b01294, as implemented in kgcnn"
_DIMENET = "arXiv:2011.14115, as implemented in kgcnn"


def _dummy(*folds: float) -> Published:
    return Published("Dummy", "nothing", folds, _MATBENCH, 2020)


def _forest(given: str, *folds: float) -> Published:
    name = "Random forest, Magpie" if given == _COMPOSITION else "Random forest, sine matrix and Magpie"
    return Published(name, given, folds, _MATBENCH, 2020)


def _express(given: str, *folds: float) -> Published:
    return Published("AMMExpress v2020", given, folds, _MATBENCH, 2020)


def _modnet(given: str, *folds: float) -> Published:
    return Published("MODNet v0.1.12", given, folds, _MODNET, 2021)


def _structures(model: str, source: str, year: int, mean: float, spread: float) -> Published:
    return Published(model, _STRUCTURE, (), source, year, mean, spread)


PUBLISHED: Mapping[str, tuple[Published, ...]] = MappingProxyType(
    {
        "matbench_expt_gap": (
            Published(
                "Zoey-MetalGate",
                _COMPOSITION,
                (),
                "github.com/materialsproject/matbench/pull/364",
                2026,
                0.2775,
                0.0051,
                "submitted on 12 August 2026 and not on the leaderboard: as given there",
            ),
            Published(
                "Darwin",
                _COMPOSITION,
                (0.2723, 0.2873, 0.2945, 0.2836, 0.2949),
                "arXiv:2304.02213",
                2023,
                note="a language model of scientific text, fine-tuned",
            ),
            Published(
                "Ax/SAASBO CrabNet v1.2.7",
                _COMPOSITION,
                (0.3214, 0.3385, 0.3383, 0.3327, 0.3239),
                "doi:10.1016/j.commatsci.2022.111505",
                2022,
            ),
            _modnet(_COMPOSITION, 0.3121, 0.3388, 0.3763, 0.3121, 0.3241),
            Published("CrabNet", _COMPOSITION, (0.3476, 0.3434, 0.3473, 0.3329, 0.3602), _CRABNET, 2021),
            _express(_COMPOSITION, 0.3998, 0.4061, 0.4538, 0.4061, 0.4150),
            Published("Random forest, Magpie", _COMPOSITION, (), _MATBENCH, 2020, 0.4461, 0.0177),
            _dummy(1.0965, 1.1922, 1.1527, 1.1445, 1.1317),
        ),
        "matbench_perovskites": (
            Published("coGN", _STRUCTURE, (0.0273, 0.0280, 0.0256, 0.0271, 0.0266), _COGN, 2023),
            Published("ALIGNN", _STRUCTURE, (0.0293, 0.0301, 0.0276, 0.0286, 0.0282), _ALIGNN, 2021),
            Published("coNGN", _STRUCTURE, (0.0295, 0.0309, 0.0277, 0.0283, 0.0284), _COGN, 2023),
            Published("Finder v1.2", _STRUCTURE, (0.0330, 0.0337, 0.0313, 0.0314, 0.0305), _FINDER, 2022),
            _structures("SchNet (kgcnn v2.1.0)", _SCHNET, 2018, 0.0342, 0.0005),
            _structures("MegNet (kgcnn v2.1.0)", _MEGNET, 2019, 0.0352, 0.0016),
            _structures("DimeNet++ (kgcnn v2.1.0)", _DIMENET, 2020, 0.0376, 0.0011),
            Published("CGCNN v2019", _STRUCTURE, (0.0456, 0.0462, 0.0448, 0.0454, 0.0442), _CGCNN, 2018),
            _modnet(_STRUCTURE, 0.0932, 0.0939, 0.0861, 0.0892, 0.0914),
            _express(_STRUCTURE, 0.2159, 0.1904, 0.1962, 0.1992, 0.2006),
            _forest(_STRUCTURE, 0.2357, 0.2367, 0.2365, 0.2395, 0.2291),
            Published("CrabNet", _COMPOSITION, (0.4080, 0.4160, 0.4034, 0.4096, 0.3953), _CRABNET, 2021),
            _dummy(0.5672, 0.5742, 0.5660, 0.5614, 0.5612),
            Published("Finder v1.2", _COMPOSITION, (0.6366, 0.6773, 0.6399, 0.6415, 0.6294), _FINDER, 2022),
        ),
        "matbench_mp_e_form": (
            Published("coGN", _STRUCTURE, (0.0174, 0.0167, 0.0168, 0.0173, 0.0169), _COGN, 2023),
            _structures("coNGN", _COGN, 2023, 0.0178, 0.0004),
            _structures("ALIGNN", _ALIGNN, 2021, 0.0215, 0.0005),
            _structures("SchNet (kgcnn v2.1.0)", _SCHNET, 2018, 0.0218, 0.0004),
            _structures("DimeNet++ (kgcnn v2.1.0)", _DIMENET, 2020, 0.0235, 0.0004),
            _structures("MegNet (kgcnn v2.1.0)", _MEGNET, 2019, 0.0252, 0.0003),
            Published("CGCNN v2019", _STRUCTURE, (0.0340, 0.0340, 0.0328, 0.0332, 0.0346), _CGCNN, 2018),
            Published("Finder v1.2", _STRUCTURE, (0.0343, 0.0332, 0.0338, 0.0366, 0.0338), _FINDER, 2022),
            _modnet(_STRUCTURE, 0.0402, 0.0497, 0.0475, 0.0464, 0.0400),
            Published("Finder v1.2", _COMPOSITION, (0.0838, 0.0826, 0.0843, 0.0830, 0.0858), _FINDER, 2022),
            Published("CrabNet", _COMPOSITION, (0.0853, 0.0857, 0.0879, 0.0854, 0.0865), _CRABNET, 2021),
            _forest(_STRUCTURE, 0.1158, 0.1160, 0.1179, 0.1159, 0.1166),
            _express(_STRUCTURE, 0.1586, 0.2026, 0.1473, 0.2080, 0.1467),
            _dummy(1.0063, 1.0036, 1.0062, 1.0024, 1.0111),
        ),
        "matbench_mp_is_metal": (
            Published(
                "CGCNN v2019",
                _STRUCTURE,
                (0.9578, 0.9432, 0.9632, 0.9463, 0.9494),
                _CGCNN,
                2018,
                note="far above all later networks, of which the best has 0.9128",
            ),
            Published("ALIGNN", _STRUCTURE, (0.9156, 0.9117, 0.9125, 0.9117, 0.9123), _ALIGNN, 2021),
            Published("coGN", _STRUCTURE, (0.9162, 0.9092, 0.9117, 0.9135, 0.9113), _COGN, 2023),
            _express(_STRUCTURE, 0.9094, 0.9086, 0.9089, 0.9108, 0.9086),
            Published("coNGN", _STRUCTURE, (0.9096, 0.9123, 0.9072, 0.9085, 0.9069), _COGN, 2023),
            _modnet(_STRUCTURE, 0.9135, 0.8995, 0.9096, 0.8849, 0.9116),
            _structures("DimeNet++ (kgcnn v2.1.0)", _DIMENET, 2020, 0.9032, 0.0036),
            _structures("MegNet (kgcnn v2.1.0)", _MEGNET, 2019, 0.9021, 0.0018),
            _forest(_STRUCTURE, 0.9025, 0.8968, 0.8987, 0.8994, 0.8984),
            _structures("SchNet (kgcnn v2.1.0)", _SCHNET, 2018, 0.8907, 0.0018),
            _dummy(0.5069, 0.4944, 0.4986, 0.5032, 0.5030),
        ),
    }
)
"""By task, the best first: mean absolute errors (expt_gap eV, perovskites eV per cell of five atoms, mp_e_form
eV/atom), and for mp_is_metal balanced accuracies, which the leaderboard calls rocauc (its column of balanced accuracies
has the same numbers). The best of the leaderboard of each task, whatever its kind and whatever it was given, and what
it has of well-known models, as in the pages of results of github.com/materialsproject/matbench, read in November 2026;
Dunn, Wang, Ganose, Dopp and Jain, npj Comput. Mater. 6, 138 (2020)."""

ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        "matbench_mp_e_form": "iComFormer and eComFormer (structure) were submitted in 2024, pull request 322 of "
        "github.com/materialsproject/matbench; their figures on these folds were not found there.",
    }
)
"""By task, what is known to exist but has no figure here."""
