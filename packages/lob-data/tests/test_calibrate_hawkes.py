"""The Hawkes fit finds the process that events were drawn from, and says when there is none."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from lob_core.flow import Hawkes
from lob_core.flow.hawkes import check_stationary
from lob_data import (
    PrepareOptions,
    StoreError,
    calibrate,
    load_calibration,
    open_store,
    prepare,
    synthesize,
)
from lob_data.calibration.exposure_kernel import LIMIT, MARKET
from lob_data.calibration.figures import exponential_ks
from lob_data.calibration.flow_data import collect_flow
from lob_data.calibration.hawkes import Events, maximize_likelihood, standard_errors
from lob_data.calibration.hawkes_kernel import log_likelihood, rescaled_waits
from lob_data.testing import write_pair

RATE = np.array([1.0, 1.0, 0.3, 0.3])
BRANCHING = np.array(
    [
        [0.40, 0.05, 0.30, 0.10],
        [0.05, 0.40, 0.10, 0.30],
        [0.03, 0.00, 0.30, 0.05],
        [0.00, 0.03, 0.05, 0.30],
    ]
)
DECAY = np.array([2.0, 2.5, 20.0, 25.0])
EXCITATION = BRANCHING * DECAY


@numba.njit
def thin(seed, end, rate, excitation, decay):
    """Ogata's thinning: times and kinds of the process on `[0, end]`."""
    np.random.seed(seed)  # noqa: NPY002
    times, kinds = [0.0], [0]
    memory, now = np.zeros(len(rate)), 0.0
    while True:
        bound = rate.sum() + (excitation @ memory).sum()
        wait = np.random.exponential(1 / bound)  # noqa: NPY002
        now += wait
        if now > end:
            return np.array(times[1:]), np.array(kinds[1:])
        memory *= np.exp(-decay * wait)
        levels = np.cumsum(rate + excitation @ memory)
        draw = np.random.random() * bound  # noqa: NPY002
        if draw < levels[-1]:
            kind = np.searchsorted(levels, draw, side="right")
            memory[kind] += 1
            times.append(now)
            kinds.append(kind)


def draw_events(seed: int, end: float) -> Events:
    times, kinds = thin(seed, end, RATE, EXCITATION, DECAY)
    return Events(times, kinds.astype(np.int64), end)


@pytest.fixture(scope="module")
def parts() -> list[Events]:
    """Two days of the known process, about 12,000 events."""
    return [draw_events(1, 1000.0), draw_events(2, 600.0)]


@pytest.fixture(scope="module")
def found(parts):
    counts = sum(np.bincount(part.kinds, minlength=4) for part in parts)
    return maximize_likelihood(parts, counts.astype(float))


def test_log_likelihood__equals_the_double_sum_of_its_definition(parts):
    times, kinds, _ = (column[:60] if np.ndim(column) else column for column in parts[0])
    times, end = np.repeat(times[::2], 2), float(times[-1]) + 0.5  # pairs at one moment
    expected = 0.0
    for now, kind in zip(times, kinds, strict=True):
        is_past = times < now
        sums = EXCITATION[kind, kinds] * np.exp(-DECAY[kinds] * (now - times))
        expected += np.log(RATE[kind] + sums[is_past].sum())
    mass = (1 - np.exp(-DECAY[kinds] * (end - times))) / DECAY[kinds]
    expected -= RATE.sum() * end + (EXCITATION.sum(0)[kinds] * mass).sum()
    value = log_likelihood(times, kinds, end, RATE, EXCITATION, DECAY, np.zeros(24))
    np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_log_likelihood__gradient_equals_differences(parts):
    at = np.concatenate([RATE, EXCITATION.ravel() + 0.01, DECAY])
    gradient = np.zeros(24)

    def value(x, into):
        return log_likelihood(*parts[1], x[:4], x[4:20].reshape(4, 4), x[20:], into)

    value(at, gradient)
    for i in range(24):
        step = np.zeros(24)
        step[i] = 1e-5
        slope = (value(at + step, np.zeros(24)) - value(at - step, np.zeros(24))) / 2e-5
        np.testing.assert_allclose(gradient[i], slope, rtol=1e-4, atol=1e-3)


def test_maximize__recovers_every_parameter_within_four_standard_errors(parts, found):
    errors = standard_errors(parts, found[0])
    for name, true in (("excitation", EXCITATION), ("decay", DECAY), ("rate", RATE[::2])):
        value = getattr(found[0], name)
        value = value[::2] if name == "rate" else value
        assert (np.abs(value - true) < 4 * np.array(errors[name], float)).all(), name


