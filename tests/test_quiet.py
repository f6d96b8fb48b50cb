"""Other libraries are heard for their errors alone, and nobody else is touched."""

from __future__ import annotations

import io
import logging
import struct
import subprocess
import sys
import warnings

import pytest
from PIL import Image as Pillow

from tests.formats.small_sets import write_yolo
from yolov7.quiet import errors_only


def test_errors_pass_and_the_rest_does_not(caplog):
    library = logging.getLogger("talkative")
    library.setLevel(logging.INFO)
    with caplog.at_level(logging.INFO):
        with errors_only("talkative"):
            library.warning("a choice")
            library.error("an error")
            warnings.warn("nobody is to hear it", stacklevel=1)
        library.info("afterwards")
    assert caplog.messages == ["an error", "afterwards"]


def test_warnings_of_other_modules_pass():
    with errors_only("talkative", warned_by="some_library"), pytest.warns(match="somebody is to hear it"):
        warnings.warn("somebody is to hear it", stacklevel=1)


def test_handlers_that_a_library_shares_keep_their_level():
    """They may be those of the whole process: under pytest NNCF's own switch deafened them."""
    library, handler = logging.getLogger("talkative"), logging.StreamHandler()
    library.addHandler(handler)
    try:
        with errors_only("talkative"):
            assert handler.level == logging.NOTSET
    finally:
        library.removeHandler(handler)


def test_its_level_is_set_back_after_an_error():
    library = logging.getLogger("talkative")
    library.setLevel(logging.INFO)
    with pytest.raises(RuntimeError), errors_only("talkative"):
        raise RuntimeError
    assert library.level == logging.INFO


def test_the_command_line_does_not_pass_on_what_pillow_says_of_damage(tmp_path):
    data = write_yolo(tmp_path, {"a": "0 .5 .5 .2 .2\n", "b": None, "c": None})
    good = io.BytesIO()
    Pillow.new("RGB", (80, 60)).save(good, "TIFF")
    for name, tag, at, value in (
        ("b", 277, 8, 16387),
        ("c", 256, 4, 5),
    ):  # many bands; a width of five numbers
        image = bytearray(good.getvalue())
        struct.pack_into("<I", image, image.index(struct.pack("<H", tag), 8) + at, value)
        (tmp_path / f"images/val/{name}.png").write_bytes(image)
    command = [sys.executable, "-m", "yolov7", "doctor", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert "b.png" in done.stdout
