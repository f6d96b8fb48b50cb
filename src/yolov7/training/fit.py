"""A training run from beginning to end: what ``yolov7 train`` does."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import Logger

from yolov7.checkpoints.checkpoint import load_checkpoint
from yolov7.checkpoints.pretrained import cache_directory
from yolov7.data.cache import open_cache
from yolov7.data.scaled import scaled
from yolov7.errors import DamagedCheckpointError, OutputError, TrainingError, UsageError, Yolov7Error
from yolov7.evaluation.run import Evaluation
from yolov7.files import explained, new_run_directory, write_file
from yolov7.lock import held
from yolov7.memory import is_allocation
from yolov7.models.complexity import count_parameters
from yolov7.models.parts import own_parts
from yolov7.plugins import assignment_for
from yolov7.quiet import errors_only
from yolov7.reports.board import Board
from yolov7.reports.pictures import Picture, gallery, write_pictures
from yolov7.reports.plots import require_matplotlib
from yolov7.reports.training import training_report
from yolov7.samples.loader import TrainingLoader, explaining_lost_workers
from yolov7.samples.sampling import EpochSampler, scales
from yolov7.text import first_line, plural
from yolov7.training.config import TrainConfig
from yolov7.training.interrupts import catching_interrupts
from yolov7.training.keeper import BEST, LAST, Keeper, evaluate_model
from yolov7.training.machine import is_first_process
from yolov7.training.module import TrainingModule
from yolov7.training.optim import Schedule
from yolov7.training.prepare import Run, Say, prepare
from yolov7.training.progress import ProgressBar
from yolov7.training.recipes import Recipe
from yolov7.training.record import can_be_stored, find_run, require_same_data, store, stored
from yolov7.training.state import Past, SafeState, find_past, previous
from yolov7.types import Batch

_LOG = logging.getLogger(__name__)
_NOT_WRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
LOCK = ".lock"
"""Lock file of a run's directory."""


@dataclass(frozen=True)
class TrainResult:
    """Result of a training run.

    Attributes:
        directory: directory of the run.
        best, last: checkpoints; without validation, `best` is the last.
        evaluation: metrics of the best weights on the validation set; None without one.
        history: one row per epoch, as in metrics.csv.
        finished: True if all epochs were trained.
        advice: command that continues an unfinished run, else None.
    """

    directory: Path
    best: Path
    last: Path
    evaluation: Evaluation | None
    history: tuple[dict[str, float], ...]
    finished: bool
    advice: str | None = None


def train(
    config: TrainConfig,
    recipe: Recipe | None = None,
    *,
    loggers: list[Logger] | None = None,
    callbacks: list[pl.Callback] | None = None,
    say: Say | None = None,
    progress: bool = True,
) -> TrainResult:
    """Train a detector.

    Args:
        config: options of the run.
        recipe: hyperparameters that replace the recipe named in the options.
        loggers: Lightning loggers besides metrics.csv; default: TensorBoard.
        callbacks: further Lightning callbacks.
        say: function that receives a line about each decision.
        progress: show a progress bar, and a line per epoch.

    Raises:
        Yolov7Error: invalid options or data, or a failure during training; finished epochs are kept.

    >>> config = TrainConfig("data.yaml", model="yolov7-tiny", width=0.25, size=64, epochs=1)
    >>> train(config, progress=False).directory.name
    'train'
    """
    if say is None or not is_first_process():
        say = _LOG.debug
    if config.report:
        require_matplotlib()
    with catching_interrupts() as interrupts, _opened(config, recipe, say) as (run, directory, past):
        keeper = Keeper(run, directory)
        bar = [ProgressBar(keeper)] if progress and is_first_process() else []
        # The keeper comes after the user's callbacks: it saves when one of them ends the run.
        hooks = [interrupts, *(callbacks or []), keeper, *bar]
        trainer = _trainer(run, [Board(directory / "tensorboard")] if loggers is None else loggers, hooks)
        with closing(_loader(run, trainer)) as loader:
            module = _module(run, trainer, loader, past, say)
            keeper.images = loader.sampler.length
            _require_as_many_images(keeper.images, past)
            try:
                _fit(trainer, module, loader, keeper, past.state)
                interrupts.check()
            except DamagedCheckpointError:  # running again would fail again
                raise
            except (KeyboardInterrupt, Yolov7Error):
                say(_advice(keeper))
                raise
            return _finish(trainer, module, keeper, loader)


