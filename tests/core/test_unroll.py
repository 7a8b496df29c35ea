"""A recursion forwards and back: the order, what is kept, what is let go."""

import weakref

import numpy as np
import pytest

from backhand.unroll import unroll


class Kept(np.ndarray):
    """An array that can be watched."""


def recursion(T, recompute=0):
    """s_t = s_{t-1} (1 + t), out_t = s_t^2; (last, outs, backward, arrays kept, steps run)."""
    alive, run = [], []

    def step(t, before):
        kept = np.array([1.0 + t]).view(Kept)
        alive.append(weakref.ref(kept))
        run.append(t)
        after = before * float(kept[0])

        def back(d, d_out, g):
            g.append(t)
            return (d + 2 * after * d_out) * float(kept[0])

        return after, after**2, back

    return *unroll("product", step, 3.0, T, recompute), alive, run


@pytest.mark.parametrize("recompute", [0, 1, 2, 3, 5])
def test_values_and_gradient(recompute):
    last, outs, backward, _, run = recursion(5, recompute)
    products = np.cumprod([1, 2, 3, 4, 5])
    assert last == 3 * 120
    assert outs == [9 * p**2 for p in products]
    walked = []
    d = backward(7.0, lambda t: 10.0**-t, walked)
    assert d == pytest.approx(7 * 120 + sum(6 * p**2 * 10.0**-t for t, p in enumerate(products)))
    assert walked == [4, 3, 2, 1, 0]
    assert len(run) == (10 if recompute else 5)


@pytest.mark.parametrize("recompute", [0, 2])
def test_what_was_passed_is_let_go(recompute):
    _, _, backward, alive, _ = recursion(6, recompute)
    assert sum(ref() is not None for ref in alive) == (0 if recompute else 6)
    held = []

    def d_out(t):
        held.append(sum(ref() is not None for ref in alive))
        return 0.0

    backward(1.0, d_out, [])
    assert held == ([2, 1, 2, 1, 2, 1] if recompute else [6, 5, 4, 3, 2, 1])
    assert not any(ref() is not None for ref in alive)
    with pytest.raises(RuntimeError, match="product: backward was called before"):
        backward(1.0, d_out, [])


@pytest.mark.parametrize("recompute", [0, 2])
def test_keep_leaves_everything_for_another_call(recompute):
    _, _, backward, _, _ = recursion(5, recompute)
    found = [backward(1.0, lambda t: 1.0, [], keep) for keep in (True, True, False)]
    assert len(set(found)) == 1
