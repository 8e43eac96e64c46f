"""Structures of servers: pages that are kept, bad ones that are passed over, and the same store in the end."""

import json
import sys
import types
from functools import partial
from urllib.parse import parse_qsl, urlsplit

import pytest
from ase.build import bulk

from atomprint.store import FeatureStore, build_store, optimade
from atomprint.store.optimade import PageError, Query, fetch

from .test_build import SMALL, crystals, files

pytest.importorskip("pyarrow")


def entry(number, atoms):
    symbols = sorted(set(atoms.symbols))
    return {
        "id": f"x-{number}",
        "type": "structures",
        "attributes": {
            "lattice_vectors": atoms.cell.tolist(),
            "cartesian_site_positions": atoms.positions.tolist(),
            "species_at_sites": list(atoms.symbols),
            "species": [{"name": s, "chemical_symbols": [s], "concentration": [1.0]} for s in symbols],
            "dimension_types": [1, 1, 1],
            "structure_features": [],
            "nsites": len(atoms),
            "_x_gap": 0.5 * number,
        },
    }


class Server:
    """A server in memory that pages by offsets, and may be out of order."""

    def __init__(self, n=10, size=3):
        self.entries = [entry(number, atoms) for number, atoms in enumerate(crystals(n))]
        self.size, self.asked, self.broken = size, [], {}

    def __call__(self, address, timeout):
        self.asked.append(address)
        query = dict(parse_qsl(urlsplit(address).query))
        offset = int(query.get("page_offset", 0))
        if (fault := self.broken.get(offset)) is not None:
            if callable(fault):
                return fault()
            return fault
        page = self.entries[offset : offset + self.size]
        following = None
        if offset + self.size < len(self.entries):
            following = f"https://x.org/v1/structures?page_offset={offset + self.size}&page_limit={self.size}"
        made = {"data": page, "links": {"next": following}, "meta": {"data_returned": len(self.entries)}}
        return 200, {}, json.dumps(made).encode()


@pytest.fixture
def server(monkeypatch):
    made = Server()
    monkeypatch.setattr(optimade, "_get", made)
    monkeypatch.setattr(optimade.time, "sleep", lambda seconds: None)
    return made


build = partial(build_store, descriptor="SOAP", parameters=SMALL, block=4)


def test_structures_of_a_server_are_rows(server, tmp_path):
    built = build(tmp_path / "s", "optimade:https://x.org", filter='elements HAS "O"')
    assert (built.n_rows, built.n_failed) == (10, 0)
    store = FeatureStore.open(tmp_path / "s")
    assert list(store.ids) == [f"x-{number}" for number in range(10)]
    assert store.table(["_x_gap", "nsites"], [4]).to_pylist() == [{"_x_gap": 2.0, "nsites": 2}]
    assert store.info.sources == {'optimade:https://x.org?elements HAS "O"': (10, 0)}
    first = dict(parse_qsl(urlsplit(server.asked[0]).query))
    assert first["filter"] == 'elements HAS "O"'
    assert server.asked[0].startswith("https://x.org/v1/structures?")
    assert len(server.asked) == 4  # each page once, though the elements are looked up before
    before = files(tmp_path / "s")
    build_store(tmp_path / "s", "optimade:https://x.org", filter='elements HAS "O"')
    assert len(server.asked) == 4
    assert files(tmp_path / "s") == before


def test_a_server_that_stops_answering_is_asked_again_and_pages_are_kept(server, tmp_path):
    tries = []

    def sometimes():
        tries.append(1)
        if len(tries) < 3:
            raise OSError("connection reset")
        del server.broken[3]
        return server("https://x.org/v1/structures?page_offset=3", 1)

    server.broken = {0: (500, {}, b""), 3: sometimes}
    with pytest.raises(PageError, match=r"page 0 cannot be had: the server answers 500, 5 times"):
        build(tmp_path / "s", "optimade:https://x.org")
    del server.broken[0]
    assert build(tmp_path / "s", "optimade:https://x.org").n_rows == 10
    assert len(tries) == 3


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ((503, {"retry-after": "9999"}, b""), "the server answers 503"),
        ((200, {}, b"<html>"), "no JSON"),
        ((200, {}, b'{"data": 3}'), "no list of structures"),
        ((400, {}, b'{"errors": [{"detail": "bad offset"}]}'), "bad offset"),
    ],
)
def test_a_bad_page_is_a_row_that_failed_and_is_mended_later(fault, reason, server, tmp_path):
    build(tmp_path / "whole", "optimade:https://x.org")
    server.broken = {3: fault}
    built = build(tmp_path / "s", "optimade:https://x.org")
    assert (built.n_rows, built.n_failed) == (7, 1)
    (failed,) = FeatureStore.open(tmp_path / "s").failures().to_pylist()
    assert (failed["id"], failed["failure"]) == ("page 1", "page")
    assert reason in failed["reason"]
    server.broken = {}
    assert build(tmp_path / "s", "optimade:https://x.org").n_failed == 0
    kept, expected = (
        {name: text for name, text in files(tmp_path / name).items() if not name.startswith("pages")}
        for name in ("s", "whole")
    )
    assert kept == expected


