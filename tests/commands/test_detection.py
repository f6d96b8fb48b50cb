"""`predict` and `val` on other runtimes and with reduced photos, as a user types them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.runtimes.lively import NAMES, lively, noise
from tests.sources.media import write_video
from yolov7.cli import main
from yolov7.commands.detection import PictureOptions
from yolov7.drawing import Style
from yolov7.results.output import SinkOptions


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("YOLOV7_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "lively.safetensors"
    lively().save(path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for i, (height, width) in enumerate([(300, 400), (400, 300), (90, 128), (128, 100)]):
        cv2.imwrite(str(folder / f"{i}.jpg"), noise(height, width, i))
    return folder


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def detections(directory: Path) -> dict[str, np.ndarray]:
    """Of each image, best first: x, y, width, height, score (of five decimals), label."""
    document = json.loads((directory / "detections.json").read_text())
    names = {image["id"]: image["file_name"] for image in document["images"]}
    found: dict[str, list[list[float]]] = {name: [] for name in names.values()}
    for entry in document["annotations"]:
        found[names[entry["image_id"]]].append([*entry["bbox"], entry["score"], entry["category_id"]])
    return {name: np.array(rows) for name, rows in found.items()}


def read_frames(path: Path) -> np.ndarray:
    with av.open(str(path)) as video:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)])


def test_predict_finds_the_same_on_another_runtime(weights, photos, tmp_path):
    """In the same order too, but that detections whose scores are equal up to rounding may change places."""
    assert run("predict", weights, photos, "--save", "json", "--out", tmp_path / "torch") == 0
    arguments = ("--save", "json", "--runtime", "openvino", "--out", tmp_path / "openvino")
    assert run("predict", weights, photos, *arguments) == 0
    wanted, found = detections(tmp_path / "torch"), detections(tmp_path / "openvino")
    assert list(found) == list(wanted)
    assert sum(map(len, wanted.values())) > 20
    equal = 0.02, 0.02, 0.02, 0.02, 1.5e-5, 0.5
    for name, rows in wanted.items():
        ours, theirs = (np.abs(rows - found[name][:, None]) < equal).all(axis=2).nonzero()
        assert sorted(ours) == sorted(theirs) == list(range(len(rows))), "one to one"
        assert np.abs(rows[ours, 4] - rows[theirs, 4]).max() < 1.5e-5, "another order than by score"


def test_reduced_photos_move_boxes_a_little(weights, photos, tmp_path):
    assert run("predict", weights, photos, "--save", "json,txt", "--out", tmp_path / "whole") == 0
    arguments = ("--reduced", "--save", "json,txt", "--out", tmp_path / "reduced")
    assert run("predict", weights, photos, *arguments) == 0
    wanted, found = detections(tmp_path / "whole"), detections(tmp_path / "reduced")
    np.testing.assert_array_equal(found["2.jpg"], wanted["2.jpg"])  # too small to be reduced
    assert len(found["0.jpg"]) > 0
    assert found["0.jpg"][:, :2].max() > 150  # in pixels of the whole photo
    sizes = json.loads((tmp_path / "reduced" / "detections.json").read_text())["images"]
    assert [(image["height"], image["width"]) for image in sizes[:2]] == [(300, 400), (400, 300)]
    fractions = np.loadtxt(tmp_path / "reduced" / "txt" / "0.txt", ndmin=2)[:, 1:5]
    assert 0 < fractions.max() <= 1


def test_reduced_photos_are_not_for_pictures(weights, photos, tmp_path, capsys):
    assert run("predict", weights, photos, "--reduced", "--out", tmp_path / "out") == 2
    assert "--save txt,json,csv" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_blurred_runs_keep_no_detail_in_boxes(weights, tmp_path):
    """In no kind of result: noise leaves at most the outlines and 8 cells across."""
    grain = np.random.default_rng(0).integers(0, 90, (300, 400, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), noise(300, 400) // 2 + grain)
    write_video(tmp_path / "clip.mp4", 2, size=(240, 320), grain=60)
    options = "--save", "pictures,crops,video,json", "--hide-labels", "--hide-scores", "--line-width", 1
    sources = tmp_path / "a.png", tmp_path / "clip.mp4"
    for name in ("plain", "blurred"):
        arguments = ("--blur",) * (name == "blurred")
        assert run("predict", weights, *sources, *options, *arguments, "--out", tmp_path / name) == 0
    plain, blurred = (detections(tmp_path / name) for name in ("plain", "blurred"))
    np.testing.assert_array_equal(plain["a.png"], blurred["a.png"])
    assert len(blurred["a.png"]) > 2
    assert len(blurred["clip.mp4"]) > 2
    crops = sorted((tmp_path / "blurred" / "crops").rglob("*.png"))
    assert len(crops) == len(list((tmp_path / "plain" / "crops").rglob("*.png"))) > 2
    for path in [*crops, tmp_path / "blurred" / "pictures" / "a.png"]:
        kept = cv2.imread(str(path)).astype(int)
        before = cv2.imread(str(tmp_path / "plain" / path.relative_to(tmp_path / "blurred"))).astype(int)
        assert before.shape == kept.shape
        assert np.abs(np.diff(kept, axis=1)).sum() <= 0.6 * np.abs(np.diff(before, axis=1)).sum()
    videos = [read_frames(tmp_path / name / "video" / "clip.mp4") for name in ("plain", "blurred")]
    detail = [np.abs(np.diff(frames.astype(int), axis=2)).sum() for frames in videos]
    assert detail[1] < 0.8 * detail[0]


def test_every_option_of_pictures_reaches_them():
    assert PictureOptions(hide_labels=True).for_sinks() == SinkOptions(Style(labels=False))
    assert PictureOptions(hide_scores=True).for_sinks() == SinkOptions(Style(scores=False))
    assert PictureOptions(2.0, blur=True).for_sinks() == SinkOptions(Style(2.0, blur=True))
    assert PictureOptions(only_found=True).for_sinks() == SinkOptions(only_found=True)


def test_nothing_to_blur_is_an_error(photos, capfd):
    assert run("predict", "best.pt", photos, "--blur", "--save", "txt,json") == 2
    assert "nothing to blur" in capfd.readouterr().err


def test_val_measures_the_same_on_another_runtime(weights, photos, tmp_path):
    """The labels are what torch finds."""
    assert run("predict", weights, photos, "--save", "txt", "--out", tmp_path / "found") == 0
    shutil.copytree(photos, tmp_path / "images" / "val")
    (tmp_path / "labels" / "val").mkdir(parents=True)
    for file in (tmp_path / "found" / "txt").iterdir():
        lines = [line.rsplit(" ", 1)[0] for line in file.read_text().splitlines()]
        (tmp_path / "labels" / "val" / file.name).write_text("\n".join(lines))
    data = tmp_path / "data.yaml"
    data.write_text(f"path: {tmp_path}\nval: images/val\nnames: {list(NAMES)}\n")
    metrics = []
    for runtime in ("torch", "openvino"):
        file = tmp_path / f"{runtime}.json"
        assert run("val", weights, data, "--runtime", runtime, "--json", file) == 0
        metrics.append(json.loads(file.read_text()))
    assert metrics[0]["APl"] > 0.1  # evaluation scales images otherwise, which these weights mind
    for name in ("AP", "AP50", "APm", "APl", "AR100"):
        assert metrics[1][name] == pytest.approx(metrics[0][name], abs=1e-3)


def test_an_unknown_runtime_is_wrong_usage(weights, photos, capsys):
    assert run("predict", weights, photos, "--runtime", "abacus") == 2
    assert "openvino" in capsys.readouterr().err
