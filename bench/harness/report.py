"""What was measured, as JSON records."""

from __future__ import annotations

import platform
import statistics
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from os import environ
from pathlib import Path
from typing import Any

from backhand._version import __version__
from backhand.bench.harness import busy
from backhand.bench.harness.case import BEST_PEER, FRAMEWORKS
from backhand.bench.harness.runner import Block, Failed, Measured

FLOOR_THREADS = 2  # floors are stated for two threads

Record = dict[str, Any]


def failure(failed: Failed) -> Record:
    """The entry of a case of which there is nothing else to say."""
    case = failed.case
    return {
        "case": case.name, "sizes": dict(case.sizes), "threads": failed.threads,
        "training": case.training, "failed": failed.why,
    }  # fmt: skip


def record(measured: Measured) -> Record:
    """One entry of the JSON report; ``backend`` is our fastest, in the default form."""
    case = measured.case
    columns = {c.label: c for c in measured.columns if c.label in measured.blocks}
    rows = {label: _implementation(measured, label) for label in columns}
    median = {label: row["seconds_median"] for label, row in rows.items()}
    ours: dict[str, str] = {}  # the fastest of each form
    for label, c in columns.items():
        if c.ours:
            ours[c.form] = min(ours.get(c.form, label), label, key=lambda name: median[name])
    best = ours.pop("")
    peers = [label for label, c in columns.items() if c.framework]
    best_peer = min(peers, key=lambda label: median[label], default=None)
    limit = sum(measured.limit.values())

    def judged(label: str) -> Record:
        return {
            "backend": label,
            "ratio_to_best_peer": median[best_peer] / median[label] if best_peer else None,
            "fraction_of_limit": limit / median[label] if limit else None,
        }

    return {
        "case": case.name,
        "sizes": dict(case.sizes),
        "threads": measured.threads,
        "training": case.training,
        **judged(best),
        "best_peer": best_peer,
        "other_forms": {form: judged(label) for form, label in ours.items()},
        "limit": {"seconds": limit, **measured.limit},
        "floors": _floors(measured, median, best, best_peer),
        "implementations": rows,
        "errors": measured.errors,
        "memory": measured.memory,
        "split": measured.split,
        "others_cores": max(measured.others) if busy.available() else None,
        "busy": _busy(measured),
        "scaling": sorted(measured.scaling),
        "rejected_rounds": measured.rejected,
    }


def _busy(measured: Measured) -> bool:
    return busy.available() and max(measured.others) > busy.ALLOWED


def _implementation(measured: Measured, label: str) -> Record:
    blocks = measured.blocks[label]
    case = measured.case
    seconds = statistics.median(b.median / b.drift for b in blocks)
    return {
        "seconds_median": seconds,
        "seconds_min": min(b.minimum for b in blocks),
        "seconds_median_raw": statistics.median(b.median for b in blocks),
        "spread": _spread(blocks),
        "samples_per_second": case.samples / seconds,
        "gflops": case.flops / seconds / 1e9,
        "cores": statistics.median(b.cores for b in blocks),
        "rounds": len(blocks),
    }


def _spread(blocks: Sequence[Block]) -> float:
    """Largest over smallest median of a round."""
    medians = [b.median / b.drift for b in blocks]
    return max(medians) / min(medians)


def _floors(
    measured: Measured, median: dict[str, float], best: str, best_peer: str | None
) -> list[Record]:
    if measured.threads != FLOOR_THREADS:
        return []
    there, absent = _peers(measured)
    floors = []
    for against, wanted in measured.case.floors.items():
        label = best_peer if against == BEST_PEER else against
        ratio = median[label] / median[best] if label in median else None
        floor: Record = {"against": against, "wanted": wanted, "ratio": ratio}
        if against == BEST_PEER:
            floor |= {"judged_against": there, "absent": absent}
        floor["verdict"] = _verdict(floor, _busy(measured))
        floor["met"] = {"met": True, "MISSED": False}.get(floor["verdict"])
        floors.append(floor)
    return floors


def _verdict(floor: Record, busy: bool) -> str:
    if floor["ratio"] is None:
        return "not measured"
    if busy:
        return "not judged, as busy"
    if floor["ratio"] < floor["wanted"]:
        return "MISSED"
    if floor.get("absent"):  # who might be better
        return f"judged against {', '.join(floor['judged_against'])} only"
    return "met"


def _peers(measured: Measured) -> tuple[list[str], list[str]]:
    """Families of the case's peers (torch, torch.compile, jax): measured, and not."""
    firsts = [name.partition(" ")[0] for name in measured.case.implementations]
    families = [f for f in dict.fromkeys(firsts) if f.partition(".")[0] in FRAMEWORKS]
    there = {c.group for c in measured.columns if c.label in measured.blocks}
    return [f for f in families if f in there], [f for f in families if f not in there]


# -- conditions ----------------------------------------------------------------------------


def conditions(peer_versions: dict[str, str]) -> Record:
    """Machine, versions, commit, and the variables of the allocator, if any."""
    found = {"backhand": __version__, "python": platform.python_version()}
    for package in ("numpy", "numba"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "machine": _machine(),
        "cores": len(_cores()),
        "versions": found | peer_versions,
        "commit": _commit(),
        "allocator": {k: v for k, v in environ.items() if k.startswith("MALLOC_")},
    }


def _cores() -> Sequence[int]:
    import os

    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return range(os.cpu_count() or 1)


def _machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {platform.system()}"


def _commit() -> str | None:
    """Of the checkout that this file belongs to; a "+" marks changes that are not committed."""
    here = Path(__file__).resolve()
    tracked = _git(here.parent, "ls-files", "--error-unmatch", here.name)
    return tracked and _git(here.parent, "describe", "--always", "--dirty=+", "--exclude=*")


def _git(folder: Path, *words: str) -> str | None:
    """What git says; None where it fails or is not there."""
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
