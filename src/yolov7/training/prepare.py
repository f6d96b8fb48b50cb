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
from yolov7.checkpoints.native import describe
from yolov7.checkpoints.pretrained import cache_directory
from yolov7.checkpoints.weights import find_weights
from yolov7.data.anchors import best_possible_recall, box_sizes_at, fit_anchors
from yolov7.data.contents import image_digests
from yolov7.data.dataset import find_layout, match_classes
from yolov7.data.layout import UNDIVIDED, Dataset, Layout, choose_split
from yolov7.data.letterbox import whole_strides
from yolov7.data.soundness import require_sound
from yolov7.errors import DataError, UsageError
from yolov7.memory import enough_for_images
from yolov7.models.architecture import YOLOV7, Anchors, Architecture, scale
from yolov7.models.detector import Detector
from yolov7.models.zoo import find_architecture
from yolov7.plugins import adopt
from yolov7.text import plural
from yolov7.training.batch_size import fitting_batch_on
from yolov7.training.config import TrainConfig
from yolov7.training.hardware import only_gpu, precision
from yolov7.training.recipes import RULES, Recipe, as_assignments, changed, find_recipe, recipe_for
from yolov7.training.transfer import parts, transfer

HELD_OUT = 0.1
"""Share of the images that is measured on where no split is there for it."""
NOTHING = "none"
"""The split to measure on of those who want to learn from everything."""

NETWORK = "network.safetensors"
"""File of a run with the network that it began with, where that has no name."""
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
        own: whether the network has no name that a later run could find it by.
    """

    config: TrainConfig
    recipe: Recipe
    model: Detector
    train: Dataset
    val: Dataset | None
    size: int
    batch_size: int
    own: bool = False


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
    initial = _initial_network(config, continued)
    file = continued or initial
    checkpoint = _starting_point(config, say) if file is None else load_checkpoint(file)
    # A run that goes on has its network in its file.
    architecture = _architecture(replace(config, model=None) if file else config, checkpoint)
    describe(architecture)  # what could not be saved is not trained
    size = config.size or (checkpoint.size if checkpoint is not None else architecture.size)
    size = whole_strides(size, architecture.strides[-1])
    if recipe is None:
        name = config.recipe or recipe_for(architecture, fine_tuning=config.weights is not None)
        recipe = find_recipe(name)
        changes = as_assignments(config.set)
        say(f"recipe {name}" + (f", with {', '.join(changes)}" if changes else ""))
    if config.resume is None:  # else it is in the run's recipe
        recipe = changed(recipe, config.set)
    _require_rules(recipe, architecture)
    if config.epochs is not None:
        recipe = replace(recipe, epochs=config.epochs)

    anchors = architecture.anchors if checkpoint is None else _pairs(checkpoint.model)
    if config.auto_anchor and continued is None and initial is None:
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
    with enough_for_images(size, size, batch_size, what="training images"):
        gpu = only_gpu(config)
        if config.batch_size is None and gpu is not None:
            batch_size = fitting_batch_on(gpu, model, size, precision(config, "gpu"))
            say(f"batches of {plural(batch_size, 'image')} fit into the GPU's memory")
    own = initial is not None or isinstance(config.model, (Architecture, Detector))
    resolved = replace(
        config,
        model=architecture.name if isinstance(config.model, (Architecture, Detector)) else config.model,
        set=as_assignments(config.set),
        size=size,
        batch_size=batch_size,
    )
    return Run(resolved, recipe, model, train, val, size, batch_size, own)


def _initial_network(config: TrainConfig, continued: Path | None) -> Path | None:
    """The file of a network that has no name, where a run begins anew that has no state yet."""
    path = None if config.resume is None or continued is not None else Path(config.resume) / NETWORK
    return path if path is not None and path.exists() else None


def _starting_point(config: TrainConfig, say: Say) -> Checkpoint | None:
    """The network whose weights, anchors and size are taken over, if there is one."""
    if isinstance(config.model, Detector):
        if config.weights is not None:
            raise UsageError(
                "a Detector brings its own weights",
                expected="either model=Detector or weights, not both",
                found=f"weights {config.weights}",
            )
        return Checkpoint(config.model, (), config.model.architecture.size, "open-yolov7", "float32")
    return None if config.weights is None else load_checkpoint(find_weights(config.weights, say=say))


def _require_rules(recipe: Recipe, architecture: Architecture) -> None:
    """Refuse what no run of this network would use, and remember what its files will refer to."""
    if recipe.guidance not in RULES["guidance"].values() and not architecture.auxiliary:
        raise UsageError(
            f"the guidance decides about auxiliary heads, and {architecture.name} has none",
            expected="an architecture with `auxiliary` widths, such as yolov7-w6",
            found=f"guidance {getattr(recipe.guidance, '__name__', recipe.guidance)}",
        )
    adopt(recipe.guidance, recipe.loss)


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
    has_weights = isinstance(config.model, Detector) or (config.weights is not None and config.model is None)
    if config.width != 1 and has_weights:
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
    given = config.model
    if checkpoint is not None and (given is None or isinstance(given, Detector)):
        return checkpoint.model.architecture
    if isinstance(given, Architecture):
        architecture = given
    else:
        assert not isinstance(given, Detector)
        architecture = YOLOV7 if given is None else find_architecture(given)
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
