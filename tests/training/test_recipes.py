"""Recipes: the table of the paper's release, and the ways to change a number."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.own_parts import TwiceTheLoss, coarse_to_coarse
from yolov7 import plugins
from yolov7.assign.guidance import independent, lead_guided
from yolov7.errors import UsageError
from yolov7.models.architecture import YOLOV7, YOLOV7_TINY
from yolov7.models.zoo import NETWORKS, find_architecture
from yolov7.training.recipes import (
    COCO_P5,
    COCO_P6,
    FINE_TUNE,
    RECIPES,
    TINY,
    Recipe,
    changed,
    find_recipe,
    recipe_for,
    recipe_from,
)


@pytest.mark.parametrize(
    ("recipe", "row"),
    [
        (COCO_P5, (0.01, 0.1, 0.05, 0.3, 0.7, 0.2, 0.9, 0.15, 0.15)),
        (COCO_P6, (0.01, 0.2, 0.05, 0.3, 0.7, 0.2, 0.9, 0.15, 0.15)),
        (TINY, (0.01, 0.01, 0.05, 0.5, 1.0, 0.1, 0.5, 0.05, 0.05)),
    ],
)
def test_the_published_table(recipe: Recipe, row: tuple[float, ...]) -> None:
    gains, looks = recipe.gains, recipe.augmentation
    rates = (recipe.learning_rate, recipe.final_share, gains.box, gains.classes, gains.objectness)
    assert (*rates, looks.translate, looks.scale, looks.mixup, looks.paste_in) == row
    assert (recipe.epochs, recipe.momentum, recipe.weight_decay, recipe.close_mosaic) == (300, 0.937, 5e-4, 0)
    assert (looks.hue, looks.saturation, looks.value, looks.mosaic) == (0.015, 0.7, 0.4, 1.0)


@pytest.mark.parametrize(
    ("name", "recipe"),
    [("yolov7-tiny", "tiny"), ("yolov7-tiny-silu", "tiny"), ("yolov7-x", "p5"), ("yolov7-e6e", "p6")],
)
def test_a_network_has_its_recipe_whatever_its_name(name: str, recipe: str) -> None:
    network = find_architecture(name)
    assert recipe_for(network, fine_tuning=False) == recipe
    assert recipe_for(replace(network, name="mine"), fine_tuning=False) == recipe
    assert recipe_for(network, fine_tuning=True) == "fine-tune"


def test_the_recipe_follows_from_levels_and_depth() -> None:
    names = {network.name: recipe_for(network, fine_tuning=False) for network in NETWORKS}
    small = {name for name, recipe in names.items() if recipe == "tiny"}
    assert small == {"yolov7-tiny", "yolov7-tiny-silu"}
    assert {name for name, recipe in names.items() if recipe == "p6"} == {
        network.name for network in NETWORKS if network.size == 1280
    }
    assert recipe_for(replace(YOLOV7_TINY, name="yolov7"), fine_tuning=False) == "tiny"
    assert recipe_for(replace(YOLOV7, name="yolov7-tiny-of-mine"), fine_tuning=False) == "p5"


def test_fine_tuning_disguises_less() -> None:
    looks = FINE_TUNE.augmentation
    assert (looks.scale, looks.mixup, looks.paste_in) == (0.5, 0.0, 0.0)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_comes_back_from_its_file(name: str, tmp_path: Path) -> None:
    recipe = replace(RECIPES[name], guidance=lead_guided, epochs=7)
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe.to_dict()))
    assert find_recipe(str(path)) == recipe
    assert recipe_from({}) == Recipe()


def test_numbers_can_be_changed_by_name() -> None:
    changes = (
        "learning_rate=0.02",
        "augmentation.mosaic=0.5",
        "auxiliary.upper_bound=false",
        "guidance=independent",
    )
    recipe = changed(TINY, changes)
    assert recipe.learning_rate == 0.02
    assert recipe.augmentation == replace(TINY.augmentation, mosaic=0.5)
    assert recipe.auxiliary.upper_bound is False
    assert recipe.guidance.__name__ == "independent"
    assert recipe.gains == TINY.gains
    values = {"learning_rate": 0.02, "augmentation": {"mosaic": 0.5}, "auxiliary.upper_bound": False}
    assert changed(TINY, {**values, "guidance": independent, "gains": TINY.gains}) == recipe


def test_rules_of_ones_own_are_stored_by_their_import_path() -> None:
    recipe = changed(TINY, {"guidance": coarse_to_coarse, "loss": TwiceTheLoss})
    stored = json.loads(json.dumps(recipe.to_dict()))
    assert (stored["guidance"], stored["loss"]) == (
        "tests.own_parts:coarse_to_coarse",
        "tests.own_parts:TwiceTheLoss",
    )
    plugins.adopt(coarse_to_coarse, TwiceTheLoss)
    assert recipe_from(stored) == recipe
    assert changed(recipe, ["guidance=independent"]).guidance is independent
    with pytest.raises(UsageError, match=r"not imported.*\n.*yolov7\.register\(system\)"):
        recipe_from({"loss": "os:system"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("speed=1", "no such setting"),
        ("augmentation.speed=1", "augmentation.speed"),
        ("learning_rate", "NAME=VALUE"),
        ("learning_rate=fast", "learning_rate"),
        ("learning_rate=-1", "0 or more"),
        ("learning_rate.=1", "invalid learning_rate"),
        ("gains.=1", "no such setting"),
        ("learning_rate=nan", "learning_rate"),
        ("epochs=1.5", "epochs"),
        ("epochs=true", "epochs"),
        ("augmentation=1", "augmentation"),
        ("auxiliary.upper_bound=1", "upper_bound"),
        ("guidance=best", "coarse_to_fine"),
        ("guidance=1", "coarse_to_fine"),
        ("loss=best", "DetectionLoss"),
        ("epochs=0", "1 or more"),
        ("nominal_batch=0", "1 or more"),
        ("ema_ramp=0", "1 or more"),
        ("momentum=0", "0.01 or more"),
        ("warmup_momentum=1.5", "at most"),
        ("label_smoothing=2", "at most 1"),
        ("gains.box=-1", "gains.box"),
        ("auxiliary.weight=nan", "auxiliary.weight"),
        ("learning_rate=Infinity", "learning_rate"),
    ],
)
def test_what_no_recipe_has_is_refused(change: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        changed(COCO_P5, [change])
    name, equals, value = change.partition("=")
    if equals:
        with pytest.raises(UsageError):
            changed(COCO_P5, {name: value})


def test_an_unknown_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="p5, p6, tiny, fine-tune"):
        find_recipe("best")
    path = tmp_path / "recipe.json"
    path.write_text("{")
    with pytest.raises(UsageError, match="not a recipe"):
        find_recipe(str(path))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("lr", "learning_rate"),
        ("lr0", "learning_rate"),
        ("momentm", "momentum"),
        ("augmentation.mosiac", "mosaic"),
    ],
)
def test_slips_and_words_of_other_tools_get_a_hint(name: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean {meant}"):
        changed(COCO_P5, [f"{name}=0.1"])
