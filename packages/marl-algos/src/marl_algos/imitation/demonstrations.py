"""What a rule-based agent does, written down in the actions of a learner.

A rule (Avellaneda-Stoikov, TWAP) plays the market by an action scheme of its own. What it wants in
a state is compared with what every action of the learner's scheme would want in the same state:
the action whose orders lie nearest is the one to imitate.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from lob_core.types import Side
from marl_envs import MarketEnv
from marl_envs.deciding import DECISION_KEY, type_key
from marl_envs.spaces import Discrete, MultiDiscrete, Space
from marl_envs.types import EnvParams, Wanted

from marl_algos.baselines import Baseline, calibrated_params, with_baselines
from marl_algos.rollout import flatten_obs

Array: TypeAlias = jax.Array

MISS_TICKS: Final = 10.0
"""How far apart two shares count of which only one side wants one, in ticks."""
_MOST_CANDIDATES: Final = 4096
_POINTS: Final = 1024
"""Points of a box that are compared."""


@struct.dataclass
class Demonstrations:
    """What the agents of one type did in episodes of one length.

    Attributes:
        obs: `[T, E, A, F]`, as the environment gave it.
        action: `[T, E, A, ...]`, the learner's action that lies nearest.
        distance: `[T, E, A]` float32, how far its orders are from the rule's, ticks times shares;
            0 if they are the same.
        active: `[T, E, A]` bool, the agent took part in the step.
        legal: `[T, E, A, n]` bool, actions that were allowed; None if the type is free.
    """

    obs: Array
    action: Array
    distance: Array
    active: Array
    legal: Array | None


def demonstrate(
    env: MarketEnv,
    params: EnvParams,
    rules: Mapping[str, str],
    choices: Mapping[str, int],
    num_episodes: int,
    key: Array,
) -> dict[str, Demonstrations]:
    """Plays rules against each other and writes down what they do.

    Args:
        env: the market as learners play it.
        params: its parameters; constants that a rule needs are measured on them.
        rules: by agent type, the action scheme that it plays by; all types of `env`.
        choices: by agent type, the constant action of that scheme; 0 where missing.
        num_episodes: `E`.
        key: consumed.

    Raises:
        ValueError: if a type has no rule, a rule or a choice is of no type, or a rule, its choice
            or the learner's scheme cannot be imitated.
    """
    played = _rule_market(env, rules, choices)
    params = calibrated_params(played, params, params)
    number = {t.name: position for position, t in enumerate(played.types)}
    learners = {t.name: t for t in env.types}
    candidates = {name: _candidates(name, group.action_space) for name, group in env.groups.items()}
    constant = {
        name: jnp.full((played.groups[name].num_agents,), choices.get(name, 0), jnp.int32)
        for name in rules
    }

    def episode(key: Array) -> dict[str, Demonstrations]:
        obs, state = played.reset_env(key, params)

        def step(now: Any, index: Array) -> tuple[Any, dict[str, Demonstrations]]:
            obs, state = now
            key_step = jax.random.fold_in(key, index)
            flat = flatten_obs(played, obs)
            shown = {}
            for name in rules:
                wanted = _wanted(played, number[name], key_step, constant[name], state, params)
                action, distance = _nearest(
                    learners[name].action, candidates[name], wanted, state, name, params
                )
                active = state.agents[name].is_active
                shown[name] = Demonstrations(flat[name], action, distance, active, None)
            obs, state, *_ = played.step_env(key_step, state, constant, params)
            return (obs, state), shown

        _, record = jax.lax.scan(step, (obs, state), jnp.arange(1, env.config.num_steps + 1))
        return record

    recorded = jax.jit(jax.vmap(episode, out_axes=1))(jax.random.split(key, num_episodes))
    found: dict[str, Demonstrations] = recorded
    return found


def _rule_market(env: MarketEnv, rules: Mapping[str, str], choices: Mapping[str, int]) -> MarketEnv:
    """The market in which every type plays by its rule.

    Raises:
        ValueError: as `demonstrate`.
    """
    if set(rules) != set(env.groups):
        raise ValueError(f"rules are given for {sorted(rules)}; the types are {sorted(env.groups)}")
    unknown = sorted(set(choices) - set(env.groups))
    if unknown:
        raise ValueError(f"choices are given for {unknown}; the types are {sorted(env.groups)}")
    played = with_baselines(env, {name: Baseline(rule, rule) for name, rule in rules.items()})
    for t in env.types:
        if t.terms.has_feed_latency:
            raise ValueError(f"agents {t.name!r} see the market late and cannot be imitated")
        space = played.groups[t.name].action_space
        choice = choices.get(t.name, 0)
        if not isinstance(space, Discrete) or not 0 <= choice < space.n:
            raise ValueError(f"rule {rules[t.name]!r} of {t.name!r} has no action {choice}")
    return played


def _candidates(name: str, space: Space) -> Array:
    """Actions that are compared, `[C, ...]`: all, or points spread over a box."""
    if isinstance(space, Discrete):
        return jnp.arange(space.n, dtype=jnp.int32)
    if isinstance(space, MultiDiscrete):
        if np.prod(space.ns) > _MOST_CANDIDATES:
            raise ValueError(
                f"agents {name!r} have {np.prod(space.ns)} actions; at most {_MOST_CANDIDATES} "
                "can be compared with a rule"
            )
        return jnp.asarray(list(itertools.product(*map(range, space.ns))), jnp.int32)
    (size,) = space.shape
    share = jax.random.uniform(jax.random.key(0), (_POINTS, size))
    return space.low + (space.high - space.low) * share


def _wanted(
    env: MarketEnv, position: int, key: Array, action: Array, state: Any, params: EnvParams
) -> Wanted:
    """What the rule of a type wants in the step that `key` belongs to, leaves `[A, K]`."""
    t = env.types[position]
    own = state.agents[t.name]
    keys = jax.random.split(type_key(key, DECISION_KEY, position), t.num_agents)
    wanted, _ = jax.vmap(t.action.decide, (0, 0, 0, 0, None, None))(
        keys, action, own, own.action_memory, state.market, params.calibration
    )
    orders: Wanted = wanted
    return orders


def _nearest(
    scheme: Any, candidates: Array, wanted: Wanted, state: Any, name: str, params: EnvParams
) -> tuple[Array, Array]:
    """Actions `[A, ...]` of a scheme whose orders lie nearest, and how far they lie `[A]`."""

    def one(own: Any, target: Wanted) -> tuple[Array, Array]:
        offered = jax.vmap(scheme.wanted, (0, None, None, None))(
            candidates, own, state.market, params.calibration
        )
        distances = jax.vmap(order_distance, (0, None))(offered, target)
        best = jnp.argmin(distances)
        return candidates[best], distances[best]

    pair: tuple[Array, Array] = jax.vmap(one)(state.agents[name], wanted)
    return pair


def order_distance(left: Wanted, right: Wanted) -> Array:
    """How far apart two sets of orders lie, `[]` float32, ticks times shares.

    On each side shares that both want are moved from one mean price to the other, and each share
    that only one of them wants counts `MISS_TICKS`.
    """
    total = jnp.zeros(())
    for side in (Side.BID, Side.ASK):
        (size, price), (other, at) = _side(left, side), _side(right, side)
        common = jnp.minimum(size, other)
        total += common * jnp.abs(price - at) + MISS_TICKS * jnp.abs(size - other)
    return total


def _side(wanted: Wanted, side: int) -> tuple[Array, Array]:
    """Shares wanted on a side, and their mean price."""
    size = jnp.where(wanted.side == side, wanted.size, 0).astype(jnp.float32)
    total = jnp.sum(size)
    return total, jnp.sum(size * wanted.price) / jnp.maximum(total, 1.0)


def shares(demonstrations: Demonstrations, held_out: float) -> tuple[Any, Any]:
    """Episodes to learn from, and those held out: the last ones, a share of all, one at least."""
    number = demonstrations.active.shape[1]
    border = min(max(round(number * (1.0 - held_out)), 1), number - 1)
    first = jax.tree.map(lambda x: x[:, :border], demonstrations)
    return first, jax.tree.map(lambda x: x[:, border:], demonstrations)


def usable_rules(
    env: MarketEnv, rules: Mapping[str, str], known: Mapping[str, Any]
) -> dict[str, str]:
    """The rule of every learning type: the one that is named, else the first of its kind.

    Args:
        env: the market.
        rules: what is named, by agent type.
        known: baselines by kind of agent, `marl_algos.baselines.BASELINES`.

    Raises:
        ValueError: if a type has neither.
    """
    chosen = dict(rules)
    for spec in env.config.agents:
        if spec.name in env.groups and spec.name not in chosen:
            if spec.kind not in known:
                raise ValueError(f"name the rule of {spec.name!r}: its kind has no baseline")
            chosen[spec.name] = known[spec.kind][0].action
    return chosen
