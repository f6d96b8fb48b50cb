"""COCO json: category ids, polygons, masks, crowds, and every defect with its line."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.small_sets import HEIGHT, WIDTH, coco_content, write, write_coco, write_image
from yolov7.errors import DataError
from yolov7.formats.coco_ledger import Ledger
from yolov7.formats.coco_values import element_lines
from yolov7.formats.opening import open_dataset


def line_containing(file: Path, text: str) -> int:
    """Line on which the json object with the text begins; each value has its own line."""
    lines = file.read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if text in line)
    return next(number + 1 for number in range(at, -1, -1) if lines[number].strip() == "{")


def test_category_ids_become_contiguous_labels(tmp_path: Path) -> None:
    dataset = open_dataset(write_coco(tmp_path, coco_content()))
    assert dataset.kind == "coco"
    assert dataset.names == ("cat", "dog")  # in order of their ids
    assert dataset.category_ids == (1, 3)
    assert [image.image_id for image in dataset.images] == [7, 5]
    dog, cat = dataset.images
    np.testing.assert_array_equal(dog.boxes, [[10, 10, 30, 40]])
    assert [dataset.category_ids[label] for label in (*dog.labels, *cat.labels)] == [3, 1]
    assert dog.areas.tolist() == [431.5]
    assert not dataset.defects
    assert dataset[1].image.shape == (HEIGHT, WIDTH, 3)


def test_the_text_of_the_json_is_freed_with_its_reader(tmp_path: Path) -> None:
    """COCO's own has 450 MB; the garbage collector, which counts objects, may not run for long."""
    content = coco_content()
    content["annotations"][0]["bbox"] = None
    path = write_coco(tmp_path, content)
    gc.collect()
    gc.disable()
    try:
        assert open_dataset(path).defects[0].line is not None
        assert not [each for each in gc.get_objects() if type(each) is Ledger]
    finally:
        gc.enable()


def test_the_80_category_ids_of_coco_map_to_labels_and_back(tmp_path: Path) -> None:
    gaps = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
    ids = [number for number in range(90, 0, -1) if number not in gaps]
    boxes = [
        {"id": n, "image_id": 5, "category_id": n, "bbox": [1, 1, 8 + n / 10, 9], "iscrowd": 0} for n in ids
    ]
    content = coco_content(categories=[{"id": n, "name": f"class {n}"} for n in ids], annotations=boxes)
    dataset = open_dataset(write_coco(tmp_path, content))
    assert dataset.category_ids == tuple(sorted(ids))
    image = dataset.images[1]
    assert sorted(image.labels.tolist()) == list(range(80))
    for label, box in zip(image.labels, image.boxes, strict=True):
        number = dataset.category_ids[label]
        assert dataset.names[label] == f"class {number}"
        assert box[2] == pytest.approx(9 + number / 10)


def test_polygons_masks_and_crowds_are_read(tmp_path: Path) -> None:
    base = {"image_id": 7, "category_id": 1, "iscrowd": 0}
    mask = {"size": [HEIGHT, WIDTH], "counts": [10, 20]}
    annotations = [
        {**base, "id": 1, "bbox": [0, 0, 10, 10], "segmentation": [[0, 0, 10, 0, 10, 10]]},
        {
            **base,
            "id": 2,
            "bbox": [0, 0, 40, 40],
            "segmentation": [[0, 0, 9, 0, 9, 9], [20, 20, 40, 20, 40, 40]],
        },
        {**base, "id": 3, "bbox": [5, 5, 50, 50], "segmentation": mask, "iscrowd": 1},
        {**base, "id": 4, "bbox": [5, 5, 10, 50], "segmentation": mask},
        {**base, "id": 5, "bbox": [5, 5, 10, 40], "segmentation": [[1, 2, 3]]},
        {**base, "id": 6, "bbox": [5, 5, 10, 30], "segmentation": [[1e300, 1, 2, 2, 3, 3]]},
        {**base, "id": 7, "bbox": [5, 5, 10, 20]},
    ]
    dataset = open_dataset(write_coco(tmp_path, coco_content(annotations=annotations)))
    assert [str(defect).split(": ")[1] for defect in dataset.defects] == ["annotation 5", "annotation 6"]
    assert all("only the box is used" in defect.message for defect in dataset.defects)
    image = dataset.images[0]
    assert image.crowds.tolist() == [False, False, True, False, False, False, False]
    assert image.areas.tolist() == [100, 1600, 2500, 500, 400, 300, 200]
    one, joined, *rest = image.polygons
    np.testing.assert_array_equal(one, [[0, 0], [10, 0], [10, 10]])
    assert rest == [None] * 5
    # Two triangles of 40.5 and 200: the joining lines enclose nothing.
    assert joined is not None
    x, y = joined.T.astype(float)
    assert abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2) == 240.5


