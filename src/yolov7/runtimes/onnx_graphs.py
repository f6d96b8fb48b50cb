"""Letterbox and NMS as ONNX graphs before and behind the network, in ONNX's own text form.

``float[batch, 4] x`` is a tensor, ``y = Op <attribute = 1> (x)`` an operation. Constants stand between a
signature and its braces; an input with a value in the signature has that default. ``$names`` are filled in.
The dtypes of ``Cast`` are 1 for float32, 7 for int64, 9 for bool, 11 for float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Template
from typing import Any

from yolov7.images.letterbox import GREY
from yolov7.layout import OBJECTNESS, RowLayout
from yolov7.thresholds import PREDICTION

# images.letterbox.letterbox, as prediction calls it: padded on the right and below, to the next multiple
# of the stride. Pixels are OpenCV's, but for less than one in a hundred, which is one grey level off.
_LETTERBOX = Template("""
letterbox (uint8[batch, height, width, 3] images)
  => (float[batch, 3, outer_height, outer_width] letterboxed, float[4] scale, float[4] limit)
  <int64[2] h_w = {1, 2}, int64[4] x_y_x_y = {1, 0, 1, 0}, int64 at_height = {0}, int64[1] at_width = {1},
   int64 no_rows = {0}, int64 next = {1}, int64[2] columns_and_channels = {1, 2}, int64[1] channels = {3},
   int64[5] in_front = {0, 0, 0, 0, 0}, int64[1] nothing = {0}, int64[1] stride = {$stride},
   int64[1] almost = {$almost}, double size = {$size}, double one = {1}, double middle = {0.5},
   float whole = {1}, float finest = {2048}, float quarters = {4}, float half_of_them = {2},
   float grey = {$grey}, float brightest = {255}>
{
  shape = Shape (images)
  batch_size = Shape <end = 1> (images)
  source_size = Gather (shape, h_w)

  # In float64, half way to the even integer: as Python rounds.
  source = Cast <to = 11> (source_size)
  ratios = Div (size, source)
  ratio = ReduceMin <keepdims = 0> (ratios)
  exact = Mul (source, ratio)
  rounded = Round (exact)
  inner = Max (rounded, one)
  inner_size = Cast <to = 7> (inner)
  scales = Div (inner, source)

  # Each row lies between two rows of the source, with weights of 11 bits.
  rows = Gather (inner_size, at_height)
  scale_of_rows = Gather (scales, at_height)
  row = Range (no_rows, rows, next)
  row_number = Cast <to = 11> (row)
  row_middle = Add (row_number, middle)
  source_middle = Div (row_middle, scale_of_rows)
  source_row = Sub (source_middle, middle)
  row_above = Floor (source_row)
  beyond = Sub (source_row, row_above)
  share = Cast <to = 1> (beyond)
  fine_share = Mul (share, finest)
  fine_steps = Round (fine_share)
  weight_below = Div (fine_steps, finest)
  weight_above = Sub (whole, weight_below)

  # Interpolate those rows along the width first,
  above = Cast <to = 7> (row_above)
  below = Add (above, next)
  both = Concat <axis = 0> (above, below)
  source_rows = Gather (source_size, at_height)
  last_row = Sub (source_rows, next)
  from_first = Max (both, no_rows)
  to_last = Min (from_first, last_row)
  two_rows_each = Gather <axis = 1> (images, to_last)
  pixels = Cast <to = 1> (two_rows_each)
  pixel_rows = Shape <start = 1, end = 2> (pixels)
  columns = Gather (inner_size, at_width)
  sizes = Concat <axis = 0> (batch_size, pixel_rows, columns, channels)
  resized = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (pixels, , , sizes)

  # then along the height, in quarters of a grey level.
  upper, lower = Split <axis = 1, num_outputs = 2> (resized)
  quarters_above = Mul (weight_above, quarters)
  quarters_below = Mul (weight_below, quarters)
  by_upper = Unsqueeze (quarters_above, columns_and_channels)
  by_lower = Unsqueeze (quarters_below, columns_and_channels)
  from_upper = Mul (upper, by_upper)
  from_lower = Mul (lower, by_lower)
  whole_from_upper = Floor (from_upper)
  whole_from_lower = Floor (from_lower)
  together = Add (whole_from_upper, whole_from_lower)
  half_up = Add (together, half_of_them)
  of_levels = Div (half_up, quarters)
  levels = Floor (of_levels)

  reaching = Add (inner_size, almost)
  strides = Div (reaching, stride)
  outer_size = Mul (strides, stride)
  missing = Sub (outer_size, inner_size)
  padding = Concat <axis = 0> (in_front, missing, nothing)
  canvas = Pad (levels, padding, grey)
  channels_first = Transpose <perm = [0, 3, 1, 2]> (canvas)
  letterboxed = Div (channels_first, brightest)

  # The way back for boxes: divisor and largest coordinates.
  scale_x_y_x_y = Gather (scales, x_y_x_y)
  scale = Cast <to = 1> (scale_x_y_x_y)
  source_x_y_x_y = Gather (source, x_y_x_y)
  limit = Cast <to = 1> (source_x_y_x_y)
}
""")

# Boxes are clipped to the image and a margin around it.
_WAY_BACK = Template("""
way_back (float[batch, $limit, 4] letterboxed_boxes, float[4] scale, float[4] limit, float margin = {0})
  => (float[batch, $limit, 4] boxes)
{
  in_source = Div (letterboxed_boxes, scale)
  left_and_top = Neg (margin)
  right_and_bottom = Add (limit, margin)
  not_before = Max (in_source, left_and_top)
  boxes = Min (not_before, right_and_bottom)
}
""")

# yolov7.nms.non_max_suppression with one class per row. Only rows with enough objectness go on, usually a few
# hundred of 25,200, so that the rest costs next to nothing.
_SUPPRESSION = Template("""
suppression (float[$batch, n, $channels] rows, float conf = {$conf}, float iou = {$iou})
  => (float[$batch, $limit, 4] $boxes, float[$batch, $limit] scores, int64[$batch, $limit] labels,
      int64[$batch] counts)
  <int64 objectness_place = {$objectness}, int64[4] parts = {2, 2, 1, $classes},
   int64[$classes] classes = {$labels}, int64[2] image_and_candidate = {0, 2}, int64[1] most = {$limit},
   int64[1] axis_0 = {0}, int64[1] axis_1 = {1}, int64[1] axis_2 = {2}, int64[1] at_least = {1},
   float two = {2}, float zero = {0}, int64 no_label = {0}, float largest = {3.4028234e38}>
{
  # Rows that pass, in their order; an image with fewer than another is filled up with other rows.
  every_objectness = Gather <axis = 2> (rows, objectness_place)
  does_pass = Greater (every_objectness, conf)
  pass = Cast <to = 7> (does_pass)
  passing = ReduceSum (pass, axis_1)
  passing_most = ReduceMax <keepdims = 0> (passing)
  width = Max (passing_most, at_least)
  _, row = TopK <axis = 1> (pass, width)
  row_index = Unsqueeze (row, axis_2)
  candidates = GatherND <batch_dims = 1> (rows, row_index)

  # Corners and class scores. Rows that are not finite get a score of 0, which exceeds no threshold.
  centre, extent, objectness, probabilities = Split <axis = 2> (candidates, parts)
  half = Div (extent, two)
  top_left = Sub (centre, half)
  bottom_right = Add (centre, half)
  corners = Concat <axis = 2> (top_left, bottom_right)
  products = $products
  is_number = LessOrEqual (products, largest)
  numbers = Where (is_number, products, zero)
  distances = Abs (corners)
  is_finite = LessOrEqual (distances, largest)
  finite = Cast <to = 7> (is_finite)
  all_finite = ReduceMin (finite, axis_2)
  is_box = Cast <to = 9> (all_finite)
  is_object = Greater (objectness, conf)
  is_candidate = And (is_box, is_object)
  class_scores = Where (is_candidate, numbers, zero)
  score = ReduceMax <keepdims = 0> (class_scores, axis_2)
  label = ArgMax <axis = 2, keepdims = 0> (class_scores)

  # NMS per class: a box has a score of 0 in all classes but its own.
  label_column = Unsqueeze (label, axis_2)
  score_column = Unsqueeze (score, axis_2)
  is_of_class = Equal (label_column, classes)
  own_scores = Where (is_of_class, score_column, zero)
  scores_by_class = Transpose <perm = [0, 2, 1]> (own_scores)
  chosen = NonMaxSuppression (corners, scores_by_class, most, iou, conf)

  # Best first over all classes, of equal scores the earlier row first; the rest is 0.
  place = Gather <axis = 1> (chosen, image_and_candidate)
  chosen_score = GatherND (score, place)
  score_shape = Shape (score)
  no_score = ConstantOfShape <value = float[1] {0}> (score_shape)
  kept_score = ScatterND (no_score, place, chosen_score)
  room = Concat <axis = 0> (axis_0, axis_0, axis_0, most)
  roomy_score = Pad (kept_score, room)
  scores, rank = TopK <axis = 1> (roomy_score, most)
  last = Sub (width, at_least)
  candidate = Min (rank, last)
  candidate_index = Unsqueeze (candidate, axis_2)
  ranked_corners = GatherND <batch_dims = 1> (corners, candidate_index)
  ranked_label = GatherND <batch_dims = 1> (label, candidate_index)
  is_there = Greater (scores, zero)
  is_box_there = Unsqueeze (is_there, axis_2)
  $boxes = Where (is_box_there, ranked_corners, zero)
  labels = Where (is_there, ranked_label, no_label)
  there = Cast <to = 7> (is_there)
  counts = ReduceSum <keepdims = 0> (there, axis_1)
}
""")


def letterbox_graph(size: int, stride: int, like: Any) -> Any:
    """Graph from images uint8 (B, H, W, 3) to letterboxed float32 (B, 3, H', W'), ``scale`` and ``limit``."""
    return parsed(_LETTERBOX, like, size=size, stride=stride, almost=stride - 1, grey=GREY)


def detection_names(layout: RowLayout) -> dict[str, Any]:
    """Values of the names in templates from rows (B, N, 5 + C) to detections, by the layout of the rows."""
    return {
        "limit": PREDICTION.max_detections,
        "iou": PREDICTION.iou,
        "channels": layout.size,
        "objectness": OBJECTNESS,
        "classes": layout.classes,
        "labels": ", ".join(map(str, range(layout.classes))),
        # With one class, the score is the objectness alone.
        "products": "Mul (objectness, probabilities)" if layout.classes > 1 else "Identity (objectness)",
    }


def suppression_graph(layout: RowLayout, like: Any, *, batch: int | None = None, boxes: str = "boxes") -> Any:
    """Graph from rows (B, N, 5 + C) to boxes, scores, labels and counts.

    Args:
        layout: columns of the rows.
        like: the network's graph, whose versions it gets.
        batch: the only B that it takes; any by default.
        boxes: name of the boxes.
    """
    names = {"batch": batch or "batch", "conf": PREDICTION.conf, "boxes": boxes}
    return parsed(_SUPPRESSION, like, **detection_names(layout), **names)


def way_back_graph(like: Any) -> Any:
    """Graph from boxes in letterboxed images to boxes in pixels of the images, clipped to them."""
    return parsed(_WAY_BACK, like, limit=PREDICTION.max_detections)


def parsed(template: Template, like: Any, **names: Any) -> Any:
    """Fill in names, and parse the text to an ``onnx.ModelProto`` of the same versions as another one."""
    import onnx.parser

    opsets = ", ".join(f'"{opset.domain}": {opset.version}' for opset in like.opset_import)
    return onnx.parser.parse_model(
        f"<ir_version: {like.ir_version}, opset_import: [{opsets}]>\n{template.substitute(names)}"
    )


def joined(first: Any, second: Any, wires: Mapping[str, str], outputs: Sequence[str] | None = None) -> Any:
    """Join two graphs to one.

    Args:
        first, second: two ``onnx.ModelProto``.
        wires: outputs of the first -> inputs of the second.
        outputs: outputs of the whole, in this order; by default all.
    """
    import onnx.compose

    model = onnx.compose.merge_models(first, second, io_map=list(wires.items()))
    del model.opset_import[:]  # both have the same: once is enough
    model.opset_import.extend(first.opset_import)
    if outputs is not None:
        found = {output.name: output for output in model.graph.output}
        del model.graph.output[:]
        model.graph.output.extend(found[name] for name in outputs)
    return model
