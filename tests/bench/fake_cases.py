"""Cases for the tests of the harness; the peers are modules of a few lines in fake_peers/."""

import os

import numpy as np

from backhand.bench.harness import Case
from backhand.kernels import bias_activation

B, D = 6, 5


def inputs(rng):
    return {
        "a": rng.standard_normal((B, D)).astype(np.float32),
        "d_y": rng.standard_normal((B, D)).astype(np.float32),
    }


def ours(a):
    def step():
        y, saved = bias_activation.forward(a["a"], None, "tanh")
        return {"y": y, "d_a": bias_activation.backward(a["d_y"], saved)[0]}

    return step


def peer(a):
    def step():
        y = np.tanh(a["a"])
        return {"y": y, "d_a": a["d_y"] * (1 - y * y)}

    return step


def wrong(a):
    return lambda: {"y": np.tanh(a["a"]), "d_a": a["d_y"] * (1 - np.tanh(a["a"]))}


def of_another_shape(a):
    return lambda: peer(a)() | {"y": np.zeros((B, 1), np.float32)}


def not_finite(a):
    return lambda: peer(a)() | {"y": np.full((B, D), np.nan, np.float32)}


def with_a_result_missing(a):
    return lambda: {"y": np.tanh(a["a"])}


def failing(a):
    raise RuntimeError("no such thing here")


def dying(a):
    os._exit(3)


def dying_later(a):
    """Right at first; its process ends in the first block."""
    times = 0

    def step():
        nonlocal times
        times += 1
        if times > 3:
            os._exit(4)
        return peer(a)()

    return step


def ours_dying(a):
    """Only in its worker: the reference is computed in the runner's process, in float64."""
    return dying(a) if a["a"].dtype == np.float32 else ours(a)


def counting(a):
    total = a["a"].copy()

    def step():
        total[...] += a["d_y"]
        return {"total": total}

    return step


def counting_late(a):
    """Right at the first step, wrong at the second."""
    total, times = a["a"].copy(), 0

    def step():
        nonlocal times
        times += 1
        total[...] += a["d_y"] if times == 1 else 0
        return {"total": total}

    return step


def case(name, steps=1, quick=False, training=False, first=None, tolerances=None, **others):
    first = {"backhand": first or (counting if steps > 1 else ours)}
    return Case(
        name=name,
        sizes={"B": B, "D": D},
        inputs=inputs,
        implementations=first | {name.replace("_", "."): f for name, f in others.items()},
        ops=["bias_activation"],
        samples=B,
        products=[(64, 32, 48)] * 3,
        traffic=4 * 4 * B * D,
        transcendentals=B * D,
        floors={"best peer": 0.5, "jax": 1e9},
        quick=quick,
        training=training,
        steps=steps,
        tolerances=tolerances or {},
    )


CASES = [
    case("agrees", quick=True, torch=peer, jax=peer),
    case("one_fails", torch=failing, jax=peer),
    case("one_dies", torch=peer, jax=dying),
    case("dies_later", torch=dying_later, jax=peer),
    case("ours_dies", first=ours_dying, torch=peer),
    case("wrong", torch=wrong),
    case("wrong_but_tolerated", tolerances={"d_a": 10.0}, torch=wrong),
    case("of_another_shape", torch=of_another_shape),
    case("not_finite", torch=not_finite),
    case("with_a_result_missing", torch=with_a_result_missing),
    case("trains", training=True, torch=peer, jax=peer),
    case("wrong_later", steps=2, torch=counting_late),
]
