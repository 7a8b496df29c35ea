"""From the start of a process to the end of its first training step, imports included.

    python -m backhand.bench.start_up [--peer-python PATH] [--rounds 5] [-o FILE.md]

A VAE 784-200-200-50, batch 100, Adam, pictures from the same .npy file.  Each round starts everyone
once, in turn; a first one, in which files come from the disk, does not count.  Ours is the command
line, up to the line that tells of its first epoch, which has one step: the validation is in that
time, and the run folder.  The peers are the shortest scripts that do the step and print a line.
torch.compile and JAX compile as they always do in a new process; what torch.compile keeps on the
disk it finds there.  The second column of times is that of the whole process: with the checkpoint
in ours, and what a library has to close.
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

from backhand.bench.harness import busy
from backhand.bench.harness.report import conditions
from backhand.cli import output_file

STEPPED = "epoch"  # the first word of the line after the step

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
print("epoch", flush=True)
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
print("epoch", flush=True)
"""


def commands(python: str, data: Path, run: Path, peers: dict[str, str]) -> dict[str, list[str]]:
    """What is started, by name."""
    ours = [sys.executable, "-m", "backhand", "train", "vae", "--data", str(data), "--steps", "1"]
    sizes = ["--batch", "100", "--set", "hidden=200,200", "--set", "latent=50"]
    found = {"backhand train": [*ours, *sizes, "--run", str(run)]}
    if "torch" in peers:
        found["torch"] = [python, "-c", TORCH, str(data)]
        found["torch.compile"] = [*found["torch"], "compiled"]
    if "jax" in peers:
        found["jax"] = [python, "-c", JAX, str(data)]
    return found


def installed(python: str) -> dict[str, str]:
    """Versions of the peers that this Python has."""
    found = {}
    for name in ("torch", "jax"):
        code = f"import {name}; print({name}.__version__)"
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            found[name] = done.stdout.strip()
    return found


def start(command: list[str]) -> tuple[float, float]:
    """Seconds to the end of the first step, and to the end of the process."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    lines, stepped = [], None
    begin = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if stepped is None and line.startswith(STEPPED):
                stepped = time.perf_counter() - begin
    end = time.perf_counter() - begin
    if process.returncode or stepped is None:
        raise RuntimeError(f"{command[:3]} did no step:\n{''.join(lines)}")
    return stepped, end


def table(seconds: dict[str, list[tuple[float, float]]]) -> list[str]:
    """Medians, minima, and the medians over ours."""
    medians = {name: statistics.median(s for s, _ in times) for name, times in seconds.items()}
    ours = medians["backhand train"]
    lines = ["| | first step, s: median (minimum) | over ours | whole process, s |"]
    lines.append("|---|---|---|---|")
    for name, times in seconds.items():
        least, ends = min(s for s, _ in times), [end for _, end in times]
        times_ours = f"{medians[name] / ours:.1f}"
        whole = f"{statistics.median(ends):.2f} ({min(ends):.2f})"
        lines.append(f"| {name} | {medians[name]:.2f} ({least:.2f}) | {times_ours} | {whole} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-o", dest="out", metavar="FILE.md")
    args = parser.parse_args()
    out = output_file("-o", args.out, (".md",)) if args.out else None
    peers = installed(args.peer_python)
    seconds: dict[str, list[tuple[float, float]]] = {}
    loudest = 0.0
    with tempfile.TemporaryDirectory() as temporary:
        data, run = Path(temporary) / "x.npy", Path(temporary) / "run"
        rng = np.random.default_rng(0)
        np.save(data, (rng.random((200, 784)) < 0.13).astype(np.float32))
        for i in range(args.rounds + 1):
            for name, command in commands(args.peer_python, data, run, peers).items():
                shutil.rmtree(run, ignore_errors=True)
                watch = busy.Watch() if busy.available() else None
                times = start(command)
                if i > 0:
                    seconds.setdefault(name, []).append(times)
                    loudest = max(loudest, watch.cores(times[1]) if watch else 0.0)
    about = conditions(peers)
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    others = f"Other processes used at most {loudest:.2f} cores." if busy.available() else ""
    lines = [
        "# Start to first step", "", *table(seconds), "",
        f"{about['machine']}, {about['cores']} cores; {versions}; {about['commit'] or 'unknown'}; "
        f"{args.rounds} rounds. {others}".rstrip(),
    ]  # fmt: skip
    print("\n".join(lines))
    if out is not None:
        out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