def test_maximize__recovers_rates_and_branching_closely(found):
    best, _ = found
    np.testing.assert_allclose(best.rate, RATE, rtol=0.15)
    np.testing.assert_allclose(best.excitation / best.decay, BRANCHING, atol=0.08)


def test_maximize__bursts_do_not_send_the_search_to_rates_of_zero():
    # Forty bursts of twenty events within milliseconds, ten seconds apart: nearly all is excited.
    random = np.random.default_rng(0)
    starts = np.cumsum(random.exponential(10, 40))
    waits = random.exponential(1e-4, (40, 20))
    times = np.sort((starts[:, None] + np.cumsum(waits, axis=1)).ravel())
    kinds = random.integers(0, 4, times.size)
    counts = np.bincount(kinds, minlength=4).astype(float)
    found, value = maximize_likelihood([Events(times, kinds, float(times[-1]))], counts)
    assert np.isfinite(value)
    # Forty bursts in the time observed, by four kinds.
    assert 4 * found.rate.mean() == pytest.approx(40 / times[-1], rel=0.35)


def test_residuals__are_exponential_for_the_truth_and_not_for_constant_rates(parts):
    times, kinds, end = parts[0]
    waits = np.zeros(len(times))
    rescaled_waits(times, kinds, RATE, EXCITATION, DECAY, waits)
    assert waits.mean() == pytest.approx(1, abs=0.05)
    # The 0.1 % point of the Kolmogorov-Smirnov distance is 1.95 / sqrt(n).
    assert exponential_ks(waits) < 1.95 / np.sqrt(len(times))
    flat = np.bincount(kinds, minlength=4) / end
    rescaled_waits(times, kinds, flat, np.zeros((4, 4)), DECAY, waits)
    assert exponential_ks(waits) > 4 * 1.95 / np.sqrt(len(times))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of default Hawkes flow from lob_core, all of it in view."""
    folder = tmp_path_factory.mktemp("hawkes")
    synthesize(folder / "raw", num_messages=8_192, seed=5, num_levels=12, model=Hawkes())
    prepare(folder / "raw", folder / "store", PrepareOptions(verify=False))
    return folder / "store"


@pytest.fixture(scope="module")
def fitted(store):
    return calibrate(store, model="hawkes", num_levels=10, split=None)


def test_calibrate__recovers_the_model_that_lob_core_simulates(fitted):
    true = fitted.model.default_params()
    for name in ("excitation", "decay"):
        error = np.asarray(getattr(fitted.params, name)) - np.asarray(getattr(true, name))
        known = np.array(fitted.standard_errors[name], float)
        assert (np.abs(error) < 4 * known)[~np.isnan(known)].all(), name
    check_stationary(fitted.params)
    assert fitted.fit["spectral_radius"] == pytest.approx(0.46, abs=0.2)


def test_calibrate__hawkes_fits_hawkes_flow_better_than_poisson(store, fitted):
    fit = fitted.fit
    assert fit["aic"] < fit["aic_poisson"] - 100
    assert fit["residual_ks"] < 1.95 / np.sqrt(fit["events"])
    assert fit["residual_ks"] < 0.7 * fit["residual_ks_poisson"]
    part = collect_flow(open_store(store), None, None).parts[0]  # its columns are of the whole day
    for kind, name in ((LIMIT, "limit"), (MARKET, "market")):
        for side, way in ((1, "buy"), (-1, "sell")):
            hit = side if kind == LIMIT else -side
            count = ((part.kind == kind) & (part.side == hit)).sum()
            assert 100 < count < fit["events"]
            assert fit[f"residual_ks_{name}_{way}"] < 1.95 / np.sqrt(count)


def test_calibration__of_hawkes_survives_json_and_drives_synthesis(tmp_path, fitted):
    (tmp_path / "fit.json").write_text(fitted.to_json())
    loaded = load_calibration(tmp_path / "fit.json")
    assert (loaded.name, loaded.to_json()) == ("hawkes", fitted.to_json())
    arguments = {"num_messages": 1024, "num_levels": 2, "seed": 2}
    one, two = (
        synthesize(tmp_path / name, model=c.model, params=c.params, **arguments)
        for name, c in (("one", fitted), ("two", loaded))
    )
    assert one.pair.messages.path.read_bytes() == two.pair.messages.path.read_bytes()


def test_calibrate__too_few_market_orders_for_hawkes_says_so(tmp_path, venue):
    for size in (10, 20, 30):
        venue.delete(venue.submit(1, 9_998, size))
    venue.execute(-1, 5)
    write_pair(tmp_path / "raw", *venue.rows(3))
    prepare(tmp_path / "raw", tmp_path / "store", PrepareOptions(verify=False))
    with pytest.raises(StoreError, match="hold 0 limit_sell events"):
        calibrate(tmp_path / "store", model="hawkes", split=None)