def test_joined_polygon_parts_enclose_the_sum_of_their_areas(tmp_path: Path) -> None:
    parts = [[x, y, x + 10, y, x + 10, y + 10, x, y + 10] for x, y in ((0, 0), (60, 0), (20, 40))]
    annotation = {"id": 1, "image_id": 7, "category_id": 1, "bbox": [0, 0, 70, 50], "segmentation": parts}
    (image, _) = open_dataset(write_coco(tmp_path, coco_content(annotations=[annotation]))).images
    (polygon,) = image.polygons
    assert polygon is not None
    x, y = polygon.T.astype(float)
    assert (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2 == 300


BAD_ANNOTATIONS: list[tuple[Any, str, str]] = [
    ({"image_id": 99}, "error", "no image has the id 99"),
    ({"image_id": None}, "error", "no image has the id None"),
    ({"image_id": [7]}, "error", "no image has the id [7]"),
    ({"category_id": 2}, "error", "no category has the id 2"),
    ({"category_id": "dog"}, "error", "no category has the id 'dog'"),
    ({"bbox": [1, 2, 3]}, "error", "bbox must be"),
    ({"bbox": None}, "error", "bbox must be"),
    ({"bbox": [1, 2, "3 px", 4]}, "error", "bbox must be"),
    ({"bbox": {"x": 1, "y": 2, "w": 3}}, "error", "bbox must be"),
    ({"image_id": True}, "error", "no image has the id True"),
    ({"image_id": 10**4000}, "error", "no image has the id 1000"),
    ({"bbox": [0.25, 0.25, 0.25, 0.5]}, "error", "fractions of the image"),
    ({"bbox": [1, 2, 10**400, 4]}, "error", "bbox must be"),
    ({"bbox": [1, 2, float("nan"), 4]}, "error", "not finite"),
    ({"bbox": [1, 2, 3, float("inf")]}, "error", "not finite"),
    ({"bbox": [1, 2, 0, 4]}, "warning", "no width or no height"),
    ({"bbox": [1, 2, 3, 1e-9]}, "warning", "no width or no height"),
    ({"bbox": [1, 2, 3, -4]}, "error", "a negative width or height"),
    ({"bbox": [1, 2, 3, 1e300]}, "error", "not finite"),
    ({"bbox": [80, 2, 3, 4]}, "error", "lies outside"),
    ({"bbox": [-9, 2, 3, 4]}, "error", "lies outside"),
    ({"bbox": [70, 2, 30, 4]}, "warning", "reaches outside"),
    ({"bbox": [10, 10, 20, 30]}, "warning", "repeats"),
    ({"id": 1}, "warning", "another annotation has the same id"),
]


@pytest.mark.parametrize(("change", "severity", "message"), BAD_ANNOTATIONS)
def test_an_invalid_annotation_is_one_defect_with_its_line(
    change: dict[str, Any], severity: str, message: str, tmp_path: Path, one_defect: Callable[..., None]
) -> None:
    bad = {"marker": 1, "id": 30, "image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], **change}
    good = {"id": 4, "image_id": 7, "category_id": 1, "bbox": [50, 2, 30.4, 4], "area": 9}
    content = coco_content(annotations=[*coco_content()["annotations"], bad, good])
    file = write_coco(tmp_path, content)
    dataset = open_dataset(file)
    one_defect(dataset.defects, severity, f"{file}:{line_containing(file, 'marker')}", message)
    kept = message in ("reaches outside", "another annotation has the same id")
    assert [len(image) for image in dataset.images] == [2 + kept, 1]
    assert dataset.images[0].boxes[:, 2].max() <= WIDTH + 1


def test_an_annotation_that_is_a_number_is_dropped(tmp_path: Path, one_defect: Callable[..., None]) -> None:
    file = write_coco(tmp_path, coco_content(annotations=[7, *coco_content()["annotations"]]))
    one_defect(
        open_dataset(file).defects, "error", f"{file}:{line_containing(file, 'bbox') - 1}", "not an object"
    )


BAD_IMAGES: list[tuple[Any, str, str]] = [
    ({"id": 8, "file_name": ""}, "error", "without id or file_name"),
    ({"file_name": "5.png"}, "error", "without id or file_name"),
    ({"id": 7, "file_name": "5.png"}, "error", "image id 7 is given twice"),
    ({"id": 8, "file_name": "8.png", "height": 80, "width": 60}, "warning", "listed as 60 x 80, but"),
    ({"id": 8, "file_name": "7.png"}, "warning", "is also image 7: both are kept"),
    ({"id": 8, "file_name": "./7.png"}, "warning", "is also image 7: both are kept"),
]


@pytest.mark.parametrize(("image", "severity", "message"), BAD_IMAGES)
def test_an_invalid_image_entry_is_one_defect_with_its_line(
    image: Any, severity: str, message: str, tmp_path: Path, one_defect: Callable[..., None]
) -> None:
    content = coco_content()
    content["images"].append({"marker": 1, **image})
    file = write_coco(tmp_path, content)
    dataset = open_dataset(file)
    one_defect(dataset.defects, severity, f"{file}:{line_containing(file, 'marker')}", message)
    assert len(dataset) == 2 + (severity == "warning")


@pytest.mark.parametrize("content", [None, b"", b"no image"])
def test_unreadable_images_are_left_out(
    content: bytes | None, tmp_path: Path, one_defect: Callable[..., None]
) -> None:
    file = write_coco(tmp_path, coco_content())
    path = tmp_path / "images/5.png"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    dataset = open_dataset(file)
    assert [image.image_id for image in dataset.images] == [7]
    one_defect(dataset.defects, "error", f"{file}:{line_containing(file, '5.png')}", f"image 5: {path}: ")


def test_defects_of_a_json_without_line_breaks_are_in_line_1(
    tmp_path: Path, one_defect: Callable[..., None]
) -> None:
    content = coco_content()
    content["annotations"][0]["category_id"] = 44
    write_coco(tmp_path, content)
    file = write(tmp_path / "instances.json", json.dumps(content))
    one_defect(open_dataset(file).defects, "error", f"{file}:1", "annotation 1: no category has the id 44")


def test_element_lines_are_found_in_nested_json() -> None:
    text = (
        ' {"a": {"annotations": [1]}, "annotations"\n:[\n {"x": "]"},\n\n[2],3\n], "b": [[\n]], "c": "\\"}"}'
    )
    json.loads(text)
    assert element_lines(text, "annotations") == [3, 5, 5]
    assert element_lines(text, "b") == [6]
    assert element_lines(text, "missing") == []
    assert element_lines("{}", "b") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"instances.json:1: not json"),
        ('{\n"images": [,]}', r"instances.json:2: not json"),
        ("[1, 2]", r"no list of images.*\s+expected: .*\s+found:    list"),
        ('{"images": [], "annotations": {}}', "no list of annotations"),
        ('{"images": [], "annotations": [], "categories": []}', "no categories"),
        (
            '{"images": [], "annotations": [],\n"categories": [{"id": "one", "name": "a"}]}',
            "json:2: each category needs",
        ),
        (
            '{"images": [], "annotations": [],\n\n"categories": [{"name": "a"}]}',
            "json:3: each category needs",
        ),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": 2}]}',
            "a unique integer id",
        ),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]}',
            "no readable image",
        ),
        ("[" * 100_000, "nested too deep|not json"),
    ],
)
def test_an_invalid_json_is_refused_with_file_and_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        open_dataset(write(tmp_path / "instances.json", text))


