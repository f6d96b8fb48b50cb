"""ncnn: the network for phones and small boards, as a list of layers beside its weights, written by pnnx.

    image float32 (3, H, W) in [0, 1] as in0  ─>  logits (A (5 + C), H, W) of each level as out0, out1...

Boxes are decoded outside: ncnn has no operation that numbers the cells of a grid of any size.
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
from yolov7.models.blocks import ConvAct, ReOrg
from yolov7.models.decode import decode_levels_above
from yolov7.runtimes.description import FILE, Description, ExportOptions
from yolov7.runtimes.network import LogitNetwork, traced
from yolov7.runtimes.runtime import ArtefactBackend, Runtime, threads, to_float_array
from yolov7.runtimes.torch_programs import script_bytes
from yolov7.types import FloatArray
from yolov7.untrusted.ncnn import checked_layers
from yolov7.untrusted.values import read_bounded

PARAM, BIN = "model.ncnn.param", "model.ncnn.bin"


class Ncnn(Runtime):
    """A directory with layers, weights and description. Every artefact is dynamic."""

    name, suffix, extra = "ncnn", ".ncnn", "ncnn"
    writes_with = ("pnnx",)
    runs_with = ("ncnn",)

    def write(self, checkpoint: Checkpoint, path: Path, options: ExportOptions) -> None:
        description = self.new_description(checkpoint, replace(options, dynamic=True))
        network = LogitNetwork(checkpoint.model)
        _without_reorg(network.model.backbone.stem)
        # Beside the artefact, where there is room: pnnx writes the weights three more times.
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            _convert(network, description.strides[-1], Path(folder), half=options.half)
            path.mkdir()
            for name in (PARAM, BIN):
                (Path(folder) / name).rename(path / name)
        (path / FILE).write_text(description.to_json())

    def recognises(self, path: Path) -> bool:
        return is_file(path / PARAM)

    def describe(self, path: Path) -> Description:
        return Description.from_json(read_bounded(path / FILE), path / FILE)

    def open(
        self, path: Path, *, parallel: int = 1, exact: bool = False, trust: bool = False
    ) -> ArtefactBackend:
        return NcnnBackend(self.describe(path), path, parallel, exact)


class NcnnBackend(ArtefactBackend):
    """A network in ncnn, image by image. Several threads may call it at once.

    Unless `exact`, values between layers have 16 bits, if the processor computes in them.
    """

    def __init__(self, description: Description, path: Path, parallel: int, exact: bool) -> None:
        super().__init__(description)
        self.path = path
        self.anchors = torch.tensor(description.anchors)
        self.net = _network(path, threads=threads(parallel), exact=exact)
        self.outputs = [f"out{level}" for level in range(len(description.strides))]
        if self.net.input_names() != ["in0"] or self.net.output_names() != self.outputs:
            raise CheckpointError("the outputs of the layers do not match the description", file=path)

    def infer_above(self, images: Tensor, objectness: float) -> tuple[Tensor, ...]:
        return decode_levels_above(self._levels(images), self.description.strides, self.anchors, objectness)

    def _levels(self, images: Tensor) -> list[Tensor]:
        """Images -> logits (B, A, H, W, 5 + C) of each level."""
        maps = [self._logits(image) for image in to_float_array(images)]
        self.check_logits(*(level.shape[0] if level.dim() == 3 else 0 for level in maps[0]))
        levels = [torch.stack(level) for level in zip(*maps, strict=True)]  # (B, A (5 + C), H, W)
        return [level.unflatten(1, (-1, self.layout.size)).permute(0, 1, 3, 4, 2) for level in levels]

    def _logits(self, image: FloatArray) -> list[Tensor]:
        """Image float32 (3, H, W) -> logits (A (5 + C), H, W) of each level."""
        import ncnn

        extractor = self.net.create_extractor()
        # A Mat is a view of the array's memory, which it does not keep alive.
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
    # ncnn uses float16 by itself if the processor has it, and bfloat16 only on demand.
    net.opt.use_bf16_packed = net.opt.use_bf16_storage = not exact and has_bfloat16()
    if exact:
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    # ncnn gets the very layers that were checked.
    layers = checked_layers(path / PARAM, path / BIN)
    if net.load_param_mem(layers) or net.load_model(os.fspath(path / BIN)):
        raise CheckpointError("ncnn cannot read this network", file=path)
    return net


def _convert(network: nn.Module, stride: int, folder: Path, *, half: bool) -> None:
    """Write PARAM and BIN, among other files of pnnx, into a folder.

    pnnx is given two sizes that differ in both sides: it treats a side that they share as constant.
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
    """Replace space to depth and the 3x3 convolution after it by one 6x6 convolution with stride 2.

    ncnn has no slices with steps, and pnnx drops the steps without a word. The sums are the same.
    """
    if not isinstance(stem[0], ReOrg):
        return
    after = stem[1]
    assert isinstance(after, ConvAct)
    assert after.conv.bias is not None
    width = after.conv.out_channels
    by_pixel = after.conv.weight.view(width, 2, 2, 3, 3, 3)  # out, odd column, odd row, colour, row, column
    weight = by_pixel.permute(0, 3, 4, 2, 5, 1).reshape(width, 3, 6, 6)
    large = ConvAct(weight, after.conv.bias, stride=2, activation=after.act)
    large.conv.padding = (2, 2)
    stem[0], stem[1] = nn.Identity(), large
