"""Latent-variable models with every gradient written by hand, and checked."""

from __future__ import annotations

import importlib
from typing import Any

if __name__ != "backhand":
    raise ImportError(f"import this package as 'backhand', not as {__name__!r}")

from backhand._version import __version__

# Public name -> module that defines it; loaded on first use, so that importing costs nothing.
_HOME = {
    "BackendUnavailable": "backend", "backends": "backend", "use_backend": "backend",
    "GradientError": "checking", "Receipt": "checking", "gradcheck": "checking",
    "gradcheck_model": "checking",
    "NO_GRAD": "grads", "grads_like": "grads",
    "Batch": "model", "Bound": "model", "DataSpec": "model", "Draw": "model",
    "Gaussian": "model", "Model": "model", "Objective": "model", "Weights": "model",
    "Noise": "noise",
    "Packed": "params", "Params": "params", "constant": "params",
}  # fmt: skip
_MODULES = ()

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'backhand' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"backhand.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
