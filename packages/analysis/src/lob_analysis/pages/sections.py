"""The parts of a run report: each turns a run into HTML, empty if there is nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import polars as pl
import yaml  # type: ignore[import-untyped]

from lob_analysis.agents.results import (
    LEARNED,
    MIN_WINDOWS,
    PolicyResult,
    compare_policies,
    measures_in,
    risk_table,
    with_derived,
)
from lob_analysis.pages import plots
from lob_analysis.pages.episode_plots import episode
from lob_analysis.pages.markup import (
    escape,
    folded,
    number,
    picture,
    section,
    share,
    table,
    with_interval,
)
from lob_analysis.pages.plots import agent_name, capitalized, people_name
from lob_analysis.pages.viewer import book_view
from lob_analysis.runs.load import Run

DIAGNOSTICS: Final = (
    "entropy",
    "explained_variance",
    "approx_kl",
    "clip_fraction",
    "policy_loss",
    "value_loss",
)
CURVES: Final = (("episode_return", "reward"), ("reward_mean", "reward a step"))
FEW_WINDOWS: Final = 20
"""Independent windows below which the page warns that intervals are too narrow."""
_VERDICTS: Final = {
    "better": ("good", "better"),
    "worse": ("bad", "worse"),
    "unclear": ("", "unclear"),
    "too few": ("", "too few windows"),
    "": ("", ""),
}


def result_table(rows: Sequence[PolicyResult]) -> str:
    """One measure under every policy set."""
    cells = []
    for row in rows:
        kind, word = _VERDICTS[row.verdict]
        difference = with_interval(row.difference) if row.difference else ""
        cells.append(
            [
                f"<b>{escape(people_name(row.policy))}</b>",
                with_interval(row.mean),
                difference,
                f"<span class='{kind}'>{word}</span>",
                share(row.wins) if row.wins else "",
                with_interval(row.iqm),
                str(row.mean.num_samples),
            ]
        )
    head = [
        "Policy",
        "Mean (95 % interval)",
        "Learned minus this",
        "Learned is",
        "Wins against this",
        "IQM",
        "Episodes",
    ]
    return table(head, cells)


def result_section(run: Run, results: dict[str, list[PolicyResult]]) -> str:
    """Per-agent results against baselines."""
    if run.evaluation is None or not results:
        return ""
    evaluation = with_derived(run.evaluation)
    parts = []
    for agent_type, rows in results.items():
        measure = rows[0].measure
        title = f"{capitalized(agent_type)}: {measure.label}, {measure.unit}"
        parts.append(
            f"<h3>{escape(title)}</h3>{result_table(rows)}{power_note(run.evaluation, rows)}"
            f"{picture(plots.intervals(rows))}"
        )
        others = [risk(evaluation, agent_type)]
        for other in measures_in(evaluation, agent_type):
            if other.name != measure.name:
                unit = f" ({other.unit})" if other.unit else ""
                found = compare_policies(evaluation, agent_type, other)
                others.append(f"<h4>{escape(other.label + unit)}</h4>{result_table(found)}")
        parts.append(folded(f"All measures of the {agent_name(agent_type)}", "".join(others)))
    splits = ", ".join(str(x) for x in run.evaluation["split"].unique(maintain_order=True))
    first = next(iter(results.values()))[0]
    windows = (
        f"The {first.mean.num_samples} episodes replay {first.num_windows} recorded windows, "
        "which are resampled whole. "
        if first.num_windows < first.mean.num_samples
        else ""
    )
    few = (
        f"<p class=notice>There are only {first.num_windows} independent windows. Intervals from "
        "fewer than about 20 are too narrow, and fewer than "
        f"{MIN_WINDOWS} cannot support a statement at the 95 % level at all.</p>"
        if first.num_windows < FEW_WINDOWS
        else ""
    )
    note = few + (
        f"<p class=note>Data split: {escape(splits)}. A baseline replaces the learned policy "
        "of one agent type while the others stay as learned; differences are taken episode by "
        f"episode on the same market. {windows}Wins: share of episodes in which learned is "
        "better. IQM: mean of the middle half of all episodes of all training seeds, its interval "
        "stratified by seed.</p>"
    )
    return section("Results against baselines", note + "".join(parts), "results")


def power_note(evaluation: pl.DataFrame, rows: Sequence[PolicyResult]) -> str:
    """The smallest differences that such an evaluation shows; empty without windows."""
    if "window" not in evaluation.columns:
        return ""
    from marl_algos.power import POWER, effect, paired_differences  # learners take long to import

    limits, num_seeds = [], 1
    for row in rows:
        if row.difference is not None and row.num_windows >= MIN_WINDOWS:
            pairs = paired_differences(evaluation, row.agent_type, row.policy, row.measure.name)
            found = effect(pairs)
            num_seeds = found.seeds
            limits.append(f"{number(found.detectable())} from {escape(people_name(row.policy))}")
    if not limits:
        return ""
    seeds = (
        f"{num_seeds} training seeds"
        if num_seeds > 1
        else "one training seed, which stands for itself only"
    )
    return (
        f"<p class=note>What this evaluation could have shown, with {seeds}: a true difference of "
        f"{', or of '.join(limits)} ({escape(rows[0].measure.unit)}) would come out as certain "
        f"{POWER:.0%} of the time.</p>"
    )


def risk(evaluation: pl.DataFrame, agent_type: str) -> str:
    """Sharpe ratio and tail of the PnL as HTML; empty without PnL."""
    if "pnl" not in evaluation.columns:
        return ""
    rows = [
        [
            f"<b>{escape(people_name(row.policy))}</b>",
            with_interval(row.sharpe),
            number(row.worst),
            number(row.lowest),
        ]
        for row in risk_table(evaluation, agent_type)
    ]
    head = ["Policy", "Sharpe ratio of an episode", "Mean of worst 5 %", "Worst episode"]
    return f"<h4>Risk of the PnL (ticks x shares)</h4>{table(head, rows)}" if rows else ""


def episode_section(run: Run) -> str:
    """Pictures of the first recorded episode under every policy."""
    if run.episodes is None:
        return ""
    episodes = run.episodes.filter(pl.col("episode") == pl.col("episode").min())
    labels = episodes.select("policy", "replaced").unique(maintain_order=True).rows()
    shown = [
        picture(episode(episodes.filter(policy=policy, replaced=replaced), policy, replaced))
        for policy, replaced in sorted(labels, key=lambda label: label[0] != LEARNED)
    ]
    books = _book_views(run, episodes, sorted(labels, key=lambda label: label[0] != LEARNED))
    parts = [shown[0], *books[:1]]
    if shown[1:]:
        parts.append(folded("The same episode under the other policies", "".join(shown[1:])))
    if books[1:]:
        parts.append(folded("The book under the other policies", "".join(books[1:])))
    return section("An episode", "".join(parts), "episodes")


def _book_views(run: Run, episodes: pl.DataFrame, labels: Sequence[tuple[str, str]]) -> list[str]:
    """The book of each recorded episode that there is one of."""
    if run.book is None:
        return []
    views = []
    for policy, replaced in labels:
        for name in (f"{policy}:{replaced}", policy):
            book = run.book.filter(pl.col("policy") == name)
            if not book.is_empty():
                rows = episodes.filter(policy=policy, replaced=replaced)
                views.append(picture(book_view(book, rows, policy, replaced)))
                break
    return views


def learning_section(run: Run, results: dict[str, list[PolicyResult]]) -> str:
    """Learning curves with baselines, and training diagnostics."""
    agents = run.learning.filter(pl.col("group") == "agents")
    parts, details = [], []
    for agent_type in agents["agent_type"].unique(maintain_order=True):
        present = set(agents.filter(pl.col("agent_type") == agent_type)["metric"])
        for metric, unit in CURVES:
            if metric in present:
                goals = _goals(run, agent_type) if metric == "episode_return" else {}
                curve = plots.learning_curve(run.learning, agent_type, metric, unit, goals)
                parts.append(picture(curve))
                break
        figure = plots.diagnostics(run.learning, agent_type, DIAGNOSTICS)
        if figure is not None:
            details.append(picture(figure))
    if details:
        parts.append(folded("Training diagnostics", "".join(details)))
    return section("Learning", "".join(parts), "learning")


def _goals(run: Run, agent_type: str) -> dict[str, float]:
    if run.evaluation is None or "episode_return" not in run.evaluation.columns:
        return {}
    measure = next(
        (m for m in measures_in(run.evaluation, agent_type) if m.name == "episode_return"), None
    )
    if measure is None:
        return {}
    results = compare_policies(run.evaluation, agent_type, measure)
    return {row.policy: row.mean.value for row in results if row.policy != LEARNED}


def counter_section(run: Run) -> str:
    """Counters of dropped or refused things; zeros are shown too."""
    counters = run.learning.filter(pl.col("group") == "counters")
    if counters.is_empty():
        return ""
    totals = (
        counters.group_by("metric", maintain_order=True)
        .agg(
            pl.col("value").max().alias("largest"),
            (pl.col("value") > 0).sum().alias("updates"),
            pl.col("value").last().alias("last"),
        )
        .iter_rows(named=True)
    )
    rows = []
    for row in totals:
        kind = "bad" if row["updates"] else "good"
        rows.append(
            [
                escape(people_name(row["metric"])),
                f"<span class={kind}>{number(row['largest'])}</span>",
                str(row["updates"]),
                number(row["last"]),
            ]
        )
    note = (
        "<p class=note>What the engine had to drop, refuse or did not know. Anything above zero "
        "means that the simulated market was not exactly the one that was asked for.</p>"
    )
    head = ["Counter", "Largest in an update", "Updates above zero", "Last"]
    return section("Counters and overflows", note + table(head, rows), "counters")


def facts_section(run: Run) -> str:
    """Versions, seed, device, data, times and the configuration."""
    rows = [
        [f"<b>{escape(people_name(key))}</b>", _value(value)]
        for key, value in run.meta.items()
        if value is not None
    ]
    body = table(["Fact", ""], rows, numeric=2) if rows else ""
    if run.config:
        text = yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True)
        body += folded("Configuration", f"<pre>{escape(text)}</pre>")
    return section("Facts of the run", body, "facts")


def _value(value: Any) -> str:
    if isinstance(value, dict):
        items = (f"{escape(key)} {escape(x)}" for key, x in value.items() if x is not None)
        return ", ".join(items)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,}" if isinstance(value, int) and value > 9999 else number(value)
    return escape(value)
