"""``backhand encode RUN --data FILE -o z.npz``."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from backhand.cli import emit, must_have, output_file, save_npz

SPLITS = ("train", "valid", "test")


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("encode", help="posterior means and log-variances of data")
    parser.add_argument("folder", metavar="RUN")
    parser.add_argument("--data", metavar="NAME|FILE", help="default: the run's own data")
    parser.add_argument(
        "--split", choices=("train", "valid", "test"), help="default: all, in this order"
    )
    parser.add_argument("-o", metavar="FILE.npz", dest="output", required=True)
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from backhand.data import batches
    from backhand.runs import Run, other_data

    file = output_file("-o", args.output, [".npz"])
    opened = Run.open(args.folder)
    model = opened.load()
    must_have(model, "encode")
    data = other_data(args.data, model) if args.data else opened.data()
    names = [args.split] if args.split else [n for n in SPLITS if getattr(data, n) is not None]
    parts = [data.split(name).converted(model.params.vector.dtype) for name in names]
    found = [model.encode(batch) for part in parts for batch in batches(part, 1000)]
    mean, logvar = (np.concatenate([q[i] for q in found]) for i in range(2))
    save_npz(file, {"mean": mean, "logvar": logvar})
    sizes = " x ".join(map(str, mean.shape))
    text = f"{args.output}: mean and logvar, {sizes}"
    emit(args, {"file": args.output, "n": len(mean)}, text)
    return 0
