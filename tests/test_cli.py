"""The command line as a user types it, in a process of its own where exit statuses and streams matter."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.bounded import PEAK
from tests.formats.small_sets import coco_content, write_coco, write_yolo
from yolov7.checkpoints.checkpoint import Checkpoint, load_checkpoint
from yolov7.cli import app, main
from yolov7.models import zoo
from yolov7.models.detector import create

COMMANDS = (
    *("models", "doctor", "convert", "predict", "val", "train", "export", "benchmark", "demo", "reproduce"),
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A checkpoint whose boxes are real though its weights are fresh: a lowered threshold finds plenty."""
    torch.manual_seed(0)
    model = create("yolov7-tiny", classes=3)
    with torch.no_grad():
        for conv in model.lead.convs:
            conv.bias.view(3, 8)[:, 4:] += 6
    path = tmp_path_factory.mktemp("weights") / "fresh.pt"
    torch.save(model.state_dict(), path)
    return path


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), pixels)
    return folder


def run(*arguments: object) -> int:
    """Exit status of the command line, in this process."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_help_lists_every_command(capsys):
    assert run("--help") == 0
    text = capsys.readouterr().out
    assert all(command in text for command in COMMANDS)
    assert {name for name in app if not name.startswith("-")} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_every_command_is_explained(command, capsys):
    assert run(command, "--help") == 0
    lines = capsys.readouterr().out.splitlines()
    options = [line for line in lines if line.startswith("│ --") or line.startswith("│ *  --")]
    unexplained = [line for line in options if len(line.strip("│ *").split("  ")) < 2]
    assert [
        line for line in unexplained if "STR..." not in line and not line.rstrip("│ ").endswith("STR")
    ] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict"],
        ["predict", "w.pt"],
        ["nonsense"],
        ["predict", "w.pt", "a.jpg", "--conf", "much"],
        ["predict", "w.pt", "a.jpg", "--unheard-of"],
        ["convert", "w.pt"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2(arguments, capsys):
    assert run(*arguments) == 2
    assert "error: " in capsys.readouterr().err


def test_errors_are_one_message_without_a_traceback(tmp_path, photos, capsys):
    assert run("doctor", tmp_path / "missing.pt") == 1
    assert capsys.readouterr().err.startswith("error: ")
    (tmp_path / "bad.pt").write_text("hello")
    assert run("predict", tmp_path / "bad.pt", photos) == 1
    assert "Traceback" not in capsys.readouterr().err
    from yolov7.errors import CheckpointError

    with pytest.raises(CheckpointError):
        main(["--debug", "doctor", str(tmp_path / "bad.pt")])


def test_invalid_values_are_status_2(weights, photos, capsys):
    assert run("predict", weights, photos, "--save", "none", "--conf", "1.5") == 2
    assert run("predict", weights, photos, "--save", "paintings") == 2
    assert "pictures, txt, json, csv, crops, video" in capsys.readouterr().err
    assert run("predict", weights, photos, "--save", "none", "--classes", "cat") == 2
    assert run("predict", weights, photos, "--save", "none", "--batch-size", "0") == 2


@pytest.mark.parametrize(
    "words",
    [
        "predict w.pt a.png --classes",
        "predict w.pt a.png --save",
        "export w.pt --format",
        "benchmark w.pt --runtimes",
        "benchmark w.pt --sizes",
        "reproduce table1 --weights",
    ],
)
@pytest.mark.parametrize("value", ["", " , "])
def test_an_empty_list_is_one_error(words, value, capsys):
    assert run(*words.split(), value) == 2
    option = words.split()[-1]
    assert capsys.readouterr().err.startswith(f"error: {option} is empty\n  expected: a value")


def test_help_shows_how_a_comma_in_a_name_is_written(capsys):
    assert run("predict", "--help") == 0
    assert r"a comma in a name is written \," in capsys.readouterr().out


def test_models_as_table_and_as_json(capsys):
    assert run("models", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 8
    assert all(row["gflops"] == row["paper_gflops"] for row in rows)
    assert all(row["parameters_m"] == row["paper_parameters_m"] for row in rows)
    assert run("models") == 0
    assert "166,408,884" in capsys.readouterr().out


def test_all_models_among_them_those_that_the_paper_has_no_numbers_for(capsys, monkeypatch):
    few = ("yolov7", "yolor-csp", "yolov7-x-rep-unplanned")  # all of them take a while to count
    monkeypatch.setattr(zoo, "NETWORKS", tuple(map(zoo.find_architecture, few)))
    assert run("models", "--all", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["variant"] for row in rows] == list(few)
    assert rows[0]["paper_gflops"] == 104.7
    assert rows[1]["parameters_training"] == 52_923_994
    assert rows[2]["paper_gflops"] is rows[2]["paper_parameters_m"] is None
    assert rows[2]["gflops"] == 189.9
    assert run("models", "--all") == 0
    table = capsys.readouterr().out
    assert "52,923,994" in table
    assert "None" not in table


def test_doctor_and_convert(weights, tmp_path, capsys):
    assert run("doctor", weights, "--json") == 0
    described = json.loads(capsys.readouterr().out)
    assert (described["variant"], described["classes"], described["form"]) == ("yolov7-tiny", 3, "training")
    out = tmp_path / "x.safetensors"
    assert run("convert", weights, "--out", out, "--deploy") == 0
    assert load_checkpoint(out).form == "deployed"
    assert run("convert", weights, "--out", out) == 2  # never overwritten
    assert run("convert", weights, "--out", tmp_path / "x.pt") == 2
    assert run("doctor", out) == 0
    assert "open-yolov7" in capsys.readouterr().out


@pytest.mark.parametrize("format_", ["torchscript", "openvino"])  # a file, a folder
def test_doctor_of_an_artefact(format_, weights, photos, tmp_path, capsys):
    export = ("export", weights, "--format", format_, "--images", photos, "--size", 64)
    run(*export, "--conf", "0.9999", "--out", tmp_path)  # rejected: nothing is found
    (artefact,) = tmp_path.glob("*.rejected")
    capsys.readouterr()
    assert run("doctor", artefact, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    shape = [1, 64, 64]
    assert (facts["format"], facts["variant"], facts["shape"]) == (format_, "yolov7-tiny", shape)
    assert facts["precision"] == "float32"
    assert len(facts["names"]) == 3
    assert "differed too much" in facts["notes"][0]
    accepted = artefact.rename(tmp_path / "accepted")
    assert run("doctor", accepted) == 0
    assert "note" not in capsys.readouterr().out


def test_doctor_of_a_data_set(tmp_path, capsys):
    write_coco(tmp_path, coco_content())
    assert run("doctor", tmp_path) == 0
    assert "0 errors" in capsys.readouterr().out
    write_yolo(tmp_path / "yolo", {"a": "0 0.5 0.5 0.2 0.2\n7 0.5 0.5 0.2 0.2\n"})
    assert run("doctor", tmp_path / "yolo", "--json") == 1
    report = json.loads(capsys.readouterr().out)
    (defect,) = report["defects"]
    assert (Path(defect["file"]).name, defect["line"]) == ("a.txt", 2)


def test_predict_writes_every_kind_of_result(weights, photos, tmp_path, capsys):
    out = tmp_path / "out"
    kinds = "pictures,txt,json,csv,crops"
    assert run("predict", weights, photos, "--out", out, "--save", kinds, "--size", 64, "--conf", 0.3) == 0
    document = json.loads((out / "detections.json").read_text())
    assert [image["file_name"] for image in document["images"]] == ["0.png", "1.png", "2.png"]
    assert len(document["annotations"]) > 3
    rows = (out / "detections.csv").read_text().splitlines()
    assert len(rows) == 1 + len(document["annotations"])
    text = [line for i in range(3) for line in (out / "txt" / f"{i}.txt").read_text().splitlines()]
    assert len(text) == len(document["annotations"])
    assert {p.name for p in (out / "pictures").iterdir()} == {"0.png", "1.png", "2.png"}
    assert list(out.rglob("*.partial")) == []
    assert "3 images" in capsys.readouterr().err
    assert run("--quiet", "predict", weights, photos, "--out", out, "--save", "txt", "--size", 64) == 0
    assert (tmp_path / "out-2" / "txt").is_dir()
    assert capsys.readouterr().err == ""


def test_standard_input(weights, photos, tmp_path, capsys, monkeypatch):
    """An image, then a list of paths; the lone hyphen stands at any place."""
    image = (photos / "0.png").read_bytes()
    paths = "".join(f"{path}\n" for path in sorted(photos.iterdir())).encode()
    for number, (content, count) in enumerate([(image, "1 image,"), (paths, "3 images,")]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        out = ("--out", tmp_path / str(number), "--save", "json", "--size", 64)
        assert run("predict", weights, *(("-", *out) if number else (*out, "-"))) == 0
        assert count in capsys.readouterr().err
    document = json.loads((tmp_path / "0" / "detections.json").read_text())
    assert [image["source"] for image in document["images"]] == ["-"]


def test_quiet_leaves_results(weights, photos, capsys):
    assert run("--quiet", "predict", weights, photos, "--save", "none", "--size", 64) == 0
    told = capsys.readouterr()
    assert [line.partition(": ")[0] for line in told.out.splitlines()] == [
        str(photos / f"{i}.png") for i in range(3)
    ]
    assert told.err == ""


def test_videos_end_where_they_are_asked_to(weights, tmp_path, capsys):
    from tests.sources.media import write_video

    write_video(tmp_path / "clip.mp4", 30)  # 10 frames a second
    predict = ("predict", weights, tmp_path / "clip.mp4", "--save", "none", "--size", 64)
    assert run(*predict, "--frames", 4) == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 4
    assert "clip.mp4 frame 3 at 0.30 s: " in told.out
    assert told.err.startswith("4 frames, ")
    assert run(*predict, "--duration", 1, "--every", 2) == 0
    assert capsys.readouterr().err.startswith("5 frames, ")
    assert run(*predict, "--frames", 0) == 2
    assert run(*predict, "--duration", "nan") == 2


def test_classes_of_which_one_has_a_comma(photos, tmp_path, capsys):
    names = ("red, ripe", "green", "dog [front]")
    torch.manual_seed(0)
    path = tmp_path / "w.safetensors"
    Checkpoint(create("yolov7-tiny", classes=3), names, 64, "open-yolov7", "float32").save(path)
    predict = ("predict", path, photos, "--save", "none", "--size", 64)
    assert run(*predict, "--classes", r"red\, ripe,green") == 0
    assert run(*predict, "--classes", "0,dog [front]") == 0
    assert run(*predict, "--classes", "grean") == 2
    assert run(*predict, "--classes", "green", "dog") in (1, 2)
    assert "several values take commas: --classes green,dog" in capsys.readouterr().err


def test_results_that_cannot_be_written_are_counted_and_end_nothing(weights, photos, tmp_path, capsys):
    (photos / ("猫" * 83 + ".png")).write_bytes((photos / "0.png").read_bytes())
    assert run("predict", weights, photos, "--out", tmp_path / "long", "--size", 64) == 0
    assert len(list((tmp_path / "long" / "pictures").iterdir())) == 4
    blocked = tmp_path / "blocked" / "pictures" / "sub"
    (photos / "sub").mkdir()
    (photos / "0.png").rename(photos / "sub" / "0.png")

    from yolov7.results import sinks

    class Blocked(sinks.PictureSink):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            blocked.parent.mkdir(parents=True)
            blocked.touch()

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sinks.SINKS, "pictures", Blocked)
        assert run("predict", weights, photos / "**", "--out", tmp_path / "blocked", "--size", 64) == 1
    told = capsys.readouterr().err
    assert "1 result not written" in told
    assert told.count("error: ") == 1
    assert len(list((tmp_path / "blocked" / "pictures").glob("*.png"))) == 3


def test_predict_skips_what_is_broken_and_says_so(weights, photos, tmp_path, capsys):
    (photos / "1.png").write_bytes((photos / "1.png").read_bytes()[:60])
    assert run("predict", weights, photos, "--out", tmp_path / "o", "--save", "json", "--size", 64) == 1
    document = json.loads((tmp_path / "o" / "detections.json").read_text())
    assert [image["file_name"] for image in document["images"]] == ["0.png", "2.png"]
    assert [skipped["file_name"] for skipped in document["skipped"]] == ["1.png"]
    assert "1 skipped" in capsys.readouterr().err


def test_val_writes_metrics_and_predictions(weights, tmp_path, capsys):
    content = coco_content()
    for category, name in zip(content["categories"], ("class 2", "class 0"), strict=True):
        category["name"] = name
    data = write_coco(tmp_path / "data", content)
    files = ("--json", tmp_path / "m.json", "--predictions", tmp_path / "p.json")
    assert run("val", weights, data, "--size", 64, "--per-class", *files) == 0
    output = capsys.readouterr().out
    assert "AP50" in output
    assert "class 0" in output
    metrics = json.loads((tmp_path / "m.json").read_text())
    keys = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100")
    assert all(metrics[key] is None or 0 <= metrics[key] <= 1 for key in keys)
    predictions = json.loads((tmp_path / "p.json").read_text())
    assert {entry["category_id"] for entry in predictions} <= {1, 3}
    assert {entry["image_id"] for entry in predictions} == {5, 7}


def test_val_of_classes_that_the_network_does_not_know(weights, tmp_path, capsys):
    data = write_coco(tmp_path / "data", coco_content())
    assert run("val", weights, data, "--size", 64) == 1
    assert "cat" in capsys.readouterr().err


MEASURED = f"""
import sys
from yolov7.cli import main
{PEAK}
try:
    main(sys.argv[1:])
