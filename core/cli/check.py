"""``backhand check [NAME ...]``: the gradients against independent derivatives."""

from __future__ import annotations

import argparse
import math
import sys
from typing import Any

from backhand.backend import BACKENDS, BackendUnavailable, use_backend
from backhand.cli import emit


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "check",
        help="prove the gradients of ops, layers and models",
        description="Compares every hand-written gradient with an independent derivative of the "
        "NumPy reference, at random inputs and cotangents.  Exit status 1 if one is not ok.",
    )
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help="ops, layers, models; default: all"
    )
    parser.add_argument(
        "--backend", metavar="NAME", default="numpy", help=f"{', '.join(BACKENDS)}; default: numpy"
    )
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from backhand.checking.catalogue import select
    from backhand.checking.prove import prove

    cases = select(args.names)
    with use_backend(args.backend):  # raises where it is missing
        pass
    receipts, skipped = prove(cases, args.backend)
    ran = {receipt.name for receipt in receipts}
    ops = [case.label for case in cases if case.kind == "op"]
    if skipped and not ran.intersection(ops or ran):
        # Layers that need no op would pass on any backend: they prove nothing of this one.
        raise BackendUnavailable(skipped[0][1])
    for reason in dict.fromkeys(reason for _, reason in skipped):
        labels = ", ".join(label for label, why in skipped if why == reason)
        print(f"not checked, as {reason.partition(';')[0]}: {labels}", file=sys.stderr)
    emit(args, [_record(receipt) for receipt in receipts], _table(receipts, len(skipped)))
    return 0 if all(receipt.ok for receipt in receipts) else 1


def _record(receipt: Any) -> dict[str, Any]:
    """As JSON has it: null where nothing could be compared."""
    record: dict[str, Any] = receipt._asdict()
    if not math.isfinite(receipt.max_rel_error):
        record["max_rel_error"] = None
    return record


def _table(receipts: list[Any], skipped: int) -> str:
    head = ("name", "wrt", "method", "error", "allowed", "")
    rows = [
        (
            r.name, r.wrt, r.method, f"{r.max_rel_error:.1e}", f"{r.tolerance:.0e}",
            "ok" if r.ok else "NOT OK",
        )
        for r in receipts
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
    failed = [r for r in receipts if not r.ok]
    by_differences = [r for r in receipts if r.ok and r.reason]
    lines += ["", *(f"{r.name}: {r.wrt}: {r.reason}" for r in by_differences + failed)]
    rest = f", {skipped} not checked" if skipped else ""
    lines.append(f"{len(receipts) - len(failed)} of {len(receipts)} ok{rest}")
    return "\n".join(lines)
