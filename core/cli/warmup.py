"""``backhand warmup``: compile the CUDA kernels ahead of their first use."""

from __future__ import annotations

import argparse
import time
from typing import Any

from backhand.backend import BackendUnavailable, status
from backhand.cli import emit


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "warmup",
        help="compile the CUDA kernels ahead of their first use",
        description="Compiles every kernel for the GPU of this machine, in float and in double.  "
        "CuPy keeps the result in its cache (~/.cupy), so that no later run waits for it.",
    )
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    available, reason = status("cuda")
    if not available:
        raise BackendUnavailable(f"there is no GPU to compile for: {reason}")
    from backhand.kernels import cuda_device

    began = time.perf_counter()
    kernels = cuda_device.warm_up()
    seconds = time.perf_counter() - began
    emit(
        args,
        {"kernels": kernels, "seconds": seconds},
        f"{len(kernels)} kernels in {seconds:.1f} s",
    )
    return 0
