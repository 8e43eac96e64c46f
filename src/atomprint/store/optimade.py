"""Structures of an OPTIMADE server, page by page: what was fetched is kept, and is not asked for again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from atomprint.formats.json_files import row_of_record
from atomprint.formats.source import Row
from atomprint.util.extras import require
from atomprint.util.files import write_atomically
from atomprint.util.progress import Progress, silent

PROVIDERS: Mapping[str, str] = {
    "aflow": "https://aflow.org/API/optimade",
    "alexandria": "https://alexandria.icams.rub.de/pbe",
    "alexandria-pbesol": "https://alexandria.icams.rub.de/pbesol",
    "cmr": "https://cmr-optimade.fysik.dtu.dk",
    "cod": "https://www.crystallography.net/cod/optimade",
    "gnome": "https://optimade-gnome.odbx.science",
    "jarvis": "https://jarvis.nist.gov/optimade/jarvisdft",
    "mc2d": "https://optimade.materialscloud.org/main/mc2d",
    "mc3d": "https://optimade.materialscloud.org/main/mc3d-pbesol-v2",
    "mp": "https://optimade.materialsproject.org",
    "mpdd": "http://mpddoptimade.phaseslab.org",
    "mpds": "https://api.mpds.io",
    "nomad": "https://nomad-lab.eu/prod/v1/api/optimade",
    "odbx": "https://optimade.odbx.science",
    "omdb": "https://optimade.openmaterialsdb.se",
    "oqmd": "https://oqmd.org/optimade",
    "tcod": "https://www.crystallography.net/tcod/optimade",
    "twodmatpedia": "http://optimade.2dmatpedia.org",
}
"""Servers by short names, as https://providers.optimade.org, which lists all, had them in 2026."""

SCHEME = "optimade:"
"""What a source begins with that is a server: ``optimade:mp`` or ``optimade:https://…``."""

_TRIES = 5
_LONGEST_WAIT = 60.0  # seconds between two tries, whatever a server asks for
_LARGEST_PAGE = 2**28  # bytes
_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_AGENT = "atomprint (https://pypi.org/project/atomprint)"


class PageError(ValueError):
    """A page that a server does not give, or that is none."""


@dataclass
class Query:
    """What is asked of a server.

    Parameters
    ----------
    server : str
        A short name of :data:`PROVIDERS`, or the address of a server, with or without ``/v1``.
    filter : str
        In the language of OPTIMADE, such as ``'elements HAS "O" AND nelements=2'``; empty for all structures.
    page_size : int
        Structures of a page; servers may give fewer.
    fields : tuple of str
        Properties that are asked for, besides the structure.
    wait : float
        Seconds to wait between two pages.
    timeout : float
        Seconds to wait for an answer.
    """

    server: str
    filter: str = ""
    page_size: int = 100
    fields: tuple[str, ...] = ()
    wait: float = 0.1
    timeout: float = 60.0
    name: str = field(init=False)

    def __post_init__(self) -> None:
        short = self.server.removeprefix(SCHEME)
        address = PROVIDERS.get(short.lower(), short)
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(
                f"an OPTIMADE server is one of {', '.join(PROVIDERS)}, or an address such as "
                f"https://example.org/optimade, got {short!r}"
            )
        self.base = address.rstrip("/")
        if not self.base.endswith("/v1"):
            self.base += "/v1"
        self.name = f"{SCHEME}{short}" + (f"?{self.filter}" if self.filter else "")

    def first(self) -> str:
        """Return the address of the first page."""
        asked = {"response_format": "json", "page_limit": str(self.page_size)}
        if self.filter:
            asked["filter"] = self.filter
        if self.fields:
            asked["response_fields"] = ",".join((*_STRUCTURE, *self.fields))
        return f"{self.base}/structures?{urlencode(asked)}"


_STRUCTURE = (
    "lattice_vectors",
    "cartesian_site_positions",
    "species_at_sites",
    "species",
    "dimension_types",
    "structure_features",
)

Get = Callable[[str, float], tuple[int, Mapping[str, str], bytes]]
"""Given an address and a time, return status, heads and content of an answer, or raise ``OSError``."""


class Page(NamedTuple):
    """A page: the structures on it, or why it cannot be had."""

    number: int
    entries: list[Any]
    failure: str | None = None


def fetch(query: Query, folder: Path, *, get: Get | None = None, progress: Progress = silent) -> Iterator[Page]:
    """Yield the pages of a query, fetched unless they are in a folder already.

    A page that cannot be had after five tries is a file with the reason; where the next page begins is then found from
    how many structures a page has, if the server counts pages by offsets or numbers, and is asked for again by the next
    call of this function.

    Parameters
    ----------
    query : Query
        What is asked for.
    folder : Path
        Where pages are kept, made if it is not there.
    get : callable, optional
        Fetches an address. Default: by HTTP.
    progress : Progress
        Told the number of structures that are there, and how many the server has.

    Raises
    ------
    PageError
        If a page cannot be had, and it is not known where the next one begins.
    """
    get = get or _get
    folder.mkdir(parents=True, exist_ok=True)
    address: str | None = query.first()
    number = done = bad_in_a_row = 0
    total: int | None = None
    seen: set[str] = set()
    while address is not None:
        if address in seen:
            raise PageError(f"{query.name}: page {number} is one that came before: the server goes round in a circle")
        seen.add(address)
        progress("Fetching structures", done, total)
        path = folder / f"{number:06d}-{hashlib.blake2b(address.encode(), digest_size=8).hexdigest()}.json"
        page = _kept(path)
        if page is None:
            try:
                page = _asked(address, query, get)
                write_atomically(path, json.dumps(page, sort_keys=True))
                bad_in_a_row = 0
            except PageError as error:
                following = _page_after(address, query.page_size)
                bad_in_a_row += 1
                if following is None or bad_in_a_row > 3 or number == 0:
                    raise PageError(f"{query.name}: page {number} cannot be had: {error}") from error
                write_atomically(path.with_suffix(".failed"), f"{error}\n")
                yield Page(number, [], str(error))
                address, number = following, number + 1
                continue
        path.with_suffix(".failed").unlink(missing_ok=True)
        done += len(page["data"])
        total = _count(page) or total
        yield Page(number, page["data"])
        address, number = _next(page, address), number + 1
    progress("Fetching structures", done, done)


