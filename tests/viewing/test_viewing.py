"""What pictures of structures show, and what notebooks and browsers make of it."""

import json
import re
import shutil
from html import unescape

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write
from helpers.synthetic import perovskite

from atomprint.datasets import Dataset, load
from atomprint.viewing import show
from atomprint.viewing.scene import EDGES, Scene, _bonds, _view_of_crystal, _view_of_molecule, _with_faces


def test_bonds_of_molecules_are_those_of_chemistry():
    counts = {"H2": 1, "H2O": 2, "CH4": 4, "C6H6": 12, "CO2": 2, "CH3CH2OH": 8, "LiF": 1}
    for name, n_bonds in counts.items():
        atoms = molecule(name)
        assert len(_bonds(atoms.positions, atoms.numbers)) == n_bonds, name


def test_metals_are_joined_only_where_there_is_no_nonmetal():
    titanate = perovskite("Sr", "Ti", "O", 3.9)
    symbols = np.array(titanate.get_chemical_symbols())
    pairs = symbols[_bonds(titanate.positions, titanate.numbers)]
    assert len(pairs)
    assert (pairs == "O").any(axis=1).all()
    copper = bulk("Cu", cubic=True)
    assert len(_bonds(copper.positions, copper.numbers)) == 6


def test_atoms_on_faces_are_repeated():
    atoms = perovskite("Sr", "Ti", "O", 3.9)
    which, positions = _with_faces(atoms.positions, atoms.cell.array, atoms.pbc)
    assert np.bincount(which).tolist() == [8, 1, 2, 2, 2]
    np.testing.assert_allclose(positions[: len(atoms)], atoms.positions, atol=1e-12)
    shifted = atoms.copy()
    shifted.positions -= 1e-9  # just outside the cell: still on the face
    assert np.bincount(_with_faces(shifted.positions, atoms.cell.array, atoms.pbc)[0]).tolist() == [8, 1, 2, 2, 2]


@pytest.mark.parametrize("view", [_view_of_molecule(molecule("CH3CH2OH").positions), _view_of_crystal(np.eye(3))])
def test_views_are_rotations(view):
    np.testing.assert_allclose(view @ view.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(view) == pytest.approx(1)  # no mirror image: molecules keep their handedness


def test_crystals_are_seen_from_above_with_c_up():
    right, _, up = np.eye(3) @ _view_of_crystal(np.eye(3))
    assert up[1] > 0.9
    assert right[0] > 0.9
    assert up[2] > 0  # its tip leans towards the eye


def test_a_scene_is_the_structure_turned():
    atoms = perovskite("Sr", "Ti", "O", 3.9)
    atoms.rattle(0.3, seed=0)
    scene = Scene.of(atoms)
    assert scene.n_atoms == 5
    inside = atoms.copy()
    inside.wrap(eps=0.02)
    own = Atoms(scene.numbers[:5], scene.points[:5]).get_all_distances()
    np.testing.assert_allclose(own, inside.get_all_distances(), atol=1e-10)
    np.testing.assert_allclose(scene.cell @ scene.cell.T, atoms.cell @ atoms.cell.T, atol=1e-10)
    assert len(EDGES) == 12
    lengths = [np.linalg.norm(scene.corners()[i] - scene.corners()[j]) for i, j in EDGES]
    np.testing.assert_allclose(lengths, 3.9)


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        ([molecule("H2O"), molecule("CO2")], "structure must be one to be drawn, got 2"),
        (Atoms("H1001", np.arange(3003).reshape(-1, 3)), "at most 1000 atoms to be drawn, got 1001"),
    ],
)
def test_what_cannot_be_shown_is_refused(structure, message):
    with pytest.raises(ValueError, match=message):
        show(structure)


def test_every_element_has_a_colour():
    atoms = Atoms(list(range(1, 119)), np.arange(354).reshape(-1, 3))
    colours = data_of(show(atoms).page())["colours"]
    assert len(colours) == 118
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)
    assert colours[5] == "#909090"  # carbon


