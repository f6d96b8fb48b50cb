"""What a person asks for when training: one dataclass is the Python API, the command line and the file.

How a network learns (rates, losses, augmentation) is the recipe's matter: ``training/recipes.py``.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yolov7.models.architecture import Architecture
    from yolov7.models.detector import Detector

    Network: TypeAlias = str | Architecture | Detector | None
    Changes: TypeAlias = tuple[str, ...] | Mapping[str, Any]
else:  # what a command line and config.json can say; `yolov7 --help` has no time to load torch
    Network = str | None
    Changes = tuple[str, ...]


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        data: data.yaml, COCO json, or the folder of a data set (COCO, YOLO, Pascal VOC).
        model: network to train, such as yolov7-tiny; that of the weights, or yolov7, by default. From Python
            also an Architecture, which starts with fresh weights, or a Detector, which starts with its own.
        width: share of the network's channels: 0.25 makes a small one of a large one, for small machines.
        weights: checkpoint to start from (fine-tuning); fresh weights by default.
        recipe: p5, p6, tiny, fine-tune, or a run's recipe.json; what suits network and weights by default.
        set: change numbers of the recipe, NAME=VALUE: learning_rate=0.02, augmentation.mosaic=0.5. From
            Python also a mapping: {"learning_rate": 0.02, "guidance": my_guidance}.
        epochs: passes over the data; the recipe's by default.
        batch_size: images a step and process; 16, or on a GPU what fits into it, by default.
        size: side of the training images, pixels; the network's own by default.
        out: directory of the run; where it holds something already, DIR-2 and so on.
        resume: directory of a run to continue, exactly as if it had never stopped; with more epochs, a
            finished one too. Its options stay, but for data, images, workers, cache, ignore_defects,
            patience, time_budget, save_interval and report.
        split: part of the data set to learn from.
        images: folder of the images of a COCO json, where they are not found beside it.
        val_split: part to measure on, or none; "val", else "test", else a tenth held out, by default.
        ignore_defects: train on what is sound where labels or images are broken.
        devices: how many GPUs or processes, or which: 2, "0,3"; auto takes all GPUs or one CPU process.
        nodes: how many machines.
        accelerator: cpu, gpu, mps; the best there is by default.
        precision: 32, bf16 or 16 bits for the network's forward and backward pass; the loss is always 32.
        workers: processes that prepare images; 0, the default where no GPU trains, is a thread instead.
        cache: keep decoded images in a file that all processes share.
        seed: of everything random.
        multi_scale: each batch at a random size between half and one and a half.
        evaluate_every: epochs between evaluations; the last epoch is always evaluated.
        patience: stop after so many evaluations without a better one.
        time_budget: stop before so many minutes are over.
        save_interval: seconds that pass at least between two writings of last.safetensors and of the state,
            from which a run that was killed goes on; best.safetensors and the end of the run do not wait.
        freeze: parts that keep their weights: backbone, neck, backbone.stages.0 and so on.
        unfreeze_after: epochs after which frozen parts learn too.
        frozen_statistics: batch norm keeps its running means and variances.
        sync_bn: batch norm over the images of all processes.
        auto_anchor: fit anchors to the data where the network's own reach too few boxes.
        report: draw the run's page at the end.

    >>> TrainConfig("data.yaml", set={"learning_rate": 0.02}).out.name
    'train'
    """

    named: ClassVar[frozenset[str]] = frozenset()
    """Names of what was asked for though it may be the default; where nobody knows, none."""

    data: Path | str | None = None
    _: KW_ONLY
    model: Network = None
    width: float = 1.0
    weights: str | None = None
    recipe: str | None = None
    set: Changes = ()
    epochs: int | None = None
    batch_size: int | None = None
    size: int | None = None
    out: Path | str = Path("runs/train")
    resume: Path | str | None = None
    split: str = "train"
    val_split: str | None = None
    images: Path | str | None = None
    ignore_defects: bool = False
    devices: str = "auto"
    nodes: int = 1
    accelerator: str = "auto"
    precision: Literal["auto", "32", "bf16", "16"] = "auto"
    workers: int | None = None
    cache: bool = True
    seed: int = 0
    multi_scale: bool = False
    evaluate_every: int = 1
    patience: int | None = None
    time_budget: float | None = None
    save_interval: float = 60
    freeze: tuple[str, ...] = ()
    unfreeze_after: int | None = None
    frozen_statistics: bool = False
    sync_bn: bool = False
    auto_anchor: bool = True
    report: bool = True
