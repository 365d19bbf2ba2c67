"""Order flow that follows a fundamental value: some traders know it, with noise."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri

from lob_core.flow.base import as_float
from lob_core.flow.composing import compose, num_spare_draws, wait_from_uniform
from lob_core.flow.draws import count_at_most, running_sum
from lob_core.flow.fundamental import OrnsteinUhlenbeck, OrnsteinUhlenbeckParams
from lob_core.flow.zero_intelligence import ZeroIntelligence
from lob_core.flow.zero_params import ZeroIntelligenceParams, ZeroIntelligenceState
from lob_core.types import Array, BookConfig, BookState, Message, Replaceable, pytree_dataclass

_VALUE_TRADER = 5
_LEAST_UNIFORM = 2.0**-24


@pytree_dataclass
class ValueTradersParams(Replaceable):
    """Parameters of `ValueTraders`.

    Attributes:
        base: the flow of those who do not know the value; `opening_price` is not read.
        fundamental: the law of the value.
        value_rate: `[]` float32, arrivals per second of traders who know it.
        noise: `[]` float32, ticks, >= 0, standard deviation of what they make of it.
    """

    base: ZeroIntelligenceParams
    fundamental: OrnsteinUhlenbeckParams
    value_rate: Array
    noise: Array


@pytree_dataclass
class ValueTradersState(ZeroIntelligenceState):
    """Adds the fundamental value.

    Attributes:
        value: `[]` float32, ticks, at the first message of the last look.
        lag_s: `[]` float32, seconds from then to the last message.
    """

    value: Array
    lag_s: Array


@dataclasses.dataclass(frozen=True)
class ValueTraders:
    """Zero-intelligence flow, and traders who trade towards an Ornstein-Uhlenbeck value.

    The value moves and jumps as `OrnsteinUhlenbeck` says, whatever the market does. Value traders
    arrive at the times of a Poisson process. Each has an estimate of its own, the value plus normal
    noise; it buys if that is above the mid, else it sells, by a limit order at the estimate (a
    buyer's is rounded down to ticks, a seller's up). So given the book an arrival buys with
    probability `Phi((value - mid) / noise)`; its order trades with
    whatever is offered at a better price than the estimate and rests for the remainder, and the mid
    follows the value.

    All else is as in `ZeroIntelligence`, resting orders of value traders are cancelled like others.
    With more than one message a look, all of its value traders know the value at the time of its
    first message.

    Attributes:
        num_levels: distances in ticks at which limit orders of the others arrive.
        refresh_every: messages that `simulate` draws from one look at the book; 1 is exact.
        max_shocks: see `OrnsteinUhlenbeck`.

    Raises:
        ValueError: if a field is below 1.

    References:
        Byrd, Hybinette, Balch (2020), ABIDES: towards high-fidelity multi-agent market simulation,
        PADS, whose value agents observe a mean-reverting fundamental with noise and arrive by a
        Poisson process. Here they use the last observation alone, without a Bayesian update.
    """

    num_levels: int = 10
    refresh_every: int = 1
    max_shocks: int = 32

    def __post_init__(self) -> None:
        hash((self._base, self._fundamental))  # checks the fields

    @property
    def _base(self) -> ZeroIntelligence:
        return ZeroIntelligence(self.num_levels, self.refresh_every)

    @property
    def _fundamental(self) -> OrnsteinUhlenbeck:
        return OrnsteinUhlenbeck(self.max_shocks)

    def default_params(self) -> ValueTradersParams:
        """The defaults of both parts; two value traders a second, who err by two ticks."""
        return ValueTradersParams(
            base=self._base.default_params(),
            fundamental=self._fundamental.default_params(),
            value_rate=as_float(2.0),
            noise=as_float(2.0),
        )

    def opening(
        self, key: Array, params: ValueTradersParams, config: BookConfig
    ) -> tuple[BookState, ValueTradersState]:
        """A value from its stationary law, and a book of `ZeroIntelligence.opening` around it.

        Args:
            key: PRNG key, consumed.
            params: the model's parameters.
            config: shapes.

        Returns:
            A book with leaves `[N]` and the state at the opening time.
        """
        key_value, key_book = jax.random.split(key)
        value = self._fundamental.initial(key_value, params.fundamental)
        price = jnp.maximum(jnp.floor(value), 1.0).astype(jnp.int32)
        base = params.base.replace(opening_price=price)
        book, state = self._base.opening(key_book, base, config)
        fields = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
        return book, ValueTradersState(**fields, value=value, lag_s=as_float(0.0))

    def sample(
        self,
        key: Array,
        book: BookState,
        state: ValueTradersState,
        params: ValueTradersParams,
        num_messages: int,
    ) -> tuple[Message, ValueTradersState]:
        """The next messages, all drawn from one look at the book.

        Args:
            key: PRNG key, consumed.
            book: one book, leaves `[N]`.
            state: state of the model.
            params: its parameters; the rates must not all be zero.
            num_messages: `M`, static.

        Returns:
            Messages `[M]` as `ZeroIntelligence.sample` describes them, and the new state.
        """
        key_events, key_value = jax.random.split(key)
        spare = num_spare_draws(num_messages)
        uniform = jax.random.uniform(key_events, (3 * num_messages + spare,))
        for_kind, for_wait = uniform[:num_messages], uniform[num_messages : 2 * num_messages]
        look = self._base.look(book, state, params.base)
        others = jnp.append(self._base.arrival_rates(params.base), look.cancel_rate.sum())
        rates = jnp.append(others, params.value_rate)
        sums = running_sum(rates)
        target = for_kind * sums[-1]
        kind = count_at_most(sums[:-1], target)
        within = (target - (sums - rates)[kind]) / rates[kind]
        wait_s = wait_from_uniform(for_wait, sums[-1])

        passed = state.lag_s + wait_s[0]
        value = self._fundamental.advance(key_value, state.value, params.fundamental, passed)
        is_theirs = kind == _VALUE_TRADER
        events = self._base.events(
            jnp.where(is_theirs, 0, kind),
            wait_s,
            within,
            uniform[2 * num_messages :],
            look,
            params.base,
        )
        error = ndtri(jnp.clip(within, _LEAST_UNIFORM, 1 - _LEAST_UNIFORM))
        estimate = value + params.noise * error
        is_buy = estimate > (look.best_bid + look.best_ask) / 2
        price = jnp.where(is_buy, jnp.floor(estimate), jnp.ceil(estimate))
        price = jnp.maximum(price, 1.0).astype(jnp.int32)
        events = events._replace(
            is_buy=jnp.where(is_theirs, is_buy, events.is_buy),
            price=jnp.where(is_theirs, price, events.price),
        )
        messages, clock = compose(events, look, state)
        return messages, state.replace(
            **clock,
            last_bid=look.best_bid,
            last_ask=look.best_ask,
            value=value,
            lag_s=wait_s[1:].sum(),
        )
