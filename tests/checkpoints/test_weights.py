"""One resolver of what people type for weights, behind every command."""

from __future__ import annotations

import pytest

from tests.tensor_files.test_strangers import FILES
from yolov7.checkpoints.weights import find_weights, is_dataset
from yolov7.errors import CheckpointError, DownloadError


def test_a_file_is_itself(tmp_path):
    path = tmp_path / "yolov7.pt"
    path.touch()
    assert find_weights(path, say=pytest.fail) == path


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        (["last.safetensors", "best.safetensors", "state.safetensors"], "best.safetensors"),
        (["last.safetensors", "config.json"], "last.safetensors"),
        (["weights/last.pt", "weights/best.pt", "opt.yaml"], "weights/best.pt"),
    ],
)
def test_the_folder_of_a_run_stands_for_its_best_weights_and_says_so(tmp_path, there, taken):
    for name in there:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    said: list[str] = []
    assert find_weights(tmp_path, say=said.append) == tmp_path / taken
    assert said == [f"{tmp_path}: {taken} is used"]


def test_another_folder_is_left_to_who_knows_it(tmp_path):
    (tmp_path / "best.openvino").mkdir()
    assert find_weights(tmp_path / "best.openvino", say=pytest.fail) == tmp_path / "best.openvino"


def test_a_released_name_is_told_with_its_licence_and_fetched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YOLOV7_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("YOLOV7_OFFLINE", "1")
    said: list[str] = []
    with pytest.raises(DownloadError, match="switched off"):
        find_weights("yolov7.pt", say=said.append)
    assert "GPL-3.0" in said[0]
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/yolov7.pt").touch()
    assert find_weights("yolov7.pt", say=said.append) == tmp_path / "cache/yolov7.pt"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("yolov7-tiny", ["yolov7-tiny.pt", "--fresh", "fresh=True"]),
        ("yolov7", ["v7.pt", "yolov7.pt", "yolov7_training.pt", "--fresh"]),
        ("yolov4-csp", ["a weight file", "--fresh"]),
    ],
)
def test_the_name_of_a_network_stands_for_no_weights(tmp_path, monkeypatch, name, wanted):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="name of a network") as caught:
        find_weights(name)
    assert all(word in str(caught.value) for word in wanted)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("bset.safetensors", "best.safetensors"), ("yolov7x", "yolov7x.pt"), ("runs/none", None)],
)
def test_what_is_not_there_names_what_is_near(tmp_path, monkeypatch, typed, meant):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best.safetensors").touch()
    with pytest.raises(CheckpointError, match="no such weight file") as caught:
        find_weights(typed)
    assert ("did you mean" in str(caught.value)) == (meant is not None)
    assert meant is None or f"did you mean {meant}?" in str(caught.value)


def test_what_doctor_takes_for_a_data_set(tmp_path):
    assert is_dataset(tmp_path)
    for name, (content, _) in FILES.items():
        (tmp_path / name).write_bytes(content)
    assert is_dataset(tmp_path / "data.yaml")
    assert is_dataset(tmp_path / "missing.json")
    assert not is_dataset(tmp_path / "net.yaml")
    assert not is_dataset(tmp_path / "yolov7.cfg")
    (tmp_path / "best.safetensors").touch()
    assert not is_dataset(tmp_path)
