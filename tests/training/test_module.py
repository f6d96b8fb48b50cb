"""The training step against plain torch: what follows from a recipe, image by image, number by number.

The plain form shares the network, SimOTA and the data's types with the package, each of which has its own
tests, and nothing with the step: not its schedule, groups, optimiser, loss, gains or average.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn

from tests.losses.reference import plain_losses
from yolov7.assign.guidance import coarse_to_fine, independent
from yolov7.assign.simota import simota
from yolov7.losses.detection import Auxiliary, Gains
from yolov7.models.architecture import YOLOV7_TINY, YOLOV7_W6, Architecture, scale
from yolov7.models.blocks import silu
from yolov7.models.decode import HeadOutput
from yolov7.models.detector import Detector, create
from yolov7.quiet import errors_only
from yolov7.reproduce.tables import TABLE_6, TABLE_7, Row
from yolov7.training.config import TrainConfig
from yolov7.training.module import TrainingModule
from yolov7.training.optim import Schedule
from yolov7.training.recipes import Recipe, changed
from yolov7.types import Assignment, Batch, Predictions, Targets

W6 = replace(scale(YOLOV7_W6, width=1 / 32, branch=1 / 16, depth=0.5), name="w6, narrow")
TINY = replace(scale(YOLOV7_TINY, width=1 / 8, branch=1 / 4), name="tiny, narrow", activation=silu)
"""Without leaky ReLUs: where one turns over, rounding becomes another gradient."""
IMAGES, SIZE, CLASSES, ITERATIONS, EPOCHS = 3, 128, 5, 3, 3
OTHER_NUMBERS = Recipe(
    epochs=EPOCHS,
    learning_rate=0.004,
    final_share=0.3,
    momentum=0.9,
    weight_decay=0.1,
    nominal_batch=8,
    warmup_epochs=1.5,
    warmup_iterations=0,
    warmup_momentum=0.5,
    warmup_bias_rate=0.01,
    gains=Gains(box=0.11, objectness=1.7, classes=0.9),
    guidance=independent,
    auxiliary=Auxiliary(weight=0.6, upper_bound=False),
    label_smoothing=0.2,
    ema_decay=0.95,
    ema_ramp=3,
    ema_share=0.0,
)


def make_batches(seed: int = 0) -> list[Batch]:
    """As many batches as an epoch has: noise, with boxes of many sizes."""
    g = torch.Generator().manual_seed(seed)
    batches = []
    for index in range(ITERATIONS):
        boxes = 5 + index
        centre = torch.rand(boxes, 2, generator=g) * SIZE
        half = torch.exp(torch.rand(boxes, 2, generator=g) * 2.5 + 1.5) / 2
        corners = torch.cat((centre - half, centre + half), 1).clamp(0, SIZE)
        image = torch.randint(0, IMAGES, (boxes,), generator=g)
        labels = torch.randint(0, CLASSES, (boxes,), generator=g)
        pixels = torch.randint(0, 256, (IMAGES, 3, SIZE, SIZE), generator=g, dtype=torch.uint8)
        batches.append(Batch(pixels, Targets(image, corners, labels)))
    return batches


def make_model(architecture: Architecture) -> Detector:
    """The same each time, in float64: nothing turns over in it that should not, whatever the processor.

    Its convolutions keep the variance, so that deep ones learn too.
    """
    torch.manual_seed(0)
    model = create(architecture, classes=CLASSES).double()
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.bias is None:
            nn.init.kaiming_normal_(module.weight)
    model.register_forward_pre_hook(lambda _, images: (images[0].double(),))
    return model


def run_steps(
    model: Detector, recipe: Recipe, batches: Sequence[Batch], **options: Any
) -> tuple[TrainingModule, list[float]]:
    """Real steps, by Lightning; and the mean loss of each epoch."""
    schedule = Schedule(recipe, ITERATIONS, IMAGES)
    module = TrainingModule(model, schedule, SIZE, TrainConfig(**options))
    means: list[float] = []

    class Means(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            means.append(module.mean_losses()["total"])

    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        callbacks=[Means()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader: Any = _Loader(batches)
    with errors_only("lightning.pytorch", warned_by=r"(lightning|torch)\..*"):
        trainer.fit(module, loader)
    return module, means


class _Loader:
    """Not a list: Lightning would wait for workers."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Any:
        return iter(self.batches)


