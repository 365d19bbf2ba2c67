"""Order flow whose limit and market orders excite each other: a multivariate Hawkes process."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from lob_core.flow.base import as_float
from lob_core.flow.composing import num_spare_draws, wait_from_uniform
from lob_core.flow.draws import count_at_most, running_sum
from lob_core.flow.zero_intelligence import ZeroIntelligence
from lob_core.flow.zero_params import (
    DEFAULT_MARKET_RATE,
    ZeroIntelligenceParams,
    ZeroIntelligenceState,
    default_limit_rates,
)
from lob_core.types import Array, BookConfig, BookState, Message, Replaceable, pytree_dataclass

NUM_KINDS = 4
"""Kinds that excite: limit buy, limit sell, market buy, market sell."""


@pytree_dataclass
class HawkesParams(Replaceable):
    """Parameters of `Hawkes`.

    Attributes:
        base: rates without excitation, per second, and everything that is not a rate: where limit
            orders go, how often resting orders are cancelled, sizes, opening.
        excitation: `[4, 4]` float32, per second; `excitation[i, j]` is by how much an event of
            kind `j` raises the intensity of kind `i` at once.
        decay: `[4]` float32, per second; how fast what kind `j` excites dies away.
    """

    base: ZeroIntelligenceParams
    excitation: Array
    decay: Array


@pytree_dataclass
class HawkesState(ZeroIntelligenceState):
    """Adds what past events still excite.

    Attributes:
        memory: `[4]` float32, for each kind the sum over past events of `exp(-decay * age)`.
    """

    memory: Array


@dataclasses.dataclass(frozen=True)
class Hawkes:
    """Mutually exciting arrivals of limit and market orders; cancels as in `ZeroIntelligence`.

    The intensity of kind `i` is `mu_i + sum_j a_ij sum_{t_k^j < t} exp(-b_j (t - t_k^j))`, with
    `mu` from `params.base`. Resting orders are cancelled at rates proportional to their number,
    which keeps the book stationary. Without excitation the model is `ZeroIntelligence`.

    Between events the part of the total intensity that kind `j` excites decays as one
    exponential, so the next event is the first of five: one of a constant rate and one for each
    decaying part, whose times have a closed-form inverse. This is exact, and unlike thinning needs
    no loop of random length under `vmap`.

    Attributes:
        num_levels: distances in ticks at which limit orders arrive.
        refresh_every: messages that `simulate` draws from one look at the book. Excitation does
            not wait for a look; only prices and cancels do.

    Raises:
        ValueError: if a field is below 1.

    References:
        Hawkes (1971), Spectra of some self-exciting and mutually exciting point processes,
        Biometrika 58(1). Dassios, Zhao (2013), Exact simulation of Hawkes process with
        exponentially decaying intensity, Electronic Communications in Probability 18(62),
        algorithm 3.1, here with several decays.
    """

    num_levels: int = 10
    refresh_every: int = 1

    def __post_init__(self) -> None:
        hash(self._base)  # checks the fields

    @property
    def _base(self) -> ZeroIntelligence:
        return ZeroIntelligence(self.num_levels, self.refresh_every)

    def default_params(self) -> HawkesParams:
        """The rates of `ZeroIntelligence`, half of them caused by earlier events.

        Each kind mostly excites itself; market orders also draw limit orders on both sides.
        """
        branching = np.array(
            [
                [0.35, 0.05, 0.15, 0.25],
                [0.05, 0.35, 0.25, 0.15],
                [0.02, 0.01, 0.30, 0.02],
                [0.01, 0.02, 0.02, 0.30],
            ]
        )
        decay = np.array([2.0, 2.0, 4.0, 4.0])
        limit_rate = default_limit_rates(self.num_levels)
        wanted = np.repeat([limit_rate.sum(), DEFAULT_MARKET_RATE], 2)
        calm = (np.eye(NUM_KINDS) - branching) @ wanted
        return HawkesParams(
            base=self._base.default_params().replace(
                limit_rate=as_float(limit_rate * (calm[0] / wanted[0])),
                market_rate=as_float(calm[2]),
            ),
            excitation=as_float(branching * decay),
            decay=as_float(decay),
        )

    def opening(
        self, key: Array, params: HawkesParams, config: BookConfig
    ) -> tuple[BookState, HawkesState]:
        """A random book as in `ZeroIntelligence.opening` at the mean rates, and a mean memory.

        Args:
            key: PRNG key, consumed.
            params: the model's parameters.
            config: shapes.

        Returns:
            A book with leaves `[N]` and the state at the opening time.
        """
        rates = mean_rates(params, self._base.arrival_rates(params.base))
        scale = rates[:2].mean() / params.base.limit_rate.sum()
        lively = params.base.replace(limit_rate=params.base.limit_rate * scale)
        book, state = self._base.opening(key, lively, config)
        fields = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
        return book, HawkesState(**fields, memory=rates / params.decay)

    def sample(
        self,
        key: Array,
        book: BookState,
        state: HawkesState,
        params: HawkesParams,
        num_messages: int,
    ) -> tuple[Message, HawkesState]:
        """The next messages, with prices and cancels drawn from one look at the book.

        Args:
            key: PRNG key, consumed.
            book: one book, leaves `[N]`.
            state: state of the model.
            params: its parameters.
            num_messages: `M`, static.

        Returns:
            Messages `[M]` as `ZeroIntelligence.sample` describes them, and the new state.
        """
        num_draws = NUM_KINDS + 3  # for waits, kind, level
        num_rest = num_messages + num_spare_draws(num_messages)
        uniform = jax.random.uniform(key, (num_draws * num_messages + num_rest,))
        for_event = uniform[: num_draws * num_messages].reshape(num_draws, num_messages)
        look = self._base.look(book, state, params.base)
        constant = jnp.append(self._base.arrival_rates(params.base), look.cancel_rate.sum())
        total = constant.sum()
        calm_wait = wait_from_uniform(for_event[NUM_KINDS], total)
        strength = params.excitation.sum(0)

        def next_event(
            memory: Array, draws: tuple[Array, Array, Array]
        ) -> tuple[Array, tuple[Array, Array]]:
            calm_wait, exponential, for_kind = draws
            wait = jnp.minimum(calm_wait, _excited_wait(exponential, strength * memory, params))
            memory = memory * jnp.exp(-params.decay * wait)
            intensity = constant.at[:NUM_KINDS].add((params.excitation * memory).sum(-1))
            sums = running_sum(intensity)
            kind = count_at_most(sums[:-1], for_kind * sums[-1])
            return memory + (kind == jnp.arange(NUM_KINDS)), (kind, wait)

        draws = (calm_wait, -jnp.log1p(-for_event[:NUM_KINDS]).T, for_event[NUM_KINDS + 1])
        memory, (kind, wait_s) = jax.lax.scan(next_event, state.memory, draws)
        for_rest = uniform[num_draws * num_messages :]
        messages, state = self._base.compose(
            kind, wait_s, for_event[NUM_KINDS + 2], for_rest, look, state, params.base
        )
        return messages, state.replace(memory=memory)


def _excited_wait(exponential: Array, excited: Array, params: HawkesParams) -> Array:
    """`[]` float32 seconds to the first event of four decaying rates.

    A rate `s exp(-b t)` has its first event at `-log(1 - b E / s) / b` for a standard exponential
    `E`, or never if `b E >= s`.
    """
    used = params.decay * exponential / jnp.maximum(excited, 1e-30)
    decaying = jnp.where(used < 1, -jnp.log1p(-jnp.minimum(used, 1)) / params.decay, jnp.inf)
    return decaying.min()


def branching_matrix(params: HawkesParams) -> Array:
    """`[4, 4]`, `[i, j]` the mean number of events of kind `i` that one of kind `j` causes."""
    return params.excitation / params.decay


def mean_rates(params: HawkesParams, constant: Array) -> Array:
    """Stationary rates `(I - branching)^-1 mu` of the four kinds.

    Args:
        params: the model's parameters.
        constant: `[4]` float32, the rates `mu` without excitation.

    Returns:
        `[4]` float32, per second.
    """
    matrix = jnp.eye(NUM_KINDS) - branching_matrix(params)
    system = jnp.concatenate([matrix, constant[:, None]], axis=1)
    for kind in range(NUM_KINDS):  # Gauss-Jordan elimination: an M-matrix needs no pivots
        row = system[kind] / system[kind, kind]
        system = (system - system[:, kind, None] * row).at[kind].set(row)
    return system[:, -1]


def check_stationary(params: HawkesParams) -> None:
    """Checks concrete parameters before they are traced.

    Raises:
        ValueError: if a rate is negative, a decay is not positive, or the spectral radius of the
            branching matrix is 1 or more: the flow would explode.
    """
    excitation, decay = np.asarray(params.excitation), np.asarray(params.decay)
    if (excitation < 0).any() or (decay <= 0).any():
        raise ValueError("excitation must be >= 0 and decay > 0")
    radius = float(np.abs(np.linalg.eigvals(excitation / decay)).max())
    if radius >= 1:
        raise ValueError(
            f"the branching matrix has spectral radius {radius:.3f}; it must be below 1, "
            "or events cause more than one event each and the flow explodes"
        )