@contextmanager
def _opened(config: TrainConfig, recipe: Recipe | None, say: Say) -> Iterator[tuple[Run, Path, Past]]:
    """Open a new or resumed run. -> (run, directory, past); the directory is locked inside the block."""
    if config.resume is None:
        run = prepare(config, recipe, say)
        directory = new_run_directory(Path(config.out)) if is_first_process() else Path()
        with _alone(directory):
            if is_first_process():
                store(run, directory)
            yield run, directory, Past()
        return
    directory = find_run(Path(config.resume))
    with _alone(directory):
        before = stored(config, recipe, directory)
        past = find_past(directory)
        done, epochs = len(past.history), before.recipe.epochs
        if epochs != before.epochs and epochs <= done:
            raise UsageError(
                f"{plural(done, 'epoch')} done already",
                expected=f"more than {done}",
                found=f"--epochs {epochs}",
            )
        run = prepare(before.config, before.recipe, say, continued=past.network)
        require_same_data(run, directory)
        if is_first_process() and before.changes:
            store(run, directory)
        for change in before.changes:
            say(f"from now on {change}")
        say(f"{directory} goes on after epoch {done} of {epochs}")
        if done == epochs:
            say(f"finished already after {plural(epochs, 'epoch')}; --epochs N trains more")
        yield run, directory, replace(past, planned=before.epochs)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Lock the directory of a run; only the first process does.

    Raises:
        TrainingError: another run holds it.
        OutputError: the directory cannot be written.
    """
    with ExitStack() as stack:
        if is_first_process():
            with explained(directory):
                holder = stack.enter_context(held(directory / LOCK))
            if holder is not None:
                raise TrainingError("this run is being trained already", file=directory, found=holder)
        yield


def _module(run: Run, trainer: pl.Trainer, loader: TrainingLoader, past: Past, say: Say) -> TrainingModule:
    """Build the training module, and report the schedule."""
    batch = run.batch_size * trainer.world_size
    schedule = Schedule(run.recipe, len(loader), batch)
    say(
        f"{plural(len(loader), 'batch', 'batches')} of {batch} per epoch, "
        f"warm-up over the first {schedule.warmup}"
    )
    if past.history and past.planned != run.recipe.epochs:
        say(
            f"{plural(run.recipe.epochs, 'epoch')} instead of {past.planned}: the schedule is recomputed "
            f"over all of them; the learning rate was {past.history[-1]['learning_rate']:.3g}, "
            f"and goes on with {schedule.at(len(past.history) * len(loader)).learning_rate:.3g}"
        )
    return TrainingModule(run.model, schedule, run.size, run.config)


def _require_as_many_images(count: int, past: Past) -> None:
    """Refuse to resume with another number of images: the order of samples depends on it."""
    if past.images not in (None, count):
        raise UsageError(
            "the decodable images have changed since the run began; only the cache finds out beforehand",
            expected=f"{past.images} images; --cache or --no-cache as then",
            found=count,
        )


def _advice(keeper: Keeper) -> str:
    """Number of finished epochs, and the command that continues the run."""
    run = keeper.run
    command = f'train(TrainConfig(resume="{keeper.directory}"), recipe) from Python, with the same recipe'
    if can_be_stored(run.recipe):
        parts = (*own_parts(run.model.architecture), run.recipe.guidance, run.recipe.loss)
        command = assignment_for(parts) + keeper.how_to_go_on()
    return f"{plural(len(keeper.history), 'epoch')} done; to go on: {command}"


def _trainer(run: Run, loggers: list[Logger], callbacks: list[pl.Callback]) -> pl.Trainer:
    """Build Lightning's trainer, without its sampling, checkpoints and progress bar."""
    with _quiet_lightning():
        return pl.Trainer(
            **vars(run.machine),
            max_epochs=run.recipe.epochs,
            logger=loggers,
            callbacks=callbacks,
            plugins=[SafeState()],
            sync_batchnorm=run.config.sync_bn,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )


class _EpochBatches:
    """Iterable for Lightning: the batches of its current epoch."""

    def __init__(self, loader: TrainingLoader, trainer: pl.Trainer) -> None:
        self.loader, self.trainer = loader, trainer

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        # A generator reads the epoch late, since Lightning calls iter() before it restores the epoch.
        yield from self.loader.epoch(self.trainer.current_epoch)


