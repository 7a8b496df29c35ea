"""``backhand info``: versions, backends and reasons, threads, data sets found."""

from __future__ import annotations

import argparse
import os
import platform
from typing import Any

from backhand._version import __version__
from backhand.backend import Status, all_ops, backends
from backhand.cli import emit
from backhand.threads import thread_counts

OPTIONAL = ("threadpoolctl", "tqdm", "pooch", "pillow", "matplotlib")


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("info", help="versions, backends and reasons, threads, data")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from backhand.data import find, registry

    places = {name: find(name) for name in registry()}
    value: dict[str, dict[str, Any]] = {
        "versions": _versions(),
        "threads": {"cores": os.cpu_count(), **thread_counts()},
        "data": {name: None if place is None else str(place) for name, place in places.items()},
        "backends": {name: status._asdict() for name, status in _backends().items()},
    }
    lines = [f"{name:14}{version}" for name, version in value["versions"].items()]
    lines += [
        "",
        *(f"{name:14}{count} threads" for name, count in value["threads"].items() if count),
    ]
    lines += ["", "backends"]
    for name, status in _backends().items():
        lines.append(f"  {name:10}{'yes' if status.available else 'no':5}{status.reason}")
    lines += ["", "data"]
    lines += [f"  {name:22}{place or 'not here'}" for name, place in value["data"].items()]
    emit(args, value, "\n".join(lines))
    return 0


def _backends() -> dict[str, Status]:
    """The status of each backend; of those that lack ops, which they have."""
    found = backends()
    ops = [op.OP for op in all_ops()]
    for name, status in found.items():
        have = [op.name for op in ops if name in op.modules]
        if status.available and len(have) < len(ops):
            reason = f"{status.reason}; only for {', '.join(have)}"
            found[name] = status._replace(reason=reason)
    return found


def _versions() -> dict[str, str]:
    import importlib.metadata  # 30 ms that no other verb needs

    found = {"backhand": __version__, "python": platform.python_version()}
    for package in ("numpy", *OPTIONAL):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
