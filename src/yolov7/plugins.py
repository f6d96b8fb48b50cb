"""Classes and functions of a user's own that files may refer to by their import path.

A checkpoint or a recipe says ``my_blocks:Gated``. Nothing is ever imported because a file says so: the path
is looked up among the parts that this process was given by :func:`register`, by making or training a network
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
"""Modules, or .py files, with parts of a user's own, separated by commas: for the command line."""

Part = TypeVar("Part")

_registered: dict[str, Any] = {}
_imported: set[str] = set()


def register(part: Part) -> Part:
    """Let checkpoints and recipes refer to a class or function of your own; usable as a decorator.

    Args:
        part: a block, transition, pooling, output, activation or head of an Architecture, or a guidance or a
            loss of a Recipe; defined at the top of a module.

    Raises:
        UsageError: it has no import path.

    >>> from yolov7.models.blocks import ELAN
    >>> @register
    ... class Deeper(ELAN):
    ...     pass
    """
    _registered[import_path(part)] = part
    return part


def adopt(*parts: Any) -> None:
    """Register parts that a user passed by value, where they have an import path."""
    for part in parts:
        if has_import_path(part):
            register(part)


def has_import_path(part: Any) -> bool:
    """Whether a class or function is defined at the top of a module."""
    name = getattr(part, "__qualname__", "<none>")
    return "<" not in name and bool(getattr(part, "__module__", None))


def import_path(part: Any) -> str:
    """Name of a class or function in files: ``my_blocks:Gated``; a script's is called as its file.

    Raises:
        UsageError: it is a lambda, a partial, or defined inside of a function.
    """
    if not has_import_path(part):
        raise UsageError(
            "a part of one's own that no file can refer to",
            expected="a class or function defined at the top of a module",
            found=getattr(part, "__qualname__", repr(part)),
        )
    return f"{_module_name(part.__module__)}:{part.__qualname__}"


def registered(path: str) -> Any:
    """The part that a file names, None if this process was not given it.

    Raises:
        UsageError: YOLOV7_PARTS names a module that fails to import.
    """
    for entry in filter(None, os.environ.get(ENVIRONMENT, "").split(",")):
        if entry not in _imported:
            _register_all_of(_import(entry.strip()))
            _imported.add(entry)
    return _registered.get(path)


def how_to_register(path: str) -> str:
    """Advice for a path that :func:`registered` does not know."""
    module, _, name = path.partition(":")
    return (
        f"`from {module} import {name.partition('.')[0]}; yolov7.register({name})` before, "
        f"or {ENVIRONMENT}={module} in the environment"
    )


def assignment_for(parts: Iterable[Any]) -> str:
    """Words before a command that give it some parts: ``YOLOV7_PARTS=my_blocks ``; none for ours."""
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
    except Exception as error:  # whatever a module of somebody's raises
        raise UsageError(
            f"{ENVIRONMENT} names a module that fails to import", found=f"{entry}: {error!r}"
        ) from error
    return module


def _register_all_of(module: ModuleType) -> None:
    for value in list(vars(module).values()):
        if (isclass(value) or isfunction(value)) and value.__module__ == module.__name__:
            adopt(value)
