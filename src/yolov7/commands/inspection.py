"""Commands that say what there is: networks, checkpoints, data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from yolov7.console import (
    checkpoint_facts,
    data_report,
    models_table,
    say,
    show,
)
from yolov7.errors import UsageError
from yolov7.files import exists
from yolov7.options import AllSwitch, JsonSwitch, Switch, weight_file


def models(*, all_: AllSwitch = False, json_: JsonSwitch = False) -> None:
    """List the networks with their parameters and operations, the paper's digits beside them.

    Parameters
    ----------
    all_:
        Also what the paper compares them with, and the networks of its ablations.
    json_:
        Print JSON instead of a table.
    """
    from yolov7.models.zoo import NETWORKS, VARIANTS
    from yolov7.reproduce.counting import beside_the_paper

    rows = [beside_the_paper(network) for network in (NETWORKS if all_ else VARIANTS)]
    if json_:
        show(json.dumps(rows, indent=2))
    else:
        models_table(rows)


def doctor(
    path: str,
    /,
    *,
    images: Annotated[Path | None, Parameter(show_default=False)] = None,
    json_: JsonSwitch = False,
) -> int:
    """Say what a checkpoint is, without running it; or what is wrong with a data set.

    Parameters
    ----------
    path:
        A weight file, the folder of a run, or the name of a released checkpoint; or a data set: data.yaml,
        COCO json, or a folder.
    images:
        Folder of the images of a COCO json, where they are not found beside it.
    json_:
        Print JSON instead of text.
    """
    from yolov7.checkpoints.checkpoint import load_checkpoint
    from yolov7.tensor_files.strangers import is_dataset

    if is_dataset(Path(path)):
        from yolov7.inspection import inspect_dataset

        report = inspect_dataset(Path(path), images=images)
        if json_:
            show(json.dumps(report.to_dict(), indent=2))
        else:
            data_report(report)
        return 1 if any(defect.severity == "error" for defect in report.defects) else 0

    described = load_checkpoint(weight_file(path)).describe()
    if json_:
        show(json.dumps(described, indent=2))
    else:
        checkpoint_facts(described)
    return 0


def convert(path: str, /, *, out: Path, deploy: Switch = False, half: Switch = False) -> None:
    """Turn any checkpoint into ours: safetensors, with everything about the network inside.

    Parameters
    ----------
    path:
        A weight file of any kind that doctor understands, the folder of a run, or the name of a released one.
    out:
        The file to write, X.safetensors.
    deploy:
        Fold batch norms, RepConv and implicit vectors, leave auxiliary heads out.
    half:
        Store 16-bit weights.
    """
    from yolov7.checkpoints.checkpoint import load_checkpoint

    if out.suffix != ".safetensors":
        raise UsageError("checkpoints of ours are safetensors", expected="--out X.safetensors", found=out)
    if exists(out):
        raise UsageError("the file exists and is not overwritten", found=out)
    checkpoint = load_checkpoint(weight_file(path))
    for note in checkpoint.notes:
        say(f"note: {note}")
    (checkpoint.deployed() if deploy else checkpoint).save(out, half=half)
    say(f"wrote {out}")
