"""Training recipes: the hyperparameters of the paper's networks, as constants.

Source: the published recipes for training on COCO train2017 from scratch (Sec. 5.1).
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from yolov7 import plugins
from yolov7.assign.guidance import Guidance, coarse_to_fine, independent, lead_guided
from yolov7.errors import UsageError
from yolov7.files import is_file
from yolov7.losses.detection import Auxiliary, DetectionLoss, Gains, LossMaker
from yolov7.models.architecture import Architecture
from yolov7.samples.augmentation import Augmentation
from yolov7.text import did_you_mean


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of a training run, with its guidance and loss.

    Attributes:
        epochs: passes over the data.
        learning_rate: peak learning rate of SGD.
        final_share: final learning rate as a fraction of the peak.
        momentum, weight_decay: settings of SGD.
        nominal_batch: images per optimiser step; gradients of smaller batches are summed.
        warmup_epochs, warmup_iterations: length of the warm-up, whichever is longer.
        warmup_share: upper limit of warmup_iterations, as a fraction of the run.
        warmup_momentum, warmup_bias_rate: initial momentum, and initial learning rate of biases.
        gains: weights of the losses, before scaling by levels, classes and size.
        guidance: label assignment of lead and auxiliary heads (Fig. 5, Table 6), a
            :data:`yolov7.assign.guidance.Guidance`; your own is stored by its import path.
        loss: factory of the network's loss, a :data:`yolov7.losses.detection.LossMaker`; your own is stored
            by its import path.
        auxiliary: weight of the auxiliary heads' loss, and upper bound of their objectness (Table 7).
        label_smoothing: e; class targets become 1 - e/2 and e/2.
        augmentation: settings of mosaic, mixup, paste-in and the other random transforms.
        close_mosaic: final epochs without mosaic and mixup.
        ema_decay, ema_ramp: final decay of the moving average, and time constant of its rise in updates.
        ema_share: minimum fraction of the updates so far that the average covers.
        anchor_recall: fraction of boxes that anchors must match; below it, they are fitted to the data.

    Raises:
        UsageError: a value that is not a finite number, or out of range.

    >>> Recipe(epochs=10, gains=Gains(box=0.05, objectness=1.0, classes=0.5)).momentum
    0.937
    """

    epochs: int = 300
    learning_rate: float = 0.01
    final_share: float = 0.1
    momentum: float = 0.937
    weight_decay: float = 5e-4
    nominal_batch: int = 64
    warmup_epochs: float = 3.0
    warmup_iterations: int = 1000
    warmup_share: float = 0.05
    warmup_momentum: float = 0.8
    warmup_bias_rate: float = 0.1
    gains: Gains = field(default_factory=lambda: Gains(box=0.05, objectness=0.7, classes=0.3))
    guidance: Guidance = coarse_to_fine
    loss: LossMaker = DetectionLoss
    auxiliary: Auxiliary = field(default_factory=Auxiliary)
    label_smoothing: float = 0.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    close_mosaic: int = 0
    ema_decay: float = 0.9999
    ema_ramp: float = 2000
    ema_share: float = 0.1
    anchor_recall: float = 0.98

    def __post_init__(self) -> None:
        numbers = {f.name: getattr(self, f.name) for f in fields(self)}
        for part in ("gains", "auxiliary"):
            numbers |= {f"{part}.{name}": value for name, value in vars(numbers.pop(part)).items()}
        for name in ("guidance", "loss", "augmentation"):
            del numbers[name]
        for name, value in numbers.items():
            least, most = _RANGES.get(name, (0, math.inf))
            if not isinstance(value, (int, float)) or not math.isfinite(value) or not least <= value <= most:
                limit = f", at most {most:g}" if most < math.inf else ""
                expected = f"a finite number, {least:g} or more{limit}"
                raise UsageError(f"invalid {name} of a recipe", expected=expected, found=repr(value))

    def to_dict(self) -> dict[str, Any]:
        """The recipe as values for JSON; the inverse of :func:`recipe_from`."""
        return dataclasses.asdict(self) | {name: _name_of_rule(name, getattr(self, name)) for name in RULES}


