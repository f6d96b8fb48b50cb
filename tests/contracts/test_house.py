"""The house plan as tests: public names, layers, quick imports, files of a size that can be read."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import yolov7
from yolov7 import errors

SOURCE = Path(yolov7.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))


def test_public_names_are_those_and_all_load():
    assert yolov7.__all__ == sorted(yolov7._HOMES)
    assert set(yolov7.__all__) <= set(dir(yolov7))
    for name in yolov7.__all__:
        assert getattr(yolov7, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = yolov7.nothing


def test_every_public_name_has_a_docstring():
    assert [name for name in yolov7.__all__ if not getattr(yolov7, name).__doc__] == []


def test_every_error_is_in_the_tree_that_the_docstring_draws():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert all(issubclass(kind, errors.Yolov7Error) for kind in kinds)
    assert [kind.__name__ for kind in kinds if kind.__name__ not in (errors.__doc__ or "")] == []


@pytest.mark.parametrize("module", ["yolov7", "yolov7.cli"])
def test_importing_does_not_load_what_is_slow(module):
    slow = ("torch", "cv2", "av", "PIL", "faster_coco_eval", "numpy")
    code = f"import sys, {module}; print([name for name in {slow} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_loading_does_not_need_what_only_other_commands_need():
    code = (
        "import sys, yolov7; yolov7.load, yolov7.create\n"
        "print([n for n in ('faster_coco_eval', 'matplotlib', 'skimage', 'rich') if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_wheel_holds_every_file_that_is_no_module():
    settings = (SOURCE.parents[1] / "pyproject.toml").read_text()
    found = re.search(r"^\[tool.setuptools.package-data\]\nyolov7 = (\[.*\])$", settings, re.MULTILINE)
    assert found
    packed = {path for pattern in json.loads(found[1]) for path in SOURCE.glob(pattern)}
    others = {path for path in SOURCE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert packed == others


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_files_have_a_docstring_and_a_readable_size(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "no docstring"
    assert text.count("\n") <= 440
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [n.name for n in functions if (n.end_lineno or 0) - n.lineno >= 60] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_nothing_unpickles_evaluates_or_phones_home(path):
    """Names that would run what a file contains; urllib is for what a user asks to download."""
    tree = ast.parse(path.read_text())
    imported = {
        alias.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names
    }
    imported |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not imported & {"pickle", "marshal", "shelve", "dill", "requests"}
    called = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    assert not called & {"eval", "exec", "__import__"}
    loads = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n) == "torch.load"]
    assert not loads


def test_vendor_libraries_are_imported_late_and_by_their_own_runtime_alone():
    """Inside functions of runtimes/<runtime>*.py. Who else needs one goes through its Runtime."""
    from yolov7.runtimes.formats import FORMATS

    vendors = {
        module for runtime in FORMATS.values() for module in (*runtime.writes_with, *runtime.runs_with)
    }
    assert {"onnx", "onnxruntime", "openvino", "nncf", "ncnn", "coremltools"} <= vendors
    homes = {Path(sys.modules[type(runtime).__module__].__file__) for runtime in FORMATS.values()}
    runtimes = tuple(home.stem for home in homes)
    for path in FILES:
        tree = ast.parse(path.read_text())
        early = _imported(node for node in tree.body) & vendors
        assert not early, f"{path.name} imports {early} when it is imported"
        if path.parent != SOURCE / "runtimes" or not path.stem.startswith(runtimes):
            assert not _imported(ast.walk(tree)) & vendors, path.name


def _imported(nodes) -> set[str]:
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("folder", ["benchmarks", "tests"])
def test_what_tests_and_benchmarks_import_is_there(folder):
    """Inside functions too: there a name that has moved would be missed until that function runs."""
    missing = [
        f"{path}: {node.module}.{alias.name}"
        for path in sorted((SOURCE.parents[1] / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "yolov7"
        for alias in node.names
        if not _exists(node.module, alias.name)
    ]
    assert missing == []


def _exists(module: str, name: str) -> bool:
    if importlib.util.find_spec(module) is None:
        return False
    if hasattr(importlib.import_module(module), name):
        return True
    return importlib.util.find_spec(f"{module}.{name}") is not None


def test_knowing_the_formats_loads_no_vendor_library():
    code = (
        "import sys\nfrom yolov7.runtimes.formats import FORMATS\n"
        "used = {m for r in FORMATS.values() for m in (*r.writes_with, *r.runs_with)}\n"
        "print([module for module in used if module in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_architecture_page_names_every_room_and_files_that_exist():
    page = (SOURCE.parents[1] / "docs" / "architecture.md").read_text()
    picture = page.split("```")[1]
    rooms = {
        path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert {name for name in rooms if not name.startswith("__")} <= set(re.findall(r"\w+", picture))
    named = re.findall(r"`((?:\w+/)+\w+\.py|\w+\.py)`", page)
    assert len(named) > 15
    assert [name for name in named if not (SOURCE / name).exists()] == []
