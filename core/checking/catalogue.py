"""Everything that ``backhand check`` proves: each op, layer and model at small odd sizes.

A case imports what it checks only when it runs, so that one broken module fails alone.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from backhand._types import Array, Shape
from backhand.checking.case import Case
from backhand.checking.catalogue_models import models
from backhand.checking.draws import Draws
from backhand.checking.subject import CallSubject, Subject, kernel

K, B, D, Z, SIZE = 2, 5, 3, 4, 7
Inputs = Callable[[Draws], tuple[Any, ...]]
IDS = np.array([[3, 0, 3], [5, 3, 1]])  # of SIZE rows
MASK = np.array([1, 0, 1, 1, 0])  # (B,): rows whose sequences go on
STD = {"": 1.0, "logvar=50": np.exp(25.0), "logvar=-50": np.exp(-25.0)}


def _normals(*shapes: Shape) -> Inputs:
    return lambda draws: tuple(draws.like(list(shapes)))


def _unit(draws: Draws, *shape: int) -> Array:
    """Values in (0, 1)."""
    return 0.5 + 0.5 * np.tanh(draws.normal(*shape))


def _far(draws: Draws) -> Array:
    """Up to +-50, some near 0."""
    return np.linspace(-50, 50, B * 9).reshape(B, 9) + draws.normal(B, 9)


def _parameters(layer: Any) -> list[str]:
    leaves = import_module("backhand.params").leaves
    return [name for name, _ in leaves(layer)]


def _ops() -> list[Case]:
    def op(name: str, variant: str, inputs: Inputs, wrt: tuple[str, ...] | None = None) -> Case:
        def make(draws: Draws) -> Subject:
            package = import_module(f"backhand.kernels.{name}")
            return CallSubject(kernel(package), inputs(draws), wrt, None, "op")

        return Case(name, variant, "op", make)

    def spread(std: float) -> Inputs:
        # Values as large as the deviation: else their derivatives vanish beside others.
        return lambda d: (std * d.normal(B, Z), 2 * np.log(std) + d.normal(B, Z), d.normal(K, B, Z))

    def statistics(std: float) -> Inputs:
        return lambda d: (
            np.concatenate([std * d.normal(B, Z), np.log(std) + d.normal(B, Z)], axis=-1),
            d.normal(K, B, Z),
        )

    def density(std: float) -> Inputs:
        return lambda d: (
            std * d.normal(B, D), std * d.normal(K, B, D), 2 * np.log(std) + d.normal(K, B, D)
        )  # fmt: skip

    def biased(name: str) -> Inputs:
        return lambda d: (d.normal(K, B, D), d.normal(D), name)

    def dense(name: str) -> Inputs:
        return lambda d: (d.normal(K, B, D), d.normal(D, Z), d.normal(Z), name)

    def to_logits(d: Draws) -> tuple[Any, ...]:  # h, Ws, bs, activations, x
        Ws, bs = (d.normal(D, Z), d.normal(Z, SIZE)), (d.normal(Z), d.normal(SIZE))
        return d.normal(K, B, D), Ws, bs, ("tanh", "identity"), _unit(d, B, SIZE)

    def far(name: str) -> Inputs:
        return lambda d: (_far(d), None, name)

    def conv(taps: int, steps: int, *arguments: Any) -> Inputs:  # dilation, activation
        return lambda d: (
            d.normal(K, B, steps, D), d.normal(taps, D, Z), d.normal(Z), *arguments
        )  # fmt: skip

    def lstm(*more: Any) -> Inputs:  # after a and c_prev: shapes, or arguments as they are
        return lambda d: (
            d.normal(B, 4 * D), d.normal(B, D),
            *(d.normal(*item) if isinstance(item, tuple) else item for item in more),
        )  # fmt: skip

    def heads(draws: Draws, shift: float = 0.0) -> Array:
        centre: Array = np.array([shift, shift, 0.5, -0.5, 0.0])
        return centre + 0.3 * draws.normal(B, 5)

    def read(shift: float, *arguments: Any) -> Inputs:
        return lambda d: (
            heads(d, shift), d.normal(B, 2, SIZE, Z), d.normal(B, 1, SIZE, Z), *arguments
        )  # fmt: skip

    def written(shift: float, N: int, *arguments: Any) -> Inputs:
        return lambda d: (heads(d, shift), d.normal(B, D, N, N), *arguments)

    def classes(d: Draws) -> tuple[Any, ...]:
        return 3 * d.normal(K, B, SIZE), np.arange(K * B).reshape(K, B) % SIZE

    def words(d: Draws) -> tuple[Any, ...]:  # h, W, b, targets
        targets = np.arange(K * B).reshape(K, B) % SIZE
        return d.normal(K, B, D), d.normal(D, SIZE), d.normal(SIZE), targets

    activations = ("identity", "tanh", "sigmoid", "relu", "leaky_relu", "softplus", "elu")
    return [
        op("bernoulli_logits", "", lambda d: (_unit(d, B, D), d.normal(K, B, D))),
        op("bernoulli_logits", "logits=1e4", lambda d: (_unit(d, B, D), 1e4 * d.normal(K, B, D))),
        *(op("gaussian_density", variant, density(std)) for variant, std in STD.items()),
        op("gaussian_density", "one logvar", _normals((B, D), (K, B, D), (D,))),
        *(op("gaussian_latent", variant, spread(std)) for variant, std in STD.items()),
        op("gaussian_sample", "", statistics(1.0)),
        op("gaussian_sample", "s=4", statistics(np.exp(4.0))),
        op("gaussian_sample", "s=-20", statistics(np.exp(-20.0))),
        op("embedding", "", lambda d: (d.normal(SIZE, D), IDS)),
        op("lstm_step", "", lstm()),
        op("lstm_step", "bias, forget bias", lstm((4 * D,), None, None, 1.0)),
        op("lstm_step", "mask", lstm(None, (B, D), MASK)),
        op("matrix_product", "", _normals((K, B, D), (D, Z))),
        *(op("dense", name, dense(name)) for name in ("tanh", "identity")),
        op("dense_bernoulli", "", to_logits, ("h", "Ws", "bs")),
        *(op("bias_activation", name, biased(name)) for name in activations),
        *(op("bias_activation", f"{name} at 50", far(name)) for name in activations),
        op("causal_conv", "", conv(3, SIZE, 2, "tanh")),
        op("causal_conv", "one tap", conv(1, SIZE, 3, "relu")),
        op("causal_conv", "longer than the sequence", conv(3, B, 4, "softplus")),
        op("softmax_cross_entropy", "", classes),
        op("linear_cross_entropy", "", words),
        op("importance_weights", "", _normals((SIZE, B))),
        op("importance_weights", "log_w=-1e3", lambda d: (3 * d.normal(SIZE, B) - 1e3,)),
        op("filterbank", "", lambda d: (heads(d), D, SIZE, SIZE)),
        op("filterbank", "partly outside", lambda d: (heads(d, -1.0), 2, SIZE, Z)),
        op("filterbank", "outside, eps=0", lambda d: (heads(d, 1.5), B, SIZE, Z, 0.0)),
        op("attention_read", "", read(0.0, D)),
        op("attention_read", "partly outside", read(1.0, 2)),
        op("attention_write", "", written(0.0, D, SIZE, SIZE)),
        op("attention_write", "partly outside", written(-1.0, 2, Z, SIZE)),
    ]


def _layers() -> list[Case]:
    def layer(
        name: str, make: Callable[[Any, Any], Any], *shape: int, variant: str = ""
    ) -> Case:  # make(the layers, initial values)
        def subject(draws: Draws) -> Subject:
            layers = import_module("backhand.layers")
            made = make(layers, layers.Initial(1, "float64"))
            return CallSubject(made, (draws.normal(*shape),), None, None, "layer")

        return Case(name, variant, "layer", subject)

    def function(name: str, wrt: tuple[str, ...], inputs: Inputs) -> Case:
        def subject(draws: Draws) -> Subject:
            f = getattr(import_module("backhand.distributions"), name)
            return CallSubject(f, inputs(draws), wrt, None, "layer")

        return Case(name, "", "layer", subject)

    def output(name: str, *arguments: Any, variant: str = "") -> Case:
        def subject(draws: Draws) -> Subject:
            initial = import_module("backhand.layers").Initial(2, "float64")
            outputs = import_module("backhand.models.outputs")
            made = getattr(outputs, name).create(initial, Z, _unit(draws, D), *arguments)
            names = ["h", *_parameters(made)]
            return CallSubject(
                made, (draws.normal(K, B, Z), _unit(draws, B, D)), names, None, "layer"
            )

        return Case(name, variant, "layer", subject)

    def activation(name: str) -> Callable[[Any, Any], Any]:
        return lambda layers, _: getattr(layers, name)

    def stack(hidden: tuple[int, ...], activation: str) -> Callable[[Any, Any], Any]:
        return lambda layers, initial: layers.MLP.create(initial, D, hidden, activation)

    def recurrent(variant: str, with_state: bool, mask: Array | None, *lead: int) -> Case:
        def subject(draws: Draws) -> Subject:
            layers = import_module("backhand.layers")
            made = layers.LSTM.create(layers.Initial(1, "float64"), D, Z, forget_bias=0.5)
            state = layers.State(*draws.like([(*lead, Z)] * 2)) if with_state else None
            inputs = (draws.normal(4, *lead, D), state, mask)
            return CallSubject(made, inputs, None, None, "layer")

        return Case("LSTM", variant, "layer", subject)

    def embedding() -> Case:
        def subject(draws: Draws) -> Subject:
            layers = import_module("backhand.layers")
            made = layers.Embedding.create(layers.Initial(1, "float64"), SIZE, D)
            return CallSubject(made, (IDS,), None, None, "layer")

        return Case("Embedding", "", "layer", subject)

    def cell(variant: str, mask: Array | None) -> Case:
        def subject(draws: Draws) -> Subject:
            layers = import_module("backhand.layers")
            made = layers.LSTMCell.create(layers.Initial(1, "float64"), D, Z)
            state = layers.State(*draws.like([(B, Z)] * 2))
            return CallSubject(made, (draws.normal(B, D), state, mask), None, None, "layer")

        return Case("LSTMCell", variant, "layer", subject)

    names = ("tanh", "sigmoid", "relu", "leaky_relu", "softplus", "elu")
    padded = np.array([MASK, MASK, 1 - MASK, np.zeros_like(MASK)])  # (4, B)
    return [
        *(layer(name, activation(name), K, B, D) for name in names),
        layer("Linear", lambda layers, initial: layers.Linear.create(initial, D, Z), K, B, D),
        layer("Linear", lambda ls, i: ls.Linear.create(i, 1, 1), 1, 1, variant="of one"),
        layer("Identity", lambda ls, i: ls.Identity(), K, B, D),
        layer("Dense", lambda ls, i: ls.Dense.create(i, D, Z, "tanh"), B, D),
        layer("Dense", lambda ls, i: ls.Dense.create(i, D, 1, "elu"), K, B, D, variant="to one"),
        layer("MLP", stack((Z,), "elu"), B, D, variant="one layer"),
        layer("MLP", stack((Z, 2, D), "tanh"), K, B, D, variant="three layers"),
        layer("MLP", stack((), "tanh"), B, D, variant="no layer"),
        layer("CausalConv", lambda ls, i: ls.CausalConv.create(i, D, Z, 3, 2, "tanh"), B, SIZE, D),
        layer(
            "CausalConv", lambda ls, i: ls.CausalConv.create(i, D, 1, 1), SIZE, D,
            variant="one tap, one sequence",
        ),
        layer("GaussianHead", lambda ls, i: ls.GaussianHead.create(i, D, Z), B, D),
        layer(
            "GaussianHead", lambda ls, i: ls.GaussianHead.create(i, D, Z, 1.5), B, D,
            variant="bounded",
        ),
        embedding(),
        cell("", None),
        cell("mask", MASK),
        recurrent("", False, None, B),
        recurrent("initial state", True, None, B),
        recurrent("initial state, mask", True, padded, B),
        recurrent("sample axes", True, None, K, B),
        function("bernoulli", ("logits",), lambda d: (_unit(d, B, D), d.normal(K, B, D))),
        function("gaussian", ("mean", "logvar"), _normals((B, D), (K, B, D), (K, B, D))),
        function("latent", ("mean", "logvar"), _normals((B, Z), (B, Z), (K, B, Z))),
        function("sample", ("stats",), _normals((B, 2 * Z), (K, B, Z))),
        function("log_ratio", ("z", "logvar"), _normals((K, B, Z), (B, Z), (K, B, Z))),
        function("mixture", ("z", "mean", "logvar"), _normals((K, Z), (B, K, Z), (B, K, Z))),
        output("BernoulliOutput"),
        output("GaussianOutput", 0.5, True, variant="shared"),
        output("GaussianOutput", 0.5, False, variant="fixed"),
        output("LearnedGaussianOutput", 0.5, 0.0),
        output("LearnedGaussianOutput", 0.5, 2.0, variant="bounded"),
    ]  # fmt: skip


CASES = tuple(_ops() + _layers() + models())


def select(names: list[str]) -> list[Case]:
    """The cases of these ops, layers and models (or single variants); all where none is named."""
    known = list(dict.fromkeys(case.name for case in CASES))
    for name in names:
        if name not in known and name not in {case.label for case in CASES}:
            raise ValueError(f"nothing called {name!r} to check; there are {', '.join(known)}")
    return [case for case in CASES if not names or case.name in names or case.label in names]
