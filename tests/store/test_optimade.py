"""Structures of servers: pages that are kept, bad ones that are passed over, and the same store in the end."""

import json
import sys
import types
from functools import partial
from importlib.util import find_spec
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
    with pytest.raises(ValueError, match=r"one of aflow, alexandria, .* or an address"):
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


def odd(**changed):
    made = entry(0, bulk("NaCl", "rocksalt", 5.6))["attributes"] | changed
    return {"type": "structures", "attributes": {name: value for name, value in made.items() if value != "none"}}


SODIUM, CHLORINE = ({"name": s, "chemical_symbols": [s], "concentration": [1.0]} for s in ("Na", "Cl"))


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (odd(), None),
        (odd(structure_features="none", dimension_types=None, species=None, assemblies=None), None),
        (odd(species=[{**SODIUM, "mass": [22.99], "attached": None, "original_name": "Na1"}, CHLORINE]), None),
        (odd(species=[{**SODIUM, "name": "Na_pv"}, CHLORINE], species_at_sites=["Na_pv", "Cl"]), None),
        (odd(lattice_vectors=[[4, 0, 0], [0, 4, 0], [None] * 3], dimension_types=[1, 1, 0]), None),
        (odd(cartesian_site_positions="none"), "gives no cartesian_site_positions of it"),
        (odd(cartesian_site_positions=None, species_at_sites=None), "and no species_at_sites of it"),
        (odd(cartesian_site_positions=[[0, 0, 0], [None] * 3]), "must be finite"),
        (odd(cartesian_site_positions=[[0, 0, 0]]), "must be 2 rows of three numbers"),
        (odd(structure_features=["disorder"]), "not one set of atoms"),
        (odd(structure_features=["implicit_atoms"]), "not one set of atoms"),
        (
            odd(species=[{**SODIUM, "chemical_symbols": ["Na", "vacancy"], "concentration": [0.9, 0.1]}, CHLORINE]),
            "disord",
        ),
        (odd(species=[{**SODIUM, "attached": ["H"], "nattached": [3]}, CHLORINE]), "attached"),
        (odd(species=[{**SODIUM, "chemical_symbols": ["X"]}, CHLORINE]), "place-holder"),
        ({"type": "structures", "attributes": None}, "gives no cartesian_site_positions"),
        ({"type": "structures"}, "gives no cartesian_site_positions"),
        (None, "must be a mapping"),
    ],
)
def test_odd_entries_are_read_or_say_what_they_lack(record, said, server, tmp_path):
    if record is not None:
        record["id"] = "odd"
    server.entries[4] = record
    given = {**SMALL, "periodic": True, "species": ["Na", "Cl", *{s for a in crystals(10) for s in a.symbols}]}
    built = build_store(tmp_path / "s", "optimade:https://x.org", "SOAP", given, max_failures=1)
    store = FeatureStore.open(tmp_path / "s")
    if said is None:
        assert "odd" in store.ids
        return
    assert built.n_rows == 9
    (failed,) = store.failures().to_pylist()
    assert said in failed["reason"]
    assert failed["id"] == ("odd" if record else "optimade:https://x.org:4")


SOURCE = 'mp-api:elements=["Na", "Cl"]&energy_above_hull=[0, 0.05]&band_gap=[1, inf]'


@pytest.fixture
def client(monkeypatch):
    """Put in place of mp-api what says how it was asked; its documents are as its version 0.46 gives them."""
    asked = []

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
        def __init__(self, key, mute_progress_bars=False):
            assert key == "secret"
            self.materials = types.SimpleNamespace(summary=self)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def search(self, band_gap=None, elements=None, energy_above_hull=None, fields=None, _page=None, **kwargs):
            asked.append({"band_gap": band_gap, "elements": elements, "energy_above_hull": energy_above_hull})
            if elements == "no":
                raise RuntimeError("\x1b[31mREST query\x1b[39m returned with error status code 500")
            made = types.SimpleNamespace(material_id="mp-1", structure=Structure(), band_gap=5.0, is_metal=False)
            return [made, made]

    module = types.ModuleType("mp_api.client")
    module.MPRester = MPRester
    monkeypatch.setitem(sys.modules, "mp_api", types.ModuleType("mp_api"))
    monkeypatch.setitem(sys.modules, "mp_api.client", module)
    monkeypatch.setenv("MP_API_KEY", "secret")
    return asked


