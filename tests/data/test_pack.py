"""Packs: images come back as they were written, or with an error."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolov7.data.pack import Pack, write_pack
from yolov7.errors import DataError
from yolov7.types import Image


def images(shapes: list[tuple[int, int]]) -> list[Image]:
    rng = np.random.default_rng(len(shapes))
    return [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]


def test_images_come_back_as_read_only_views(tmp_path: Path) -> None:
    one, two = images([(4, 5), (1, 7)])
    write_pack(tmp_path / "a.pack", iter([one, "gone", two[:, ::-1]]))
    pack = Pack(tmp_path / "a.pack")
    assert len(pack) == 3
    assert pack.shapes.tolist() == [[4, 5], [0, 0], [1, 7]]
    assert pack.problems == {1: "gone"}
    np.testing.assert_array_equal(pack[0], one)
    np.testing.assert_array_equal(pack[2], two[:, ::-1])
    assert not pack[0].flags.writeable
    assert np.shares_memory(pack[0], pack[0])
    assert type(pack[0]) is np.ndarray


def test_pack_is_pickled_without_pixels(tmp_path: Path) -> None:
    (image,) = images([(200, 300)])
    write_pack(tmp_path / "a.pack", [image])
    pack = Pack(tmp_path / "a.pack")
    np.testing.assert_array_equal(pack[0], image)
    data = pickle.dumps(pack)
    assert len(data) < 2000
    np.testing.assert_array_equal(pickle.loads(data)[0], image)


def test_missing_pack(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.pack: cannot be read: No such file"):
        Pack(tmp_path / "a.pack")
    write_pack(tmp_path / "a.pack", images([(3, 3)]))
    pack = Pack(tmp_path / "a.pack")
    (tmp_path / "a.pack").unlink()
    with pytest.raises(DataError, match="cannot be mapped"):
        pack[0]


@settings(max_examples=200, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), max_size=4),
    where=st.floats(0, 1, exclude_max=True),
    change=st.one_of(st.integers(1, 255), st.just(None)),
)
def test_any_damage_is_detected(shapes: list[tuple[int, int]], where: float, change: int | None) -> None:
    """Damage: a changed byte or, with None, a truncated file."""
    written = images(shapes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.pack"
        write_pack(path, written)
        data = bytearray(path.read_bytes())
        at = int(where * len(data))
        if change is None:
            del data[at:]
        else:
            data[at] ^= change
        path.write_bytes(data)
        noticed = 0
        try:
            pack = Pack(path)
        except DataError:
            return
        for number, image in enumerate(written):
            try:
                np.testing.assert_array_equal(pack[number], image)
            except DataError:
                noticed += 1
        assert noticed == 1