def test_categories_may_share_a_name(tmp_path: Path, one_defect: Callable[..., None]) -> None:
    content = coco_content(categories=[{"id": 1, "name": "cat"}, {"id": 3, "name": "cat"}])
    file = write_coco(tmp_path, content)
    dataset = open_dataset(file)
    assert dataset.names == ("cat", "cat")
    line = line_containing(file, '"cat"')
    one_defect(dataset.defects, "warning", f"{file}:{line}", "2 categories are called 'cat'")


def test_utf_16_and_latin_1_are_decoded(tmp_path: Path) -> None:
    content = coco_content(categories=[{"id": 1, "name": "Kätzchen"}, {"id": 3, "name": "dog"}])
    file = write_coco(tmp_path, content)
    text = json.dumps(content, ensure_ascii=False)
    for encoding, defects in (("utf-8-sig", 0), ("utf-16", 0), ("latin-1", 1)):
        file.write_bytes(text.encode(encoding))
        dataset = open_dataset(file)
        assert dataset.names[0] == "Kätzchen"
        assert len(dataset.defects) == defects


@pytest.mark.parametrize(
    ("file", "images"),
    [
        ("instances.json", "images"),
        ("instances.json", "."),
        ("annotations/instances_val2017.json", "val2017"),
        ("annotations/instances_val2017.json", "images/val2017"),
        ("annotations/instances_val2017.json", "val"),
        ("annotations/instances_val2017.json", "images"),
        ("annotations/instances_val.json", "images/val"),
        ("valid/_annotations.coco.json", "valid"),
        ("val.json", "val"),
        ("annotations/val_coco.json", "images/val"),
    ],
)
def test_images_are_found_in_the_usual_folders(file: str, images: str, tmp_path: Path) -> None:
    write_coco(tmp_path, coco_content(), file=file, images=images)
    write(tmp_path / "annotations/captions_val2017.json", '{"info": {}}')
    assert len(open_dataset(tmp_path)) == 2
    assert len(open_dataset(tmp_path / file)) == 2


