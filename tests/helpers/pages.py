"""What Markdown pages hold: blocks of code, headings, links, commands; and whether the commands exist."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md"))
    if "build" not in path.parts
    and path.relative_to(ROOT).as_posix() not in ("CHANGELOG.md", "NOTES.md")
    # written by the code when the site is built
    and path.relative_to(ROOT).as_posix() not in ("docs/reference/commands.md", "docs/reference/recipes.md")
)
_FENCE = re.compile(r"^(`{3,}|~{3,})[ ]*(\{[\w-]+\}|\w*)[^\n]*\n(.*?)^\1`*[ ]*$", re.M | re.S)
_NAMES = ("python", "python3", "bash", "pip")


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield language and text of each fenced block; ``{code-cell}`` is Python, and its options are left out."""
    for _, language, body in _FENCE.findall(text):
        if language == "{code-cell}":
            yield "python", re.sub(r"\A(?:---\n.*?^---\n|(?:^:[\w-]+:.*\n)+)", "", body, flags=re.M | re.S)
        else:
            yield language, body


def is_executed(text: str) -> bool:
    """Tell whether the cells of a page run while the site is built."""
    return re.search(r"^```\{code-cell\}", text, re.M) is not None


def prose(text: str) -> str:
    """Return a page without its blocks of code, which stay as empty lines."""
    return _FENCE.sub(lambda found: "\n" * found[0].count("\n"), text)


def anchors(text: str) -> set[str]:
    """Return what links to places within a page may end with."""
    found: dict[str, int] = {}
    result = set()
    for title in re.findall(r"^#+ +(.*?) *#*$", prose(text), re.M):
        title = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title)
        slug = re.sub(r"[^\w\- ]", "", title.lower().strip()).replace(" ", "-")
        number = found[slug] = found.get(slug, -1) + 1
        result.add(f"{slug}-{number}" if number else slug)
    return result | set(re.findall(r"^\(([\w-]+)\)=$", text, re.M))


def links(text: str) -> Iterator[str]:
    """Yield the targets of links and pictures, of places within and outside a page."""
    text = re.sub(r"`[^`\n]*`", "", prose(text))
    yield from re.findall(r"\]\(<?([^)\s>]+)>?[^)]*\)", text)


@dataclass(frozen=True)
class Section:
    """A part of a page from a heading to the next, with all its parts above."""

    title: str
    text: str
    above: "Section | None"

    def whole(self) -> str:
        """Return its text with that of those above."""
        return self.text + (self.above.whole() if self.above else "")


def sections(text: str) -> Iterator[Section]:
    """Yield the sections of a page."""
    plain = prose(text).splitlines(keepends=True)
    real = text.splitlines(keepends=True)
    places = [(i, len(line) - len(line.lstrip("#"))) for i, line in enumerate(plain) if re.match(r"#+ ", line)]
    open_sections: list[tuple[int, Section]] = []
    for (start, level), (end, _) in zip(places, [*places[1:], (len(real), 0)], strict=True):
        while open_sections and open_sections[-1][0] >= level:
            open_sections.pop()
        above = open_sections[-1][1] if open_sections else None
        section = Section(real[start].strip("# \n"), "".join(real[start + 1 : end]), above)
        open_sections.append((level, section))
        yield section


def paragraphs(text: str) -> list[str]:
    """Return paragraphs, items of lists and rows of tables, without blocks of code."""
    return [part for part in re.split(r"\n\s*\n|\n(?=\||- |\d+\. )", prose(text)) if part.strip()]


def quotations(text: str, source: str) -> Iterator[tuple[str, str]]:
    """Yield what a page says with figures of another page, and the place there that it names ("" for the whole page).

    That is each sentence, each clause before a semicolon and each row with a link to that page, and all rows of a table
    below a sentence with such a link and a colon at its end.
    """
    place = None
    for part in paragraphs(text):
        row = part.lstrip().startswith("|")
        if not row:
            place = None
        for clause in re.split(r";\s|\.\s", part):
            found = re.search(rf"\]\([^)]*{re.escape(source)}#?([\w-]*)\)", clause)
            if found or (row and place is not None):
                yield clause.strip(), found[1] if found else place
            if found and clause.rstrip().endswith(":"):
                place = found[1]


def figures(text: str) -> list[str]:
    """Return the decimal numbers and percentages of a text, in their order."""
    return re.findall(r"(?<![\w.,#-])\d+(?:\.\d+| (?=%))", re.sub(r"`[^`]*`|\]\([^)]*\)", "", text))


