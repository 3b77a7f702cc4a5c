"""The engine's public names: all that a user of them meets is one of them."""

import inspect
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any, get_args, get_type_hints

import pytest

from untorn import engine
from untorn.maps import page
from untorn.mm import mman
from untorn.mm.calls import shm

EXPORTED = {name: getattr(engine, name) for name in engine.__all__}
OPAQUE = {"AddressSpace", "MmStruct", "VmOperations"}
"""To be made and passed about; nobody is told what is inside of them."""
CLASSES = {name: found for name, found in EXPORTED.items() if inspect.isclass(found)}
FAMILIES: list[tuple[ModuleType, str]] = [
    (mman, "PROT_|MAP_|MREMAP_|MADV_|MCL_|MLOCK_"),
    (shm, "SHM_"),
    (page, "PAGE_SIZE|PMD_SIZE|PUD_SIZE|TASK_SIZE|IA32_"),
]


def test_the_list_is_what_a_star_imports() -> None:
    assert len(engine.__all__) == len(set(engine.__all__))
    names: dict[str, object] = {}
    exec("from untorn.engine import *", names)
    assert set(names) - {"__builtins__"} == set(engine.__all__)


def test_a_module_that_is_imported_is_not_taken_for_a_name() -> None:
    public = {name for name in vars(engine) if not name.startswith("_")}
    assert public == set(engine.__all__)


@pytest.mark.parametrize(("module", "names"), FAMILIES, ids=lambda each: str(each))
def test_constants_are_exported_by_families(module: ModuleType, names: str) -> None:
    family = {name for name in vars(module) if re.match(names, name)} - {"SHM_OPS"}
    assert family <= set(engine.__all__)


@pytest.mark.parametrize("name", CLASSES)
def test_classes_and_their_methods_are_documented(name: str) -> None:
    assert CLASSES[name].__doc__
    for method, function in methods(CLASSES[name]):
        assert inspect.getdoc(function), f"{name}.{method}"


@pytest.mark.parametrize("name", sorted(set(CLASSES) - OPAQUE))
def test_what_methods_take_and_return_is_exported(name: str) -> None:
    for method, function in methods(CLASSES[name]):
        if method == "__init__" and name == "ProcVmaFile":
            continue  # Process.open() makes it
        hints = get_type_hints(function)
        assert "return" in hints, f"{name}.{method} is annotated"
        ours = {found for hint in hints.values() for found in our_types(hint)}
        assert ours <= set(CLASSES.values()), f"{name}.{method}"


@pytest.mark.parametrize("name", sorted(set(CLASSES) - OPAQUE))
def test_what_fields_hold_is_exported(name: str) -> None:
    for field, hint in get_type_hints(CLASSES[name]).items():
        if not field.startswith("_"):
            assert set(our_types(hint)) <= set(CLASSES.values()), f"{name}.{field}"


def methods(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods of a class that are written by us, and how it is made."""
    for name, function in inspect.getmembers(cls, callable):
        module = getattr(function, "__module__", None) or ""
        is_public = not name.startswith("_") or name == "__init__"
        if is_public and module.startswith("untorn.") and not inspect.isclass(function):
            yield name, function


def our_types(hint: object) -> Iterator[type]:
    """Yield the classes of ours that an annotation names."""
    if inspect.isclass(hint) and hint.__module__.startswith("untorn."):
        yield hint
    for inner in get_args(hint):
        yield from our_types(inner)
