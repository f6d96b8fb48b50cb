"""Hints for words of other tools, as the command line gives them."""

from __future__ import annotations

import pytest

from yolov7.cli import main
from yolov7.commands import hints

PREDICT = ("predict", "best.pt", "a.jpg")


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ((*PREDICT, "--conf-thres", "0.4"), "did you mean --conf?"),
        ((*PREDICT, "--conf_thres=0.4"), "did you mean --conf?"),
        ((*PREDICT, "--iou-thres", "0.4"), "did you mean --iou?"),
        ((*PREDICT, "--img", "640"), "did you mean --size?"),
        ((*PREDICT, "--imgsz=640"), "did you mean --size?"),
        ((*PREDICT, "--img-size", "640"), "did you mean --size?"),
        ((*PREDICT, "--name", "x"), "did you mean --out?"),
        ((*PREDICT, "--project", "x"), "did you mean --out?"),
        ((*PREDICT, "--nosave"), "did you mean --save none?"),
        ((*PREDICT, "--save-txt"), "did you mean --save txt?"),
        ((*PREDICT, "--view-img"), "pictures are written, not shown"),
        ((*PREDICT, "--exist-ok"), "new results go to DIR-2"),
        ((*PREDICT, "--batch", "4"), "did you mean --batch-size?"),
        ((*PREDICT, "--clases", "4"), "did you mean --classes?"),
        (("predict", "--weights", "best.pt", "a.jpg"), "the weights come first, without an option"),
        (("predict", "best.pt", "--source", "a.jpg"), "images and videos come after the weights"),
        (("val", "--weights", "best.pt", "data.yaml"), "the weights come first, without an option"),
        (("val", "best.pt", "--data", "data.yaml"), "the data set comes after the weights"),
        (("train", "data.yaml", "--hyp", "x"), "did you mean --recipe?"),
        (("train", "data.yaml", "--cfg", "x"), "did you mean --model?"),
        (("train", "data.yaml", "--lr", "0.1"), "did you mean --set learning_rate=0.01?"),
        (("export", "best.pt", "--include", "onnx"), "did you mean --format?"),
        (("export", "best.pt", "--format", "onnx", "openvino"), "--format onnx,openvino"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_options_of_other_tools(
    arguments: tuple[str, ...], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = complaint(capsys, *arguments)
    assert hint in said
    assert said.startswith("error: ")
    assert f"See: yolov7 {arguments[0]} --help" in said


@pytest.mark.parametrize(("word", "command"), [("detect", "predict"), ("test", "val"), ("trian", "train")])
def test_commands_of_other_tools(word: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = complaint(capsys, word, "best.pt")
    assert f"did you mean yolov7 {command}?" in said
    assert "See: yolov7 --help" in said


def test_every_hint_names_options_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    from yolov7.cli import app

    known = set()
    for command in (name for name in app if not name.startswith("-")):
        known |= {n for a in app[command].assemble_argument_collection() for n in a.names}
    named = {ours.split()[0] for meant in hints.OPTIONS.values() for ours in meant if ours.startswith("--")}
    assert named <= known
    assert known >= hints.LISTS


def test_options_that_nobody_knows_get_no_hint() -> None:
    assert hints.option_hint("--zebra", ["--conf", "--iou"]) == ""


def test_values_of_a_list_without_commas(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for tokens, hint in (
        (["--classes", "person", "car"], "--classes person,car"),
        (["--classes", "0", "2", "--conf", "0.3"], "--classes 0,2"),
        (["--classes", "person,", "car"], "--classes person,car"),
        (["--save", "txt", "json"], "--save txt,json"),
        (["--classes", "person", "photos"], ""),
        (["--classes", "person", "a.jpg"], ""),
        (["--classes", "person"], ""),
        (["--conf", "0.3", "car"], ""),
    ):
        said = hints.comma_hint(["predict", "best.pt", *tokens])
        assert said == (f"several values take commas: {hint}" if hint else "")
