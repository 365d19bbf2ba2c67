"""From raw files to a prepared store: read, check, reduce, synchronise, verify, write."""

from __future__ import annotations

import dataclasses
import hashlib
import multiprocessing
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lob_data.clean import cut_session, drop_hidden, merge_executions
from lob_data.day import Day
from lob_data.errors import FormatError, LobDataError, OptionError, SourceError, StoreError
from lob_data.lobster import Pair, find_pairs, read_pair
from lob_data.manifest import MANIFEST, DayEntry, Manifest, PrepareOptions, make_splits
from lob_data.prepared import read_day, write_day
from lob_data.progress import Progress
from lob_data.replay import summarize_rows
from lob_data.schema import NS_PER_SECOND
from lob_data.store import DAYS, remove_unreferenced, write_manifest
from lob_data.sync import synchronize
from lob_data.validate import check_day
from lob_data.verify import VerifyReport, verify_stream


@dataclass(frozen=True)
class PrepareReport:
    """What `prepare` did.

    Attributes:
        store: the prepared store.
        days: the days it now holds.
        prepared: labels of the days that were prepared now.
        failures: what could not be prepared, and why.
    """

    store: Path
    days: list[DayEntry]
    prepared: list[str]
    failures: list[LobDataError]

    @property
    def is_unchanged(self) -> bool:
        """Whether the store already held just this."""
        return not self.prepared


def prepare(
    raw: Path | str,
    out: Path | str,
    options: PrepareOptions | None = None,
    *,
    num_workers: int = 1,
    progress: Progress | None = None,
) -> PrepareReport:
    """Prepares every pair under `raw` and makes `out` the store of just those.

    Days whose files and options have not changed are kept as they are. A day that fails is reported
    and the others are prepared. `out` changes only at the end, in one step: until then, and after a
    kill at any moment, it is the old store, or none if there was none.

    Args:
        raw: folder, archive or file, as `find_pairs` takes it.
        out: folder of the store; made if missing.
        options: how to prepare; None is `PrepareOptions()`.
        num_workers: processes that prepare days side by side; each holds one day in memory.
        progress: told of each day that is done.

    Returns:
        The report.

    Raises:
        LobDataError: if nothing could be prepared (then `out` is as before), or `out` is a folder
            of something else.
        OptionError: if the choice of stock and level is empty or ambiguous.
    """
    options = PrepareOptions() if options is None else options
    if num_workers < 1:
        raise OptionError(f"num_workers is {num_workers}; it must be at least 1")
    store = Path(out)
    old = _load_old(store)
    found, errors = find_pairs(raw)
    failures: list[LobDataError] = list(errors)
    pairs = choose_pairs(found, options)
    if not pairs:
        raise _combined(failures, raw)
    made = not store.exists()
    held = {day.key: day for day in old.days} if old is not None else {}
    entries: list[DayEntry] = []
    prepared: list[str] = []
    try:
        (store / DAYS).mkdir(parents=True, exist_ok=True)
        todo: list[tuple[Pair, str]] = []
        for pair in pairs:
            try:
                key = options.key_of(pair.label, source_digests(pair))
            except LobDataError as error:
                failures.append(error)
                continue
            if key in held and (store / held[key].folder).is_dir():
                entries.append(held[key])
            else:
                todo.append((pair, key))
        for done, (pair, result) in enumerate(_run(store, todo, options, num_workers), start=1):
            if isinstance(result, LobDataError):
                failures.append(result)
            else:
                entries.append(result)
                prepared.append(result.label)
            if progress is not None:
                progress(pair.label, done, len(todo))
        if not entries:
            raise _combined(failures, raw)
        entries.sort(key=lambda day: (day.date, day.label))
        manifest = _manifest_of(store, entries, options)
        if old is None or manifest.to_json() != old.to_json():
            write_manifest(store, manifest)
        remove_unreferenced(store, manifest)
    except BaseException:
        if made:
            shutil.rmtree(store, ignore_errors=True)
        elif old is not None:
            remove_unreferenced(store, old)
        raise
    return PrepareReport(store, entries, prepared, failures)


def _load_old(store: Path) -> Manifest | None:
    """The manifest of the store that is to be replaced; None if there is none or it is outdated."""
    if not store.exists():
        return None
    if not store.is_dir():
        raise StoreError("is a file; a store is a folder", path=store)
    if (store / MANIFEST).is_file():
        try:
            return Manifest.load(store)
        except StoreError:
            return None
    foreign = [p.name for p in store.iterdir() if p.name != DAYS and ".partial-" not in p.name]
    if foreign:
        raise StoreError(
            f"is a folder of something else (it holds {sorted(foreign)[0]}); choose a new one",
            path=store,
        )
    return None


def choose_pairs(pairs: list[Pair], options: PrepareOptions) -> list[Pair]:
    """The pairs that the options ask for.

    Raises:
        OptionError: if there is none, or one stock and day comes at several levels.
    """
    chosen = [
        pair
        for pair in pairs
        if options.ticker in (None, pair.name.ticker) and options.level in (None, pair.name.level)
    ]
    if pairs and not chosen:
        held = ", ".join(sorted({f"{p.name.ticker} level {p.name.level}" for p in pairs}))
        raise OptionError(
            f"no pair of ticker {options.ticker or 'any'} at level {options.level or 'any'}; "
            f"there is {held}"
        )
    by_day: dict[tuple[str, object], list[Pair]] = {}
    for pair in chosen:
        by_day.setdefault((pair.name.ticker, pair.name.day), []).append(pair)
    for (ticker, day), same in by_day.items():
        if len(same) > 1:
            held = ", ".join(f"{p.messages} (level {p.name.level})" for p in same)
            raise OptionError(
                f"{ticker} on {day} is there more than once: {held}; choose one by the option level"
            )
    return chosen


