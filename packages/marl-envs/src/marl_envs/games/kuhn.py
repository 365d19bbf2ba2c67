"""Kuhn poker: the smallest poker with bluffing, in strategic form."""

from __future__ import annotations

from itertools import permutations
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from marl_envs.base import AgentGroup, ByType, MultiAgentEnv
from marl_envs.spaces import Box, Discrete

Array = jax.Array
Floats = npt.NDArray[np.float64]

NUM_CARDS: Final = 3
FIRST_PLANS: Final = ("check, then fold", "check, then call", "bet")
"""What the first player can plan to do with a card."""
SECOND_PLANS: Final = ("check, fold", "check, call", "bet, fold", "bet, call")
"""What the second player can plan to do with a card: after a check, after a bet."""
VALUE: Final = -1.0 / 18.0
"""What the first player gets in equilibrium, chips."""


def showdown_payoffs() -> Floats:
    """Chips won by the first player, `[3, 3, 3, 4]`.

    Axes: card of the first player, card of the second, plan of the first, plan of the second.
    Entries with equal cards, which are never dealt, are zero.
    """
    table = np.zeros((NUM_CARDS, NUM_CARDS, len(FIRST_PLANS), len(SECOND_PLANS)))
    for first, second in permutations(range(NUM_CARDS), 2):
        wins = 1.0 if first > second else -1.0
        for plan, reply in np.ndindex(*table.shape[2:]):
            bets_after_check, calls = divmod(reply, 2)
            if plan == 2:
                chips = 2.0 * wins if calls else 1.0
            elif not bets_after_check:
                chips = wins
            else:
                chips = 2.0 * wins if plan == 1 else -1.0
            table[first, second, plan, reply] = chips
    return table


def expected_value(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """What the first player gets on average, chips.

    Args:
        first: `[3, 3]`, probability of each plan of the first player, by card.
        second: `[3, 4]`, of the second player.
    """
    plans = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return float(np.einsum("cp,dq,cdpq->", *plans, showdown_payoffs()) / 6.0)


def nash_conv(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """What both players together would gain by best responses, chips; 0 at an equilibrium.

    Uniform play at every decision has 11/12.

    Args:
        first: `[3, 3]`, probability of each plan of the first player, by card.
        second: `[3, 4]`, of the second player.
    """
    table = showdown_payoffs() / 6.0
    gain = np.einsum("dq,cdpq->cp", np.asarray(second, np.float64), table).max(axis=1).sum()
    loss = np.einsum("cp,cdpq->dq", np.asarray(first, np.float64), table).min(axis=1).sum()
    return float(gain - loss)


class KuhnPoker(MultiAgentEnv[Any, Array]):
    """Three cards, one chip ante, one bet of one chip.

    Each player sees its card and chooses a plan for the whole hand (`FIRST_PLANS`,
    `SECOND_PLANS`), so that a hand is one step with both acting at once. A mixture of plans for
    each card is the same as a behavior strategy, since no player forgets anything (Kuhn 1953),
    and the equilibria are those of the game with turns.

    The value is -1/18 for the first player. With alpha in [0, 1/3], it bluffs with the lowest card
    with probability alpha, bets the highest with 3 alpha, never bets the middle one and calls with
    it with probability alpha + 1/3; the second player calls with the middle card and bluffs with
    the lowest after a check with probability 1/3 each.

    Types are `"first"` and `"second"`, one agent each; an observation is the card, one-hot; the
    state is both cards `[2]` int32; `params` are not read.

    References:
        Kuhn (1950), A simplified two-person poker; Kuhn (1953), Extensive games and the problem
        of information.
    """

    @property
    def groups(self) -> dict[str, AgentGroup]:
        """The two players."""
        cards = Box(0.0, 1.0, (NUM_CARDS,))
        labels = ("low", "middle", "high")
        return {
            "first": AgentGroup("first", "player", 1, cards, Discrete(len(FIRST_PLANS)), labels),
            "second": AgentGroup("second", "player", 1, cards, Discrete(len(SECOND_PLANS)), labels),
        }

    def _observe(self, state: Array) -> ByType:
        seen = jax.nn.one_hot(state, NUM_CARDS, dtype=jnp.float32)
        return {"first": seen[:1], "second": seen[1:]}

    def reset_env(self, key: Array, params: Any) -> tuple[ByType, Array]:
        """Deals two different cards."""
        cards = jax.random.permutation(key, NUM_CARDS)[:2].astype(jnp.int32)
        return self._observe(cards), cards

    def step_env(
        self, key: Array, state: Array, action: ByType, params: Any
    ) -> tuple[ByType, Array, ByType, ByType, ByType, dict[str, Any]]:
        """Plays the hand out and pays both players."""
        table = jnp.asarray(showdown_payoffs(), jnp.float32)
        chips = table[state[0], state[1], action["first"][0], action["second"][0]]
        yes = {name: jnp.ones((1,), bool) for name in ("first", "second")}
        no = {name: jnp.zeros((1,), bool) for name in ("first", "second")}
        info = {
            "active": yes,
            "episode": {"done": jnp.ones((), bool)},
            "market": {},
            "counters": {},
        }
        reward = {"first": chips[None], "second": -chips[None]}
        return self._observe(state), state, reward, yes, no, info
