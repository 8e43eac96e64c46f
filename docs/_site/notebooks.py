"""Make notebooks and scripts of pages whose cells run while the site is built, for readers to run them themselves."""

import json
import re

CELL = re.compile(r"^```\{code-cell\}[^\n]*\n((?:---\n.*?^---\n)?)(.*?)^```[ ]*\n", re.M | re.S)


def notebook(page: str) -> str:
    """Return a page as a notebook that has not been run, with the solutions of its exercises folded."""
    cells = []
    for kind, text, folded in _cells(page):
        cell = {"cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True)}
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        if folded:
            cell["metadata"] = {"tags": ["hide-cell"], "jupyter": {"source_hidden": True, "outputs_hidden": True}}
        cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4}
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def script(page: str) -> str:
    """Return a page as a script with ``# %%`` between its cells, which shows its pictures at the end."""
    parts = []
    for kind, text, _ in _cells(page):
        if kind == "code":
            parts.append(f"# %%\n{text}\n")
        else:
            parts.append(
                "# %% [markdown]\n" + re.sub(r"^(?=.)", "# ", text, flags=re.M).replace("\n\n", "\n#\n") + "\n"
            )
    if re.search(r"^import matplotlib.pyplot as plt$", page, re.M):
        parts.append("# %%\nplt.show()\n")
    return "\n".join(parts)


def _cells(page):
    """Yield kind and text of each cell, and whether it is folded."""
    page = re.sub(r"\A---\n.*?^---\n", "", page, flags=re.M | re.S)
    end = 0
    for found in CELL.finditer(page):
        yield from _words(page[end : found.start()])
        yield "code", found[2].rstrip("\n"), "hide-cell" in found[1]
        end = found.end()
    yield from _words(page[end:])


def _words(text):
    """Yield a cell of plain Markdown: without what only the site can show, and links that only it can follow."""
    text = re.sub(r"^:::+\{admonition\} (.*)\n(?::\w+:.*\n)*", r"**\1.** ", text, flags=re.M)
    text = re.sub(r"^:::+\{[\w-]+\}.*\n(?::\w+:.*\n)*|^:::+\n", "", text, flags=re.M)
    text = re.sub(r"^```\{code-block\} (\w+)$", r"```\1", text, flags=re.M)
    text = re.sub(r"\{\w+\}`~?(?:\w+\.)*(\w+)`", r"`\1`", text)
    text = re.sub(r"(?<!!)\[([^]]*)\]\((?!\w+:)[^)]*\)", r"\1", text).strip("\n")
    if text:
        yield "markdown", text, False
