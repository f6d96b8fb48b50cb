"""What is written about detections, and what is left when a run is broken off."""

from __future__ import annotations

import csv
import errno
import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from tests.sources.media import number_of, picture, write_video
from yolov7.drawing import Style, draw_boxes
from yolov7.errors import OutputError, SourceError, UsageError
from yolov7.files import new_run_directory, safe_name
from yolov7.images.reading import read_image
from yolov7.results.output import Names, SinkOptions
from yolov7.results.sinks import SINKS, open_sinks
from yolov7.sources.frames import Frame, VideoPosition
from yolov7.sources.opening import open_source
from yolov7.types import Detections

NAMES = ("person", "traffic light", "a/b: c?")
BOXES = np.array([[4, 6, 40, 30], [10.25, 12.5, 20.75, 22.125]], np.float32)
FOUND = Detections(BOXES, np.array([0.9, 0.512345678], np.float32), np.array([1, 2]), NAMES)
NOTHING = Detections.empty(NAMES)


def still(name: str, index: int = 0, folder: str = "photos") -> Frame:
    return Frame(picture(1), f"{folder}/{name}", name, index)


def moment(number: int, name: str = "clip.mp4", index: int | None = None, **options: Any) -> Frame:
    position = VideoPosition(number, number / 10, 10.0, live=False)
    return Frame(picture(number), f"videos/{name}", name, number if index is None else index, position)


def broken(name: str, index: int = 0) -> Frame:
    error = SourceError("unreadable or damaged image", file=f"photos/{name}")
    return Frame(None, f"photos/{name}", name, index, error=error)


