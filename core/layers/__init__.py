"""Layers: ``y, backward = layer(x)``, then ``dx = backward(dy, g)``."""

from backhand.layers.activations import activation, elu, leaky_relu, relu, sigmoid, softplus, tanh
from backhand.layers.causal_conv import CausalConv
from backhand.layers.dense import MLP, Dense
from backhand.layers.gaussian_head import GaussianHead
from backhand.layers.initial import Initial
from backhand.layers.linear import Linear

__all__ = [
    "MLP",
    "CausalConv",
    "Dense",
    "GaussianHead",
    "Initial",
    "Linear",
    "activation",
    "elu",
    "leaky_relu",
    "relu",
    "sigmoid",
    "softplus",
    "tanh",
]