def data_of(page):
    return json.loads(re.search(r"view\(document.querySelector\(\"canvas\"\), (.*)\);</script>", page)[1])


def test_a_page_has_all_that_it_needs(tmp_path):
    write(tmp_path / "salt.cif", bulk("NaCl", "rocksalt", a=5.64, cubic=True))
    view = show(tmp_path / "salt.cif", size=200)
    assert repr(view) == "View(Na4Cl4, 8 atoms)"
    data = data_of(view.page())
    assert len(data["points"]) == 27  # the corners, edges, faces and the middle of a cube
    assert len(data["edges"]) == 12
    assert len(data["bonds"]) == 54  # 3 * 2 * 9
    assert len(set(data["colours"])) == len(data["radii"]) == 2
    view.save(tmp_path / "salt.html")
    assert (tmp_path / "salt.html").read_text(encoding="utf-8") == view.page()
    html = view._repr_html_()
    assert unescape(re.search(r'srcdoc="([^"]*)"', html)[1]) == view.page()
    assert "200px" in html
    assert not re.search(r"(?:src|href)=", view.page())
    assert data_of(show(molecule("H2")).page())["edges"] == []


def test_rows_of_data_sets_are_shown():
    g2 = load("g2")
    html = g2[3]._repr_html_()
    assert "srcdoc" in html
    assert g2[3].id in html
    assert "Enthalpy of formation (kcal/mol)</th>" in html
    structures = [Atoms("H1001", np.arange(3003).reshape(-1, 3))]
    named = {"ids": ("a",), "targets": {}, "title": "", "description": "", "source": ""}
    many = Dataset("many", structures=structures, **named)
    assert "srcdoc" not in many[0]._repr_html_()
    formulas = Dataset("formulas", structures=None, compositions=("NaCl",), **named)
    assert "NaCl" in formulas[0]._repr_html_()


@pytest.fixture(scope="module")
def browser():
    sync = pytest.importorskip("playwright.sync_api")
    path = next((found for name in ("chromium", "google-chrome") if (found := shutil.which(name))), None)
    with sync.sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except sync.Error:
            pytest.skip("there is no browser")
        yield found
        found.close()


def drawn(canvas, page):
    """Wait until there are colours on a canvas, and tell whether there are some in the end."""
    colours = "c => c.width && new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
    for _ in range(200):
        if canvas.evaluate(colours) > 20:
            return True
        page.wait_for_timeout(50)
    return False


@pytest.mark.slow
def test_it_can_be_turned(browser):
    page = browser.new_page(viewport={"width": 420, "height": 420})
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.set_content(show(bulk("NaCl", "rocksalt", a=5.64, cubic=True))._repr_html_())
    canvas = page.frame_locator("iframe").locator("canvas")
    assert drawn(canvas, page)
    seen = [canvas.screenshot()]

    def look():  # it is drawn anew some time after what was done to it
        for _ in range(200):
            found = canvas.screenshot()
            if found != seen[-1]:
                break
            page.wait_for_timeout(50)
        seen.append(found)

    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y + 15)
    page.mouse.up()
    look()
    page.mouse.wheel(0, -300)
    look()
    canvas.press("ArrowUp")
    look()
    canvas.dblclick()
    look()
    assert not faults
    assert len(set(seen)) == 4  # each differs from all others, but the last is the first again
    assert seen[4] == seen[0]
    page.close()


@pytest.mark.slow
def test_it_is_drawn_when_it_comes_into_sight(browser):
    page = browser.new_page(viewport={"width": 420, "height": 420})
    picture = show(molecule("H2O"))._repr_html_()
    page.set_content(f"<details><summary>solution</summary>{picture}</details>")  # folded, it has no size
    page.frame_locator("iframe").locator("canvas").wait_for(state="attached")
    page.wait_for_timeout(500)
    page.locator("summary").click()
    assert drawn(page.frame_locator("iframe").locator("canvas"), page)
    page.close()