def source_digests(pair: Pair) -> tuple[str, str]:
    """sha256 of both files of a pair, as stored.

    Raises:
        SourceError: if one cannot be read or is empty.
    """
    digests = [
        hashlib.sha256(source.stored_bytes()).hexdigest() for source in (pair.messages, pair.books)
    ]
    return digests[0], digests[1]


def load_day(pair: Pair, options: PrepareOptions) -> tuple[Day, tuple[str, str]]:
    """Reads, checks and reduces one day; also the digests of its files.

    Raises:
        LobDataError: if the files are not what they should be.
    """
    raw = read_pair(pair)
    day = check_day(raw, options.tick_units)
    if options.session_start is not None or options.session_end is not None:
        bounds = (options.session_start, options.session_end)
        start, end = (None if b is None else round(b * NS_PER_SECOND) for b in bounds)
        day = cut_session(day, start, end)
    if not options.keep_hidden:
        day = drop_hidden(day)
    if options.merge_executions:
        day = merge_executions(day)
    return day, raw.sha256


def verify(
    raw: Path | str,
    options: PrepareOptions | None = None,
    *,
    progress: Progress | None = None,
) -> tuple[list[VerifyReport], list[LobDataError]]:
    """Replays every pair under `raw` through `lob_core` and compares it with its order book file.

    Args:
        raw: folder, archive or file, as `find_pairs` takes it.
        options: as for `prepare`; all levels of a stock and day may be there.
        progress: told of each pair that is done.

    Returns:
        A report for each pair that could be read, and the errors of the others.

    Raises:
        SourceError: if `raw` does not exist or holds no LOBSTER file.
    """
    options = PrepareOptions() if options is None else options
    pairs, errors = find_pairs(raw)
    failures: list[LobDataError] = list(errors)
    pairs = [
        pair
        for pair in pairs
        if options.ticker in (None, pair.name.ticker) and options.level in (None, pair.name.level)
    ]
    reports: list[VerifyReport] = []
    for done, pair in enumerate(pairs, start=1):
        try:
            day, _ = load_day(pair, options)
            reports.append(verify_stream(day, synchronize(day)))
        except LobDataError as error:
            failures.append(error)
        if progress is not None:
            progress(pair.label, done, len(pairs))
    return reports, failures


def _run(
    store: Path, todo: list[tuple[Pair, str]], options: PrepareOptions, num_workers: int
) -> Iterator[tuple[Pair, DayEntry | LobDataError]]:
    """Prepares days, in this process or in several, as they get done."""
    if num_workers == 1 or len(todo) < 2:
        for pair, key in todo:
            yield pair, _prepare_day(store, pair, key, options)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(num_workers, len(todo)), mp_context=context) as pool:
        futures: dict[Future[DayEntry | LobDataError], Pair] = {
            pool.submit(_prepare_day, store, pair, key, options): pair for pair, key in todo
        }
        for future in as_completed(futures):
            yield futures[future], future.result()


def _prepare_day(
    store: Path, pair: Pair, key: str, options: PrepareOptions
) -> DayEntry | LobDataError:
    """Prepares one day and writes its folder; returns what was wrong if it cannot be done."""
    try:
        day, digests = load_day(pair, options)
        stream = synchronize(day)
        if options.verify:
            report = verify_stream(day, stream)
            if not report.is_exact:
                raise FormatError(
                    f"replay differs from the order book in {report.mismatches} rows",
                    path=str(pair.books),
                    row=report.first_mismatch,
                )
    except LobDataError as error:
        return error if error.path is not None else type(error)(error.reason, path=pair.label)
    summary = summarize_rows(stream, day.num_levels)
    folder = f"{DAYS}/{pair.label}-{key[:12]}"
    write_day(store / folder, day, stream, summary)
    kinds, counts = np.unique(day.event_type, return_counts=True)
    names = (str(pair.messages), str(pair.books))
    return DayEntry(
        label=pair.label,
        ticker=pair.name.ticker,
        date=pair.name.day.isoformat(),
        level=pair.name.level,
        key=key,
        folder=folder,
        sources=[
            {"file": Path(name).name, "sha256": digest}
            for name, digest in zip(names, digests, strict=True)
        ],
        rows=day.num_rows,
        messages=len(stream.price),
        sync_messages=int(stream.is_sync.sum()),
        sync_rows=int((np.diff(stream.row_start) > 1).sum()),
        stand_ins=stream.num_stand_ins,
        max_orders=list(stream.max_orders),
        num_orders=stream.num_orders,
        first_ts_ns=int(day.ts_ns[0]),
        last_ts_ns=int(day.ts_ns[-1]),
        event_counts={str(kind): int(n) for kind, n in zip(kinds, counts, strict=True)},
        is_verified=options.verify,
    )


def _manifest_of(store: Path, entries: list[DayEntry], options: PrepareOptions) -> Manifest:
    """The manifest of these days; reads row times where a day's time is divided."""
    times: dict[str, npt.NDArray[np.int64]] = {}
    if len({day.date for day in entries}) < 3:
        times = {day.label: read_day(store / day.folder, day).ts_ns for day in entries}
    split_by, splits = make_splits(entries, times, options)
    return Manifest(dataclasses.replace(options), entries, split_by, splits)


def _combined(failures: list[LobDataError], raw: Path | str) -> LobDataError:
    """One error for a run in which nothing could be prepared."""
    if len(failures) == 1:
        return failures[0]
    lines = "".join(f"\n  {failure}" for failure in failures)
    return SourceError(f"nothing could be prepared:{lines}", path=raw)
