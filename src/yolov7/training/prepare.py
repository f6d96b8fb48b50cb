"""Resolve the options of a run: data, recipe, network, batch size."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from yolov7.checkpoints.checkpoint import Checkpoint, load_checkpoint
from yolov7.checkpoints.description import describe
from yolov7.checkpoints.weights import find_weights
from yolov7.data.anchors import suitable_anchors
from yolov7.data.classes import match_classes
from yolov7.data.dataset import UNDIVIDED, Dataset, Layout, choose_split
from yolov7.errors import DataError, UsageError
from yolov7.formats.opening import find_layout
from yolov7.images.letterbox import whole_strides
from yolov7.memory import enough_for_images
from yolov7.models.architecture import YOLOV7, Anchors, Architecture, scale
from yolov7.models.detector import Detector
from yolov7.models.zoo import find_architecture
from yolov7.plugins import adopt
from yolov7.text import plural
from yolov7.training.config import Network, TrainConfig
from yolov7.training.machine import Machine, find_machine, fitting_batch_on
from yolov7.training.recipes import RULES, Recipe, as_assignments, changed, find_recipe, recipe_for
from yolov7.training.transfer import parts, transfer

HELD_OUT = 0.1
"""Fraction of the images held out for validation if the data set has no validation split."""
NO_VALIDATION = "none"
"""Value of --val-split that disables validation."""
NETWORK = "network.safetensors"
"""File in a run's directory with its initial network, if that has no name."""
BATCH_SIZE = 16
_POSITIVE = ("epochs", "batch_size", "size", "nodes", "evaluate_every", "patience", "time_budget", "width")
_NOT_NEGATIVE = ("workers", "seed", "save_interval", "unfreeze_after")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """A resolved training run."""

    config: TrainConfig  # with defaults resolved
    recipe: Recipe  # with changes applied
    model: Detector  # in training form
    train: Dataset
    val: Dataset | None  # None: no validation
    size: int  # side of the training images, pixels
    batch_size: int  # images per batch and process
    machine: Machine
    own: bool = False  # True if the network is user-defined, and so cannot be rebuilt by name


def prepare(config: TrainConfig, recipe: Recipe | None, say: Say, *, continued: Path | None = None) -> Run:
    """Open the data, resolve the recipe and build the network.

    A given recipe replaces the one named in the options. ``continued`` is the checkpoint of a resumed run,
    whose network and anchors are kept.

    Raises:
        UsageError: invalid options.
        DataError: missing, damaged or empty data set.
        CheckpointError: weights that cannot be read.
        ArchitectureError: unknown or invalid network.
    """
    _check(config)
    machine = find_machine(config)
    train, val = _datasets(config, say)
    initial = None if config.resume is None else Path(config.resume) / NETWORK
    file = continued or (initial if initial is not None and initial.exists() else None)
    checkpoint = _starting_point(config, say) if file is None else load_checkpoint(file)
    # A resumed run takes the network from its file.
    architecture = _architecture(config.model if file is None else None, config.width, checkpoint)
    describe(architecture)  # raises now if the network could not be saved later
    size = config.size or (checkpoint.size if checkpoint is not None else architecture.size)
    size = whole_strides(size, architecture.strides[-1])
    recipe = _recipe(config, recipe, architecture, say)
    anchors = architecture.anchors if checkpoint is None else _anchors(checkpoint.model)
    if config.auto_anchor and file is None:
        anchors, decision = suitable_anchors(anchors, train, size, recipe.anchor_recall, config.seed)
        if decision:
            say(decision)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = Detector(architecture, len(train.names), anchors)
    parts(model, config.freeze)  # raises now, before the run has a directory
    if checkpoint is not None and continued is None:
        say(transfer(checkpoint.model, model).summary())
        if folded := checkpoint.folded:
            say(f"folded in these weights, so fresh again: {', '.join(folded)}")
    batch_size = config.batch_size or BATCH_SIZE
    with enough_for_images(size, size, batch_size, what="training images"):
        if config.batch_size is None and machine.only_gpu is not None:
            batch_size = fitting_batch_on(machine.only_gpu, model, size, machine.precision)
            say(f"batches of {plural(batch_size, 'image')} fit into the GPU's memory")
    own = isinstance(config.model, (Architecture, Detector))
    config = replace(
        config,
        model=architecture.name if own else config.model,
        set=as_assignments(config.set),
        size=size,
        batch_size=batch_size,
    )
    return Run(config, recipe, model, train, val, size, batch_size, machine, own)


