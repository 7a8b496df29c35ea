"""Whether a step that got slower is noticed."""

import pytest

from backhand.bench.regression import lost


def entry(case, native, numpy, threads=2):
    times = {"native": {"seconds_median": native}, "numpy": {"seconds_median": numpy}}
    return {"case": case, "threads": threads, "backend": "native", "implementations": times}


def test_a_case_that_lost_its_gain_is_named():
    then = [entry("a", 1.0, 4.0), entry("b", 1.0, 4.0), entry("b", 1.0, 3.0, threads=1)]
    assert lost(then, then) == []
    slower_machine = [entry("a", 3.0, 12.0), entry("b", 3.0, 9.0), entry("b", 3.0, 9.0, 1)]
    assert lost(then, slower_machine) == []  # within the margin: 4 times, then 3
    now = [entry("a", 1.6, 4.0), entry("b", 1.0, 4.0)]
    assert lost(then, now) == [
        "a, 2 threads: 2.50 times NumPy's speed, it was 4.00",
        "b, 1 thread: not measured",
    ]


def test_a_report_that_cannot_tell_is_refused():
    rows = entry("a", 1.0, 2.0)
    del rows["implementations"]["numpy"]
    with pytest.raises(ValueError, match="no times of our NumPy form"):
        lost([rows], [])
