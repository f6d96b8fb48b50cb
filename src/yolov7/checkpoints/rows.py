"""Tensors of a released checkpoint by row, and the facts that its head shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from yolov7.checkpoints.fitting import MAX_ANCHORS, check_anchors, listed
from yolov7.checkpoints.released_names import MIT_HEAD, from_mit
from yolov7.errors import MismatchedCheckpointError
from yolov7.layout import FIRST_CLASS, RowLayout
from yolov7.models.architecture import Anchors, Architecture
from yolov7.text import printable


@dataclass
class Rows:
    """Tensors by row and by name inside the row; the last row is the head."""

    by_row: dict[int, dict[str, Tensor]]  # row -> name -> tensor
    naming: str  # in the file, ``released`` or ``MIT rewrite``; here, names are the released ones
    prefix: str  # text before the number of the row

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> Rows:
        """Sort a state dict by row.

        Raises: MismatchedCheckpointError: names are not numbered by row, or the last row is not a head.
        """
        by_row: dict[int, dict[str, Tensor]] = {}
        prefixes, strangers = set[str](), list[str]()
        for name, tensor in state.items():
            match = re.fullmatch(r"((?:[A-Za-z_]\w*\.)*)(0|[1-9]\d{0,3})\.(.+)", name)
            if match is None:
                strangers.append(f"{name} {tuple(tensor.shape)}")
            else:
                prefixes.add(match[1])
                by_row.setdefault(int(match[2]), {})[match[3]] = tensor
        if strangers or len(prefixes) != 1 or len(by_row) < 2:
            raise MismatchedCheckpointError(
                "these are not the tensors of a YOLOv7 network",
                expected="names such as model.0.conv.weight, numbered by row",
                found=listed(strangers or list(state)) if state else "no tensor at all",
            )
        naming = "released"
        if any(map(MIT_HEAD.fullmatch, by_row[max(by_row)])):
            naming = "MIT rewrite"
            by_row = {row: from_mit(tensors) for row, tensors in by_row.items()}
        rows = cls(by_row, naming, prefixes.pop())
        if "m.0.weight" not in rows.head:
            raise MismatchedCheckpointError(
                "the last row is no YOLOv7 head",
                expected=printable(rows.full_name(max(by_row), "m.0.weight"), 200),
                found=listed([rows.full_name(max(by_row), name) for name in rows.head]),
            )
        return rows

    @property
    def head(self) -> dict[str, Tensor]:
        """Tensors of the last row."""
        return self.by_row[max(self.by_row)]

    @property
    def levels(self) -> int:
        """Number of levels that the head predicts on."""
        return sum(bool(re.fullmatch(r"m\.\d+\.weight", name)) for name in self.head)

    @property
    def stem_width(self) -> int:
        """Channels of the first convolution; 0 without one."""
        first = self.by_row[min(self.by_row)].get("conv.weight")
        return 0 if first is None or first.dim() != 4 else first.shape[0]

    @property
    def head_widths(self) -> list[int]:
        """Input channels of the head by level; 0 if they are unknown."""
        weights = [self.head.get(f"m.{level}.weight") for level in range(self.levels)]
        return [0 if weight is None or weight.dim() != 4 else weight.shape[1] for weight in weights]

    @property
    def anchors_per_level(self) -> int:
        """Number of anchors per level; 3 if the file has none."""
        if "anchors" in self.head:
            count = self._head_tensor("anchors", (self.levels, None, 2)).shape[1]
        else:
            grid = self.head.get("anchor_grid")
            count = 3 if grid is None else max(1, grid.numel() // (2 * self.levels))
        if count > MAX_ANCHORS:
            raise MismatchedCheckpointError(
                "the anchors make no sense", expected=f"at most {MAX_ANCHORS} a level", found=f"{count:,}"
            )
        return count

    def has(self, part: str) -> bool:
        """True if the head has this part: ``m2`` (auxiliary), ``ia`` or ``im`` (implicit vectors)."""
        return f"{part}.0.weight" in self.head or f"{part}.0.implicit" in self.head

    def full_name(self, row: int, rest: str) -> str:
        """Name of a tensor in the file; inside of the row it is the released one."""
        return f"{self.prefix}{row}.{rest}"

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Tensors by full name, without the anchors, which need to be converted."""
        head = self.head
        return {
            self.full_name(row, rest): tensor
            for row, inside in self.by_row.items()
            for rest, tensor in inside.items()
            if inside is not head or rest not in ("anchors", "anchor_grid")
        }

    def anchors(self, architecture: Architecture) -> Anchors:
        """Anchors in pixels: the file's own, which are stored in pixels or cells; else the architecture's.

        Raises: MismatchedCheckpointError: not positive, or another number than the levels need.
        """
        per_level = self.anchors_per_level
        if "anchor_grid" in self.head:
            pixels = self.head["anchor_grid"].flatten()
            expected = 2 * self.levels * per_level
            if len(pixels) != expected or not pixels.is_floating_point():
                raise MismatchedCheckpointError(
                    "the anchors make no sense", expected=f"{expected} numbers", found=f"{len(pixels)}"
                )
        elif "anchors" in self.head:
            strides = torch.tensor(architecture.strides, dtype=torch.float64)
            pixels = self.head["anchors"] * strides[:, None, None]
        else:
            return architecture.anchors
        pixels = pixels.double().reshape(self.levels, per_level, 2)
        check_anchors(pixels)
        return tuple(tuple((float(w), float(h)) for w, h in level) for level in pixels)

    def drop_mask_branch(self) -> tuple[int, list[str]]:
        """Drop the additions of an instance-segmentation head; returns the number of classes, and notes.

        Such a head has 5 + C channels per anchor, then mask coefficients, as many as the prototypes have.

        Raises: MismatchedCheckpointError: the channels of the head are not those of whole classes.
        """
        outputs = self._head_tensor("m.0.weight", (None, None, 1, 1)).shape[0]
        per_level = self.anchors_per_level
        prototypes = sorted(name for name in self.head if name.startswith("proto."))
        coefficients = 0
        if prototypes:
            last = [name for name in prototypes if name.endswith("conv.weight")] or prototypes
            coefficients = self._head_tensor(last[-1], (None, None, None, None)).shape[0]
        kept = outputs // per_level - coefficients
        classes = RowLayout.of_size(kept).classes
        if outputs % per_level or not classes:
            mask = f" + {coefficients} mask coefficients" if coefficients else ""
            raise MismatchedCheckpointError(
                "the channels of the head are not those of whole classes",
                expected=f"{per_level} anchors x ({FIRST_CLASS} + classes{mask})",
                found=f"{outputs} channels",
            )
        if not prototypes:
            return classes, []
        for name in prototypes:
            del self.head[name]
        for name in [n for n in self.head if re.fullmatch(r"m\.\d+\.(weight|bias)", n)]:
            tensor = self.head[name]
            if tensor.shape[:1] == (outputs,):  # else it is a mismatch, reported later
                per_anchor = tensor.reshape(per_level, -1, *tensor.shape[1:])
                self.head[name] = (
                    per_anchor[:, :kept].reshape(per_level * kept, *tensor.shape[1:]).contiguous()
                )
        unused = [n for n in self.head if n.startswith("im.")]
        for name in unused:
            del self.head[name]
        left_out = f"{len(prototypes)} prototype tensors, {coefficients} mask coefficients per anchor"
        if unused:
            left_out += f"; {len(unused)} multiplying implicit vectors, which that head does not use"
        kind = "an instance-segmentation checkpoint: used as a detector"
        return classes, [f"{kind}, its mask branch is left out ({left_out})"]

    def _head_tensor(self, name: str, shape: tuple[int | None, ...]) -> Tensor:
        """Tensor of the head with a floating dtype and this shape (None: any size but 0)."""
        tensor = self.head.get(name)
        if (
            tensor is None
            or not tensor.is_floating_point()
            or tensor.dim() != len(shape)
            or any(have < 1 or have != (want or have) for have, want in zip(tensor.shape, shape, strict=True))
        ):
            wanted = ", ".join("n" if size is None else str(size) for size in shape)
            raise MismatchedCheckpointError(
                "the head is not one of YOLOv7",
                expected=f"{printable(self.full_name(max(self.by_row), name), 200)} ({wanted}), floating",
                found="nothing" if tensor is None else f"{tuple(tensor.shape)}, {tensor.dtype}",
            )
        return tensor
