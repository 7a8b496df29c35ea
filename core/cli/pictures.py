"""``backhand sample``, ``reconstruct`` and ``interpolate``: a run's model, in pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.cli import emit, must_have, output_file, part_of, save_npz
from backhand.model import Batch
from backhand.noise import Noise

HALVES = ("left", "top")
MOVING = (".gif", ".apng")


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
        suffixes = ".png or .npz"
        suffixes += "" if verb == "interpolate" else ", or .gif or .apng for every step"
        parser.add_argument("-o", metavar="FILE", dest="output", required=True, help=suffixes)
        if verb != "interpolate":
            parser.add_argument(
                "--steps", action="store_true",
                help="in a .png or .npz: every step of a model that draws step by step",
            )  # fmt: skip
        if verb == "reconstruct":
            parser.add_argument(
                "--given", metavar="left|top|FILE",
                help="complete the data from this half of them, or the pictures of a .npy, .npz "
                "(NaN where unknown) or .png (transparent where unknown)",
            )  # fmt: skip
        if verb != "sample":
            parser.add_argument("--split", choices=("train", "valid", "test"), help="default: test")
        parser.add_argument("--json", action="store_true")
        parser.set_defaults(run=run)


def sample(args: argparse.Namespace) -> int:
    from backhand.runs import load

    _check(args, *MOVING)
    model = load(args.folder)
    if _by_steps(args):
        return _write_steps(args, _films(model)(args.n, Noise(args.seed)), None)
    must_have(model, "sample")
    draw = model.sample(args.n, Noise(args.seed))
    return _write(args, draw.mean, None, {"x": draw.x, "mean": draw.mean})


def reconstruct(args: argparse.Namespace) -> int:
    """Rows of data, each above the row of its reconstructions."""
    if args.given:
        return _complete(args)
    model, batch = _first(args, args.n, *MOVING)
    if _by_steps(args):
        return _write_steps(args, _films(model)(len(batch.x), Noise(args.seed), batch), batch.x)
    must_have(model, "reconstruct")
    made = model.reconstruct(batch, Noise(args.seed))
    return _write_pairs(args, batch.x, made, batch.x)


def _complete(args: argparse.Namespace) -> int:
    """Pictures of which a part is given, the rest in grey, each above its completion."""
    _check(args, *MOVING)
    if _by_steps(args):
        raise ValueError("--given goes with pictures of the result, not with every step")
    if args.given in HALVES:
        model, batch = _first(args, args.n)
        _can_complete(model)
        mask = _half(batch.x, args.given)
    else:
        model, batch, mask = _from_file(args)
    given = batch._replace(mask=mask)
    made = model.sample(len(mask), Noise(args.seed), given=given).mean
    seen = np.where(mask, batch.x, batch.x.dtype.type(0.5))
    return _write_pairs(args, seen, made, batch.x)


def _from_file(args: argparse.Namespace) -> tuple[Any, Batch, Array]:
    """(model, pictures with NaN where unknown, mask of what is known)"""
    from backhand.data.partial import read_partial
    from backhand.runs import load

    if args.split:
        raise ValueError("--given FILE completes the pictures of the file; leave out --split")
    file = Path(args.given)
    if not file.suffix and not file.exists():
        raise ValueError(f"--given takes {', '.join(HALVES)} or a file, got {args.given}")
    model = load(args.folder)
    _can_complete(model)
    x, mask = read_partial(file, model.spec, model.params.vector.dtype)
    x, mask = x[: args.n], mask[: args.n]
    return model, Batch(x, np.arange(len(x))), mask


def _can_complete(model: Any) -> None:
    if not hasattr(model, "complete"):
        raise ValueError(f"the model {type(model).__name__} does not complete pictures")


def _write_pairs(args: argparse.Namespace, seen: Array, made: Array, x: Array) -> int:
    """Rows of what was seen, each above the row of what was made of it."""
    columns = min(len(made), 8)
    blocks = [
        rows
        for i in range(0, len(made), columns)
        for rows in (
            _filled(seen[i : i + columns], columns),
            _filled(made[i : i + columns], columns),
        )
    ]
    return _write(args, np.concatenate(blocks), columns, {"x": x, "reconstruction": made})


def interpolate(args: argparse.Namespace) -> int:
    """One line for each of n pairs; data at both ends, decoded points between."""
    steps = 10
    model, batch = _first(args, 2 * args.n)
    must_have(model, "interpolate")
    n = len(batch.x) // 2
    if not n:
        raise ValueError("interpolate needs at least two data")
    start, end = (Batch(batch.x[at], batch.index[at]) for at in (slice(0, n), slice(n, 2 * n)))
    path = model.interpolate(start, end, steps)  # (steps, n, *shape)
    lines = np.concatenate([start.x[None], path, end.x[None]]).swapaxes(0, 1)
    pictures = lines.reshape(-1, *lines.shape[2:])
    return _write(args, pictures, steps + 2, {"start": start.x, "path": path, "end": end.x})


def _half(x: Array, half: str) -> Array:
    """The mask of this half of pictures x (n, height, width, ...)."""
    if x.ndim < 3:
        raise ValueError(f"--given {half} needs pictures, these data have shape {x.shape[1:]}")
    height, width = x.shape[1:3]
    mask = np.zeros(x.shape, bool)
    if half == "top":
        mask[:, : -(-height // 2)] = True
    else:
        mask[:, :, : -(-width // 2)] = True
    return mask


def _first(args: argparse.Namespace, n: int, *more: str) -> tuple[Any, Batch]:
    from backhand.data import batches
    from backhand.runs import Run

    _check(args, *more)
    opened = Run.open(args.folder)
    model = opened.load()
    data = opened.data()
    part = data.split(part_of(data, args.split)).converted(model.params.vector.dtype)
    return model, next(batches(part, n))


def _check(args: argparse.Namespace, *more: str) -> None:
    """What needs no run is said before one is opened."""
    output_file("-o", args.output, [".png", ".npz", *more])
    if args.n < 1:
        raise ValueError(f"-n must be at least 1, got {args.n}")


def _by_steps(args: argparse.Namespace) -> bool:
    return bool(args.steps) or args.output.endswith(MOVING)


def _films(model: Any) -> Any:
    if not hasattr(model, "film"):
        raise ValueError(f"the model {type(model).__name__} does not draw step by step")
    return model.film


def _write_steps(args: argparse.Namespace, film: Any, x: Array | None) -> int:
    """Every step: moving, as a contact sheet, or the arrays themselves."""
    from backhand import films
    from backhand.animations import save_animation
    from backhand.pictures import save_png

    if args.output.endswith(MOVING):
        save_animation(args.output, films.animation(film, x))
    elif args.output.endswith(".png"):
        save_png(args.output, films.contact_sheet(film, x))
    else:
        arrays = {name: a for name, a in film._asdict().items() if a is not None}
        save_npz(Path(args.output), arrays if x is None else {"x": x, **arrays})
    n = film.canvas.shape[1]
    bars = "" if film.kl is None else f"; the highest bar is {film.kl.max():.2f} nats"
    emit(args, {"file": args.output, "n": n}, args.output + bars)
    return 0


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
    n = len(next(iter(arrays.values())))
    emit(args, {"file": args.output, "n": n}, args.output)
    return 0
