"""The table of times in the README."""

import json
from pathlib import Path

import pytest

from backhand.bench import summary

ROOT = Path(__file__).parents[2]
ABOUT = {"machine": "M", "cores": 2, "versions": {"numpy": "2", "jax": "3"}, "commit": "abc"}


def entry(case, ours, peer, limit):
    return {
        "case": case, "threads": 2, "backend": "native", "best_peer": "jax",
        "ratio_to_best_peer": peer / ours, "fraction_of_limit": limit / ours, "conditions": ABOUT,
        "implementations": {"native": {"seconds_median": ours}, "jax": {"seconds_median": peer}},
    }  # fmt: skip


def test_every_row_is_shown_those_where_we_are_behind_too():
    failed = {"case": "c", "threads": 2, "failed": "no memory", "conditions": ABOUT}
    text = summary.summary([entry("a", 2e-3, 3e-3, 1e-3), entry("b", 0.25, 0.2, 0.1), failed])
    assert text.splitlines()[2:] == [
        "| a, 2 threads | 2 ms (native) | 3 ms (jax) | 1.50 | 0.50 |",
        "| b, 2 threads | 250 ms (native) | 200 ms (jax) | 0.80 | 0.40 |",
        "| c, 2 threads | not measured: no memory | | | |",
        "",
        "M, 2 cores; numpy 2, jax 3; abc.",
    ]


def test_the_training_steps_with_the_most_threads_are_shown():
    one = entry("a", 2e-3, 3e-3, 1e-3)
    step, op = one | {"training": True}, one | {"case": "b", "training": False}
    text = summary.summary([step | {"threads": 1}, step, op, op | {"threads": 1}])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| a, 2 threads"]


def test_peak_memory_beside_the_least_of_the_peers():
    memory = {
        name: {"added": n} for name, n in (("native", 8.51e6), ("jax", 124e6), ("torch", 76e6))
    }
    memory["torch.compile"] = {"error": "no memory"}
    failed = {"case": "b", "threads": 2, "failed": "lost", "conditions": ABOUT}
    text = summary.summary([entry("a", 2e-3, 3e-3, 1e-3) | {"memory": memory}, failed])
    head, *rows = text.splitlines()[:4]
    assert head.endswith("| limit / ours | peak MB, ours / least of the peers' |")
    assert rows == [
        "|---|---|---|---|---|---|",
        "| a, 2 threads | 2 ms (native) | 3 ms (jax) | 1.50 | 0.50 | 8.51 / 76 (torch) |",
        "| b, 2 threads | not measured: lost | | | | |",
    ]


def test_the_rest_of_the_page_stays():
    page = f"a\n{summary.START}\nold\n{summary.END}\nb\n"
    assert summary.replaced(page, "new") == f"a\n{summary.START}\nnew\n{summary.END}\nb\n"
    with pytest.raises(ValueError, match="the page has no"):
        summary.replaced("a", "new")


def test_the_readme_has_what_the_report_says(tmp_path):
    copy = tmp_path / "README.md"
    copy.write_text((ROOT / "README.md").read_text("utf-8"), "utf-8")
    summary.main(str(ROOT / "results" / "bench" / "training.json"), str(copy))
    assert copy.read_text("utf-8") == (ROOT / "README.md").read_text("utf-8")
    assert json.loads((ROOT / "results" / "bench" / "training.json").read_text("utf-8"))
