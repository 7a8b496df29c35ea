"""Bernoulli log-likelihood from logits in C++ (csrc/bernoulli_logits/cpu.cpp)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from backhand._types import Array
from backhand.kernels.bernoulli_logits.reference import Saved

_native: Any = import_module("backhand._native").bernoulli_logits


def forward(x: Array, logits: Array) -> tuple[Array, Saved]:
    return _native.forward(x, logits), Saved(x, logits)


def backward(d_logp: Array, saved: Saved, need_x: bool) -> tuple[Array | None, Array]:
    x, logits = saved
    return _native.backward(d_logp, x, logits, need_x)  # type: ignore[no-any-return]
