"""The LSTM: what lies between its products, one step with them, and whole sequences.

``lstm_step`` starts from pre-activations and ends at their gradient.  PyTorch calls one sigmoid
for the input and forget gates, which lie side by side; ``torch four calls`` has one for each
gate, ``torch one sigmoid`` one over everything, of which it throws a quarter away.

``lstm_cell`` adds the products, [x, h] in one for the peers; ``torch LSTMCell`` is the library's.
``lstm`` is a sequence, against ``torch.nn.LSTM`` (the library, which oneDNN runs on its own
threads) and a scan in JAX with the products of all inputs in front; PyTorch by hand was slower
than its library.  Weight gradients over time are one product with us.
"""

from __future__ import annotations

import numpy as np

import backhand as bh
from backhand.bench.harness import Case, jax_step, torch_step
from backhand.kernels import lstm_step
from backhand.layers import LSTM, LSTMCell, State

# -- between the products --------------------------------------------------------------------


def step_inputs(B, H):
    def inputs(rng):
        shapes = {"a": (B, 4 * H), "c_prev": (B, H), "d_h": (B, H), "d_c": (B, H)}
        return {name: rng.standard_normal(s, dtype=np.float32) for name, s in shapes.items()}

    return inputs


def ours(a):
    def step():
        h, c, saved = lstm_step.forward(a["a"], a["c_prev"])
        da, dc_prev, _, _ = lstm_step.backward(a["d_h"], a["d_c"], saved)
        return {"h": h, "c": c, "d_a": da, "d_c_prev": dc_prev}

    return step


def ours_workspace(a):
    h, c, dc_prev = (np.empty_like(a["c_prev"]) for _ in range(3))
    gates, da = (np.empty_like(a["a"]) for _ in range(2))

    def step():
        _, _, saved = lstm_step.forward(a["a"], a["c_prev"], out=(h, c, gates))
        lstm_step.backward(a["d_h"], a["d_c"], saved, out=(da, dc_prev))
        return {"h": h, "c": c, "d_a": da, "d_c_prev": dc_prev}

    return step


def torch_step_of(a, c_prev):
    import torch

    H = c_prev.shape[1]
    i, f = torch.sigmoid(a[:, : 2 * H]).chunk(2, 1)
    g, o = torch.tanh(a[:, 2 * H : 3 * H]), torch.sigmoid(a[:, 3 * H :])
    c = f * c_prev + i * g
    return {"h": o * torch.tanh(c), "c": c}


def torch_four_calls(a, c_prev):
    import torch

    u_i, u_f, u_g, u_o = a.chunk(4, 1)
    c = torch.sigmoid(u_f) * c_prev + torch.sigmoid(u_i) * torch.tanh(u_g)
    return {"h": torch.sigmoid(u_o) * torch.tanh(c), "c": c}


def torch_one_sigmoid(a, c_prev):
    import torch

    i, f, _, o = torch.sigmoid(a).chunk(4, 1)
    c = f * c_prev + i * torch.tanh(a.chunk(4, 1)[2])
    return {"h": o * torch.tanh(c), "c": c}


def jax_step_of(a, c_prev):
    import jax.numpy as jnp
    from jax.nn import sigmoid

    u_i, u_f, u_g, u_o = jnp.split(a, 4, axis=1)
    c = sigmoid(u_f) * c_prev + sigmoid(u_i) * jnp.tanh(u_g)
    return {"h": sigmoid(u_o) * jnp.tanh(c), "c": c}


def step_case(B, H):
    wrt = ["a", "c_prev"]
    return Case(
        name="lstm_step",
        sizes={"B": B, "H": H},
        inputs=step_inputs(B, H),
        implementations={
            "backhand": ours,
            "backhand workspace": ours_workspace,
            "torch": torch_step(torch_step_of, wrt),
            "torch four calls": torch_step(torch_four_calls, wrt),
            "torch one sigmoid": torch_step(torch_one_sigmoid, wrt),
            "torch.compile": torch_step(torch_four_calls, wrt, compiled=True),
            "jax": jax_step(jax_step_of, wrt),
        },
        ops=["lstm_step"],
        samples=B,
        traffic=4 * 14 * B * H,  # a, c_prev, d_h, d_c in; h, c, d_a, d_c_prev out
        transcendentals=5 * B * H,
        floors={"torch": 4.0, "best peer": 3.0},
        quick=True,
    )


# -- with the products -----------------------------------------------------------------------


def weights(rng, inputs, H):
    def uniform(*shape):
        return rng.uniform(-1, 1, shape).astype(np.float32) / np.float32(np.sqrt(H))

    return {"W": uniform(inputs + H, 4 * H), "b": uniform(4 * H)}  # W of [x, h]


def cell_inputs(B, inputs, H):
    def make(rng):
        shapes = {"x": (B, inputs), **dict.fromkeys(("h_prev", "c_prev", "d_h", "d_c"), (B, H))}
        normals = {name: rng.standard_normal(s, dtype=np.float32) for name, s in shapes.items()}
        return normals | weights(rng, inputs, H)

    return make


def cell_ours(a):
    cell = LSTMCell(a["W"], a["b"])
    g = bh.grads_like(cell)

    def step():
        h, c, backward = cell(a["x"], State(a["h_prev"], a["c_prev"]))
        g.zero()
        dx, before = backward(a["d_h"], a["d_c"], g)
        g.flush()
        gradients = {"d_x": dx, "d_h_prev": before.h, "d_c_prev": before.c}
        return {"h": h, "c": c, **gradients, "d_W": g.W.array, "d_b": g.b.array}

    return step


