"""Options of a training run: one dataclass for the Python API, the command line and config.json.

Hyperparameters (learning rates, losses, augmentation) belong to the recipe: ``training/recipes.py``.
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
else:  # types of the command line and of config.json; importing torch would slow `yolov7 --help`
    Network = str | None
    Changes = tuple[str, ...]


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        data: data.yaml, COCO json, or the folder of a data set (COCO, YOLO, Pascal VOC).
        model: network to train, such as yolov7-tiny; default: the network of the weights, or yolov7. In
            Python also an Architecture (fresh weights) or a Detector (its own weights).
        width: width multiplier of the network; 0.25 keeps a quarter of the channels.
        weights: checkpoint to fine-tune; default: fresh weights.
        recipe: p5, p6, tiny, fine-tune, or a run's recipe.json; default: by the network and the weights.
        set: changes of the recipe, NAME=VALUE: learning_rate=0.02, augmentation.mosaic=0.5. In Python also a
            mapping: {"learning_rate": 0.02, "guidance": my_guidance}.
        epochs: passes over the data; default: the recipe's.
        batch_size: images per batch and process; default: 16, or as many as fit into the GPU.
        size: side of the training images, pixels; default: the network's.
        out: directory of the run; DIR-2, DIR-3, ... if it is not empty.
        resume: directory of a run to continue exactly, as if it had not stopped; a finished run needs more
            epochs. Options keep their values, except data, images, workers, cache, ignore_defects,
            patience, time_budget, save_interval and report.
        split: split to train on.
        images: image folder of a COCO json, if the images are not beside it.
        val_split: validation split, or none; default: val, else test, else a held-out tenth.
        ignore_defects: leave out broken labels and images instead of stopping.
        devices: number of GPUs or processes, or indices: 2, "0,3"; auto: all GPUs, or one CPU process.
        nodes: number of machines.
        accelerator: auto, cpu, gpu or mps.
        precision: 32, bf16 or 16 bits in the forward and backward pass; the loss is always 32-bit.
        workers: processes that prepare images; 0, the default without a GPU, uses a thread.
        cache: keep decoded images in a file that all processes share.
        seed: random seed.
        multi_scale: give each batch a random size, from 0.5 to 1.5 times the training size.
        evaluate_every: epochs between evaluations; the last epoch is always evaluated.
        patience: evaluations without improvement before the run stops.
        time_budget: time limit, minutes.
        save_interval: minimum seconds between saves of last.safetensors and the resume state.
            best.safetensors and the final save are immediate.
        freeze: parts whose weights stay fixed: backbone, neck, backbone.stages.0 and so on.
        unfreeze_after: epochs after which frozen parts are trained too.
        frozen_statistics: keep the running means and variances of batch norm.
        sync_bn: compute batch norm over the images of all processes.
        auto_anchor: fit new anchors if the network's match too few boxes.
        report: write report.html at the end.

    >>> TrainConfig("data.yaml", set={"learning_rate": 0.02}).out.name
    'train'
    """

    named: ClassVar[frozenset[str]] = frozenset()
    """Options given explicitly, which count even if they equal their default; filled by the command line."""

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
