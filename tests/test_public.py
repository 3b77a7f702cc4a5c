"""What is public is declared: every name, and every type that one of them takes or returns."""

import builtins
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from types import FunctionType
from typing import Any, get_args, get_type_hints

import pytest

PUBLIC = ["untorn", "untorn.engine"]
NAMES = [(module, name) for module in PUBLIC for name in import_module(module).__all__]
OPAQUE = {"AddressSpace", "HugeInode", "HugePool", "MmStruct", "VmOperations"}
"""What is made and passed about; its inside is the engine's own."""
RETURNED = {"KpageFile", "Memory", "ProcVmaFile"}
"""What is never made by a user."""
each_name = pytest.mark.parametrize(("module", "name"), NAMES)
each_name_with_an_inside = pytest.mark.parametrize(
    ("module", "name"), [each for each in NAMES if each[1] not in OPAQUE]
)


def functions_of(found: object) -> Iterator[FunctionType]:
    """Yield a function, or the public methods and properties of a class, inherited ones too."""
    if isinstance(found, FunctionType):
        yield found
    for name, member in inspect.getmembers(found) if inspect.isclass(found) else ():
        if not name.startswith("_") or name == "__init__":
            function = member.fget if isinstance(member, property) else member
            function = getattr(function, "__func__", function)
            if isinstance(function, FunctionType):
                yield function


def classes_in(hint: Any) -> Iterator[type]:
    """Yield the classes that an annotation names."""
    if isinstance(hint, type) and not get_args(hint):
        yield hint
    for part in hint if isinstance(hint, list) else get_args(hint):
        yield from classes_in(part)  # a list: what a Callable takes


@pytest.mark.parametrize("module", PUBLIC)
def test_names_stand_once_and_each_is_there(module: str) -> None:
    public = import_module(module)
    assert len(public.__all__) == len(set(public.__all__))
    assert set(public.__all__) <= set(dir(public))
    assert not any(name.startswith("_") for name in public.__all__)


@each_name
def test_what_is_public_says_what_it_is(module: str, name: str) -> None:
    found = getattr(import_module(module), name)
    if inspect.isclass(found) or isinstance(found, FunctionType):
        assert inspect.getdoc(found), f"{module}.{name}"
        for function in functions_of(found):
            ours = function.__module__.startswith("untorn")
            assert not ours or function.__name__ == "__init__" or function.__doc__, function


@each_name_with_an_inside
def test_signatures_name_public_types_only(module: str, name: str) -> None:
    public = import_module(module)
    known = {each: getattr(public, each) for each in public.__all__}
    for function in functions_of(getattr(public, name)):
        is_ours = function.__module__.startswith("untorn")
        if not is_ours or (function.__name__ == "__init__" and name in RETURNED):
            continue
        for hint in get_type_hints(function, localns=known).values():
            for found in classes_in(hint):
                ours = found.__module__.startswith("untorn")
                assert not ours or found in known.values(), (function, found)


@each_name_with_an_inside
def test_fields_hold_public_types_only(module: str, name: str) -> None:
    public = import_module(module)
    known = {each: getattr(public, each) for each in public.__all__}
    found = known[name]
    hints = get_type_hints(found, localns=known) if inspect.isclass(found) else {}
    for field, hint in hints.items():
        ours = {each for each in classes_in(hint) if each.__module__.startswith("untorn")}
        assert field.startswith("_") or ours <= set(known.values()), f"{name}.{field}"


@each_name_with_an_inside
def test_errors_of_ours_that_are_raised_are_public(module: str, name: str) -> None:
    public = import_module(module)
    for function in functions_of(getattr(public, name)):
        _, _, raised = (function.__doc__ or "").partition("Raises:")
        for error in re.findall(r"^ +(\w+Error):", raised, re.MULTILINE):
            assert hasattr(builtins, error) or error in public.__all__, (function, error)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        import_module("untorn").nothing  # noqa: B018


def test_a_library_is_imported_when_it_is_needed() -> None:
    code = (
        "import os, sys, untorn\n"
        "libraries = {'numpy', 'click', 'elftools', 'rich'}\n"
        "print(libraries & set(sys.modules))\n"
        "with untorn.open_maps(os.getpid()) as maps: maps.read(10)\n"
        "print(libraries & set(sys.modules))\n"
        "for name in untorn.__all__: getattr(untorn, name)\n"
        "print(libraries & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["set()", "set()", "{'numpy'}"]


def test_a_star_import_gives_the_public_names() -> None:
    code = "from untorn import *; print(snapshot, Permissions)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "<function snapshot" in done.stdout