_RANGES = {
    "epochs": (1, math.inf),
    "nominal_batch": (1, math.inf),
    "ema_ramp": (1, math.inf),
    "momentum": (0.01, 0.9999),  # Nesterov needs momentum above 0
    "warmup_momentum": (0.01, 0.9999),
    "label_smoothing": (0, 1),
    "ema_decay": (0, 1),
    "anchor_recall": (0, 1),
}
"""Smallest and largest allowed values, if not (0, inf)."""

RULES: dict[str, dict[str, Any]] = {
    "guidance": {rule.__name__: rule for rule in (independent, lead_guided, coarse_to_fine)},
    "loss": {DetectionLoss.__name__: DetectionLoss},
}
"""Fields of a recipe that hold a function or class, and the built-in choices by name."""

COCO_P5 = Recipe()
"""YOLOv7 and YOLOv7-X at 640: all defaults are theirs."""

COCO_P6 = replace(COCO_P5, final_share=0.2)
"""W6, E6, D6 and E6E at 1280."""

TINY = replace(
    COCO_P5,
    final_share=0.01,
    gains=Gains(box=0.05, objectness=1.0, classes=0.5),
    augmentation=Augmentation(translate=0.1, scale=0.5, mixup=0.05, paste_in=0.05),
)
"""YOLOv7-tiny: a small network needs weaker augmentation."""

FINE_TUNE = replace(
    COCO_P5,
    epochs=100,
    # High learning rates at the start would destroy the pretrained features: a run of fewer than 1,000
    # iterations stays in its warm-up.
    warmup_bias_rate=0.0,
    warmup_share=1.0,
    augmentation=replace(COCO_P5.augmentation, scale=0.5, mixup=0.0, paste_in=0.0),
)
"""Fine-tuning of pretrained weights."""

RECIPES = {"p5": COCO_P5, "p6": COCO_P6, "tiny": TINY, "fine-tune": FINE_TUNE}


def recipe_for(architecture: Architecture, *, fine_tuning: bool) -> str:
    """Name of the recipe that suits a network.

    Networks with four levels or more take p6; others take tiny if no block has more than two convolutions,
    else p5.

    >>> from yolov7.models.architecture import YOLOV7
    >>> recipe_for(YOLOV7, fine_tuning=False)
    'p5'
    """
    if fine_tuning:
        return "fine-tune"
    if len(architecture.neck) > 3:
        return "p6"
    blocks = [*(stage.block for stage in architecture.stages), *architecture.neck]
    return "tiny" if max(block.depth for block in blocks) <= 2 else "p5"


def find_recipe(name: str) -> Recipe:
    """Find a recipe by name, or read it from a run's recipe.json.

    Raises:
        UsageError: unknown name, or not a recipe file.

    >>> find_recipe("p6").final_share
    0.2
    """
    if name in RECIPES:
        return RECIPES[name]
    if not is_file(name):
        raise UsageError(
            "unknown recipe", expected=", ".join(RECIPES) + " or a run's recipe.json", found=repr(name)
        )
    try:
        return recipe_from(json.loads(Path(name).read_text()))
    except (OSError, ValueError) as error:
        raise UsageError("not a recipe", file=name, found=error) from None


def recipe_from(values: Mapping[str, Any]) -> Recipe:
    """Build a recipe from the values of :meth:`Recipe.to_dict`; missing ones keep their defaults.

    Raises:
        UsageError: unknown name or invalid value.

    >>> recipe_from(TINY.to_dict()) == TINY
    True
    """
    return _filled(Recipe(), values)


