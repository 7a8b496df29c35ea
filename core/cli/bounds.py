"""``backhand bounds RUN``: every bound on log p(x), on test data and on simulated data."""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import TYPE_CHECKING, Any

from backhand.cli import emit, part_of

if TYPE_CHECKING:
    from backhand.bounds import Comparison

TABLE, PICTURE = "bounds.json", "bounds.png"


def add_parser(subparsers: Any) -> None:
    text = "weigh every bound on log p(x), on test data and on data drawn from the model"
    parser = subparsers.add_parser(
        "bounds", help=text,
        description=f"{text[0].upper()}{text[1:]}. Writes {TABLE} and {PICTURE} into the run.",
    )  # fmt: skip
    parser.add_argument("folder", metavar="RUN")
    parser.add_argument("--limit", type=int, metavar="N", default=100, help="data of each kind")
    parser.add_argument("-k", default="1,5,50,5000", metavar="K,...", help="samples of L_k")
    parser.add_argument("--chains", type=int, default=16, metavar="N", help="of AIS, per datum")
    parser.add_argument("--temperatures", type=int, default=500, metavar="N")
    parser.add_argument("--leapfrogs", type=int, default=10, metavar="N", help="in each move")
    parser.add_argument("--split", choices=("train", "valid", "test"), help="default: test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from backhand.bounds import Settings, compare
    from backhand.checkpoint import replacing
    from backhand.runs import Run

    settings = Settings(
        _numbers(args.k), args.limit, args.chains, args.temperatures, args.leapfrogs, args.seed
    )
    opened = Run.open(args.folder)
    model, data = opened.load(), opened.data()
    found = compare(
        model, data, settings, part_of(data, args.split),
        lambda line: print(line, file=sys.stderr, flush=True),
    )  # fmt: skip
    with replacing(opened.path / TABLE) as file:
        file.write((json.dumps(_plain(found._asdict()), indent=1) + "\n").encode())
    _draw(opened.path / PICTURE, found)
    emit(args, _plain(found.rows), as_text(found))
    return 0


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise ValueError(f"-k takes numbers with commas between, like 1,5,50, got {text}") from None


def _draw(path: Any, found: Comparison) -> None:
    from backhand.pictures import bounds_figure

    try:
        bounds_figure(path, found.gains)
    except (ImportError, OSError) as error:
        print(f"no picture of the bounds: {error}", file=sys.stderr)


def _plain(value: Any) -> Any:
    """What JSON can hold: named tuples as objects, numbers that are not finite as null."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_text(found: Comparison) -> str:
    """The two tables, the two parts of the gap, active units and signal-to-noise ratios."""
    lines = []
    for name in dict.fromkeys(row.data for row in found.rows):
        lines.append(f"{name} data: nats per example, smaller is tighter")
        for row, gain in zip(found.rows, found.gains, strict=True):
            if row.data == name:
                ess = "" if row.ess is None else f"   effective samples {row.ess:.1f}"
                kind = " (upper bound)" if row.bound == "ais reverse" else ""
                value = f"{row.nats:9.3f} +- {row.stderr:.3f}"
                gained = f"   on the ELBO {gain.nats:.3f} +- {gain.stderr:.3f}"
                lines.append(f"  {row.bound + kind:27} k = {row.k:<5} {value}{gained}{ess}")
        lines += [
            f"  gap to {gap.reference}: approximation {gap.approximation:.3f} +- "
            f"{gap.approximation_stderr:.3f}, amortisation {gap.amortisation:.3f} +- "
            f"{gap.amortisation_stderr:.3f}"
            for gap in found.gaps
            if gap.data == name
        ]
    units = ", ".join(f"{active} of {width}" for active, width in found.active_units)
    lines.append(f"active units of each layer, from the data up, or step: {units}")
    for estimator, by_k in found.snr.items():
        ratios = "; ".join(
            f"k = {k}: " + ", ".join(f"{part} {ratio:.2f}" for part, ratio in parts.items())
            for k, parts in by_k.items()
        )
        lines.append(f"signal to noise of gradients, {estimator}: {ratios}")
    return "\n".join(lines)
