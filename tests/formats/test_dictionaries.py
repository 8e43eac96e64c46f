"""Dictionaries of structures with something else where numbers should be: refused in words, never read as another."""

import copy
import re

import numpy as np
import pytest
from ase.build import bulk

from atomprint.datasets.files.structures import to_atoms

CELL = [[4.0, 0, 0], [0, 4, 0], [0, 0, 4]]
PLACES = [[0.0, 0, 0], [0.5, 0.5, 0.5]]
DICTIONARIES = {
    "pymatgen": {
        "lattice": {"matrix": CELL, "pbc": [True, True, True]},
        "sites": [
            {"species": [{"element": symbol, "occu": 1}], "abc": place}
            for symbol, place in zip(("Na", "Cl"), PLACES, strict=True)
        ],
    },
    "optimade": {
        "lattice_vectors": CELL,
        "dimension_types": [1, 1, 1],
        "cartesian_site_positions": [[0, 0, 0], [2, 2, 2]],
        "species_at_sites": ["Na", "Cl"],
        "species": [{"name": name, "chemical_symbols": [name], "concentration": [1.0]} for name in ("Na", "Cl")],
    },
    "jarvis": {"lattice_mat": CELL, "coords": PLACES, "elements": ["Na", "Cl"], "cartesian": False},
    "ase": {"numbers": [11, 17], "positions": [[0, 0, 0], [2, 2, 2]], "cell": CELL, "pbc": [True, True, True]},
}
ODD = [None, "x", True, [], [1, "a"], [[1, 2], [3]], {}, 10**400, float("nan"), [1, 2, 3, 4], "0.5"]
PYTHON = re.compile(r"Error\(|NoneType|ufunc|inhomogeneous|unpack|could not convert|iterable|subscript|attribute")


def spots(value, path=()):
    """Yield the path of everything in nested lists and mappings."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from spots(inner, (*path, key))


def read(data):
    try:
        return to_atoms(data), ""
    except ValueError as error:
        return None, str(error)


@pytest.mark.parametrize("form", DICTIONARIES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_odd_entries_are_refused_in_words(form):
    wanted = to_atoms(DICTIONARIES[form])
    assert wanted.get_chemical_formula() == "ClNa"
    for path in spots(DICTIONARIES[form]):
        for odd in [*ODD, KeyError]:
            data = copy.deepcopy(DICTIONARIES[form])
            holder = data
            for key in path[:-1]:
                holder = holder[key]
            if odd is KeyError:
                del holder[path[-1]]
            else:
                holder[path[-1]] = odd
            found, message = read(data)
            assert not PYTHON.search(message), (path, odd, message)
            assert found is None or (len(found) == 2 and np.isfinite(found.positions).all()) or path[-1] in (0, 1), path


def test_attached_atoms_and_shares_of_species():
    data = copy.deepcopy(DICTIONARIES["optimade"])
    data["species"][0]["attached"] = ["H"]
    with pytest.raises(ValueError, match=r"species 'Na' has \['H'\] attached"):
        to_atoms(data)
    data = copy.deepcopy(DICTIONARIES["pymatgen"])
    data["sites"][0]["species"] = [{"element": "Fe", "occu": 0.5}, {"element": "Fe", "occu": 0.5}]
    with pytest.raises(ValueError, match="disordered: site 0 is"):
        to_atoms(data)
    assert len(to_atoms(bulk("Cu").todict())) == 1
