"""Closed forms of optimal quotes and optimal execution; no agent, book or market appears here.

Distances are ticks away from the mid, positive on the passive side. All functions are pure and
broadcast; learners' action schemes and rule-based agents share them.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

Array = jax.Array

_SQUARINGS = 12
"""The exponential of a matrix is that of its 2^-12 part, squared 12 times."""
_TINY = 1e-35
"""Floor of such a matrix, whose logarithm is taken."""
_SMALL = 1e-4
"""Below this urgency the schedule of Almgren and Chriss is a straight line to float32."""


def avellaneda_stoikov(
    inventory: Any, gamma: Any, variance_left: Any, decay: Any
) -> tuple[Array, Array]:
    """Distances of bid and ask from the mid.

    reservation = mid - I gamma sigma^2 tau; half spread = gamma sigma^2 tau / 2 +
    ln(1 + gamma / k) / gamma; quotes lie half a spread to either side of the reservation price.

    Args:
        inventory: I.
        gamma: risk aversion, per tick and unit of inventory; > 0.
        variance_left: sigma^2 tau, variance of the mid until the end, ticks^2.
        decay: k, per tick, of the fill intensity A exp(-k distance).

    Returns:
        Bid distance and ask distance, ticks.

    References:
        Avellaneda, Stoikov (2008), High-frequency trading in a limit order book, Quantitative
        Finance 8(3), equations 29 and 30.
    """
    risk = gamma * variance_left
    half = risk / 2 + jnp.log1p(gamma / decay) / gamma
    return half + inventory * risk, half - inventory * risk


def gueant_lehalle_fernandez_tapia(
    inventory: Any, gamma: Any, volatility: Any, decay: Any, arrival_rate: Any
) -> tuple[Array, Array]:
    """Distances of bid and ask from the mid when the horizon is far away.

    bid = ln(1 + gamma / k) / gamma + (2 I + 1) / 2 s and ask = ln(1 + gamma / k) / gamma -
    (2 I - 1) / 2 s with s = sqrt(sigma^2 gamma / (2 k A) (1 + gamma / k)^(1 + k / gamma)).

    Args:
        inventory: I.
        gamma: risk aversion, per tick and unit of inventory; > 0.
        volatility: sigma, ticks per square root of a step.
        decay: k, per tick.
        arrival_rate: A, fills a step at the mid; > 0.

    Returns:
        Bid distance and ask distance, ticks.

    References:
        Gueant, Lehalle, Fernandez-Tapia (2013), Dealing with the inventory risk, Mathematics and
        Financial Economics 7(4), the asymptotic approximation of section 4.
    """
    log_ratio = jnp.log1p(gamma / decay)
    growth = jnp.exp((1 + decay / gamma) * log_ratio)
    slope = volatility * jnp.sqrt(gamma / (2 * decay * arrival_rate) * growth)
    base = log_ratio / gamma
    return base + (2 * inventory + 1) / 2 * slope, base - (2 * inventory - 1) / 2 * slope


def cartea_jaimungal(
    steps_left: Any,
    decay: Any,
    arrival_rate: Any,
    running_penalty: Any,
    terminal_penalty: Any,
    inventory_limit: int,
) -> tuple[Array, Array]:
    """Distances of bid and ask from the mid for every inventory a maker may hold.

    With w(tau) = exp(M tau) z, z_q = exp(-k alpha q^2), M_qq = -k phi q^2 and M_q,q+-1 = A / e:
    h = ln(w) / k, bid = 1 / k + h(q) - h(q + 1), ask = 1 / k + h(q) - h(q - 1).

    Args:
        steps_left: tau, `[]`.
        decay: k, per tick.
        arrival_rate: A, fills a step and side at the mid.
        running_penalty: phi, ticks a step for an inventory of one.
        terminal_penalty: alpha, ticks a share for an inventory of one at the end.
        inventory_limit: Q; no quote would raise an inventory beyond it.

    Returns:
        `[2 Q + 1]` float32 each, for the inventories -Q .. Q; infinite where not to quote.

    References:
        Cartea, Jaimungal, Penalva (2015), Algorithmic and high-frequency trading, section 10.2,
        equations 10.10 to 10.12; the trading rates of the two sides are taken as equal.
    """
    levels = jnp.arange(-inventory_limit, inventory_limit + 1, dtype=jnp.float32)
    size = levels.shape[0]
    beside = jnp.eye(size, k=1) + jnp.eye(size, k=-1)
    generator = arrival_rate / jnp.e * beside - jnp.diag(decay * running_penalty * levels**2)
    small = generator * steps_left / 2**_SQUARINGS
    power = jnp.eye(size) + small @ (jnp.eye(size) + small @ (jnp.eye(size) + small / 3) / 2)

    def square(_: int, matrix: Array) -> Array:
        matrix = matrix @ matrix  # only ratios matter, so the scale may be taken out
        return jnp.maximum(matrix / jnp.max(matrix), _TINY)

    weights = jax.lax.fori_loop(0, _SQUARINGS, square, power)
    terminal = -decay * terminal_penalty * levels**2
    value = jax.nn.logsumexp(jnp.log(weights) + terminal, axis=-1) / decay
    edge = jnp.full((1,), jnp.inf)
    bid = jnp.concatenate([value[:-1] - value[1:], edge])
    ask = jnp.concatenate([edge, value[1:] - value[:-1]])
    return 1 / decay + bid, 1 / decay + ask


def almgren_chriss_remaining(step: Any, num_steps: Any, urgency: Any) -> Array:
    """Share of the task that is left after `step` of `num_steps` steps.

    sinh(kappa (T - t)) / sinh(kappa T); a straight line for kappa = 0. Written with exponentials
    of negative numbers, so that no urgency overflows.

    Args:
        step: t, steps done.
        num_steps: T.
        urgency: kappa, a step; see `almgren_chriss_urgency`.

    References:
        Almgren, Chriss (2000), Optimal execution of portfolio transactions, Journal of Risk 3(2),
        equation 18.
    """
    kappa = jnp.maximum(jnp.asarray(urgency, jnp.float32), _SMALL)
    left = num_steps - step
    curve = (
        jnp.exp(-kappa * step) * jnp.expm1(-2 * kappa * left) / jnp.expm1(-2 * kappa * num_steps)
    )
    straight = left / jnp.maximum(num_steps, 1)
    return jnp.where(jnp.asarray(urgency) < _SMALL, straight, curve)


def almgren_chriss_urgency(risk_aversion: Any, volatility: Any, temporary_impact: Any) -> Array:
    """Kappa of one step: 2 (cosh(kappa) - 1) = lambda sigma^2 / eta.

    Args:
        risk_aversion: lambda >= 0, per tick times share.
        volatility: sigma, ticks per square root of a step.
        temporary_impact: eta > 0, ticks for each share a step (permanent impact taken off).

    References:
        Almgren, Chriss (2000), the equations between 15 and 18.
    """
    return jnp.arccosh(1 + risk_aversion * volatility**2 / temporary_impact / 2)


def obizhaeva_wang_remaining(trades: Any, num_trades: Any, resilience: Any) -> Array:
    """Share of the task that is left after `trades` of `num_trades` equally spaced trades.

    With a = exp(-rho): the first and the last of N + 1 trades are 1 / (2 + (N - 1)(1 - a)), each
    other one is 1 - a of that.

    Args:
        trades: trades done.
        num_trades: N + 1 >= 1.
        resilience: rho > 0, of the book between two trades; as it grows, trades become equal.

    References:
        Obizhaeva, Wang (2013), Optimal trading strategy and supply/demand dynamics, Journal of
        Financial Markets 16(1), proposition 1, in the form of Alfonsi, Fruth, Schied (2010),
        Optimal execution strategies in limit order books with general shape functions,
        Quantitative Finance 10(2), section 5.
    """
    refill = -jnp.expm1(-jnp.asarray(resilience, jnp.float32))
    last = jnp.asarray(num_trades) - 1
    first = 1 / (2 + (last - 1) * refill)
    inner = jnp.clip(trades - 1, 0, jnp.maximum(last - 1, 0))
    left = 1 - first * ((trades > 0) + inner * refill)
    return jnp.where(jnp.asarray(trades) >= num_trades, 0.0, left)


def curve_remaining(share_of_time: Any, volume_curve: tuple[float, ...]) -> Array:
    """Share of the day's volume that is still to come, linear within the bins of a curve.

    Args:
        share_of_time: share of the episode gone, 0 to 1.
        volume_curve: volume of equally long bins, in any unit; estimate it on training days only.
    """
    curve = jnp.asarray(volume_curve, jnp.float32)
    done = jnp.concatenate([jnp.zeros(1), jnp.cumsum(curve) / jnp.sum(curve)])
    grid = jnp.linspace(0.0, 1.0, len(volume_curve) + 1)
    return 1 - jnp.interp(share_of_time, grid, done)


def optimal_fundamental_estimate(
    estimate: Any, variance: Any, signal: Any, noise_variance: Any
) -> tuple[Array, Array]:
    """Posterior mean and variance of a value after one noisy signal of it.

    gain = v / (v + n); mean = m + gain (s - m); variance = (1 - gain) v.

    Args:
        estimate: prior mean m.
        variance: prior variance v >= 0.
        signal: s.
        noise_variance: n > 0.
    """
    gain = variance / (variance + noise_variance)
    return estimate + gain * (signal - estimate), (1 - gain) * variance


def mean_reverting_forecast(
    estimate: Any, variance: Any, mean: Any, reversion: Any, volatility: Any, seconds: Any
) -> tuple[Array, Array]:
    """Mean and variance, some seconds later, of a value that follows an Ornstein-Uhlenbeck law.

    With d = exp(-kappa dt): mu + d (m - mu), and d^2 v + sigma^2 (1 - d^2) / (2 kappa).

    Args:
        estimate: m, ticks.
        variance: v, ticks^2.
        mean: mu, ticks.
        reversion: kappa, 1/s, > 0.
        volatility: sigma, ticks per square root of a second.
        seconds: dt >= 0.

    References:
        Uhlenbeck, Ornstein (1930), On the theory of the Brownian motion, Physical Review 36.
    """
    decay = jnp.exp(-reversion * seconds)
    gathered = -(volatility**2) * jnp.expm1(-2 * reversion * seconds) / (2 * reversion)
    return mean + decay * (estimate - mean), decay**2 * variance + gathered
