"""Contents of a pickle, none of it run: plain data, tensors, and `Foreign` objects.

tree = None | bool | int | float | complex | str | bytes | bytearray | slice | torch.dtype
     | Tensor | numpy array | Symbol
     | list | tuple | dict | set | frozenset of trees
     | Foreign (args, state, contents: trees)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from torch import Tensor

from yolov7.errors import DamagedCheckpointError
from yolov7.text import printable

MAX_DEPTH = 100
"""Deepest nesting of containers and of modules; real checkpoints need about 10."""
MAX_VALUES = 4_000_000
"""Most containers and leaves of a value when everything it shares is written out."""
MAX_VISITS = 200_000
"""Most modules and tensors in a walk over a network."""
MAX_TENSORS = 20_000
"""Most tensors of a network; the largest of ours has 1,489."""
MAX_NAME = 512
"""Longest name of a tensor, in characters, with the names of the modules around it."""


@dataclass(frozen=True)
class Symbol:
    """Name of a class or a function in a file; nothing was imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Foreign:
    """Record of an object whose class is not run.

    Attributes:
        module, name: class of the object, such as ``models.yolo`` and ``Model``.
        args: arguments of its constructor.
        state: its state, most often its ``__dict__``; None without one.
        contents: its items, if the class is a kind of dict or list; None without.
    """

    __slots__ = ("args", "contents", "module", "name", "state")

    def __init__(self, symbol: Symbol, args: tuple[object, ...] = ()) -> None:
        self.module = symbol.module
        self.name = symbol.name
        self.args = args
        self.state: object = None
        self.contents: dict[object, object] | list[object] | None = None

    def __repr__(self) -> str:
        return f"<Foreign {self.module}.{self.name}>"


def name_of(value: object) -> str:
    """Dotted name of a symbol; empty for any other value, whose text could be endless."""
    return str(value) if isinstance(value, Symbol) else ""


def describe(value: object) -> str:
    """Describe a value in a few words, however large or nested it may be."""
    if isinstance(value, Symbol):
        return printable(value)
    if isinstance(value, Foreign):
        return printable(f"an object of {value.module}.{value.name}")
    if isinstance(value, str):
        return f"text '{printable(value, 40)}'"
    if isinstance(value, bool | int | float | complex) or value is None:
        return printable(value)
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, bytes | bytearray | list | tuple | dict | set | frozenset):
        return f"a {type(value).__name__} of length {len(value)}"
    return f"a {type(value).__name__}"


def children(node: object) -> Collection[object]:
    """Trees directly inside a tree. Keys of dicts and members of sets are leaves."""
    if isinstance(node, dict):
        return node.values()
    if isinstance(node, list | tuple):
        return node
    if isinstance(node, Foreign):
        return (node.args, node.state, node.contents)
    return ()


def walk(root: object) -> Iterator[object]:
    """Visit every object of a tree once, nearest first, even if it shares objects or contains itself."""
    seen = {id(root)}
    queue = deque([root])
    while queue:
        node = queue.popleft()
        yield node
        for child in children(node):
            if id(child) not in seen:
                seen.add(id(child))
                queue.append(child)


def check_finite(root: object) -> None:
    """Make sure that a naive walk over the plain data of a tree comes to an end, and soon.

    Lists, tuples and dicts must not contain themselves, nest deeper than `MAX_DEPTH`, or grow beyond
    `MAX_VALUES` when written out (a list of ten times the same list of ten times ... is small in memory
    only). Foreign objects count as leaves, since modules may well refer to each other in circles; each is
    checked as a tree of its own, and the chain that leads to it may not be longer than `MAX_DEPTH` either.

    Raises: DamagedCheckpointError: one of these limits is exceeded.
    """
    measured: dict[int, tuple[int, int] | None] = {}
    known: set[int] = set()
    level: list[object] = [root]
    for _ in range(MAX_DEPTH):
        met: list[Foreign] = []
        for node in level:
            _measure(node, 1, measured, met)
        level = []
        for foreign in met:
            if id(foreign) not in known:
                known.add(id(foreign))
                level += children(foreign)
        if not level:
            return
    raise DamagedCheckpointError(
        "holds objects inside each other without end", expected=f"at most {MAX_DEPTH}"
    )


