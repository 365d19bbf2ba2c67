# %% [markdown]
# # 1. A market made of messages
#
# A limit order book is a priority queue with two sides. Everything that happens to it is a
# message: *submit* (rest at a price), *market* (trade now) or *cancel*. Orders trade by best price
# first, then by who came first. Before anything learns, we need a market that moves by itself.
#
# **Zero intelligence** (Cont, Stoikov, Talreja 2010): traders without plans. Limit orders arrive
# $i$ ticks from the opposite best quote at rate $\lambda(i)$, market orders at rate $\mu$, and
# every resting order is cancelled at rate $\theta(i)$. All streams are independent and Poisson, so
# the time to the next message is exponential with the sum of all rates. The rates depend on the
# book, so the loop is closed: flow makes the book, and the book makes the flow.
#
# **Hawkes** (Hawkes 1971): the same, but events excite events,
# $$\mu_i(t) = \mu_i + \sum_j a_{ij} \sum_{t^j_k < t} e^{-b_j (t - t^j_k)}.$$

# %%
import jax
import numpy as np
import plotly.graph_objects as go
from lob_analysis.market.stylized import autocorrelation
from lob_analysis.pages.plots import style
from lob_core import BookConfig
from lob_core.flow import Hawkes, ZeroIntelligence, simulate
from lob_core.runtime import configure_cpu
from lob_core.views import level_2
from plotly.subplots import make_subplots

configure_cpu()  # before JAX starts

config = BookConfig(num_slots=128, max_trades=0)
NUM_MESSAGES = 20_000


# %% [markdown]
# One function for any model: draw an opening book, then let the model look at the book, send a
# message, look again, ... `simulate` does that inside one compiled program. `outcome.reports` has
# the best quotes after every message.


# %%
def run(model, seed):
    """The last book, and by message: time in seconds, best bid and ask in ticks."""
    params = model.default_params()

    @jax.jit
    def program(key):
        key_open, key_run = jax.random.split(key)
        book, state = model.opening(key_open, params, config)
        book, _, messages, outcome = simulate(
            model, key_run, book, state, params, NUM_MESSAGES, config
        )
        return book, messages, outcome.reports

    book, messages, reports = jax.device_get(program(jax.random.key(seed)))
    time = messages.time_s + messages.time_ns * 1e-9
    return book, time - time[0], reports.best_bid, reports.best_ask


results = {"zero intelligence": run(ZeroIntelligence(), 0), "Hawkes": run(Hawkes(), 0)}

# %% [markdown]
# ## The price
#
# Nobody in this market knows anything, and yet the mid wanders like a price. **What to see:** the
# mid is a staircase of half ticks; both models have the same kind of path; and the spread is
# almost always a few ticks, because a wide one invites orders inside it.

# %%
figure = make_subplots(rows=1, cols=2, subplot_titles=("mid", "share of messages by spread"))
for color, (name, (_, time, bid, ask)) in zip(("#1f77b4", "#d62728"), results.items(), strict=True):
    quoted = (bid > 0) & (ask > 0)
    path = np.flatnonzero(quoted)[::20]
    mid = (bid + ask)[path] / 2
    figure.add_scatter(x=time[path], y=mid, name=name, line={"color": color, "shape": "hv"})
    spread, count = np.unique((ask - bid)[quoted], return_counts=True)
    figure.add_bar(
        x=spread, y=count / count.sum(), marker_color=color, showlegend=False, row=1, col=2
    )
figure.update_xaxes(title="time (s)", col=1).update_xaxes(
    title="spread (ticks)", range=[0, 8], col=2
)
figure.update_yaxes(title="mid (ticks)", col=1)
style(figure).update_layout(legend={"y": -0.2, "yanchor": "top"}).show()

# %% [markdown]
# ## The shape of the book
#
# **What to see:** the queues nearest to the touch are not the longest ones: they are eaten by
# market orders. The hump a few ticks away is what Cont, Stoikov and Talreja find in real books as
# well.

# %%
figure = go.Figure()
for name, (book, *_) in results.items():
    bids, asks = level_2(book, 10)
    for side, levels in (("bids", bids), ("asks", asks)):
        shown = np.asarray(levels.size) > 0
        figure.add_bar(
            x=np.asarray(levels.price)[shown],
            y=np.asarray(levels.size)[shown],
            name=f"{name}, {side}",
        )
figure.update_layout(xaxis_title="price (ticks)", yaxis_title="resting (shares)")
style(figure).show()

# %% [markdown]
# ## Memory
#
# Real order flow comes in bursts. Count the messages of every 100 ms and correlate the counts with
# themselves: $\rho(k) = \mathrm{corr}(n_t, n_{t+k})$. Poisson counts at a constant rate have no
# memory; excitation gives some. **What to see:** the Hawkes counts stay correlated over several
# lags while those of zero intelligence are small at once.

# %%
LAGS = 12
figure = go.Figure()
for name, (_, time, *_) in results.items():
    counts = np.histogram(time, bins=np.arange(0.0, time[-1], 0.1))[0]
    memory = autocorrelation(counts, LAGS)
    figure.add_bar(x=np.arange(1, LAGS + 1), y=memory, name=name)
    print(
        f"{name:18s} {len(time) / time[-1]:5.1f} messages/s, lags 1 to 5: "
        f"{memory[:5].round(2).tolist()}"
    )
figure.update_layout(xaxis_title="lag (100 ms)", yaxis_title="autocorrelation of counts")
style(figure).show()

# %% [markdown]
# ## Things to try
#
# 1. Double the rate of market orders (`params.replace(market_rate=2 * params.market_rate)` for zero
#    intelligence). What happens to the spread, and why does volatility rise?
# 2. Run `jax.vmap(program)` over 64 keys and average the depth by distance from the mid: one book
#    is an anecdote, 64 are a shape.
# 3. Swap in `lob_core.flow.QueueReactive`, where the rates depend on the length of the queue
#    itself.