def test_the_client_of_the_materials_project_is_asked_once(client, tmp_path):
    for _ in range(2):
        assert build(tmp_path / "s", SOURCE).n_rows == 1
    assert client == [{"elements": ["Na", "Cl"], "energy_above_hull": (0, 0.05), "band_gap": (1, None)}]
    assert FeatureStore.open(tmp_path / "s").table(["id", "band_gap", "is_metal"]).to_pylist() == [
        {"id": "mp-1", "band_gap": 5.0, "is_metal": 0.0}
    ]
    assert not any(b"secret" in text for text in files(tmp_path / "s").values())


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("mp-api:band_gaps=[1, 2]", "there is no condition 'band_gaps': did you mean 'band_gap'"),
        ("mp-api:_page=3", "there is no condition"),
        ("mp-api:band_gap=[1, null]", "must look like"),
        ("mp-api:band_gap", "must look like"),
        ("mp-api:band_gap=[]", "must have a value"),
        ("mp-api:", "needs a condition"),
        ("mp-api:elements=no", "cannot be asked: REST query returned with error status code 500"),
    ],
)
def test_what_the_materials_project_cannot_be_asked_is_told(source, said, client, tmp_path):
    with pytest.raises(ValueError, match=said):
        build(tmp_path / "s", source)
    assert not (tmp_path / "s" / "store.json").exists()


def test_a_key_is_needed(client, tmp_path, monkeypatch):
    monkeypatch.delenv("MP_API_KEY")
    with pytest.raises(ValueError, match="MP_API_KEY"):
        build(tmp_path / "s", SOURCE)


def test_the_real_client_takes_what_it_is_given(tmp_path, monkeypatch):
    """With the package itself, if it is installed, against a server on this machine."""
    if find_spec("mp_api") is None:
        pytest.skip("mp-api is not installed")
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    from pymatgen.core import Lattice, Structure

    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    documents = [{"material_id": "mp-22862", "structure": salt.as_dict(), "band_gap": 5.0, "is_stable": True}]
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((urlsplit(self.path).path, dict(parse_qsl(urlsplit(self.path).query))))
            made = {"data": documents, "meta": {"total_doc": len(documents)}}
            if "heartbeat" in self.path:
                made = {"db_version": "2026.1", "version": "1000", "access_controlled_batch_ids": []}
            body = json.dumps(made).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *about):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MP_API_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("MP_API_KEY", 32 * "a")
        assert build(tmp_path / "s", SOURCE).n_rows == 1
        server.shutdown()
    query = next(query for path, query in asked if path.endswith("/materials/summary/"))
    assert {name: query[name] for name in ("elements", "energy_above_hull_max", "band_gap_min")} == {
        "elements": "Na,Cl",
        "energy_above_hull_max": "0.05",
        "band_gap_min": "1",
    }
    assert "band_gap_max" not in query
    assert FeatureStore.open(tmp_path / "s").table(["id", "band_gap"]).to_pylist() == [
        {"id": "mp-22862", "band_gap": 5}
    ]


def test_rows_that_a_file_has_no_more_are_told_and_removed_if_asked(tmp_path):
    (tmp_path / "t.csv").write_text("formula,gap\nNaCl,5\nMgO,7.8\nFe2O3,2\n")
    build_store(tmp_path / "s", tmp_path / "t.csv", "ElementProperty", {"properties": ["mass"]})
    (tmp_path / "t.csv").write_text("formula,gap\nNaCl,5\nMgO,7.9\n")
    assert build_store(tmp_path / "s", tmp_path / "t.csv").n_stale == 3
    assert len(FeatureStore.open(tmp_path / "s")) == 5
    assert build_store(tmp_path / "s", tmp_path / "t.csv", prune=True).n_stale == 0
    assert FeatureStore.open(tmp_path / "s").table(["gap"]).column("gap").to_pylist() == [5, 7.9]
