"""The one place where arguments are checked."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from backhand.checks import check


def ones(*shape, dtype="float32"):
    return np.ones(shape, dtype)


def test_sizes_are_returned_by_letter():
    sizes = check("op", x=(ones(4, 3), "B I"), W=(ones(3, 5), "I O"), b=(ones(5), "O"))
    assert sizes == {"B": 4, "I": 3, "O": 5}


@pytest.mark.parametrize("leading", [(), (4,), (2, 4), (0,), (1, 1, 1)])
def test_any_leading_axes(leading):
    sizes = check("op", x=(ones(*leading, 3), "... I"), y=(ones(*leading, 2), "... O"))
    assert sizes == {"...": leading, "I": 3, "O": 2}


def test_no_axes_and_numbers():
    assert check("op", t=(ones(), "")) == {}
    assert check("op", t=(ones(2, 4, 3), "2 B 3")) == {"B": 4}
    assert check("op", t=(ones(5, 7), "...")) == {"...": (5, 7)}


def test_integers_and_booleans_take_no_part_in_the_precision():
    check("op", x=(ones(3), "B"), index=(np.arange(3), "int B"), mask=(np.ones(3, bool), "int B"))
    with pytest.raises(TypeError, match="op: x must be float32 or float64, got int64"):
        check("op", x=(np.arange(3), "B"))
    with pytest.raises(TypeError, match="op: i must be an array of integers, got float32"):
        check("op", i=(ones(3), "int B"))


def test_sample_axes_stand_in_front_of_the_leading_ones():
    sizes = check("op", x=(ones(4, 3), "... D"), y=(ones(7, 2, 4, 3), "*... D"))
    assert sizes == {"...": (4,), "*...": (7, 2, 4), "D": 3}
    check("op", x=(ones(4, 3), "... D"), y=(ones(4, 3), "*... D"))
    with pytest.raises(ValueError, match=r"y must have shape \(\*\.\.\., D\) with \.\.\. = \(4,\)"):
        check("op", x=(ones(4, 3), "... D"), y=(ones(4, 2, 3), "*... D"))
    with pytest.raises(ValueError, match="behind any sample axes"):
        check("op", x=(ones(4, 3), "... D"), y=(ones(3), "*... D"))
    with pytest.raises(ValueError, match="from y"):
        check("op", x=(ones(4, 3), "... D"), y=(ones(2, 4, 3), "*... D"), z=(ones(4), "*..."))


def test_complex_goes_with_real_of_its_own_precision():
    check("op", x=(ones(3, dtype="complex128"), "B"), y=(ones(3, dtype="float64"), "B"))
    check("op", x=(ones(3, dtype="float32"), "B"), y=(ones(3, dtype="complex64"), "B"))
    with pytest.raises(TypeError, match="y is float32 but x is complex128"):
        check("op", x=(ones(3, dtype="complex128"), "B"), y=(ones(3), "B"))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"x": (ones(4, 3), "B I"), "h": (ones(3, 5), "B H")},
            ValueError,
            "lstm: h must have shape (B, H) with B = 4 (from x), got (3, 5)",
        ),
        (
            {"x": (ones(4, 3), "B I"), "W": (ones(4, 5), "I O")},
            ValueError,
            "lstm: W must have shape (I, O) with I = 3 (from x), got (4, 5)",
        ),
        (
            {"x": (ones(2, 4, 3), "... I"), "y": (ones(4, 2), "... O")},
            ValueError,
            "lstm: y must have shape (..., O) with ... = (2, 4) (from x), got (4, 2)",
        ),
        (
            {"W": (ones(3, 4), "I I")},
            ValueError,
            "lstm: W must have shape (I, I) with I = 3 (from W), got (3, 4)",
        ),
        ({"x": (ones(4), "B I")}, ValueError, "lstm: x must have shape (B, I), got (4,)"),
        (
            {"x": (ones(4, 3, 2), "B I")},
            ValueError,
            "lstm: x must have shape (B, I), got (4, 3, 2)",
        ),
        ({"x": (ones(4), "... B I")}, ValueError, "lstm: x must have shape (..., B, I), got (4,)"),
        ({"x": (ones(1), "")}, ValueError, "lstm: x must have shape (), got (1,)"),
        ({"x": (ones(4, 3), "B 2")}, ValueError, "lstm: x must have shape (B, 2), got (4, 3)"),
        (
            {
                "x": (ones(4, dtype="float64"), "B"),
                "i": (np.arange(4), "int B"),
                "h": (ones(4), "B"),
            },
            TypeError,
            "lstm: h is float32 but x is float64; convert one of them, "
            "backhand never casts silently",
        ),
        (
            {"x": (ones(4, dtype="float16"), "B"), "h": (ones(4), "B")},
            TypeError,
            "lstm: x must be float32 or float64, got float16; convert it, "
            "backhand never casts silently",
        ),
        ({"x": ([1.0, 2.0], "B")}, TypeError, "lstm: x must be an array, got list"),
        ({"x": (3.0, "")}, TypeError, "lstm: x must be an array, got float"),
        ({"x": (None, "B")}, TypeError, "lstm: x must be an array, got NoneType"),
    ],
)
def test_the_message_says_what_was_expected_why_and_what_came(arguments, error, message):
    with pytest.raises(error) as caught:
        check("lstm", **arguments)
    assert str(caught.value) == message


def test_the_first_argument_that_has_a_size_is_named_as_its_source():
    with pytest.raises(ValueError, match=r"B = 4 \(from x\)"):
        check("op", x=(ones(4), "B"), y=(ones(4), "B"), z=(ones(5), "B"))


def test_arrays_of_another_kind_are_only_asked_for_shape_and_type():
    device = SimpleNamespace(shape=(4, 3), dtype=np.dtype("float32"))
    assert check("op", x=(device, "B I"), y=(ones(4), "B")) == {"B": 4, "I": 3}
