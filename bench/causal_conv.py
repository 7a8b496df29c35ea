"""Causal dilated convolution: forward and the gradients of input, filter and bias.

Sizes of the dilated text decoder (80 words, 512 and 1024 channels, three taps) and of a narrow
stack over audio (16,000 samples, 32 channels, two taps).

PyTorch has its best layout for convolutions, (B, C, T), with inputs and cotangents laid out so
before the clock starts; ``torch channels last`` transposes views of ours, ``torch dense`` is one
linear layer on shifted copies side by side, as is ``jax dense`` beside ``lax``'s own convolution.
"""

from __future__ import annotations

import numpy as np

from backhand.bench.harness import Case, jax_step, torch_step
from backhand.kernels import causal_conv


def inputs_of(B, T, inputs, outputs, K):
    def inputs_(rng):
        def normal(*shape):
            return rng.standard_normal(shape, dtype=np.float32)

        return {
            "x": normal(B, T, inputs),
            "W": normal(K, inputs, outputs) / np.float32(np.sqrt(K * inputs)),
            "b": normal(outputs),
            "d_y": normal(B, T, outputs),
        }

    return inputs_


def ours(d):
    def make(a):
        def step():
            y, saved = causal_conv.forward(a["x"], a["W"], a["b"], d)
            dx, dW, db = causal_conv.backward(a["d_y"], saved)
            return {"y": y, "d_x": dx, "d_W": dW, "d_b": db}

        return step

    return make


def torch_conv(x, W, b, d):  # x (B, I, T), W (O, I, K), the last tap at the present
    from torch.nn.functional import conv1d, pad

    return conv1d(pad(x, ((W.shape[2] - 1) * d, 0)), W, b, dilation=d)


def torch_layout(d, compiled=False):
    """Everything in (B, C, T) and (O, I, K); the results are views in our axes."""

    def make(a):
        import torch

        def tensor(array):
            return torch.from_numpy(np.ascontiguousarray(array))

        x, W = tensor(a["x"].transpose(0, 2, 1)), tensor(a["W"][::-1].transpose(2, 1, 0))
        b, dy = tensor(a["b"]), tensor(a["d_y"].transpose(0, 2, 1))
        leaves = [t.requires_grad_() for t in (x, W, b)]
        run = torch.compile(torch_conv) if compiled else torch_conv

        def step():
            y = run(x, W, b, d)
            dx, dW, db = torch.autograd.grad(y, leaves, dy)
            dW = dW.numpy().transpose(2, 1, 0)[::-1]
            return {"y": y.transpose(1, 2), "d_x": dx.transpose(1, 2), "d_W": dW, "d_b": db}

        return step

    return make


def torch_channels_last(d):
    def f(x, W, b):
        taps = W.flip(0).permute(2, 1, 0)
        return {"y": torch_conv(x.transpose(1, 2), taps, b, d).transpose(1, 2)}

    return f


def torch_dense(d):
    def f(x, W, b):
        import torch

        (K, inputs, outputs), T = W.shape, x.shape[1]
        past = torch.nn.functional.pad(x, (0, 0, (K - 1) * d, 0))
        columns = torch.cat([past[:, (K - 1 - k) * d :][:, :T] for k in range(K)], 2)
        y = torch.addmm(b, columns.view(-1, K * inputs), W.reshape(K * inputs, outputs))
        return {"y": y.view(-1, T, outputs)}

    return f


def jax_conv(d):
    def f(x, W, b):
        from jax.lax import conv_general_dilated

        y = conv_general_dilated(
            x, W[::-1], (1,), [((W.shape[0] - 1) * d, 0)], rhs_dilation=(d,),
            dimension_numbers=("NWC", "WIO", "NWC"),
        )  # fmt: skip
        return {"y": y + b}

    return f


def jax_dense(d):
    def f(x, W, b):
        import jax.numpy as jnp

        (K, inputs, outputs), T = W.shape, x.shape[1]
        past = jnp.pad(x, ((0, 0), ((K - 1) * d, 0), (0, 0)))
        columns = [past[:, (K - 1 - k) * d :][:, :T] for k in range(K)]
        return {"y": jnp.concatenate(columns, 2) @ W.reshape(K * inputs, outputs) + b}

    return f


def case(name, B, T, inputs, outputs, K, d, floors, pool):
    rows, wrt = B * T, ["x", "W", "b"]
    return Case(
        name=name,
        sizes={"B": B, "T": T, "I": inputs, "O": outputs, "K": K, "dilation": d},
        inputs=inputs_of(B, T, inputs, outputs, K),
        implementations={
            "backhand": ours(d),
            "torch": torch_layout(d),
            "torch channels last": torch_step(torch_channels_last(d), wrt),
            "torch dense": torch_step(torch_dense(d), wrt),
            "torch.compile": torch_layout(d, compiled=True),
            "torch.compile dense": torch_step(torch_dense(d), wrt, compiled=True),
            "jax": jax_step(jax_conv(d), wrt),
            "jax dense": jax_step(jax_dense(d), wrt),
        },
        ops=["causal_conv"],
        samples=B,
        products=[(rows, inputs, outputs), (rows, outputs, inputs), (inputs, rows, outputs)] * K,
        traffic=4 * (2 * rows * (inputs + outputs) + 2 * K * inputs * outputs),
        floors=floors,
        quick=bool(floors),
        pool=pool,
    )


CASES = [
    case("causal_conv_text", 32, 80, 512, 512, 3, 1, {"torch": 0.95}, "blas"),
    case("causal_conv_text_d4", 32, 80, 512, 512, 3, 4, {}, "blas"),
    case("causal_conv_text_1024", 32, 80, 1024, 1024, 3, 2, {}, "blas"),
    case("causal_conv_audio", 1, 16000, 32, 32, 2, 64, {"torch": 1.0}, "kernels"),
    case("causal_conv_audio_batch", 4, 16000, 32, 32, 2, 512, {"torch": 1.0}, "kernels"),
]
