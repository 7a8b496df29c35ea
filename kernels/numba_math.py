"""Elementary functions for jitted loops: csrc/common/vec_math.h once more, in Numba.

float32 by the same branch-free polynomials, which LLVM vectorises (for ``math.exp`` Numba calls
a scalar library function, five times slower); float64 by the library.  Numba's cache of a kernel
does not notice changes here: ``make clean`` after one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic, overload

F, I = np.float32, np.int32  # noqa: E741
_intrinsic: Any = intrinsic  # its own types forget that the first argument is not passed
_inner = njit(error_model="numpy", fastmath={"contract"})


@_intrinsic
def _float(typing: Any, bits: Any) -> Any:
    """The float32 of these 32 bits."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.float32))

    return types.float32(types.int32), code


@_intrinsic
def _bits(typing: Any, value: Any) -> Any:
    """The 32 bits of this float32."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.int32))

    return types.int32(types.float32), code


@_inner
def _reduce(x: Any) -> Any:
    """(n, expm1 r) with x = n log 2 + r and |r| <= log(2) / 2."""
    shifted = x * F(1.44269504) + F(12582912)  # adding 1.5 * 2**23 rounds to integers
    whole = shifted - F(12582912)
    r = x - whole * F(0.693359375) + whole * F(2.12194440e-4)
    p = F(1.9875691500e-4)
    p = p * r + F(1.3981999507e-3)
    p = p * r + F(8.3334519073e-3)
    p = p * r + F(4.1665795894e-2)
    p = p * r + F(1.6666665459e-1)
    p = p * r + F(5.0000001201e-1)
    return I(_bits(shifted) - I(0x4B400000)), p * (r * r) + r


@_inner
def _power(n: Any) -> Any:
    """2**n for n in [-126, 128]; the last is infinity."""
    return _float(I((n + I(127)) << I(23)))


@_inner
def _exponential(x: Any) -> Any:
    """(exp x, expm1 x) for little more than one of them."""
    x = F(89) if x > F(89) else x
    n, p = _reduce(F(-104) if x < F(-104) else x)
    half = I(n >> I(1))  # 2**n itself may be beyond float
    rest = I(n - half)
    s, t = _power(half), _power(rest)
    return (p + F(1)) * s * t, (p * s + (s - _power(I(-rest)))) * t


@_inner
def _exponential64(x: Any) -> Any:
    return math.exp(x), math.expm1(x)


@_inner
def _exp(x: Any) -> Any:
    return _exponential(x)[0]


@_inner
def _exp_below(x: Any) -> Any:
    n, p = _reduce(F(-88) if x < F(-88) else x)
    return (p + F(1)) * _power(n)


@_inner
def _expm1(x: Any) -> Any:
    return _exponential(x)[1]


@_inner
def _log(x: Any) -> Any:
    small = x < F(1.17549435e-38)
    bits = _bits(x * F(8388608) if small else x)
    n = I(((bits - I(0x3F3504F3)) >> I(23)) + (I(-23) if small else I(0)))
    f = _float(I(bits - (I(bits - I(0x3F3504F3)) & I(-8388608)))) - F(1)
    whole = F(n)
    p = F(7.0376836292e-2)
    p = p * f - F(1.1514610310e-1)
    p = p * f + F(1.1676998740e-1)
    p = p * f - F(1.2420140846e-1)
    p = p * f + F(1.4249322787e-1)
    p = p * f - F(1.6668057665e-1)
    p = p * f + F(2.0000714765e-1)
    p = p * f - F(2.4999993993e-1)
    p = p * f + F(3.3333331174e-1)
    y = p * f * (f * f) - whole * F(2.12194440e-4) - F(0.5) * (f * f)
    y = f + y + whole * F(0.693359375)
    y = x if x > F(3.4028234e38) else y
    y = y if x > F(0) else (F(np.nan) if x < F(0) else F(-np.inf))
    return y if x == x else x


@_inner
def _log1p_unit(e: Any) -> Any:
    s = e / (F(2) + e)
    q = s * s
    p = F(0.14798198)
    p = p * q + F(0.18181818)
    p = p * q + F(0.22222222)
    p = p * q + F(0.28571429)
    p = p * q + F(0.4)
    p = p * q + F(0.66666667)
    return p * q * s + F(2) * s


@_inner
def _tanh(x: Any) -> Any:
    a = -x if x < F(0) else x
    n, p = _reduce(F(19) if a > F(9.5) else a + a)
    s = _power(n)
    e = s * p + (s - F(1))
    y = e / (e + F(2))
    return _float(I(_bits(y) | I(_bits(x) & I(-2147483648))))  # keeps -0


@_inner
def _sigmoid(x: Any) -> Any:
    y = F(89) if x < F(-89) else -x
    y = F(-87) if y < F(-87) else y
    n, p = _reduce(y)
    return F(1) / (F(1) + _power(n) * (p + F(1)))


@_inner
def _sigmoid_double(x: Any) -> Any:
    return 1.0 / (1.0 + math.exp(-x))


def _by_type(single: Any, double: Callable[[float], float]) -> Any:
    """float32: ``single``; float64: ``double``."""

    def function(x: Any) -> Any:
        raise NotImplementedError("only for jitted code")

    @overload(function, jit_options={"error_model": "numpy", "fastmath": {"contract"}})
    def choose(x):  # type: ignore[no-untyped-def]  # Numba compares the signatures
        return (lambda x: single(x)) if x == types.float32 else (lambda x: double(x))

    return function


exp = _by_type(_exp, math.exp)
exp_below = _by_type(_exp_below, math.exp)  # x <= 0: less work; 0 below 2**-126.5
expm1 = _by_type(_expm1, math.expm1)
exponential = _by_type(_exponential, _exponential64)  # (exp x, expm1 x)
log = _by_type(_log, math.log)
log1p_unit = _by_type(_log1p_unit, math.log1p)  # log(1 + e) for e in [0, 1]
tanh = _by_type(_tanh, math.tanh)
sigmoid = _by_type(_sigmoid, _sigmoid_double)  # 1 / (1 + exp(-x)), exact in both tails


@_inner
def softplus(x: Any) -> Any:
    """log(1 + exp x) = max(x, 0) + log(1 + exp(-|x|))."""
    zero = type(x)(0)
    return (x if x > zero else zero) + log1p_unit(exp(x if x < zero else -x))
