"""From what a person asks for to what is trained: data, recipe, network, and what was decided on the way."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from yolov7.checkpoints.checkpoint import Checkpoint, load_checkpoint
from yolov7.checkpoints.pretrained import cache_directory
from yolov7.checkpoints.weights import find_weights
from yolov7.data.anchors import best_possible_recall, box_sizes_at, fit_anchors
from yolov7.data.contents import image_digests
from yolov7.data.dataset import find_layout, match_classes
from yolov7.data.layout import UNDIVIDED, Dataset, Layout, choose_split
from yolov7.data.letterbox import whole_strides
from yolov7.data.soundness import require_sound
from yolov7.errors import DataError, UsageError
from yolov7.models.architecture import YOLOV7, Anchors, Architecture, scale
from yolov7.models.detector import Detector
from yolov7.models.zoo import find_architecture
from yolov7.training.batch_size import fitting_batch_on
from yolov7.training.config import TrainConfig
from yolov7.training.hardware import only_gpu, precision
from yolov7.training.recipes import Recipe, changed, find_recipe, recipe_for
from yolov7.training.transfer import parts, transfer

HELD_OUT = 0.1
"""Share of the images that is measured on where no split is there for it."""
NOTHING = "none"
"""The split to measure on of those who want to learn from everything."""

BATCH_SIZE = 16
_POSITIVE = (
    *("epochs", "batch_size", "size", "nodes", "evaluate_every"),
    *("patience", "time_budget", "width"),
)
_NOT_NEGATIVE = ("workers", "seed", "save_interval", "unfreeze_after")
_MOST = 2**63

Say = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """Everything that a run needs.

    Attributes:
        config: with every default resolved.
        recipe: resolved too.
        model: in training form.
        train, val: the data; without `val` nothing is measured.
        size: side of the training images, pixels.
        batch_size: images a step and process.
    """

    config: TrainConfig
    recipe: Recipe
    model: Detector
    train: Dataset
    val: Dataset | None
    size: int
    batch_size: int


def prepare(config: TrainConfig, recipe: Recipe | None, say: Say, *, continued: Path | None = None) -> Run:
    """Open the data, build the network, resolve the recipe; say what was decided.

    Args:
        config: what a person asked for.
        recipe: instead of the one that the configuration names.
        say: told each decision.
        continued: checkpoint of the run that goes on, whose network and anchors are kept.

    Raises:
        UsageError, DataError, CheckpointError, ArchitectureError: with file, line, expected and found.
    """
    _check(config)
    train, val = _datasets(config, say)
    beginning = continued or config.weights
    checkpoint = None if beginning is None else load_checkpoint(find_weights(beginning, say=say))
    architecture = _architecture(config, checkpoint)
    size = config.size or (checkpoint.size if checkpoint is not None else architecture.size)
    size = whole_strides(size, architecture.strides[-1])
    if recipe is None:
        name = config.recipe or recipe_for(architecture, fine_tuning=checkpoint is not None)
        recipe = find_recipe(name)
        say(f"recipe {name}" + (f", with {', '.join(config.set)}" if config.set else ""))
    recipe = changed(recipe, config.set)
    if config.epochs is not None:
        recipe = replace(recipe, epochs=config.epochs)

    anchors = architecture.anchors if checkpoint is None else _pairs(checkpoint.model)
    if config.auto_anchor and continued is None:
        anchors = _fitting_anchors(anchors, train, size, recipe, config.seed, say)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = Detector(architecture, len(train.names), anchors)
    parts(model, config.freeze)  # known now, not when the run has a directory
    if checkpoint is not None and continued is None:
        say(transfer(checkpoint.model, model).summary())
        if folded := checkpoint.folded:
            say(f"folded in these weights, and fresh again: {', '.join(folded)}")
    batch_size = config.batch_size or BATCH_SIZE
    gpu = only_gpu(config)
    if config.batch_size is None and gpu is not None:
        batch_size = fitting_batch_on(gpu, model, size, precision(config, "gpu"))
        say(f"batches of {batch_size} images fit into the GPU's memory")
    resolved = replace(config, size=size, batch_size=batch_size)
    return Run(resolved, recipe, model, train, val, size, batch_size)


def digest(dataset: Dataset) -> str:
    """A fingerprint of the images and labels of a data set, which a resumed run must find again.

    It covers the content of every image file, boxes, classes, polygons and crowds, in their order; not where
    the files lie. They are read once, and again when they have changed.
    """
    text = hashlib.blake2b(digest_size=16)
    text.update(json.dumps(dataset.names).encode())
    contents = image_digests(dataset, cache_directory() / "images")
    for image, content in zip(dataset.images, contents, strict=True):
        outlines = [None if outline is None else len(outline) for outline in image.polygons]
        text.update(json.dumps([content, str(image.image_id), image.size, len(image), outlines]).encode())
        for values in (image.boxes, image.labels, image.crowds, *image.polygons):
            text.update(b"" if values is None else values.tobytes())
    return text.hexdigest()


def _check(config: TrainConfig) -> None:
    if config.data is None:
        raise UsageError("a data set to learn from is needed", expected="data.yaml, COCO json, or a folder")
    for name in (*_POSITIVE, *_NOT_NEGATIVE):
        value = getattr(config, name)
        fits = value is None or 0 < value < _MOST or (value == 0 and name in _NOT_NEGATIVE)
        if not fits:  # NaN neither
            least = "0 or more" if name in _NOT_NEGATIVE else "more than 0"
            raise UsageError(
                f"{name} of a training run", expected=f"a number, {least}, below 2^63", found=value
            )
    if config.width != 1 and config.weights is not None and config.model is None:
        raise UsageError("weights have the width that they have", expected="--model beside --width")


def _datasets(config: TrainConfig, say: Say) -> tuple[Dataset, Dataset | None]:
    """What is learnt from, and what is measured on."""
    assert config.data is not None
    layout = find_layout(config.data, images=config.images)
    undivided = layout.splits == (UNDIVIDED,)
    train = layout.read(UNDIVIDED if undivided else choose_split(config.split, layout.splits, config.data))
    require_sound(train, ignore=config.ignore_defects)
    _report(train, say)
    if not sum(map(len, train.images)):
        raise DataError(
            "nothing to learn: no box in any image", file=config.data, found=f"split {train.split}"
        )
    if config.val_split == NOTHING:
        say("nothing is measured: the last weights are kept, not the best")
        return train, None
    split = None if undivided else _val_split(config, layout)
    if split is None:
        rest, held_out = _hold_out(train)
        say(f"nothing to measure on: {len(held_out)} of {len(train)} images are held out for it")
        return rest, held_out
    val = layout.read(split)
    require_sound(val, ignore=config.ignore_defects)
    match_classes(val.names, train.names, val.has_boxes())
    _report(val, say)
    return train, val


def _report(dataset: Dataset, say: Say) -> None:
    for line in dataset.account():
        say(line)


def _val_split(config: TrainConfig, layout: Layout) -> str | None:
    """What is called val, else test, unless a person says which."""
    assert config.data is not None
    if config.val_split is not None:
        return choose_split(config.val_split, layout.splits, config.data)
    for wanted in ("val", "test"):
        with suppress(DataError):
            return choose_split(wanted, layout.splits, config.data)
    return None


def _hold_out(whole: Dataset) -> tuple[Dataset, Dataset]:
    """The images that a hash of their names puts last, so that new images do not move the others."""
    ranked = sorted(
        whole.images, key=lambda image: (zlib.crc32(str(image.image_id).encode()), str(image.path))
    )
    count = max(1, round(HELD_OUT * len(ranked)))
    chosen = {image.path for image in ranked[:count]}
    apart = tuple(image for image in whole.images if image.path in chosen)
    rest = tuple(image for image in whole.images if image.path not in chosen)
    if not rest:
        raise DataError("a single image cannot be divided", file=whole.path, expected="2 images or more")
    return replace(whole, split="train", images=rest), replace(whole, split="val", images=apart)


def _architecture(config: TrainConfig, checkpoint: Checkpoint | None) -> Architecture:
    if config.model is None and checkpoint is not None:
        return checkpoint.model.architecture
    architecture = YOLOV7 if config.model is None else find_architecture(config.model)
    return scale(architecture, width=config.width, branch=config.width)


def _pairs(model: Detector) -> Anchors:
    return tuple(tuple((float(w), float(h)) for w, h in level) for level in model.anchors.tolist())


def _fitting_anchors(
    anchors: Anchors, train: Dataset, size: int, recipe: Recipe, seed: int, say: Say
) -> Anchors:
    """The anchors themselves where they reach nearly all boxes, else such as do."""
    sizes = box_sizes_at(train, size)
    recall = best_possible_recall(sizes, anchors)
    if recall >= recipe.anchor_recall:
        return anchors
    fitted = fit_anchors(sizes, len(anchors), len(anchors[0]), seed=seed)
    better = best_possible_recall(sizes, fitted)
    if better <= recall:
        say(f"anchors reach {recall:.1%} of the boxes; none that were tried reach more")
        return anchors
    say(f"anchors reach {recall:.1%} of the boxes: fitted to the data, these reach {better:.1%}")
    return fitted
