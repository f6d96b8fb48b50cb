"""Checkpoints of other families are named as what they are, in a few lines."""

from __future__ import annotations

import pytest
import torch

from tests.tensor_files import hostile
from yolov7.checkpoints.checkpoint import load_checkpoint
from yolov7.errors import MismatchedCheckpointError

TENSOR = hostile.tensor(hostile.storage(), 0, hostile.numbers(4), hostile.numbers(1))


def network(kind: str, inside: str, yaml: str = "") -> bytes:
    """A pickled module of a class with a layer of another class, and the yaml that it was made from."""
    empty = hostile.text("_buffers") + b"}" + hostile.text("_parameters")
    module, _, name = kind.rpartition(".")
    inner, _, block = inside.rpartition(".")
    layer = hostile.name(inner, block) + b")\x81}(" + empty + b"}" + hostile.text("weight") + TENSOR + b"s"
    layer += hostile.text("_modules") + b"}ub"
    made = (
        hostile.text("yaml") + b"}" + hostile.text("yaml_file") + hostile.text(yaml) + b"s" if yaml else b""
    )
    whole = hostile.name(module, name) + b")\x81}(" + empty + b"}" + made + hostile.text("_modules") + b"}"
    return whole + hostile.text("0") + layer + b"sub"


@pytest.mark.parametrize(
    ("kind", "inside", "yaml", "family"),
    [
        (
            "ultralytics.nn.tasks.DetectionModel",
            "ultralytics.nn.modules.block.C2f",
            "",
            "a YOLOv8 checkpoint of Ul",
        ),
        ("ultralytics.nn.tasks.PoseModel", "ultralytics.nn.modules.conv.Conv", "yolov8n-pose.yaml", "YOLOv8"),
        ("ultralytics.nn.tasks.DetectionModel", "ultralytics.nn.modules.block.C3k2", "", "YOLO11"),
        (
            "ultralytics.nn.tasks.DetectionModel",
            "ultralytics.nn.modules.block.A2C2f",
            "yolo12n.yaml",
            "YOLO12",
        ),
        (
            "ultralytics.nn.tasks.YOLOv10DetectionModel",
            "ultralytics.nn.modules.head.v10Detect",
            "",
            "YOLOv10",
        ),
        ("ultralytics.nn.tasks.RTDETRDetectionModel", "torch.nn.modules.linear.Linear", "", "an RT-DETR"),
        ("ultralytics.nn.tasks.DetectionModel", "ultralytics.nn.modules.block.C3", "yolov5nu.yaml", "YOLOv5"),
        ("models.yolo.DetectionModel", "models.common.C3", "", "a YOLOv5 checkpoint: this"),
        ("models.yolo.Model", "models.common.Focus", "", "YOLOv5"),
        ("models.yolo.DetectionModel", "models.common.RepNCSPELAN4", "", "YOLOv9"),
        ("models.yolo.Model", "models.yolo.IKeypoint", "", "YOLOv7 pose"),
        ("yolov6.models.yolo.Model", "yolov6.layers.common.ConvBNReLU", "", "YOLOv6"),
        ("models.models.Darknet", "torch.nn.modules.conv.Conv2d", "", "Darknet"),
    ],
)
def test_pickled_networks_are_known_by_their_classes(tmp_path, kind, inside, yaml, family):
    hostile.write_zip(tmp_path / "x.pt", hostile.in_dict(network(kind, inside, yaml)))
    with pytest.raises(MismatchedCheckpointError, match="this package reads YOLOv7") as caught:
        load_checkpoint(tmp_path / "x.pt")
    assert family in str(caught.value)
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("names", "family"),
    [
        (["model.0.conv.weight", "model.22.cv2.0.0.conv.weight", "model.22.dfl.conv.weight"], "a YOLOv8"),
        (["model.0.conv.weight", "model.23.cv2.0.0.conv.weight", "model.23.dfl.conv.weight"], "YOLO11"),
        (["model.0.conv.weight", "model.9.cv1.conv.weight", "model.24.m.0.weight"], "YOLOv5"),
        (["model.0.conv.weight", "model.28.m.0.weight"], "YOLOv3"),
        (["backbone.backbone.stem.conv.conv.weight", "head.cls_convs.0.0.conv.weight"], "a YOLOX"),
        (["backbone.ERBlock_2.0.rbr_dense.conv.weight", "detect.stems.0.block.conv.weight"], "YOLOv6"),
        (["backbone.stem.conv.rbr_reparam.weight", "heads.head1.cls_pred.weight"], "YOLO-NAS"),
        (["decoder.dec_score_head.0.weight", "backbone.conv1.weight"], "RT-DETR"),
        (["backbone.stem.conv.weight", "bbox_head.head_module.weight"], "an MMDetection"),
        (["rpn.head.conv.0.0.weight", "roi_heads.box_head.fc6.weight"], "Faster R-CNN"),
        (["conv1.weight", "layer1.0.conv1.weight", "fc.weight"], "an image classifier"),
    ],
)
@pytest.mark.parametrize("key", [None, "state_dict", "model"])
def test_state_dicts_are_known_by_their_names(tmp_path, names, family, key):
    state = dict.fromkeys(names, torch.zeros(4))
    torch.save(state if key is None else {key: state, "epoch": 1}, tmp_path / "x.pth")
    with pytest.raises(MismatchedCheckpointError, match="this package reads YOLOv7") as caught:
        load_checkpoint(tmp_path / "x.pth")
    assert family in str(caught.value)


def test_an_optimizer_alone(tmp_path):
    layer = torch.nn.Linear(1, 1)
    torch.save(torch.optim.Adam(layer.parameters()).state_dict(), tmp_path / "x.pt")
    with pytest.raises(MismatchedCheckpointError, match="state of an optimizer, without a network"):
        load_checkpoint(tmp_path / "x.pt")


def test_a_message_lists_a_few_tensors_and_counts_the_others(tmp_path):
    state = {f"model.{i}.conv.weight": torch.zeros(32, 3, 3, 3) for i in range(300)}
    state |= {f"model.300.m.{i}.weight": torch.zeros(21, 8, 1, 1) for i in range(3)}
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(MismatchedCheckpointError, match=r"and \d+ more") as caught:
        load_checkpoint(tmp_path / "x.pt")
    assert len(str(caught.value).splitlines()) == 3
    assert len(str(caught.value)) < 1500
