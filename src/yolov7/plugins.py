"""User-defined classes and functions, to which files refer by import path.

A checkpoint or a recipe says ``my_blocks:Gated``. Nothing is ever imported because a file says so: the path
is looked up among the parts that the user registered, by :func:`register`, by making or training a network
with them, or by the environment variable YOLOV7_PARTS.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from inspect import isclass, isfunction
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from yolov7.errors import UsageError

ENVIRONMENT = "YOLOV7_PARTS"
"""Environment variable with modules or .py files to register, separated by commas."""

Part = TypeVar("Part")

_registered: dict[str, Any] = {}
_imported: set[str] = set()


def register(part: Part) -> Part:
    """Register a class or function so that checkpoints and recipes can refer to it; usable as a decorator.

    Args:
        part: a block, transition, pooling, output, activation or head of an Architecture, or a guidance or a
            loss of a Recipe; defined at the top of a module.

    Raises:
        UsageError: the part has no import path.

    >>> from yolov7.models.blocks import ELAN
    >>> @register
    ... class Deeper(ELAN):
    ...     pass
    """
    _registered[import_path(part)] = part
    return part


def adopt(*parts: Any) -> None:
    """Register those of the parts that have an import path."""
    for part in parts:
        if has_import_path(part):
            register(part)


def has_import_path(part: Any) -> bool:
    """Test if a class or function is defined at the top of a module."""
    name = getattr(part, "__qualname__", "<none>")
    return "<" not in name and bool(getattr(part, "__module__", None))


def import_path(part: Any) -> str:
    """Name of a class or function in files: ``my_blocks:Gated``; the module of a script is its file name.

    Raises:
        UsageError: a lambda, a partial, or a local function or class.
    """
    if not has_import_path(part):
        raise UsageError(
            "no import path: files cannot refer to this part",
            expected="a class or function defined at the top of a module",
            found=getattr(part, "__qualname__", repr(part)),
        )
    return f"{_module_name(part.__module__)}:{part.__qualname__}"


def registered(path: str) -> Any:
    """Look up a part by import path; None if it is not registered.

    Raises:
        UsageError: YOLOV7_PARTS names a module that fails to import.
    """
    for entry in filter(None, os.environ.get(ENVIRONMENT, "").split(",")):
        if entry not in _imported:
            _register_all_of(_import(entry.strip()))
            _imported.add(entry)
    return _registered.get(path)


def how_to_register(path: str) -> str:
    """Advice for a part that is not registered."""
    module, _, name = path.partition(":")
    return (
        f"`from {module} import {name.partition('.')[0]}; yolov7.register({name})` before, "
        f"or {ENVIRONMENT}={module} in the environment"
    )


def assignment_for(parts: Iterable[Any]) -> str:
    """Shell prefix that registers parts for a command: ``YOLOV7_PARTS=my_blocks ``; empty if built-in."""
    paths = [import_path(part) for part in parts if has_import_path(part)]
    modules = dict.fromkeys(path.partition(":")[0] for path in paths)
    own = [name for name in modules if name.partition(".")[0] not in ("yolov7", "torch")]
    return f"{ENVIRONMENT}={','.join(own)} " if own else ""


def _module_name(name: str) -> str:
    if name != "__main__":
        return name
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    return spec.name if spec is not None else Path(getattr(main, "__file__", None) or name).stem


def _import(entry: str) -> ModuleType:
    try:
        if not entry.endswith(".py"):
            return import_module(entry)
        spec = spec_from_file_location(Path(entry).stem, entry)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    except Exception as error:  # a user's module may raise anything
        raise UsageError(
            f"{ENVIRONMENT} names a module that fails to import", found=f"{entry}: {error!r}"
        ) from error
    return module


def _register_all_of(module: ModuleType) -> None:
    for value in list(vars(module).values()):
        if (isclass(value) or isfunction(value)) and value.__module__ == module.__name__:
            adopt(value)
