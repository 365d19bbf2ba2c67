"""`lob-data verify | prepare | describe | calibrate | synthesize`: the package from a shell."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from lob_core.runtime import configure_cpu

from lob_data.calibration import ModelName, load_calibration
from lob_data.calibration import calibrate as fit_model
from lob_data.cli_output import (
    print_calibration,
    print_json,
    print_manifest,
    print_reports,
    show_progress,
    warn,
)
from lob_data.errors import LobDataError, OptionError
from lob_data.manifest import PrepareOptions, SplitName
from lob_data.prepare import prepare as prepare_store
from lob_data.prepare import verify as verify_raw
from lob_data.schema import CENT
from lob_data.store import open_store
from lob_data.synthesize import synthesize as write_synthetic

EXIT_INCOMPLETE: Final = 1
"""Some of the input failed, or a replay is not exact."""
EXIT_ERROR: Final = 2
"""Nothing could be done: bad input or a bad option."""

app = typer.Typer(
    name="lob-data",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=(
        "LOBSTER files to exact, windowed, device-ready order flow.\n\n"
        "Start with `lob-data verify RAW`, then `lob-data prepare RAW OUT`. Without data of your "
        "own, `lob-data synthesize RAW` writes a pair to try with. Exit codes: 0 all well, 1 some "
        "input failed or is not exact, 2 nothing could be done."
    ),
)

Raw = Annotated[
    Path,
    typer.Argument(help="Folder (searched with its subfolders), .zip or .7z archive, or one file."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Ticker = Annotated[str | None, typer.Option(help="Take this stock only.")]
Level = Annotated[int | None, typer.Option(help="Take files of this level only.")]
TickUnits = Annotated[
    int, typer.Option(help="Tick in 1/10000 dollar: 100 is a cent, 1 for stocks below a dollar.")
]
Hidden = Annotated[
    bool, typer.Option(help="Keep executions of hidden orders as messages that change nothing.")
]
Merge = Annotated[
    bool, typer.Option(help="Make one message of the executions that one aggressor caused.")
]
Start = Annotated[str | None, typer.Option(help="First time to keep, such as 09:45 or 09:45:30.5.")]
End = Annotated[str | None, typer.Option(help="First time to leave out again, such as 15:45.")]


@app.command()
def verify(
    raw: Raw,
    ticker: Ticker = None,
    level: Level = None,
    tick_units: TickUnits = CENT,
    hidden: Hidden = True,
    merge_executions: Merge = False,
    start: Start = None,
    end: End = None,
    as_json: AsJson = False,
) -> None:
    """Replay raw pairs through the matching engine and compare every level of every row.

    Nothing is written. Shown for each pair: its rows and levels, the rows that replay gets wrong,
    which should be 0, the synchronising messages it took, and their share per recorded row.
    """
    options = PrepareOptions(
        tick_units=tick_units,
        keep_hidden=hidden,
        merge_executions=merge_executions,
        session_start=parse_time(start),
        session_end=parse_time(end),
        ticker=ticker,
        level=level,
    )
    with show_progress("verifying") as progress:
        reports, failures = verify_raw(raw, options, progress=progress)
    if as_json:
        results = [dataclasses.asdict(r) | {"is_exact": r.is_exact} for r in reports]
        print_json({"pairs": results, "failures": [str(failure) for failure in failures]})
    else:
        print_reports(reports)
    warn(failures)
    if not reports:
        raise typer.Exit(EXIT_ERROR)
    if failures or not all(report.is_exact for report in reports):
        raise typer.Exit(EXIT_INCOMPLETE)


@app.command()
def prepare(
    raw: Raw,
    out: Annotated[Path, typer.Argument(help="Folder of the store; made, or replaced whole.")],
    ticker: Ticker = None,
    level: Level = None,
    tick_units: TickUnits = CENT,
    hidden: Hidden = True,
    merge_executions: Merge = False,
    start: Start = None,
    end: End = None,
    train: Annotated[float, typer.Option(help="Share of the days for training.")] = 0.7,
    validation: Annotated[float, typer.Option(help="Share of the days for validation.")] = 0.15,
    check: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Replay each day before storing it.")
    ] = True,
    workers: Annotated[int, typer.Option(help="Processes; each holds one day in memory.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Turn raw pairs into a store that opens in a moment with any window setting.

    Days that are already there with the same sources and options are kept; a pair that fails is
    reported and the others are prepared. The store is replaced in one step at the end.
    """
    options = PrepareOptions(
        tick_units=tick_units,
        keep_hidden=hidden,
        merge_executions=merge_executions,
        session_start=parse_time(start),
        session_end=parse_time(end),
        ticker=ticker,
        level=level,
        train=train,
        validation=validation,
        verify=check,
    )
    with show_progress("preparing") as progress:
        report = prepare_store(raw, out, options, num_workers=workers, progress=progress)
    if as_json:
        content = {
            "store": str(report.store),
            "days": [day.label for day in report.days],
            "prepared": report.prepared,
            "unchanged": report.is_unchanged,
            "failures": [str(failure) for failure in report.failures],
        }
        print_json(content)
    elif report.is_unchanged:
        count = len(report.days)
        sys.stdout.write(f"{report.store}: unchanged, {count} day{'s' if count > 1 else ''}\n")
    else:
        print_manifest(report.store, open_store(report.store).manifest)
    warn(report.failures)
    if report.failures:
        raise typer.Exit(EXIT_INCOMPLETE)


