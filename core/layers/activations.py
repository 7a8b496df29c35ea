"""Activations as parameter-free functions: ``y, backward = tanh(x)``, ``dx = backward(dy)``."""

from __future__ import annotations

from collections.abc import Callable

from backhand._types import Array
from backhand.kernels import bias_activation

Activation = Callable[[Array], tuple[Array, Callable[[Array], Array]]]


def activation(name: str) -> Activation:
    """The activation of that name; x: (..., O), any one of ``bias_activation.ACTIVATIONS``."""

    def apply(x: Array) -> tuple[Array, Callable[[Array], Array]]:
        run = bias_activation.OP.resolve(None, x)
        y, saved = bias_activation.forward(x, None, name, backend=run)

        def backward(dy: Array) -> Array:
            return bias_activation.backward(dy, saved, backend=run)[0]

        return y, backward

    apply.__name__ = name
    return apply


tanh = activation("tanh")
sigmoid = activation("sigmoid")
relu = activation("relu")
leaky_relu = activation("leaky_relu")
softplus = activation("softplus")
elu = activation("elu")
