"""The README's table of times, made from a report of ``backhand bench -o FILE.json``.

    python -m backhand.bench.summary results/bench/training.json README.md

replaces what stands between START and END in the page.  Every training step of the report is in it,
at the largest number of threads that the report has.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

START, END = "<!-- times: made by bench/summary.py -->", "<!-- end of times -->"


def summary(records: Sequence[dict[str, Any]]) -> str:
    """A table of the report's training steps, and a line of where they were had."""
    rows = shown(records)
    head = ["step", "ours", "best peer", "peer / ours", "limit / ours"]
    if any(r.get("memory") for r in rows):
        head.append("peak MB, ours / least of the peers'")
    lines = [_row(head), "|" + "---|" * len(head)]
    for r in rows:
        cells = [step_name(r["case"], r["threads"]), *_cells(r), ""]
        lines.append(_row(cells[: len(head)]))
    about = records[-1]["conditions"]
    commits = ", ".join(dict.fromkeys(r["conditions"]["commit"] or "unknown" for r in rows))
    versions = ", ".join(f"{name} {v}" for name, v in about["versions"].items())
    return "\n".join(
        [*lines, "", f"{about['machine']}, {about['cores']} cores; {versions}; {commits}."]
    )


def shown(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Training steps with the most threads; reports made before ``training`` had nothing else."""
    threads = max(r["threads"] for r in records)
    return [r for r in records if r["threads"] == threads and r.get("training", True)]


def _cells(r: dict[str, Any]) -> list[str]:
    if "failed" in r:
        return [f"not measured: {r['failed']}", "", "", "", ""]
    times = {label: found["seconds_median"] for label, found in r["implementations"].items()}
    peer = f"{_ms(times[r['best_peer']])} ({r['best_peer']})" if r["best_peer"] else ""
    ratio = f"{r['ratio_to_best_peer']:.2f}" if r["best_peer"] else ""
    ours = f"{_ms(times[r['backend']])} ({r['backend']})"
    return [ours, peer, ratio, f"{r['fraction_of_limit']:.2f}", _memory(r)]


def _memory(r: dict[str, Any]) -> str:
    """Of our fastest form, and of the peer that takes least."""
    found = {label: m["added"] / 1e6 for label, m in r.get("memory", {}).items() if "added" in m}
    if r["backend"] not in found:
        return ""
    peers = {label: n for label, n in found.items() if label.startswith(("torch", "jax"))}
    least = min(peers, key=lambda label: peers[label], default=None)
    return f"{found[r['backend']]:.3g}" + (f" / {peers[least]:.3g} ({least})" if least else "")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |")


def step_name(case: str, threads: int) -> str:
    return f"{case}, {threads} thread{'s' if threads > 1 else ''}"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms"


def replaced(page: str, table: str) -> str:
    """The page with ``table`` between its marks; ValueError where it has none."""
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"the page has no {START} ... {END}")
    return f"{before}{start}\n{table}\n{end}{after}"


def main(report: str, page: str) -> None:
    path = Path(page)
    table = summary(json.loads(Path(report).read_text(encoding="utf-8")))
    path.write_text(replaced(path.read_text(encoding="utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