def test_a_folder_with_the_name_of_a_json_is_ignored(tmp_path: Path) -> None:
    write_coco(tmp_path, coco_content(), file="val.json")
    (tmp_path / "train.json").mkdir()
    assert open_dataset(tmp_path).split == "val"


def test_the_image_folder_can_be_given(tmp_path: Path) -> None:
    file = write_coco(tmp_path / "a", coco_content(), images="../b/pictures")
    with pytest.raises(DataError, match=r"images not found.*\s+expected: 7.png in one of "):
        open_dataset(file)
    assert len(open_dataset(file, images=tmp_path / "b/pictures")) == 2


def test_file_names_may_have_folders_and_backslashes(tmp_path: Path) -> None:
    content = coco_content()
    content["images"][0]["file_name"] = "sub\\7.png"
    write_image(tmp_path / "images/sub/7.png")
    write_image(tmp_path / "images/5.png")
    file = write(tmp_path / "instances.json", json.dumps(content))
    assert open_dataset(file).images[0].path == tmp_path / "images/sub/7.png"


ANOTHER_PLACE = [
    "/home/somebody/set/7.png",
    "D:\\set\\7.png",
    "..\\..\\7.png",
    "https://images.example.com/a/7.png?size=l#x",
    "/data/local-files/?d=set/7.png",
    "set%20one/7.png",
]


@pytest.mark.parametrize("name", ANOTHER_PLACE)
def test_paths_of_another_machine_are_found_by_their_last_part(name: str, tmp_path: Path) -> None:
    content = coco_content()
    content["images"][0]["file_name"] = name
    for image in ("7.png", "5.png"):
        write_image(tmp_path / "images" / image)
    file = write(tmp_path / "instances.json", json.dumps(content))
    dataset = open_dataset(file)
    assert dataset.images[0].path == tmp_path / "images/7.png"
    (defect,) = dataset.defects
    assert "1 file name with unknown folders: found by the last part" in defect.message


def test_url_encoded_file_names_are_decoded(tmp_path: Path) -> None:
    content = coco_content()
    content["images"][0]["file_name"] = "an%20image.png"
    write_image(tmp_path / "images/an image.png")
    write_image(tmp_path / "images/5.png")
    dataset = open_dataset(write(tmp_path / "instances.json", json.dumps(content)))
    assert dataset.images[0].path.name == "an image.png"
    assert not dataset.defects


def test_images_with_an_ambiguous_last_part_are_left_out(tmp_path: Path) -> None:
    content = coco_content()
    content["images"] += [{"id": 8, "file_name": "/one/a.png"}, {"id": 9, "file_name": "/two/a.png"}]
    for image in ("7.png", "5.png", "a.png"):
        write_image(tmp_path / "images" / image)
    dataset = open_dataset(write(tmp_path / "instances.json", json.dumps(content)))
    assert [image.image_id for image in dataset.images] == [7, 5]
    assert [group.count for group in dataset.left_out] == [2]