def _kept(path: Path) -> dict[str, Any] | None:
    try:
        page = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return page if isinstance(page, dict) and isinstance(page.get("data"), list) else None


def _asked(address: str, query: Query, get: Get) -> dict[str, Any]:
    """Return a page of a server, which may say that it has too much to do."""
    wait, reason = query.wait, ""
    for attempt in range(_TRIES):
        if attempt or wait:
            time.sleep(min(wait, _LONGEST_WAIT))
        wait = max(1.0, 2.0 * wait) if query.wait else 0.0
        try:
            status, heads, content = get(address, query.timeout)
        except OSError as error:
            reason = f"{error}"
            continue
        if status in _AGAIN:
            reason = f"the server answers {status}"
            asked = heads.get("retry-after", "")
            wait = float(asked) if asked.isdecimal() and query.wait else wait
            continue
        if status != 200:
            raise PageError(f"the server answers {status}: {_detail(content)}")
        try:
            page = json.loads(content)
        except ValueError as error:
            reason = f"the answer is no JSON: {error}"
            continue
        if not isinstance(page, dict) or not isinstance(page.get("data"), list):
            reason = f"the answer has no list of structures: {_detail(content)}"
            continue
        return {name: page[name] for name in ("data", "links", "meta") if name in page}
    raise PageError(f"{reason}, {_TRIES} times")


def _detail(content: bytes) -> str:
    """Return what a server says is wrong."""
    try:
        errors = json.loads(content)["errors"]
        return "; ".join(str(error.get("detail") or error.get("title")) for error in errors)[:300]
    except (ValueError, LookupError, TypeError, AttributeError):
        return repr(content[:100].decode("utf-8", "replace"))


def _count(page: Mapping[str, Any]) -> int | None:
    meta = page.get("meta")
    count = meta.get("data_returned") if isinstance(meta, Mapping) else None
    return count if isinstance(count, int) else None


def _next(page: Mapping[str, Any], address: str) -> str | None:
    """Return the address of the next page; None after the last."""
    links = page.get("links")
    following = links.get("next") if isinstance(links, Mapping) else None
    if isinstance(following, Mapping):
        following = following.get("href")
    if not isinstance(following, str) or not following or not page["data"]:
        return None
    made = urljoin(address, following)
    if urlsplit(made).scheme not in ("http", "https"):
        raise PageError(f"the next page is said to be at {made[:100]!r}")
    return made


def _page_after(address: str, size: int) -> str | None:
    """Return the address of the page after one that cannot be had; None if that is not known."""
    parts = urlsplit(address)
    asked = dict(parse_qsl(parts.query, keep_blank_values=True))
    step = int(asked["page_limit"]) if asked.get("page_limit", "").isdecimal() else size
    for name, by in (("page_offset", step), ("page_number", 1)):
        if asked.get(name, "").isdecimal():
            asked[name] = str(int(asked[name]) + by)
            return urlunsplit(parts._replace(query=urlencode(asked)))
    return None


def _get(address: str, timeout: float) -> tuple[int, Mapping[str, str], bytes]:
    requests = require("requests", "data", "an OPTIMADE server")
    try:
        with requests.get(address, timeout=timeout, stream=True, headers={"User-Agent": _AGENT}) as answer:
            content = answer.raw.read(_LARGEST_PAGE + 1, decode_content=True)
            if len(content) > _LARGEST_PAGE:
                raise PageError(f"the page has more than {_LARGEST_PAGE} bytes")
            return answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, content
    except requests.RequestException as error:
        raise OSError(f"the server cannot be reached: {error}") from error


def rows_of(query: Query, folder: Path, *, get: Get | None = None, progress: Progress = silent) -> Iterator[Row]:
    """Yield the structures of a query as rows; a page that cannot be had is a row that failed."""
    for page in fetch(query, folder, get=get, progress=progress):
        if page.failure is not None:
            yield Row(id=f"page {page.number}", problem=("page", page.failure))
        yield from map(_row, page.entries)


def _row(entry: Any) -> Row:
    """Return an entry as a row; servers may leave the structure out, or everything."""
    if isinstance(entry, Mapping) and isinstance(found := entry.get("attributes") or {}, Mapping):
        missing = [name for name in ("cartesian_site_positions", "species_at_sites") if found.get(name) is None]
        if missing:
            reason = f"the server gives no {' and no '.join(missing)} of it"
            return Row(id=str(entry.get("id") or ""), problem=("read", reason))
    return row_of_record(entry)