class PlainTraining:
    """The published training step, one line after the other: SGD, groups, warm-up, average.

    Parameters whose names begin with `frozen` learn, and their batch norms measure, from the second epoch on.
    """

    def __init__(self, model: Detector, recipe: Recipe, frozen: str | None = None) -> None:
        self.model, self.recipe, self.frozen = model, recipe, frozen
        self.values = dict(model.named_parameters())
        self.momentum: dict[str, Tensor] = {}
        self.average: dict[str, Tensor] = {}
        self.updates = 0

    def run(self, batches: Sequence[Batch]) -> list[float]:
        """All epochs; the mean loss of each."""
        r, means = self.recipe, []
        warmup = round(r.warmup_epochs * ITERATIONS)
        accumulate = max(1, round(r.nominal_batch / IMAGES))
        decay = r.weight_decay * IMAGES * accumulate / r.nominal_batch
        for epoch in range(EPOCHS):
            total = 0.0
            self.model.train()
            resting = self.frozen is not None and epoch == 0
            if resting:
                self.model.get_submodule(str(self.frozen)).eval()
            for index, batch in enumerate(batches):
                iteration = epoch * ITERATIONS + index
                share = r.final_share + (1 - r.final_share) * (1 + math.cos(math.pi * epoch / EPOCHS)) / 2
                rate = bias_rate = r.learning_rate * share
                momentum, every = r.momentum, accumulate
                if iteration <= warmup:
                    done = iteration / warmup
                    bias_rate = (1 - done) * r.warmup_bias_rate + done * rate
                    rate *= done
                    momentum = (1 - done) * r.warmup_momentum + done * momentum
                    every = max(1, round((1 - done) + done * r.nominal_batch / IMAGES))
                loss = self.loss(batch)
                (loss * IMAGES).backward()
                total += float(loss.detach()) / ITERATIONS
                if iteration % every == 0:
                    self.step(rate, bias_rate, momentum, decay, resting)
            means.append(total)
        return means

    def loss(self, batch: Batch) -> Tensor:
        """Of one batch, per image."""
        r, model, targets = self.recipe, self.model, batch.targets
        assert targets is not None
        predictions = model(batch.images.float() / 255)
        levels = len(predictions.lead)
        common = {"smoothing": r.label_smoothing, "anchors": model.anchors, "strides": model.strides}
        lead, aux = self.labels(predictions, targets)
        terms = plain_losses(predictions.lead, lead, targets, upper_bound=True, **common)
        if aux is not None:
            bound = r.auxiliary.upper_bound
            terms = terms + r.auxiliary.weight * plain_losses(
                predictions.aux, aux, targets, upper_bound=bound, **common
            )
        box, objectness, classes = terms
        return (
            r.gains.box * 3 / levels * box
            + r.gains.objectness * 3 / levels * (SIZE / 640) ** 2 * objectness
            + r.gains.classes * 3 / levels * CLASSES / 80 * classes
        )

    def labels(self, predictions: Predictions, targets: Targets) -> tuple[Assignment, Assignment | None]:
        """Table 6's rules."""
        anchors, strides = self.model.anchors.float(), torch.tensor(self.model.strides, dtype=torch.float32)
        if not predictions.aux:
            return simota(HeadOutput(predictions.lead, anchors, strides), targets, 0.5, q=10), None
        lead = HeadOutput(predictions.lead, anchors, strides)
        aux = HeadOutput(predictions.aux, anchors, strides, self.recipe.auxiliary.upper_bound)
        fine = simota(lead, targets, 0.5)
        if self.recipe.guidance is independent:
            return fine, simota(aux, targets, 0.5)
        assert self.recipe.guidance is coarse_to_fine
        return fine, simota(lead, targets, 1.0)

    @torch.no_grad()
    def step(self, rate: float, bias_rate: float, momentum: float, decay: float, resting: bool) -> None:
        """Nesterov's step from the gradients that have gathered; then the average takes what came out."""
        for name, value in self.values.items():
            gradient, value.grad = value.grad, None
            assert gradient is not None
            if resting and name.startswith(str(self.frozen)):
                continue
            if value.dim() == 4 and "implicit" not in name:
                gradient = gradient + decay * value
            before = self.momentum.get(name)
            self.momentum[name] = gradient.clone() if before is None else momentum * before + gradient
            step = gradient + momentum * self.momentum[name]
            value -= (bias_rate if name.endswith(".bias") else rate) * step
        self.updates += 1
        kept = self.recipe.ema_decay * (1 - math.exp(-self.updates / self.recipe.ema_ramp))
        for name, tensor in self.model.state_dict().items():
            if self.updates == 1 or not tensor.is_floating_point():
                self.average[name] = tensor.clone()
            else:
                self.average[name] = kept * self.average[name] + (1 - kept) * tensor


