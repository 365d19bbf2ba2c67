import json
import re

import numpy as np
import polars as pl
import pytest
from lob_analysis.agents.results import MEASURES, compare_policies
from lob_analysis.cli import app
from lob_analysis.pages import plots
from lob_analysis.pages.cross_play import contest_picture
from lob_analysis.pages.markup import picture
from lob_analysis.pages.population_section import win_pictures
from lob_analysis.pages.report import page, render, report, write_text
from lob_analysis.pages.sections import power_note
from lob_analysis.pages.study_sections import attack_picture
from lob_analysis.runs.load import load_run
from lob_analysis.statistics.comparisons import wilson
from lob_analysis.testing import write_populations, write_run, write_studies
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A complete run with studies and populations, and its page."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "demo", num_updates=20)
    write_studies(folder)
    write_populations(folder)
    run = load_run(folder)
    return run, render(run)


def inside(after, before):
    return all(b[0] < a[0] < a[1] < b[1] for a, b in zip(after, before, strict=True))


def test_browser__plots_are_drawn_without_errors_or_requests(whole, browse):
    run, text = whole
    widths = (1000, 390)
    for width, found in zip(widths, browse(text, *widths), strict=True):
        assert found["problems"] == []
        assert found["plots"] == expected_plots(run)
        assert found["drawn"] == found["plots"]
        # A caption, and a title with what is on an axis; the triangle has none but its corners.
        assert found["bare"] == ["plot-contest-triangle"]
        zoomed = found["zoomed"]
        assert inside(zoomed["after"][:1], zoomed["before"][:1])
        assert [name for name in found["requests"] if not name.startswith("data:")] == []
        assert found["page"] <= width
        assert found["widest"] <= width
        # The book viewer: depth of both sides; the mid, three quotes, three kinds of fills and two
        # inventories. The slider moves both panels to the same steps, and a drag zooms into steps
        # and prices.
        assert found["depths"] == [2] * run.book["policy"].n_unique()
        assert found["lines"][0] == 9
        before, after = (found["scrubbed"][key] for key in ("before", "after"))
        assert inside(after[:1], before[:1])
        assert after[2] == after[0]
        assert after[1] == before[1]
        enlarged = found["enlarged"]
        assert inside(enlarged["after"], enlarged["before"])


def test_browser__a_script_error_is_seen_by_the_probe(whole, browse):
    small = picture(plots.learning_curve(whole[0].learning, "execution", "entropy", "", {}))
    (found,) = browse(page("small", f"{small}<script>nothing.here()</script>"), 1000)
    assert "nothing is not defined" in " ".join(found["problems"])


def expected_plots(run):
    """Pictures of each type, of both types together, and of each recorded policy.

    Each type has one of results, matrix, money, markouts, learning curve, diagnostics, attacks and
    cross-play, and the execution agent one of its progress; NashConv, lineage, PSRO and who beats
    whom have one, win rates two; of the game among the policies, alpha-rank, survival and the
    triangle of three have one.
    """
    episodes = run.episodes.select("policy", "replaced").n_unique()
    return len(run.agent_types) * 8 + 1 + 9 + episodes + run.book["policy"].n_unique()


def test_report__has_every_part_and_plotly_once(whole):
    text = whole[1]
    assert "cannot be shown" not in text
    assert "newest best responses, not the mixture" in text
    studies = ("exploitability", "robustness", "transfer", "population")
    parts = ("results", "matrix", "trading", "episodes", *studies, "learning", "counters", "facts")
    assert re.findall("<section id=([a-z]*)>", text) == list(parts)
    assert text.count("plotly.js v") == 1
    assert "https://cdn" not in text.split("</style>")[1].split("<body>")[1]
    assert "Avellaneda-Stoikov" in text
    assert "0123abc" in text
    assert "clip_eps: 0.2" in text


def test_win_pictures__the_last_round_has_wilson_intervals_where_matches_are_known(whole):
    rates = whole[0].populations["win_rates"]
    for matches in (64, None):
        points = win_pictures(rates, matches)[0].figure.data[1]
        assert len(points.x) == 6
        if matches is None:
            assert points.error_x.array is None
            continue
        low, high = wilson(points.x[0], matches)
        assert points.error_x.array[0] == pytest.approx(high - points.x[0])
        assert points.error_x.arrayminus[0] == pytest.approx(points.x[0] - low)


