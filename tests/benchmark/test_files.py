"""Photos as files."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.runtimes.lively import noise
from yolov7.benchmark.files import cut_photos, read_photos
from yolov7.errors import SourceError, UsageError
from yolov7.images.reading import read_image


def test_photos_are_cut_the_same_every_time(tmp_path):
    first = cut_photos(tmp_path / "a", 4, 320)
    second = cut_photos(tmp_path / "b", 4, 320)
    assert [image.shape for image in first.images] == [(240, 320, 3)] * 4
    assert all(np.array_equal(a, b) for a, b in zip(first.images, second.images, strict=True))
    assert not np.array_equal(first.images[0], first.images[3])  # of one photo, another part
    assert all(
        np.array_equal(read_image(path), image) for path, image in zip(first.paths, first.images, strict=True)
    )
    assert first.described == "4 photos of 320 x 240 pixels"


def test_photos_of_ones_own(tmp_path):
    for i, shape in enumerate([(40, 50), (50, 40), (60, 60)]):
        cv2.imwrite(str(tmp_path / f"{i}.png"), noise(*shape))
    found = read_photos(tmp_path, 2)
    assert [image.shape[:2] for image in found.images] == [(40, 50), (50, 40)]
    assert found.described == "2 photos of 2 sizes"


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="reads image files again and again"):
        read_photos([noise(40, 50)], 1)
    (tmp_path / "broken.jpg").write_bytes(b"hello")
    with pytest.raises(SourceError):
        read_photos(tmp_path, 1)
