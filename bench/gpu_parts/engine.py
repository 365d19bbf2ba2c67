"""Messages a second of `lob_core.process_messages`, all bits compared with the CPU's."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
from lob_core import BookConfig, process_messages
from lob_core.flow import ZeroIntelligence, simulate

from gpu_parts.plan import Plan
from gpu_parts.timing import Compiler, differences, measure


class Engine:
    """The rows of the engine.

    Every book plays at least `plan.least_messages` messages in one program, a `scan` of calls.
    """

    def __init__(self, plan: Plan, device: jax.Device, cpu: jax.Device) -> None:
        self.plan, self.device, self.cpu = plan, device, cpu
        self.config = BookConfig(num_slots=plan.slots, max_trades=32, num_agents=2)
        self._compile = Compiler()
        self._flow = functools.cache(self._draw_flow)

    def row(self, setting: tuple[str, int, int]) -> tuple[dict[str, Any], Any, Any]:
        """Figures of one setting, and the program with its arguments for a profile."""
        backend, num_books, num_messages = setting
        books, messages, expected = self._flow(num_messages)
        repeats = -(-num_books // self.plan.checked)

        def tile(x: Any) -> Any:
            tiled = np.tile(x, (repeats,) + (1,) * (x.ndim - 1))[:num_books]
            return jax.device_put(tiled, self.device)

        arguments = jax.tree.map(tile, (books, messages))
        program = self._compile(setting, self._player(backend), arguments, self.device)
        result = program.compiled(*arguments)
        found = jax.device_get(jax.tree.map(lambda x: x[: self.plan.checked], result))
        expected = jax.tree.map(lambda x: x[: min(num_books, self.plan.checked)], expected)
        numbers = measure(program, arguments, self.device, self.plan.calls)
        num_calls = messages.price.shape[1]
        total = num_books * num_calls * num_messages
        return (
            {
                "unit": "messages/s",
                "rate": total / numbers["median_seconds"],
                "best_rate": total / numbers["least_seconds"],
                "messages": num_messages,
                "slots": self.plan.slots,
                "differs": differences(found, expected, tolerance=0.0),
                "checked": f"all bits of {len(found[0].bids.price)} books",
                **numbers,
            },
            program,
            arguments,
        )

    def _player(self, backend: str | None) -> Any:
        """Plays `[B, calls, M]` messages on `[B]` books, call by call."""

        def run(book: Any, messages: Any) -> Any:
            def play(book: Any, messages: Any) -> Any:
                book, outcome = process_messages(
                    book, messages, config=self.config, backend=backend
                )
                return book, (outcome.reports, outcome.fills, outcome.trades.count)

            return jax.lax.scan(play, book, messages)

        return jax.vmap(run)

    def _draw_flow(self, num_messages: int) -> Any:
        """Books in mid-session, what comes next `[books, calls, M]`, and how that ends."""
        plan, config = self.plan, self.config
        num_calls = max(1, plan.least_messages // num_messages)
        total = num_calls * num_messages
        model = ZeroIntelligence(refresh_every=10)
        params = model.default_params()

        def draw(key: jax.Array) -> Any:
            key_open, key_warm, key_run = jax.random.split(key, 3)
            book, state = model.opening(key_open, params, config)
            book, state, *_ = simulate(model, key_warm, book, state, params, 200, config)
            rounded = -(-total // 10) * 10
            return book, simulate(model, key_run, book, state, params, rounded, config)[2]

        def cut(rows: Any) -> Any:
            return rows[:, :total].reshape(plan.checked, num_calls, num_messages)

        with jax.default_device(self.cpu):
            keys = jax.random.split(jax.random.key(0), plan.checked)
            books, messages = jax.jit(jax.vmap(draw))(keys)
            messages = jax.tree.map(cut, messages)
            expected = jax.jit(self._player(None))(books, messages)
        return jax.device_get((books, messages, expected))
