"""``backhand evaluate RUN``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from backhand.cli import emit, output_file, part_of, save_npz
from backhand.device import host_backend, placed
from backhand.threads import evaluation_threads


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("evaluate", help="the bound of a trained model, with its error")
    parser.add_argument("folder", metavar="RUN")
    parser.add_argument("--bound", choices=("elbo", "iwae", "ais"), default="elbo")
    parser.add_argument("-k", type=int, default=1, help="samples or chains per datum")
    parser.add_argument("--temperatures", type=int, metavar="N", help="of ais; default: 500")
    parser.add_argument("--leapfrogs", type=int, metavar="N", help="of ais, in a move; default: 10")
    parser.add_argument("--split", choices=("train", "valid", "test"), help="default: test")
    parser.add_argument("--limit", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backend", metavar="NAME")
    parser.add_argument("--per-example", metavar="FILE.npz", help="also write each datum's bound")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from backhand.evaluation import as_json, evaluate
    from backhand.runs import Run

    given = args.per_example
    file = output_file("--per-example", given, [".npz"]) if given else None
    settings = _of_ais(args)
    opened = Run.open(args.folder)
    model, data = placed(opened.load(), args.backend), opened.data()
    split = part_of(data, args.split)
    chain = getattr(model, "recurrent", False)
    with host_backend(args.backend), evaluation_threads(chain):
        result = evaluate(
            model, data, bound=args.bound, k=args.k, split=split,
            seed=args.seed, limit=args.limit, report=_Lines(), **settings,
        )  # fmt: skip
    emit(args, as_json(result), f"{split}: {result}")
    if file:
        save_npz(file, {"bound": result.per_example})
    return 0


def _of_ais(args: argparse.Namespace) -> dict[str, int]:
    """The settings of ais that were given; an error where they would change nothing."""
    given = {"temperatures": args.temperatures, "leapfrogs": args.leapfrogs}
    given = {name: value for name, value in given.items() if value is not None}
    if given and args.bound != "ais":
        raise ValueError(f"only --bound ais takes --{' and --'.join(given)}")
    return given


class _Lines:
    """A line on standard error every tenth of the way, for evaluations that take minutes."""

    def __init__(self) -> None:
        self.tenth = 0

    def __call__(self, done: int, n: int) -> None:
        if done * 10 // n > self.tenth:
            self.tenth = done * 10 // n
            print(f"evaluated {done} of {n}", file=sys.stderr, flush=True)