def test_contest_picture__has_half_widths_and_does_without_those_of_older_studies(whole):
    study = whole[0].studies["population"]
    map_of = contest_picture(study).figure.data[0]
    assert list(map_of.text[0]) == ["± 0.5"] * 3
    assert list(map_of.customdata[1][0]) == [1.5, 2.5]
    older = {key: value for key, value in study.items() if not key.startswith("contest_")}
    assert contest_picture(older).figure.data[0].text is None


def test_attack_picture__few_policies_are_points_with_intervals_and_many_a_map(whole):
    rows = whole[0].studies["robustness"]["rows"][:4]  # two policies, two scenarios
    learned, hardened = attack_picture(rows, "market_maker").figure.data
    assert learned.error_x.array == hardened.error_x.arrayminus == (2.0, 2.0)
    assert learned.y[0] < hardened.y[0] < 0.5 < learned.y[1]  # beside each other in one row
    many = [row | {"policy": f"{row['policy']} {i}"} for i in range(3) for row in rows]
    (found,) = attack_picture(many, "market_maker").figure.data
    assert found.type == "heatmap"
    assert len(found.x) == 6


def test_report__is_the_same_twice(whole):
    run, text = whole
    assert render(run) == text


def test_report__counters_above_zero_stand_out(whole):
    text = whole[1]
    row = text.split("<td>invalid</td>")[1].split("</tr>")[0]
    assert "<span class=bad>3</span>" in row
    assert "<span class=good>0</span>" in text.split("<td>unknown ids</td>")[1].split("</tr>")[0]


def test_report__says_what_the_evaluation_could_have_shown(whole):
    text = whole[1]
    assert text.count("What this evaluation could have shown, with one training seed") == 2
    noise = np.array([3.0, -3.0, 1.0, -1.0] * 8)
    columns = {
        "policy": ["learned"] * 32 + ["twap"] * 32, "pnl": [*noise, *np.zeros(32)],
        "agent_type": "a", "agent": 0, "seed": 0, "split": "test",
        "episode": [*range(32)] * 2, "window": [*range(32)] * 2,
    }  # fmt: skip
    evaluation = pl.DataFrame(columns)
    note = power_note(evaluation, compare_policies(evaluation, "a", MEASURES["pnl"]))
    # (t(0.975, 31) + t(0.8, 31)) sqrt(5 (32 / 31) / 32)
    assert "a true difference of 1.162 from TWAP (ticks x shares)" in note
    assert power_note(evaluation.drop("window"), []) == ""


def test_report__few_windows_are_warned_about(tmp_path, whole):
    assert "independent windows" not in whole[1]
    path = write_run(tmp_path / "r", num_updates=2, num_steps=8)
    table = pl.read_parquet(path / "evaluation.parquet").with_columns(pl.col("window") % 5)
    table.write_parquet(path / "evaluation.parquet")
    text = report(path).read_text()
    assert "There are only 5 independent windows" in text
    assert "<span class='good'>better</span>" not in text


def unevaluated(path):
    """A run that was stopped while it trained."""
    write_run(path, status="running", num_updates=3, num_episodes=2, num_steps=4)
    for file in (*path.glob("*.parquet"), path / "evaluation.json"):
        file.unlink()
    return path


def test_report__unfinished_run_shows_notice_and_curves(tmp_path):
    text = report(unevaluated(tmp_path / "r")).read_text()
    assert "This run is not finished" in text
    assert "<section id=learning>" in text
    assert "<section id=results>" not in text


