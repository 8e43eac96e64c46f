"""The registry of public data sets says the same as the loaders do."""

import inspect
import re

import pytest

from atomprint.datasets import REGISTRY, entry, load, load_dcdft, load_g2
from atomprint.datasets.public.load import LOADERS
from atomprint.datasets.public.registry import ALIASES

# As in the dataset_metadata.json of matminer.
HASHES = {
    "matbench_expt_gap": ("783e7d1461eb83b00b2f2942da4b95fda5e58a0d1ae26b581c24cf8a82ca75b2", 4604),
    "matbench_perovskites": ("4641e2417f8ec8b50096d2230864468dfa08278dc9d257c327f65d0305278483", 18928),
    "matbench_mp_e_form": ("dedcb1d4ba2e3e50dbdd45ba5bc647a00e9c2bcf8f8bf556dc8e92caa39eb21f", 132752),
    "matbench_mp_is_metal": ("9a028ed5750a4c76ca36e9f3c8d48fe0bf3fb21b76ec2289e58ae7048d527919", 106113),
}


@pytest.mark.parametrize("name", REGISTRY)
def test_entries_are_complete(name):
    one = REGISTRY[name]
    assert one.name == name
    assert one.kind in ("structures", "compositions")
    assert all((one.title, one.description, one.citation, one.licence, one.targets))
    assert one.rows is None or one.rows > 0
    for info in one.targets.values():
        assert info.title
        assert info.definition.endswith(".")
        assert len(info.classes) in (0, 2)
    for file in one.files:
        assert re.fullmatch(r"https?://\S+", file.url)
        assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert "/" not in file.name
    parameters = inspect.signature(LOADERS[one.loader]).parameters
    assert set(one.arguments) <= set(parameters)
    assert not one.files or {"path", "cache", "offline", "on_error"} <= set(parameters)


def test_hashes_are_those_that_were_published():
    for name, (sha256, rows) in HASHES.items():
        (file,) = REGISTRY[name].files
        assert (file.url, file.sha256) == (f"https://ml.materialsproject.org/projects/{name}.json.gz", sha256)
        assert REGISTRY[name].rows == rows
    assert len([name for name in REGISTRY if name.startswith("matbench_")]) == 13


def test_names():
    files = [file.name for one in REGISTRY.values() for file in one.files]
    assert len(set(files)) == len(files)  # they share a folder
    assert entry("perovskite") is REGISTRY["matbench_perovskites"]
    assert set(ALIASES.values()) <= set(REGISTRY)
    with pytest.raises(ValueError, match="got 'perovskit': did you mean perovskite"):
        entry("perovskit")
    with pytest.raises(ValueError, match="there are g2, dcdft"):
        entry("###")


@pytest.mark.parametrize("loader", [load_g2, load_dcdft])
def test_bundled_data_sets_are_as_the_registry_says(loader):
    dataset = loader()
    one = entry(dataset.name)
    assert len(dataset) == one.rows
    assert {name: target.unit for name, target in dataset.targets.items()} == {
        name: info.unit for name, info in one.targets.items()
    }
    assert load(dataset.name).ids == dataset.ids
