"""The benchmark itself, on a network so narrow that only its bookkeeping takes time."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict

import cv2
import pytest
import torch

from tests.runtimes.lively import lively, noise
from yolov7.benchmark import floor
from yolov7.benchmark.contenders import Contender, Wanted
from yolov7.benchmark.files import read_photos
from yolov7.benchmark.fresh import peak_memory_mb
from yolov7.benchmark.measure import BenchmarkSetting, benchmark
from yolov7.benchmark.result import BASELINE, Benchmark, Line, Timing
from yolov7.errors import CheckpointError, UsageError
from yolov7.inference.backend import has_bfloat16
from yolov7.runtimes import runtime as runtimes
from yolov7.runtimes.description import ExportOptions
from yolov7.runtimes.openvino import OpenVino

ROUNDS = 2


@pytest.fixture(scope="module", autouse=True)
def _small_products():
    """The peak is measured in a hundredth of the time, though less well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(floor, "SIDE", 256)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint, three photos, an artefact."""
    folder = tmp_path_factory.mktemp("benchmark")
    checkpoint = lively(size=96)
    checkpoint.save(folder / "lively.safetensors")
    OpenVino().write(checkpoint, folder / "exported.openvino", ExportOptions(dynamic=True))
    for i in range(3):
        cv2.imwrite(str(folder / f"{i}.jpg"), noise(60, 80, i))
    return folder


@pytest.fixture(scope="module")
def measured(folder, tmp_path_factory):
    """(what was found, what was said meanwhile)."""
    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("YOLOV7_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(runtimes, "is_installed", lambda module: module != "onnxruntime")
        found = benchmark(
            folder / "lively.safetensors",
            ("torch", "torchscript", "onnx", f"{folder}/exported.openvino+half", "torch"),
            images=f"{folder}/*.jpg",
            rounds=ROUNDS,
            progress=lambda *said: told.append(said),
        )
    return found, told


def line(found: Benchmark, runtime: str) -> Line:
    return next(line for line in found.settings[0].lines if line.runtime == runtime)


def test_every_runtime_has_a_line_and_the_baseline_is_the_first(measured):
    found, _ = measured
    (setting,) = found.settings
    assert [line.runtime for line in setting.lines] == [
        *(BASELINE, "torch", "torchscript", "onnx", "exported.openvino+half")
    ]
    assert (setting.size, setting.batch, setting.rounds) == (96, 1, ROUNDS)
    assert (found.variant, found.weights, found.classes) == ("yolov7-tiny", "lively.safetensors", 3)
    assert found.images == "3 photos of 80 x 60 pixels"
    assert {"torch", "numpy", "open-yolov7", "openvino"} <= set(found.libraries)
    assert not found.interrupted


def test_ratios_are_those_of_the_same_round(measured):
    found, _ = measured
    base = line(found, BASELINE).network.rounds
    assert len(base) == ROUNDS
    assert line(found, BASELINE).network.ratio == 1
    for runtime in ("torch", "torchscript", "exported.openvino+half"):
        timings = [getattr(line(found, runtime), way) for way in ("network", "single", "stream")]
        for timing in timings:
            assert timing.images_per_second == statistics.median(timing.rounds)
            assert timing.ratio == statistics.median(a / b for a, b in zip(timing.rounds, base, strict=True))
        network, single, stream = timings
        assert 0 < network.median_ms <= network.p95_ms
        assert 0 < single.median_ms <= single.p95_ms
        assert stream.median_ms is None


def test_every_runtime_is_measured_in_every_round(measured):
    _, told = measured
    turns = [(done, what.rpartition(": ")[2]) for what, done, total in told if total is not None]
    order = [BASELINE, "torch", "torchscript", "exported.openvino+half"]
    wanted = [(number, name) for number in range(ROUNDS + 1) for name in order[:: 1 if number % 2 else -1]]
    assert turns == wanted


def test_the_floor_and_the_share_of_it(measured):
    found, _ = measured
    (setting,) = found.settings
    assert setting.gflop > 0
    assert setting.peaks["float32"] > 0
    for runtime in (BASELINE, "torch", "torchscript"):
        one = line(found, runtime)
        floor = setting.gflop / setting.peaks["float32"]
        assert one.reached == pytest.approx(floor * one.network.images_per_second, rel=1e-6)
    chosen = "bfloat16" if has_bfloat16() else "float32"
    assert line(found, "exported.openvino+half").precision == chosen
    assert line(found, "exported.openvino+half").runs_on == f"openvino, cpu, {chosen}"


def test_processes_of_their_own(measured):
    found, _ = measured
    torch_, script = line(found, "torch").fresh, line(found, "torchscript").fresh
    assert torch_.start_s > 0
    assert torch_.memory_mb is None or 50 < torch_.memory_mb < 5000
    assert torch_.first_start_s is None
    assert script.first_start_s is not None  # it was converted
    assert line(found, "exported.openvino+half").fresh.first_start_s is None
    assert line(found, BASELINE).fresh is None


def test_a_runtime_that_cannot_run_gets_a_line_with_the_reason(measured):
    found, _ = measured
    missing = line(found, "onnx")
    assert "pip install 'open-yolov7[onnx]'" in missing.error
    assert "\n" not in missing.error
    assert missing.network is missing.single is missing.stream is missing.fresh is None


def test_json_has_every_field(measured):
    found, _ = measured
    written = json.loads(json.dumps(found.to_dict()))
    assert written["version"] == 1
    assert [setting["lines"] for setting in written["settings"]] == [
        [json.loads(json.dumps(asdict(line))) for line in setting.lines] for setting in found.settings
    ]


@pytest.mark.parametrize(("at", "rounds"), [(3, 2), (1, 0)])
def test_ctrl_c_leaves_the_rounds_that_all_completed(folder, at, rounds):
    def interrupt(_what: str, done: int, total: int | None) -> None:
        if total is not None and done == at:
            raise KeyboardInterrupt

    found = benchmark(
        folder / "lively.safetensors",
        (),
        sizes=(64, 96),
        batches=(2,),
        images=f"{folder}/*.jpg",
        rounds=5,
        progress=interrupt,
    )
    assert found.interrupted
    (setting,) = found.settings  # the second size was not begun
    assert setting.rounds == rounds
    network = setting.lines[0].network
    assert (network is None) if rounds == 0 else (len(network.rounds) == rounds)


@pytest.fixture
def setting(folder) -> BenchmarkSetting:
    photos = read_photos(f"{folder}/*.jpg", 3)
    path = folder / "lively.safetensors"
    return BenchmarkSetting(lively(size=96), path, photos, size=96, batch=2, device=torch.device("cpu"))


def test_batches_are_whole(setting):
    assert [tuple(images.shape) for images in setting.baseline.inputs] == [(2, 3, 96, 96)] * 2
    assert len(setting.photos.paths) == 4
    assert setting.photos.paths[3] == setting.photos.paths[0]


def test_a_runtime_that_fails_drops_out(setting):
    calls = []

    def call(images: torch.Tensor) -> None:
        calls.append(images)
        if len(calls) > 5:
            raise RuntimeError("no more\nof this")

    broken = Contender(Line("broken", "nothing"), call, setting.baseline.inputs, torch.device("cpu"))
    setting.others.append(broken)
    setting.run(3)
    baseline, line = setting.result().lines
    assert line == Line("broken", "nothing", error="RuntimeError: no more; of this")
    assert len(baseline.network.rounds) == 3


def test_timing_out_of_seconds():
    rounds = [[0.1, 0.3], [0.2, 0.2], [0.1, 0.1]]
    timing = Timing.of(rounds, 2, [5.0, 20.0, 10.0])
    assert timing.rounds == pytest.approx((10, 10, 20))
    assert timing.images_per_second == pytest.approx(10)
    assert timing.ratio == pytest.approx(2)  # of 2, 0.5 and 2, though the medians are 10 and 10
    assert timing.median_ms == pytest.approx(150)
    assert 200 < timing.p95_ms < 300


@pytest.mark.parametrize("name", ["nothing", "auto+half", "torch+quarter"])
def test_unknown_runtimes_are_refused(name):
    with pytest.raises(UsageError, match="no such runtime"):
        Wanted.named(name)


def test_an_artefact_that_is_not_there():
    with pytest.raises(CheckpointError, match=r"missing\.onnx: there is no such artefact"):
        Wanted.named("missing.onnx")


def test_invalid_arguments_are_refused(folder, tmp_path):
    with pytest.raises(UsageError, match="sizes must be at least 1"):
        benchmark(folder / "lively.safetensors", (), sizes=(0,))
    with pytest.raises(UsageError, match="artefacts go among the runtimes"):
        benchmark(folder / "exported.openvino", ())
    with pytest.raises(UsageError, match="device cannot be used"):
        benchmark(folder / "lively.safetensors", (), device="banana")


def test_memory_of_a_process():
    before = peak_memory_mb()
    block = torch.ones(25_000_000)
    after = peak_memory_mb()
    assert (before is None) == (after is None)
    assert before is None or after >= before
    assert block.sum() > 0