def assert_moved_alike(
    start: dict[str, Tensor], mine: dict[str, Tensor], plain: dict[str, Tensor], what: str
) -> None:
    """By how much each tensor differs from where it began: equal up to rounding."""
    for name, before in start.items():
        if before.is_floating_point():
            error, moved = (mine[name] - plain[name]).norm(), (plain[name] - before).norm()
            assert error <= 1e-4 * moved + 1e-9 * before.norm(), f"{what} {name}: {error:.2g} of {moved:.2g}"
        else:
            assert torch.equal(mine[name], plain[name]), f"{what} {name}"


@pytest.mark.parametrize(
    ("architecture", "changes", "frozen"),
    [
        (W6, {}, None),
        (TINY, {"guidance": coarse_to_fine, "nominal_batch": 3, "warmup_epochs": 0.5}, None),
        (TINY, {"nominal_batch": 5}, "backbone"),
    ],
    ids=["auxiliary heads, steps of several batches", "a lead head, a step for each batch", "a part thaws"],
)
def test_steps_are_those_of_plain_torch(
    architecture: Architecture, changes: dict[str, Any], frozen: str | None
) -> None:
    """Nine batches: weights, batch-norm statistics, their average, and the losses that are reported.

    The network comes as a checkpoint gives it, in evaluation mode.
    """
    recipe, batches = replace(OTHER_NUMBERS, **changes), make_batches()
    start = {name: tensor.clone() for name, tensor in make_model(architecture).state_dict().items()}
    options: dict[str, Any] = {} if frozen is None else {"freeze": (frozen,), "unfreeze_after": 1}
    module, means = run_steps(make_model(architecture).eval(), recipe, batches, **options)
    plain = PlainTraining(make_model(architecture), recipe, frozen)
    expected = plain.run(batches)
    assert means == pytest.approx(expected, rel=1e-4)
    assert_moved_alike(start, module.model.state_dict(), plain.model.state_dict(), "network")
    assert_moved_alike(start, module.shipped.state_dict(), plain.average, "average")
    waiting = {n: p.grad for n, p in module.model.named_parameters() if p.grad is not None}
    assert waiting.keys() == {n for n, p in plain.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("row", [*TABLE_6.rows[1:], *TABLE_7.rows[1:]], ids=lambda row: row.label)
def test_each_row_of_tables_6_and_7_trains_with_its_own_assigner_and_loss(row: Row) -> None:
    recipe = changed(Recipe(), row.recipe)
    module = TrainingModule(make_model(W6), Schedule(recipe, 1, 1), SIZE, TrainConfig())
    rule, bound = row.recipe[0].split("=")[1], "auxiliary.upper_bound=false" not in row.recipe
    assert module.assigner.guidance.__name__ == (rule if "guidance" in row.recipe[0] else "coarse_to_fine")
    assert module.assigner.upper_bound == module.loss.auxiliary.upper_bound == bound
