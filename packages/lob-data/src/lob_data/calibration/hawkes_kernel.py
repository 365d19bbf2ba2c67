"""Log-likelihood, gradient, information and residuals of the Hawkes process of `lob_core.flow`."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]


@numba.njit(cache=True)
def log_likelihood(
    times: Float,
    kinds: Int,
    end: float,
    rate: Float,
    excitation: Float,
    decay: Float,
    gradient: Float,
) -> float:
    """Log-likelihood of events on `[0, end]`, in one pass.

    What past events excite is kept as one sum for each kind, `S_j = sum exp(-b_j (t - t_k))`, and
    its derivative `D_j` by `b_j`; both decay from event to event. Events of one moment do not
    excite each other: the sums run over earlier times only.

    Args:
        times: `[n]` seconds, ascending.
        kinds: `[n]`, 0 to `K - 1`.
        end: seconds observed.
        rate: `[K]` rates without excitation.
        excitation: `[K, K]`, `a[i, j]` as in `HawkesParams`.
        decay: `[K]`.
        gradient: `[K + K^2 + K]`, to which the derivatives by `rate`, `excitation` (by rows) and
            `decay` are added.

    Returns:
        The log-likelihood.

    References:
        Ozaki (1979), Maximum likelihood estimation of Hawkes' self-exciting point processes,
        Annals of the Institute of Statistical Mathematics 31, equations 4 to 8.
    """
    num_kinds = len(rate)
    memory, slope = np.zeros(num_kinds), np.zeros(num_kinds)
    waiting = np.zeros(num_kinds)  # events of this moment, not yet part of the memory
    caused = excitation.sum(0)
    of_decay = num_kinds + num_kinds * num_kinds
    total = 0.0
    last = 0.0
    for n in range(len(times)):
        kind, wait = kinds[n], times[n] - last
        if wait > 0:
            _advance(memory, slope, waiting, decay, wait)
            last = times[n]
        intensity = rate[kind]
        for j in range(num_kinds):
            intensity += excitation[kind, j] * memory[j]
        total += np.log(intensity)
        gradient[kind] += 1 / intensity
        for j in range(num_kinds):
            gradient[num_kinds + kind * num_kinds + j] += memory[j] / intensity
            gradient[of_decay + j] += excitation[kind, j] * slope[j] / intensity
        waiting[kind] += 1
        # What this event is expected to cause until the end.
        age = end - times[n]
        left = np.exp(-decay[kind] * age)
        mass = (1 - left) / decay[kind]
        total -= caused[kind] * mass
        for i in range(num_kinds):
            gradient[num_kinds + i * num_kinds + kind] -= mass
        gradient[of_decay + kind] -= caused[kind] * (age * left - mass) / decay[kind]
    for i in range(num_kinds):
        total -= rate[i] * end
        gradient[i] -= end
    return total


@numba.njit(cache=True)
def _advance(memory: Float, slope: Float, waiting: Float, decay: Float, wait: float) -> None:
    """Takes in the events of the last moment and lets `wait` seconds pass."""
    for j in range(len(memory)):
        memory[j] += waiting[j]
        waiting[j] = 0
        left = np.exp(-decay[j] * wait)
        slope[j] = left * (slope[j] - wait * memory[j])
        memory[j] *= left


@numba.njit(cache=True)
def add_information(
    times: Float, kinds: Int, rate: Float, excitation: Float, decay: Float, information: Float
) -> None:
    """Adds the outer products of the intensity's log-gradient at each event.

    Their expectation is Fisher's information. Entries of `information` are ordered as those of
    `gradient` in `log_likelihood`.
    """
    num_kinds = len(rate)
    memory, slope = np.zeros(num_kinds), np.zeros(num_kinds)
    waiting = np.zeros(num_kinds)
    num_entries = 1 + 2 * num_kinds
    entry, value = np.zeros(num_entries, np.int64), np.zeros(num_entries)
    last = 0.0
    for n in range(len(times)):
        kind, wait = kinds[n], times[n] - last
        if wait > 0:
            _advance(memory, slope, waiting, decay, wait)
            last = times[n]
        intensity = rate[kind]
        entry[0], value[0] = kind, 1.0
        for j in range(num_kinds):
            intensity += excitation[kind, j] * memory[j]
            entry[1 + j], value[1 + j] = num_kinds * (1 + kind) + j, memory[j]
            entry[1 + num_kinds + j] = num_kinds * (1 + num_kinds) + j
            value[1 + num_kinds + j] = excitation[kind, j] * slope[j]
        for a in range(num_entries):
            for b in range(num_entries):
                information[entry[a], entry[b]] += value[a] * value[b] / intensity**2
        waiting[kind] += 1


@numba.njit(cache=True)
def rescaled_waits(
    times: Float, kinds: Int, rate: Float, excitation: Float, decay: Float, waits: Float
) -> None:
    """Writes for each event `[n]` the intensity of its kind integrated since the kind's last one.

    They are independent and exponential with mean 1 if the model holds.
    """
    num_kinds = len(rate)
    memory, slope = np.zeros(num_kinds), np.zeros(num_kinds)
    waiting, integral = np.zeros(num_kinds), np.zeros(num_kinds)
    last = 0.0
    for n in range(len(times)):
        wait = times[n] - last
        if wait > 0:
            for i in range(num_kinds):
                integral[i] += rate[i] * wait
            for j in range(num_kinds):
                gone = (memory[j] + waiting[j]) * -np.expm1(-decay[j] * wait) / decay[j]
                for i in range(num_kinds):
                    integral[i] += excitation[i, j] * gone
            _advance(memory, slope, waiting, decay, wait)
            last = times[n]
        waits[n] = integral[kinds[n]]
        integral[kinds[n]] = 0.0
        waiting[kinds[n]] += 1