except SystemExit as stop:
    print(stop.code, peak())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of its memory from /proc")
def test_a_thousand_mixed_images_of_which_twenty_are_broken(weights, tmp_path):
    """All kinds and sizes, in the memory that 50 take; the json accounts for all and names the 20."""
    random = np.random.default_rng(0)
    peaks = {}
    for count in (50, 1000):
        folder, out = tmp_path / str(count), tmp_path / f"out{count}"
        folder.mkdir()
        for i in range(count):
            suffix = (".jpg", ".png", ".bmp", ".tif", ".webp")[i % 5]
            pixels = random.integers(0, 256, (*random.integers(60, 320, 2), 3), dtype=np.uint8)
            if i % 7 == 0:
                pixels = pixels[..., 0]
            file = folder / f"{i:04}{suffix}"
            cv2.imwrite(str(file), pixels)
            if i % 50 == 49:
                content = file.read_bytes()
                broken = (b"", b"hello", content[: len(content) // 3], bytes(len(content)))
                file.write_bytes(broken[i // 50 % 4])
        arguments = ("predict", weights, folder, "--out", out, "--save", "json,csv,txt", "--size", 64)
        command = [sys.executable, "-c", MEASURED, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        status, peaks[count] = map(int, done.stdout.splitlines()[-1].split())
        assert status == 1
    document = json.loads((out / "detections.json").read_text())
    assert len(document["images"]) == 980
    assert {Path(s["file_name"]).stem for s in document["skipped"]} == {
        f"{i:04}" for i in range(49, 1000, 50)
    }
    assert "980 images" in done.stderr
    assert "20 skipped" in done.stderr
    assert peaks[1000] - peaks[50] < 40e6  # 950 images of this size are 90 MB once decoded


@pytest.mark.slow
def test_interrupting_leaves_what_is_done_and_status_130(weights, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    for i in range(400):
        cv2.imwrite(str(folder / f"{i:03}.jpg"), pixels)
    command = [sys.executable, "-m", "yolov7", "predict", str(weights), str(folder)]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "o"), "--save", "txt,json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        text=True,
    )
    assert process.stdout is not None
    for _ in range(5):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert 4 <= len(list((tmp_path / "o" / "txt").glob("*.txt"))) < 400
    assert not (tmp_path / "o" / "detections.json").exists()
    assert json.loads((tmp_path / "o" / "detections.json.partial").read_text())["images"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("table10", "--weights", "w.pt"), "expected: --weights and --data together"),
        (("table1", "--data", "d.yaml"), "expected: --weights and --data together"),
        (("table4", "--data", "d.yaml"), "expected: --weights and --data together"),
        (("table4", "--epochs", "3"), "table4 has no use for --epochs without --train"),
        (("table4", "--train", "d.yaml", "--weights", "w.pt"), "table4 has no use for --weights"),
        (("table10", "--images", "photos"), "table10 has no use for --images"),
        (("figure8", "--data", "d.yaml", "--json"), "figure8 has no use for --data, --json"),
        (("table3", "--device", "cpu"), "table3 has no use for --device"),
        (("figure1",), "table1, table2"),
        (("tabel1",), "did you mean table1?"),
    ],
    ids=" ".join,
)
def test_reproduce_drops_nothing_in_silence(arguments, told, capsys, monkeypatch):
    monkeypatch.setattr("yolov7.commands.research.weight_file", lambda name: name)  # it is not looked for
    assert run("reproduce", *arguments) == 2
    assert told in capsys.readouterr().err


def test_reproduce_takes_names_in_any_case(capsys):
    assert run("reproduce", "Table10") == 0
    assert "53.1" in capsys.readouterr().out


def test_train_asks_for_data(capsys):
    assert run("train") == 2
    assert "a training data set is needed" in capsys.readouterr().err


def test_train_and_go_on(tmp_path, monkeypatch, capsys):
    from yolov7.data.shapes import write_shapes

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YOLOV7_CACHE", str(tmp_path / "cache"))
    write_shapes(tmp_path / "shapes", train=4, val=2, size=64)
    options = (
        "--model yolov7-tiny --size 64 --epochs 2 --batch-size 4 --workers 0 --no-report --time-budget 0.0001"
    )
    assert run("train", "shapes/data.yaml", *options.split()) == 0
    told = capsys.readouterr()
    assert "1 epoch done; to go on: yolov7 train --resume runs/train" in told.err
    assert "AP50" in told.out
    assert run("train", "--resume", "runs/train", "--time-budget", "60") == 0
    assert "to go on" not in capsys.readouterr().err
    assert run("predict", "runs/train/last.safetensors", "shapes/images/val", "--save", "none") == 0


# -- export ---------------------------------------------------------------------------------------------


def test_export(weights, photos, tmp_path, capsys):
    out = tmp_path / "out"
    command = ("export", weights, "--format", "torchscript", "--images", photos, "--size", 64, "--out", out)
    assert run(*command) == 0
    said, told = capsys.readouterr()
    assert "torchscript: writing" in told  # where no progress bar is seen
    assert f"torchscript: {out / 'fresh.torchscript'}" in said
    assert "passed" in said
    names = {"fresh.torchscript", "fresh.torchscript.parity.json", "fresh.torchscript.parity.txt"}
    assert {path.name for path in out.iterdir()} == names
    assert json.loads((out / "fresh.torchscript.parity.json").read_text())["images"] == 3

    assert run(*command) == 1  # never overwritten
    assert "not overwritten" in capsys.readouterr().err
    assert run(*command, "--overwrite") == 0


def test_export_of_what_is_not_proven_is_rejected(weights, photos, tmp_path, capsys):
    out = tmp_path / "out"
    options = ("--images", photos, "--size", 64, "--conf", "0.9999", "--out", out)
    assert run("export", weights, "--format", "torchscript", *options) == 1
    said = capsys.readouterr().out
    assert "rejected" in said
    assert "detections compared: 0, allowed at least 1" in said
    assert (out / "fresh.torchscript.rejected").exists()
    assert not (out / "fresh.torchscript").exists()


def test_export_says_which_format_failed(weights, photos, tmp_path, capsys):
    out = tmp_path / "out"
    options = ("--half", "--images", photos, "--size", 64, "--out", out)
    assert run("export", weights, "--format", "torchscript", *options) == 1
    assert "error: torchscript: " in capsys.readouterr().err
    assert list(out.iterdir()) == []


def test_export_refuses_invalid_values(weights, photos, tmp_path, capsys):
    out = ("--images", photos, "--out", tmp_path / "out")
    assert run("export", weights, "--format", "onyx", *out) == 2
    assert "torchscript" in capsys.readouterr().err  # it lists what there is
    assert run("export", weights, "--format", "torchscript", "--size", "100", *out) == 2
    assert run("export", weights, "--format", "torchscript", "--batch-size", "0", *out) == 2
    assert run("export", weights, "--format", "torchscript", "--iou", "2", *out) == 2
    assert not (tmp_path / "out").exists()


def test_export_names_every_format(capsys):
    from yolov7.runtimes.formats import FORMATS

    assert run("export", "--help") == 0
    said = capsys.readouterr().out
    assert [name for name in FORMATS if not re.search(rf"(?<![\w-]){name}(?![\w-])", said)] == []


@pytest.mark.parametrize(
    "command",
    [
        "doctor LONG",
        "train LONG",
        "train x --resume LONG",
        "val WEIGHTS LONG",
        "predict LONG x.png",
        "export LONG",
        "predict WEIGHTS LONG.png",
        "convert LONG --out x.safetensors",
        "convert WEIGHTS --out LONG.safetensors",
    ],
)
def test_a_name_that_is_too_long_for_any_file_is_one_error(command, weights, capsys):
    words = command.replace("LONG", 300 * "a").split()
    assert run(*(weights if word == "WEIGHTS" else word for word in words)) in (1, 2)
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert 300 * "a" in error or "x.png" in error
