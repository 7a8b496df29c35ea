"""Layers: cuBLAS, and CUDA between the products."""

from backhand.kernels.bias_activation import cuda
from backhand.kernels.dense.composed import composed

forward, backward = composed(cuda)
