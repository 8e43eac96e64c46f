"""The page needs nothing from elsewhere, and does in a browser what it promises."""

import base64
import csv
import hashlib
import re
import shutil
import threading
from importlib import resources

import pytest
from ase.build import bulk
from ase.io import write

STATIC = resources.files("atomprint.service").joinpath("static")
# 3dmol 2.5.5 from npm, build/3Dmol-min.js; its licence and those of what it bundles are beside it.
LIBRARY = "f7cc78921ae72e7623e89cdd111434f58c2efddd2ffda1cd212644b406fb8016"


def test_the_library_is_the_one_that_was_published():
    content = STATIC.joinpath("3Dmol-min.js").read_bytes()
    assert hashlib.sha256(content).hexdigest() == LIBRARY
    asked = re.search(r'integrity="sha384-([^"]+)"', STATIC.joinpath("index.html").read_text(encoding="utf-8"))[1]
    assert base64.b64encode(hashlib.sha384(content).digest()).decode() == asked
    licence = STATIC.joinpath("3Dmol-LICENSE.txt").read_text(encoding="utf-8")
    assert "University of Pittsburgh" in licence
    assert all(name in licence for name in ("iobuffer", "netcdfjs", "pako", "upng-js"))


def test_nothing_comes_from_elsewhere_and_nothing_is_inline():
    own = {item.name: item.read_text(encoding="utf-8") for item in STATIC.iterdir() if not item.name.startswith("3D")}
    page = own["index.html"]
    assert re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", page) == []
    for name, text in own.items():
        assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)\S+", text) == [], name
        for path in re.findall(r'(?:src|href)="/static/([^"]+)"|from "\./([^"]+)"', text):
            assert STATIC.joinpath("".join(path)).is_file(), (name, path)
    assert "innerHTML" not in "".join(own.values())  # text of others is never markup


def test_the_page_and_its_files_are_served(client):
    page = client.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for item in STATIC.iterdir():
        answer = client.get(f"/static/{item.name}")
        assert answer.status_code == 200
        assert answer.content == item.read_bytes()
        again = client.get(f"/static/{item.name}", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert client.get("/static/..%2fapp.py").status_code == 404
    assert client.get("/static/none.js").status_code == 404


@pytest.fixture(scope="module")
def browser():
    sync = pytest.importorskip("playwright.sync_api")
    path = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    flags = ["--no-sandbox", "--enable-unsafe-swiftshader"]
    with sync.sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(executable_path=path, args=flags)
        except sync.Error:
            pytest.skip("there is no browser")
        yield found
        found.close()


@pytest.fixture(scope="module")
def address(model_files):
    from atomprint.service import Settings, create_app
    from atomprint.service.run import bound, server_of

    listening = bound("127.0.0.1", 0)
    server = server_of(create_app(model_files, Settings(watch=0)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    server.should_exit = True
    thread.join()
    listening.close()


@pytest.fixture
def page(browser, address, request):
    """Return the page; whatever goes wrong in it, or is asked of others, is an error."""
    page = browser.new_page(viewport={"width": request.param, "height": 900}, accept_downloads=True)
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    page.on(
        "request", lambda asked: None if asked.url.startswith((address, "data:", "blob:")) else faults.append(asked.url)
    )
    page.goto(address)
    page.wait_for_selector("#cards details")
    yield page
    wide = page.evaluate("document.documentElement.scrollWidth")
    page.close()
    assert faults == []
    assert wide <= request.param


@pytest.mark.slow
@pytest.mark.parametrize("page", [1400, 420], indirect=True)
def test_a_structure_is_drawn_and_told_about(page):
    page.click("#example")
    page.wait_for_selector(".answer .effects")
    assert page.inner_text("#one-title") == "Na4Cl4"
    assert page.locator(".answer").count() == 2
    assert "is to hold the truth for 90 %" in page.inner_text("#answers")
    assert "what it remembers" in page.inner_text("#answers")
    assert "a crystal of 8 atoms" in page.inner_text("#facts")
    assert "3-D" not in page.inner_text("#view")
    colours = page.evaluate(
        """() => {
            const canvas = document.querySelector('#view canvas');
            const copy = document.createElement('canvas');
            [copy.width, copy.height] = [canvas.width, canvas.height];
            const pen = copy.getContext('2d');
            pen.drawImage(canvas, 0, 0);
            const found = new Set();
            const data = pen.getImageData(0, 0, copy.width, copy.height).data;
            for (let k = 0; k < data.length; k += 400) found.add(data.slice(k, k + 3).join());
            return found.size;
        }"""
    )
    assert colours > 10


@pytest.mark.slow
@pytest.mark.parametrize("page", [1400], indirect=True)
def test_many_are_a_table_that_is_sorted_and_downloaded(page, tmp_path):
    files = []
    for name, a in (("NaCl", 5.7), ("MgO", 4.3)):
        files.append(tmp_path / f"{name}.cif")
        write(files[-1], bulk(name, "rocksalt", a))
    files.append(tmp_path / "=broken.cif")
    files[-1].write_text("data_x\n")
    page.set_input_files("#files", [str(file) for file in files])
    page.wait_for_selector("#batch tbody tr")
    names = page.locator("#batch tbody th").all_inner_texts()
    assert names == ["NaCl.cif", "MgO.cif", "=broken.cif"]
    page.locator("#batch thead button").nth(2).click()
    assert page.locator("#batch tbody th").all_inner_texts()[0] == "MgO.cif"
    page.locator("#batch tbody button").first.click()
    page.wait_for_selector(".answer .effects")
    assert page.inner_text("#one-title") == "MgO.cif: MgO"
    with page.expect_download() as waiting:
        page.click("#download")
    waiting.value.save_as(tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0][:3] == ["name", "formula", "volume: volume"]
    assert rows[1][0] == "NaCl.cif"
    assert float(rows[1][3]) < float(rows[1][2]) < float(rows[1][4])
    assert rows[3][0] == "'=broken.cif"
    assert "not read" in rows[3][6]


@pytest.mark.slow
@pytest.mark.parametrize("page", [420], indirect=True)
def test_what_went_wrong_is_said_and_the_next_works(page):
    page.click("#go")
    page.wait_for_selector("#error strong")
    assert page.inner_text("#error") == "Choose a file, or type a formula first."
    page.fill("#text", "sodium")
    page.click("#go")
    page.locator("#error").get_by_text("names are not read").wait_for()
    page.fill("#text", "NaCl\nMgO")
    page.press("#text", "Tab")
    page.click("#go")
    page.wait_for_selector("#batch tbody tr")
    assert page.inner_text("#error") == ""
