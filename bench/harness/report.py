"""What was measured, as JSON records and as Markdown."""

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
from backhand.bench.harness.case import BEST_PEER, FRAMEWORKS, Implementation
from backhand.bench.harness.runner import Block, Failed, Measured

FLOOR_THREADS = 2  # floors are stated for two threads

Record = dict[str, Any]


def failure(failed: Failed) -> Record:
    """The entry of a case of which there is nothing else to say."""
    case = failed.case
    return {
        "case": case.name, "sizes": dict(case.sizes), "threads": failed.threads,
        "failed": failed.why,
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
        **judged(best),
        "best_peer": best_peer,
        "other_forms": {form: judged(label) for form, label in ours.items()},
        "limit": {"seconds": limit, **measured.limit},
        "floors": _floors(measured, median, best, best_peer),
        "implementations": rows,
        "errors": measured.errors,
        "others_cores": max(measured.others) if busy.available() else None,
        "busy": _busy(measured),
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


# -- Markdown ------------------------------------------------------------------------------


def markdown(records: Sequence[Record], columns: Sequence[Implementation], about: Record) -> str:
    """Tables, one for each number of threads, with the conditions above and notes below."""
    versions = ", ".join(f"{name} {v}" for name, v in about["versions"].items())
    lines = [
        "# backhand bench",
        "",
        f"{about['machine']}, {about['cores']} cores. {versions}. "
        f"Commit {about['commit'] or 'unknown'}.",
        "",
        "Milliseconds for one step, median of the rounds' medians, drift divided out; in brackets "
        "the minimum. Ratio: the best peer's median over ours, both in the default form; other "
        "forms of ours have their own. Limit: products, memory and transcendentals of the case "
        "alone, one after the other.",
    ]
    failed = [r for r in records if "failed" in r]
    records = [r for r in records if "failed" not in r]
    for threads in dict.fromkeys(r["threads"] for r in records):
        rows = [r for r in records if r["threads"] == threads]
        labels = _labels(columns, rows)
        lines += ["", f"## {_threads(threads)}", ""]
        head = ["case", *labels, "ours", "ratio", "limit", "of limit", "floor", "other forms"]
        lines += _table(head, [_cells(r, labels) for r in rows])
    if failed:
        lines += ["", "## Not measured", ""]
        lines += [f"- {r['case']}, {_threads(r['threads'])}: {r['failed']}" for r in failed]
    if records:
        lines += ["", *_notes(records, about)]
    return "\n".join(lines).rstrip() + "\n"


def _labels(columns: Sequence[Implementation], rows: Sequence[Record]) -> list[str]:
    ordered = sorted(dict.fromkeys(columns), key=lambda c: (not c.ours, c.framework is None))
    shown = {label for r in rows for label in (*r["implementations"], *r["errors"])}
    return [label for label in dict.fromkeys(c.label for c in ordered) if label in shown]


def _cells(r: Record, labels: Sequence[str]) -> list[str]:
    cells = [r["case"]]
    for label in labels:
        found = r["implementations"].get(label)
        if found is None:
            cells.append("failed" if label in r["errors"] else "")
        else:
            cells.append(f"{_ms(found['seconds_median'])} ({_ms(found['seconds_min'])})")
    ratio, fraction = r["ratio_to_best_peer"], r["fraction_of_limit"]
    cells += [
        r["backend"],
        f"{ratio:.2f} ({r['best_peer']})" if ratio else "",
        _ms(r["limit"]["seconds"]),
        f"{fraction:.0%}" if fraction else "",
        "; ".join(_floor(floor) for floor in r["floors"]),
        "; ".join(_form(form) for form in r["other_forms"].values()),
    ]
    return cells


def _form(form: Record) -> str:
    ratio = form["ratio_to_best_peer"]
    return f"{form['backend']}: {ratio:.2f}" if ratio else str(form["backend"])


def _floor(floor: Record) -> str:
    peers = f" ({', '.join(floor['judged_against'])})" if floor.get("judged_against") else ""
    ratio = "" if floor["ratio"] is None else f"{floor['ratio']:.2f}, "
    return f"{floor['wanted']:g}x {floor['against']}{peers}: {ratio}{floor['verdict']}"


def _threads(n: int) -> str:
    return f"{n} thread{'s' if n > 1 else ''}"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return [lines[0], "|" + "---|" * len(head), *lines[1:]]


def _notes(records: Sequence[Record], about: Record) -> list[str]:
    notes = []
    if any(r["busy"] for r in records):
        loudest = max(r["others_cores"] for r in records)
        notes.append(
            f"**The machine was busy**: other processes used up to {loudest:.2f} cores during a "
            "round. Times with several threads mean nothing then; compare minima."
        )
    elif any(r["others_cores"] is None for r in records):
        notes.append("How busy the machine was is not known: this system does not tell.")
    else:
        loudest = max((r["others_cores"] for r in records), default=0)
        rejected = sum(r["rejected_rounds"] for r in records)
        notes.append(
            f"Other processes used at most {loudest:.2f} cores; {rejected} rounds were rejected "
            f"as they used more than {busy.ALLOWED}."
        )
    for r in records:
        notes += [f"{r['case']}: {label} failed: {why}" for label, why in r["errors"].items()]
        for label, row in r["implementations"].items():
            if row["cores"] > r["threads"] + 0.2:
                notes.append(f"{r['case']}: {label} used {row['cores']:.1f} cores")
    settings = " ".join(f"{k}={v}" for k, v in about["allocator"].items())
    defaults = "the defaults; our training steps keep freed memory, as bh.fit has it"
    notes.append(f"Allocator: {settings or defaults}.")
    return [line for note in notes for line in (note, "")]
