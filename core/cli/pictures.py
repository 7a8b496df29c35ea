"""``backhand sample``, ``reconstruct`` and ``interpolate``: a run's model, in pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.cli import emit, output_file, part_of, save_npz
from backhand.model import Batch
from backhand.noise import Noise


def add_parser(subparsers: Any) -> None:
    verbs = {
        "sample": (sample, 64, "draw from the prior and show the means"),
        "reconstruct": (reconstruct, 32, "data beside their reconstructions"),
        "interpolate": (interpolate, 8, "lines between pairs of data in latent space"),
    }
    for verb, (run, count, text) in verbs.items():
        parser = subparsers.add_parser(verb, help=text, description=text)
        parser.add_argument("folder", metavar="RUN")
        parser.add_argument("-n", type=int, default=count, help=f"how many (default {count})")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("-o", metavar="FILE", dest="output", required=True, help=".png or .npz")
        if verb != "sample":
            parser.add_argument("--split", choices=("train", "valid", "test"), help="default: test")
        parser.add_argument("--json", action="store_true")
        parser.set_defaults(run=run)


def sample(args: argparse.Namespace) -> int:
    from backhand.runs import load

    _check(args)
    draw = load(args.folder).sample(args.n, Noise(args.seed))
    return _write(args, draw.mean, None, {"x": draw.x, "mean": draw.mean})


def reconstruct(args: argparse.Namespace) -> int:
    """Rows of data, each above the row of its reconstructions."""
    model, batch = _first(args, args.n)
    made = model.reconstruct(batch, Noise(args.seed))
    columns = min(len(made), 8)
    blocks = [
        rows
        for i in range(0, len(made), columns)
        for rows in (
            _filled(batch.x[i : i + columns], columns),
            _filled(made[i : i + columns], columns),
        )
    ]
    return _write(args, np.concatenate(blocks), columns, {"x": batch.x, "reconstruction": made})


def interpolate(args: argparse.Namespace) -> int:
    """One line for each of n pairs; data at both ends, decoded points between."""
    steps = 10
    model, batch = _first(args, 2 * args.n)
    if not hasattr(model, "interpolate"):
        raise ValueError(f"the model {type(model).__name__} has no interpolate")
    n = len(batch.x) // 2
    if not n:
        raise ValueError("interpolate needs at least two data")
    start, end = (Batch(batch.x[at], batch.index[at]) for at in (slice(0, n), slice(n, 2 * n)))
    path = model.interpolate(start, end, steps)  # (steps, n, *shape)
    lines = np.concatenate([start.x[None], path, end.x[None]]).swapaxes(0, 1)
    pictures = lines.reshape(-1, *lines.shape[2:])
    return _write(args, pictures, steps + 2, {"start": start.x, "path": path, "end": end.x})


def _first(args: argparse.Namespace, n: int) -> tuple[Any, Batch]:
    from backhand.data import batches
    from backhand.runs import Run

    _check(args)
    opened = Run.open(args.folder)
    model = opened.load()
    data = opened.data()
    part = data.split(part_of(data, args.split)).converted(model.params.vector.dtype)
    return model, next(batches(part, n))


def _check(args: argparse.Namespace) -> None:
    """What needs no run is said before one is opened."""
    output_file("-o", args.output, [".png", ".npz"])
    if args.n < 1:
        raise ValueError(f"-n must be at least 1, got {args.n}")


def _filled(rows: Array, columns: int) -> Array:
    """A row of pictures, made up with empty ones."""
    missing = columns - len(rows)
    return np.concatenate([rows, np.zeros((missing, *rows.shape[1:]), rows.dtype)])


def _write(
    args: argparse.Namespace, pictures: Array, columns: int | None, arrays: dict[str, Array]
) -> int:
    """A picture, or the arrays themselves where the file's name ends in .npz."""
    from backhand.pictures import grid, save_png

    if args.output.endswith(".npz"):
        save_npz(Path(args.output), arrays)
    else:
        save_png(args.output, grid(pictures, columns))
    emit(args, {"file": args.output, "n": args.n}, args.output)
    return 0
