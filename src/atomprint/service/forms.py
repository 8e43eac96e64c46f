"""The body of a request, JSON or an upload of files, as what it asks for."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from atomprint.service.bodies import SimilarRequest, StructuresRequest, Text
from atomprint.service.problems import Problem
from atomprint.service.reading import Sent, check_json
from atomprint.service.settings import Limits

R = TypeVar("R", bound=StructuresRequest)
M = TypeVar("M", bound=BaseModel)

_MOST_PARTS = 2000
_MOST_KEYS = 100


def read_request(kind: type[R], body: bytes, content_type: str, limits: Limits) -> tuple[R, list[Sent]]:
    """Return what a request asks for, and what it asks about.

    Parameters
    ----------
    kind : type
        What it must be.
    body : bytes
        JSON, or ``multipart/form-data`` with files and formulas under ``structures`` and the rest under its names.
    content_type : str
        Which of the two.
    limits : Limits
        What is refused.

    Raises
    ------
    Problem
        400 if it cannot be read, 413 if it has too much, 415 if it is of another type, 422 if it asks for nothing that
        there is.
    """
    media = content_type.partition(";")[0].strip().lower()
    if media == "application/json":
        asked = _checked(kind, body)
        if len(asked.structures) > limits.structures:
            raise Problem(413, f"a request may have {limits.structures} structures, this has {len(asked.structures)}")
        return asked, [_sent(one) for one in asked.structures]
    if media != "multipart/form-data":
        raise Problem(415, "the body must be application/json or multipart/form-data")
    fields, files = _parts_of(body, content_type)
    lists = [name for name, item in kind.model_fields.items() if "list" in str(item.annotation)]
    texts = fields.pop("structures", [])
    given: dict[str, Any] = {name: values if name in lists else values[-1] for name, values in fields.items()}
    asked = _checked(kind, {**given, "structures": [*texts, *("" for _ in files)]})
    return asked, [*(Sent(text, text if "\n" not in text else "") for text in texts), *files]


def read_similar(body: bytes, content_type: str) -> tuple[SimilarRequest, Sent]:
    """Return what a request for similar structures asks for, and about what; see :func:`read_request`."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "the body must be application/json")
    asked = _checked(SimilarRequest, body)
    return asked, _sent(asked.structure)


def _checked(kind: type[M], given: bytes | dict[str, Any]) -> M:
    try:
        return kind.model_validate(_json(given) if isinstance(given, bytes) else given)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        said = (f"{'.'.join(map(str, one['loc'])) or 'the body'}: {one['msg']}" for one in found[:3])
        raise Problem(422, "; ".join(said)[:1000]) from None


def _json(body: bytes) -> Any:
    try:
        check_json(body)
    except ValueError as error:
        raise Problem(413, str(error)) from None
    try:
        content = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Problem(400, f"the body is no JSON: {error}") from None
    if isinstance(content, dict) and len(content) > _MOST_KEYS:
        raise Problem(422, f"the body may have {_MOST_KEYS} keys, this has {len(content)}")
    return content


def _sent(one: Text | dict[str, Any] | str) -> Sent:
    if isinstance(one, Text):
        return Sent(one.text, one.name, one.form)
    if isinstance(one, str):
        return Sent(one, one.strip() if "\n" not in one.strip() and len(one) <= 200 else "")
    return Sent(one)


def _parts_of(body: bytes, content_type: str) -> tuple[dict[str, list[str]], list[Sent]]:
    from python_multipart import create_form_parser
    from python_multipart.exceptions import FormParserError

    fields: dict[str, list[str]] = {}
    files: list[Sent] = []

    def on_field(field: Any) -> None:
        name = (field.field_name or b"").decode(errors="replace")
        fields.setdefault(name, []).append((field.value or b"").decode(errors="replace"))
        count()

    def on_file(file: Any) -> None:
        file.file_object.seek(0)
        name = (file.file_name or b"").decode(errors="replace")
        files.append(Sent(file.file_object.read(), name.replace("\\", "/").rpartition("/")[2][:200]))
        file.close()
        count()

    def count() -> None:
        if len(files) + sum(map(len, fields.values())) > _MOST_PARTS:
            raise Problem(413, f"an upload may have {_MOST_PARTS} parts, this has more")

    try:
        parser = create_form_parser(
            {"Content-Type": content_type.encode("latin-1", "replace")},
            on_field,
            on_file,
            {"MAX_MEMORY_FILE_SIZE": len(body) + 1},  # nothing goes to a disk
        )
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise Problem(400, f"the upload cannot be read: {error}") from error
    return fields, files
