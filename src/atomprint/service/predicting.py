"""Predictions of several models for the structures of a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ase import Atoms

from atomprint.chemistry.contents import amounts_of
from atomprint.chemistry.smiles import Smiles
from atomprint.datasets.failures import Failure
from atomprint.service.because import because
from atomprint.service.problems import Problem
from atomprint.service.reading import Formula, Found
from atomprint.service.shelf import Served
from atomprint.service.words import domain_in_words, prediction_in_words
from atomprint.service.work import Ticket


def chosen(models: Mapping[str, Served], names: Sequence[str] | None) -> list[Served]:
    """Return the models that a request names, or all.

    Raises
    ------
    Problem
        422 if there is none of a name.
    """
    if names is None:
        return list(models.values())
    if unknown := [name for name in names if name not in models]:
        raise Problem(422, f"there is no model {unknown[0]!r}: there are {', '.join(models)}")
    if not names:
        raise Problem(422, f"models must name at least one of {', '.join(models)}")
    return [models[name] for name in dict.fromkeys(names)]


def predict(found: Found, served: Served, ticket: Ticket, *, explain: bool = False) -> dict[str, Any]:
    """Return what a model says of structures, in types of JSON; those that it cannot predict have a row too.

    Parameters
    ----------
    found : Found
        The structures.
    served : Served
        The model.
    ticket : Ticket
        Is checked between steps.
    explain : bool
        Whether to say which features decided.
    """
    good = [k for k, item in enumerate(found.items) if _suits(item, served)]
    rows: dict[int, list[dict[str, Any]]] = {}
    card = served.model.card
    about: dict[str, Any] = {
        "target": card.target,
        "title": card.title,
        "unit": card.unit,
        "classes": list(card.classes),
        "level": None,
    }
    failures = [
        Failure(k, found.ids[k], "model", f"model {served.name!r} needs {served.taken}, {_kind(item)} is not enough")
        for k, item in enumerate(found.items)
        if not isinstance(item, Failure) and not _suits(item, served)
    ]
    if good:
        predictions = served.model.predict(
            [_given(found.items[k], served) for k in good],
            on_error="skip",
            progress=lambda step, done, total: ticket.check(),
        )
        whole = predictions.to_dict()
        about = {key: whole[key] for key in about}
        for row in whole["rows"]:
            k = good[row["structure"]]
            atom = row.get("atom")
            row["structure"], row["id"] = k, found.ids[k] if atom in (None, -1) else f"{found.ids[k]}/{atom}"
            rows.setdefault(k, []).append(row)
        for one in predictions.failures:
            failures.append(replace(one, row=good[one.row], id=found.ids[good[one.row]]))
    listed = []
    for row in (row for k in sorted(rows) for row in rows[k]):
        row["in_words"], row["domain_in_words"] = prediction_in_words(row, about), domain_in_words(row)
        if explain and row["value"] is not None:
            row["because"] = because(served.model, served.groups, _given(found.items[row["structure"]], served), ticket)
        listed.append(row)
    failed = [one.to_dict() for one in sorted(failures, key=lambda one: one.row)]
    return {"model": served.name, **about, "rows": listed, "failures": failed}


def _suits(item: Any, served: Served) -> bool:
    if served.taken == "molecules":
        return isinstance(item, Smiles | Formula) or (isinstance(item, Atoms) and "smiles" in item.info)
    return isinstance(item, Atoms) or (isinstance(item, dict | Smiles) and served.taken == "compositions")


def _given(item: Any, served: Served) -> Any:
    """Return what a model is given: of text that may be a formula or SMILES what it takes."""
    return Smiles(item.text) if served.taken == "molecules" and isinstance(item, Formula) else item


def _kind(item: Any) -> str:
    return "a structure" if isinstance(item, Atoms) else "SMILES" if isinstance(item, Smiles) else "a formula"


def failures_of(found: Found) -> list[dict[str, Any]]:
    """Return what could not be read, in types of JSON."""
    return [one.to_dict() for one in found.failures]


def shown(found: Found, *, whole: bool) -> list[dict[str, Any]]:
    """Return the structures as they were read, in types of JSON; those that could not be are left out."""
    listed = []
    for id_, item in zip(found.ids, found.items, strict=True):
        if isinstance(item, Failure):
            continue
        entry: dict[str, Any] = {"id": id_, "formula": _formula(item), "n_atoms": None}
        if isinstance(item, Atoms):
            entry["n_atoms"] = len(item)
            if whole:
                entry |= {
                    "symbols": item.get_chemical_symbols(),
                    "positions": np.round(item.positions, 6).tolist(),
                    "cell": np.round(item.cell.array, 6).tolist(),
                    "pbc": item.pbc.tolist(),
                }
        listed.append(entry)
    return listed


def _formula(item: Any) -> str:
    if isinstance(item, Atoms):
        return str(item.get_chemical_formula(mode="metal" if item.pbc.any() else "hill"))
    return "".join(f"{symbol}{'' if amount == 1 else f'{amount:g}'}" for symbol, amount in amounts_of(item).items())