def _measure(
    node: object, level: int, measured: dict[int, tuple[int, int] | None], met: list[Foreign]
) -> tuple[int, int]:
    """Depth of a tree, and its number of values when written out.

    Args:
        node: root of the tree.
        level: number of containers around the tree, itself included; bounds the recursion.
        measured: results by the id of a container, None while it is being measured.
        met: takes the foreign objects of the tree.
    """
    if isinstance(node, Foreign):
        met.append(node)
    if not isinstance(node, list | tuple | dict):
        return 0, 1
    if id(node) not in measured:
        measured[id(node)] = None
        depth, values = 1, 1
        for child in children(node) if level <= MAX_DEPTH else ():
            below, more = _measure(child, level + 1, measured, met)
            depth, values = max(depth, 1 + below), values + more
        if max(level, depth) > MAX_DEPTH:
            raise DamagedCheckpointError(
                "holds lists or dicts nested too deep", expected=f"at most {MAX_DEPTH} inside each other"
            )
        if values > MAX_VALUES:
            raise DamagedCheckpointError(
                "holds a small value that stands for a huge one (lists that share lists)",
                expected=f"at most {MAX_VALUES} values when written out",
            )
        measured[id(node)] = depth, values
    if (size := measured[id(node)]) is None:
        raise DamagedCheckpointError(f"holds a {type(node).__name__} that contains itself")
    return size


def is_module(node: object) -> bool:
    """True if this is the record of a ``torch.nn.Module``."""
    state = node.state if isinstance(node, Foreign) else None
    return isinstance(state, dict) and all(
        isinstance(state.get(part), dict) for part in ("_parameters", "_buffers", "_modules")
    )


def state_dict_of(node: object) -> dict[str, Tensor] | None:
    """Tensors by name of a module or of a plain state dict; None if `node` is neither.

    Names and order of a module's tensors are those of ``Module.state_dict()``: parameters, persistent
    buffers, then those of each submodule, in the order of registration.

    Raises:
        DamagedCheckpointError: a module that contains itself, an entry that is not a tensor, or more tensors
            or longer names than any network has.
    """
    if isinstance(node, dict):
        if not node or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in node.items()):
            return None
        check_count(node)
        return {_joined("", name): value for name, value in node.items() if isinstance(value, Tensor)}
    if not is_module(node):
        return None
    tensors: dict[str, Tensor] = {}
    visits = 0
    # Children are pushed in reverse, so that the stack gives them back in the order of registration.
    pending: list[tuple[str, object, int]] = [("", node, 0)]
    while pending:
        prefix, module, depth = pending.pop()
        if not isinstance(module, Foreign) or not is_module(module):
            raise DamagedCheckpointError(
                f"submodule {printable(prefix)} is not a module", found=describe(module)
            )
        if depth > MAX_DEPTH:
            raise DamagedCheckpointError("holds a module that contains itself", found=describe(module))
        parameters, buffers, submodules = _parts(module)
        visits += 1 + len(parameters) + len(buffers) + len(submodules)
        if visits > MAX_VISITS:
            raise DamagedCheckpointError("holds modules that share modules without end")
        for name, value in (*parameters.items(), *buffers.items()):
            if value is None:
                continue
            if not isinstance(value, Tensor):
                raise DamagedCheckpointError(
                    f"{printable(prefix)}{printable(name, 100)} is not a tensor", found=describe(value)
                )
            tensors[_joined(prefix, name)] = value
        check_count(tensors)
        pending += [
            (_joined(prefix, name) + ".", child, depth + 1)
            for name, child in reversed(submodules.items())
            if child is not None
        ]
    return tensors


def check_count(tensors: Collection[object]) -> None:
    """Check the number of tensors. Raises: DamagedCheckpointError: more than any network has."""
    if len(tensors) > MAX_TENSORS:
        raise DamagedCheckpointError(
            "holds more tensors than any network",
            expected=f"at most {MAX_TENSORS:,}",
            found=f"{len(tensors):,}",
        )


def _parts(module: Foreign) -> tuple[dict[object, object], dict[object, object], dict[object, object]]:
    """Parameters, persistent buffers and submodules of a module."""
    state = module.state
    assert isinstance(state, dict)  # is_module
    temporary = state.get("_non_persistent_buffers_set")
    if not isinstance(temporary, set | frozenset):
        temporary = frozenset()
    buffers = {name: value for name, value in state["_buffers"].items() if name not in temporary}
    return state["_parameters"], buffers, state["_modules"]


def _joined(prefix: str, name: object) -> str:
    if not isinstance(name, str) or len(prefix) + len(name) > MAX_NAME:
        raise DamagedCheckpointError(
            "holds a module or a tensor with an impossible name",
            expected=f"text of at most {MAX_NAME} characters",
            found=describe(name) if not prefix else f"{describe(name)} behind {len(prefix)} characters",
        )
    return prefix + name


def attributes_of(foreign: Foreign) -> dict[str, object]:
    """Attributes that the author of a class gave an object: ``names``, ``yaml``, ``nc``, ``stride``, ...

    torch's own (parameters, buffers, submodules, hooks: names that begin with an underscore) are left out.
    """
    state = foreign.state
    # The state of a class with __slots__ has two parts: __dict__ or None, and the slots.
    parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
    found: dict[str, object] = {}
    for part in parts:
        if isinstance(part, dict):
            found |= {k: v for k, v in part.items() if isinstance(k, str) and not k.startswith("_")}
    return found
