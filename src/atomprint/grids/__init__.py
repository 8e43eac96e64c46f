"""Numbers on grids around structures, such as densities: from files and to files, interpolated, as features."""

from typing import TYPE_CHECKING

from atomprint.util.door import door

if TYPE_CHECKING:
    from atomprint.grids.files import read_volume, write_volume
    from atomprint.grids.statistics import VolumeStatistics
    from atomprint.grids.volume import Volume

__getattr__, __dir__ = door(__name__)

__all__ = ["Volume", "VolumeStatistics", "read_volume", "write_volume"]
