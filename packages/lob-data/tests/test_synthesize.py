"""Synthetic pairs have the shape of real ones and replay exactly."""

from __future__ import annotations

import dataclasses
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from lob_core.flow import ZeroIntelligence
from lob_data import OptionError, synthesize, verify
from lob_data.lobster import read_pair
from lob_data.validate import check_day


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return synthesize(tmp_path_factory.mktemp("pair"), num_messages=1500, seed=1, num_levels=4)


def test_synthesize__pair_replays_exactly(report):
    (result,), failures = verify(report.pair.messages.path)
    assert not failures
    assert result.is_exact
    assert result.rows == report.rows


def test_synthesize__rows_follow_the_rules_of_the_format(report):
    day = check_day(read_pair(report.pair))
    assert set(np.unique(day.event_type)) == {1, 3, 4}
    change = np.where(day.event_type == 1, day.size, -day.size)
    side = np.where(day.side > 0, 0, 1)
    for row in range(1, day.num_rows):
        for book_side in (0, 1):
            before, after = (
                dict(zip(day.book_price[book_side, r], day.book_size[book_side, r], strict=True))
                for r in (row - 1, row)
            )
            if book_side != side[row]:
                assert before == after
            else:
                price = day.price[row]
                assert after.get(price, 0) - before.get(price, 0) == change[row]


def test_synthesize__the_same_seed_gives_the_same_files(tmp_path, report):
    done: list[tuple[str, int, int]] = []
    again = synthesize(
        tmp_path, num_messages=1500, seed=1, num_levels=4, progress=lambda *step: done.append(step)
    )
    assert done == [("messages", 1024, 1500), ("messages", 1500, 1500)]
    other = synthesize(tmp_path / "other", num_messages=1500, seed=2, num_levels=4)
    text = again.pair.messages.path.read_bytes()
    assert text == report.pair.messages.path.read_bytes()
    assert text != other.pair.messages.path.read_bytes()


def test_synthesize__a_book_that_outgrows_its_slots_is_drawn_again_with_more(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["lob_data.synthesize"], "_NUM_SLOTS", (4, 128))
    report = synthesize(tmp_path / "grown", num_messages=1024, num_levels=4)
    assert report.rows > 300
    monkeypatch.setattr(sys.modules["lob_data.synthesize"], "_NUM_SLOTS", (4,))
    with pytest.raises(OptionError, match="outgrows 4 orders a side"):
        synthesize(tmp_path / "small", num_messages=1024, num_levels=4)
    assert not (tmp_path / "small").exists()


def test_synthesize__takes_parameters_name_and_end_of_session(tmp_path):
    model = ZeroIntelligence(num_levels=5)
    params = model.default_params()
    params = dataclasses.replace(params, limit_size=jnp.full(128, 7, jnp.int32))
    report = synthesize(
        tmp_path,
        num_messages=1024,
        num_levels=2,
        model=model,
        params=params,
        ticker="ABC",
        day="2021-05-06",
        end_ms=34_205_000,
        compress=False,
    )
    name = "ABC_2021-05-06_34200000_34205000_message_2.csv"
    assert report.pair.messages.path == tmp_path / name
    assert read_pair(report.pair).ts_ns.max() < 34_205_000 * 10**6
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        name,
        name.replace("message", "orderbook"),
    ]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"num_messages": 0}, "num_messages is 0"),
        ({"num_levels": 0}, "num_levels is 0"),
        ({"day": "tomorrow"}, "day is 'tomorrow'"),
        ({"ticker": "A_B"}, "ticker is 'A_B'"),
    ],
)
def test_synthesize__options_out_of_range_are_refused(tmp_path, options, reason):
    with pytest.raises(OptionError, match=reason):
        synthesize(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
