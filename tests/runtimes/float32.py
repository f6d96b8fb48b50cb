"""OpenVINO's fast way in float32, so that every number of it can be compared."""

from __future__ import annotations

from yolov7.runtimes.openvino import OpenVinoBackend


def in_float32(backend: OpenVinoBackend) -> OpenVinoBackend:
    """Keep a backend from bfloat16."""
    backend._settings["INFERENCE_PRECISION_HINT"] = "f32"
    backend._compiled.clear()
    return backend
