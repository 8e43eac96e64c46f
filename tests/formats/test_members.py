"""Folders and archives: every member is read, or listed with the reason why not."""

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from atomprint.datasets import Dataset, read_dataset
from atomprint.formats import members, opening

ATOM = "1\n\n{} 0 0 0\n"
KINDS = {"symlink": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE, "fifo": tarfile.FIFOTYPE}
HIDDEN = ("__MACOSX/._a.xyz", ".b.xyz", "._c.xyz")


def write_zip(path: Path, entries: list[tuple[str, str, str]]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for kind, name, content in entries:
            info = zipfile.ZipInfo(name)
            if kind in ("symlink", "hardlink"):
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
                target = content if kind == "symlink" else os.path.relpath(content, os.path.dirname(name) or ".")
                archive.writestr(info, target)
            else:
                archive.writestr(info, content)


def write_tar(mode: str) -> Callable[[Path, list[tuple[str, str, str]]], None]:
    def write(path: Path, entries: list[tuple[str, str, str]]) -> None:
        with tarfile.open(path, f"w{mode}") as archive:
            for kind, name, content in entries:
                info = tarfile.TarInfo(name)
                if kind == "file":
                    info.size = len(content.encode())
                    archive.addfile(info, io.BytesIO(content.encode()))
                else:
                    info.type = {"symlink": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE, "fifo": tarfile.FIFOTYPE}[
                        kind
                    ]
                    info.linkname = content
                    archive.addfile(info)

    return write


def write_folder(path: Path, entries: list[tuple[str, str, str]]) -> None:
    for kind, name, content in entries:
        place = path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if kind == "symlink":
            place.symlink_to(content)
        elif kind == "hardlink":
            os.link(path / content, place)
        elif kind == "fifo":
            os.mkfifo(place)
        else:
            place.write_text(content)


WRITERS = {
    "zip": (write_zip, ".zip"),
    "tar": (write_tar(""), ".tar"),
    "tar.gz": (write_tar(":gz"), ".tar.gz"),
    "tar.xz": (write_tar(":xz"), ".txz"),
    "folder": (write_folder, ""),
}


def read(tmp_path: Path, how: str, entries: list[tuple[str, str, str]]) -> Dataset:
    write, ending = WRITERS[how]
    path = tmp_path / f"x{ending}"
    if how == "folder":
        path.mkdir()
    write(path, entries)
    return read_dataset(path, targets=(), on_error="skip")


@pytest.mark.parametrize("how", WRITERS)
def test_links_and_namesakes(tmp_path: Path, how: str):
    dataset = read(
        tmp_path,
        how,
        [
            ("file", "a/x.xyz", ATOM.format("H")),
            ("file", "b/x.xyz", ATOM.format("C")),
            ("symlink", "b/link.xyz", "../a/x.xyz"),
            ("symlink", "again.xyz", "b/link.xyz"),
            ("hardlink", "hard.xyz", "b/x.xyz"),
            ("file", "store/0001", ATOM.format("O")),
            ("symlink", "named.xyz", "store/0001"),
            ("symlink", "lost.xyz", "store/0002"),
            ("symlink", "folder", "a"),
            ("file", "notes.md", "what this is"),
            *(("file", name, "") for name in HIDDEN),
        ],
    )
    found = dict(zip(dataset.ids, dataset.formulas, strict=True))
    assert found == {
        "a/x.xyz": "H", "b/x.xyz": "C", "b/link.xyz": "H", "again.xyz": "H", "hard.xyz": "C", "named.xyz": "O"
    }  # fmt: skip
    (failure,) = dataset.failures
    assert (failure.id, failure.step) == ("lost.xyz", "structure")
    assert "is a link" in failure.reason
    assert "Passed over, by their names: " in dataset.description
    assert all(name in dataset.description for name in ("folder", "notes.md", "store/0001"))
    assert not any(name in dataset.description for name in HIDDEN)


@pytest.mark.parametrize("how", ["zip", "tar", "tar.gz"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_name_twice(tmp_path: Path, how: str):
    one, other = ATOM.format("H"), ATOM.format("C")
    dataset = read(
        tmp_path,
        how,
        [("file", "a.xyz", one), ("file", "b.xyz", one), ("file", "a.xyz", other), ("file", "./b.xyz", one)],
    )
    assert dataset.ids == ("b",)
    assert [(f.id, f.reason) for f in dataset.failures] == [
        ("a", f"{'x.zip' if how == 'zip' else f'x.{how}'} has a.xyz more than once, with different contents")
    ]


def test_links_that_lead_out_or_round_are_not_followed(tmp_path: Path):
    (tmp_path / "secret.xyz").write_text(ATOM.format("U"))
    for how in ("tar", "zip"):
        entries = [
            ("file", "a.xyz", ATOM.format("H")),
            ("symlink", "b.xyz", "../secret.xyz"),
            ("symlink", "c.xyz", str(tmp_path / "secret.xyz")),
            ("symlink", "d.xyz", "e.xyz"),
            ("symlink", "e.xyz", "d.xyz"),
        ]
        dataset = read(tmp_path, how, entries)
        assert dataset.ids == ("a",)
        assert sorted(failure.id for failure in dataset.failures) == ["b", "c", "d", "e"]


def test_folders_that_are_linked_in_a_circle(tmp_path: Path):
    (tmp_path / "x" / "y").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "x" / "a.xyz").write_text(ATOM.format("H"))
    (tmp_path / "elsewhere" / "b.xyz").write_text(ATOM.format("C"))
    (tmp_path / "x" / "y" / "up").symlink_to(tmp_path / "x")
    (tmp_path / "x" / "there").symlink_to(tmp_path / "elsewhere")
    dataset = read_dataset(tmp_path / "x", targets=())
    assert sorted(dataset.ids) == ["a", "b"]
    assert "y/up" in dataset.description


def test_pipes_are_no_files(tmp_path: Path):
    for how in ("folder", "tar"):
        dataset = read(tmp_path, how, [("file", "a.xyz", ATOM.format("H")), ("fifo", "b.xyz", "")])
        assert [failure.reason for failure in dataset.failures] == ["b.xyz is no file"]


def test_members_that_zips_cannot_give(tmp_path: Path):
    path = tmp_path / "x.zip"
    write_zip(path, [("file", name, ATOM.format("H") * 50) for name in ("a.xyz", "b.xyz", "c.xyz")])
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02", data.index(b"b.xyz"))
    data[at + 8] |= 1  # the flag of encryption of a.xyz, in the directory
    path.write_bytes(data)
    dataset = read_dataset(path, targets=(), on_error="skip")
    assert len(dataset.failures) == 1
    assert dataset.failures[0].reason == "a.xyz is encrypted"
    assert len(dataset) == 100  # fifty structures in each of the others
    data[at + 8] &= ~1
    start = data.index(b"b.xyz") + 5
    data[start : start + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    dataset = read_dataset(path, targets=(), on_error="skip")
    assert [failure.id for failure in dataset.failures] == ["b"]


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(members, "LARGEST", 1000)
    big = ATOM.format("H") + "\n" * 5000
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.xyz", big)
        archive.writestr("b.xyz", ATOM.format("C"))
        archive.writestr("c.xyz.gz", gzip.compress(big.encode()))
        archive.writestr("d.xyz.gz", gzip.compress(ATOM.format("N").encode()))
    dataset = read_dataset(tmp_path / "x.zip", targets=(), on_error="skip")
    assert dataset.formulas == ("C", "N")
    assert ["bytes" in failure.reason for failure in dataset.failures] == [True, True]
    monkeypatch.setattr(members, "_LARGEST_OF_ALL", 20)
    with pytest.raises(ValueError, match="holds more than 20 bytes: unpack it"):
        read_dataset(tmp_path / "x.zip", targets=())


@pytest.mark.parametrize("name", ["x.xyz.gz", "x.csv.gz", "x.json.gz", "x.cif.gz", "x.jsonl.gz"])
def test_bombs_in_single_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setattr(opening, "LARGEST", 100_000)
    (tmp_path / name).write_bytes(gzip.compress(b"1" * 10_000_000))
    with pytest.raises(ValueError, match=r"holds more than 300 times|has more than the"):
        read_dataset(tmp_path / name, targets=())


def test_other_kinds_of_structures_where_there_are_no_usual_ones(tmp_path: Path):
    text = '{"numbers": [11, 17], "positions": [[0, 0, 0], [2, 2, 2]]}'
    (tmp_path / "a.json").write_text(text)
    (tmp_path / "b.json").write_text(text.replace("17", "9"))
    assert read_dataset(tmp_path, targets=()).formulas == ("NaCl", "NaF")
    (tmp_path / "c.xyz").write_text(ATOM.format("H"))
    dataset = read_dataset(tmp_path, targets=())
    assert dataset.formulas == ("H",)
    assert "a.json, b.json" in dataset.description


def test_names_of_other_systems(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("folder\\a.xyz", ATOM.format("H"))
        archive.writestr("/b.xyz", ATOM.format("C"))
        archive.writestr("../c.xyz", ATOM.format("N"))
    dataset = read_dataset(tmp_path / "x.zip", targets=())
    assert sorted(dataset.formulas) == ["C", "H", "N"]
    assert not (tmp_path.parent / "c.xyz").exists()


def test_a_broken_head_of_gzip(tmp_path: Path):
    (tmp_path / "x.tar.gz").write_bytes(b"\x1f\x8b\x08\x08")
    with pytest.raises(ValueError, match="no archive that can be read to its end"):
        read_dataset(tmp_path / "x.tar.gz", targets=())


def test_a_member_without_a_name(tmp_path: Path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive, archive.open(zipfile.ZipInfo(""), "w") as member:
        member.write(b"data")
    with pytest.raises(ValueError, match=r"x\.zip is no archive that can be read to its end: it is damaged"):
        read_dataset(path, targets=())
