"""Files of every kind are found and read, or refused with file, row and reason."""

from __future__ import annotations

import gzip
import sys
import zipfile
from datetime import date

import numpy as np
import polars as pl
import py7zr
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lob_data.csv_text import parse_books, parse_messages
from lob_data.errors import FormatError, SourceError
from lob_data.lobster import find_pairs, read_pair, scan_books, scan_messages
from lob_data.schema import DUMMY_PRICE, format_time
from lob_data.sources import FileName, Source
from lob_data.testing import write_pair


@pytest.fixture
def pair(tmp_path, busy_venue):
    return write_pair(tmp_path / "raw", *busy_venue.rows(3))


def test_file_name__says_ticker_day_window_kind_and_level():
    name = FileName.parse("BRK.B_2024-02-29_25200000_72000000_orderbook_50.csv.gz")
    assert name == FileName("BRK.B", date(2024, 2, 29), 25_200_000, 72_000_000, "orderbook", 50)
    assert str(name) == "BRK.B_2024-02-29_25200000_72000000_orderbook_50.csv"


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "X_2024-02-30_1_2_message_1.csv",
        "X_2024-02-01_1_2_trades_1.csv",
        "message_1.csv",
    ],
)
def test_file_name__anything_else_is_none(name):
    assert FileName.parse(name) is None


def times_of(*texts: str) -> list[int]:
    rows = "".join(f"{text},1,2,3,4,1\n" for text in texts)
    return parse_messages(rows.encode(), "file")[0].tolist()


@settings(deadline=None)
@given(st.lists(st.integers(0, 86_399_999_999_999), min_size=1, max_size=20))
def test_times__every_nanosecond_of_the_day_survives_the_text(ts_ns):
    assert times_of(*map(format_time, ts_ns)) == ts_ns


def test_times__binary_noise_is_rounded_rather_than_cut():
    assert times_of("34397.878728270996", "34397.8787282714", "34200.9999999999") == [
        34_397_878_728_271,
        34_397_878_728_271,
        34_201_000_000_000,
    ]
    assert times_of("34200", "34200.", "0.5") == [34_200 * 10**9] * 2 + [5 * 10**8]


integers = st.integers(-(10**18) + 1, 10**18 - 1) | st.sampled_from([DUMMY_PRICE, -DUMMY_PRICE])


@settings(deadline=None)
@given(
    rows=st.lists(st.lists(integers, min_size=4, max_size=4), min_size=1, max_size=30),
    line_end=st.sampled_from(["\n", "\r\n"]),
    is_ended=st.booleans(),
    piece=st.integers(1, 200),
)
def test_parse_books__gives_back_any_integers_however_the_text_is_cut(
    rows, line_end, is_ended, piece
):
    text = line_end.join(",".join(map(str, row)) for row in rows) + line_end * is_ended
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lob_data.csv_text._LEAST_PIECE", piece)
        patch.setattr("os.cpu_count", lambda: 3)
        assert parse_books(text.encode(), 1, "file").T.tolist() == rows


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,2,3", "has 3 columns"),
        ("1,2,3,4,5", "has 5 columns"),
        ("", "is empty"),
        ("1,,3,4", "ask_size_1 is ''; it must be a whole number"),
        ("1,2,3.5,4", r"bid_price_1 is '3\.5'; it must be a whole number"),
        ("1,2,3,1e5", "bid_size_1 is '1e5'"),
        ("1,2, 3,4", "bid_price_1 is ' 3'"),
        ("1,2,3,--4", "bid_size_1 is '--4'"),
        ("1,2,3,1234567890123456789", "bid_size_1 is '1234567890123456789'"),
        ("1,2,3,٣", "bid_size_1 is '٣'"),
    ],
)
@pytest.mark.parametrize("row", [1, 2, 40])
def test_parse_books__a_bad_row_is_named_wherever_it_lies(monkeypatch, line, reason, row):
    monkeypatch.setattr("lob_data.csv_text._LEAST_PIECE", 100)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    rows = ["10,20,30,40"] * 40
    rows[row - 1] = line
    with pytest.raises(FormatError, match=reason) as caught:
        parse_books(("\n".join(rows) + "\n1,2,3,4\n").encode(), 1, "file.csv")
    assert (caught.value.row, str(caught.value.path)) == (row, "file.csv")


def test_parse_messages__bad_times_are_named():
    for text in ("-1.0", "noon", "1e4", "", "1234567890", "34200.1.2"):
        with pytest.raises(FormatError, match=r"time is|row of numbers") as caught:
            times_of("34200.0", text)
        assert caught.value.row == 2
    with pytest.raises(FormatError, match="first row is empty"):
        parse_messages(b"\n\n", "file")


