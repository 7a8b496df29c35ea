"""Every kernel, on the CPU: right numbers at any sizes, and the same bits in every order and grid.

For each kernel, 200 property cases (GATE_EXAMPLES: fewer, for the run under ThreadSanitizer).
``make gates`` runs them under the sanitizers alone.
"""

import os
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from backhand.csrc import sources
from backhand.kernels import emulator
from tests.gates.runs import OPS, FewBlocks, Recorder, in_small_blocks, runs, turns
from tests.kernels.harness import needs
from tests.kernels.layouts import LAYOUTS

EXAMPLES = int(os.environ.get("GATE_EXAMPLES", "200"))
USUAL = [3, 0, 1, 2, 5, 8, 13, 31, 32, 33, 40]  # hypothesis begins with the first
LARGE = [129, 255, 256, 257, 300, 513]


def sizes_for(run, large, draw):
    """Sizes by letter; ``large`` is the letter of a large one, "" for none."""
    order = sorted(run.letters, key=lambda letter: letter != large)
    sizes, room = {}, run.room
    for letter in order:
        least, most = run.least.get(letter, 0), run.most.get(letter, 1000)
        size = min(draw(LARGE if letter == large else USUAL), most, room)
        sizes[letter] = max(least, size)
        room = max(1, room // max(1, sizes[letter]))
    return {letter: sizes[letter] for letter in run.letters}


def examine(run, large, count, launched, number):
    """``count`` examples, others for each number; ``launched`` counts those of each kernel."""

    @seed(number)
    @settings(
        max_examples=count, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate],
    )  # fmt: skip
    @given(data=st.data())
    def example(data):
        sizes = sizes_for(run, large, lambda options: data.draw(st.sampled_from(options)))
        dtype = data.draw(st.sampled_from([np.float32, np.float64]))
        layouts = data.draw(st.lists(st.sampled_from(LAYOUTS), min_size=1, max_size=3))
        rng = np.random.default_rng(data.draw(st.integers(0, 999)))
        recorder = Recorder()
        with emulator.using(recorder):
            with emulator.order(data.draw(st.integers(0, 9))):
                run.check(rng, sizes, dtype, layouts)
            results = run.results(rng, sizes, dtype)
            first = results()
            few, last = FewBlocks(), data.draw(st.integers(3, 999))
            for order, engine in ((1, recorder), (2, few), (last, recorder)):
                with emulator.using(engine), emulator.order(order):
                    for a, b in zip(first, results(), strict=True):
                        assert a.tobytes() == b.tobytes(), f"order {order} gives other bits"
        launched.update(set(recorder.seen))

    example()


@pytest.mark.parametrize("op", OPS)
def test_every_kernel_in_every_order(op, monkeypatch):
    needs("emulated")
    in_small_blocks(monkeypatch.setattr)
    launched, kernels = Counter(), sources.kernels(op)
    useful = [(run, large) for run in runs(op) for large in ("", *run.letters)]
    number, fewest = 0, 0
    while useful and fewest < EXAMPLES:
        count, again = max(2, (EXAMPLES - fewest) // len(useful)), []
        for run, large in useful:
            before, number = launched.copy(), number + 1
            examine(run, large, count, launched, number)
            if any(before[k] < min(EXAMPLES, launched[k]) for k in kernels):
                again.append((run, large))
        useful, fewest = again, min(launched[kernel] for kernel in kernels)
    assert fewest >= EXAMPLES, f"examples of each kernel: {dict(launched)}"


def test_every_form_has_its_kernels():
    assert sorted(OPS) == sources.ops()


def test_blocks_of_every_kernel_take_turns():
    """A grid is never too small: rows, data or samples beyond it are taken by the same blocks."""
    assert all(turns(kernel) for op in OPS for kernel in sources.kernels(op))
