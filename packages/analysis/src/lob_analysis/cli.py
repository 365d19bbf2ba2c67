"""Command line of `lob-analysis`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import polars as pl
import typer
from lob_core.runtime import configure_cpu
from rich.console import Console

from lob_analysis.agents.compare import compare_groups, group_runs
from lob_analysis.errors import AnalysisError, RunError
from lob_analysis.market.events import read_events
from lob_analysis.market.realism import realism_scores
from lob_analysis.pages import study_tables
from lob_analysis.pages.game_section import game_view
from lob_analysis.pages.realism_page import render_realism
from lob_analysis.pages.report import REPORT, page, render, write_text
from lob_analysis.pages.result_tables import comparison_view, realism_view, results_table
from lob_analysis.pages.study_sections import robustness_section
from lob_analysis.pages.verdicts import headlines, sentences
from lob_analysis.runs.load import ROOT, find_run, load_run

ATTACKS_PAGE = "robustness.html"
"""The attack matrix of a run with its figures, written by `attack`."""
_LEAST_WIDTH = 100

app = typer.Typer(
    help="What was learned: reports on training runs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """What was learned: reports on training runs."""


@app.command()
def report(
    run: Annotated[
        str | None, typer.Argument(help="Run folder, or a name under ROOT; newest run if omitted.")
    ] = None,
    root: Annotated[Path, typer.Option(help="Folder that holds the runs.")] = Path(ROOT),
    out: Annotated[
        Path | None, typer.Option(help="File to write; report.html in the run folder if omitted.")
    ] = None,
) -> None:
    """Write one self-contained report.html about a run and print its results."""
    console = _console()
    with one_line_errors():
        loaded = load_run(find_run(run, root))
        results = headlines(loaded)
        path = write_text(out or loaded.path / REPORT, render(loaded, results))
    for notice in loaded.notices:
        console.print(f"[yellow]note:[/] {notice}", highlight=False)
    for agent_type, rows in results.items():
        console.print(results_table(agent_type, rows))
    for line in sentences(results):
        console.print(line, highlight=False)
    console.print(f"report: {path}", highlight=False, soft_wrap=True)


@app.command()
def realism(
    real: Annotated[Path, typer.Option(help="Folder with a LOBSTER pair of real data.")],
    sim: Annotated[Path, typer.Option(help="Folder with a LOBSTER pair of simulated data.")],
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("realism.html"),
    level: Annotated[
        int | None, typer.Option(help="Book levels of the pairs, where there are several.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the resampling.")] = 0,
) -> None:
    """Compare simulated with real order flow, beside a real-versus-real floor.

    Writes one page, and all scores as a table beside it (the same name with .csv).
    """
    console = _console()
    with one_line_errors():
        (real_label, real_events), (sim_label, sim_events) = (
            _one_day(folder, level) for folder in (real, sim)
        )
        title = f"{sim_label} against {real_label}"
        scores = realism_scores(real_events, sim_events, seed=seed)
        path = write_text(out, render_realism(real_events, sim_events, scores, title))
        table = write_text(out.with_suffix(".csv"), scores.write_csv())
    console.print(realism_view(scores, title))
    console.print(f"report: {path}\ntable: {table}", highlight=False, soft_wrap=True)


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(help="Run folders, or names under ROOT.")],
    by: Annotated[
        str, typer.Option(help="Configuration entry that tells groups of runs apart.")
    ] = "algo.name",
    measure: Annotated[
        str | None, typer.Option(help="Column of the evaluation; the ranking one if omitted.")
    ] = None,
    root: Annotated[Path, typer.Option(help="Folder that holds the runs.")] = Path(ROOT),
) -> None:
    """Compare groups of runs: interquartile means with intervals over seeds."""
    console = _console()
    with one_line_errors():
        folders = [find_run(name, root) for name in runs]
        for folder in folders:
            if sum(folder.samefile(other) for other in folders) > 1:
                raise RunError(folder, "is named twice")
        loaded = [load_run(folder) for folder in folders]
        groups = group_runs(loaded, by)
        found = [
            compare_groups(groups, agent_type, measure) for agent_type in loaded[0].agent_types
        ]
    if len(groups) > 1 and min(map(len, groups.values())) == 1:
        note = "intervals of a group of one run do not hold what another seed would change"
        console.print(f"[yellow]note:[/] {note}", highlight=False)
    for comparison in found:
        console.print(comparison_view(comparison, by))
        for (left, right), chance in comparison.improvement.items():
            console.print(
                f"a run of {left} has a better mean than one of {right} with probability "
                f"{chance.value:.2f} ({chance.low:.2f} to {chance.high:.2f})",
                highlight=False,
            )


@app.command()
def exploit(
    run: Annotated[str, typer.Argument(help="Run folder, or a name under ROOT.")],
    updates: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Updates of each best response; as many as all of them together take no more "
            "steps than the run did, at most 30, if omitted.",
        ),
    ] = None,
    episodes: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Episodes of every candidate; if omitted, as many as tell gains of a fifth of "
            "a standard deviation.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of search and episodes.")] = 0,
    root: Annotated[Path, typer.Option(help="Folder that holds the runs.")] = Path(ROOT),
) -> None:
    """Look for what could be gained against the policies of a run: NashConv from below."""
    with one_line_errors():
        folder = find_run(run, root)
        found = _studies().exploit(folder, num_updates=updates, num_episodes=episodes, seed=seed)
    _print_notes(found)
    _console().print(study_tables.exploitability_view(found))


@app.command()
def attack(
    run: Annotated[str, typer.Argument(help="Run folder, or a name under ROOT.")],
    scenario: Annotated[
        list[str] | None,
        typer.Option(help="Manipulator, newcomers or stress to try; all if omitted."),
    ] = None,
    harden: Annotated[
        list[str] | None,
        typer.Option(help="Scenario to train the policies on in, too; `all` for the whole matrix."),
    ] = None,
    adversary: Annotated[
        int, typer.Option(min=0, help="Updates of an adversary that learns; 0 for none.")
    ] = 50,
    budget: Annotated[
        float, typer.Option(min=0.0, help="What it may lose for nothing, ticks x shares.")
    ] = 500.0,
    updates: Annotated[int, typer.Option(min=1, help="Updates of hardened policies.")] = 30,
    episodes: Annotated[int, typer.Option(min=2, help="Episodes of a cell.")] = 128,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    root: Annotated[Path, typer.Option(help="Folder that holds the runs.")] = Path(ROOT),
) -> None:
    """Try the policies of a run against manipulators, strangers, an adversary and stress.

    Beside the table on the terminal, RUN/robustness.html has the whole matrix with figures.
    """
    with one_line_errors():
        folder = find_run(run, root)
        found = _studies().attack(
            folder,
            names=scenario,
            hardened=harden or (),
            adversary_updates=adversary,
            budget=budget,
            num_updates=updates,
            num_episodes=episodes,
            seed=seed,
        )
        body = f"<main>{robustness_section(load_run(folder))}</main>"
        path = write_text(folder / ATTACKS_PAGE, page(f"Attacks on {folder.name}", body))
    console = _console()
    _print_notes(found)
    console.print(study_tables.attack_view(found))
    for name, reason in found["left_out"].items():
        console.print(f"[yellow]left out:[/] {name}: {reason}", highlight=False)
    console.print(f"figures: {path}", highlight=False, soft_wrap=True)


@app.command()
def transfer(
    run: Annotated[str, typer.Argument(help="Run folder, or a name under ROOT.")],
    changes: Annotated[
        list[str], typer.Argument(help="The other market: data.kind=lobster data.path=DIR, ...")
    ],
    episodes: Annotated[int, typer.Option(min=2, help="Episodes in each market.")] = 128,
    seed: Annotated[int, typer.Option(help="Seed of the episodes.")] = 0,
    root: Annotated[Path, typer.Option(help="Folder that holds the runs.")] = Path(ROOT),
) -> None:
    """Play the policies of a run in a market that they were not trained in."""
    with one_line_errors():
        folder = find_run(run, root)
        found = _studies().transfer(folder, changes, num_episodes=episodes, seed=seed)
    _print_notes(found)
    _console().print(study_tables.transfer_view(found["markets"][-1]))


@app.command()
def population(
    run: Annotated[str, typer.Argument(help="Run folder, or a name under ROOT.")],
    limit: Annotated[int, typer.Option(min=2, help="Policies at most, evenly spaced.")] = 8,
    episodes: Annotated[int, typer.Option(min=2, help="Episodes of a profile.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of the episodes.")] = 0,
    root: Annotated[Path, typer.Option(help="Folder that holds the runs.")] = Path(ROOT),
) -> None:
    """Play checkpoints, snapshots or members of a run against each other: who survives?"""
    with one_line_errors():
        folder = find_run(run, root)
        found = _studies().population(folder, limit=limit, num_episodes=episodes, seed=seed)
    _print_notes(found)
    _console().print(study_tables.population_view(found))
    if found["game"] is not None:
        _console().print(game_view(found))


def _one_day(folder: Path, level: int | None) -> tuple[str, pl.DataFrame]:
    days = read_events(folder, level=level)
    if len(days) > 1:
        raise AnalysisError(f"{folder}: holds {len(days)} days; name the folder of one of them")
    return next(iter(days.items()))


def _print_notes(found: dict[str, Any]) -> None:
    """What to know about a study: of an unfinished run, or not of all that a run has learned."""
    notes = [found["caveat"]] if found["caveat"] else []
    if not found["is_finished"]:
        notes.append(f"the run is not finished; this is its update {found['update']}")
    for note in notes:
        _console().print(f"[yellow]note:[/] {note}", highlight=False)


def _console() -> Console:
    """Standard output; wide enough for the tables where no terminal says how wide it is."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, _LEAST_WIDTH))


def _studies() -> ModuleType:
    """The module of studies: reports do without JAX, which takes seconds to import."""
    configure_cpu()
    return import_module("lob_analysis.studies")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the program with one line on standard error and exit code 2 where input is wrong."""
    try:
        yield
    except AnalysisError as error:
        message = str(error)
    except OSError as error:
        message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    else:
        return
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(2)


def main() -> None:
    """Entry point of `lob-analysis`."""
    app()


if __name__ == "__main__":
    main()