def torch_cell(x, h_prev, c_prev, W, b):
    import torch

    return torch_step_of(torch.addmm(b, torch.cat([x, h_prev], 1), W), c_prev)


def torch_library_cell(x, h_prev, c_prev, W, b):
    import torch

    I = x.shape[1]  # noqa: E741
    h, c = torch._VF.lstm_cell(x, (h_prev, c_prev), W[:I].T, W[I:].T, b, torch.zeros_like(b))
    return {"h": h, "c": c}


def jax_cell(x, h_prev, c_prev, W, b):
    import jax.numpy as jnp

    return jax_step_of(jnp.concatenate([x, h_prev], axis=1) @ W + b, c_prev)


def cell_case(name, B, inputs, H):
    wrt = ["x", "h_prev", "c_prev", "W", "b"]
    K = inputs + H
    return Case(
        name=name,
        sizes={"B": B, "I": inputs, "H": H},
        inputs=cell_inputs(B, inputs, H),
        implementations={
            "backhand": cell_ours,
            "torch": torch_step(torch_cell, wrt),
            "torch LSTMCell": torch_step(torch_library_cell, wrt),
            "torch.compile": torch_step(torch_cell, wrt, compiled=True),
            "jax": jax_step(jax_cell, wrt),
        },
        ops=["lstm_step"],
        samples=B,
        products=[(B, K, 4 * H), (B, 4 * H, K), (K, B, 4 * H)],
        traffic=4 * (2 * B * (inputs + 3 * H) + 2 * (K + 1) * 4 * H),
        transcendentals=5 * B * H,
        pool="blas",
    )


# -- sequences -------------------------------------------------------------------------------


def sequence_inputs(T, B, inputs, H):
    def make(rng):
        x, d_y = rng.standard_normal((T, B, inputs)), rng.standard_normal((T, B, H))
        both = weights(rng, inputs, H)
        W = both.pop("W")
        parts = {"Wx": W[:inputs], "Wh": W[inputs:]}
        return {"x": np.float32(x), "d_y": np.float32(d_y), **parts, **both}

    return make


def sequence_ours(a):
    lstm = LSTM(LSTMCell(np.concatenate([a["Wx"], a["Wh"]]), a["b"]))
    g = bh.grads_like(lstm)

    def step():
        y, _, backward = lstm(a["x"])
        g.zero()
        dx, _ = backward(a["d_y"], None, g)
        g.flush()
        dWx, dWh = np.split(g.cell.W.array, [a["x"].shape[-1]])
        gradients = {"d_Wx": dWx, "d_Wh": dWh, "d_b": g.cell.b.array}
        return {"y": y, "d_x": dx, **gradients}

    return step


def torch_library(a):
    import torch

    inputs, H = a["x"].shape[2], a["d_y"].shape[2]
    lstm = torch.nn.LSTM(inputs, H)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(torch.from_numpy(a["Wx"]).T)
        lstm.weight_hh_l0.copy_(torch.from_numpy(a["Wh"]).T)
        lstm.bias_ih_l0.copy_(torch.from_numpy(a["b"]))
    lstm.bias_hh_l0 = torch.nn.Parameter(torch.zeros(4 * H), requires_grad=False)
    x, d_y = torch.from_numpy(a["x"]).requires_grad_(), torch.from_numpy(a["d_y"])
    leaves = [x, lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0]

    def step():
        y, _ = lstm(x)
        dx, d_ih, d_hh, db = torch.autograd.grad(y, leaves, d_y)
        return {"y": y, "d_x": dx, "d_Wx": d_ih.T, "d_Wh": d_hh.T, "d_b": db}

    return step


def jax_sequence(x, Wx, Wh, b):
    import jax
    import jax.numpy as jnp

    H = b.shape[0] // 4

    def one(state, a):
        now = jax_step_of(a + state[0] @ Wh, state[1])
        return (now["h"], now["c"]), now["h"]

    zeros = jnp.zeros((x.shape[1], H), x.dtype)
    return {"y": jax.lax.scan(one, (zeros, zeros), x @ Wx + b)[1]}


def sequence_case(name, T, B, inputs, H):
    K = inputs + H
    return Case(
        name=name,
        sizes={"T": T, "B": B, "I": inputs, "H": H},
        inputs=sequence_inputs(T, B, inputs, H),
        implementations={
            "backhand": sequence_ours,
            "torch": torch_library,
            "jax": jax_step(jax_sequence, ["x", "Wx", "Wh", "b"]),
        },
        ops=["lstm_step"],
        samples=T * B,
        products=[
            *[(B, H, 4 * H), (B, 4 * H, H)] * T,
            (T * B, inputs, 4 * H), (T * B, 4 * H, inputs), (K, T * B, 4 * H),
        ],
        traffic=4 * (T * B * 2 * (inputs + 6 * H) + 2 * (K + 1) * 4 * H),  # gates out and in
        transcendentals=5 * T * B * H,
        tolerance=1e-4,  # sums over T * B rows
        pool="blas",
    )  # fmt: skip


CASES = [
    step_case(100, 256),
    cell_case("lstm_cell", 100, 256, 256),
    sequence_case("lstm", 64, 100, 256, 256),
    sequence_case("lstm_text", 80, 32, 512, 512),
]
