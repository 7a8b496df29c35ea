"""How time and memory grow with batch, samples, glimpses, image side, width and data.

    python -m backhand.bench.scale -o results/scale [--again]

Each point is a process of its own, and does something tiny first, so that libraries are loaded.
Time: the median after the first step.  Memory: the peak of what was resident, above what stood
there with model and data (Linux alone tells).  The slope is that of a line through the upper half
of the points, both axes logarithmic.  Writes scale.json, pictures, and the table of README.md; with
--again, pictures and table alone, from the numbers that are there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import backhand as bh
from backhand.bench.harness import memory, our_training
from backhand.bench.harness.busy import Watch
from backhand.bench.harness.report import conditions
from backhand.bench.harness.worker import clock
from backhand.bench.summary import END, START, replaced
from backhand.data import Data, Split
from backhand.threads import blas_threads, training_threads

SECONDS, FEWEST = 1.5, 3  # of steps at each point, and how many at least
FIT_STEPS, BATCH, D = 100, 100, 784
Times = Callable[[float], list[float]]  # seconds of each step, for about so many seconds
Record = dict[str, Any]

# Class, configuration and shape of the data, by what may be varied.
MODELS: dict[str, Callable[..., tuple[Any, Any, tuple[int, ...]]]] = {
    "IWAE": lambda H=200: (bh.IWAE, bh.IWAEConfig(hidden=(H,), latent=(50,)), (D,)),
    "VAE": lambda: (bh.VAE, bh.VAEConfig(hidden=(200, 200), latent=50), (D,)),
    "DRAW": lambda T=2, A=28, n=0: (bh.DRAW, bh.DRAWConfig(glimpses=T, recompute=n), (A, A)),
}


def _model(name: str, **sizes: int) -> Any:
    kind, config, shape = MODELS[name](**sizes)
    return kind.create(config, bh.DataSpec(shape, "binary"))


@contextmanager
def train(name: str, threads: int, B: int = 2, k: int = 1, **sizes: int) -> Iterator[Times]:
    """A step as ``bh.fit`` has it: noise, forward, backward, Adam."""
    model = _model(name, **sizes)
    chain = getattr(model, "recurrent", False)
    grey = np.random.default_rng(0).random((2, B, *model.spec.shape), np.float32)
    x = (grey < 0.13).astype(np.float32)  # two batches, in turn

    def noise(i: int, rows: slice) -> Any:
        return bh.Noise(0, i)

    with training_threads(threads, B, k, chain, divisible=True):
        yield partial(_each, partial(our_training, model, x, noise, {}, 1e-3, 1e-4, k, chain))


@contextmanager
def evaluate(threads: int, n: int = 2, k: int = 2) -> Iterator[Times]:
    """L_k of n pictures, by the IWAE."""
    model, data = _model("IWAE"), _data(n)
    with blas_threads(threads):
        step = partial(bh.evaluate, model, data, bound="iwae", k=k, split="train")
        yield partial(_each, lambda: step)


@contextmanager
def fit(threads: int, N: int = BATCH) -> Iterator[Times]:
    """Steps of ``bh.fit`` over N pictures of bytes; the first has all that comes before it."""
    model, data = _model("VAE"), _data(N)
    config = bh.TrainConfig(steps=FIT_STEPS, batch=BATCH, threads=threads)

    def times(_: float) -> list[float]:
        ends = [time.perf_counter()]
        bh.fit(model, data, config, report=lambda _: ends.append(time.perf_counter()))
        return list(np.diff(ends))

    yield times


WORKS: Record = {"evaluate": evaluate, "fit": fit, **{m: partial(train, m) for m in MODELS}}


def _data(n: int) -> Data:
    """Grey pictures as MNIST comes, binarised whenever they are shown."""
    x = np.random.default_rng(0).integers(0, 256, (n, D), np.uint8)
    split = Split("train", x, pictures=True, binarise=0, anew=True)
    return Data("grey", bh.DataSpec((D,), "binary"), split, None, None, "dynamic", {})


def _each(make: Callable[[], Callable[[], Any]], seconds: float) -> list[float]:
    step, found = make(), list[float]()
    while len(found) <= FEWEST or sum(found) < seconds:
        found.append(clock(step))
    return found


# One curve: a work with its settings, at each of the points of one more of them.
Series = namedtuple("Series", "quantity label work settings name points")
MANY = (1, 5, 20, 50, 100, 200, 500, 1000, 2000, 5000)
SERIES = [
    Series("batch", "IWAE, k = 5", "IWAE", {"k": 5}, "B", MANY),
    Series("batch", "VAE", "VAE", {}, "B", MANY),
    Series("k", "IWAE, B = 20", "IWAE", {"B": 20}, "k", (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    Series("k", "evaluation of 20 data", "evaluate", {"n": 20}, "k", MANY[2:]),
    Series("glimpses", "DRAW", "DRAW", {"B": 100}, "T", (2, 4, 8, 16, 32, 64)),
    Series("glimpses", "recompute = 8", "DRAW", {"B": 100, "n": 8}, "T", (8, 16, 24, 32, 48, 64)),
    Series("side", "DRAW, T = 10", "DRAW", {"B": 100, "T": 10}, "A", (28, 40, 56, 72, 96, 128)),
    Series("width", "IWAE", "IWAE", {"B": 20, "k": 5}, "H", (50, 100, 200, 400, 800, 1600)),
    Series("data", "", "fit", {}, "N", (1000, 3000, 10_000, 30_000, 60_000, 120_000)),
]


def peak_of(run: Callable[[], Any]) -> tuple[Any, int]:
    """What ``run()`` gives, and the peak of resident memory meanwhile above that before it."""
    memory.give_back()  # or what was freed before would be filled first
    memory.CLEAR.write_text("5")
    before = memory.resident("VmRSS")
    result = run()
    return result, memory.resident("VmHWM") - before


def measure(work: str, settings: Record, threads: int, seconds: float = SECONDS) -> Record:
    """Seconds of a step (median, fastest, first), bytes, and the cores that others used."""
    with WORKS[work](threads) as times:  # tiny
        times(0)
    with WORKS[work](threads, **settings) as times:
        watch, start = Watch(), time.perf_counter()
        (first, *rest), peak = peak_of(lambda: times(seconds))
        others = watch.cores(time.perf_counter() - start)
    found = {"seconds": float(np.median(rest)), "fastest": min(rest), "first": first}
    return found | {"steps": len(rest), "bytes": peak, "others": round(others, 2)}


def curves_of(series: Series, threads: int, seconds: float = SECONDS) -> list[Record]:
    """The series measured, each point in a process of its own; of ``fit``, two curves."""
    found = []
    for size in series.points:
        settings = {**series.settings, series.name: size}
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found.append(pool.submit(measure, series.work, settings, threads, seconds).result())
    columns = series._asdict() | {key: [f[key] for f in found] for key in found[0]}
    if series.work != "fit":
        return [columns | {"slopes": slopes(columns)}]
    N, step, first = (np.array(columns[key]) for key in ("points", "seconds", "first"))
    epoch = {"seconds": (first + (np.ceil(N / BATCH) - 1) * step).tolist()}
    bare = {"bytes": (np.array(columns["bytes"]) - N * D * 4).tolist()}  # float32
    curves = {"first epoch": columns | epoch, "a step; without the data": columns | bare}
    return [c | {"label": label, "slopes": slopes(c)} for label, c in curves.items()]


def slopes(columns: Record) -> Record:
    """seconds and bytes ~ factor * point^slope: least squares over the upper half of the points."""
    points = columns["points"]
    upper = points[min(len(points) // 2, len(points) - 2) :]
    found: Record = {"over": [upper[0], upper[-1]]}
    for what in ("seconds", "bytes"):
        y = np.maximum(columns[what][-len(upper) :], 1e-9)
        slope, start = np.polyfit(np.log(upper), np.log(y), 1)
        found[what] = {"slope": float(slope), "factor": float(np.exp(start))}
    return found


QUANTITIES = {
    "batch": "data in a batch, B", "k": "samples per datum, k", "glimpses": "glimpses, T",
    "side": "side of the image, A (pixels)", "width": "hidden units, H", "data": "training data, N",
}  # fmt: skip


def table(report: Record) -> str:
    """A row for each curve, and where it was measured."""
    lines = ["| | fitted over | time | last | more | memory | last | more |", "|---" * 8 + "|"]
    for c in report["curves"]:
        n, (low, high) = c["points"], c["slopes"]["over"]
        cells = [f"{c['quantity']}: {c['label']}", f"{c['name']} = {low} to {high}"]
        for what, unit, scale, small in (("seconds", "ms", 1e3, "µs"), ("bytes", "MB", 1e-6, "kB")):
            before, last = (scale * number for number in c[what][-2:])
            more = 1000 * (last - before) / (n[-1] - n[-2])
            cells.append(f"{c['name']}^{c['slopes'][what]['slope']:.2f}")
            cells += [f"{_short(last, 3)} {unit}", f"{_short(more, 2)} {small}"]
        lines.append(f"| {' | '.join(cells)} |")
    about = report["conditions"]
    others = np.median([x for c in report["curves"] for x in c["others"]])
    versions = ", ".join(f"{package} {v}" for package, v in about["versions"].items())
    where = f"{about['machine']}, {about['cores']} cores, {report['threads']} threads; {versions}"
    busy = f"other processes used {others:.1f} cores meanwhile (median over the points)"
    return "\n".join([*lines, "", f"{where}; {about['commit']}; {busy}."])


def _short(number: float, digits: int) -> str:
    return np.format_float_positional(number, digits, unique=False, fractional=False, trim="-")


FINE = (1, 1.5, 2, 3, 4, 5, 7)  # what an axis of less than a power of ten has marks at


def picture(curves: Sequence[Record], path: Path) -> None:
    """Time and memory of one quantity: the points, and the line through the upper ones."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = (("seconds", "time", "seconds", 1.0), ("bytes", "memory", "MB", 1e6))
    for axes, (what, title, unit, scale) in zip(figure.subplots(1, 2), panels, strict=True):
        for i, c in enumerate(curves):
            fit, ends, color = c["slopes"][what], np.array(c["slopes"]["over"]), f"C{i}"
            axes.plot(c["points"], np.array(c[what]) / scale, "o", color=color, label=c["label"])
            axes.plot(ends, fit["factor"] * ends ** fit["slope"] / scale, color=color)
        grow = [f"${c['name']}^{{{c['slopes'][what]['slope']:.2f}}}$" for c in curves]
        axes.set(xscale="log", yscale="log", xlabel=QUANTITIES[c["quantity"]], ylabel=unit)
        axes.set_xticks(sorted({n for c in curves for n in c["points"]}))
        axes.xaxis.set(major_formatter="{x:g}", minor_locator=NullLocator())
        axes.tick_params(axis="x", labelsize=8)
        low, high = axes.get_ylim()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 10 * low else FINE))
        axes.yaxis.set(major_formatter="{x:g}", minor_formatter=NullFormatter())
        axes.set_title(f"{title} ~ {', '.join(grow)}")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("results/scale"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="draw what was measured before")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    numbers = args.output / "scale.json"
    if not args.again:
        measured: Record = {"conditions": conditions({}), "threads": args.threads}
        measured["curves"] = [c for series in SERIES for c in curves_of(series, args.threads)]
        numbers.write_text(json.dumps(measured, indent=1) + "\n", "utf-8")
    report = json.loads(numbers.read_text("utf-8"))
    for name in QUANTITIES:
        picture([c for c in report["curves"] if c["quantity"] == name], args.output / f"{name}.png")
    page = args.output / "README.md"
    text = page.read_text("utf-8") if page.exists() else f"{START}\n{END}\n"
    page.write_text(replaced(text, table(report)), "utf-8")


if __name__ == "__main__":
    main()
