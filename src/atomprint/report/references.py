"""What to cite for the methods and the packages that a run has used, in BibTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources

_OF: Mapping[str, tuple[str, ...]] = {
    # packages
    "numpy": ("harris2020",),
    "scipy": ("virtanen2020",),
    "scikit-learn": ("pedregosa2011",),
    "ase": ("larsen2017",),
    "optuna": ("akiba2019",),
    "shap": ("lundberg2017",),
    "pymatgen": ("ong2013",),
    "spglib": ("togo2024",),
    "matplotlib": ("hunter2007",),
    "jax": ("bradbury2018",),
    "torch": ("paszke2019",),
    "rdkit": ("landrum2006",),
    # features
    "CoulombMatrix": ("rupp2012",),
    "SineMatrix": ("faber2015",),
    "EwaldSumMatrix": ("faber2015",),
    "ACSF": ("behler2011",),
    "SOAP": ("bartok2013",),
    "ACE": ("drautz2019",),
    "MBTR": ("huo2022",),
    "LMBTR": ("huo2022",),
    "ValleOganov": ("valle2010",),
    "ElementProperty": ("ward2016",),
    "SteinhardtParameters": ("steinhardt1983",),
    "WarrenCowley": ("cowley1950",),
    "AverageKernel": ("de2016",),
    "REMatchKernel": ("de2016",),
    "SpaceGroup": ("togo2024",),
    "ElementEmbedding": ("darby2023",),
    "LearnedEmbedding": ("darby2023",),
    "MorganFingerprint": ("rogers2010",),
    # weights of pretrained potentials, and what all of them were trained on
    "sevennet-0": ("park2024", "deng2023"),
    "sevennet-l3i5": ("park2024", "deng2023"),
    "chgnet-0.3.0": ("deng2023",),
    # models
    "random_forest": ("breiman2001",),
    "extra_trees": ("geurts2006",),
    "two_part": ("geurts2006",),
    "xgboost": ("chen2016",),
    "kernel_ridge": ("rasmussen2006",),
    "gaussian_process": ("rasmussen2006",),
    # intervals
    "intervals": ("lei2018",),
}


def bibtex(used: Iterable[str], versions: Mapping[str, str], source: str = "") -> str:
    """Return BibTeX entries of what was used.

    Parameters
    ----------
    used : iterable of str
        Names of packages, classes of features, weights, types of models, ``"intervals"``; what there is nothing to cite
        for is passed over.
    versions : mapping of str to str
        Those of packages; that of atomprint is cited.
    source : str
        How to cite the data: publications, with semicolons between. Of those whose DOI is known the whole entry is
        given, of others what the text says.

    Returns
    -------
    str
    """
    published = _published()
    keys = [key for name in used for key in _OF.get(name, ())]
    own = {"author": "{The atomprint developers}", "title": "atomprint", "note": f"version {versions['atomprint']}"}
    entries = [_entry("software", "atomprint", own), *(published[key] for key in keys), *_of_data(source, published)]
    return "\n".join(dict.fromkeys(entries))


def _published() -> dict[str, str]:
    """Return the entries of ``references.bib`` by their keys."""
    text = resources.files("atomprint.report").joinpath("references.bib").read_text(encoding="utf-8")
    return {key: entry for entry, key in re.findall(r"^(@\w+\{(\w+),\n.*?^\}\n)", text, re.M | re.S)}


def _of_data(source: str, published: Mapping[str, str]) -> Iterator[str]:
    by_doi = {doi[1].lower(): entry for entry in published.values() if (doi := re.search(r"doi = \{(.*)\}", entry))}
    for number, text in enumerate(filter(None, (part.strip() for part in source.split("; "))), start=1):
        doi = re.search(r"doi:\s*(10\.\S+?)[.,]?(?=\s|$)", text)
        year = re.search(r"\((\d{4})\)", text)
        url = re.search(r"https?://\S+?(?=[.,]?(?:\s|$))", text)
        if doi and doi[1].lower() in by_doi:
            yield by_doi[doi[1].lower()]
        elif doi or year or url:  # the others are words about the data, such as who gave them
            known = {"year": year and year[1], "doi": doi and doi[1], "url": url and url[0]}
            given = {name: value for name, value in known.items() if value}
            yield _entry("misc", f"data{number}", {"note": _escaped(text), **given})


def _escaped(text: str) -> str:
    return re.sub(r"([&%#_{}$])", r"\\\1", text)


def _entry(kind: str, key: str, fields: Mapping[str, str]) -> str:
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@{kind}{{{key},", *lines, "}", ""])