def changed(recipe: Recipe, changes: Mapping[str, Any] | Sequence[str]) -> Recipe:
    """Copy of a recipe with some values changed.

    Args:
        recipe: original recipe.
        changes: values by name, or assignments NAME=VALUE as on the command line.

    Raises:
        UsageError: unknown name or invalid value.

    >>> changed(TINY, {"learning_rate": 0.02, "augmentation.mosaic": 0.5}) == changed(
    ...     TINY, ["learning_rate=0.02", "augmentation.mosaic=0.5"]
    ... )
    True
    """
    return _filled(recipe, changes if isinstance(changes, Mapping) else dict(map(_assignment, changes)))


def _assignment(text: str) -> tuple[str, Any]:
    """Split NAME=VALUE into a name and a value."""
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError("invalid change of the recipe", expected="NAME=VALUE", found=repr(text))
    try:
        return name.strip(), json.loads(value.lower())
    except ValueError:
        return name.strip(), value


def as_assignments(changes: Mapping[str, Any] | Sequence[str]) -> tuple[str, ...]:
    """Changes of a recipe as NAME=VALUE, for files and messages."""
    if not isinstance(changes, Mapping):
        return tuple(changes)
    shown = {name: _name_of_rule(name, value) if name in RULES else value for name, value in changes.items()}
    return tuple(f"{name}={value}" for name, value in shown.items())


def _filled(defaults: Any, values: Any, prefix: str = "") -> Any:
    """Copy a dataclass with some fields replaced; dotted names reach into its parts: augmentation.mosaic."""
    known = [f.name for f in fields(defaults)]
    if not isinstance(values, Mapping):
        where = prefix.rstrip(".") or "content"
        raise UsageError(f"invalid {where} of a recipe", expected=", ".join(known), found=values)
    changes: dict[str, Any] = {}
    for path, value in values.items():
        name, dot, rest = str(path).partition(".")
        if name not in known:
            meant = did_you_mean(_OTHER_WORDS.get(name, name), known)
            raise UsageError(
                f"a recipe has no such setting{meant}", expected=", ".join(known), found=f"{prefix}{path}"
            )
        current = changes.get(name, getattr(defaults, name))
        value = {rest: value} if dot else value
        if not prefix and name in RULES:
            changes[name] = _rule(name, value)
        elif not is_dataclass(current):
            changes[name] = _number_like(current, value, f"{prefix}{name}")
        elif isinstance(value, type(current)):
            changes[name] = value
        else:
            changes[name] = _filled(current, value, f"{prefix}{name}.")
    return replace(defaults, **changes)


_OTHER_WORDS = {"lr": "learning_rate", "lr0": "learning_rate", "lrf": "final_share", "wd": "weight_decay"}
"""Common names of hyperparameters, for suggestions."""


def _rule(name: str, value: Any) -> Any:
    """Resolve a guidance or loss, given directly or by its name in a file."""
    if callable(value):
        return value
    text = value if isinstance(value, str) else ""
    found = RULES[name].get(text) or plugins.registered(text)
    if found is None:
        own = ":" in text
        raise UsageError(
            f"the recipe has a user-defined {name}, which is not imported on a file's word"
            if own
            else f"unknown {name} of a recipe",
            expected=plugins.how_to_register(text) if own else f"{', '.join(RULES[name])}, or MODULE:NAME",
            found=repr(value),
        )
    return found


def _name_of_rule(name: str, rule: Any) -> str:
    """Name of a guidance or loss in a file; without an import path, a descriptive name."""
    short = getattr(rule, "__name__", "")
    if RULES[name].get(short) is rule:
        return str(short)
    if plugins.has_import_path(rule):
        return plugins.import_path(rule)
    return str(getattr(rule, "__qualname__", type(rule).__name__))


def _number_like(current: bool | int | float, value: Any, name: str) -> bool | int | float:
    kind = type(current)
    fits = isinstance(value, bool) if kind is bool else isinstance(value, (int, float))
    if not fits or (isinstance(value, bool) and kind is not bool) or (kind is int and value != value // 1):
        raise UsageError(
            f"invalid {name} of a recipe", expected=f"{kind.__name__} such as {current}", found=repr(value)
        )
    return kind(value)
