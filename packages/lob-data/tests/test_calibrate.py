"""Calibration finds the parameters that simulated data were made with."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from lob_data import (
    LobDataError,
    OptionError,
    PrepareOptions,
    StoreError,
    calibrate,
    cli,
    load_calibration,
    open_store,
    prepare,
    synthesize,
)
from lob_data.testing import write_pair

NUM_MESSAGES = 30_000


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of default zero-intelligence flow seen through eight levels."""
    folder = tmp_path_factory.mktemp("flow")
    synthesize(folder / "raw", num_messages=NUM_MESSAGES, seed=11, num_levels=8)
    prepare(folder / "raw", folder / "store", PrepareOptions(verify=False))
    return open_store(folder / "store")


@pytest.fixture(scope="module")
def fitted(store):
    return calibrate(store, num_levels=10, split=None)


def test_calibrate__recovers_every_rate_within_four_standard_errors(fitted):
    true = fitted.model.default_params()
    for name in ("limit_rate", "cancel_rate", "market_rate"):
        error = np.asarray(getattr(fitted.params, name)) - np.asarray(getattr(true, name))
        assert (np.abs(error) < 4 * np.array(fitted.standard_errors[name])).all(), name


def test_calibrate__recovers_the_larger_rates_within_a_tenth(fitted):
    true = fitted.model.default_params()
    for name in ("limit_rate", "cancel_rate"):
        ratio = np.asarray(getattr(fitted.params, name)) / np.asarray(getattr(true, name))
        np.testing.assert_allclose(ratio[:5], 1.0, atol=0.1)
    np.testing.assert_allclose(float(fitted.params.market_rate), 0.94, rtol=0.1)


def test_calibrate__recovers_sizes(fitted):
    for name in ("limit_size", "market_size"):
        found, true = (getattr(x, name) for x in (fitted.params, fitted.model.default_params()))
        shares = [np.bincount(np.asarray(x) // 100, minlength=8)[:4] / 128 for x in (found, true)]
        np.testing.assert_allclose(*shares, atol=0.03)
        np.testing.assert_allclose(found.mean(), 150, rtol=0.06)


def test_calibrate__figures_of_fit_are_good_for_the_true_model(fitted):
    assert fitted.fit["residual_mean"] == pytest.approx(1, abs=0.01)
    # The 0.1 % point of the Kolmogorov-Smirnov distance is 1.95 / sqrt(n).
    assert fitted.fit["residual_ks"] < 1.95 / np.sqrt(fitted.fit["events"])
    assert fitted.fit["covered"] == 1


def test_calibrate__a_wrong_model_has_bad_figures(tmp_path, busy_venue):
    """Events of the hand-made venue come like clockwork, not at random."""
    write_pair(tmp_path / "raw", *busy_venue.rows(3))
    prepare(tmp_path / "raw", tmp_path / "store", PrepareOptions(verify=False))
    assert calibrate(tmp_path / "store", split=None).fit["residual_ks"] > 0.2


def test_calibrate__number_of_levels_covers_the_limit_orders(store):
    result = calibrate(store)
    assert result.model.num_levels in (9, 10)
    assert result.fit["covered"] >= 0.95
    assert result.params.limit_rate.shape == (result.model.num_levels,)
    fewer = calibrate(store, num_levels=3)
    assert 0.3 < fewer.fit["covered"] < 0.7


def test_calibration__survives_json_and_drives_synthesis(tmp_path, fitted, monkeypatch, capsys):
    path = tmp_path / "fit.json"
    path.write_text(fitted.to_json())
    loaded = load_calibration(path)
    assert loaded.to_json() == fitted.to_json()
    assert loaded.model == fitted.model
    arguments = ["synthesize", tmp_path / "raw", "--messages", 300, "--params", path, "--json"]
    monkeypatch.setattr("sys.argv", ["lob-data", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    assert json.loads(capsys.readouterr().out)["rows"] > 100


@pytest.mark.parametrize("model", ["zero_intelligence", "queue_reactive"])
def test_cli__calibrate_prints_and_saves(tmp_path, store, monkeypatch, capsys, model):
    path = tmp_path / "fit.json"
    chosen = ["--model", model, "--levels", 4, "--split", "all", "--save", path]
    for extra in ((), ("--json",)):
        arguments = ["calibrate", store.path, *chosen, *extra]
        monkeypatch.setattr("sys.argv", ["lob-data", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert not stop.value.code
    shown, brace, content = capsys.readouterr().out.partition("{")
    assert "market_rate" in shown
    assert "residual_ks" in shown
    assert brace + content == path.read_text()
    loaded = load_calibration(path)
    assert (loaded.name, loaded.model.num_levels) == (model, 4)


def test_cli__calibrate_knows_its_models(store, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["lob-data", "calibrate", str(store.path), "--model", "ising"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert "'ising'" in capsys.readouterr().err


def test_calibrate__options_out_of_range_are_refused(tmp_path, store):
    with pytest.raises(OptionError, match="num_levels is 0"):
        calibrate(store, num_levels=0)
    with pytest.raises(OptionError, match="ticker is 'NONE'; the store holds SYNTH"):
        calibrate(store, ticker="NONE")
    with pytest.raises(OptionError, match="model is 'ising'; it must be one of zero_intelligence"):
        calibrate(store, model="ising")


BAD_FILES: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda content: content.clear(), "is no calibration: it has no 'model'"),
    (lambda content: content.update(model="ising"), "is of model 'ising'; the models are zero_"),
    (lambda content: content["settings"].update(depth=3), "unexpected keyword argument 'depth'"),
    (lambda content: content["settings"].update(num_levels=0), "num_levels is 0"),
    (lambda content: content["params"].pop("limit_size"), "params has"),
    (lambda content: content["params"]["limit_rate"].pop(), r"params.limit_rate has shape \(9,\)"),
]


@pytest.mark.parametrize(("spoil", "reason"), BAD_FILES)
def test_load_calibration__what_is_wrong_is_named(tmp_path, fitted, spoil, reason):
    content = json.loads(fitted.to_json())
    spoil(content)
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(content))
    with pytest.raises(LobDataError, match=reason) as caught:
        load_calibration(path)
    assert caught.value.path == path
    with pytest.raises(LobDataError, match="cannot be read: No such file"):
        load_calibration(tmp_path / "missing.json")


def test_calibrate__too_little_data_says_so(tmp_path, venue):
    venue.submit(1, 9_998, 10)
    venue.submit(1, 9_998, 20)
    write_pair(tmp_path / "raw", *venue.rows(3))
    prepare(tmp_path / "raw", tmp_path / "store", PrepareOptions(verify=False))
    with pytest.raises(StoreError, match="too little order flow"):
        calibrate(tmp_path / "store", split=None)
