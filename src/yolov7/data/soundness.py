"""The gate before training: a data set with errors in it is not learnt from unless a person says so."""

from __future__ import annotations

from yolov7.data.dataset import Dataset
from yolov7.errors import DataError
from yolov7.text import plural

_SHOWN = 10


def require_sound(dataset: Dataset, *, ignore: bool = False) -> None:
    """Refuse a data set that lost images or labels while it was read; warnings are no reason to.

    Args:
        dataset: what is to be learnt from.
        ignore: go on with what is sound.

    Raises:
        DataError: it has defects of severity "error"; the first are listed, with file and line.
    """
    errors = [defect for defect in dataset.defects if defect.severity == "error"]
    if not errors or ignore:
        return
    lines = [f"  {defect}" for defect in errors[:_SHOWN]]
    if len(errors) > _SHOWN:
        lines.append(f"  and {len(errors) - _SHOWN} more, which `yolov7 doctor` lists")
    boxes = sum(len(image) for image in dataset.images)
    raise DataError(
        "\n".join([f"{plural(len(errors), 'error')} in the split {dataset.split!r}", *lines]),
        file=dataset.path,
        expected="none; --ignore-defects goes on with what is sound",
        found=f"{plural(len(dataset), 'sound image')} with {plural(boxes, 'box', 'boxes')}",
    )
