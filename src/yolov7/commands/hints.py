"""Suggestions for words of other tools, typing errors and lists without commas."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from pathlib import Path

from yolov7.files import exists

_WEIGHTS = "the weights come first, without an option"
_SOURCES = "images and videos come after the weights, without an option"

OPTIONS: dict[str, tuple[str, ...]] = {
    "--agnostic-nms": ("--agnostic",),
    "--batch": ("--batch-size", "--batches"),
    "--cfg": ("--model",),
    "--conf-thres": ("--conf",),
    "--confidence": ("--conf",),
    "--config": ("--model",),
    "--data": ("the data set comes after the weights, without an option",),
    "--exist-ok": ("--overwrite", "--out DIR: what is there stays, new results go to DIR-2"),
    "--fp16": ("--half",),
    "--gpu": ("--device", "--devices"),
    "--hide-conf": ("--hide-scores",),
    "--hyp": ("--recipe",),
    "--image-size": ("--size", "--sizes"),
    "--img": ("--size", "--sizes"),
    "--img-size": ("--size", "--sizes"),
    "--imgsz": ("--size", "--sizes"),
    "--include": ("--format",),
    "--input": (_SOURCES,),
    "--iou-thres": ("--iou",),
    "--line-thickness": ("--line-width",),
    "--lr": ("--set learning_rate=0.01",),
    "--lr0": ("--set learning_rate=0.01",),
    "--max-det": ("--max-detections",),
    "--model": (_WEIGHTS,),
    "--name": ("--out",),
    "--nosave": ("--save none",),
    "--output": ("--out",),
    "--project": ("--out",),
    "--save-conf": ("--save txt, whose last number is the score",),
    "--save-crop": ("--save crops",),
    "--save-dir": ("--out",),
    "--save-json": ("--save json", "--predictions FILE"),
    "--save-txt": ("--save txt",),
    "--show": ("--out DIR: pictures are written, not shown",),
    "--source": (_SOURCES,),
    "--task": ("--split",),
    "--thres": ("--conf",),
    "--view-img": ("--out DIR: pictures are written, not shown",),
    "--vid-stride": ("--every",),
    "--weights": (_WEIGHTS,),
}
"""Options of other tools -> candidates of ours, or advice."""

COMMANDS = {
    "detect": "predict",
    "detect.py": "predict",
    "eval": "val",
    "evaluate": "val",
    "fit": "train",
    "info": "doctor",
    "inspect": "doctor",
    "test": "val",
    "test.py": "val",
    "train.py": "train",
    "export.py": "export",
    "validate": "val",
}
"""Command names of other tools -> ours."""

LISTS = frozenset({"--batches", "--classes", "--format", "--runtimes", "--save", "--sizes", "--weights"})
"""Options with comma-separated values."""


def option_hint(option: str, known: Collection[str]) -> str:
    """Suggest one of the known options for an unknown one, as typed, perhaps with =value; "" if none fits.

    >>> option_hint("--conf-thres", ["--conf", "--iou"])
    'did you mean --conf?'
    """
    name = "--" + option.partition("=")[0].lstrip("-").replace("_", "-").lower()
    if name in known:
        return f"did you mean {name}?"
    meant = OPTIONS.get(name, ())
    for ours in meant:
        if ours.startswith("--") and ours.split()[0] in known:
            return f"did you mean {ours}?"
    if sentences := [ours for ours in meant if not ours.startswith("--")]:
        return sentences[0]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return f"did you mean {near[0]}?" if near else ""


def command_hint(word: str, known: Collection[str]) -> str:
    """Suggest a command; "" if none is similar."""
    word = word.lower()
    near = [COMMANDS[word]] if word in COMMANDS else difflib.get_close_matches(word, known, n=1)
    return f"did you mean yolov7 {near[0]}?" if near else ""


def comma_hint(tokens: Sequence[str]) -> str:
    """Suggest commas if several words that are not files follow an option; "" otherwise.

    >>> comma_hint(["predict", "best.pt", "--classes", "person", "no-such-car"])
    'several values take commas: --classes person,no-such-car'
    """
    for place, option in enumerate(tokens):
        if option not in LISTS or place + 1 == len(tokens):
            continue
        words = [tokens[place + 1]]
        for word in tokens[place + 2 :]:
            if word.startswith("-") or "/" in word or Path(word).suffix or exists(word):
                break
            words.append(word)
        if len(words) > 1:
            return f"several values take commas: {option} {','.join(word.strip(',') for word in words)}"
    return ""