def _recipe(config: TrainConfig, recipe: Recipe | None, architecture: Architecture, say: Say) -> Recipe:
    """Resolve the recipe: the given one, or the one named in the options, with their changes.

    Raises:
        UsageError: unknown recipe, invalid change, or a guidance that the network would ignore.
    """
    if recipe is None:
        name = config.recipe or recipe_for(architecture, fine_tuning=config.weights is not None)
        recipe = find_recipe(name)
        changes = as_assignments(config.set)
        say(f"recipe {name}" + (f", with {', '.join(changes)}" if changes else ""))
    if config.resume is None:  # a resumed run's recipe has the changes already
        recipe = changed(recipe, config.set)
    if recipe.guidance not in RULES["guidance"].values() and not architecture.auxiliary:
        raise UsageError(
            f"the guidance is for auxiliary heads, but {architecture.name} has none",
            expected="an architecture with `auxiliary` widths, such as yolov7-w6",
            found=f"guidance {getattr(recipe.guidance, '__name__', recipe.guidance)}",
        )
    adopt(recipe.guidance, recipe.loss)
    return recipe if config.epochs is None else replace(recipe, epochs=config.epochs)


def _starting_point(config: TrainConfig, say: Say) -> Checkpoint | None:
    """Checkpoint that gives the initial weights, anchors and size, if any."""
    if isinstance(config.model, Detector):
        if config.weights is not None:
            raise UsageError(
                "a Detector brings its own weights",
                expected="either model=Detector or weights, not both",
                found=f"weights {config.weights}",
            )
        return Checkpoint(config.model, (), config.model.architecture.size, "open-yolov7", "float32")
    return None if config.weights is None else load_checkpoint(find_weights(config.weights, say=say))


def _check(config: TrainConfig) -> None:
    if config.data is None:
        raise UsageError("a training data set is needed", expected="data.yaml, COCO json, or a folder")
    for names, least in ((_POSITIVE, "more than 0"), (_NOT_NEGATIVE, "0 or more")):
        for name in names:
            value = getattr(config, name)
            valid = value is None or 0 < value < 2**63 or (value == 0 and names is _NOT_NEGATIVE)
            if not valid:  # NaN is not valid either
                raise UsageError(
                    f"invalid {name} of a training run",
                    expected=f"a number, {least}, below 2^63",
                    found=value,
                )
    has_weights = isinstance(config.model, Detector) or (config.weights is not None and config.model is None)
    if config.width != 1 and has_weights:
        raise UsageError("--width needs a network with fresh weights", expected="--model beside --width")


def _datasets(config: TrainConfig, say: Say) -> tuple[Dataset, Dataset | None]:
    """Open the training set, and the validation set if there is one."""
    assert config.data is not None
    layout = find_layout(config.data, images=config.images)
    undivided = layout.splits == (UNDIVIDED,)
    train = layout.read(UNDIVIDED if undivided else choose_split(config.split, layout.splits, config.data))
    train.require_sound(ignore=config.ignore_defects)
    for line in train.account():
        say(line)
    if not sum(map(len, train.images)):
        raise DataError(
            "nothing to train on: no box in any image", file=config.data, found=f"split {train.split}"
        )
    if config.val_split == NO_VALIDATION:
        say("no validation: the last weights are kept, not the best")
        return train, None
    split = None if undivided else _val_split(config, layout)
    if split is None:
        rest, held_out = train.hold_out(HELD_OUT)
        say(f"no validation split: {len(held_out)} of {len(train)} images are held out")
        return rest, held_out
    val = layout.read(split)
    val.require_sound(ignore=config.ignore_defects)
    match_classes(val.names, train.names, val.has_boxes())
    for line in val.account():
        say(line)
    return train, val


def _val_split(config: TrainConfig, layout: Layout) -> str | None:
    """Choose the validation split: the option, else val, else test, else None."""
    assert config.data is not None
    if config.val_split is not None:
        return choose_split(config.val_split, layout.splits, config.data)
    for wanted in ("val", "test"):
        with suppress(DataError):
            return choose_split(wanted, layout.splits, config.data)
    return None


def _architecture(given: Network, width: float, checkpoint: Checkpoint | None) -> Architecture:
    if checkpoint is not None and (given is None or isinstance(given, Detector)):
        return checkpoint.model.architecture
    if not isinstance(given, Architecture):
        given = YOLOV7 if given is None else find_architecture(str(given))
    return scale(given, width=width, branch=width)


def _anchors(model: Detector) -> Anchors:
    return tuple(tuple((width, height) for width, height in level) for level in model.anchors.tolist())