@pytest.mark.parametrize("packing", ["plain", "gz", "zst", "zip", "zip of gz", "7z"])
def test_read_pair__is_the_same_however_it_is_packed(tmp_path, pair, packing):
    plain = read_pair(pair)
    folder = tmp_path / "packed"
    folder.mkdir()
    for source in (pair.messages, pair.books):
        data = source.path.read_bytes()
        target = folder / source.path.name
        if packing == "plain":
            target.write_bytes(data)
        elif packing == "gz":
            target.with_name(f"{target.name}.gz").write_bytes(gzip.compress(data))
        elif packing == "zst":
            pl.read_csv(data, has_header=False, infer_schema=False).write_csv(
                target.with_name(f"{target.name}.zst"), include_header=False, compression="zstd"
            )
        elif packing == "7z":
            archive_mode = "a" if (folder / "sample.7z").exists() else "w"
            with py7zr.SevenZipFile(folder / "sample.7z", archive_mode) as archive:
                archive.writestr(data, f"inner/{target.name}")
                archive.writestr("hello", f"{source.path.stem}_ReadMe.txt")
        else:
            inside = f"inner/{target.name}"
            with zipfile.ZipFile(folder / "sample.zip", "a") as archive:
                if packing == "zip":
                    archive.writestr(inside, data)
                else:
                    archive.writestr(f"{inside}.gz", gzip.compress(data))
                archive.writestr(f"{source.path.stem}_ReadMe.txt", "hello")
    ((found,), errors) = find_pairs(folder)
    again = read_pair(found)
    assert not errors
    np.testing.assert_array_equal(again.books, plain.books)
    for name in ("ts_ns", "event_type", "order_id", "size", "price", "side"):
        np.testing.assert_array_equal(getattr(again, name), getattr(plain, name))


def test_find_pairs__takes_either_file_of_a_pair(pair):
    for source in (pair.messages, pair.books):
        ((found,), errors) = find_pairs(source.path)
        assert (found, errors) == (pair, [])


def test_find_pairs__several_stocks_days_and_levels_in_one_tree(tmp_path, busy_venue):
    for ticker, day, level, folder in (
        ("AAA", "2020-01-02", 2, "one"),
        ("AAA", "2020-01-03", 2, "one"),
        ("BBB", "2020-01-02", 2, "one"),
        ("AAA", "2020-01-02", 3, "two/deep"),
    ):
        write_pair(tmp_path / folder, *busy_venue.rows(level), ticker, day)
    pairs, errors = find_pairs(tmp_path)
    assert [p.label for p in pairs] == [
        "AAA_2020-01-02_34200000_57600000_2",
        "AAA_2020-01-02_34200000_57600000_3",
        "AAA_2020-01-03_34200000_57600000_2",
        "BBB_2020-01-02_34200000_57600000_2",
    ]
    assert not errors


def test_find_pairs__half_of_a_pair_is_named(pair):
    pair.books.path.unlink()
    pairs, (error,) = find_pairs(pair.messages.path.parent)
    assert not pairs
    assert "no orderbook file beside it" in str(error)
    assert str(pair.messages.path) in str(error)


def test_find_pairs__two_copies_of_a_file_are_reported(pair):
    copy = pair.books.path.with_name(f"{pair.books.path.name}.gz")
    copy.write_bytes(gzip.compress(pair.books.path.read_bytes()))
    (found,), (error,) = find_pairs(pair.books.path.parent)
    assert found == pair
    assert str(error).startswith(f"{copy}: is there twice")


def test_find_pairs__a_folder_without_lobster_files_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(SourceError, match="holds no LOBSTER file"):
        find_pairs(tmp_path)
    with pytest.raises(SourceError, match="does not exist"):
        find_pairs(tmp_path / "missing")
    with pytest.raises(SourceError, match="is not named"):
        find_pairs(tmp_path / "notes.txt")


def test_scan__selects_columns_lazily(pair):
    raw = read_pair(pair)
    scanned = scan_messages(pair).collect()
    assert scanned.columns == ["ts_ns", "event_type", "order_id", "size", "price", "side"]
    for name in scanned.columns:
        assert scanned[name].to_list() == getattr(raw, name).tolist()
    assert scan_messages(pair).select(pl.col("size").sum()).collect().item() == raw.size.sum()
    assert scan_books(pair).collect_schema().names()[:4] == [
        "ask_price_1",
        "ask_size_1",
        "bid_price_1",
        "bid_size_1",
    ]


def test_read_pair__a_seventh_message_column_is_read_past(pair):
    path = pair.messages.path
    plain = read_pair(pair)
    path.write_text("".join(f"{line},null\n" for line in path.read_text().splitlines()))
    np.testing.assert_array_equal(read_pair(pair).price, plain.price)
    assert scan_messages(pair).collect()["price"].to_list() == plain.price.tolist()


def edit(source, row, text):
    """Replaces row `row` (from 1) of a plain file."""
    lines = source.path.read_text().splitlines()
    lines[row - 1] = text
    source.path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("row", [1, 7])
def test_read_pair__wrong_number_of_columns_names_file_and_row(pair, row):
    edit(pair.books, row, "1,2,3")
    with pytest.raises(FormatError, match="has 3 columns; the file name says level 3") as caught:
        read_pair(pair)
    assert (caught.value.row, str(caught.value.path)) == (row, str(pair.books))