def occur(clause: str, text: str) -> bool:
    """Tell whether the figures of a clause are those of a text, as rounded as they are.

    Those of the row of a table must be of one row or paragraph, and in their order.
    """
    if not clause.startswith("|"):
        return all(any(_is_rounded(short, long) for long in figures(text)) for short in figures(clause))
    parts = [iter(figures(part)) for part in paragraphs(text)]
    return any(all(any(_is_rounded(short, long) for long in rest) for short in figures(clause)) for rest in parts)


def _is_rounded(short: str, long: str) -> bool:
    if short.endswith(" ") or long.endswith(" "):
        return short == long
    digits = len(short.partition(".")[2])
    return digits <= len(long.partition(".")[2]) and abs(float(short) - float(long)) <= 0.5000001 * 10.0**-digits


def commands(text: str) -> Iterator[str]:
    """Yield the command lines of a page: those of blocks for the shell, and those in the text."""
    for language, body in blocks(text):
        if language in ("sh", "bash", "console"):
            for line in body.replace("\\\n", " ").splitlines():
                yield from _simple(line.removeprefix("$ "))
    for code in re.findall(r"`([^`\n]+)`", prose(text)):
        if re.match(r"(atomprint|python3?|bash|pip|\.ci/\w+) +\S", code):
            yield from _simple(code)


def _simple(line: str) -> Iterator[str]:
    """Yield the single commands of a line of the shell, without comments and redirections."""
    reader = shlex.shlex(line, posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    words: list[str] = []
    for word in [*reader, ";"]:
        if set(word) <= set("&|;()<>"):
            if word.strip("<>") or words:
                yield from [shlex.join(words)] if words and words[0] not in ("<", ">") else []
            words = [word] if set(word) <= set("<>") else []
        else:
            words.append(word)


def fault_of(command: str) -> str | None:
    """Return why a command cannot be given: a file, a subcommand, an option or an extra that does not exist."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        return str(error)
    while words and re.fullmatch(r"\w+=\S*", words[0]):  # variables of the environment
        words = words[1:]
    program = words[0].removeprefix(".venv/bin/") if words else ""
    if program == "atomprint":
        return _fault_of_cli(words[1:])
    if program in _NAMES:
        return _fault_of_script(words)
    if program.startswith((".ci/", "./")) and not (ROOT / program).exists():
        return f"{program} does not exist"
    return None


def _fault_of_cli(words: list[str]) -> str | None:
    import typer

    from atomprint.cli.app import app

    command, name = typer.main.get_command(app), "atomprint"
    options = set(_options(command))
    for word in words:
        if word.startswith("-") and not re.fullmatch(r"-?-?[\d.]+\S*", word):
            option = word.partition("=")[0]
            # The value of an option may begin with a minus, as in --sort -gap.
            if option not in options and (option.startswith("--") or len(option) == 2):
                return f"{name} has no option {option}"
        elif hasattr(command, "commands") and word in command.commands:
            command, name = command.commands[word], f"{name} {word}"
            options |= set(_options(command))
        elif hasattr(command, "commands") and re.fullmatch(r"[a-z]+", word):
            return f"{name} has no command {word}"
    return None


def _options(command: object) -> Iterator[str]:
    yield "--help"
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)


@cache
def _extras() -> frozenset[str]:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return frozenset(table["project"]["optional-dependencies"])


def _fault_of_script(words: list[str]) -> str | None:
    for word in words:
        for extras in re.findall(r"(?:atomprint|^\.)\[([\w,]+)\]", word):
            if unknown := set(extras.split(",")) - _extras():
                return f"there is no extra {', '.join(sorted(unknown))}"
    script = next((word for word in words[1:] if re.fullmatch(r"[\w./-]+\.py", word) or word.startswith(".ci/")), None)
    if script is None or "-m" in words or "/" not in script:
        return None
    if not (ROOT / script).exists():
        return f"{script} does not exist"
    if script.endswith(".py"):
        known = _sources(ROOT / script)
        for word in words[words.index(script) + 1 :]:
            option = word.partition("=")[0]
            if re.fullmatch(r"--[a-z][\w-]*", option) and f'"{option}"' not in known:
                return f"{script} has no option {option}"
    return None


def _sources(script: Path) -> str:
    """Return the text of a script, and of those beside it that it imports."""
    text = script.read_text(encoding="utf-8")
    beside = re.findall(r"^(?:from|import) (\w+)", text, re.M)
    others = [script.parent / f"{name}.py" for name in beside]
    return text + "".join(path.read_text(encoding="utf-8") for path in others if path.exists())
