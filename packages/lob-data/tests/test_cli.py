"""The command line: exit codes, JSON, and one clear line for an error."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from lob_data import OptionError, cli
from lob_data.testing import write_pair


def run(capsys, monkeypatch, *arguments) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `lob-data` with these arguments."""
    monkeypatch.setattr(sys, "argv", ["lob-data", *map(str, arguments)])
    try:
        cli.main()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    streams = capsys.readouterr()
    return code, streams.out, streams.err


@pytest.fixture
def raw(tmp_path, busy_venue):
    write_pair(tmp_path / "raw", *busy_venue.rows(3))
    return tmp_path / "raw"


def test_verify__exact_pair_exits_zero(capsys, monkeypatch, raw):
    code, out, _ = run(capsys, monkeypatch, "verify", raw, "--json")
    (result,) = json.loads(out)["pairs"]
    assert code == 0
    assert (result["mismatches"], result["is_exact"], result["levels"]) == (0, True, 3)
    code, out, _ = run(capsys, monkeypatch, "verify", raw)
    assert code == 0
    assert "TEST_2012-06-21_34200000_57600000_3" in out


def test_verify__some_failures_exit_one_and_are_listed(capsys, monkeypatch, raw):
    (raw / "OTHER_2012-06-21_34200000_57600000_message_3.csv").write_text("")
    code, out, err = run(capsys, monkeypatch, "verify", raw, "--json")
    assert code == 1
    assert "half of a pair" in json.loads(out)["failures"][0]
    assert err.startswith("lob-data: failed: ")


def test_verify__nothing_readable_exits_two(capsys, monkeypatch, tmp_path, raw):
    for path in raw.iterdir():
        path.write_bytes(b"")
    code, _, err = run(capsys, monkeypatch, "verify", raw)
    assert code == 2
    assert "is empty" in err
    code, _, err = run(capsys, monkeypatch, "verify", tmp_path / "missing")
    assert (code, err) == (2, f"lob-data: error: {tmp_path / 'missing'}: does not exist\n")


def test_prepare_describe__store_and_json(capsys, monkeypatch, tmp_path, raw):
    store = tmp_path / "store"
    options = ("--no-hidden", "--merge-executions", "--start", "09:30", "--end", "16:00")
    code, out, _ = run(capsys, monkeypatch, "prepare", raw, store, *options, "--json")
    assert (code, json.loads(out)["unchanged"]) == (0, False)
    code, out, _ = run(capsys, monkeypatch, "prepare", raw, store, *options)
    assert (code, out.endswith("unchanged, 1 day\n")) == (0, True)
    code, out, _ = run(capsys, monkeypatch, "describe", store, "--json")
    chosen = json.loads(out)["options"]
    assert code == 0
    assert (chosen["keep_hidden"], chosen["merge_executions"]) == (False, True)
    assert (chosen["session_start"], chosen["session_end"]) == (34_200, 57_600)
    code, out, _ = run(capsys, monkeypatch, "describe", store)
    assert "TEST_2012-06-21_34200000_57600000_3" in out


def test_prepare__one_bad_pair_exits_one_and_the_rest_is_prepared(
    capsys, monkeypatch, tmp_path, raw, busy_venue
):
    bad = write_pair(raw, *busy_venue.rows(3), "BAD")
    bad.books.path.write_bytes(b"")
    arguments = ("prepare", raw, tmp_path / "store", "--no-verify", "--json")
    code, out, err = run(capsys, monkeypatch, *arguments)
    content = json.loads(out)
    assert code == 1
    assert content["days"] == ["TEST_2012-06-21_34200000_57600000_3"]
    assert f"{bad.books}: is empty" in content["failures"][0]
    assert "is empty" in err


def test_prepare__an_error_is_one_line_and_exits_two(capsys, monkeypatch, tmp_path):
    code, out, err = run(capsys, monkeypatch, "prepare", tmp_path / "raw", tmp_path / "store")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "does not exist" in err
    assert not (tmp_path / "store").exists()


def test_prepare__a_place_that_cannot_be_written_is_one_line(capsys, monkeypatch, tmp_path, raw):
    (tmp_path / "file").write_text("")
    code, out, err = run(capsys, monkeypatch, "prepare", raw, tmp_path / "file" / "store")
    assert (code, out) == (2, "")
    assert err.startswith(f"lob-data: error: {tmp_path / 'file' / 'store'}")
    assert err.endswith(": Not a directory\n")
    assert err.count("\n") == 1


def test_calibrate__a_place_that_is_missing_is_said_before_the_fit(capsys, monkeypatch, tmp_path):
    save = tmp_path / "missing" / "fitted.json"
    code, _, err = run(capsys, monkeypatch, "calibrate", tmp_path, "--save", save)
    assert code == 2
    assert err == f"lob-data: error: --save is {save}, but there is no folder {save.parent}\n"


def test_describe__no_store_exits_two(capsys, monkeypatch, tmp_path):
    code, _, err = run(capsys, monkeypatch, "describe", tmp_path)
    assert code == 2
    assert "is no prepared store" in err


def test_synthesize__writes_a_pair(capsys, monkeypatch, tmp_path):
    arguments = ("synthesize", tmp_path, "--messages", 500, "--level", 2, "--json")
    code, out, _ = run(capsys, monkeypatch, *arguments)
    assert code == 0
    assert sorted(json.loads(out)["files"]) == sorted(str(p) for p in tmp_path.iterdir())


def test_unknown_option__exits_two(capsys, monkeypatch, tmp_path):
    code, _, err = run(capsys, monkeypatch, "verify", tmp_path, "--no-such-option")
    assert code == 2
    assert "No such option" in err


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, None), ("09:30", 34_200), ("09:30:00.5", 34_200.5), ("34200.25", 34_200.25)],
)
def test_parse_time__reads_clock_and_seconds(text, seconds):
    assert cli.parse_time(text) == seconds


@pytest.mark.parametrize("text", ["noon", "09:61", "1:2:3:4"])
def test_parse_time__refuses_anything_else(text):
    with pytest.raises(OptionError, match="write it as 09:45"):
        cli.parse_time(text)


def test_module__runs_as_a_program():
    command = [sys.executable, "-m", "lob_data.cli", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    for name in ("verify", "prepare", "describe", "synthesize"):
        assert name in result.stdout
