"""What is measured, what the nearest peer reaches, and what would be a success."""

from __future__ import annotations

import dataclasses
from typing import Any

PARTS = ("engine", "environment", "training")


@dataclasses.dataclass(frozen=True)
class Plan:
    """Settings of all parts.

    Attributes:
        books: numbers of books.
        messages: messages of a call of the engine.
        slots: slots a side.
        backends: of the engine.
        least_messages: messages that a timed call plays on each book at least.
        agents: kinds of agents of the market, one agent each.
        envs: `(environments, messages a step)` of each environment row.
        env_steps: steps of a timed rollout.
        episode_steps: steps of an episode, for environments and training.
        windows: recorded windows that they replay.
        learners: `(network, precision)` of each training row.
        train_envs: parallel environments of training.
        train_steps: steps of its rollout.
        train_messages: messages of its steps.
        width: of the hidden layers and of the recurrent state.
        checked: books and environments that are played on the CPU too.
        calls: timed calls, of which the median counts.
        seconds: of the parts, after which nothing more is begun in them.
    """

    books: tuple[int, ...] = (1024, 4096, 65_536)
    messages: tuple[int, ...] = (100, 10, 1)
    slots: int = 128
    backends: tuple[str, ...] = ("pallas", "xla")
    least_messages: int = 100
    agents: tuple[str, ...] = ("market_maker", "execution")
    envs: tuple[tuple[int, int], ...] = ((4000, 100), (4000, 1), (65_536, 100), (65_536, 1))
    env_steps: int = 32
    episode_steps: int = 64
    windows: int = 16
    learners: tuple[tuple[str, str], ...] = (
        ("gru", "float32"),
        ("gru", "bfloat16"),
        ("gru", "tensorfloat32"),
        ("feed_forward", "float32"),
    )
    train_envs: int = 4096
    train_steps: int = 32
    train_messages: int = 100
    width: int = 256
    checked: int = 64
    calls: int = 5
    seconds: tuple[float, float, float] = (150.0, 150.0, 160.0)


FULL = Plan()
TINY = Plan(
    books=(4,),
    messages=(5,),
    slots=16,
    backends=("xla",),
    least_messages=10,
    agents=("market_maker",),
    envs=((4, 5),),
    env_steps=3,
    episode_steps=4,
    windows=2,
    learners=(("feed_forward", "float32"),),
    train_envs=4,
    train_steps=4,
    train_messages=5,
    width=8,
    checked=4,
    calls=2,
)
"""For trying the script on any machine in seconds."""

PEER = {
    "engine": {"any": "2.4 M to 5.8 M messages/s (JaxMARL-HFT, L40S)"},
    "environment": {
        1: "351 k env steps/s (JaxMARL-HFT, L40S, 4000 envs)",
        100: "22 k env steps/s (JaxMARL-HFT, L40S, 4000 envs)",
    },
    "training": {100: "17 k env steps/s on 4 H100, 4.3 k each (JaxMARL-HFT)"},
}
"""The nearest peer's published figures, by part and messages a step."""

GOALS = {
    "engine": {"any": 1e9},
    "environment": {1: 17e6, 100: 1.1e6},
    "training": {100: 20 * 17e3 / 4},
}
"""Rates to reach on one H200: 50 times the peer's environments, 20 times its training a GPU."""


def beside(table: dict[str, dict[Any, Any]], part: str, messages: int) -> Any:
    """The entry for a part at a number of messages, or None."""
    return table[part].get(messages, table[part].get("any"))


def settings_of(part: str, plan: Plan) -> list[tuple[Any, ...]]:
    """The rows of a part, the most important first."""
    if part == "engine":
        return [
            (backend, books, messages)
            for messages in plan.messages
            for books in plan.books
            for backend in plan.backends
        ]
    return list(plan.envs if part == "environment" else plan.learners)


def name_of(part: str, setting: tuple[Any, ...], plan: Plan) -> str:
    """A row as people read it."""
    agents = " + ".join(f"1 {kind}" for kind in plan.agents)
    if part == "engine":
        backend, books, messages = setting
        return f"{backend}, {books} books x {messages} messages, {plan.slots} slots"
    if part == "environment":
        envs, messages = setting
        return f"{agents}, {envs} environments, {messages} messages a step"
    network, precision = setting
    return (
        f"ippo, {agents}, {network} {plan.width}, {precision}, "
        f"{plan.train_envs} x {plan.train_steps}, {plan.train_messages} messages a step"
    )
