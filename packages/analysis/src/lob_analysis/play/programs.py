"""Functions that are compiled ahead of time, side by side, and with as much care as they are worth.

A study plays many small games, and compiling them takes longer than playing: XLA works in threads
and does not hold Python's lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
from lob_core.runtime import QUICK_OPTIONS, cpu_options


class Program:
    """A function of arrays that is compiled once for every shape of its arguments.

    Args:
        function: traced when it is first needed.
        is_quick: compile it with `QUICK_OPTIONS` on CPUs; for what runs two or three times.
    """

    def __init__(self, function: Callable[..., Any], *, is_quick: bool = False) -> None:
        self._function = jax.jit(function)
        self._is_quick = is_quick
        self._compiled: dict[Any, Any] = {}

    def __call__(self, *arguments: Any) -> Any:
        """Runs it; compiles it first if these shapes are new."""
        return self.prepared(*arguments)(*arguments)

    def prepared(self, *arguments: Any) -> Any:
        """The compiled program for arguments of these shapes."""
        leaves, structure = jax.tree.flatten(arguments)
        place = (structure, tuple(jax.typeof(leaf) for leaf in leaves))
        if place not in self._compiled:
            options = cpu_options(QUICK_OPTIONS) if self._is_quick else None
            lowered = self._function.lower(*arguments)
            self._compiled[place] = lowered.compile(compiler_options=options)
        return self._compiled[place]


def side_by_side(tasks: Sequence[Callable[[], Any]]) -> None:
    """Does all tasks, as many at a time as there are processors.

    Raises:
        Exception: the first that a task raised, in their order.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in [pool.submit(task) for task in tasks]:
            done.result()