def test_a_server_that_goes_round_in_a_circle_and_other_mistakes_are_told(server, tmp_path):
    with pytest.raises(ValueError, match=r"one of alexandria, .* or an address"):
        Query("nowhere")
    assert Query("OQMD").base == "https://oqmd.org/optimade/v1"
    assert Query("https://x.org/v1/").base == "https://x.org/v1"

    def round_in_a_circle(address, timeout):
        return 200, {}, json.dumps({"data": [1], "links": {"next": {"href": address}}}).encode()

    with pytest.raises(PageError, match="circle"):
        list(fetch(Query("mp", wait=0), tmp_path / "p", get=round_in_a_circle))
    server.entries = []
    with pytest.raises(ValueError, match="no structures"):
        build(tmp_path / "s", "optimade:https://x.org")


def test_the_client_of_the_materials_project_needs_a_key(tmp_path, monkeypatch):
    asked = {}

    class Structure:
        def as_dict(self):
            nacl = bulk("NaCl", "rocksalt", 5.6)
            sites = [
                {"species": [{"element": symbol, "occu": 1}], "abc": place.tolist()}
                for symbol, place in zip(nacl.symbols, nacl.get_scaled_positions(), strict=True)
            ]
            return {"@module": "pymatgen.core.structure", "@class": "Structure",
                    "lattice": {"matrix": nacl.cell.tolist()}, "sites": sites}  # fmt: skip

    class MPRester:
        def __init__(self, key):
            asked["key"] = key
            self.materials = types.SimpleNamespace(summary=self)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def search(self, **given):
            asked.update(given)
            made = types.SimpleNamespace(material_id="mp-1", structure=Structure(), band_gap=5.0, is_metal=False)
            return [made]

    client = types.ModuleType("mp_api.client")
    client.MPRester = MPRester
    monkeypatch.setitem(sys.modules, "mp_api", types.ModuleType("mp_api"))
    monkeypatch.setitem(sys.modules, "mp_api.client", client)
    monkeypatch.delenv("MP_API_KEY", raising=False)
    source = 'mp-api:elements=["Na", "Cl"]&energy_above_hull=[0, 0.05]'
    with pytest.raises(ValueError, match="MP_API_KEY"):
        build(tmp_path / "s", source)
    monkeypatch.setenv("MP_API_KEY", "secret")
    with pytest.raises(ValueError, match="must have a value"):  # which would be no condition at all
        build(tmp_path / "s", "mp-api:elements=[]")
    assert build(tmp_path / "s", source).n_rows == 1
    assert asked["elements"] == ["Na", "Cl"]
    assert asked["energy_above_hull"] == (0, 0.05)
    assert FeatureStore.open(tmp_path / "s").table(["id", "band_gap", "is_metal"]).to_pylist() == [
        {"id": "mp-1", "band_gap": 5.0, "is_metal": 0.0}
    ]
    assert not any(b"secret" in text for text in files(tmp_path / "s").values())


def test_rows_that_a_file_has_no_more_are_told_and_removed_if_asked(tmp_path):
    (tmp_path / "t.csv").write_text("formula,gap\nNaCl,5\nMgO,7.8\nFe2O3,2\n")
    build_store(tmp_path / "s", tmp_path / "t.csv", "ElementProperty", {"properties": ["mass"]})
    (tmp_path / "t.csv").write_text("formula,gap\nNaCl,5\nMgO,7.9\n")
    assert build_store(tmp_path / "s", tmp_path / "t.csv").n_stale == 3
    assert len(FeatureStore.open(tmp_path / "s")) == 5
    assert build_store(tmp_path / "s", tmp_path / "t.csv", prune=True).n_stale == 0
    assert FeatureStore.open(tmp_path / "s").table(["gap"]).column("gap").to_pylist() == [5, 7.9]
