"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from yolov7.errors import OutputError
from yolov7.files import (
    complete,
    exists,
    is_file,
    is_folder,
    new_run_directory,
    partial_path,
    replacing,
    safe_name,
    write_file,
)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device"), ValueError()])
def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException):
    path = tmp_path / "weights"
    write_file(path, b"old")

    def break_off() -> None:
        with replacing(path) as partial:
            partial.write_bytes(b"half")
            raise error

    with pytest.raises(OutputError if isinstance(error, OSError) else type(error)):
        break_off()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_appears_when_it_is_whole(tmp_path: Path):
    path = tmp_path / "new" / "folder" / "state"
    with replacing(path, sync=True) as partial:
        partial.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_in_the_way_is_an_error_that_names_it(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot be written") as raised:
        write_file(tmp_path / "file" / "below", b"")
    assert raised.value.file == os.fspath(tmp_path / "file" / "below")


@pytest.mark.parametrize("name", ["x" * 255, "图" * 85, "é" * 125 + ".jpg"])
def test_the_longest_names_can_be_written(tmp_path: Path, name: str):
    write_file(tmp_path / name, b"1")
    partial_path(tmp_path / name).write_bytes(b"2")
    complete(tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"2"


@pytest.mark.parametrize("name", ["x" * 300, "图" * 300, "👩" * 80, "a/../b", "nul.txt", "..", "\ud800"])
def test_a_safe_name_with_an_ending_can_be_written_and_stays_in_its_folder(tmp_path: Path, name: str):
    safe = safe_name(name, "image")
    write_file(tmp_path / f"{safe}-12345.detections.json", b"")
    assert (tmp_path / f"{safe}-12345.detections.json").parent == tmp_path
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "safe"),
    [("LPT1", "_LPT1"), ("com9.txt", "_com9.txt"), ("lpt10", "lpt10"), (" a. .", "a"), (". .", "image")],
)
def test_names_that_windows_reads_otherwise(name: str, safe: str):
    assert safe_name(name, "image") == safe


def test_a_run_directory_is_new_or_empty(tmp_path: Path):
    wanted = tmp_path / "runs"
    made = [new_run_directory(wanted) for _ in range(2)]
    assert made == [wanted, wanted]
    (wanted / "x").write_bytes(b"")
    assert new_run_directory(wanted) == tmp_path / "runs-2"


@pytest.mark.parametrize("name", ["a" * 300, f"{'a' * 300}/b", "a\0b"], ids=["long", "folder", "NUL"])
def test_what_can_be_no_name_is_not_there(tmp_path, name):
    assert not any(ask(tmp_path / name) for ask in (is_file, is_folder, exists))
    (tmp_path / "a").write_bytes(b"")
    assert is_file(tmp_path / "a")
    assert is_folder(str(tmp_path))
    assert exists(tmp_path / "a")


def test_questions_about_a_path_take_paths_and_spell_them_as_pathlib_does(tmp_path, monkeypatch):
    (tmp_path / "recipe.json").write_bytes(b"{}")
    assert is_file(f"{tmp_path}/recipe.json/")
    assert exists(f"{tmp_path}/recipe.json/.")
    monkeypatch.chdir(tmp_path)
    assert is_folder("")
    for ask in (is_file, is_folder, exists):
        with pytest.raises(TypeError):
            ask(1)  # a number is no open file's
