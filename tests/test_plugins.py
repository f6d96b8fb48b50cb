"""Parts of one's own: found where a person registered them, and never imported because a file says so."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import pytest

from tests import own_parts
from yolov7 import plugins
from yolov7.errors import UsageError


def test_what_is_registered_is_found_by_its_import_path() -> None:
    assert plugins.register(own_parts.Gated) is own_parts.Gated
    assert plugins.import_path(own_parts.Gated) == "tests.own_parts:Gated"
    assert plugins.registered("tests.own_parts:Gated") is own_parts.Gated


@pytest.mark.parametrize("path", ["os:system", "subprocess:Popen", "antigravity:x", "os", ":", "", "a:b:c"])
def test_a_path_is_never_imported(path: str) -> None:
    before = set(sys.modules)
    assert plugins.registered(path) is None
    assert set(sys.modules) == before


def test_what_has_no_import_path_is_refused() -> None:
    class Local:
        pass

    for part in (Local, lambda: None, functools.partial(print)):
        assert not plugins.has_import_path(part)
        with pytest.raises(UsageError, match="top of a module"):
            plugins.register(part)
        plugins.adopt(part)  # what files cannot name may still be used


def test_the_environment_names_modules_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a module only what it defines itself: its imports are nobody's to name."""
    path = tmp_path / "my_parts.py"
    path.write_text("from os import system\nfrom torch import nn\nclass Mine(nn.Module): pass\n")
    monkeypatch.setenv(plugins.ENVIRONMENT, f"{path},json.decoder")
    assert plugins.registered("my_parts:Mine").__name__ == "Mine"
    assert plugins.registered("json.decoder:JSONDecoder") is not None
    assert plugins.registered("my_parts:system") is None
    assert plugins.registered("my_parts:nn.Module") is None
    monkeypatch.setenv(plugins.ENVIRONMENT, "no_such_module")
    with pytest.raises(UsageError, match=r"YOLOV7_PARTS.*\n.*no_such_module"):
        plugins.registered("no_such_module:X")
