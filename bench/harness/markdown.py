"""What was measured, as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from backhand.bench.harness import busy
from backhand.bench.harness.case import Implementation
from backhand.bench.harness.report import Record
from backhand.bench.harness.split import KINDS


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
        lines += _memory(rows)
    lines += _split(records)
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


def _memory(rows: Sequence[Record]) -> list[str]:
    """Peak memory of the training steps."""
    rows = [r for r in rows if r["memory"]]
    if not rows:
        return []
    labels = list(dict.fromkeys(label for r in rows for label in r["memory"]))
    text = (
        "MB: what the training holds at most, parameters to workspaces, without inputs, imports "
        "and code; in brackets what of it a step takes beyond what stands between steps, and the "
        "whole process."
    )
    cells = [[r["case"], *(_megabytes(r["memory"].get(label)) for label in labels)] for r in rows]
    return ["", "### Peak memory", "", text, "", *_table(["case", *labels], cells)]


def _megabytes(found: Record | None) -> str:
    if found is None:
        return ""
    if "error" in found:
        return "failed"
    added, step, total = (f"{found[name] / 1e6:.1f}" for name in ("added", "step", "total"))
    return f"{added} ({step}, {total})"


def _split(records: Sequence[Record]) -> list[str]:
    """Where the time of our training steps goes."""
    rows = [r for r in records if r["split"] and "error" not in r["split"]]
    if not rows:
        return []
    text = (
        "Our compiled form on one thread, with clocks in it. Layers: their products with bias "
        "and activation in one call; in brackets what those products take alone. System: a part "
        "of the others, mostly pages that are new to the process."
    )
    head = ["case", "ms", *KINDS, "Python", "calls", "system", "page faults"]
    lines = ["", "## Where the time of our training step goes", "", text, ""]
    return [*lines, *_table(head, [_shares(r) for r in rows])]


def _shares(r: Record) -> list[str]:
    found = r["split"]
    seconds = found["seconds"]
    share = {kind: f"{found[kind] / seconds:.0%}" for kind in (*KINDS, "python", "system")}
    if found["layers"]:
        share["layers"] += f" ({found['products_of_layers'] / seconds:.0%})"
    system = share.pop("system")
    counts = f"{found['calls']:g}", system, f"{found['page_faults']:.0f}"
    return [r["case"], _ms(seconds), *share.values(), *counts]


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
    for threads in sorted({r["threads"] for r in records} - {1}):
        seen = sorted(x for r in records if r["threads"] == threads for x in r["scaling"])
        if not seen:  # no round was measured
            continue
        notes.append(
            f"{_threads(threads)} together did {seen[0]:.1f} to {seen[-1]:.1f} times the work of "
            f"one, mostly {statistics.median(seen):.1f} times (products, once in each round)."
        )
    for r in records:
        notes += [f"{r['case']}: {label} failed: {why}" for label, why in r["errors"].items()]
        apart = {f"memory of {label}": found for label, found in r["memory"].items()}
        for what, found in (apart | {"split": r["split"] or {}}).items():
            if "error" in found:
                notes.append(f"{r['case']}: {what} failed: {found['error']}")
        for label, row in r["implementations"].items():
            if row["cores"] > r["threads"] + 0.2:
                notes.append(f"{r['case']}: {label} used {row['cores']:.1f} cores")
    settings = " ".join(f"{k}={v}" for k, v in about["allocator"].items())
    defaults = "the defaults; our training steps keep freed memory, as bh.fit has it"
    notes.append(f"Allocator: {settings or defaults}.")
    return [line for note in notes for line in (note, "")]
