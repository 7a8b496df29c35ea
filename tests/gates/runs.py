"""What is run of each op that has a CUDA form: its cases, and draws where it has none."""

import re
from functools import cache

from backhand.backend import all_ops
from backhand.csrc import sources
from backhand.kernels import adam, emulator, philox
from backhand.kernels.linear_cross_entropy import reference as linear_cross_entropy
from tests.kernels import harness
from tests.kernels.cases import MODULES

MOST = 600  # elements, so that an example takes milliseconds


class Recorder:
    """The emulator in use, with a list of the kernels that it is asked to run."""

    def __init__(self):
        self.library = emulator.library()
        self.compiler, self.signatures = self.library.compiler, self.library.signatures
        self.seen = []

    def launch(self, kernel, *arguments):
        self.seen.append(kernel)
        self.library.launch(kernel, *arguments)


class FewBlocks(Recorder):
    """The emulator in use, with one block along each axis along which blocks take turns."""

    def launch(self, kernel, real, blocks, *arguments):
        axes = turns(kernel)
        blocks = tuple(1 if "xyz"[i] in axes else n for i, n in enumerate(blocks))
        super().launch(kernel, real, blocks, *arguments)


# What lets the blocks along an axis go on to what the grid does not reach.
TURNS = {
    "x": r"gridDim\.x|bh_stride\(|bh_row_stride\(",
    "y": r"gridDim\.y|bh_column_sums\(",
    "z": r"gridDim\.z",
}


@cache
def turns(kernel):
    """The axes along which a kernel's blocks take turns."""
    for op in sources.ops():
        helpers, *kernels = (sources.ROOT / op / "kernel.cu").read_text().split('extern "C"')
        for text in kernels:
            if f" {kernel}(" in text:
                text += helpers if "_each(" in text else ""
                return "".join(axis for axis, words in TURNS.items() if re.search(words, text))
    raise KeyError(kernel)


class Run:
    """Something of an op that can be run at any sizes: a case of the harness."""

    def __init__(self, case):
        self.case, self.name, self.letters = case, case.name, case.letters
        self.least, self.most = case.least, case.most
        ones = {letter: self.least.get(letter, 1) for letter in self.letters}
        outputs, _ = case.forward(case.make(harness.np.random.default_rng(0), ones))
        self.room = MOST // max(y.size for y in outputs)  # for the product of the sizes

    def check(self, rng, sizes, dtype, layouts):
        harness.check_backend(self.case, rng, sizes, "emulated", dtype, layouts, others=[])
        inputs = self.case.make(rng, sizes, dtype)
        outputs, saved = self.case.forward(inputs, "emulated")
        given = inputs, self.case.cotangents(rng, outputs), saved, "emulated"
        gradients = self.case.gradients(*given)
        harness.check_need_flags(self.case, *given, gradients)  # null pointers, in the kernels

    def results(self, rng, sizes, dtype):
        """() -> arrays; made of the same inputs at each call."""
        inputs = self.case.make(rng, sizes, dtype)
        cotangents = self.case.cotangents(rng, self.case.forward(inputs)[0])

        def run():
            outputs, saved = self.case.forward(inputs, "emulated")
            gradients = self.case.gradients(inputs, cotangents, saved, "emulated")
            return [*outputs, *gradients.values()]

        return run


class Draws:
    """Philox: all four draws, to the bit but for normals."""

    name, letters, least, most, room = "philox", "KBN", {}, {"K": MOST}, MOST

    def check(self, rng, sizes, dtype, layouts):
        state = rng.bit_generator.state
        found = self.results(rng, sizes, dtype)()
        rng.bit_generator.state = state
        right = self.results(rng, sizes, dtype, "numpy")()
        for kind, a, b in zip(("words", "uniforms", "bernoullis"), found, right, strict=False):
            assert a.dtype == b.dtype
            assert (a == b).all(), kind
        assert harness.np.all(abs(found[3] - right[3]) <= 2 * harness.np.spacing(abs(right[3])))

    def results(self, rng, sizes, dtype, backend="emulated"):
        count, rows, n = (sizes[letter] for letter in self.letters)
        key, step, first = tuple(rng.integers(0, 2**32, 2)), int(rng.integers(2**32)), 2**32 - 900
        index = rng.integers(0, 2**32, rows)
        p = rng.random((count, rows, n) if step % 2 else (rows, n)).astype(dtype)
        more = {"count": count, "first": first, "backend": backend}

        def run():
            return [
                philox.integers(key, index, step, n, **more),
                philox.uniform(key, index, step, n, dtype=dtype, **more),
                philox.bernoulli(key, index, step, p, **more),
                philox.normal(key, index, step, n, dtype=dtype, **more),
            ]

        return run


class Updates:
    """Adam: three steps, to the bit as NumPy makes them."""

    name, letters, least, most, room = "adam", "N", {}, {}, MOST

    def check(self, rng, sizes, dtype, layouts):
        state = rng.bit_generator.state
        found = self.results(rng, sizes, dtype)()
        rng.bit_generator.state = state
        right = self.results(rng, sizes, dtype, "numpy")()
        for name, a, b in zip(("theta", "m", "v"), found, right, strict=True):
            assert a.dtype == dtype
            assert a.tobytes() == b.tobytes(), name

    def results(self, rng, sizes, dtype, backend="emulated"):
        theta, *grads = rng.standard_normal((4, sizes["N"])).astype(dtype)
        settings = {
            "lr": 10 ** rng.uniform(-5, -1), "beta1": 0.9, "beta2": 0.99, "eps": 1e-8,
            "weight_decay": float(rng.choice([0, 0.1])), "scale": float(rng.choice([1, 0.3])),
        }  # fmt: skip

        def run():
            written = [theta.copy(), harness.np.zeros_like(theta), harness.np.zeros_like(theta)]
            for step, grad in enumerate(grads, 1):
                p, m, v = written
                adam.update(p, grad, m, v, step=step, **settings, backend=backend)
            return written

        return run


def edges(run):
    """Sizes at which a loop has just ended, or a row is more than a warp's: a letter at a time."""
    small = {n: min(max(2, run.least.get(n, 1)), run.most.get(n, 2)) for n in run.letters}
    for letter in run.letters:
        for size in (64, 1100):
            size = min(size, run.most.get(letter, size))
            if size * (MOST // max(1, run.room)) <= 8 * MOST:  # else seconds
                yield {**small, letter: size}


def in_small_blocks(setattr=setattr):
    """The blocks of linear_cross_entropy, so that few rows and classes are several."""
    setattr(linear_cross_entropy, "ROWS", 300)
    setattr(linear_cross_entropy, "COLUMNS", 8)


WITHOUT_CASES = {"philox": [Draws()], "adam": [Updates()]}
# What has kernels of its own; a layer has those of bias_activation, and products are cuBLAS's.
OPS = [op.OP.name for op in all_ops() if op.OP.name in sources.ops()]


def runs(op):
    return WITHOUT_CASES.get(op) or [Run(case) for case in MODULES[op].CASES]
