"""One training step of the VAE (784-200-200-50, batch 100) beside PyTorch's.

Forward, backward and Adam, from the same weights with the same noise and pictures; the draw of
both is outside the timed part.  Worker processes take turns (A B A B ...), with a pause before
each block, since a neighbour's spinning threads would slow it down.

    python bench/vae_step.py --rounds 7 --threads 2 [--torch-python PATH] [--profile]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np

B, D, HIDDEN, Z = 100, 784, (200, 200), 50
STEPS, WARMUP = 150, 30


def inputs() -> tuple[np.ndarray, np.ndarray]:
    """Pictures (STEPS, B, D) and noise (STEPS, B, Z), the same for everyone."""
    rng = np.random.default_rng(0)
    x = (rng.random((20, B, D)) < 0.13).astype(np.float32)
    return x, rng.standard_normal((20, B, Z)).astype(np.float32)


def weights() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    sizes = [(D, 200), (200, 200), (200, 2 * Z), (Z, 200), (200, 200), (200, D)]
    out = []
    for i, o in sizes:
        limit = np.sqrt(6 / (i + o))
        out += [rng.uniform(-limit, limit, (i, o)).astype(np.float32), np.zeros(o, np.float32)]
    return out


def backhand_step():
    import backhand as bh

    x, eps = inputs()
    model = bh.VAE.create(bh.VAEConfig(hidden=HIDDEN, latent=Z), bh.DataSpec((D,), "binary"))
    model.params.vector[...] = np.concatenate([w.ravel() for w in weights()])
    g = bh.grads_like(model)
    adam = bh.make_optimizer("adam", g.vector.size, np.float32)
    batch = [bh.Batch(pictures, np.arange(B)) for pictures in x]
    d = np.full(B, -1 / B, np.float32)

    class Given:
        """Noise drawn beforehand."""

        def __init__(self, i):
            self.i = i

        def normal(self, *_, **__):
            return eps[self.i][None]

    noise = [Given(i) for i in range(len(x))]

    def step(i):
        bound = model.bound(batch[i % 20], noise[i % 20])
        g.zero()
        bound.backward(d, g)
        g.flush()
        adam.step(model.params.vector, g.vector, 1e-3)
        return -float(bound.value.mean())

    return step


def torch_step(threads):
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(threads)
    x, eps = (torch.from_numpy(a) for a in inputs())
    p = [torch.from_numpy(w).requires_grad_() for w in weights()]
    adam = torch.optim.Adam(p, lr=1e-3, fused=True)

    def step(i):
        pictures, e = x[i % 20], eps[i % 20]
        h = torch.tanh(torch.addmm(p[1], pictures, p[0]))
        h = torch.tanh(torch.addmm(p[3], h, p[2]))
        mean, s = torch.addmm(p[5], h, p[4]).chunk(2, dim=1)
        z = mean + s.exp() * e
        kl = 0.5 * (mean * mean + (2 * s).exp() - 1 - 2 * s).sum()
        h = torch.tanh(torch.addmm(p[7], z, p[6]))
        h = torch.tanh(torch.addmm(p[9], h, p[8]))
        logits = torch.addmm(p[11], h, p[10])
        loss = (F.binary_cross_entropy_with_logits(logits, pictures, reduction="sum") + kl) / B
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss.item()

    return step


def work(name: str, threads: int) -> None:
    """A worker: for each line on standard input, time a block and print it."""
    step = backhand_step() if name == "backhand" else torch_step(threads)
    losses = [step(i) for i in range(WARMUP)]
    print(json.dumps(losses[:3]), flush=True)
    a = np.random.default_rng(0).standard_normal((512, 512)).astype(np.float32)
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(10):
            a @ a
        calibration = (time.perf_counter() - start) / 10
        times = []
        for i in range(STEPS):
            start = time.perf_counter()
            step(i)
            times.append(time.perf_counter() - start)
        print(json.dumps([statistics.median(times), min(times), calibration]), flush=True)


def start(name: str, python: str, threads: int) -> subprocess.Popen:
    limits = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(limits, str(threads))}
    words = [python, __file__, "--worker", name, "--threads", str(threads)]
    return subprocess.Popen(
        words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def profile() -> None:
    import cProfile
    import pstats

    step = backhand_step()
    for i in range(WARMUP):
        step(i)
    profiler = cProfile.Profile()
    profiler.enable()
    for i in range(300):
        step(i)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--torch-python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--worker")
    args = parser.parse_args()
    if args.worker:
        return work(args.worker, args.threads)
    if args.profile:
        return profile()
    workers = {
        "backhand": start("backhand", sys.executable, args.threads),
        "torch": start("torch", args.torch_python, args.threads),
    }
    for name, worker in workers.items():
        print(f"{name:9} first losses {json.loads(worker.stdout.readline())}")
    blocks: dict[str, list[list[float]]] = {name: [] for name in workers}
    for _ in range(args.rounds):
        for name, worker in workers.items():
            time.sleep(0.3)
            worker.stdin.write("go\n")
            worker.stdin.flush()
            blocks[name].append(json.loads(worker.stdout.readline()))
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    median = {name: statistics.median(b[0] for b in blocks[name]) for name in blocks}
    fastest = {name: min(b[1] for b in blocks[name]) for name in blocks}
    for name in workers:
        drift = statistics.median(b[2] for b in blocks[name])
        print(
            f"{name:9} median {1e3 * median[name]:.3f} ms, minimum {1e3 * fastest[name]:.3f} ms, "
            f"calibration product {1e3 * drift:.2f} ms"
        )
    ratios = [times["torch"] / times["backhand"] for times in (median, fastest)]
    print(f"torch / backhand: {ratios[0]:.2f} by medians, {ratios[1]:.2f} by minima")
    print(f"{args.threads} threads each; load of the machine {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    sys.exit(main())
