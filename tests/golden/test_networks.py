"""Every network against the released implementation, on weights and images that follow from names."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.golden.keyed import golden_network, keyed_image, keyed_state_dict
from yolov7.checkpoints.official import recover
from yolov7.models.architecture import VARIANTS, Architecture
from yolov7.models.detector import fuse

RAW = {"yolov7-tiny": 5e-5}
RAW_OTHERWISE = 5e-6
BOXES, PROBABILITIES = 1e-3, 1e-4
FUSED_PIXELS, FUSED_PROBABILITIES = 0.02, 1e-4


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
@torch.no_grad()
def test_same_numbers_as_the_released_network(variant: Architecture):
    description, golden = golden_network(variant.name)
    recovered = recover(keyed_state_dict(description, variant.anchors))
    model, image = recovered.model, keyed_image(description)
    assert model.architecture.name == variant.name
    predictions = model(image)

    logits = (*predictions.lead, *predictions.aux)
    assert len(logits) == sum(name.startswith("raw") for name in golden)
    for i, level in enumerate(logits):
        assert list(level.shape[1:]) == description["raw_shapes"][i]
        found = level.reshape(-1, level.shape[-1])[:: description["row_step"]].numpy()
        error = np.linalg.norm(found - golden[f"raw{i}"]) / np.linalg.norm(golden[f"raw{i}"])
        assert error <= RAW.get(variant.name, RAW_OTHERWISE), f"logits of head {i}"

    decoded = model.decode(predictions)[0]
    assert len(decoded) == description["n_rows"]
    found, expected = decoded.numpy()[golden["rows"]], golden["decoded"]
    assert (np.abs(found - expected)[:, :4] <= BOXES * np.maximum(1, np.abs(expected[:, :4]))).all()
    assert np.abs(found - expected)[:, 4:].max() <= PROBABILITIES

    deployed = fuse(model).to(memory_format=torch.channels_last)
    change = (deployed.decode(deployed(image))[0] - decoded).abs()
    assert change[:, :4].max() <= FUSED_PIXELS
    assert change[:, 4:].max() <= FUSED_PROBABILITIES
