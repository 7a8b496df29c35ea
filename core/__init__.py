"""Latent-variable models with every gradient written by hand, and checked."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if __name__ != "backhand":
    raise ImportError(f"import this package as 'backhand', not as {__name__!r}")

from backhand._version import __version__

if TYPE_CHECKING:  # the same names for type checkers
    from backhand import data as data
    from backhand import kernels as kernels
    from backhand import layers as layers
    from backhand import models as models
    from backhand.backend import BackendUnavailable as BackendUnavailable
    from backhand.backend import backends as backends
    from backhand.backend import use_backend as use_backend
    from backhand.checking import GradientError as GradientError
    from backhand.checking import Receipt as Receipt
    from backhand.checking import gradcheck as gradcheck
    from backhand.checking import gradcheck_model as gradcheck_model
    from backhand.config import DataConfig as DataConfig
    from backhand.config import TrainConfig as TrainConfig
    from backhand.device import to_device as to_device
    from backhand.device import to_host as to_host
    from backhand.evaluation import Evaluation as Evaluation
    from backhand.evaluation import evaluate as evaluate
    from backhand.grads import NO_GRAD as NO_GRAD
    from backhand.grads import grads_like as grads_like
    from backhand.model import Batch as Batch
    from backhand.model import Bound as Bound
    from backhand.model import DataSpec as DataSpec
    from backhand.model import Draw as Draw
    from backhand.model import Gaussian as Gaussian
    from backhand.model import Model as Model
    from backhand.model import Objective as Objective
    from backhand.model import Weights as Weights
    from backhand.models.auxiliary import AuxiliaryVAE as AuxiliaryVAE
    from backhand.models.auxiliary import AuxiliaryVAEConfig as AuxiliaryVAEConfig
    from backhand.models.draw import DRAW as DRAW
    from backhand.models.draw import DRAWConfig as DRAWConfig
    from backhand.models.dvae import DVAE as DVAE
    from backhand.models.dvae import DVAEConfig as DVAEConfig
    from backhand.models.glimpses import GlimpseClassifier as GlimpseClassifier
    from backhand.models.glimpses import GlimpseClassifierConfig as GlimpseClassifierConfig
    from backhand.models.iwae import IWAE as IWAE
    from backhand.models.iwae import IWAEConfig as IWAEConfig
    from backhand.models.vae import VAE as VAE
    from backhand.models.vae import VAEConfig as VAEConfig
    from backhand.noise import Noise as Noise
    from backhand.optim import make_optimizer as make_optimizer
    from backhand.params import Packed as Packed
    from backhand.params import Params as Params
    from backhand.params import constant as constant
    from backhand.runs import Run as Run
    from backhand.runs import load as load
    from backhand.threads import set_threads as set_threads
    from backhand.training import fit as fit

# Public name -> module that defines it; loaded on first use, so that importing costs nothing.
_HOME = {
    "BackendUnavailable": "backend", "backends": "backend", "use_backend": "backend",
    "GradientError": "checking", "Receipt": "checking", "gradcheck": "checking",
    "gradcheck_model": "checking",
    "DataConfig": "config", "TrainConfig": "config",
    "to_device": "device", "to_host": "device",
    "Evaluation": "evaluation", "evaluate": "evaluation",
    "NO_GRAD": "grads", "grads_like": "grads",
    "Batch": "model", "Bound": "model", "DataSpec": "model", "Draw": "model",
    "Gaussian": "model", "Model": "model", "Objective": "model", "Weights": "model",
    "AuxiliaryVAE": "models.auxiliary", "AuxiliaryVAEConfig": "models.auxiliary",
    "DRAW": "models.draw", "DRAWConfig": "models.draw",
    "DVAE": "models.dvae", "DVAEConfig": "models.dvae",
    "GlimpseClassifier": "models.glimpses", "GlimpseClassifierConfig": "models.glimpses",
    "IWAE": "models.iwae", "IWAEConfig": "models.iwae",
    "VAE": "models.vae", "VAEConfig": "models.vae",
    "Noise": "noise",
    "make_optimizer": "optim",
    "Packed": "params", "Params": "params", "constant": "params",
    "Run": "runs", "load": "runs",
    "set_threads": "threads",
    "fit": "training",
}  # fmt: skip
_MODULES = ("data", "kernels", "layers", "models")

__all__ = ["__version__", *_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"backhand.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'backhand' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"backhand.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
