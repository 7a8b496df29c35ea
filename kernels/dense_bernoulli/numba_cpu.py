"""Layers and their likelihood: two ops of Numba."""

from backhand.kernels.bernoulli_logits import numba_cpu as likelihood
from backhand.kernels.dense import numba_cpu as dense
from backhand.kernels.dense_bernoulli.composed import composed

forward, backward = composed(dense.forward, dense.backward, likelihood)