def files(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


# Each kind


def test_pictures_keep_name_and_kind(tmp_path: Path) -> None:
    with open_sinks("pictures", tmp_path, NAMES) as sinks:
        for index, name in enumerate(["a.jpg", "B.JPEG", "c.png", "d.bmp", "e.webp", "sub/f.tif", "image0"]):
            sinks.write(still(name, index), FOUND)
        sinks.write(broken("g.jpg"), NOTHING)
    assert files(tmp_path / "pictures") == [
        "B.JPEG",
        "a.jpg",
        "c.png",
        "d.png",
        "e.jpg",
        "image0.jpg",
        "sub/f.png",
    ]
    np.testing.assert_array_equal(read_image(tmp_path / "pictures" / "c.png"), FOUND.plot(picture(1)))
    assert read_image(tmp_path / "pictures" / "a.jpg").shape == picture(1).shape


def test_text_is_class_centre_size_score(tmp_path: Path) -> None:
    with open_sinks("txt", tmp_path, NAMES) as sinks:
        sinks.write(still("a.jpg"), FOUND)
        sinks.write(still("b.jpg", 1), NOTHING)
        sinks.write(broken("c.jpg", 2), NOTHING)
    assert files(tmp_path) == ["txt/a.txt", "txt/b.txt"]
    assert (tmp_path / "txt" / "b.txt").read_text() == ""
    assert (tmp_path / "txt" / "a.txt").read_text() == (
        "1 0.343750 0.375000 0.562500 0.500000 0.900000\n2 0.242188 0.360677 0.164062 0.200521 0.512346\n"
    )


def test_csv_has_a_row_for_each_box(tmp_path: Path) -> None:
    with open_sinks("csv", tmp_path, NAMES) as sinks:
        sinks.write(still('a, "b"\n.jpg'), FOUND)
        sinks.write(still("none.jpg", 1), NOTHING)
        sinks.write(moment(7), FOUND[:1])
    assert (tmp_path / "detections.csv").read_text() == (
        "source,frame,label,name,score,x1,y1,x2,y2\n"
        '"photos/a, ""b""\n.jpg",,1,traffic light,0.90000,4.000,6.000,40.000,30.000\n'
        '"photos/a, ""b""\n.jpg",,2,a/b: c?,0.51235,10.250,12.500,20.750,22.125\n'
        "videos/clip.mp4,7,1,traffic light,0.90000,4.000,6.000,40.000,30.000\n"
    )


def test_csv_of_an_empty_run_has_a_header(tmp_path: Path) -> None:
    with open_sinks("csv", tmp_path, NAMES) as sinks:
        sinks.write(still("none.jpg"), NOTHING)
    assert (tmp_path / "detections.csv").read_text() == "source,frame,label,name,score,x1,y1,x2,y2\n"


def test_json_is_a_coco_document_that_accounts_for_every_image(tmp_path: Path) -> None:
    with open_sinks("json", tmp_path, NAMES) as sinks:
        sinks.write(still("a.jpg"), FOUND)
        sinks.write(broken("b.jpg", 1), NOTHING)
        sinks.write(still("sub/c\udcff.jpg", 2), NOTHING)
        sinks.write(moment(7, index=3), FOUND[:1])
    assert files(tmp_path) == ["detections.json"]
    document = json.loads((tmp_path / "detections.json").read_text())
    assert list(document) == ["images", "annotations", "skipped", "categories"]
    size = {"width": 64, "height": 48}
    assert document["images"] == [
        {"id": 1, "file_name": "a.jpg", "source": "photos/a.jpg", **size},
        {"id": 2, "file_name": "sub/c\udcff.jpg", "source": "photos/sub/c\udcff.jpg", **size},
        {"id": 3, "file_name": "clip.mp4", "source": "videos/clip.mp4", "frame": 7, "time": 0.7, **size},
    ]
    lines = (tmp_path / "detections.json").read_text().splitlines(keepends=True)
    assert "".join(line for line in lines if '"bbox"' in line) == (
        '{"image_id": 1, "category_id": 1, "bbox": [4.0, 6.0, 36.0, 24.0], "score": 0.9, '
        '"id": 1, "area": 864.0, "iscrowd": 0},\n'
        '{"image_id": 1, "category_id": 2, "bbox": [10.25, 12.5, 10.5, 9.625], "score": 0.51235, '
        '"id": 2, "area": 101.062, "iscrowd": 0},\n'
        '{"image_id": 3, "category_id": 1, "bbox": [4.0, 6.0, 36.0, 24.0], "score": 0.9, '
        '"id": 3, "area": 864.0, "iscrowd": 0}\n'
    )
    assert document["skipped"] == [
        {
            "file_name": "b.jpg",
            "source": "photos/b.jpg",
            "reason": "photos/b.jpg: unreadable or damaged image",
        }
    ]
    assert document["categories"] == [{"id": i, "name": name} for i, name in enumerate(NAMES)]


def test_the_coco_library_reads_our_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_sinks("json", tmp_path, NAMES) as sinks:
        sinks.write(still("a.jpg"), FOUND)
        sinks.write(still("b.jpg", 1), NOTHING)
    coco = COCO(tmp_path / "detections.json")
    assert coco.getImgIds() == [1, 2]
    assert coco.getAnnIds(imgIds=[1]) == [1, 2]
    results = coco.loadRes(coco.dataset["annotations"])
    assert len(results.anns) == 2


def test_json_of_an_empty_run(tmp_path: Path) -> None:
    with open_sinks("json", tmp_path, []):
        pass
    empty: dict[str, list[Any]] = {"images": [], "annotations": [], "skipped": [], "categories": []}
    assert json.loads((tmp_path / "detections.json").read_text()) == empty


def test_a_thousand_images_of_which_twenty_are_broken(tmp_path: Path) -> None:
    with open_sinks(["json"], tmp_path, NAMES) as sinks:
        for index in range(1000):
            bad = index % 50 == 7
            frame = broken(f"{index}.jpg", index) if bad else still(f"{index}.jpg", index)
            sinks.write(frame, NOTHING if bad or index % 2 else FOUND)
    document = json.loads((tmp_path / "detections.json").read_text())
    assert len(document["images"]) == 980
    assert len(document["skipped"]) == 20
    assert len({image["id"] for image in document["images"]}) == 980
    assert {a["image_id"] for a in document["annotations"]} <= {image["id"] for image in document["images"]}


def test_crops_by_class(tmp_path: Path) -> None:
    outside = Detections(
        np.array([[-5, -5, 10.2, 10], [60, 40, 90, 90], [20, 20, 20, 30], [100, 100, 120, 120]], np.float32),
        np.full(4, 0.5, np.float32),
        np.array([0, 0, 0, 7]),
        NAMES,
    )
    with open_sinks("crops", tmp_path, NAMES) as sinks:
        sinks.write(still("a.png"), FOUND)
        sinks.write(still("sub/b.png", 1), outside)
        sinks.write(moment(12, index=2), FOUND[:1])
    assert files(tmp_path / "crops") == [
        "a_b_ c_/a-1.png",
        "person/sub/b-0.png",
        "person/sub/b-1.png",
        "traffic light/a-0.png",
        "traffic light/clip/000012-0.jpg",
    ]
    crop = read_image(tmp_path / "crops" / "traffic light" / "a-0.png")
    np.testing.assert_array_equal(crop, picture(1)[6:30, 4:40])
    assert read_image(tmp_path / "crops" / "person" / "sub" / "b-0.png").shape == (10, 11, 3)
    assert read_image(tmp_path / "crops" / "person" / "sub" / "b-1.png").shape == (8, 4, 3)


def test_videos_keep_their_times(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.15, 0.9, 1.0, 1.7]
    write_video(tmp_path / "in.mp4", len(times), times=times, size=(120, 160))
    with open_sinks("video", tmp_path / "out", NAMES) as sinks:
        sinks.write(still("a.jpg"), FOUND)
        for frame in open_source(tmp_path / "in.mp4"):
            sinks.write(frame, FOUND)
    assert files(tmp_path / "out") == ["video/in.mp4"]
    frames = list(open_source(tmp_path / "out" / "video" / "in.mp4"))
    assert [frame.video.time for frame in frames if frame.video] == pytest.approx(times, abs=0.001)
    assert [number_of(frame.image) for frame in frames if frame.image is not None] == list(range(6))
    assert [frame.error for frame in frames] == [None] * 6
    assert frames[0].image is not None
    drawn = FOUND.plot(picture(0, (120, 160)))
    assert np.abs(frames[0].image.astype(int) - drawn.astype(int)).mean() < 4


@pytest.mark.parametrize("size", [(47, 63), (48, 63), (1, 1)])
def test_videos_of_odd_size(tmp_path: Path, size: tuple[int, int]) -> None:
    with open_sinks("video", tmp_path, NAMES) as sinks:
        for number in range(3):
            position = VideoPosition(number, number / 10, 10.0, live=False)
            sinks.write(Frame(picture(number, size), "a.avi", "a.avi", number, position), NOTHING)
    frames = list(open_source(tmp_path / "video" / "a.mp4"))
    assert len(frames) == 3
    assert frames[0].image is not None
    assert frames[0].image.shape[:2] == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert frames[0].video is not None
    assert frames[0].video.fps == pytest.approx(10)


def test_a_stream_that_changes_its_size_and_goes_back_in_time(tmp_path: Path) -> None:
    with open_sinks("video", tmp_path, NAMES) as sinks:
        for number, (size, seconds) in enumerate([((48, 64), 0.0), ((96, 128), 1.0), ((48, 64), 0.5)]):
            position = VideoPosition(number, seconds, None, live=True)
            sinks.write(Frame(picture(number, size), "webcam:0", "webcam0", number, position), NOTHING)
    frames = list(open_source(tmp_path / "video" / "webcam0.mp4"))
    assert [frame.image.shape for frame in frames if frame.image is not None] == [(48, 64, 3)] * 3


def test_videos_without_x264(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    with open_sinks("video", tmp_path, NAMES) as sinks:
        for number in range(5):
            sinks.write(moment(number), FOUND)
    with av.open(str(tmp_path / "video" / "clip.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    frames = list(open_source(tmp_path / "video" / "clip.mp4"))
    assert [frame.error for frame in frames] == [None] * 5


# Names


def test_the_same_name_twice_is_numbered(tmp_path: Path) -> None:
    with open_sinks("pictures,txt", tmp_path, NAMES) as sinks:
        for index, (folder, name) in enumerate(
            [("a", "1.jpg"), ("b", "1.jpg"), ("b", "1.png"), ("c", "1.JPG"), ("c", "1-2.jpg")]
        ):
            sinks.write(still(name, index, folder), FOUND)
    assert files(tmp_path / "pictures") == ["1-2-2.jpg", "1-2.jpg", "1-3.JPG", "1.jpg", "1.png"]
    assert files(tmp_path / "txt") == ["1-2-2.txt", "1-2.txt", "1-3.txt", "1-4.txt", "1.txt"]


def test_many_of_one_name_are_numbered_quickly() -> None:
    book = Names()
    frame = Frame(None, "rgb.png", "rgb.png", 0)
    paths = [book.path(frame, ".txt") for _ in range(20_000)]
    assert paths[:3] + paths[-1:] == ["rgb.txt", "rgb-2.txt", "rgb-3.txt", "rgb-20000.txt"]


def test_frames_of_videos_are_numbered_in_a_folder_of_the_video(tmp_path: Path) -> None:
    twice = [moment(n % 2, index=n) for n in range(4)]
    other = Frame(picture(0), "elsewhere/clip.mp4", "clip.mp4", 4, VideoPosition(2, 0.0, None, live=False))
    with open_sinks("pictures,video", tmp_path, NAMES) as sinks:
        for frame in [*twice, other]:
            sinks.write(frame, FOUND)
    assert files(tmp_path / "pictures") == [
        "clip-2/000000.jpg",
        "clip-2/000001.jpg",
        "clip-3/000002.jpg",
        "clip/000000.jpg",
        "clip/000001.jpg",
    ]
    assert files(tmp_path / "video") == ["clip-2.mp4", "clip-3.mp4", "clip.mp4"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("../../etc/passwd.jpg", "etc/passwd.txt"),
        ("/etc/passwd", "etc/passwd.txt"),
        ("a/./b.jpg", "a/b.txt"),
        ("con.jpg", "_con.txt"),
        ('a<b>:"c.jpg', "a_b___c.txt"),
        ("back\\slash.jpg", "back_slash.txt"),
        ("..", "image.txt"),
        ("", "image.txt"),
        ("x" * 300 + ".jpg", "x" * 200 + ".txt"),
        ("line\nbreak\0.jpg", "line_break_.txt"),
        ("übung 犬.jpg", "übung 犬.txt"),
    ],
)
def test_names_lead_nowhere_else(name: str, path: str) -> None:
    assert Names().path(Frame(picture(1), name, name, 0), ".txt") == path


@given(st.lists(st.text(max_size=12), max_size=8))
@settings(deadline=None)
def test_names_never_clash_and_can_be_files(names: list[str]) -> None:
    book = Names()
    paths = [book.path(Frame(None, name, name, i), ".txt") for i, name in enumerate(names)]
    assert len({path.casefold() for path in paths}) == len(paths)
    for path in paths:
        assert not path.startswith("/")
        assert not {"..", ".", ""} & set(path.split("/"))
        path.encode()  # no half of a surrogate pair


def test_safe_names_keep_what_is_safe() -> None:
    assert safe_name("traffic light", "x") == "traffic light"
    assert safe_name("...", "class-3") == "class-3"
    assert safe_name("NUL", "x") == "_NUL"


# Directories


def test_run_directories_are_never_used_twice(tmp_path: Path) -> None:
    wanted = tmp_path / "runs" / "predict"
    for name in ("predict", "predict-2", "predict-3"):
        directory = new_run_directory(wanted)
        assert directory == tmp_path / "runs" / name
        (directory / "result.txt").touch()
    (tmp_path / "runs" / "predict-4").mkdir()
    assert new_run_directory(wanted) == tmp_path / "runs" / "predict-4", "an empty one is as good as new"
    (tmp_path / "file").touch()
    assert new_run_directory(tmp_path / "file") == tmp_path / "file-2"


def test_a_run_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written: Not a directory"):
        new_run_directory(tmp_path / "file" / "below")


@pytest.mark.parametrize("kind", SINKS)
def test_results_are_not_overwritten(tmp_path: Path, kind: str) -> None:
    def run() -> None:
        with open_sinks(kind, tmp_path, NAMES) as sinks:
            sinks.write(moment(0), FOUND)

    run()
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    with pytest.raises(OutputError, match="there are results already, which are not overwritten"):
        run()
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


def test_one_kind_that_is_there_already_leaves_nothing_of_the_others(tmp_path: Path) -> None:
    (tmp_path / "detections.csv").touch()
    with pytest.raises(OutputError, match=r"detections\.csv: there are results already"):
        open_sinks("json,csv", tmp_path, NAMES)
    assert files(tmp_path) == ["detections.csv"]


def test_no_kind_at_all_writes_nothing(tmp_path: Path) -> None:
    for kinds in ("", []):
        with open_sinks(kinds, tmp_path / "out", NAMES) as sinks:
            sinks.write(still("a.jpg"), FOUND)
    assert not (tmp_path / "out").exists()


def test_unknown_kinds(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"expected: pictures, txt, json, csv, crops, video\n  found:    xml, pdf"
    ):
        open_sinks("txt, xml,pdf", tmp_path, NAMES)
    assert files(tmp_path) == []


# Runs that are broken off


class Stop(BaseException):
    """As Ctrl-C would."""


def broken_off(directory: Path, kinds: str) -> None:
    with open_sinks(kinds, directory, NAMES) as sinks:
        sinks.write(moment(0), FOUND)
        sinks.write(broken("bad.jpg", 1), NOTHING)
        sinks.write(moment(1, index=2), FOUND)
        raise Stop


def test_what_was_broken_off_has_no_final_name_but_can_be_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(Stop):
        broken_off(tmp_path, "pictures,txt,json,csv,video")
    assert files(tmp_path) == [
        "detections.csv.partial",
        "detections.json.partial",
        "pictures/clip/000000.jpg",
        "pictures/clip/000001.jpg",
        "txt/clip/000000.txt",
        "txt/clip/000001.txt",
        "video/clip.mp4.partial",
    ]
    document = json.loads((tmp_path / "detections.json.partial").read_text())
    assert [len(document[key]) for key in ("images", "annotations", "skipped")] == [2, 4, 1]
    assert len((tmp_path / "detections.csv.partial").read_text().splitlines()) == 5
    (tmp_path / "video" / "clip.mp4.partial").rename(tmp_path / "clip.mp4")
    assert [frame.error for frame in open_source(tmp_path / "clip.mp4")] == [None, None]
    for name in ("detections.json.partial", "detections.csv.partial", "clip.mp4.partial"):
        assert name in caplog.text


def test_the_json_of_a_run_that_was_killed_can_be_read(tmp_path: Path) -> None:
    """After each image the file on the disk is JSON, nothing of it is waiting in memory."""
    partial = tmp_path / "detections.json.partial"
    sinks = open_sinks("json,csv", tmp_path, NAMES)
    assert json.loads(partial.read_text()) == []
    sinks.write(still("a.jpg"), FOUND)
    first = json.loads(partial.read_text())
    assert [entry["image"]["file_name"] for entry in first] == ["a.jpg"]
    assert [a["category_id"] for a in first[0]["annotations"]] == [1, 2]
    sinks.write(broken("b.jpg", 1), NOTHING)
    sinks.write(still("c.jpg", 2), NOTHING)
    entries = json.loads(partial.read_text())
    assert [list(entry) for entry in entries] == [
        ["image", "annotations"],
        ["skipped"],
        ["image", "annotations"],
    ]
    assert len((tmp_path / "detections.csv.partial").read_text().splitlines()) == 3
    sinks.close()
    assert files(tmp_path) == ["detections.csv", "detections.json"]


KILLED_SCRIPT = """
import os, sys
import numpy as np
from yolov7.sources.frames import Frame, VideoPosition
from yolov7.results.sinks import open_sinks
from yolov7.types import Detections

noise = np.random.default_rng(0)
sinks = open_sinks("json,csv,video", sys.argv[1], ())
for number in range(100):
    image = noise.integers(0, 256, (120, 160, 3), np.uint8)
    position = VideoPosition(number, number / 10, 10.0, live=False)
    sinks.write(Frame(image, "clip.mp4", "clip.mp4", number, position), Detections.empty())
os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
@pytest.mark.skipif(av.library_versions["libavformat"] < (61, 7, 100), reason="FFmpeg before 7.1")
def test_a_killed_process_leaves_what_can_be_read(tmp_path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED_SCRIPT, str(tmp_path)], check=False).returncode == -9
    assert len(json.loads((tmp_path / "detections.json.partial").read_text())) == 100
    (tmp_path / "video" / "clip.mp4.partial").rename(tmp_path / "clip.mp4")
    assert sum(frame.error is None for frame in open_source(tmp_path / "clip.mp4")) > 10


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-x", "'-x"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" =1", "' =1"),
        ("\t=1", "'\t=1"),
        ("\uff1d1", "'\uff1d1"),
        ("-", "-"),
        ("a=b", "a=b"),
        ("person", "person"),
    ],
)
def test_no_cell_is_a_formula(name: str, cell: str, tmp_path: Path) -> None:
    found = Detections(BOXES[:1], np.float32([0.9]), np.array([0]), (name,))
    with open_sinks("csv", tmp_path, (name,)) as sinks:
        sinks.write(Frame(picture(1), name, name, 0), found)
    with (tmp_path / "detections.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["source"], row["name"]) == (cell, cell)
    assert row["x1"] == "4.000"


def test_one_file_that_cannot_be_written_ends_nothing_else(tmp_path: Path) -> None:
    failures: list[str] = []
    with open_sinks("pictures,txt,csv", tmp_path, NAMES, on_error=lambda e: failures.append(str(e))) as sinks:
        sinks.write(still("a.jpg"), FOUND)
        (tmp_path / "pictures" / "sub").touch()  # a file where a folder is to be
        sinks.write(still("sub/b.jpg", 1), FOUND)
        sinks.write(still("猫" * 83 + ".jpg", 2), FOUND)
    assert len(failures) == 1
    assert "pictures/sub" in failures[0]
    assert len(list((tmp_path / "pictures").glob("*.jpg"))) == 2
    assert len(list((tmp_path / "txt").rglob("*.txt"))) == 3
    assert len((tmp_path / "detections.csv").read_text().splitlines()) == 7


def test_pictures_of_images_with_detections_only(tmp_path: Path) -> None:
    options = SinkOptions(Style(line_width=3, labels=False, scores=False), only_found=True)
    with open_sinks("pictures,txt", tmp_path, NAMES, options) as sinks:
        sinks.write(still("a.png"), FOUND)
        sinks.write(still("b.png", 1), NOTHING)
    assert files(tmp_path) == ["pictures/a.png", "txt/a.txt", "txt/b.txt"]
    drawn = read_image(tmp_path / "pictures" / "a.png")
    np.testing.assert_array_equal(drawn, draw_boxes(picture(1), BOXES, ["", ""], [1, 2], 3))


def test_no_library_speaks_when_pictures_are_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with open_sinks("pictures,crops", tmp_path, NAMES) as sinks:
        for index, name in enumerate(("a.png", "b.jpg", "c.JPEG", "d.bmp")):
            sinks.write(still(name, index), FOUND)
    assert capfd.readouterr() == ("", "")


def test_nothing_has_its_final_name_before_the_end(tmp_path: Path) -> None:
    with open_sinks("json,csv,video", tmp_path, NAMES) as sinks:
        sinks.write(moment(0), FOUND)
        assert {name.rpartition(".")[2] for name in files(tmp_path)} == {"partial"}
    assert files(tmp_path) == ["detections.csv", "detections.json", "video/clip.mp4"]


def test_closing_twice_does_nothing(tmp_path: Path) -> None:
    sinks = open_sinks("json,csv,video", tmp_path, NAMES)
    sinks.write(moment(0), FOUND)
    sinks.close()
    sinks.close()
    assert sinks.abandon() == []
    assert files(tmp_path) == ["detections.csv", "detections.json", "video/clip.mp4"]


# Outputs that fail


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="cannot be written: File exists"):
        open_sinks("json", tmp_path / "out", NAMES)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "txt").touch()
    with pytest.raises(OutputError, match="there are results already"):
        open_sinks("txt", tmp_path / "run", NAMES)


FULL_DISK_SCRIPT = """
import resource, sys
import numpy as np
from yolov7.errors import OutputError
from yolov7.sources.frames import Frame, VideoPosition
from yolov7.results.sinks import open_sinks
from yolov7.types import Detections

directory = sys.argv[1]
noise = np.random.default_rng(0)
boxes = np.tile(np.float32([1, 1, 60, 40]), (50, 1))
found = Detections(boxes, np.full(50, 0.5, np.float32), np.zeros(50, int), ("person",))
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # no file may grow larger
for kind in ("pictures", "json", "csv", "video"):
    try:
        with open_sinks(kind, directory, ("person",)) as sinks:
            for number in range(200):
                image = noise.integers(0, 256, (300, 400, 3), np.uint8)
                position = VideoPosition(number, number / 10, 10.0, live=False)
                sinks.write(Frame(image, "clip.mp4", "clip.mp4", number, position), found)
    except OutputError as error:
        print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the limit is set with resource, which Windows has not")
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK_SCRIPT, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    reason = f"cannot be written: {os.strerror(errno.EFBIG)}"
    assert done.stdout.splitlines() == [
        f"{tmp_path / name}: {reason}"
        for name in ("pictures/clip/000000.jpg", "detections.json", "detections.csv", "video/clip.mp4")
    ]
    assert not [name for name in files(tmp_path) if not name.endswith(".partial")]


def test_a_picture_too_large_for_its_format(tmp_path: Path) -> None:
    wide = np.zeros((1, 70_000, 3), np.uint8)
    with (
        pytest.raises(OutputError, match=r"cannot be encoded as \.jpg"),
        open_sinks("pictures", tmp_path, ()) as sinks,
    ):
        sinks.write(Frame(wide, "a.jpg", "a.jpg", 0), Detections.empty())


# Together


def test_a_whole_run(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        assert cv2.imwrite(str(photos / f"{number}.png"), picture(number)[..., ::-1])
    (photos / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    write_video(photos / "clip.mp4", 4)
    directory = new_run_directory(tmp_path / "out")
    with open_sinks(list(SINKS), directory, NAMES) as sinks:
        for frame in open_source(photos).read_ahead(lambda frame: frame, workers=2):
            sinks.write(frame, NOTHING if frame.error else FOUND)
    found = files(directory)
    assert [name for name in found if "/" not in name] == ["detections.csv", "detections.json"]
    assert len([name for name in found if name.startswith("pictures/")]) == 7
    assert len([name for name in found if name.startswith("txt/")]) == 7
    assert len([name for name in found if name.startswith("crops/")]) == 14
    assert [name for name in found if name.startswith("video/")] == ["video/clip.mp4"]
    document = json.loads((directory / "detections.json").read_text())
    assert [image["file_name"] for image in document["images"]] == [f"{n}.png" for n in range(3)] + [
        "clip.mp4"
    ] * 4
    assert [entry["file_name"] for entry in document["skipped"]] == ["bad.png"]
    assert len(list(csv.reader(io.StringIO((directory / "detections.csv").read_text())))) == 15
