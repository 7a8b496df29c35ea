"""``backhand bench [CASE ...]``: how fast, beside PyTorch and JAX."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backhand.backend import BACKENDS
from backhand.cli import emit, output_file

if TYPE_CHECKING:
    from backhand.bench.harness.runner import Measured, Settings

INSTALL = "pip install 'backhand[bench]' (the CPU build of PyTorch: see pytorch.org)"
ROUNDS = 5


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "bench",
        help="measure the speed of ops and steps beside PyTorch and JAX",
        description="Each case against the peers that are installed, in turn, in processes of "
        "their own, and against the limit of the machine.  Exit status 1 if an implementation "
        "disagrees with the reference, or if the machine is too busy to measure.",
    )
    parser.add_argument("cases", metavar="CASE", nargs="*", help="default: all")
    parser.add_argument(
        "--peers", metavar="NAMES", help="torch,jax; none for our backends alone; default: all here"
    )
    parser.add_argument("--backend", metavar="NAME", help="measure this one of ours; default: all")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="the cases with a floor, at two threads, without our NumPy",
    )
    parser.add_argument("--threads", metavar="N,...", help="default: 1,2; with --quick: 2")
    parser.add_argument("--rounds", metavar="N", type=int, default=ROUNDS)
    parser.add_argument(
        "--busy", action="store_true", help="measure although other processes are running"
    )
    parser.add_argument(
        "--peer-python", metavar="PATH", default=sys.executable, help="a Python that has the peers"
    )
    parser.add_argument("--list", action="store_true", help="name the cases and end")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("-o", dest="out", metavar="FILE", help="report to FILE.md or FILE.json")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from backhand.bench.harness.case import all_cases, select
    from backhand.bench.harness.report import conditions, markdown, record
    from backhand.bench.harness.runner import Refused
    from backhand.bench.harness.runner import run as measure_all

    found = select(all_cases(), args.cases, args.quick)
    if args.list:
        names = [f.case.name for f in found]
        emit(args, names, "\n".join(names))
        return 0
    if args.backend is not None and args.backend not in (*BACKENDS, "mixed"):
        raise ValueError(f"unknown backend {args.backend!r}; there are {', '.join(BACKENDS)}")
    out = output_file("-o", args.out, (".md", ".json")) if args.out else None
    settings = _settings(args)
    measured: list[Measured] = []
    refusal = None
    try:
        for one in measure_all(found, settings):
            measured.append(one)
    except Refused as error:
        refusal = error
    if measured:
        about = conditions(measured[-1].versions)
        records = [record(one) for one in measured]
        text = markdown(records, [c for one in measured for c in one.columns], about)
        records = [r | {"conditions": about} for r in records]
        if out is not None:
            text_or_json = text if out.suffix == ".md" else json.dumps(records, indent=1) + "\n"
            out.write_text(text_or_json, encoding="utf-8")
        emit(args, records, text.rstrip())
    if refusal is not None:
        print(f"backhand: error: {refusal}", file=sys.stderr)
    return 0 if refusal is None else 1


def _settings(args: argparse.Namespace) -> Settings:
    from backhand.bench.harness.runner import Settings

    if args.rounds < 1:
        raise ValueError(f"--rounds must be at least 1, got {args.rounds}")
    return Settings(
        backend=args.backend,
        quick=args.quick,
        peers=_peers(args.peers, args.peer_python),
        threads=_threads(args.threads, args.quick),
        rounds=args.rounds,
        accept_busy=args.busy,
        peer_python=args.peer_python,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )


def _threads(text: str | None, quick: bool) -> list[int]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = cores or 1
    if text is None:
        return [n for n in ((2,) if quick else (1, 2)) if n <= cores] or [1]
    try:
        counts = [int(word) for word in text.split(",")]
    except ValueError:
        raise ValueError(f"--threads must be numbers such as 1,2, got {text!r}") from None
    for n in counts:
        if not 1 <= n <= cores:
            raise ValueError(f"--threads must be from 1 to {cores}, the cores here, got {n}")
    return counts


def _peers(text: str | None, python: str) -> list[str]:
    """The frameworks to compare with; those that are missing are named, with the cure."""
    from backhand.bench.harness.case import FRAMEWORKS

    asked = [] if text == "none" else list(FRAMEWORKS) if text is None else text.split(",")
    for name in asked:
        if name not in FRAMEWORKS:
            raise ValueError(f"unknown peer {name!r}; there are {', '.join(FRAMEWORKS)}")
    if not Path(python).exists():
        raise FileNotFoundError(f"--peer-python {python}: there is no such file")
    code = "import importlib.util as u, sys; sys.exit(u.find_spec(sys.argv[1]) is None)"
    missing = [
        name
        for name in asked
        if subprocess.run([python, "-P", "-c", code, name], check=False).returncode
    ]
    if missing and text is not None:
        raise ImportError(f"--peers: {' and '.join(missing)} not installed: {INSTALL}")
    if missing:
        print(f"not measured, as not installed: {', '.join(missing)}; {INSTALL}", file=sys.stderr)
    return [name for name in asked if name not in missing]
