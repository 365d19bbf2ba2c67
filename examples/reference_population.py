"""A market of a thousand rule-based traders, and the stylized facts of its prices.

    python examples/reference_population.py --steps 23400      # a whole session

Prints the mid beside the fundamental, moments and autocorrelations of returns, spread, depth and
volume, what each kind of trader did, and the speed.
"""

from __future__ import annotations

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from lob_core.runtime import configure_cpu
from marl_envs import MarketEnv
from marl_envs.population.reference import reference_params, reference_population

LAGS = (1, 5, 20)


def simulate(env: MarketEnv, params, key):
    """The state at the end, and by step: mid, fundamental, spread, depth, volume."""
    key_reset, key_play = jax.random.split(key)
    _, state = env.reset_env(key_reset, params)

    def step(state, index):
        key_step = jax.random.fold_in(key_play, index)
        _, state, *_, info = env.step_env(key_step, state, {}, params)
        market, book = info["market"], state.book
        near = [jnp.sum(jnp.where(s.price > 0, s.size, 0)) for s in (book.bids, book.asks)]
        row = (
            market["mid"],
            market["fundamental"],
            market["spread"],
            sum(near) / 2,
            market["volume"],
        )
        return state, jnp.stack([jnp.asarray(value, jnp.float32) for value in row])

    return jax.lax.scan(step, state, jnp.arange(env.config.num_steps))


def autocorrelation(values: np.ndarray, lag: int) -> float:
    """Of a series with itself `lag` steps later; 0 for a series that is too short or constant."""
    if len(values) <= lag + 1 or values.std() == 0:
        return 0.0
    return float(np.corrcoef(values[lag:], values[:-lag])[0, 1])


def print_facts(rows: np.ndarray) -> None:
    """Stylized facts of a simulated session, `rows` `[steps, 5]` as `simulate` returns them."""
    mid, fundamental, spread, depth, volume = rows.T
    returns = np.diff(mid)
    spare = returns - returns.mean()
    kurtosis = np.mean(spare**4) / max(np.mean(spare**2) ** 2, 1e-12) - 3
    minutes = np.diff(mid[::60])
    print(f"mid                   {mid[0]:.1f} -> {mid[-1]:.1f} ticks")
    print(f"mid - fundamental     mean {np.mean(np.abs(mid - fundamental)):.2f} ticks in size")
    print(
        f"return of a step      deviation {returns.std():.3f} ticks, excess kurtosis {kurtosis:.1f}"
    )
    print(f"return of 60 steps    deviation {minutes.std() if len(minutes) else 0:.2f} ticks")
    print(f"spread                mean {spread.mean():.2f} ticks")
    print(f"depth a side          mean {depth.mean():.0f} shares")
    print(f"volume of a step      mean {volume.mean():.1f} shares")
    print("autocorrelation at lag " + "  ".join(f"{lag:6d}" for lag in LAGS))
    for name, series in (
        ("returns", returns),
        ("absolute returns", np.abs(returns)),
        ("volume", volume),
    ):
        numbers = "  ".join(f"{autocorrelation(series, lag):6.2f}" for lag in LAGS)
        print(f"  {name:20s} {numbers}")


def print_traders(env: MarketEnv, state) -> None:
    """What each kind of trader did."""
    print(
        f"{'traders':10s} {'number':>6s} {'bought':>8s} {'sold':>8s} {'as maker':>9s} {'pnl':>9s}"
    )
    mark = state.market.mid_half_ticks / 2 - state.reference_price
    for spec in env.config.agents:
        account = state.agents[spec.name].account
        traded = int(account.bought.sum() + account.sold.sum())
        maker = int(account.maker_size.sum()) / max(traded, 1)
        worth = float(jnp.sum(account.net_cash + account.inventory * mark))
        print(
            f"{spec.name:10s}{spec.num_agents:10d}{int(account.bought.sum()):10d}"
            f"{int(account.sold.sum()):10d}{maker:10.0%}{worth:10.0f}"
        )


def main() -> None:
    """Simulates and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3600, help="seconds to simulate")
    parser.add_argument("--noise", type=int, default=1000, help="number of noise traders")
    parser.add_argument("--value", type=int, default=100, help="number of value traders")
    parser.add_argument("--slots", type=int, default=1024, help="resting orders a side")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    configure_cpu()
    config = reference_population(
        options.steps, num_value=options.value, num_noise=options.noise, num_slots=options.slots
    )
    env = MarketEnv(config)
    params = reference_params(env)
    key = jax.random.key(options.seed)
    start = time.perf_counter()
    run = jax.jit(lambda key: simulate(env, params, key)).lower(key).compile()
    compiled = time.perf_counter()
    state, rows = jax.block_until_ready(run(key))
    seconds = time.perf_counter() - compiled
    print_facts(np.asarray(rows, np.float64))
    print_traders(env, state)
    dropped = int(state.book.counters.dropped_orders)
    print(f"orders dropped by a full book: {dropped}")
    print(
        f"{config.num_agents} agents, {options.steps} steps in {seconds:.1f} s: "
        f"{options.steps / seconds:.0f} steps/s (compiled in {compiled - start:.0f} s)"
    )


if __name__ == "__main__":
    main()
