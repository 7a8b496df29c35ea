"""``backhand bench [CASE ...]``: how fast, beside PyTorch and JAX."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from backhand.backend import BACKENDS
from backhand.cli import emit, output_file

if TYPE_CHECKING:
    from backhand.bench.harness.case import Found
    from backhand.bench.harness.runner import Failed, Measured, Settings

INSTALL = "pip install 'backhand[bench]' (the CPU build of PyTorch: see pytorch.org)"
ROUNDS = 5
INTERRUPTED = 130  # exit status, as shells have it


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
        "--peer-python", metavar="PATH", help="a Python that has the peers; default: this one"
    )
    parser.add_argument("--list", action="store_true", help="name the cases and end")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("-o", dest="out", metavar="FILE", help="report to FILE.md or FILE.json")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from backhand.bench.harness.case import all_cases, select
    from backhand.bench.harness.markdown import markdown
    from backhand.bench.harness.report import conditions, failure, record
    from backhand.bench.harness.runner import Failed, Measured

    found = select(all_cases(), args.cases, args.quick)
    if args.list:
        names = [f.case.name for f in found]
        emit(args, names, "\n".join(names))
        return 0
    if args.backend is not None and args.backend not in (*BACKENDS, "mixed"):
        raise ValueError(f"unknown backend {args.backend!r}; there are {', '.join(BACKENDS)}")
    out = output_file("-o", args.out, (".md", ".json")) if args.out else None
    results, status = _measure(found, _settings(args))
    measured = [one for one in results if isinstance(one, Measured)]
    about = conditions(measured[-1].versions if measured else {})
    records = [failure(one) if isinstance(one, Failed) else record(one) for one in results]
    text = markdown(records, [c for one in measured for c in one.columns], about)
    records = [r | {"conditions": about} for r in records]
    if out is not None:
        text_or_json = text if out.suffix == ".md" else json.dumps(records, indent=1) + "\n"
        out.write_text(text_or_json, encoding="utf-8")
    emit(args, records, text.rstrip())
    return status


def _measure(found: Sequence[Found], settings: Settings) -> tuple[list[Measured | Failed], int]:
    """What was measured, and why not the rest; 1 if a case failed or the machine was busy."""
    from backhand.bench.harness.runner import Failed, Refused
    from backhand.bench.harness.runner import run as measure_all

    results: list[Measured | Failed] = []
    end, status = "", 0
    try:
        for one in measure_all(found, settings):
            results.append(one)  # keeps what came before an exception
    except Refused as error:
        end, status = str(error), 1
    except KeyboardInterrupt:
        end, status = "interrupted", INTERRUPTED
    for one in results:
        if isinstance(one, Failed):
            print(f"backhand: error: {one.why}", file=sys.stderr)
            status = status or 1
    if end:
        print(f"backhand: error: {end}", file=sys.stderr)
        every = [(f.case, threads) for threads in settings.threads for f in found]
        results += [Failed(case, threads, end) for case, threads in every[len(results) :]]
    return results, status


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
        peer_python=args.peer_python or sys.executable,
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


def _peers(text: str | None, python: str | None) -> list[str]:
    """The frameworks to compare with; those that are missing are named, with the cure."""
    from backhand.bench.harness.case import FRAMEWORKS

    asked = [] if text == "none" else list(FRAMEWORKS) if text is None else text.split(",")
    for name in asked:
        if name not in FRAMEWORKS:
            raise ValueError(f"unknown peer {name!r}; there are {', '.join(FRAMEWORKS)}")
    missing = _missing(asked, python)
    there = [name for name in asked if name not in missing]
    cure = INSTALL if python is None else f"install them for {python}"
    if missing and text is not None:
        raise ImportError(f"--peers: {' and '.join(missing)} not installed: {cure}")
    if asked and python is not None and not there:
        raise ImportError(f"--peer-python {python} has neither {' nor '.join(missing)}")
    if missing:
        print(f"not measured, as not installed: {', '.join(missing)}; {cure}", file=sys.stderr)
    return there


def _missing(names: Sequence[str], python: str | None) -> list[str]:
    """Those of ``names`` that this Python does not have, or the one that was named."""
    import subprocess  # takes a while, which no other command has to wait for

    code = "import importlib.util as u, sys; print([u.find_spec(n) is None for n in sys.argv[1:]])"
    needs = [] if python is None else ["numpy", "threadpoolctl"]
    command = [python or sys.executable, "-P", "-c", code, *names, *needs]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        absent: list[bool] = json.loads(done.stdout.lower())
    except FileNotFoundError:
        raise FileNotFoundError(f"--peer-python {python}: there is no such file") from None
    except (OSError, subprocess.SubprocessError, ValueError):
        raise ValueError(
            f"--peer-python {python} is not a Python of 3.11 or newer: name the program itself, "
            "for instance .venv/bin/python"
        ) from None
    missing = [name for name, gone in zip([*names, *needs], absent, strict=True) if gone]
    if names and set(missing) & set(needs):
        lacks = " and ".join(name for name in missing if name in needs)
        raise ImportError(f"--peer-python {python} has no {lacks}, which the peers need too")
    return [name for name in missing if name in names]