def test_cli__without_a_baseline_says_so_and_shows_the_rest(tmp_path):
    path = write_run(tmp_path / "r", num_updates=2, num_episodes=8, num_steps=8)
    for name in ("evaluation", "matrix", "episodes"):
        table = pl.read_parquet(path / f"{name}.parquet")
        (table.filter(policy="learned")).write_parquet(path / f"{name}.parquet")
    done = CliRunner().invoke(app, ["report", str(path)])
    assert done.exit_code == 0
    missing = "There is no baseline to compare the market maker with."
    assert missing in " ".join(done.output.split())
    text = (path / "report.html").read_text()
    assert missing in text
    assert re.findall("<section id=([a-z]*)>", text)[:3] == ["results", "matrix", "trading"]
    assert "cannot be shown" not in text


def test_cli__a_run_of_another_version_shows_its_facts(tmp_path):
    path = write_run(tmp_path / "r", schema=2, num_updates=1, num_episodes=2, num_steps=4)
    done = CliRunner().invoke(app, ["report", str(path)])
    assert done.exit_code == 0
    assert "layout version 2; this report reads version 1" in " ".join(done.output.split())
    text = (path / "report.html").read_text()
    assert re.findall("<section id=([a-z]*)>", text) == ["facts"]
    assert "0123abc" in text


def test_report__a_part_that_is_damaged_does_not_take_the_others_along(tmp_path):
    path = write_run(tmp_path / "r", num_updates=2, num_episodes=8, num_steps=8)
    write_studies(path)
    study = json.loads((path / "robustness.json").read_text())
    del study["rows"][0]["damage"]
    (path / "robustness.json").write_text(json.dumps(study))
    matrix = pl.read_parquet(path / "matrix.parquet").with_columns(pl.col("seed").cast(pl.String))
    matrix.write_parquet(path / "matrix.parquet")
    text = report(path).read_text()
    assert "Attacks and stress cannot be shown" in text
    assert "KeyError: &#x27;damage&#x27;" in text
    assert "<section id=transfer>" in text
    assert "<section id=facts>" in text


def test_report__names_from_a_run_cannot_inject_html(tmp_path):
    path = write_run(tmp_path / "r", num_updates=2, num_episodes=8, num_steps=8)
    evaluation = pl.read_parquet(path / "evaluation.parquet")
    evil = "<img src=x onerror=alert(1)></script>"
    evaluation = evaluation.with_columns(pl.col("policy").replace("twap", evil))
    evaluation.write_parquet(path / "evaluation.parquet")
    body = report(path).read_text().split("<body>")[1]
    assert "<img" not in body
    assert "&lt;img src=x" in body


def test_write__failure_leaves_the_old_file(tmp_path):
    file = tmp_path / "report.html"
    file.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_text(file, "new \ud800")
    assert file.read_text() == "old"
    assert [x.name for x in tmp_path.iterdir()] == ["report.html"]


def test_cli__newest_run_prints_a_table(run_folder):
    done = CliRunner().invoke(app, ["report", "--root", str(run_folder.parent)])
    assert done.exit_code == 0
    assert "Market maker: PnL after closing, ticks x shares (more is better)" in done.output
    assert "The learned execution agent is better than TWAP" in " ".join(done.output.split())
    assert (run_folder / "report.html").exists()


def test_cli__out_names_another_file(tmp_path):
    folder = unevaluated(tmp_path / "r")
    out = tmp_path / "deep" / "page.html"
    done = CliRunner().invoke(app, ["report", str(folder), "--out", str(out)])
    assert done.exit_code == 0
    assert "note: This run is not finished" in " ".join(done.output.split())
    assert out.exists()
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("case", ["empty", "missing"])
def test_cli__nothing_to_show_is_one_line_and_exit_code_2(tmp_path, case):
    folder = tmp_path / case
    if case == "empty":
        folder.mkdir()
    done = CliRunner().invoke(app, ["report", str(folder)])
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert case in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (folder / "report.html").exists()


def test_report__a_study_of_another_version_becomes_a_notice(run_folder):
    write_studies(run_folder)
    (run_folder / "robustness.json").write_text('{"schema": 99, "rows": []}')
    (run_folder / "transfer.json").write_text("{")
    run = load_run(run_folder)
    notices = " ".join(run.notices)
    assert "robustness.json has layout version 99; this report reads version 1" in notices
    assert "transfer.json cannot be read" in notices
    assert set(run.studies) == {"exploitability", "population"}
