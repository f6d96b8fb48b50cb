"""Files and folders that are no checkpoint are named as what they are."""

from __future__ import annotations

import io
import pickle
import shutil
import struct

import pytest
import torch

from tests.tensor_files.hostile_files import plain_zip
from yolov7.checkpoints.checkpoint import load_checkpoint
from yolov7.cli import main
from yolov7.errors import CheckpointError

FILES = {
    "a.engine": (b"ptrt" + bytes(range(256)), "a TensorRT engine"),
    "b.engine": (struct.pack("<i", 300) + b'{"description": "x"}' + bytes(range(256)), "a TensorRT engine"),
    "c.engine": (bytes(range(255, 1, -1)), "by its name a TensorRT engine"),
    "model.xml": (b'<?xml version="1.0"?>\n<net name="m" version="11">', "an OpenVINO model"),
    "model.bin": (bytes(range(255, 1, -1)), "OpenVINO or ncnn"),
    "yolov7.cfg": (b"# yolo\n[net]\nbatch=1\n", "a network of Darknet"),
    "yolov4.weights": (struct.pack("<iiiq", 0, 2, 5, 1) + bytes(range(200)), "weights of Darknet"),
    "yolov2.weights": (struct.pack("<iiii", 0, 1, 0, 1) + bytes(range(200)), "weights of Darknet"),
    "net.yaml": (b"nc: 80\nanchors: []\nbackbone:\n  []\nhead: []\n", "the description of a network"),
    "data.yaml": (b"train: images\nval: images\nnc: 1\nnames: [a]\n", "the description of a data set"),
    "a.tflite": (b"\x1c\0\0\0TFL3" + bytes(100), "a TensorFlow Lite model"),
    "a.h5": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "a.keras": (plain_zip({"config.json": b"{}", "model.weights.h5": b"x"}), "a model of Keras"),
    "a.pdparams": (pickle.dumps({"StructuredToParameterName@@": {}}, 2), "PaddlePaddle"),
    "a.param": (b"7767517\n75 83\n", "an ncnn model"),
    "weights.zip": (plain_zip({"runs/best.pt": b"x"}), "runs/best.pt inside: unpack it"),
    "a.npy": (b"\x93NUMPY\1\0", "numpy"),
    "a.gif": (b"GIF89a" + bytes(100), "a picture: weights come first"),
    "a.webp": (b"RIFF\0\0\0\0WEBPVP8 ", "a picture"),
    "a.mp4": (b"\0\0\0\x20ftypisom\0\0", "a video"),
    "page.pt": (b"<!-- x --><html><title>Sign in</title>", "a web page"),
}


@pytest.mark.parametrize("name", FILES)
def test_files(tmp_path, name):
    content, what = FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / name)
    assert what in str(caught.value)


@pytest.mark.parametrize("inside", [False, True])
def test_an_unpacked_checkpoint_is_named_by_doctor_and_load(tmp_path, inside, capsys):
    """Safari unpacks zip files after a download."""
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(1)}, buffer)
    (tmp_path / "best.zip").write_bytes(buffer.getvalue())
    shutil.unpack_archive(tmp_path / "best.zip", tmp_path / "best")
    folder = tmp_path / "best" if inside else next((tmp_path / "best").iterdir())
    with pytest.raises(CheckpointError, match="an unpacked checkpoint"):
        load_checkpoint(folder)
    with pytest.raises(SystemExit):
        main(["doctor", str(folder)])
    assert "zip -0 -r" in capsys.readouterr().err


def test_folders_of_other_tools(tmp_path):
    for name, files, what in (
        ("saved", ["saved_model.pb"], "SavedModel"),
        ("m.mlpackage", ["Manifest.json"], "Core ML"),
        ("vino", ["m.xml", "m.bin"], "OpenVINO"),
        ("photos", ["a.jpg"], r"a folder \(a\.jpg\)"),
    ):
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).touch()
        with pytest.raises(CheckpointError, match=what):
            load_checkpoint(tmp_path / name)