@app.command()
def describe(
    out: Annotated[Path, typer.Argument(help="Folder of a prepared store.")],
    as_json: AsJson = False,
) -> None:
    """Show what a store holds: days, splits, options, and how many slots a book needs."""
    manifest = open_store(out).manifest
    if as_json:
        sys.stdout.write(manifest.to_json())
    else:
        print_manifest(out, manifest)


@app.command()
def calibrate(
    out: Annotated[Path, typer.Argument(help="Folder of a prepared store.")],
    model: Annotated[ModelName, typer.Option(help="What to fit.")] = "zero_intelligence",
    levels: Annotated[
        int | None, typer.Option(help="Distances of the model; by default the data decide.")
    ] = None,
    ticker: Ticker = None,
    split: Annotated[Literal[SplitName, "all"], typer.Option(help="Data to fit to.")] = "train",
    save: Annotated[Path | None, typer.Option(help="Write the parameters here, as JSON.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fit an order-flow model to a store by maximum likelihood and show how well it fits.

    `zero_intelligence`: independent Poisson flows by distance. `hawkes`: limit and market orders
    excite each other. `queue_reactive`: rates by distance from a reference price and size of the
    queue. The residuals of a true model are exponential with mean 1: `residual_ks` is their
    distance from that, and the smaller the better.

    `lob-data synthesize RAW --params FILE` draws order flow from what `--save FILE` wrote.
    """
    if save is not None and not save.parent.is_dir():
        raise OptionError(f"--save is {save}, but there is no folder {save.parent}")
    chosen = None if split == "all" else split
    with show_progress(f"fitting {model}"):
        result = fit_model(out, model=model, num_levels=levels, ticker=ticker, split=chosen)
    if save is not None:
        partial = save.with_name(f".{save.name}.partial")
        partial.write_text(result.to_json())
        partial.replace(save)
    if as_json:
        sys.stdout.write(result.to_json())
    else:
        print_calibration(result)


@app.command()
def synthesize(
    out: Annotated[Path, typer.Argument(help="Folder for the two files; made if missing.")],
    messages: Annotated[int, typer.Option(help="Messages to draw from the model.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Of the random numbers.")] = 0,
    level: Annotated[int, typer.Option(help="Levels a side in the order book file.")] = 10,
    ticker: Annotated[str, typer.Option(help="Symbol in the file names.")] = "SYNTH",
    day: Annotated[str, typer.Option(help="Date in the file names.")] = "2020-01-02",
    params: Annotated[
        Path | None, typer.Option(help="What `calibrate --save` wrote: model and parameters.")
    ] = None,
    compress: Annotated[bool, typer.Option(help="Write .csv.gz rather than .csv.")] = True,
    as_json: AsJson = False,
) -> None:
    """Write a LOBSTER pair drawn from an order-flow model, free of any license.

    Without `--params` the model is `zero_intelligence` with its default parameters.
    """
    fitted = None if params is None else load_calibration(params)
    with show_progress("drawing") as progress:
        report = write_synthetic(
            out,
            num_messages=messages,
            seed=seed,
            num_levels=level,
            model=None if fitted is None else fitted.model,
            params=None if fitted is None else fitted.params,
            ticker=ticker,
            day=day,
            compress=compress,
            progress=progress,
        )
    files = [str(report.pair.messages), str(report.pair.books)]
    if as_json:
        print_json({"files": files, "messages": report.messages, "rows": report.rows})
    else:
        sys.stdout.write("\n".join([*files, f"{report.rows} rows"]) + "\n")


def parse_time(text: str | None) -> float | None:
    """Seconds after midnight of a time such as `09:45`, `09:45:30.5` or `35130.5`.

    Raises:
        OptionError: if it is none.
    """
    if text is None:
        return None
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError as error:
        raise OptionError(f"time is {text!r}; write it as 09:45 or 09:45:30") from error
    if len(parts) == 1:
        return parts[0]
    if len(parts) > 3 or not all(0 <= part < 60 for part in parts[1:]):
        raise OptionError(f"time is {text!r}; write it as 09:45 or 09:45:30")
    return sum(part * scale for part, scale in zip(parts, (3600, 60, 1), strict=False))


def main() -> None:
    """Runs the command line; one clear line instead of a traceback for an expected error."""
    configure_cpu()
    try:
        app()
    except LobDataError as error:
        reason = str(error)
    except OSError as error:  # a full disk, a folder that may not be written
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    else:
        return
    sys.stderr.write(f"lob-data: error: {reason}\n")
    raise SystemExit(EXIT_ERROR)


if __name__ == "__main__":
    main()
