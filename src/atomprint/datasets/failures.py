"""Rows that could not be read or described: what is known of each, and whether the first one stops everything."""

from __future__ import annotations

from dataclasses import dataclass, field

from atomprint.util.validation import check_choice


def check_on_error(on_error: str) -> str:
    """Return what to do with rows that fail if it is ``"raise"`` or ``"skip"``; else raise."""
    return check_choice("on_error", on_error, ("raise", "skip"))


@dataclass(frozen=True, slots=True, order=True)
class Failure:
    """One row that could not be read or described, and why.

    Parameters
    ----------
    row : int
        Where it is in its source, counted from 0.
    id : str
        Its name there, or its row as text.
    step : str
        What failed, such as ``"read"``, ``"structure"``, ``"target"`` or ``"features"``.
    reason : str
        The message.
    line : int or None
        The line of the file on which it begins, counted from 1 as editors do; None where there are no lines.
    """

    row: int
    id: str
    step: str
    reason: str
    line: int | None = field(default=None, compare=False)

    @property
    def place(self) -> str:
        """Where it is, for messages: its line if there are lines, else its row; and its id if it has one of its own."""
        where = f"row {self.row}" if self.line is None else f"line {self.line}"
        return f"{where} ({self.id})" if self.id and self.id != str(self.row) else where

    def to_dict(self) -> dict[str, int | str]:
        """Return row, id, step and reason, in types of JSON."""
        return {"row": self.row, "id": self.id, "step": self.step, "reason": self.reason}


class Failures(list[Failure]):
    """Rows of one place that failed; the first one raises, if that is what was asked for.

    Parameters
    ----------
    place : str
        The file or folder, for messages.
    on_error : {"raise", "skip"}
        Whether to raise at once, or to go on without such rows.
    """

    def __init__(self, place: str, on_error: str) -> None:
        super().__init__()
        self.place, self.on_error = place, check_on_error(on_error)

    def add(self, row: int, id: str, step: str, reason: str | Exception, line: int | None = None) -> None:
        """Note a row that failed, or raise a ValueError; arguments as of :class:`Failure`, the reason also an error."""
        failure = Failure(row, id, step, str(reason), line)
        if self.on_error == "raise":
            cause = reason if isinstance(reason, Exception) else None
            hint = f'({"" if line is None else f"line {line}; "}on_error="skip" leaves such rows out)'
            name = f" ({id})" if id and id != str(row) else ""
            raise ValueError(f"{self.place}, row {row}{name}: {step}: {reason} {hint}") from cause
        self.append(failure)
