"""What the checker must be able to run takes its primitives from sync, and declares its fields."""

import ast
from pathlib import Path

import pytest

import untorn

ROOT = Path(untorn.__file__).parent
CHECKED = (
    "locking",
    "mm",
    "fs",
    "syscalls.py",
    "maps",
)
"""What the interleaving checker must be able to run."""
RAW = {
    *("threading", "_thread", "queue", "asyncio", "concurrent", "multiprocessing", "greenlet"),
    *("time", "sched", "signal", "select", "selectors", "socket", "contextvars"),
}
FILES = sorted(ROOT.rglob("*.py"))


def imports(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if p.relative_to(ROOT).parts[0] in CHECKED and p.name != "sync.py"],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_checked_layers_take_primitives_from_sync_only(path: Path) -> None:
    used = {name.split(".")[0] for name in imports(path)} & RAW
    assert not used, f"{path} imports {used}; locking/sync.py is the only source of primitives"
    assert not any(n.startswith("untorn.locking.sync.") for n in imports(path)), (
        f"{path} binds a primitive by name: the checker could not replace it"
    )


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if p.relative_to(ROOT).parts[0] in CHECKED],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_checked_classes_declare_their_fields(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef) and not declares_slots(node):
            pytest.fail(f"{path}: class {node.name} has no __slots__")


def declares_slots(node: ast.ClassDef) -> bool:
    bases = {ast.unparse(base).split("[")[0] for base in node.bases}
    if bases & {"Protocol", "NamedTuple", "Enum", "IntFlag"}:
        return True
    if any("slots=True" in ast.unparse(decorator) for decorator in node.decorator_list):
        return True
    return any(
        isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == "__slots__"
        for item in node.body
    )
