"""``backhand train MODEL --data NAME|FILE``."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from backhand.cli import emit
from backhand.config import DataConfig, TrainConfig, apply_settings, read_toml
from backhand.models import MODELS, model_class
from backhand.runs import CONFIG, Run, Settings, data_of, new_model

# What may change between a run and its continuation.
ON_RESUME = {
    "training.epochs",
    "training.steps",
    "training.patience",
    "training.checkpoint_minutes",
}
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
    parser.add_argument("--run", metavar="DIR", dest="folder", help="default: runs/MODEL-DATA")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", metavar="N")
    length.add_argument("--steps", metavar="N")
    parser.add_argument("--batch", metavar="N")
    parser.add_argument("--lr", metavar="X")
    parser.add_argument("--seed", metavar="N")
    parser.add_argument("--limit", metavar="N", help="use only the first N training data")
    parser.add_argument(
        "--patience", metavar="N", help="stop after N epochs without a better bound"
    )
    parser.add_argument("--backend", metavar="NAME")
    parser.add_argument("--config", metavar="FILE.toml")
    parser.add_argument("--set", metavar="FIELD=VALUE", action="append", default=[])
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from backhand.cli.progress import Progress
    from backhand.pictures import curve
    from backhand.training import fit

    folder = Path(
        args.folder or f"runs/{args.model.rpartition(':')[2]}-{Path(args.data or '').stem}"
    )
    resumed = args.resume and (folder / CONFIG).exists()
    settings = _resumed(args, folder) if resumed else _fresh(args)
    config = settings.training
    data = data_of(settings.data)
    # The set's own default is written down: config.toml holds what was really done.
    resolved = apply_settings({"data": settings.data}, [f"binarisation={data.binarisation}"])
    settings = replace(settings, data=resolved["data"])
    # Before there is a folder: what the model refuses leaves none behind.
    model = new_model(settings, data.spec, data.converted(config.dtype).train.x)
    opened = Run(folder, settings) if resumed else Run.create(folder, settings)
    with opened.locked():
        if resumed:
            opened.write_config()
        with Progress(folder) as progress:
            result = fit(model, data, config, run=opened, report=progress)
    if not progress.steps:
        progress.line(f"{folder} is finished ({result.finished}); nothing to do")
    value = {
        "run": str(folder),
        "steps": result.steps,
        "seconds": round(result.seconds, 3),
        "train": result.train,
        "valid": result.valid,
    }
    try:
        curve(folder / "curve.png", opened.metrics())
    except ImportError as error:
        progress.line(f"no picture of the curve: {error}")
    valid = "" if result.valid is None else f", valid {result.valid:.3f}"
    emit(args, value, f"{folder}: {result.steps} steps, train {result.train:.3f}{valid} nats")
    return 0


def _fresh(args: argparse.Namespace) -> Settings:
    tables: dict[str, Any] = {
        "model": model_class(args.model).Config(),
        "training": TrainConfig(),
        "data": DataConfig(),
    }
    if args.config:
        tables = read_toml(Path(args.config), tables, args.model)
    tables = apply_settings(tables, _given(args))
    if not tables["data"].name:
        raise ValueError("train needs --data NAME|FILE (mnist-mini comes with the package)")
    return Settings(args.model, tables["model"], tables["training"], tables["data"])


def _resumed(args: argparse.Namespace, folder: Path) -> Settings:
    """The settings of the run; flags may lengthen it but not change what it computes."""
    old = Run.open(folder).settings
    if old.name != args.model:
        raise ValueError(f"{folder} holds a run of {old.name!r}, not of {args.model!r}")
    tables = read_toml(Path(args.config), old.tables, old.name) if args.config else old.tables
    tables = apply_settings(tables, _given(args))
    for table, config in tables.items():
        for field in fields(config):
            before, now = getattr(old.tables[table], field.name), getattr(config, field.name)
            name = f"{table}.{field.name}"
            if before != now and name not in ON_RESUME:
                raise ValueError(
                    f"{folder} was trained with {name} = {before!r}, so it cannot go on with "
                    f"{now!r}; leave it out, or start another run"
                )
    before, now = old.training, tables["training"]
    longer = (before.epochs, before.steps) != (now.epochs, now.steps)
    if longer and now.schedule != "constant":
        raise ValueError(
            f"{folder} has a {now.schedule} schedule, which depends on the length of the run; "
            "only a run with schedule constant can be made longer"
        )
    return Settings(old.name, tables["model"], now, tables["data"])


def _given(args: argparse.Namespace) -> list[str]:
    flags = [f"{field}={value}" for flag, field in FLAGS.items() if (value := getattr(args, flag))]
    return [*flags, *args.set]
