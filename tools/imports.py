"""Check the direction of imports: no circles, types included, and downwards inside every package.

A package whose modules import one another gives their order in its docstring: "From the top down:
a, b, c." Each imports only those after it.
"""

import ast
import re
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "src"
ORDER = re.compile(r"From the top down:([^.]+)\.")


def name_of(path: Path) -> str:
    """Return the dotted name of a module or package."""
    parts = path.relative_to(SOURCES).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(name: str, tree: ast.AST, modules: set[str]) -> Iterator[str]:
    """Yield the modules of ours that a module imports, anywhere and for any purpose."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise SystemExit(f"{name}: a relative import, which is not followed here")
        elif isinstance(node, ast.ImportFrom) and node.module in modules:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module


def upwards(package: str, order: list[str], graph: dict[str, set[str]]) -> Iterator[str]:
    """Yield the errors in the imports between the children of a package."""
    prefix = f"{package}."
    children = {m.removeprefix(prefix).split(".")[0] for m in graph if m.startswith(prefix)}
    if children != set(order) or len(order) != len(children):
        strange = ", ".join(sorted(children ^ set(order)) or order)
        yield f"{package}: its docstring must say from the top down how these stand: {strange}"
    place = {child: floor for floor, child in enumerate(order)}
    for module, imported in sorted(graph.items()):
        for other in sorted(imported):
            if module.startswith(prefix) and other.startswith(prefix):
                here, there = (m.removeprefix(prefix).split(".")[0] for m in (module, other))
                if place.get(here, 0) > place.get(there, len(order)):
                    yield f"{module} imports {other}, which stands above it in {package}"


def main() -> int:
    """Print a line for each error; return 1 if there is any."""
    trees = {name_of(path): ast.parse(path.read_text()) for path in SOURCES.rglob("*.py")}
    graph = {name: set(imports(name, tree, set(trees))) - {name} for name, tree in trees.items()}
    wrong = []
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        wrong.append("a circle of imports: " + " -> ".join(reversed(error.args[1])))
    for package, tree in sorted(trees.items()):
        stated = ORDER.search(ast.get_docstring(tree) or "")
        if any(module.startswith(f"{package}.") for module in graph):
            order = re.split(r",\s+", stated[1].strip()) if stated else []
            wrong += upwards(package, order, graph)
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
