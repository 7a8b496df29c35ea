"""From the start of a process to the end of its first training step, imports included.

    python -m backhand.bench.start_up [--peer-python PATH] [--rounds 5]

A VAE 784-200-200-50, batch 100, Adam; each round starts everyone once, in turn.  Ours is the
command line, with its run folder and checkpoint; the peers are the shortest scripts that do the
step.  torch.compile and JAX compile as they always do in a new process.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TORCH = """
import numpy as np, sys, torch
from torch.nn import Linear, Sequential, Tanh, functional as F
x = torch.from_numpy(np.load(sys.argv[1])[:100])
up = Sequential(Linear(784, 200), Tanh(), Linear(200, 200), Tanh(), Linear(200, 100))
down = Sequential(Linear(50, 200), Tanh(), Linear(200, 200), Tanh(), Linear(200, 784))
optimizer = torch.optim.Adam([*up.parameters(), *down.parameters()], fused=True)
def objective(x, eps):
    mean, s = up(x).chunk(2, 1)
    logits = down(mean + s.exp() * eps)
    kl = 0.5 * (mean * mean + (2 * s).exp() - 2 * s - 1).sum()
    return (F.binary_cross_entropy_with_logits(logits, x, reduction="sum") + kl) / len(x)
run = torch.compile(objective) if sys.argv[2:] else objective
run(x, torch.randn(100, 50)).backward()
optimizer.step()
"""

JAX = """
import sys, numpy as np, jax, jax.numpy as jnp
x = jnp.asarray(np.load(sys.argv[1])[:100])
rng = np.random.default_rng(0)
sizes = [(784, 200), (200, 200), (200, 100), (50, 200), (200, 200), (200, 784)]
p = [(jnp.asarray(rng.normal(0, 0.05, s).astype("f")), jnp.zeros(s[1])) for s in sizes]
def objective(p, x, eps):
    def net(h, layers):
        for W, b in layers[:2]:
            h = jnp.tanh(h @ W + b)
        return h @ layers[2][0] + layers[2][1]
    mean, s = jnp.split(net(x, p[:3]), 2, 1)
    l = net(mean + jnp.exp(s) * eps, p[3:])
    bce = jnp.maximum(l, 0) + jnp.log1p(jnp.exp(-jnp.abs(l))) - x * l
    return (bce.sum() + 0.5 * (mean**2 + jnp.exp(2 * s) - 2 * s - 1).sum()) / len(x)
@jax.jit
def train(p, m, v, x, eps):
    g = jax.grad(objective)(p, x, eps)
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    step = lambda p, m, v: p - 1e-3 * (m / 0.1) / (jnp.sqrt(v / 0.001) + 1e-8)
    return jax.tree.map(step, p, m, v), m, v
zero = jax.tree.map(jnp.zeros_like, p)
jax.block_until_ready(train(p, zero, zero, x, jax.random.normal(jax.random.key(0), (100, 50))))
"""


def commands(python: str, data: Path, folder: Path) -> dict[str, list[str]]:
    """What is started, by name; peers that are not installed are left out."""
    ours = [sys.executable, "-m", "backhand", "train", "vae", "--data", str(data), "--steps", "1"]
    sizes = ["--batch", "100", "--set", "hidden=200,200", "--set", "latent=50"]
    found = {"backhand train": [*ours, *sizes, "--run", str(folder / "run")]}
    for name, package, script, more in (
        ("torch", "torch", TORCH, []),
        ("torch.compile", "torch", TORCH, ["compiled"]),
        ("jax", "jax", JAX, []),
    ):
        if subprocess.run([python, "-c", f"import {package}"], capture_output=True).returncode == 0:
            found[name] = [python, "-c", script, str(data), *more]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    seconds: dict[str, list[float]] = {}
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rng = np.random.default_rng(0)
        np.save(folder / "x.npy", (rng.random((200, 784)) < 0.13).astype(np.float32))
        for _ in range(args.rounds):
            for name, command in commands(args.peer_python, folder / "x.npy", folder).items():
                shutil.rmtree(folder / "run", ignore_errors=True)
                start = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True, env=environment)
                seconds.setdefault(name, []).append(time.perf_counter() - start)
    ours = statistics.median(seconds["backhand train"])
    print("| | seconds, median (minimum) | over ours |\n|---|---|---|")
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"| {name} | {median:.2f} ({min(values):.2f}) | {median / ours:.1f} |")


if __name__ == "__main__":
    main()
