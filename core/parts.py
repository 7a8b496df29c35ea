"""Parts of a batch on threads of their own: each goes forward and backward with its rows.

For models whose step is a long chain of small products (DRAW): threads inside each product would
wait for each other thousands of times, these meet once.  It takes a model whose rows know nothing
of each other.  How many there are: ``bh.set_threads(parts=2)``.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TypeVar

from backhand.grads import Grads
from backhand.threads import parts

Result = TypeVar("Result")


class Team:
    """Gradients for each part, made by ``create``; ``grads`` are those that the sum is in.

    divisible: False keeps a batch whole.
    """

    def __init__(self, create: Callable[[], list[Grads]], divisible: bool = True) -> None:
        self._create = create
        self._divisible = divisible
        self._grads = [create()]
        self._pool: ThreadPoolExecutor | None = None

    @property
    def grads(self) -> list[Grads]:
        return self._grads[0]

    def run(self, work: Callable[[slice, list[Grads]], Result], n: int) -> list[Result]:
        """work(rows, grads) for each part of n rows, in order; it fills and flushes its grads.

        Whatever the threads' order, the sum is taken in the order of the parts.
        """
        count = max(1, min(parts(), n)) if self._divisible else 1
        if count == 1:
            return [work(slice(0, n), self._grads[0])]
        while len(self._grads) < count:
            self._grads.append(self._create())
        cuts = [slice(n * i // count, n * (i + 1) // count) for i in range(count)]
        others = self._start(work, cuts)
        try:
            results = [work(cuts[0], self._grads[0])]
        finally:
            wait(others)  # nobody writes any more, whatever happened
        results += [other.result() for other in others]
        for more in self._grads[1:count]:
            for total, g in zip(self._grads[0], more, strict=True):
                total.vector[...] += g.vector
        return results

    def _start(
        self, work: Callable[[slice, list[Grads]], Result], cuts: list[slice]
    ) -> list[Future[Result]]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(len(cuts) - 1, "backhand-part")
        # Each in a copy of this context: the backend that was asked for holds there too.
        return [
            self._pool.submit(copy_context().run, work, cut, grads)
            for cut, grads in zip(cuts[1:], self._grads[1:], strict=False)
        ]
