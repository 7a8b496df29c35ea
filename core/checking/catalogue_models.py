"""The models that ``backhand check`` proves, whole: every parameter by the bound's derivative."""

from __future__ import annotations

from typing import Any

import numpy as np

from backhand.checking.case import Case
from backhand.checking.draws import Draws
from backhand.checking.subject import ModelSubject, Subject
from backhand.model import UNWEIGHTED, Batch, DataSpec, Weights
from backhand.models import is_classifier, model_class
from backhand.noise import Noise

INDEX = np.array([4, 0, 9, 2, 7])  # of the data
SIZE = (7,)  # of a datum


def models() -> list[Case]:
    two: dict[str, Any] = {"hidden": (6, 3), "latent": (4, 2)}
    h: dict[str, Any] = {"auxiliary": 3}
    glimpses: dict[str, Any] = {"shape": (5, 4), "glimpses": 3, "hidden": 4, "latent": 2}
    colour: dict[str, Any] = glimpses | {"shape": (4, 3, 2)}
    return [
        _model("vae", "bernoulli"),
        _model("vae", "bernoulli, k=3, sampled kl", k=3, kl="sampled"),
        _model("vae", "bernoulli, no hidden layer", hidden=()),
        _model("vae", "gaussian, shared variance", "real", 2),
        _model(
            "vae", "gaussian, fixed variance", "real",
            variance="fixed", std=0.7, activation="softplus",
        ),
        _model(
            "vae", "gaussian, learned variance", "real", variance="learned", log_scale_bound=2.0
        ),
        _model(
            "vae", "gaussian, weighted, free bits", "real",
            weights=Weights(0.7, 0.3, 1.15), activation="elu",
        ),
        _model("iwae", "one layer", k=4, hidden=(6,), latent=(4,)),
        _model("iwae", "two layers", k=4, **two),
        _model("iwae", "two layers, averaged", k=4, **two, estimator="elbo"),
        _model("iwae", "miwae", k=4, **two, estimator="miwae", groups=2),
        _model("iwae", "ciwae", k=4, **two, estimator="ciwae", beta=0.3),
        _model("dvae", "two layers", k=4, **two),
        _model("auxiliary-vae", "auxiliary", k=2, **h),
        _model("auxiliary-vae", "semi-implicit", k=2, **h, criterion="semi_implicit", draws=2),
        _model("auxiliary-vae", "joint", k=2, **h, criterion="joint"),
        _model("draw", "attention", k=2, **glimpses, read=3, write=2),
        _model("draw", "no attention", **glimpses, read=0, write=0),
        _model("draw", "gaussian, colour", "real", **colour, read=2, write=3, recompute=2),
        _model(
            "draw", "read alone, weighted, free bits",
            weights=Weights(0.7, 0.3, 0.05), **glimpses, read=3, write=0,
        ),
        _model("glimpses", "", shape=(5, 4), glimpses=3, read=3, hidden=4, classes=3),
        _model(
            "glimpses", "colour, weighted",
            weights=Weights(0.7), shape=(4, 3, 2), glimpses=2, read=2, hidden=4,
        ),
    ]  # fmt: skip


def _model(
    name: str, variant: str, kind: str = "binary", k: int = 1, weights: Weights = UNWEIGHTED,
    shape: tuple[int, ...] = SIZE, **fields: Any,
) -> Case:  # fmt: skip
    def subject(draws: Draws) -> Subject:
        Model = model_class(name)
        B = len(INDEX)
        x = draws.normal(B, *shape) + (draws.normal(*shape) if kind == "real" else 0)
        x = x if kind == "real" else (x > 0).astype(np.float64)
        usual = {} if is_classifier(Model) else {"hidden": (6, 3), "latent": 4}
        config = Model.Config(**{**usual, **fields})
        model = Model.create(config, DataSpec(shape, kind), x, seed=3, dtype="float64")
        # Away from the initial values, where biases are zero.
        model.params.vector[...] += 0.2 * draws.normal(model.params.vector.size)
        y = INDEX % config.classes if is_classifier(Model) else None
        batch = Batch(x, INDEX, y)
        return ModelSubject(model, batch, Noise(5, 1), k, weights, None, None, "model")

    return Case(name, variant, "model", subject)
