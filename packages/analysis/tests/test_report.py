import polars as pl
import pytest
from lob_analysis.cli import app
from lob_analysis.load import load_run
from lob_analysis.report import render, report, write_text
from lob_analysis.testing import write_run, write_studies
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A complete run and its page."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "demo", num_updates=20)
    write_studies(folder)
    run = load_run(folder)
    return run, render(run)


@pytest.mark.parametrize("width", [1000, 390])
def test_browser__plots_are_drawn_without_errors_or_requests(whole, browse, width):
    run, page = whole
    found = browse(page, width)
    assert found["problems"] == []
    assert found["plots"] == expected_plots(run)
    assert found["drawn"] == found["plots"]
    before, after = found["before"], found["after"]
    assert before[0] < after[0] < after[1] < before[1]
    assert [name for name in found["requests"] if not name.startswith("data:")] == []
    assert found["page"] <= width
    assert found["widest"] <= width


def test_browser__a_script_error_is_seen_by_the_probe(whole, browse):
    page = whole[1].replace("</body>", "<script>nothing.here()</script></body>")
    assert "nothing is not defined" in " ".join(browse(page)["problems"])


def expected_plots(run):
    """Result, curve, money, diagnostics and attacks for each type; episodes and books by policy.

    One picture more is that of NashConv.
    """
    episodes = run.episodes.select("policy", "replaced").n_unique()
    return len(run.agent_types) * 5 + 1 + episodes + run.book["policy"].n_unique()


def test_report__has_every_part_and_plotly_once(whole):
    text = whole[1]
    studies = ("exploitability", "robustness", "transfer")
    for part in ("results", "episodes", *studies, "learning", "counters", "facts"):
        assert f"<section id={part}>" in text
    assert text.count("plotly.js v") == 1
    assert "https://cdn" not in text.split("</style>")[1].split("<body>")[1]
    assert "Avellaneda-Stoikov" in text
    assert "0123abc" in text
    assert "clip_eps: 0.2" in text


def test_report__is_the_same_twice(whole):
    run, page = whole
    assert render(run) == page


def test_report__counters_above_zero_stand_out(whole):
    text = whole[1]
    row = text.split("<td>invalid</td>")[1].split("</tr>")[0]
    assert "<span class=bad>3</span>" in row
    assert "<span class=good>0</span>" in text.split("<td>unknown ids</td>")[1].split("</tr>")[0]


def test_report__few_windows_are_warned_about(tmp_path, whole):
    assert "independent windows" not in whole[1]
    path = write_run(tmp_path / "r")
    table = pl.read_parquet(path / "evaluation.parquet").with_columns(pl.col("window") % 5)
    table.write_parquet(path / "evaluation.parquet")
    text = report(path).read_text()
    assert "There are only 5 independent windows" in text
    assert "<span class='good'>better</span>" not in text


def test_report__unfinished_run_shows_notice_and_curves(tmp_path):
    path = write_run(tmp_path / "r", status="running")
    for name in ("evaluation.parquet", "evaluation.json", "episodes.parquet"):
        (path / name).unlink()
    text = report(path).read_text()
    assert "This run is not finished" in text
    assert "<section id=learning>" in text
    assert "<section id=results>" not in text


def test_report__names_from_a_run_cannot_inject_html(tmp_path):
    path = write_run(tmp_path / "r")
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


def test_cli__out_names_another_file(run_folder, tmp_path):
    out = tmp_path / "deep" / "page.html"
    done = CliRunner().invoke(app, ["report", str(run_folder), "--out", str(out)])
    assert done.exit_code == 0
    assert out.exists()
    assert not (run_folder / "report.html").exists()


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
    text = render(load_run(run_folder))
    assert "robustness.json has layout version 99; this report reads version 1" in text
    assert "transfer.json cannot be read" in text
    assert "<section id=robustness>" not in text
    assert "<section id=exploitability>" in text
