"""Who imports whom in a package, read from its source: also what is imported only when it is called, or for types."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

Arrows = dict[str, set[str]]


def modules(source: Path) -> dict[str, Path]:
    """Return the modules below a folder of packages, by name."""
    found = {}
    for path in source.rglob("*.py"):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def arrows(source: Path) -> Arrows:
    """Return for each module below a folder which others of them it imports."""
    known = modules(source)
    return {name: set(_imported(name, path, known)) - {name} for name, path in known.items()}


def _imported(name: str, path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports by a relative name"
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                if below in known:
                    yield below
                elif node.module in known:
                    yield str(node.module)


def circles(given: Arrows) -> list[list[str]]:
    """Return the groups of modules from each of which every other can be reached (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(given[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            place = stack.index(node)
            group = stack[place:]
            del stack[place:]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(given):
        if node not in index:
            visit(node)
    return found


def room(module: str, rooms: Sequence[str]) -> str:
    """Return the room of a module: the longest of the names that it begins with."""
    fitting = [name for name in rooms if module == name or module.startswith(f"{name}.")]
    assert fitting, f"{module} is in no room: give it a place in the list"
    return max(fitting, key=len)


def back_arrows(given: Arrows, rooms: Sequence[str]) -> list[tuple[str, str]]:
    """Return the imports that run from a room to one further down a list that begins at the bottom of the house."""
    rank = {name: place for place, name in enumerate(rooms)}
    return [
        (module, other)
        for module, imported in sorted(given.items())
        for other in sorted(imported)
        if rank[room(other, rooms)] > rank[room(module, rooms)]
    ]
