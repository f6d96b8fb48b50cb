"""TorchScript archives, read without torch's own loader: modules, constants, and the code of methods.

    code/__torch__/PACKAGE.py   classes, whose methods are parsed as Python and never executed
    data.pkl, data/             the tree of modules and their tensors
    constants.pkl, constants/   tensors that the code names

torch's loader would execute the code, which may read and write files. The trace of a network is a list of
operations and becomes a :class:`~yolov7.untrusted.program.Program`; all other code is refused.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from yolov7.errors import CheckpointError, DamagedCheckpointError
from yolov7.tensor_files.archive import Archive
from yolov7.tensor_files.torch_files import read_pickle
from yolov7.tensor_files.tree import Foreign
from yolov7.text import printable
from yolov7.untrusted.program import Builder, Program, Register, size_of
from yolov7.untrusted.values import damaged

MAX_CODE = 2**20
"""Most code that is read, bytes; the largest network has 384 KB."""
MAX_DEPTH = 40
"""Deepest nesting of modules."""
_MAX_LINE = 20_000
_FORWARD = re.compile(r"forward\d*")
"""Methods of modules; one that is called several times has several."""


def read_program(archive: Archive) -> Program:
    """Read the network of a checked TorchScript archive.

    Raises:
        UnsafeCheckpointError: it does what no network of this package does.
        DamagedCheckpointError: it makes no sense.
    """
    with damaged("the code in it makes no sense"):
        root = read_pickle(archive)
        constants = read_pickle(archive, "constants")
        if not isinstance(root, Foreign) or not isinstance(constants, list | tuple):
            raise DamagedCheckpointError("holds no network")
        code = _Code(archive, Builder(), constants)
        image = code.builder.register()
        result = code.inline(root, [image], 0)
    if not isinstance(result, Register):
        raise code.builder.refused("a result that is no tensor")
    return Program(code.builder.steps, image, result)


@dataclass
class _Code:
    """The classes of an archive, each parsed when first needed, and the program made of them."""

    archive: Archive
    builder: Builder
    constants: list[Any] | tuple[Any, ...]
    _left: int = MAX_CODE
    _files: dict[str, dict[tuple[str, str], ast.FunctionDef]] = field(default_factory=dict)

    def inline(self, module: Foreign, arguments: list[Any], depth: int, method: str = "forward") -> Any:
        """Add the steps of a module's method, and return its result: a value or a register."""
        if depth > MAX_DEPTH:
            raise self.builder.refused(f"modules that are nested more than {MAX_DEPTH} deep")
        forward = self._method(module, method)
        names = [argument.arg for argument in forward.args.args]
        if len(names) != len(arguments) + 1:
            raise self.builder.refused("a call with another number of arguments than are taken")
        scope = dict(zip(names, [module, *arguments], strict=True))
        return _Method(self, scope, depth).run(forward.body)

    def _method(self, module: Foreign, method: str) -> ast.FunctionDef:
        file = f"code/{module.module.replace('.', '/')}.py"
        if not module.module.startswith("__torch__"):
            raise self.builder.refused(f"an object of {printable(module.module, 80)}")
        if file not in self._files:
            self._files[file] = self._parse(file)
        if (found := self._files[file].get((module.name, method))) is None:
            raise self.builder.refused(f"no method {printable(f'{module.name}.{method}', 80)}")
        return found

    def _parse(self, file: str) -> dict[tuple[str, str], ast.FunctionDef]:
        """Methods of all classes in a file, by class and name."""
        content = self.archive.read(f"{self.archive.folder}/{file}", self._left)
        self._left -= len(content)
        text = content.decode("ascii", "strict")
        if any(len(line) > _MAX_LINE for line in text.splitlines()):
            raise self.builder.refused("a line of code of absurd length")
        with damaged(f"{printable(file, 80)} is no code", None, SyntaxError, MemoryError):
            parsed = ast.parse(text)
        return {
            (one.name, method.name): method
            for one in parsed.body
            if isinstance(one, ast.ClassDef)
            for method in one.body
            if isinstance(method, ast.FunctionDef)
        }


