from itertools import pairwise
from math import isclose

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backhand.schedules import SCHEDULES, kl_weight, learning_rate


def rates(schedule, total, lr=1.0, **settings):
    return [learning_rate(schedule, t, total, lr, **settings) for t in range(1, total + 1)]


def test_constant():
    assert rates("constant", 3, 0.2) == [0.2] * 3


def test_step_changes_after_the_milestones_fraction_of_the_run():
    assert rates("step", 4, milestones=(0.5,), factor=0.5) == [1, 1, 0.5, 0.5]
    twice = rates("step", 4, milestones=(0.25, 0.75), factor=0.1)
    assert twice == pytest.approx([1, 0.1, 0.1, 0.01])
    assert rates("step", 30, milestones=(0.1,), factor=0.5) == [1] * 3 + [0.5] * 27
    assert rates("step", 4) == pytest.approx([1, 1, 0.1, 0.01])  # the defaults


def test_cosine_goes_from_lr_to_lr_final():
    assert rates("cosine", 5, 1.0, lr_final=0.2) == pytest.approx(
        [1.0, 0.2 + 0.8 * (1 + 0.5**0.5) / 2, 0.6, 0.2 + 0.8 * (1 - 0.5**0.5) / 2, 0.2]
    )
    assert learning_rate("cosine", 100, 100, 3e-4, lr_final=1e-5) == 1e-5
    assert learning_rate("cosine", 1, 100, 3e-4, lr_final=1e-5) == 3e-4


def test_iwae_at_full_length_has_the_papers_epochs_and_rates():
    got = rates("iwae", 3280, 1e-3)
    expected = [1e-3 * 10 ** (-i / 7) for i in range(8) for _ in range(3**i)]
    assert got == expected
    # The rates as the authors round them.
    stages = [1.0, 0.72, 0.52, 0.37, 0.27, 0.19, 0.14, 0.10]
    assert [round(1e3 * rate, 2) for rate in dict.fromkeys(got)] == stages


@settings(deadline=None)
@given(st.integers(1, 400))
def test_iwae_is_squeezed_in_proportion(total):
    got = rates("iwae", total)
    assert got[0] == 1.0
    for i, end in enumerate([1, 4, 13, 40, 121, 364, 1093, 3280]):
        steps = sum(rate >= 10 ** (-i / 7) for rate in got)
        assert abs(steps - end * total / 3280) < 1


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_run_of_one_step_uses_the_full_rate(schedule):
    assert learning_rate(schedule, 1, 1, 0.3, lr_final=0.1, milestones=(0.9,)) == 0.3


@settings(deadline=None)
@given(st.sampled_from(SCHEDULES), st.integers(2, 300))
def test_never_rises_and_starts_at_lr(schedule, total):
    got = rates(schedule, total, 0.5, lr_final=0.01)
    assert isclose(got[0], 0.5)
    assert all(a >= b > 0 for a, b in pairwise(got))


def test_every_parameter_changes_the_outcome():
    base = {"lr_final": 0.1, "milestones": (0.3,), "factor": 0.5}
    cosine, step = rates("cosine", 9, **base), rates("step", 9, **base)
    assert rates("cosine", 9, **base | {"lr_final": 0.2}) != cosine
    assert rates("step", 9, **base | {"milestones": (0.6,)}) != step
    assert rates("step", 9, **base | {"factor": 0.1}) != step
    assert rates("cosine", 9, 2.0, **base) != cosine
    assert rates("cosine", 10, **base)[:9] != cosine
    assert len({tuple(rates(schedule, 9, **base)) for schedule in SCHEDULES}) == len(SCHEDULES)


@pytest.mark.parametrize("step", [0, -1, 6])
def test_refuses_steps_outside_the_run(step):
    with pytest.raises(ValueError, match=rf"step must be in 1 .. total_steps = 5, got {step}"):
        learning_rate("constant", step, 5, 1.0)


def test_unknown_schedule_lists_the_known_ones():
    with pytest.raises(ValueError, match="unknown schedule 'linear'; there are constant, step"):
        learning_rate("linear", 1, 5, 1.0)


def test_kl_weight_rises_linearly_to_one():
    assert [kl_weight(t, 4) for t in range(1, 8)] == [0, 0.25, 0.5, 0.75, 1, 1, 1]
    assert [kl_weight(t, 4, start=0.5) for t in (1, 3, 5)] == [0.5, 0.75, 1]
    assert kl_weight(1, 0) == 1.0
    assert [kl_weight(t, 1) for t in (1, 2)] == [0, 1]


@pytest.mark.parametrize("arguments", [(0, 4), (1, -1), (1, 4, 1.5), (1, 4, -0.1)])
def test_kl_weight_refuses_values_out_of_range(arguments):
    with pytest.raises(ValueError, match=r"step must be at least 1"):
        kl_weight(*arguments)
