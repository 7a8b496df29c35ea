"""Layers: BLAS, and Numba between the products."""

from backhand.kernels.bias_activation import numba_cpu
from backhand.kernels.dense.composed import composed

forward, backward = composed(numba_cpu)
