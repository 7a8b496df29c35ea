"""``backhand train MODEL --data NAME|FILE``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backhand.cli import emit
from backhand.config import DataConfig, TrainConfig, apply_settings, read_toml
from backhand.data import registry
from backhand.data.split import typical
from backhand.models import MODELS, model_class
from backhand.presets import PRESETS, config_file
from backhand.processes import Processes, world
from backhand.runs import CONFIG, Run, Settings, data_of, new_model

if TYPE_CHECKING:
    from backhand.cli.progress import Reporter

FLAGS = {
    "epochs": "training.epochs",
    "steps": "training.steps",
    "batch": "training.batch",
    "lr": "training.lr",
    "seed": "training.seed",
    "patience": "training.patience",
    "backend": "training.backend",
    "limit": "data.limit",
    "data": "data.name",
}


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "train",
        help="train a model, or go on with a run",
        description=f"MODEL is one of {', '.join(MODELS)}, or package.module:Class. "
        "--set takes any field of the model, training and data tables in config.toml.",
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--data", metavar="NAME|FILE")
    parser.add_argument(
        "--run",
        metavar="DIR",
        dest="folder",
        help="default: runs/MODEL-DATA, or runs/CONFIG without --data",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", metavar="N")
    length.add_argument("--steps", metavar="N")
    parser.add_argument("--batch", metavar="N")
    parser.add_argument("--lr", metavar="X")
    parser.add_argument("--seed", metavar="N")
    parser.add_argument("--limit", metavar="N", help="use only the first N training data")
    parser.add_argument(
        "--patience", metavar="N", help="stop after N validations without a better bound"
    )
    parser.add_argument("--backend", metavar="NAME")
    parser.add_argument(
        "--config", metavar="FILE.toml|PRESET", help=f"presets: {', '.join(PRESETS)}"
    )
    parser.add_argument("--set", metavar="FIELD=VALUE", action="append", default=[])
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    folder = Path(args.folder or _default_folder(args))
    old = Run.open(folder) if args.resume and (folder / CONFIG).exists() else None
    settings = _settings(args, old)
    processes = world(settings.training.backend)
    with processes.ending_together():
        return _train(args, folder, old, settings, processes)


def _train(
    args: argparse.Namespace, folder: Path, old: Run | None, settings: Settings,
    processes: Processes,
) -> int:  # fmt: skip
    from backhand.cli.progress import Reporter
    from backhand.training import fit, try_out

    data = data_of(settings.data)
    # The set's own default is written down: config.toml holds what was really done.
    resolved = apply_settings({"data": settings.data}, [f"binarisation={data.binarisation}"])
    settings = replace(settings, data=resolved["data"])
    model = new_model(settings, data.spec, typical(data.converted(settings.training.dtype).train))
    opened = old
    if old is not None:
        old.settings.must_allow(settings, folder)
    elif processes.rank == 0:
        try_out(model, data, settings.training)  # before there is a folder
        opened = Run.create(folder, settings)
    with Reporter() as report:
        result = fit(model, data, settings.training, run=opened, report=report, processes=processes)
    if processes.rank or opened is None:
        return 0
    if not result.finished:
        report.line(f"stopped after step {result.steps}; go on with --run {folder} --resume")
        return 130
    if not report.steps:
        report.line(f"{folder} is finished ({result.finished}); nothing to do")
    value = {
        "run": str(folder),
        "steps": result.steps,
        "seconds": round(result.seconds, 3),
        "train": result.train,
        "valid": result.valid,
    }
    told = [f"{name} {value[name]:.3f}" for name in ("train", "valid") if value[name] is not None]
    emit(args, value, f"{folder}: {result.steps} steps, {', '.join(told)} nats")
    _draw_curve(opened, report)
    return 0


def _default_folder(args: argparse.Namespace) -> str:
    if args.config and not args.data:
        return f"runs/{Path(args.config).stem}"
    return f"runs/{args.model.rpartition(':')[2]}-{Path(args.data or '').stem}"


def _draw_curve(run: Run, report: Reporter) -> None:
    """Of two epochs or more: Matplotlib takes longer than a short run."""
    rows = run.metrics()
    if len(rows) < 2:
        return
    from backhand.pictures import curve

    try:
        curve(run.path / "curve.png", rows)
    except (ImportError, OSError) as error:
        report.line(f"no picture of the curve: {error}")


def _settings(args: argparse.Namespace, old: Run | None) -> Settings:
    """The run's settings, or the defaults, with what the config file and the flags say."""
    tables: dict[str, Any]
    if old is not None and old.settings.name == args.model:
        tables = old.settings.tables
    else:
        model = model_class(args.model).Config()
        tables = {"model": model, "training": TrainConfig(), "data": DataConfig()}
    if args.config:
        tables = read_toml(config_file(args.config), tables, args.model)
    flags = {field: getattr(args, flag) for flag, field in FLAGS.items() if getattr(args, flag)}
    given = [f"{field}={value}" for field, value in flags.items()]
    tables = apply_settings(tables, [*given, *args.set])
    name = tables["data"].name
    if not name:
        raise ValueError("train needs --data NAME|FILE (mnist-mini comes with the package)")
    if Path(name).exists() and name not in registry():  # found again from any folder
        tables["data"] = replace(tables["data"], name=str(Path(name).resolve()))
    return Settings(args.model, tables["model"], tables["training"], tables["data"])
