"""Build a TensorRT engine of the network beside this file, for the GPU of this machine.

It needs TensorRT 8.6 or later and nothing else: pip install tensorrt
An engine runs only on GPUs of the same kind, and with the same version of TensorRT.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
NETWORK, ENGINE, DESCRIPTION, INPUT = "network.onnx", "model.engine", "description.json", "images"
BATCH = 8
GIB = 1 << 30


def build(
    folder: Path,
    *,
    batch: int = BATCH,
    side: int | None = None,
    fp16: bool = False,
    tf32: bool = False,
    workspace: float = 4,
    verbose: bool = False,
) -> Path:
    """Write the engine of an artefact.

    Args:
        folder: the artefact.
        batch: largest batch, for a dynamic network.
        side: longest side of the images, pixels, for a dynamic network; by default its size and a stride.
        fp16: let TensorRT choose float16 where it is faster, up to its version 10. Later versions take the
            precision from the network alone, and so do 9 and 10 without this.
        tf32: round the factors of float32 multiplications to 10 bits, which is faster.
        workspace: memory that the engine may use while it runs, GiB.
        verbose: show all messages of TensorRT.

    Raises:
        RuntimeError: TensorRT fails, for the reason in the message.
    """
    import tensorrt as trt

    if fp16 and not hasattr(trt.BuilderFlag, "FP16"):
        raise RuntimeError(
            f"TensorRT {trt.__version__} takes its precision from the network: export it in half precision"
        )
    logger = trt.Logger(trt.Logger.VERBOSE if verbose else trt.Logger.WARNING)
    trt.init_libnvinfer_plugins(logger, "")
    builder = trt.Builder(logger)
    network = builder.create_network(_creation_flags(trt.NetworkDefinitionCreationFlag, fp16))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(folder / NETWORK)):
        errors = [str(parser.get_error(i)) for i in range(parser.num_errors)]
        raise RuntimeError("\n".join([f"TensorRT cannot read {folder / NETWORK}:", *errors]))

    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(workspace * GIB))
    if fp16:
        config.set_flag(trt.BuilderFlag.FP16)
    if not tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    description = json.loads((folder / DESCRIPTION).read_text())
    if description["shape"] is None:
        profile = builder.create_optimization_profile()
        profile.set_shape(INPUT, *shapes(description, batch, side))
        config.add_optimization_profile(profile)

    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise RuntimeError("TensorRT cannot build the engine: see its messages above")
    path = folder / ENGINE
    path.write_bytes(engine)
    return path


def shapes(description: dict[str, Any], batch: int, side: int | None) -> list[tuple[int, int, int, int]]:
    """Smallest, usual and largest (batch, 3, height, width) of a dynamic network."""
    size, stride = description["size"], description["strides"][-1]
    side = side or size + stride  # evaluation pads by up to a stride
    return [(1, 3, stride, stride), (1, 3, min(size, side), min(size, side)), (batch, 3, side, side)]


def _creation_flags(known: Any, fp16: bool) -> int:
    """Flags of a network: explicit batch for TensorRT 8; from 9 on, dtypes exactly as in the file."""
    wanted = ["EXPLICIT_BATCH"] if fp16 else ["EXPLICIT_BATCH", "STRONGLY_TYPED"]
    return sum(1 << int(getattr(known, flag)) for flag in wanted if hasattr(known, flag))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batch", type=int, default=BATCH, help="largest batch")
    parser.add_argument("--side", type=int, help="longest side of the images, pixels")
    parser.add_argument("--fp16", action="store_true", help="float16 where it is faster; up to TensorRT 10")
    parser.add_argument("--tf32", action="store_true", help="float32 rounded to 10 bits in multiplications")
    parser.add_argument("--workspace", type=float, default=4, help="memory of the running engine, GiB")
    parser.add_argument("--verbose", action="store_true", help="show all messages of TensorRT")
    arguments = parser.parse_args()
    try:
        print(build(HERE, **vars(arguments)))
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is not installed; run: pip install {error.name}")
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
