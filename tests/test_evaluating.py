"""Any checkpoint on any data set: the numbers, from the outside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import yolov7
from tests.formats.small_sets import coco_content, write_coco, write_image
from yolov7.cli import main
from yolov7.errors import DataError
from yolov7.evaluating import evaluate
from yolov7.models.detector import create

SKIMAGE_BOXES = {  # drawn by hand around what is unmistakable: x, y, width, height, category
    "chelsea": [(0, 0, 451, 300, 17)],
    "astronaut": [(10, 0, 500, 512, 1)],
}


@pytest.mark.weights
def test_real_weights_on_labelled_photos(coco_weights: Path, tmp_path: Path):
    """Two photos, one object each: found at IoU 0.5, so AP50 of these two classes is 1."""
    from skimage import data

    from yolov7.evaluation.coco import COCO_CATEGORY_IDS

    (tmp_path / "images").mkdir()
    images, annotations = [], []
    for image_id, (name, boxes) in enumerate(SKIMAGE_BOXES.items(), start=1):
        pixels = np.ascontiguousarray(getattr(data, name)())
        Image.fromarray(pixels).save(tmp_path / "images" / f"{name}.png")
        height, width = pixels.shape[:2]
        images.append({"id": image_id, "file_name": f"{name}.png", "height": height, "width": width})
        for x, y, w, h, category in boxes:
            box = {"id": image_id, "image_id": image_id, "category_id": category, "iscrowd": 0}
            annotations.append(box | {"bbox": [x, y, w, h], "area": w * h})
    names = yolov7.load_checkpoint(coco_weights).names
    categories = [{"id": i, "name": name} for i, name in zip(COCO_CATEGORY_IDS, names, strict=True)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "instances.json").write_text(json.dumps(document))

    metrics = yolov7.evaluate(coco_weights, tmp_path, device="cpu", predictions=tmp_path / "p.json")
    assert pytest.approx(1.0) == metrics.AP50
    assert metrics.images == 2
    entries = json.loads((tmp_path / "p.json").read_text())
    best = max(entries, key=lambda entry: entry["score"])
    assert best["category_id"] in (1, 17)
    assert all(set(entry) == {"image_id", "category_id", "bbox", "score"} for entry in entries)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Fresh weights that find something everywhere, and a data set."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("somebody")
    model = create("yolov7-tiny", classes=2)
    with torch.no_grad():
        for conv in model.lead.convs:
            conv.bias.view(3, 7)[:, 4:] += 6
    torch.save(model.state_dict(), folder / "fresh.pt")
    content = coco_content()
    for category, name in zip(content["categories"], ("class 1", "class 0"), strict=True):
        category["name"] = name
    return folder / "fresh.pt", write_coco(folder / "data", content)


def test_a_report_with_its_numbers(fresh: tuple[Path, Path], tmp_path: Path):
    weights, data = fresh
    outcome = evaluate(weights, data, size=64, device="cpu", report=tmp_path / "report")
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == ["metrics.json", "report.html"]
    assert json.loads((tmp_path / "report" / "metrics.json").read_text()) == outcome.to_dict()
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "<h1>fresh.pt on " in page
    assert "<dt>network</dt><dd>yolov7-tiny</dd>" in page
    assert str(weights.parent) not in page, "a page is passed on: it says nothing of this machine's folders"


def test_a_report_is_not_overwritten(fresh: tuple[Path, Path], tmp_path: Path):
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(yolov7.errors.OutputError, match="not overwritten"):
        evaluate(*fresh, report=tmp_path)
    assert (tmp_path / "report.html").read_text() == "mine"


@pytest.mark.parametrize("command", ["val", "train", "benchmark", "export"])
def test_a_size_that_no_machine_holds_is_one_error(
    fresh: tuple[Path, Path], tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, data = map(str, fresh)
    arguments = {
        "val": [weights, data, "--size", "3200000"],
        "train": [data, "--size", "3200000", "--model", "yolov7-tiny", "--batch-size", "2", "--out"],
        "benchmark": [weights, "--sizes", "3200000"],
        "export": [weights, "--format", "onnx", "--size", "3200000", "--out"],
    }[command]
    with pytest.raises(SystemExit) as stop:
        main([command, *arguments, *[str(tmp_path / "run")] * (arguments[-1] == "--out")])
    said = capsys.readouterr().err
    assert stop.value.code not in (0, None)
    assert "not enough memory for" in said
    count = 2 if command == "train" else 1
    assert f"expected: {count * 15 * 3_200_000**2 / 1e9:.1f} GB or more" in said
    assert "Traceback" not in said


def test_the_command_line_gives_each_report_a_directory(fresh: tuple[Path, Path], tmp_path: Path, capsys):
    arguments = ["val", *map(str, fresh), "--size", "64", "--device", "cpu", "--report", str(tmp_path / "r")]
    for name in ("r", "r-2"):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
        assert (tmp_path / name / "report.html").is_file()
        assert f"report: {tmp_path / name / 'report.html'}" in capsys.readouterr().err


def test_an_unknown_option_is_refused_in_the_name_of_the_public_function(tmp_path: Path):
    with pytest.raises(TypeError, match=r"^evaluate\(\) got an unexpected keyword argument 'confidence'"):
        yolov7.evaluate(tmp_path, tmp_path, confidence=0.1)  # type: ignore[call-arg]


def test_a_list_of_images_gives_detections_and_no_ap(fresh: tuple[Path, Path], tmp_path: Path, caplog):
    weights, data = fresh
    content = json.loads(data.read_text())
    del content["annotations"], content["info"]
    listed = data.with_name("image_info_test-dev.json")
    listed.write_text(json.dumps(content))
    run = {"size": 64, "device": "cpu"}
    with pytest.raises(yolov7.errors.DataError, match=r"nothing to measure against.*\s.*--predictions FILE"):
        evaluate(weights, listed, **run)
    outcome = evaluate(weights, listed, **run, predictions=tmp_path / "p.json")
    assert "there is no AP" in caplog.text
    assert np.isnan(outcome.AP)
    evaluate(weights, data, **run, predictions=tmp_path / "with.json")
    entries = json.loads((tmp_path / "p.json").read_text())
    assert entries == json.loads((tmp_path / "with.json").read_text())
    assert entries
    assert {entry["category_id"] for entry in entries} <= {1, 3}


def test_a_data_set_of_other_classes_and_without_a_box_is_one_error(fresh: tuple[Path, Path], tmp_path: Path):
    content = coco_content(annotations=[], categories=[{"id": 1, "name": "wyvern"}])
    with pytest.raises(DataError, match="no class of the data set is known to the network"):
        evaluate(fresh[0], write_coco(tmp_path, content))


def test_a_parent_and_classes_without_boxes_do_not_stop_it(fresh: tuple[Path, Path], tmp_path: Path, caplog):
    weights, data = fresh
    content = json.loads(data.read_text())
    plain = evaluate(weights, data, size=64, device="cpu", report=tmp_path / "plain")
    for category in content["categories"]:
        category["supercategory"] = "things"
    content["categories"] += [{"id": 0, "name": "things"}, {"id": 2, "name": "of the other split"}]
    more = data.with_name("more.json")
    more.write_text(json.dumps(content))
    outcome = evaluate(weights, more, size=64, device="cpu", report=tmp_path / "more")
    assert outcome.to_dict() == plain.to_dict()
    assert "1 class without a box here, unknown to the network" in caplog.text


def test_images_elsewhere_and_the_released_mapping_on_the_command_line(
    fresh: tuple[Path, Path], tmp_path: Path, capsys, caplog
):
    weights, data = fresh
    alone = write_coco(tmp_path / "labels", json.loads(data.read_text()), images="../pictures")
    write_image(tmp_path / "pictures/7.png", size=(59, 80))  # its short side is truncated, its scale uneven
    written = {}
    for options in ((), ("--released-mapping",)):
        found = tmp_path / f"{len(options)}.json"
        arguments = [str(weights), str(alone), "--images", str(tmp_path / "pictures"), "--size", "70"]
        with pytest.raises(SystemExit) as stop:
            main(["val", *arguments, "--device", "cpu", "--predictions", str(found), *options])
        assert stop.value.code == 0
        written[options] = json.loads(found.read_text())
    assert written[()] != written["--released-mapping",]
    assert "image size 70 is not a multiple of 32: rounded up to 96" in caplog.text
    with pytest.raises(SystemExit):
        main(["doctor", str(alone)])
    assert "name their folder with --images DIR" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["doctor", str(alone), "--images", str(tmp_path / "pictures")])
    assert stop.value.code == 0
