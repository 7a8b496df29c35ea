"""The checker is tested with planted errors: each must be caught, and named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import backhand as bh
from backhand.checking import GradientError, receipts
from tests.core.gradcheck_layers import BIAS, RNG, SQUARE, Affine, X, failing


def test_a_right_layer_passes_to_complex_step_precision():
    found = bh.gradcheck(Affine(SQUARE, BIAS), X)
    assert [(r.wrt, r.kind, r.method) for r in found] == [
        ("x", "layer", "complex step"),
        ("W", "layer", "complex step"),
        ("b", "layer", "complex step"),
    ]
    assert all(r.ok and r.max_rel_error <= 1e-14 and r.tolerance == 1e-12 for r in found)


def test_float32_is_lifted():
    layer = Affine(SQUARE.astype(np.float32), BIAS.astype(np.float32))
    found = bh.gradcheck(layer, X.astype(np.float32))
    assert all(r.max_rel_error <= 1e-14 for r in found)
    assert layer.W.dtype == np.float32


@pytest.mark.parametrize(
    ("plant", "wrong", "words"),
    [
        ("twice", {"W"}, "factor of 2 throughout (accumulated twice"),
        ("mean", {"W", "b"}, "factor of 1/5 throughout (5 is axis 0 of x: a mean where a sum"),
        ("sign", {"b"}, "factor of -1 throughout (the sign)"),
        ("transposed", {"W"}, "transposed: it equals"),
        ("transposed mean", {"W"}, "transposed, and off by a factor of 1/5"),
        ("millionth", {"W"}, "factor of 1.000001"),
        ("row", {"W"}, "wrong only at index 2 of axis 0 (of 3): off by a factor of 1.5"),
        ("zero row", {"W"}, "wrong only at index 1 of axis 0 (of 3): zero there"),
        ("entry", {"W"}, "worst at W[1, 2]"),
        ("term", {"x"}, "a missing or an extra term"),
        ("zero", {"x"}, "missing: the backward returns zeros"),
        ("no bias", {"b"}, "missing: no gradient reaches it"),
        ("ignores dy", {"W"}, "right when the cotangent is all ones"),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_planted_errors_are_caught_and_named(plant, wrong, words, dtype):
    layer = Affine(SQUARE.astype(dtype), BIAS.astype(dtype), plant)
    found = receipts(layer, X.astype(dtype))
    assert set(failing(found)) == wrong
    assert any(words in reason for reason in failing(found).values()), failing(found)
    with pytest.raises(GradientError, match=sorted(wrong)[0]) as caught:
        bh.gradcheck(layer, X.astype(dtype))
    assert [r[:4] for r in caught.value.receipts] == [r[:4] for r in found]


def test_the_message_gives_place_both_values_and_the_right_ones():
    layer = Affine(SQUARE, BIAS, "entry")
    y = np.tanh(X @ SQUARE + BIAS)
    with pytest.raises(GradientError) as caught:
        bh.gradcheck(layer, X, seed=4)
    dy = bh.Noise(4).normal("check", np.zeros(1, int), y.shape, layer=1, dtype=np.float64)[0]
    right = (X.T @ (dy * (1 - y * y)))[1, 2]
    text = str(caught.value)
    assert f"W[1, 2]: the backward gives {right + 0.25:.10g}, complex step {right:.10g}" in text
    assert "relative error" in text
    assert "right: x " in text


def test_sizes_of_the_batch_and_the_samples_are_told_apart():
    def mean_over_samples(x):  # (K, B) -> sum over K; its backward divides by K
        return x.sum(axis=0), lambda dy: np.broadcast_to(dy / 7, x.shape).copy()

    (receipt,) = receipts(mean_over_samples, RNG.normal(size=(7, 4)))
    assert "1/7 throughout (7 is axis 0 of x: a mean where a sum belongs)" in receipt.reason


def test_a_large_array_has_its_one_wrong_entry_found():
    @dataclass
    class Wide:
        W: np.ndarray

        def __call__(self, x):
            def backward(dy, g):
                dW = x.T @ dy
                dW[71, 33] += 1e-3
                g.W.add(dW)
                return dy @ self.W.T

            return x @ self.W, backward

    wide = Wide(RNG.normal(size=(90, 60)))
    reasons = failing(receipts(wide, RNG.normal(size=(2, 90))))
    assert list(reasons) == ["W"]
    assert "W[71, 33]" in reasons["W"]


def test_the_public_name_stays_a_function_whatever_is_imported():
    import backhand.checking

    assert callable(bh.gradcheck)
    assert bh.gradcheck is backhand.checking.gradcheck


@pytest.mark.parametrize("seed", range(5))
def test_other_seeds_draw_other_directions_and_agree(seed):
    assert all(r.max_rel_error < 1e-13 for r in bh.gradcheck(Affine(SQUARE, BIAS), X, seed=seed))


def test_the_page_on_checking_shows_what_really_happens():
    page = Path(__file__).parents[2] / "docs" / "gradcheck.md"
    code, shown = page.read_text().split("```python\n")[1].split("```\n", 1)
    with pytest.raises(GradientError) as caught:
        exec(code, {"__name__": "page"})
    printed = shown.split("```")[1].split("GradientError: ")[1]
    assert _coarse(printed) == _coarse(str(caught.value))
    exec(code.replace("da @ self.W.T ", "da @ self.W.T + dy * t "), {"__name__": "page"})


def _coarse(text):
    """Words, and numbers to five digits: the last ones depend on the machine."""
    words = re.sub(r"\d\.\de-1[56]", "tiny", text).split()
    return [re.sub(r"(-?\d+\.\d{4})\d+", r"\1", word) for word in words]