@pytest.mark.parametrize("row", [1, 7])
def test_read_pair__a_short_message_row_names_file_and_row(pair, row):
    edit(pair.messages, row, "34200.0,1,5,100,1000000")
    with pytest.raises(FormatError, match="has 5 columns; a message has at least 6") as caught:
        read_pair(pair)
    assert caught.value.row == row


def test_read_pair__a_row_with_more_levels_than_the_rest_is_refused(pair):
    edit(pair.books, 5, ",".join(["1"] * 16))
    with pytest.raises(FormatError, match="has 16 columns") as caught:
        read_pair(pair)
    assert caught.value.row == 5


def test_read_pair__level_mismatch_with_the_file_name(pair):
    for source in (pair.messages, pair.books):
        renamed = source.path.name.replace("_3.csv", "_5.csv")
        source.path.rename(source.path.with_name(renamed))
    ((found,), _) = find_pairs(pair.messages.path.parent)
    with pytest.raises(FormatError, match=r"says level 5.*holds 3 levels: level mismatch"):
        read_pair(found)


def test_read_pair__text_where_a_number_belongs_names_file_and_row(pair):
    edit(pair.messages, 9, "34200.1,1,oops,100,1000000,1")
    with pytest.raises(FormatError, match="order_id is 'oops'") as caught:
        read_pair(pair)
    assert caught.value.row == 9


def test_read_pair__different_row_counts(pair):
    lines = pair.books.path.read_text().splitlines()
    pair.books.path.write_text("\n".join(lines[:-2]) + "\n")
    with pytest.raises(FormatError, match=f"has {len(lines)} rows but") as caught:
        read_pair(pair)
    assert caught.value.row == len(lines) - 1


def test_read_pair__time_outside_the_day(pair):
    edit(pair.messages, 4, "86400.5,1,5,100,1000000,1")
    with pytest.raises(FormatError, match="time is") as caught:
        read_pair(pair)
    assert caught.value.row == 4


def test_read_pair__zero_byte_file(pair):
    pair.books.path.write_bytes(b"")
    with pytest.raises(SourceError, match="is empty"):
        read_pair(pair)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_read_pair__truncated_archive_is_named(tmp_path, busy_venue, suffix):
    pair = write_pair(tmp_path, *busy_venue.rows(10))
    path = pair.books.path
    if suffix == ".gz":
        data = gzip.compress(path.read_bytes())
    else:
        packed = path.with_name("packed")
        pl.read_csv(path, has_header=False, infer_schema=False).write_csv(
            packed, include_header=False, compression="zstd", check_extension=False
        )
        data = packed.read_bytes()
    path.unlink()
    target = path.with_name(path.name + suffix)
    target.write_bytes(data[: len(data) // 2])
    ((found,), _) = find_pairs(tmp_path)
    with pytest.raises((SourceError, FormatError)) as caught:
        read_pair(found)
    assert str(target) in str(caught.value)


def test_read_pair__a_file_that_is_no_gzip(tmp_path, busy_venue):
    pair = write_pair(tmp_path, *busy_venue.rows(2), compress=True)
    pair.messages.path.write_bytes(b"not a gzip at all")
    with pytest.raises(SourceError, match="truncated or damaged gzip"):
        read_pair(pair)


def test_find_pairs__a_damaged_zip_is_reported(tmp_path):
    (tmp_path / "sample.zip").write_bytes(b"PK nothing")
    pairs, (error,) = find_pairs(tmp_path)
    assert not pairs
    assert "damaged archive" in str(error)


def test_find_pairs__a_7z_is_read_whole_or_refused(tmp_path, pair):
    path = tmp_path / "sample.7z"
    with py7zr.SevenZipFile(path, "w") as archive:
        for source in (pair.messages, pair.books):
            archive.writestr(source.path.read_bytes(), source.path.name)
    ((found,), errors) = find_pairs(path)
    assert not errors
    np.testing.assert_array_equal(read_pair(found).books, read_pair(pair).books)
    packed = bytearray(path.read_bytes())
    packed[len(packed) // 3] ^= 0xFF  # in the packed data, before the table of contents
    path.write_bytes(packed)
    with pytest.raises(SourceError, match="damaged archive") as caught:
        read_pair(found)
    assert "sample.7z!" in str(caught.value)
    path.write_bytes(b"7z nothing")
    pairs, (error,) = find_pairs(path)
    assert not pairs
    assert "damaged archive" in str(error)


def test_find_pairs__a_7z_without_its_library_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "sample.7z").write_bytes(b"any")
    monkeypatch.setitem(sys.modules, "py7zr.io", None)
    pairs, (error,) = find_pairs(tmp_path)
    assert not pairs
    assert 'pip install "lob-data[7z]"' in str(error)
    with pytest.raises(SourceError, match="unpack the archive first"):
        Source(tmp_path / "sample.7z", "inner.csv").stored_bytes()
