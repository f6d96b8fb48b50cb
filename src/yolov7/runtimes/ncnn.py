"""ncnn: the network for phones and small boards, a list of layers beside its weights; written by pnnx.

    image float32 (3, H, W) in [0, 1] as in0  ─>  logits (A (5 + C), H, W) of each level as out0, out1...

Boxes are decoded outside: ncnn cannot number a grid's cells, and so one artefact takes all sizes.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.errors import CheckpointError, OutputError
from yolov7.files import exists, is_file
from yolov7.inference.backend import has_bfloat16
from yolov7.models.blocks import ConvAct, ReOrg, with_weights
from yolov7.models.decode import decode_levels, decode_levels_above
from yolov7.runtimes.description import Description, ExportOptions
from yolov7.runtimes.network import LogitNetwork, traced
from yolov7.runtimes.runtime import ArtefactBackend, Runtime, to_float_array
from yolov7.runtimes.torch_programs import script_bytes
from yolov7.types import FloatArray
from yolov7.untrusted.ncnn import checked_layers
from yolov7.untrusted.values import read_bounded

PARAM, BIN, DESCRIPTION = "model.ncnn.param", "model.ncnn.bin", "description.json"


class Ncnn(Runtime):
    """A directory: layers, weights, description. It takes any batch and any size, asked for or not."""

    name, suffix, extra = "ncnn", ".ncnn", "ncnn"
    writes_with = ("pnnx",)
    runs_with = ("ncnn",)

    def write(self, checkpoint: Checkpoint, path: Path, options: ExportOptions) -> None:
        description = Description.of(checkpoint, self.name, replace(options, dynamic=True))
        network = LogitNetwork(checkpoint.model)
        _without_reorg(network.model.backbone.stem)
        # Beside the artefact, where there is room for it: pnnx writes the weights three more times.
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            _convert(network, description.strides[-1], Path(folder), half=options.half)
            path.mkdir()
            for name in (PARAM, BIN):
                (Path(folder) / name).rename(path / name)
        (path / DESCRIPTION).write_text(description.to_json())

    def recognises(self, path: Path) -> bool:
        return is_file(path / PARAM)

    def describe(self, path: Path) -> Description:
        return Description.from_json(read_bounded(path / DESCRIPTION), path / DESCRIPTION)

    def open(
        self, path: Path, *, parallel: int = 1, exact: bool = False, trust: bool = False
    ) -> ArtefactBackend:
        return NcnnBackend(self.describe(path), path, parallel, exact)


class NcnnBackend(ArtefactBackend):
    """A network in ncnn, image by image; it may be called by several threads at once.

    Args:
        description: of the artefact.
        path: of the artefact.
        parallel: calls at the same time.
        exact: float32; otherwise 16 bits between layers, where the processor computes in them.
    """

    def __init__(self, description: Description, path: Path, parallel: int, exact: bool) -> None:
        super().__init__(description)
        self.path = path
        self.anchors = torch.tensor(description.anchors)
        self.net = _network(path, threads=max(1, (os.cpu_count() or 1) // parallel), exact=exact)
        self.outputs = [f"out{level}" for level in range(len(description.strides))]
        if self.net.input_names() != ["in0"] or self.net.output_names() != self.outputs:
            raise CheckpointError("the layers are not those that the description tells of", file=path)

    def infer(self, images: Tensor) -> Tensor:
        return decode_levels(self._levels(images), self.description.strides, self.anchors)

    def infer_above(self, images: Tensor, objectness: float) -> tuple[Tensor, ...]:
        return decode_levels_above(self._levels(images), self.description.strides, self.anchors, objectness)

    def _levels(self, images: Tensor) -> list[Tensor]:
        """Images -> of each level logits (B, A, H, W, 5 + C)."""
        maps = [self._logits(image) for image in to_float_array(images)]
        self.check_logits(*(level.shape[0] if level.dim() == 3 else 0 for level in maps[0]))
        levels = zip(*maps, strict=True)
        return [self._by_anchor(torch.stack(level)) for level in levels]

    def _by_anchor(self, channels: Tensor) -> Tensor:
        """(B, A (5 + C), H, W) -> (B, A, H, W, 5 + C), a view."""
        b, _, h, w = channels.shape
        return channels.view(b, -1, self.layout.size, h, w).permute(0, 1, 3, 4, 2)

    def _logits(self, image: FloatArray) -> list[Tensor]:
        """Image float32 (3, H, W) -> of each level (A (5 + C), H, W)."""
        import ncnn

        extractor = self.net.create_extractor()
        # A Mat of an array looks into the array's memory, and does not keep it.
        failed = extractor.input("in0", ncnn.Mat(image).clone())
        found = []
        for name in self.outputs:
            code, logits = extractor.extract(name)
            failed |= code
            found.append(logits)
        if failed:
            raise CheckpointError("ncnn cannot run this network", file=self.path)
        return [torch.from_numpy(np.array(logits)) for logits in found]


def _network(path: Path, *, threads: int, exact: bool) -> Any:
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    # Where a processor has float16, ncnn takes that first, and by itself; bfloat16 it takes on demand alone.
    net.opt.use_bf16_packed = net.opt.use_bf16_storage = not exact and has_bfloat16()
    if exact:
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    # The layers that were looked at are those that ncnn gets. The second is not tried after the first failed.
    layers = checked_layers(path / PARAM, path / BIN)
    if net.load_param_mem(layers) or net.load_model(os.fspath(path / BIN)):
        raise CheckpointError("ncnn cannot read this network", file=path)
    return net


def _convert(network: nn.Module, stride: int, folder: Path, *, half: bool) -> None:
    """Write PARAM and BIN, and what else pnnx writes, into a folder.

    Two sizes are shown, which differ in both sides: pnnx takes what stays the same for constant.
    """
    import pnnx

    shapes = [(1, 3, 2 * stride, 3 * stride), (1, 3, 4 * stride, 5 * stride)]
    (folder / "model.pt").write_bytes(script_bytes(traced(network, torch.zeros(shapes[0]))))
    first, second = (str(list(shape)).replace(" ", "") + "f32" for shape in shapes)
    command = [pnnx.EXEC_PATH, "model.pt", f"inputshape={first}", f"inputshape2={second}", f"fp16={half:d}"]
    try:
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise OutputError(f"pnnx does not start: {error}") from None
    if run.returncode or not all(exists(folder / name) for name in (PARAM, BIN)):
        said = (run.stdout + run.stderr).strip().splitlines()
        raise OutputError("pnnx cannot convert this network", found="\n".join(said[-5:]))


def _without_reorg(stem: nn.Sequential) -> None:
    """Space to depth, then 3x3, as one 6x6 convolution with stride 2: the same sums.

    ncnn cuts no slices with steps: pnnx would drop the steps without a word.
    """
    if not isinstance(stem[0], ReOrg):
        return
    after = stem[1]
    assert isinstance(after, ConvAct)
    assert after.conv.bias is not None
    width = after.conv.out_channels
    large = ConvAct(3, width, 6, 2, after.act)
    large.conv.padding = (2, 2)
    by_pixel = after.conv.weight.view(width, 2, 2, 3, 3, 3)  # out, odd column, odd row, colour, row, column
    weight = by_pixel.permute(0, 3, 4, 2, 5, 1).reshape(width, 3, 6, 6)
    stem[0], stem[1] = nn.Identity(), with_weights(large, weight, after.conv.bias)
