"""What a launch of a CUDA kernel moves and computes, from its arguments and the text of csrc/.

Bytes: each array once, and twice where the kernel updates it in place.  That is the least: what
samples share, or what a kernel reads in two passes, is taken to come from a cache.
Operations: the arithmetic operators that *_math.h writes for an element, functions that it calls
included, times the elements; a fused multiplication and addition is two.  Comparisons, addresses
and what a block adds up at the end are not counted.
"""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

from backhand.csrc import sources

ATTENTION = ("attention_read", "attention_write")
# Arrays that are written but read before.
UPDATED = {
    "adam_update_all": "theta m v", "causal_conv_add": "u", "embedding_add_pieces": "W",
    "embedding_add_heads": "W", "linear_cross_entropy_absorb": "top total",
    "linear_cross_entropy_gradient": "x",
}  # fmt: skip
# Tables of which no more rows are touched than another array has.
ROWS = {"embedding_forward": "y", "embedding_add_pieces": "dy", "embedding_add_heads": "heads"}
# Operations of a kernel, "array: functions of *_math.h and operators beside them" for each element
# of the array.  /n: a thread does it for n; *y, *t: blocks, threads along y all do it.
WORK = {
    "adam_update_all": "theta: adam_update",
    "bernoulli_logits_forward": "logits: bernoulli_linear bernoulli_factor 2",
    "bernoulli_logits_backward": "logits: bernoulli_slope 2",
    "bias_activation_forward": "y: activation 1",
    "bias_activation_backward": "da: slope 2",
    "bias_activation_sum": "x: 1",
    "causal_conv_add": "u: activation 2",
    "causal_conv_take": "out: 0",
    "embedding_forward": "y: 0",
    "embedding_add_pieces": "dy: 1",
    "embedding_add_heads": "heads: 1",
    "filterbank_forward": "F_Y: filter_entry 3; F_X: filter_entry 3",
    "filterbank_backward": "dF_Y: filter_dlogit 9; dF_X: filter_dlogit 9",
    "gaussian_density_forward": "mean: gaussian_inverse_std gaussian_residual gaussian_term 1",
    "gaussian_density_backward": (
        "mean: gaussian_inverse_std gaussian_residual gaussian_dmean gaussian_dlogvar 1"
    ),
    "gaussian_density_backward_shared": (
        "mean: gaussian_inverse_std gaussian_residual gaussian_dmean gaussian_dlogvar 1"
    ),
    "gaussian_density_sum": "x: 1",
    "gaussian_density_dx": "dmean: 1",
    "gaussian_latent_forward": (
        "z: gaussian_latent_sample; mean*y: gaussian_latent_scale; mean: gaussian_latent_kl"
    ),
    "gaussian_latent_backward": (
        "dz: 3; mean*t: gaussian_latent_scale; mean: gaussian_latent_dmean gaussian_latent_dlogvar"
    ),
    "gaussian_sample_forward": "z: gaussian_sample_z bh_exp 5",
    "gaussian_sample_backward": "dz: gaussian_sample_dz 4; stats/2: bh_exp gaussian_sample_ds",
    "importance_weights_tiles": "log_w: importance_weights_e 1",
    "importance_weights_results": "sum: importance_weights_e 2; bound: importance_weights_bound",
    "importance_weights_backward": "log_w: importance_weights_e 2",
    "linear_cross_entropy_absorb": "x: softmax_term 3",
    "linear_cross_entropy_gradient": "x: softmax_slope 4",
    "linear_cross_entropy_sum": "x: 1",
    "lstm_step_forward": (
        "c: bh_sigmoid bh_sigmoid bh_sigmoid bh_tanh lstm_step_cell lstm_step_hidden 5"
    ),
    "lstm_step_backward": "c: lstm_step_gradient",
    "lstm_step_sum": "da: 1",
    "philox_draw_integers": "out/4: philox_words",
    "philox_draw_uniforms": "out/4: philox_words; out: philox_uniform",
    "philox_draw_normals": "out/4: philox_words",
    "philox_draw_bernoullis": "out/4: philox_words; out: philox_uniform",
    "softmax_cross_entropy_forward": "logits: softmax_term 1",
    "softmax_cross_entropy_backward": "logits: softmax_slope",
}
DOUBLES = {"philox_draw_normals": "out/2: philox_normals_float"}
# By the number of the activation in bias_activation_math.h.
ACTIVATIONS = ("0", "bh_tanh", "bh_sigmoid", "0", "1", "bh_softplus", "bh_expm1")
SLOPES = ("0", "2", "2", "0", "0", "bh_expm1", "1")

Arguments = dict[str, Any]  # the numbers and arrays of a launch, by the kernel's parameters


