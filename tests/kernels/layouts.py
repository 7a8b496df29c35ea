"""One array, lying in memory in several ways."""

import numpy as np

from backhand.numerics import xp_of

LAYOUTS = ("contiguous", "transposed", "strided", "reversed", "shifted")


def laid_out(x, layout):
    """An array equal to ``x`` that lies differently in memory; gaps hold rubbish."""
    if x is None or x.ndim == 0 or layout == "contiguous":
        return x
    xp = xp_of(x)
    if layout == "transposed":
        return xp.ascontiguousarray(x.T).T
    if layout == "reversed":
        return xp.ascontiguousarray(x[::-1])[::-1]
    rubbish = np.nan if x.dtype.kind == "f" else (x.dtype.type(-1) if x.dtype.kind == "i" else 1)
    if layout == "strided":
        wide = xp.full((*x.shape[:-1], 2 * x.shape[-1]), rubbish, x.dtype)
        wide[..., ::2] = x
        return wide[..., ::2]
    long = xp.full(x.size + 1, rubbish, x.dtype)
    long[1:] = x.reshape(-1)
    return long[1:].reshape(x.shape)
