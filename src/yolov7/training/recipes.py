"""How networks learn, as the paper's recipes: each a constant, each difference visible.

Source: the published recipes for COCO train2017 from scratch (Sec. 5.1 says what they are for).
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from yolov7.assign.guidance import Guidance, coarse_to_fine, independent, lead_guided
from yolov7.data.augment import Augmentation
from yolov7.errors import UsageError
from yolov7.losses.auxiliary import Auxiliary
from yolov7.losses.detection import Gains
from yolov7.models.architecture import Architecture
from yolov7.text import did_you_mean


@dataclass(frozen=True)
class Recipe:
    """The numbers of a training run.

    Attributes:
        epochs: passes over the data.
        learning_rate: of SGD for a nominal batch.
        final_share: of it is left after the cosine.
        momentum, weight_decay: of SGD.
        nominal_batch: images a step of the optimiser is meant for; gradients of smaller batches are summed.
        warmup_epochs, warmup_iterations: the longer of both is the warm-up,
        warmup_share: of the run, beyond which warmup_iterations do not reach.
        warmup_momentum, warmup_bias_rate: where momentum and the biases' learning rate start.
        gains: weights of the losses, before they are scaled to levels, classes and size.
        guidance: which head's predictions decide about which head's labels (Fig. 5, Table 6).
        auxiliary: weight and upper bound of the auxiliary heads' loss (Table 7).
        label_smoothing: e; class targets become 1 - e/2 and e/2.
        augmentation: of the images.
        close_mosaic: last epochs without mosaic and mixup.
        ema_decay, ema_ramp: memory of the average, and the updates it takes to grow.
        ema_share: of the updates so far that the average remembers at least.
        anchor_recall: share of boxes that anchors must reach, or they are fitted again.
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
    auxiliary: Auxiliary = field(default_factory=Auxiliary)
    label_smoothing: float = 0.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    close_mosaic: int = 0
    ema_decay: float = 0.9999
    ema_ramp: float = 2000
    ema_share: float = 0.1
    anchor_recall: float = 0.98

    def to_dict(self) -> dict[str, Any]:
        """Plain values for json; :func:`recipe_from` is the way back."""
        return {**dataclasses.asdict(self), "guidance": self.guidance.__name__}


GUIDANCE = {rule.__name__: rule for rule in (independent, lead_guided, coarse_to_fine)}

COCO_P5 = Recipe(
    augmentation=Augmentation(translate=0.2, scale=0.9, mixup=0.15, paste_in=0.15),
)
"""YOLOv7 and YOLOv7-X at 640."""

COCO_P6 = replace(COCO_P5, final_share=0.2)
"""W6, E6, D6 and E6E at 1280."""

TINY = replace(
    COCO_P5,
    final_share=0.01,
    gains=Gains(box=0.05, objectness=1.0, classes=0.5),
    augmentation=Augmentation(translate=0.1, scale=0.5, mixup=0.05, paste_in=0.05),
)
"""YOLOv7-tiny: a small network needs less disguise."""

FINE_TUNE = replace(
    COCO_P5,
    epochs=100,
    # Fast biases, and a rate that is high at once, would unlearn what the weights know: a run of fewer than
    # 1,000 iterations stays in its warm-up.
    warmup_bias_rate=0.0,
    warmup_share=1.0,
    augmentation=replace(COCO_P5.augmentation, scale=0.5, mixup=0.0, paste_in=0.0),
)
"""From weights that know something already."""

RECIPES = {"p5": COCO_P5, "p6": COCO_P6, "tiny": TINY, "fine-tune": FINE_TUNE}


def recipe_for(architecture: Architecture, *, fine_tuning: bool) -> str:
    """Name of the recipe that suits a network."""
    if fine_tuning:
        return "fine-tune"
    if len(architecture.strides) > 3:
        return "p6"
    return "tiny" if architecture.name.startswith("yolov7-tiny") else "p5"


def find_recipe(name: str) -> Recipe:
    """A recipe by its name, or out of a run's recipe.json.

    Raises:
        UsageError: there is none.
    """
    if name in RECIPES:
        return RECIPES[name]
    if not Path(name).is_file():
        raise UsageError(
            "unknown recipe", expected=", ".join(RECIPES) + " or a run's recipe.json", found=repr(name)
        )
    try:
        return recipe_from(json.loads(Path(name).read_text()))
    except (OSError, ValueError) as error:
        raise UsageError("not a recipe", file=name, found=error) from None


def recipe_from(values: Mapping[str, Any]) -> Recipe:
    """The recipe whose :meth:`Recipe.to_dict` this is; what is not named keeps its default.

    Raises:
        UsageError: a name or a value that no recipe has.
    """
    recipe: Recipe = _filled(Recipe(), values, "")
    return recipe


def changed(recipe: Recipe, assignments: Sequence[str]) -> Recipe:
    """A recipe with numbers changed: ("learning_rate=0.02", "augmentation.mosaic=0.5").

    Raises:
        UsageError: a name or a value that no recipe has.
    """
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError("a change of the recipe", expected="NAME=VALUE", found=repr(assignment))
        try:
            value = json.loads(text.lower())
        except ValueError:
            value = text
        for part in reversed(name.strip().split(".")):
            value = {part: value}
        recipe = _filled(recipe, value, "")
    return recipe


def _filled(defaults: Any, values: Any, prefix: str) -> Any:
    """A dataclass with some of its values replaced, level by level."""
    if not isinstance(values, Mapping):
        raise UsageError(
            f"{prefix.rstrip('.')} of a recipe has parts", expected=_names(defaults), found=values
        )
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if name not in {f.name for f in fields(defaults)}:
            known = [f.name for f in fields(defaults)]
            meant = did_you_mean(_OTHER_WORDS.get(name, str(name)), known)
            raise UsageError(
                f"a recipe has no such number{meant}", expected=_names(defaults), found=f"{prefix}{name}"
            )
        current = getattr(defaults, name)
        if current in GUIDANCE.values():
            if value not in GUIDANCE:
                raise UsageError(f"{name} of a recipe", expected=", ".join(GUIDANCE), found=repr(value))
            changes[name] = GUIDANCE[value]
        elif is_dataclass(current):
            changes[name] = _filled(current, value, f"{prefix}{name}.")
        else:
            changes[name] = _number_like(current, value, f"{prefix}{name}")
    return replace(defaults, **changes)


_OTHER_WORDS = {"lr": "learning_rate", "lr0": "learning_rate", "lrf": "final_share", "wd": "weight_decay"}
"""Names that others have for numbers of a recipe."""


def _number_like(current: bool | int | float, value: Any, name: str) -> bool | int | float:
    kind = type(current)
    fits = isinstance(value, bool) if kind is bool else isinstance(value, (int, float))
    if not fits or (isinstance(value, bool) and kind is not bool) or (kind is int and value != int(value)):
        raise UsageError(
            f"{name} of a recipe", expected=f"{kind.__name__} such as {current}", found=repr(value)
        )
    if not math.isfinite(value) or value < 0:
        raise UsageError(f"{name} of a recipe", expected="a finite number, 0 or more", found=value)
    return kind(value)


def _names(defaults: Any) -> str:
    return ", ".join(f.name for f in fields(defaults))