@cache
def parameters(op: str, kernel: str) -> tuple[sources.Parameter, ...]:
    return sources.kernels(op)[kernel].parameters


def extent(x: Any) -> int:
    """Bytes of an array; what is broadcast counts once."""
    sizes = zip(x.shape, x.strides, strict=True)
    return int(x.itemsize * math.prod(n for n, stride in sizes if stride or n == 0))


def kernel_bytes(op: str, kernel: str, arguments: Arguments) -> int:
    """Read and written by one launch."""
    total = 0
    for p in parameters(op, kernel):
        x = arguments[p.name]
        if not p.pointer or x is None:
            continue
        passes = 2 if p.name in UPDATED.get(kernel, "").split() else 1
        size = extent(x)
        if p.name == "W" and kernel in ROWS:
            size = min(size, extent(arguments[ROWS[kernel]]))
        total += passes * size
    return total


def kernel_operations(
    op: str, kernel: str, arguments: Arguments, rows: int, threads: int
) -> tuple[float, float]:
    """(float, double) operations of one launch; rows, threads: blocks, threads along y."""
    if op in ATTENTION:
        return float(_attention(kernel, arguments)), 0.0
    f = arguments.get("f", 0)
    named = {"activation": ACTIVATIONS[f], "slope": SLOPES[f]}

    def count(pieces: str) -> float:
        total = 0.0
        for piece in pieces.split(";"):
            array, _, words = piece.strip().partition(":")
            name, sign, how_often = re.fullmatch(r"(\w+)([*/]?)(\w*)", array).groups()  # type: ignore[union-attr]
            times = {"y": rows, "t": threads}.get(how_often) or float(how_often or 1)
            each = sum(_word(named.get(word, word)) for word in words.split())
            total += arguments[name].size * each * (1 / times if sign == "/" else times)
        return total

    return count(WORK[kernel]), count(DOUBLES[kernel]) if kernel in DOUBLES else 0.0


def _word(word: str) -> int:
    return int(word) if word.isdigit() else operators(word)


def _attention(kernel: str, a: Arguments) -> int:
    """The products of csrc/filterbank/products_device.h, and two banks."""
    N, height, width, C, D = a["N"], a["height"], a["width"], a["C"], a.get("D", 0)
    gather, mix = 2 * N * height * width, 2 * N * N * width  # F_Y image, P F_X
    look, paint = mix, gather
    seen = mix + gather + gather + mix  # bank_gradients: D, T, dF_Y, dF_X
    painted = C * (a.get("dx") is not None) + D * (a.get("dx_hat") is not None)
    each = {
        "attention_read_forward": (C + D) * (gather + look),
        "attention_read_backward": (C + D) * seen + painted * paint,
        "attention_write_forward": C * (mix + paint),
        "attention_write_backward": C * (seen + look),
    }[kernel]
    bank = operators("filter_entry") + 3
    if kernel.endswith("backward"):
        bank += operators("filter_dlogit") + 9
    return int(a["batch"] * (each + N * (height + width) * bank))


# -- the text ------------------------------------------------------------------------------------

_FUNCTION = re.compile(r"^BH_HD [\w<>&]+ (\w+)\(([^{]*)\) \{(.*?)(?:^\}|\}$)", re.M | re.S)
_OPERATOR = re.compile(r"(?<= )(?:[-+*/^&|]|<<|>>)=?(?=\s)|[-+*/]=")


@cache
def functions() -> dict[str, str]:
    """{name: body} of what *_math.h defines; of what there is for float and for double, float."""
    found: dict[str, str] = {}
    for path in sorted(sources.ROOT.glob("*/*_math.h")):
        text = re.sub(r"//.*", "", path.read_text(encoding="utf-8"))
        text = re.sub(r"\b1\.0 / [\d.]+", "1.0", text)  # a constant
        # exp and expm1 of what is reduced already have names of their own here.
        text = re.sub(r"\b(bh_exp|bh_expm1)\((?=BhReduced|e\)|bh_reduce)", r"\1_reduced(", text)
        for name, parameters, body in _FUNCTION.findall(text):
            if "double" not in parameters:
                found[name] = body
    return found


@cache
def operators(name: str) -> int:
    """Arithmetic operators and roots of a function of *_math.h, and of all that it calls."""
    body = functions()[name]
    called = re.findall(r"\b(\w+)(?:<\w+>)?\(", body)
    total = len(_OPERATOR.findall(body)) + len(re.findall(r"\bsqrtf?\(", body))
    total += sum(operators(f) for f in called if f in functions())
    return total * (10 if name == "philox_words" else 1)  # its rounds are a loop