@dataclass
class _Method:
    """A method, and the values of its names: registers, plain values, modules, lists of them."""

    code: _Code
    scope: dict[str, Any]
    depth: int

    def run(self, body: list[ast.stmt]) -> Any:
        """Add the steps of a method's body, and return its result."""
        for statement in body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)]):
                    self.scope[name] = self.value(statement.value)
                case ast.Assign(targets=[ast.Tuple(elts=targets)]):
                    names = [target.id for target in targets if isinstance(target, ast.Name)]
                    if len(names) != len(targets):
                        raise self._refused(statement)
                    values = self.code.builder.parts(self.value(statement.value), len(names))
                    self.scope.update(zip(names, values, strict=True))
                case ast.Return(value=ast.expr() as value):
                    return self.value(value)
                case _:
                    raise self._refused(statement)
        raise self.code.builder.refused("a method without a result")

    def value(self, node: ast.expr) -> Any:
        """Value of an expression. Calls add steps."""
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None as value):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return -number
            case ast.Name(id=name) if name in self.scope:
                return self.scope[name]
            case ast.List(elts=elements):
                return [self.value(element) for element in elements]
            case ast.Tuple(elts=elements):
                return tuple(self.value(element) for element in elements)
            case ast.Attribute(value=ast.Name(id="CONSTANTS"), attr=name) if name[1:].isdecimal():
                return self.code.constants[int(name[1:])]
            case ast.Attribute(value=owner, attr=name):
                return self._attribute(node, owner, name)
            case ast.Call():
                return self._call(node)
        raise self._refused(node)

    def _attribute(self, node: ast.expr, owner: ast.expr, name: object) -> Any:
        """A module's member: a module, a tensor, or plain."""
        module = self.value(owner)
        if not isinstance(module, Foreign) or not isinstance(module.state, dict):
            raise self._refused(node)
        member = module.state[name]
        if not isinstance(member, Foreign | Tensor | bool | int | float | str | None):
            raise self._refused(node)
        return member

    def _call(self, node: ast.Call) -> Any:
        builder, arguments = self.code.builder, node.args
        match node.func, arguments:
            case ast.Name(id="getattr"), [owner, ast.Constant(value=str() as name)]:
                return self._attribute(node, owner, name)
            case ast.Name(id="annotate"), [ast.Name(id="number"), value]:
                return builder.add(_number, (self.value(value),))[0]
            case ast.Name(id="annotate"), [_, value]:
                return self.value(value)
            case ast.Name(id="int"), [value]:
                return builder.add(int, (self.value(value),))[0]
            case ast.Attribute(value=owner, attr=name), _ if _FORWARD.fullmatch(name) and not node.keywords:
                if isinstance(module := self.value(owner), Foreign):
                    values = [self.value(one) for one in arguments]
                    return self.code.inline(module, values, self.depth + 1, name)
            case ast.Attribute(
                value=ast.Attribute(value=ast.Name(id="ops"), attr="prim"), attr="NumToTensor"
            ), [value]:
                return builder.add(torch.tensor, (self.value(value),))[0]
            case ast.Attribute(value=ast.Name(id="torch"), attr=name), _ if "torch" not in self.scope:
                return self._operation(node, name)
        raise self._refused(node)

    def _operation(self, node: ast.Call, name: str) -> Any:
        builder = self.code.builder
        arguments = [self.value(argument) for argument in node.args]
        keywords = {word.arg: self.value(word.value) for word in node.keywords if word.arg is not None}
        if len(keywords) != len(node.keywords) or any(isinstance(one, Foreign) for one in arguments):
            raise self._refused(node)
        if name == "device" and arguments == ["cpu"]:
            return torch.device("cpu")
        if name == "size" and len(arguments) == 2:
            return builder.add(size_of, arguments)[0]
        return builder.operation(name, arguments, keywords)[0]

    def _refused(self, node: ast.AST) -> CheckpointError:
        kind = type(node).__name__.lower()
        shown = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        return self.code.builder.refused(f"a {kind} {printable(shown, 80)}".rstrip())


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value
