"""Tables of ``potentials.py``: what was measured, with what is wanted beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness import number, table
from potential_cases import KINDS, Case, Doubt, Fit, Holes, Step

_ALONE, _BEYOND = 15.0, 60.0  # µs of a prepared call, and of a step with ASE beyond the arithmetic
_COVERAGE, _AUC = (0.85, 0.95), 0.98


def tables(cases: Sequence[Case], results: dict[str, dict[str, Any]]) -> str:
    """Lay out all that was measured."""
    done = [(case, results[case.name]) for case in cases if case.name in results]
    texts = [_fits(done), _doubts(done), _holes(done), _steps(done), _calls(results)]
    other = [f"- {case.name}: {_why(result)}" for case, result in done if _why(result)]
    if other:
        texts.append("\n".join(["### Not finished", "", *other, ""]))
    commits = sorted({result["commit"] for case, result in done if case.program == "atomprint" and result["commit"]})
    texts.append(f"atomprint at {', '.join(commits)}" if commits else "")
    return "\n".join(text for text in texts if text)


def _why(result: dict[str, Any]) -> str:
    """Return why a case has no figures."""
    if "stopped" in result:
        return f"more than {result['stopped']:g} CPU s"
    return str(result.get("failed", ""))


def _against(value: float | None, aims: Sequence[float] = ()) -> str:
    if value is None:
        return "–"
    if not aims:
        return number(value)
    wanted = ", ".join(f"{number(aim)}{' missed' if value > aim else ''}" for aim in aims)
    return f"{number(value)} (≤ {wanted})"


def _fits(done: list[tuple[Case, dict[str, Any]]]) -> str:
    rows = []
    for case, result in done:
        if not isinstance(case, Fit):
            continue
        name = case.name.removeprefix("fit-")
        if why := _why(result):
            rows.append([name, *["–"] * 6, why if "stopped" in result else "failed", "–", case.published or "–"])
            continue
        test, left_out = result["test"], result.get("cross-validation")
        rows.append(
            [
                name,
                f"{result['functions'] or '–'}",
                f"{result['structures']}",
                *(_against(test.get(kind), case.aims.get(kind, ())) for kind in KINDS),
                " / ".join(number(left_out.get(name)) for name in KINDS.values()) if left_out else "–",
                _against(result["seconds"], case.aims.get("seconds", ())),
                _against(result["peak"] and result["peak"] / 1e6, case.aims.get("peak", ())),
                case.published or "–",
            ]
        )
    header = ["fit", "functions", "structures", *KINDS, "cross-validation", "CPU s", "MB", "others"]
    return table("Mean absolute errors of the test (meV/atom, eV/Å, GPa), and what the fit needs", header, rows)


def _doubts(done: list[tuple[Case, dict[str, Any]]]) -> str:
    rows = []
    for case, result in done:
        if not isinstance(case, Doubt) or _why(result):
            continue
        shares = []
        for kind in KINDS.values():
            share = result["coverage"].get(kind)
            missed = share is not None and not _COVERAGE[0] <= share <= _COVERAGE[1]
            shares.append("–" if share is None else f"{share:.3f}{', missed' if missed else ''}")
        auc = result.get("auc")
        rows.append(
            [
                case.name.removeprefix("uncertainty-"),
                f"{result['structures']} / {result['alike']} / {result.get('strangers', '–')}",
                *shares,
                "–" if auc is None else f"{auc:.3f}{', missed' if auc < _AUC else ''}",
                "–" if auc is None else f"{result['beyond']:.2f} / {result['alike beyond']:.2f}",
                number(result.get("auc of errors above 1 meV")),
            ]
        )
    low, high = _COVERAGE
    header = ["left out", "fitted / alike / strangers", *(f"of {kind}" for kind in KINDS.values())]
    header += [f"AUC (≥ {_AUC})", "grade above 1: strangers / alike", "AUC of strangers off by 1 meV/atom"]
    return table(
        f"Errors within what 90 % should be ({low} to {high}), and strangers told by their grade", header, rows
    )


def _holes(done: list[tuple[Case, dict[str, Any]]]) -> str:
    rows = [
        [
            case.name.removeprefix("holes-"),
            f"{result['below']} of {result['count']}{', missed' if result['below'] else ''}",
            number(result["lowest"]),
            ", ".join(result["of"]) or "–",
        ]
        for case, result in done
        if isinstance(case, Holes) and not _why(result)
    ]
    header = ["potential", "below the ground state (0)", "lowest above it, eV/atom", "lattices"]
    return table("Dense crystals of lattices that no fit is given", header, rows)


def _steps(done: list[tuple[Case, dict[str, Any]]]) -> str:
    rows = []
    for case, result in done:
        if isinstance(case, Step) and "steps" in result and "512" in result["steps"]:
            times = [result["steps"][n]["us_an_atom"] for n in ("64", "512")]
            rows.append([case.what, *(_against(time, case.aims) for time in times)])
    return table(
        "Energy and forces of silicon, one core (CPU µs an atom)", ["potential", "64 atoms", "512 atoms"], rows
    )


def _calls(results: dict[str, dict[str, Any]]) -> str:
    rows = []
    alone = results.get("step-ace-alone", {}).get("steps", {}).get("64")
    if alone:
        rows.append(["a lone atom, prepared", _against(alone["us"], [_ALONE])])
    for name in ("ace", "gp", "gp-zeta2"):
        whole, prepared = (results.get(f"step-{name}{end}", {}).get("steps", {}).get("64") for end in ("", "-prepared"))
        if whole and prepared:
            rows.append([f"{name}: calculator beyond prepared", _against(whole["us"] - prepared["us"], [_BEYOND])])
    return table("Of one call, beyond the arithmetic (CPU µs)", ["what", "64 atoms"], rows)