def test_the_image_folder_is_found_if_most_images_are_missing(tmp_path: Path) -> None:
    """The folder is not chosen by the first file names alone."""
    content = coco_content()
    gone = [{"id": number, "file_name": f"{number}.png"} for number in range(100, 180)]
    file = write_coco(tmp_path, content)
    file.write_text(json.dumps({**content, "images": gone + content["images"]}))
    dataset = open_dataset(file)
    assert len(dataset) == 2
    assert [(group.count, group.reason) for group in dataset.left_out] == [(80, "images that cannot be read")]


def test_an_image_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    file = write_coco(tmp_path, coco_content())
    with pytest.raises(DataError, match="is not a folder"):
        open_dataset(file, images=tmp_path / "gone")


SHAPES = [
    {"id": 0, "name": "shapes", "supercategory": "none"},
    {"id": 1, "name": "cat", "supercategory": "shapes"},
    {"id": 3, "name": "dog", "supercategory": "dog"},
]


def test_a_supercategory_without_annotations_is_no_class(tmp_path: Path) -> None:
    content = coco_content(categories=SHAPES)
    dataset = open_dataset(write_coco(tmp_path, content))
    assert (dataset.names, dataset.category_ids) == (("cat", "dog"), (1, 3))
    assert [image.labels.tolist() for image in dataset.images] == [[1], [0]]
    assert [group.first for group in dataset.left_out] == ["shapes"]
    assert not dataset.defects
    content["annotations"][0]["category_id"] = 0
    assert open_dataset(write_coco(tmp_path, content)).names == ("shapes", "cat", "dog")


CLEAR = [
    ({"image_id": "7"}, "image_id written differently"),
    ({"image_id": 7.0}, "image_id written differently"),
    ({"category_id": "3"}, "category_id written as text"),
    ({"bbox": ["1", "2.0", " 3", "4"]}, "boxes written as text"),
    ({"bbox": "[1, 2, 3, 4]"}, "boxes written as text"),
    ({"bbox": {"x": 1, "y": 2, "width": 3, "height": 4}}, "boxes written as text or with names"),
    ({"bbox": [], "segmentation": [[1, 2, 4, 2, 4, 6]]}, "without bbox"),
    ({"bbox": None, "segmentation": [1, 2, 4, 2, 4, 6]}, "without bbox"),
    ({"bbox": None, "segmentation": [[1, 2], [4, 2], [4, 6]]}, "without bbox"),
    ({"area": -1}, "invalid areas"),
    ({"area": float("nan")}, "invalid areas"),
    ({"iscrowd": 2}, "read as 1"),
    ({"iscrowd": "perhaps"}, "read as 0"),
    ({"iscrowd": "true"}, ""),
    ({"iscrowd": "0"}, ""),
]


@pytest.mark.parametrize(("change", "remark"), CLEAR)
def test_unambiguous_values_in_other_forms_are_read_with_a_warning(
    change: dict[str, Any], remark: str, tmp_path: Path
) -> None:
    odd = {"id": 30, "image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], "iscrowd": 0, "area": 5, **change}
    dataset = open_dataset(write_coco(tmp_path, coco_content(annotations=[odd])))
    image = dataset.images[0]
    np.testing.assert_array_equal(image.boxes, [[1, 2, 4, 6]])
    assert image.labels.tolist() == [1]
    assert image.areas[0] == (12 if "area" in change else 5)
    assert image.crowds.tolist() == [change.get("iscrowd") in (2, "true")]
    assert [remark in defect.message for defect in dataset.defects] == [True] * bool(remark)
    assert all(defect.severity == "warning" for defect in dataset.defects)


def test_the_box_of_a_mask_bounds_its_pixels(tmp_path: Path) -> None:
    from pycocotools import mask as official

    rng = np.random.default_rng(3)
    for pixels in (np.indices((HEIGHT, WIDTH)).sum(0) == 50, rng.random((HEIGHT, WIDTH)) > 0.999):
        pixels[:, :7] = pixels[:9] = False
        packed = official.encode(np.asfortranarray(pixels.astype(np.uint8)))
        columns = pixels.T.reshape(-1).astype(np.int8)
        edges = np.flatnonzero(np.diff(np.concatenate(([0], columns))))
        runs = np.diff(np.concatenate(([0], edges, [columns.size]))).tolist()
        for counts in (packed["counts"].decode(), runs):
            mask = {"size": [HEIGHT, WIDTH], "counts": counts}
            annotation = {"id": 1, "image_id": 7, "category_id": 1, "segmentation": mask, "iscrowd": 1}
            image = open_dataset(write_coco(tmp_path, coco_content(annotations=[annotation]))).images[0]
            rows, places = np.nonzero(pixels)
            expected = [[places.min(), rows.min(), places.max() + 1, rows.max() + 1]]
            np.testing.assert_array_equal(image.boxes, expected)


@pytest.mark.parametrize(
    "mask",
    [
        {"size": [HEIGHT, WIDTH], "counts": [1, 2]},
        {"size": [0, 0], "counts": [0]},
        {"size": [2, 2], "counts": "\x00~~~"},
        {"size": [2, 2], "counts": "o" * 1000},
        {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]},
        {"size": [10**30, 10**30], "counts": [10**60]},
        {"size": "all", "counts": None},
    ],
)
def test_an_invalid_mask_gives_no_box(mask: Any, tmp_path: Path, one_defect: Callable[..., None]) -> None:
    annotation = {"id": 1, "image_id": 7, "category_id": 1, "segmentation": mask, "iscrowd": 0}
    file = write_coco(tmp_path, coco_content(annotations=[annotation]))
    one_defect(
        open_dataset(file).defects, "error", f"{file}:{line_containing(file, 'image_id')}", "bbox must"
    )


