"""Many candidates, few models: what passes, what is best, and what to compute next."""

from typing import TYPE_CHECKING

from atomprint.util.door import door

if TYPE_CHECKING:
    from atomprint.screening.ranking import Objective, pareto_fronts
    from atomprint.screening.run import Screening, screen

__getattr__, __dir__ = door(__name__)

__all__ = ["Objective", "Screening", "pareto_fronts", "screen"]
