"""Three thousand ground truths in a batch, within 2 GB."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.bounded import PEAK

MEASURE = """
from tests.assign.scenes import ANCHORS, STRIDES, make_scene
from yolov7.assign.guidance import Assigner

assigner = Assigner(ANCHORS, STRIDES)
small, crowd = make_scene([3], classes=80), make_scene({counts}, size=(640, 640), classes=80)
assigner(small.predictions, small.targets)
before = peak()
lead, aux = assigner(crowd.predictions, crowd.targets)
print(len(lead), len(aux), peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of its memory from /proc")
@pytest.mark.parametrize(
    "counts", [[3000], [187] * 16, [2000] + [66] * 15], ids=["one image", "all", "mixed"]
)
def test_a_crowd_takes_less_than_2_gb(counts: list[int]):
    found = subprocess.run(
        [sys.executable, "-c", PEAK + MEASURE.format(counts=counts)],
        capture_output=True,
        text=True,
        check=True,
    )
    lead, aux, grown = map(int, found.stdout.split())
    assert 1000 < lead < aux
    assert grown < 2e9
