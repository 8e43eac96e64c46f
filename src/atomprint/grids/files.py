"""Volumes in files: cube, CHGCAR, xsf."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from ase.units import Bohr

from atomprint.formats.opening import open_text, plain_name
from atomprint.grids.volume import Volume
from atomprint.util.files import check_writable
from atomprint.util.types import PathOrStr
from atomprint.util.validation import check_bool, check_choice

FORMATS = ("cube", "chgcar", "xsf")
_NAMES = ("chg", "parchg", "aeccar")
_NO_DENSITIES = ("locpot", "elfcar")  # as CHGCAR, but their values are not times the volume
_DENSITY = "1/Å^3"
_UNITS = {"1/bohr^3": Bohr**-3, _DENSITY: 1.0}  # in 1/Å³


def _format_of(path: Path, given: str | None) -> str:
    if given is not None:
        return check_choice("format", given, FORMATS)
    name = plain_name(path.name).lower()
    ending = Path(name).suffix
    if ending in (".cube", ".cub"):
        return "cube"
    if ending == ".xsf":
        return "xsf"
    if name.startswith(_NAMES) or ending in (".chgcar", ".vasp"):
        return "chgcar"
    raise ValueError(f"{path.name} does not tell its format: give format=, one of {', '.join(map(repr, FORMATS))}")


def read_volume(
    path: PathOrStr,
    *,
    format: str | None = None,
    periodic: bool | None = None,
    spin: bool = False,
    unit: str | None = None,
) -> Volume:
    """Read numbers on a grid, and the structure that they belong to.

    Parameters
    ----------
    path : path
        A cube file (Gaussian's, also of CASTEP), CHG or CHGCAR of VASP, or xsf of XCrySDen with one grid.
    format : {"cube", "chgcar", "xsf"}, optional
        Default: by the name.
    periodic : bool, optional
        For cube files, which do not tell it and so need it: whether the grid is the cell of a crystal.
    spin : bool
        For CHGCAR: whether to read the difference between spins and not their sum.
    unit : {"1/bohr^3", "1/Å^3"}, optional
        For cube and xsf files, which do not tell it: in what their values are, if they are a density; those of cube
        files mostly are in 1/bohr³.

    Returns
    -------
    Volume
        With a ``unit`` values are in 1/Å³, so that the integral is a number of electrons; without, as in the file.
        Those of CHGCAR, which has them times the volume of the cell, are in 1/Å³; of several, the last.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is broken, or has not what is asked for.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {str(path)!r}")
    kind = _format_of(path, format)
    if kind == "cube" and periodic is None:
        raise ValueError(f"periodic must be given for cube files, which do not tell it: {path.name}")
    if kind != "cube" and periodic is not None:
        raise ValueError(f"periodic is for cube files, got {periodic} for {path.name}")
    if check_bool("spin", spin) and kind != "chgcar":
        raise ValueError(f"spin is for CHGCAR, got {path.name}")
    if unit is not None:
        check_choice("unit", unit, _UNITS)
        if kind == "chgcar":
            raise ValueError(f"unit is for cube and xsf files, got {unit!r} for {path.name}")
    if kind == "chgcar" and plain_name(path.name).lower().startswith(_NO_DENSITIES):
        raise ValueError(f"{path.name} has no density: files of this name are not read")
    volume = _read(path, kind, periodic, spin)
    if unit is not None:
        volume.values, volume.unit = volume.values * _UNITS[unit], _DENSITY
    return volume


def _read(path: Path, kind: str, periodic: bool | None, spin: bool) -> Volume:
    try:
        if kind == "cube":
            return _read_cube(path, check_bool("periodic", periodic))
        return _read_chgcar(path, spin) if kind == "chgcar" else _read_xsf(path)
    except Exception as error:  # ASE's readers raise whatever they meet
        raise ValueError(f"{path.name} cannot be read as {kind}: {error}") from error


def write_volume(path: PathOrStr, volume: Volume, *, format: str | None = None) -> None:
    """Write numbers on a grid, and the structure that they belong to.

    Parameters
    ----------
    path : path
        The file, which is replaced.
    volume : Volume
        What is written. A CHGCAR takes grids that are the cell of a crystal only, of densities in 1/Å³. A density whose
        ``unit`` is 1/Å³ is written to cube files in 1/bohr³, as others expect it there.
    format : {"cube", "chgcar", "xsf"}, optional
        Default: by the name.

    Raises
    ------
    OSError
        If it cannot be written.
    ValueError
        If the format cannot hold it.
    """
    path = Path(path)
    if not isinstance(volume, Volume):
        raise TypeError(f"volume must be a Volume, got {type(volume).__name__}")
    kind = _format_of(path, format)
    check_writable(path)
    if kind == "cube":
        _write_cube(path, volume)
    elif kind == "xsf":
        path.write_text(_xsf(volume), encoding="ascii")
    else:
        _write_chgcar(path, volume)


def _bare(volume: Volume) -> Any:
    """Return the atoms without velocities, which some formats put between structure and grid."""
    atoms = volume.structure.copy()
    atoms.arrays.pop("momenta", None)
    atoms.set_constraint()
    return atoms


def _read_cube(path: Path, periodic: bool) -> Volume:
    from ase.io.cube import read_cube

    with open_text(path) as file:
        _check_lengths(file)
        file.seek(0)
        found = read_cube(file)
    if len(found["datas"]) > 1:
        raise ValueError(f"it has {len(found['datas'])} values at each point, and one is read")
    atoms = found["atoms"]
    vectors = atoms.cell.array.copy()
    atoms.pbc = periodic
    if not periodic:
        atoms.cell = None
    return Volume(found["data"], atoms, found["origin"], vectors)


def _check_lengths(file: IO[str]) -> None:
    """Refuse lengths in Å, which some programs mean by negative numbers of points, and others not."""
    for number, line in zip(range(6), file, strict=False):
        if number > 2 and int(line.split()[0]) < 0:
            raise ValueError(f"numbers of points must be positive, with lengths in bohr, got {line.split()[0]}")


def _write_cube(path: Path, volume: Volume) -> None:
    from ase.io.cube import write_cube

    atoms = _bare(volume)
    atoms.cell = volume.vectors
    values = volume.values / _UNITS["1/bohr^3"] if volume.unit == _DENSITY else volume.values
    with path.open("w", encoding="ascii") as file:
        write_cube(file, atoms, values, volume.origin, comment="written by atomprint")


def _read_chgcar(path: Path, spin: bool) -> Volume:
    from ase.calculators.vasp.vasp_auxiliary import VaspChargeDensity

    if plain_name(path.name) != path.name:
        raise ValueError("it has to be decompressed before")
    found = VaspChargeDensity(str(path))
    densities = found.chgdiff if spin else found.chg
    if spin and _n_grids(path) > 2 * len(found.chg):  # of which ASE takes one or the other component
        raise ValueError("it has spins that are not collinear: three components, and no difference")
    if not densities:
        raise ValueError("it has no difference of spins" if spin else "it has no density")
    return Volume(densities[-1], found.atoms[-1], unit=_DENSITY)


def _n_grids(path: Path) -> int:
    """Return how often a CHGCAR has the line that begins a grid, which first comes after an empty one."""
    with path.open(encoding="utf-8") as file:
        while (line := file.readline()).strip():
            pass
        grid = file.readline().split() if line else []
        return 1 + sum(line.split() == grid for line in file)


def _write_chgcar(path: Path, volume: Volume) -> None:
    from ase.calculators.vasp.vasp_auxiliary import VaspChargeDensity

    if not volume.periodic or np.abs(volume.origin).max() > 1e-6:
        raise ValueError("a CHGCAR holds the grid of a cell that repeats, from its origin on: write a cube file or xsf")
    if volume.unit not in (None, _DENSITY):
        raise ValueError(f"a CHGCAR holds densities in {_DENSITY}, and these values are in {volume.unit}")
    numbers = volume.structure.numbers
    if len(np.flatnonzero(np.diff(numbers))) + 1 != len(set(numbers.tolist())):
        raise ValueError("a CHGCAR holds the atoms of each element one after the other: sort the structure before")
    found = VaspChargeDensity(None)
    found.atoms, found.chg = [_bare(volume)], [volume.values]
    found.write(str(path), format="chgcar")


def _read_xsf(path: Path) -> Volume:
    from ase.io.xsf import read_xsf

    with open_text(path) as file:
        values, origin, spans, atoms = read_xsf(file, read_data=True)
    if min(values.shape) < 2:
        raise ValueError(f"its grid has shape {values.shape}, and the last points of xsf are the first again")
    # From the first point to the last, which in a crystal is the first of the next cell.
    if atoms.pbc.all() and np.abs(spans - atoms.cell.array).max() < 1e-4:
        return Volume(values[:-1, :-1, :-1], atoms, origin)
    counts = np.array(values.shape)[:, None]
    return Volume(values, atoms, origin, spans * counts / (counts - 1))


def _xsf(volume: Volume) -> str:
    """Return the text of an xsf file; ASE's own writes six decimals, of which small densities have few digits."""
    from ase.io.xsf import write_xsf

    values, vectors = volume.values, volume.vectors
    atoms = _bare(volume)
    atoms.calc = None
    if volume.periodic:
        values = np.pad(values, [(0, 1)] * 3, mode="wrap")
    else:
        if min(values.shape) < 2:
            raise ValueError(f"an xsf file holds grids with two points along each axis, got shape {values.shape}")
        counts = np.array(values.shape)[:, None]
        vectors = vectors * (counts - 1) / counts
        if not atoms.pbc.all():
            atoms.pbc = False
    text = StringIO()
    write_xsf(text, [atoms])
    rows = [" ".join(f"{x:.12g}" for x in row) for row in (values.shape, volume.origin, *vectors)]
    flat = values.ravel(order="F")
    lines = [" ".join(f"{x:.10e}" for x in flat[k : k + 6]) for k in range(0, len(flat), 6)]
    head = ["BEGIN_BLOCK_DATAGRID_3D", "atomprint", "BEGIN_DATAGRID_3D_values"]
    return text.getvalue() + "\n".join([*head, *rows, *lines, "END_DATAGRID_3D", "END_BLOCK_DATAGRID_3D", ""])
