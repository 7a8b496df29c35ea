"""Layers: ``y, backward = layer(x)``, then ``dx = backward(dy, g)``."""

from backhand.layers.activations import activation, elu, leaky_relu, relu, sigmoid, softplus, tanh
from backhand.layers.causal_conv import CausalConv
from backhand.layers.dense import MLP, Dense
from backhand.layers.embedding import Embedding
from backhand.layers.gaussian_head import GaussianHead
from backhand.layers.initial import Initial
from backhand.layers.linear import Identity, Linear
from backhand.layers.lstm import LSTM
from backhand.layers.lstm_cell import LSTMCell, State

__all__ = [
    "LSTM",
    "MLP",
    "CausalConv",
    "Dense",
    "Embedding",
    "GaussianHead",
    "Identity",
    "Initial",
    "LSTMCell",
    "Linear",
    "State",
    "activation",
    "elu",
    "leaky_relu",
    "relu",
    "sigmoid",
    "softplus",
    "tanh",
]
