"""What a run says of the weights it begins with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formats.small_sets import write_yolo
from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.models.architecture import scale
from yolov7.models.detector import Detector
from yolov7.models.zoo import find_architecture
from yolov7.training.config import TrainConfig
from yolov7.training.prepare import prepare


@pytest.mark.parametrize(
    ("name", "implicit_alone", "folded"),
    [
        ("yolov7-tiny", True, "implicit vectors"),  # batch norms are apart still, as in released files
        ("yolov7-tiny", False, "implicit vectors, batch norms"),
        ("yolov7", False, "implicit vectors, batch norms, branches of RepConv"),
        ("yolov7", None, None),
    ],
)
def test_the_parts_that_are_folded_in_weights_are_named(
    name: str, implicit_alone: bool | None, folded: str | None, tmp_path: Path
) -> None:
    model = Detector(scale(find_architecture(name), width=0.25, branch=0.25), 2)
    if implicit_alone:
        model.lead = model.lead.fused()
    checkpoint = Checkpoint(model.eval(), ("cat", "dog"), 64, "open-yolov7", "float32")
    if implicit_alone is False:
        checkpoint = checkpoint.deployed()
    checkpoint.save(tmp_path / "a.safetensors")
    data = write_yolo(
        tmp_path, {"a": "0 0.5 0.5 0.2 0.2\n"}, yaml="train: images/val\nval: images/val\nnames: [cat, dog]\n"
    )
    told: list[str] = []
    prepare(TrainConfig(data, weights=tmp_path / "a.safetensors", size=64), None, told.append)
    said = [
        line.partition(": ")[2] for line in told if line.startswith("folded in these weights, so fresh again")
    ]
    assert said == ([] if folded is None else [folded])
