"""Other families of networks, by their traits, for a better message about a file that was refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from torch import Tensor

from yolov7.errors import CheckpointError, MismatchedCheckpointError
from yolov7.tensor_files.tree import Foreign, attributes_of, is_module, state_dict_of, walk
from yolov7.text import printable

_YOLOV7 = "a checkpoint of YOLOv7, or of its baselines YOLOR and YOLOv4-CSP"

# Line about a file ("class ...", "yaml ...", "key ...", "tensor ...") -> its family; the first one counts.
_FAMILIES: tuple[tuple[str, str], ...] = (
    (r"class .*\.(IKeypoint|Keypoint\w*)|tensor .*\.m_kpt\.", "YOLOv7 pose"),
    (r"class .*\.RTDETR\w*|tensor .*\.(dec_score_head|enc_score_head)\.", "RT-DETR"),
    (r"class .*\.(World\w+|YOLOE\w*)", "YOLO-World"),
    (r"yaml .*yolov10.*|class .*\.v10Detect|tensor .*\.one2one_cv\d\.", "YOLOv10"),
    (r"yaml .*yolov?12.*|class .*\.A2C2f", "YOLO12"),
    (r"yaml .*yolov?11.*|class .*\.C3k2", "YOLO11"),
    (r"yaml .*(yolov9|gelan).*|class .*\.(RepNCSPELAN4|(Dual|Triple)?DDetect|DualDDetect)", "YOLOv9"),
    (r"class yolov6\..*|tensor (backbone\.ERBlock_|detect\.(stems|proj|cls_convs))", "YOLOv6"),
    (r"class (yolox|exps)\..*|tensor (backbone\.backbone\.(stem|dark)|head\.(cls|reg)_convs\.)", "YOLOX"),
    (r"class super_gradients\..*|tensor (\w+\.)*heads\.head\d\.", "YOLO-NAS"),
    (r"tensor (\w+\.)*23\.dfl\.", "YOLO11"),
    (r"tensor (\w+\.)*21\.dfl\.", "YOLO12"),
    (r"yaml .*yolov3.*", "YOLOv3"),
    (r"yaml .*yolov5.*", "YOLOv5"),
    (r"yaml .*yolov6.*", "YOLOv6"),
    (r"tensor (\w+\.)*\d+\.dfl\.|class .*\.C2f|class ultralytics\.nn\..*", "YOLOv8"),
    (r"tensor (\w+\.)*(28|20)\.m\.0\.weight", "YOLOv3"),
    (r"class models\.yolo\.(Detection|Segmentation|Classification)Model", "YOLOv5"),
    (
        r"class models\.common\.(C3\w*|Focus|SPPF|BottleneckCSP)|tensor (\w+\.)*(24|33)\.m\.0\.weight",
        "YOLOv5",
    ),
    (r"class .*\.Darknet|tensor (\w+\.)*module_list\.\d", "YOLOv3, YOLOv4 or YOLOR in Darknet's form"),
    (r"class (mmdet|mmyolo|mmengine)\..*|tensor (\w+\.)*bbox_head\.", "MMDetection"),
    (r"tensor (\w+\.)*(rpn|roi_heads)\.", "Faster R-CNN"),
    (r"tensor (\w+\.)*(transformer|model)\.(encoder|decoder)\.layers\.", "DETR"),
    (r"tensor (\w+\.)*(image_encoder|mask_decoder)\.", "Segment Anything"),
    (r"tensor (\w+\.)*(encoder\.layer|blocks)\.0\.(attention|attn)\.", "vision transformer"),
    (r"tensor (\w+\.)*(layer1\.0\.conv1|features\.0\.)", "image classifier"),
)


def mistaken_for(tree: object) -> CheckpointError | None:
    """Error for a file of another family, by its contents; None if the family is unknown."""
    lines = list(_evidence(tree))
    for pattern, family in _FAMILIES:
        fits = re.compile(pattern).match
        if (found := next((line for line in lines if fits(line)), None)) is not None:
            of = " of Ultralytics" if any(line.startswith("class ultralytics.") for line in lines) else ""
            article = "an" if family[:3] in ("RT-", "MMD", "ima") else "a"
            return MismatchedCheckpointError(
                f"{article} {family} checkpoint{of}: this package reads YOLOv7", expected=_YOLOV7, found=found
            )
    if "key param_groups" in lines:
        return MismatchedCheckpointError(
            "the state of an optimizer, without a network",
            expected=_YOLOV7,
            found="keys: state, param_groups",
        )
    if "key pytorch-lightning_version" in lines:
        return MismatchedCheckpointError(
            "a checkpoint of PyTorch Lightning with a network that this package does not know",
            expected=_YOLOV7,
        )
    return None


def _evidence(tree: object) -> Iterator[str]:
    """Lines about a file: top keys, classes, names of a network's yaml files, names of tensors."""
    if isinstance(tree, dict):
        yield from (f"key {printable(key, 200)}" for key in tree if isinstance(key, str))
    for node in walk(tree):
        if isinstance(node, Foreign):
            yield f"class {printable(f'{node.module}.{node.name}', 200)}"
            yield from (f"yaml {printable(name, 200)}" for name in _yaml_files(node))
        if isinstance(node, dict):
            yield from (f"tensor {printable(k, 200)}" for k, v in node.items() if isinstance(v, Tensor))
    for network in (tree, *(tree.values() if isinstance(tree, dict) else ())):
        if is_module(network):
            with suppress(CheckpointError):
                yield from (f"tensor {name}" for name in state_dict_of(network) or ())


def _yaml_files(node: Foreign) -> Iterator[str]:
    attributes = attributes_of(node)
    described = attributes.get("yaml")
    inner = described.get("yaml_file") if isinstance(described, dict) else None
    yield from (name for name in (attributes.get("yaml_file"), inner) if isinstance(name, str))
