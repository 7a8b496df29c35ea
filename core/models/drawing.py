"""What a model that paints in steps can do, whatever it was trained by: a base of DRAW.

    samples, reconstructions, posterior means of every step, completion of a picture known in part

Sizes: n or B data, k samples of each, R = k*B rows, D = C*height*width values of a picture, channel
by channel, Z = latent, T = glimpses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from backhand._types import Array
from backhand.layers import State
from backhand.model import Batch, DataSpec, Draw, Gaussian
from backhand.models.canvas import Start, Step
from backhand.models.vectors import OfVectors
from backhand.noise import Noise
from backhand.numerics import xp_of

ROUNDS = 20  # of a completion: each paints what is unknown anew, from what the last one made of it


class Film(NamedTuple):
    """A picture coming about.

    canvas: the means (T + 1, n, *shape), the first canvas included; read, write: where the
    windows were (``filterbank`` heads, (T, n, 5)), None without attention; kl (T, n) in nats.
    read and kl are None where nothing was looked at: in samples.
    """

    canvas: Array
    read: Array | None
    write: Array | None
    kl: Array | None


class Drawing(OfVectors):
    """Needs start, read, write, output, step and paint of ``models.draw``."""

    config: Any
    start: Start
    read: Any
    write: Any
    output: Any
    step: Callable[..., Step]  # (x, before, eps)
    paint: Callable[[Array, Array, State], tuple[Array, State, Callable[..., Any]]]

    def follow(self, x: Array, eps: Callable[[int], Array], k: int = 1) -> Iterator[Step]:
        """All steps in turn, on rows x (B, D), each k times."""
        rows = repeated(x, k)
        now, _ = self.start(len(rows))
        for t in range(self.config.glimpses):
            step = self.step(rows, now, eps(t))
            yield step
            now = step.after

    def dream(self, z: Array) -> Iterator[tuple[Array, State, Callable[..., tuple[Array, State]]]]:
        """The steps without x, of z (T, n, Z): what ``paint`` gives."""
        first, _ = self.start(z.shape[1])
        c, decoder = first.c, first.decoder
        for z_t in z:
            painted = self.paint(z_t, c, decoder)
            yield painted
            c, decoder, _ = painted

    def encode(self, batch: Batch) -> Gaussian:
        """q(z_t | x, z_<t) of all steps, (B, T, Z) each, where z_<t are the means before."""
        x = self._rows(batch.x)
        xp = xp_of(x)
        none = xp.zeros((len(x), self.config.latent), x.dtype)
        steps = list(self.follow(x, lambda t: none))
        return Gaussian(
            *(xp.stack(each, axis=1) for each in zip(*[s.q for s in steps], strict=True))
        )

    def decode(self, z: Array) -> Array:
        """The mean of p(x | z), (n, *shape), in the data's units; z (n, T, Z)."""
        for c, *_ in self.dream(z.swapaxes(0, 1)):
            last = c
        return self._shaped(self.output.mean(last))

    def sample(self, n: int, noise: Noise, given: Any = None) -> Draw:
        """n draws z_t ~ N(0, I), x ~ p(x | z); given a Batch with a mask, its unknown pixels.

        given: n pictures, ``mask`` (n, *shape) true where a pixel is known (see ``complete``).
        """
        if given is not None:
            completed = self.complete(given, noise)
            if len(completed.x) != n:
                raise ValueError(f"{len(completed.x)} pictures are given, n is {n}")
            return completed
        index = xp_of(self.params.vector).arange(n)
        z = self.prior(n, noise)  # (T, n, Z)
        for c, *_ in self.dream(z):
            last = c
        x = self.output.draw(last, noise, index)
        u = z.swapaxes(0, 1).reshape(n, -1)
        return Draw(self._shaped(x), self._shaped(self.output.mean(last)), u)

    def prior(self, n: int, noise: Noise) -> Array:
        """z_t ~ N(0, I), (T, n, Z)."""
        xp, dtype = xp_of(self.params.vector), self.params.vector.dtype
        T, shape = self.config.glimpses, (self.config.latent,)
        each = [noise.normal("prior", xp.arange(n), shape, layer=t, dtype=dtype) for t in range(T)]
        return xp.stack(each)  # type: ignore[no-any-return]

    def reconstruct(self, batch: Batch, noise: Noise) -> Array:
        """The mean of p(x | z) for one z ~ q(z | x), (B, *shape)."""
        x = self._rows(batch.x)
        for step in self.follow(x, self.noise_of(batch.index, noise)):
            last = step.after.c
        return self._shaped(self.output.mean(last))

    def complete(self, given: Batch, noise: Noise, rounds: int = ROUNDS) -> Draw:
        """Pictures whose unknown pixels are drawn from what the known ones leave possible.

        given.mask (n, *shape) is true where x is known.  A Markov chain (Rezende, Mohamed &
        Wierstra 2014, section 6.4): z ~ q(z | x), then what is unknown of x from p(x | z), again
        and again; it starts where the canvas does.  Approximate as far as q is.
        """
        if not isinstance(given, Batch) or given.mask is None or given.mask.shape != given.x.shape:
            raise ValueError(
                "given must be a Batch whose mask, of the shape of x, is true where x is known"
            )
        if rounds < 1:
            raise ValueError(f"rounds must be at least 1, got {rounds}")
        x = self._rows(given.x)  # (n, D)
        xp, known = xp_of(x), self._planes(given.mask.reshape(len(x), -1)) != 0  # (n, D)
        mean = drawn = self.output.mean(self.start(len(x))[0].c)  # (n, D)
        for i in range(rounds):
            here = noise._replace(first=noise.first + i)
            seen = xp.where(known, x, drawn)
            for step in self.follow(seen, self.noise_of(given.index, here)):
                c = step.after.c
            mean, drawn = self.output.mean(c), self.output.draw(c, here, given.index)
        return Draw(*(self._shaped(xp.where(known, x, y)) for y in (drawn, mean)))

    def film(self, n: int, noise: Noise, batch: Batch | None = None) -> Film:
        """Every step of ``sample(n, noise)``, or of ``reconstruct(batch, noise)``."""
        xp, kl = xp_of(self.params.vector), None
        now, _ = self.start(n if batch is None else len(batch.x))
        c, h = [now.c], [now.decoder.h]  # before the first step, and after each
        if batch is None:
            for c_t, decoder, _ in self.dream(self.prior(n, noise)):
                c.append(c_t)
                h.append(decoder.h)
        else:
            steps = list(self.follow(self._rows(batch.x), self.noise_of(batch.index, noise)))
            c += [step.after.c for step in steps]
            h += [step.after.decoder.h for step in steps]
            kl = xp.stack([step.kl.sum(axis=1) for step in steps])  # (T, n)

        def heads(part: Any, states: list[Array]) -> Array | None:
            window = getattr(part, "window", None)  # none without attention
            return None if window is None else xp.stack([window(h_t)[0] for h_t in states])

        canvas = xp.stack([self._shaped(self.output.mean(c_t)) for c_t in c])
        read = None if batch is None else heads(self.read, h[:-1])
        return Film(canvas, read, heads(self.write, h[1:]), kl)

    def noise_of(self, index: Array, noise: Noise, k: int = 1) -> Callable[[int], Array]:
        """eps_t, (k*B, Z), new at every step."""
        size, dtype = self.config.latent, self.params.vector.real.dtype

        def eps(t: int) -> Array:
            drawn = noise.normal("latent", index, (size,), k=k, layer=t, dtype=dtype)
            return drawn.reshape(-1, size)

        return eps

    # -- layout --------------------------------------------------------------------

    def _planes(self, rows: Array) -> Array:
        """(n, D) as the data have it, channels last, to channel by channel."""
        return channels_first(rows, planes("draw", self.spec))

    def _rows(self, x: Array) -> Array:
        return self._planes(super()._rows(x))

    def _shaped(self, y: Array) -> Array:
        C, height, width = planes("draw", self.spec)
        if C > 1:
            y = y.reshape(-1, C, height * width).swapaxes(1, 2).reshape(len(y), -1)
        return super()._shaped(y)


def planes(model: str, spec: DataSpec) -> tuple[int, int, int]:
    """C, height, width of pictures (height, width) or, in colour, (height, width, C)."""
    if len(spec.shape) not in (2, 3):
        raise ValueError(
            f"{model} takes pictures, (height, width) or (height, width, channels), got data of "
            f"shape {tuple(spec.shape)}"
        )
    height, width, C = (*spec.shape, 1)[:3]
    return C, height, width


def channels_first(rows: Array, shape: tuple[int, int, int]) -> Array:
    """Rows (n, D), the channels of a pixel side by side, to rows channel by channel."""
    C, height, width = shape
    if C == 1:
        return rows
    return rows.reshape(-1, height * width, C).swapaxes(1, 2).reshape(len(rows), -1)


def repeated(x: Array, k: int) -> Array:
    """(B, ...) k times in a row, (k*B, ...): as noise of k samples lies."""
    if k == 1:
        return x
    return xp_of(x).broadcast_to(x, (k, *x.shape)).reshape(k * len(x), *x.shape[1:])  # type: ignore[no-any-return]
