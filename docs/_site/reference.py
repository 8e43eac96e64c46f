"""Write the pages of the reference that follow from the code: modules, commands, entries of recipes."""

import inspect
import json
import pkgutil
import re
import sys
import textwrap
from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path

import typer
from sphinx.pycode import ModuleAnalyzer
from typer.cli import get_docs_for_click

import atomprint
from atomprint.cli.app import app
from atomprint.learn import MODELS
from atomprint.learn.models.search import Search
from atomprint.learn.splits.split import SplitSettings
from atomprint.util.registry import KNOWN
from atomprint.workflow.recipes.data import DataSection
from atomprint.workflow.recipes.features import DescriptorSection, JoinSection
from atomprint.workflow.recipes.models import ModelSection
from atomprint.workflow.recipes.recipe import EvaluationSection, Recipe
from atomprint.workflow.recipes.target import TargetSection

MODULES = {
    name: module
    for name in sorted(module.name for module in pkgutil.iter_modules(atomprint.__path__))
    if not name.startswith("_") and hasattr(module := import_module(f"atomprint.{name}"), "__all__")
}
"""The public modules are those that list what is public."""

SECTIONS = {
    "data": DataSection,
    "target": TargetSection,
    "split": SplitSettings,
    "search": Search,
    "evaluation": EvaluationSection,
}


def write(folder: Path) -> None:
    """Write ``api/``, ``commands.md`` and ``recipes.md`` into a folder; what has not changed is not touched."""
    pages = {f"api/{name}.rst": module_page(name) for name in MODULES}
    pages |= {"commands.md": commands_page(), "recipes.md": recipes_page()}
    (folder / "api").mkdir(exist_ok=True)
    for old in (folder / "api").glob("*.rst"):
        if f"api/{old.name}" not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def module_page(name: str) -> str:
    """Return the page of a module: what it says of itself, and a table of its public names."""
    full, module = f"atomprint.{name}", MODULES[name]
    lines = [full, "=" * len(full), "", f".. automodule:: {full}", "", f".. currentmodule:: {full}", ""]
    pages, values = [], []
    for public in sorted(module.__all__):
        value = getattr(module, public)
        owners = [m for m, found in MODULES.items() if public in found.__all__ and getattr(found, public) is value]
        first = min(owners, key=lambda m: len(MODULES[m].__all__))  # names belong where there are few
        if not (inspect.isclass(value) or inspect.isroutine(value)):
            values += [f".. data:: {public}", "", textwrap.indent(said_of(public, value), "   "), ""]
        elif first == name:
            pages.append(f"   {public}")
        else:
            values += [f"``{public}`` is :obj:`atomprint.{first}.{public}`.", ""]
    return "\n".join([*lines, ".. autosummary::", "   :toctree: generated", "", *pages, "", *values])


def said_of(name: str, value: object) -> str:
    """Return the text below the definition of a value, in whichever module that stands."""
    for module in [module for module in sys.modules if module.startswith("atomprint.")]:
        if getattr(sys.modules[module], name, None) is value:
            texts = ModuleAnalyzer.for_module(module).find_attr_docs()
            if ("", name) in texts:
                return "\n".join(texts["", name])
    raise ValueError(f"nothing is said of {name} where it is defined")


def commands_page() -> str:
    """Return the page of all commands, as the commands themselves say it."""
    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command, info_name="atomprint"), name="atomprint")
    return text.replace("# `atomprint`\n", "# Commands\n", 1).replace("```console\n$ ", "```sh\n")


def recipes_page() -> str:
    """Return the page of all entries of a recipe, from the classes that read them."""
    entries = described(Recipe)
    own = [name for name in entries if name not in (*SECTIONS, "features", "models")]
    parts = [
        "# Recipes",
        "A recipe is a TOML file. These are all of its entries; what they are for is told in "
        "[From data to a trusted model](../training.md). An entry that is not here is an error that names it.",
        "## At the top",
        table(Recipe, own),
    ]
    for name, cls in SECTIONS.items():
        parts += [f"## `[{name}]`", summary(cls), table(cls)]
    parts += [
        "## `[features.KEY]`",
        "Sets of features to compare, each under a key of your choice. A table has a `type`, or joins others.",
        table(DescriptorSection, ["type", "title", "description"]),
        table(JoinSection, ["join", "weights", "only_joined", "title", "description"]),
        "All other entries are parameters of the class that `type` names: "
        + ", ".join(f"`{name}`" for name, known in sorted(KNOWN.items()) if known.in_recipes)
        + "; or another class by its import path.",
        "## `[models.KEY]`",
        "Models to compare. All other entries are parameters of the model.",
        table(ModelSection, ["type", "title", "space"]),
        rows(
            ("type", "model", "for"),
            [(f"`{n}`", f"{m.title}: {m.description}", ", ".join(m.kinds)) for n, m in MODELS.items()],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def summary(cls: type) -> str:
    """Return the first line of a docstring, without the name of the section in front of it."""
    first = inspect.getdoc(cls).partition("\n")[0]
    text = re.sub(r"^`\[\w+\]`: ", "", markdown(first))
    return text[0].upper() + text[1:]


def table(cls: type, names: list[str] | None = None) -> str:
    """Return the entries of a section, name, type, default and meaning, as a list that narrow screens can show."""
    entries = described(cls)
    defaults = {f.name: f for f in fields(cls)}
    items = []
    for name in names or entries:
        kind, meaning = map(markdown, entries[name])
        items.append(f"`{name}` ({kind}; {default(defaults[name])})\n: {meaning}")
    return "\n\n".join(items)


def rows(head: tuple[str, ...], body: list[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    lines = [head, tuple("---" for _ in head), *body]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def default(field) -> str:
    """Return what an entry is where it is left out, as TOML has it."""
    value = field.default if field.default_factory is MISSING else field.default_factory()
    if value is MISSING:
        return "must be given"
    if value is None or value == () or value == {}:
        return "may be left out"
    return f"default `{json.dumps(value)}`"


def described(cls: type) -> dict[str, tuple[str, str]]:
    """Return type and meaning of each parameter that a docstring describes; all fields must be there."""
    (section,) = re.findall(r"^Parameters\n-+\n(.*?)(?:\n\n|\Z)", inspect.getdoc(cls), re.M | re.S)
    found = {}
    for names, kind, text in re.findall(r"^(\S[^:\n]*?)(?: : (.*))?\n((?:[ ]+.*(?:\n|\Z))+)", section, re.M):
        for name in names.split(", "):
            found[name] = (kind, " ".join(textwrap.dedent(text).split()))
    missing = {f.name for f in fields(cls) if f.init} - set(found)
    if missing:
        raise ValueError(f"{cls.__name__} does not describe {', '.join(sorted(missing))}")
    return found


def markdown(text: str) -> str:
    """Return the markup of a docstring as Markdown."""
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text)
    return text.replace("``", "`").strip()