def test_image_ids_written_as_text_stay_text(tmp_path: Path) -> None:
    content = coco_content()
    for entry in (*content["images"], *content["categories"]):
        entry["id"] = str(entry["id"])
    content["images"][0] |= {"width": str(WIDTH), "height": f"{HEIGHT}"}
    for annotation in content["annotations"]:
        annotation["image_id"] = str(annotation["image_id"])
    dataset = open_dataset(write_coco(tmp_path, content))
    assert [image.image_id for image in dataset.images] == ["7", "5"], "as the results file must have them"
    assert dataset.category_ids == (1, 3)
    assert [str(defect).split(": ")[1] for defect in dataset.defects] == [
        "image sizes written as text or as floats"
    ]


def test_annotations_may_be_missing_from_a_file_of_test_images(tmp_path: Path) -> None:
    content = {"info": {}, "licenses": [], **coco_content()}
    del content["annotations"]
    dataset = open_dataset(write_coco(tmp_path, content))
    assert (len(dataset), dataset.unlabelled, dataset.names) == (2, 2, ("cat", "dog"))
    assert "no list of annotations" in dataset.defects[0].message


def test_a_repeated_list_is_an_error(tmp_path: Path) -> None:
    file = write_coco(tmp_path, coco_content())
    text = file.read_text()
    start, end = text.index('"annotations"'), text.index('"categories"')
    file.write_text(text[:end] + text[start:])
    (defect,) = open_dataset(file).defects
    assert (defect.severity, defect.message) == ("error", "2 lists of annotations: only the last is read")


def test_an_integer_with_thousands_of_digits_is_refused(tmp_path: Path) -> None:
    file = write_coco(tmp_path, coco_content())
    file.write_text(file.read_text().replace('"id": 2', '"id": 2' + "0" * 5000))
    line = next(i for i, text in enumerate(file.read_text().splitlines(), 1) if "000000" in text)
    with pytest.raises(DataError, match=rf"instances.json:{line}: integer with too many digits"):
        open_dataset(file)


def test_defects_beyond_a_limit_are_counted(tmp_path: Path) -> None:
    annotations = [{"id": number, "image_id": 99} for number in range(2500)]
    dataset = open_dataset(write_coco(tmp_path, coco_content(annotations=annotations)))
    assert len(dataset.defects) == 1001
    assert "1,500 more annotations of images that are not listed" in dataset.defects[-1].message
    (group,) = dataset.left_out
    assert (group.count, group.first) == (2500, "annotation 0")


def test_a_data_set_has_at_most_10_000_classes(tmp_path: Path) -> None:
    categories = [{"id": number, "name": f"{number}"} for number in range(10_001)]
    file = write_coco(tmp_path, coco_content(annotations=[], categories=categories))
    with pytest.raises(DataError, match="too many classes") as refused:
        open_dataset(file, "all")
    assert refused.value.found == "10,001"
