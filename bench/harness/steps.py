"""Steps of a case: a training step of ours, and steps of peers from a function of theirs.

Outputs are named by the dictionary that the function returns.  The cotangent of an output ``y``
is the input ``d_y``; an output without one is not differentiated.  The gradient with respect to
an input ``x`` of ``wrt`` is the result ``d_x``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import backhand as bh
from backhand.bench.harness.case import Inputs, Make, Step
from backhand.memory import keep_memory
from backhand.parts import Team

Function = Callable[..., Mapping[str, Any]]


def torch_step(f: Function, wrt: Sequence[str] = (), compiled: bool = False) -> Make:
    """``f(**tensors)`` and its gradients by autograd; under torch.compile where asked."""

    def make(a: Inputs) -> Step:
        import torch

        tensors = {name: torch.from_numpy(array) for name, array in a.items()}
        arguments = {name: t for name, t in tensors.items() if not name.startswith("d_")}
        leaves = [arguments[name].requires_grad_() for name in wrt]
        run = torch.compile(f) if compiled else f

        def forward() -> Mapping[str, Any]:
            with torch.no_grad():
                return run(**arguments)

        def both() -> Mapping[str, Any]:
            out = run(**arguments)
            seeded = [name for name in out if f"d_{name}" in tensors]
            seeds = [tensors[f"d_{name}"] for name in seeded]
            grads = torch.autograd.grad([out[name] for name in seeded], leaves, seeds)
            return {**out, **{f"d_{name}": g for name, g in zip(wrt, grads, strict=True)}}

        return both if wrt else forward

    return make


def jax_step(f: Function, wrt: Sequence[str] = ()) -> Make:
    """``f(**arrays)`` and its vector-Jacobian product, under one jit."""

    def make(a: Inputs) -> Step:
        import jax
        import jax.numpy as jnp

        arrays = {name: jnp.asarray(array) for name, array in a.items()}

        def both(arrays: dict[str, Any]) -> Mapping[str, Any]:
            arguments = {name: x for name, x in arrays.items() if not name.startswith("d_")}
            leaves = {name: arguments.pop(name) for name in wrt}

            def of_leaves(leaves: dict[str, Any]) -> Mapping[str, Any]:
                return f(**arguments, **leaves)

            out, pull = jax.vjp(of_leaves, leaves)
            seeds = {name: arrays.get(f"d_{name}", jnp.zeros_like(y)) for name, y in out.items()}
            (grads,) = pull(seeds)
            return {**out, **{f"d_{name}": g for name, g in grads.items()}}

        run = jax.jit(both)
        return lambda: jax.block_until_ready(run(arrays))

    return make


class Drawn:
    """Noise drawn beforehand, in the place of ``bh.Noise``; eps: (k, B, Z) for each layer."""

    def __init__(self, eps: Sequence[Any]) -> None:
        self.eps = eps

    def normal(self, *_: Any, layer: int = 0, **__: Any) -> Any:
        return self.eps[layer]


def our_training(
    model: Any, x: Any, noise: Callable[[int, slice], Drawn], p: Mapping[str, Any],
    lr: float, eps: float, k: int = 1, defer: bool = False,
) -> Step:  # fmt: skip
    """A step of ``bh.fit``, by parts, with kept memory: forward, backward, Adam.

    x: (batches, B, ...), each batch in turn; noise(i, rows): of some rows of batch i; p: what is
    shown beside the loss.
    """
    keep_memory()
    vector, B = model.params.vector, x.shape[1]
    team = Team(lambda: [bh.grads_like(model, defer=defer)])
    optimizer = bh.make_optimizer("adam", vector.size, vector.dtype, eps=eps)
    index, d, i = np.arange(B), np.full(B, -1 / B, vector.dtype), -1

    def work(rows: slice, grads: list[Any]) -> Any:
        bound = model.bound(bh.Batch(x[i, rows], index[rows]), noise(i, rows), k)
        grads[0].zero()
        bound.backward(d[rows], grads[0])
        grads[0].flush()
        return bound.value

    def step() -> Mapping[str, Any]:
        nonlocal i
        i = (i + 1) % len(x)
        values = team.run(work, B)
        optimizer.step(vector, team.grads[0].vector, lr)
        return {"loss": -sum(map(np.add.reduce, values)) / B, **p}

    return step


def jax_adam(objective: Callable[..., Any], p: Any, lr: float, eps: float) -> Callable[..., Any]:
    """train(*data) -> (objective(p, *data), p): a step of Adam, all under one jit."""
    import jax
    import jax.numpy as jnp

    def train(p: Any, m: Any, v: Any, t: Any, *data: Any) -> Any:
        loss, g = jax.value_and_grad(objective)(p, *data)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate, correct = lr / (1 - 0.9**t), 1 - 0.999**t
        p = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v / correct) + eps), p, m, v)
        return loss, (p, m, v, t)

    run = jax.jit(train, donate_argnums=(0, 1, 2, 3))
    state = p, jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p), jnp.float32(0)

    def step(*data: Any) -> Any:
        nonlocal state
        loss, state = jax.block_until_ready(run(*state, *data))
        return loss, state[0]

    return step