def _fit(
    trainer: pl.Trainer, module: TrainingModule, loader: TrainingLoader, keeper: Keeper, state: Path | None
) -> None:
    with _quiet_lightning(), explaining_lost_workers():
        try:
            trainer.fit(module, _EpochBatches(loader, trainer), ckpt_path=state)
        except SystemExit:  # Lightning's reaction to Ctrl-C
            raise KeyboardInterrupt from None
        except Yolov7Error:
            raise
        except OSError as error:
            if error.errno in _NOT_WRITABLE:
                raise OutputError(
                    f"the run cannot be written: {error.strerror}", file=error.filename or keeper.directory
                ) from error
            raise
        except Exception as error:
            if is_allocation(error):
                raise TrainingError(
                    "not enough memory for a batch of training images",
                    expected="a smaller size or batch size",
                    found=first_line(error),
                ) from error
            saver = trainer.strategy.checkpoint_io
            if state is None or keeper.trains or not (isinstance(saver, SafeState) and saver.given):
                raise
            raise DamagedCheckpointError(
                "not a training state of this run",
                file=state,
                expected=f"its own; without this file the run goes on from {previous(state).name}",
                found=f"{type(error).__name__}: {str(error)[:200]}",
            ) from error


def _loader(run: Run, trainer: pl.Trainer) -> TrainingLoader:
    """Build the loader of this process, with or without the image cache."""
    config = run.config
    if config.cache:
        source = open_cache(run.train, run.size, cache_directory() / "images")
        source.require_sound(ignore=config.ignore_defects)
        for defect in source.defects[len(run.train.defects) :]:
            _LOG.warning("%s", defect)
    else:
        source = scaled(run.train, run.size)
    sampler = EpochSampler(
        len(source),
        batch_size=run.batch_size,
        sizes=scales(run.size, run.model.strides[-1]) if config.multi_scale else (run.size,),
        seed=config.seed,
        rank=trainer.global_rank,
        world=trainer.world_size,
    )
    return TrainingLoader(
        source,
        sampler,
        run.recipe.augmentation,
        workers=run.machine.workers if config.workers is None else config.workers,
        close_mosaic_from=run.recipe.epochs - run.recipe.close_mosaic,
    )


def _finish(
    trainer: pl.Trainer, module: TrainingModule, keeper: Keeper, loader: TrainingLoader
) -> TrainResult:
    """Evaluate the best weights, and write the report."""
    run, directory = keeper.run, keeper.directory
    best = directory / (BEST if keeper.best_epoch else LAST)
    evaluation = None
    if trainer.is_global_zero:
        checkpoint = load_checkpoint(best)
        if run.val is not None:
            evaluation = evaluate_model(checkpoint.model, run.val, run, module.device)
        if run.config.report:
            batch = next(loader.epoch(0))
            shown = run.train if run.val is None else run.val
            model = checkpoint.model.to(module.device)
            pictures = gallery(model, module.assigner, batch, shown, run.train.names, run.size)
            write_pictures(directory / "pictures", pictures)
            page = _page(run, keeper.history, evaluation, pictures)
            write_file(directory / "report.html", page.encode())
    finished = len(keeper.history) == run.recipe.epochs
    return TrainResult(
        directory=directory,
        best=best,
        last=directory / LAST,
        evaluation=evaluation,
        history=tuple(keeper.history),
        finished=finished,
        advice=None if finished else _advice(keeper),
    )


def _page(
    run: Run,
    history: Sequence[Mapping[str, float]],
    evaluation: Evaluation | None,
    pictures: Sequence[Picture],
) -> str:
    """Build the HTML report of a run; it names files, but shows no paths of this machine."""
    config = {key: value for key, value in asdict(run.config).items() if key not in ("out", "resume")}
    config |= {key: Path(value).name for key in ("data", "weights") if (value := config[key]) is not None}
    model, train = run.model, run.train
    folder = train.path if train.path.is_dir() else train.path.resolve().parent
    return training_report(
        f"{model.architecture.name} on {folder.name}",
        f"{plural(len(train.names), 'class', 'classes')}, {plural(len(train), 'image')} of {run.size} pixels",
        facts={
            "network": model.architecture.name,
            "parameters": f"{count_parameters(model):,}",
            "auxiliary heads": "yes" if model.auxiliary is not None else "no",
            "started from": Path(run.config.weights).name if run.config.weights else "fresh weights",
            "batch": run.batch_size,
            "torch": torch.__version__,
        },
        configuration={"run": config, "recipe": run.recipe.to_dict()},
        history=history,
        evaluation=evaluation,
        training=train,
        validation=run.val,
        pictures=pictures,
    )


def _quiet_lightning() -> AbstractContextManager[None]:
    return errors_only("lightning.pytorch", warned_by=r"(lightning|torch)\..*")
