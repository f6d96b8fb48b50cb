"""Networks learn: eight images by heart, through the whole of training, with and without auxiliary heads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.runs import PLAIN
from yolov7.data.shapes import write_shapes
from yolov7.training.config import TrainConfig
from yolov7.training.fit import train

EACH_BATCH_A_STEP = ("nominal_batch=8", "ema_ramp=30", "warmup_epochs=5", "warmup_iterations=0")


@pytest.mark.slow
@pytest.mark.parametrize(("model", "size", "epochs"), [("yolov7-tiny", 128, 100), ("yolov7-w6", 128, 60)])
def test_eight_images_are_learnt_by_heart(
    model: str, size: int, epochs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLOV7_CACHE", str(tmp_path / "cache"))
    data = write_shapes(tmp_path / "shapes", train=8, val=0, size=size)
    data.write_text(data.read_text().replace("images/val", "images/train"))
    config = TrainConfig(
        data=data,
        model=model,
        size=size,
        epochs=epochs,
        batch_size=8,
        workers=0,
        accelerator="cpu",
        evaluate_every=epochs,
        save_interval=1000,
        report=False,
        out=tmp_path / "run",
        set=(*PLAIN, *EACH_BATCH_A_STEP),
    )
    result = train(config, progress=False)
    assert result.evaluation is not None
    assert result.evaluation.metrics.AP50 >= 0.95
