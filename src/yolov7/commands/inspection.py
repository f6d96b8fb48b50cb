"""Commands that describe networks, checkpoints, artefacts and data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from yolov7.console import checkpoint_facts, data_report, models_table, say, show
from yolov7.errors import UsageError
from yolov7.files import exists
from yolov7.options import CheckpointName, JsonSwitch, Switch, weight_file


def models(*, all_: Switch = False, json_: JsonSwitch = False) -> None:
    """List the networks with their parameters and operations, the paper's digits beside them.

    Args:
        all_: include the paper's baselines and the networks of its ablations.
        json_: print JSON instead of a table.
    """
    from yolov7.models.architecture import VARIANTS
    from yolov7.models.zoo import NETWORKS
    from yolov7.reproduce.counting import beside_the_paper

    rows = [beside_the_paper(network) for network in (NETWORKS if all_ else VARIANTS)]
    if json_:
        show(json.dumps(rows, indent=2))
    else:
        models_table(rows)


def doctor(path: str, /, *, images: Path | None = None, json_: JsonSwitch = False) -> int:
    """Describe a checkpoint or an artefact, without running it; or report what is wrong with a data set.

    Args:
        path: a weight file, an exported artefact, the folder of a run, or the name of a released checkpoint;
            or a data set: data.yaml, COCO json, or a folder.
        images: image folder of a COCO json, if the images are not beside it.
        json_: print JSON instead of text.
    """
    from yolov7.checkpoints.weights import is_dataset
    from yolov7.runtimes.formats import artefact_at

    if is_dataset(Path(path)) and artefact_at(Path(path)) is None:
        from yolov7.inspection import inspect_dataset

        report = inspect_dataset(Path(path), images=images)
        if json_:
            show(json.dumps(report.to_dict(), indent=2))
        else:
            data_report(report)
        return 1 if any(defect.severity == "error" for defect in report.defects) else 0

    described = _described(Path(weight_file(path)))
    if json_:
        show(json.dumps(described, indent=2))
    else:
        checkpoint_facts(described)
    return 0


def _described(file: Path) -> dict[str, Any]:
    """Facts of a checkpoint or an artefact as JSON types."""
    from yolov7.checkpoints.checkpoint import load_checkpoint
    from yolov7.runtimes.formats import artefact_at
    from yolov7.runtimes.runtime import REJECTED

    if (artefact := artefact_at(file)) is None:
        return load_checkpoint(file).describe()
    rejected = ["it was compared with torch when it was made, and differed too much"]
    facts = json.loads(artefact.describe(file).to_json())
    return facts | {"notes": rejected if file.name.endswith(REJECTED) else []}


def convert(path: CheckpointName, /, *, out: Path, deploy: Switch = False, half: Switch = False) -> None:
    """Convert any checkpoint to our format: safetensors, with everything about the network inside.

    Args:
        out: file to write, X.safetensors.
        deploy: fold batch norms, RepConv and implicit vectors, leave auxiliary heads out.
        half: store 16-bit weights.
    """
    from yolov7.checkpoints.checkpoint import load_checkpoint

    if out.suffix != ".safetensors":
        raise UsageError("our checkpoints are safetensors", expected="--out X.safetensors", found=out)
    if exists(out):
        raise UsageError("the file exists and is not overwritten", found=out)
    checkpoint = load_checkpoint(weight_file(path))
    for note in checkpoint.notes:
        say(f"note: {note}")
    (checkpoint.deployed() if deploy else checkpoint).save(out, half=half)
    say(f"wrote {out}")
