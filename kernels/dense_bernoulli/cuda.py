"""Layers and their likelihood: two ops of CUDA."""

from backhand.kernels.bernoulli_logits import cuda as likelihood
from backhand.kernels.dense import cuda as dense
from backhand.kernels.dense_bernoulli.composed import composed

forward, backward = composed(dense.forward, dense.backward, likelihood)
