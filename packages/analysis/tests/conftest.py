import html
import json
import shutil
import subprocess
from pathlib import Path

import jax
import pytest
from lob_analysis.play.lab import open_lab
from lob_analysis.testing import write_run
from lob_core.runtime import compile_quickly, configure_cpu
from marl_algos.conf.load import load_config
from marl_algos.markets.data import make_market
from marl_algos.runs.checkpoint import CheckpointStore
from marl_algos.runs.runfolder import RunFolder
from marl_algos.train import make_learner

configure_cpu()


def pytest_configure(config):
    """Long proofs compute more than they compile."""
    if config.option.markexpr != "learn":
        compile_quickly()


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
PROBE = """<script>
var problems = [];
window.addEventListener('error', function(e){problems.push(e.message || 'failed to load');}, true);
console.error = function(){problems.push(Array.from(arguments).join(' '));};
function send(target, box, kind, x, y){
  target.dispatchEvent(new MouseEvent(kind, {bubbles: true, cancelable: true, view: window,
    clientX: box.left + box.width * x, clientY: box.top + box.height * y}));
}
function drag(area){
  var box = area.getBoundingClientRect();
  send(area, box, 'mousemove', 0.3, 0.3);
  send(area, box, 'mousedown', 0.3, 0.3);
  var cover = document.querySelector('.dragcover') || document;
  [0.4, 0.5, 0.7].forEach(function(x){send(cover, box, 'mousemove', x, x);});
  send(cover, box, 'mouseup', 0.7, 0.7);
}
function scrub(plot){
  var rail = plot.querySelector('.slider-rail-touch-rect');
  var box = rail.getBoundingClientRect();
  send(rail, box, 'mousedown', 0.5, 0.5);
  send(rail, box, 'mouseup', 0.5, 0.5);
}
function ranges(plot){
  return ['xaxis', 'yaxis', 'xaxis2'].map(function(name){
    var axis = plot._fullLayout[name]; return axis ? axis.range.slice() : null;});
}
function explained(plot){
  var layout = plot.layout, figure = plot.closest('figure');
  var caption = figure && figure.querySelector('figcaption');
  var titles = Object.keys(layout).filter(function(name){return /^[xy]axis/.test(name);})
    .map(function(name){return layout[name].title && layout[name].title.text;})
    .concat(plot.data.map(function(trace){
      var title = trace.colorbar && trace.colorbar.title; return title && title.text;}));
  return caption && caption.textContent.length > 40 && titles.some(Boolean);
}
function watched(plot, act){
  var before = ranges(plot);
  act(plot);
  return {plot: plot, before: before};
}
window.addEventListener('load', function(){setTimeout(function(){
  document.querySelectorAll('details').forEach(function(x){x.open = true;});
  var plots = Array.from(document.querySelectorAll('.plotly-graph-div'));
  var books = plots.filter(function(p){return p.querySelector('.slider-rail-touch-rect');});
  var zoom = function(p){
    Plotly.relayout(p, {dragmode: 'zoom'});
    drag(p.querySelector('.nsewdrag'));
  };
  var acts = {zoomed: watched(plots[0], zoom)};
  if(books[0]){acts.scrubbed = watched(books[0], scrub);}
  if(books[1]){acts.enlarged = watched(books[1], zoom);}
  setTimeout(function(){
    var result = {
      problems: problems, plots: plots.length, books: books.length,
      drawn: plots.filter(function(p){
        var trace = p.querySelector('.main-svg .trace, .main-svg .hm');
        return trace && trace.getBoundingClientRect().width > 0;}).length,
      bare: plots.filter(function(p){return !explained(p);}).map(function(p){return p.id;}),
      depths: books.map(function(p){return p.querySelectorAll('.hm image').length;}),
      lines: books.map(function(p){return Array.from(p.querySelectorAll('.scatterlayer .trace'))
        .filter(function(t){return t.getBoundingClientRect().width > 0;}).length;}),
      page: document.documentElement.scrollWidth, window: window.innerWidth,
      widest: Math.max.apply(null, plots.map(function(p){
        return p.getBoundingClientRect().right;})),
      requests: performance.getEntriesByType('resource').map(function(x){return x.name;}),
    };
    Object.keys(acts).forEach(function(name){
      result[name] = {before: acts[name].before, after: ranges(acts[name].plot)};});
    document.body.innerHTML = '<pre id=probe>' + JSON.stringify(result) + '</pre>';
  }, 1500);
}, 500);});
</script>"""


def probe(page, folder, widths):
    """Opens a page in Chromium in frames of the given widths and returns what each finds."""
    (folder / "page.html").write_text(page.replace("<head>", "<head>" + PROBE, 1))
    frames = "".join(
        f"<iframe src=page.html style='width:{width}px;height:900px'></iframe>" for width in widths
    )
    (folder / "frame.html").write_text(
        f"<body style='margin:0'>{frames}<script>setInterval(function(){{"
        "var found=Array.from(frames).map(function(f){"
        "var p=f.document&&f.document.getElementById('probe');return p&&p.textContent;});"
        "if(found.every(Boolean)){document.title='['+found.join(',')+']';}},50)</script>"
    )
    done = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu",
            "--allow-file-access-from-files", f"--user-data-dir={folder / 'profile'}",
            "--virtual-time-budget=15000", "--dump-dom", (folder / "frame.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    title = done.stdout.split("<title>")[1].split("</title>")[0]
    return json.loads(html.unescape(title))


TINY = (
    "experiment=smoke",
    "env=market_maker",
    "algo.num_envs=4",
    "env.num_steps=6",
    "algo.num_steps=6",
    "algo.num_minibatches=1",
    "network.hidden=[4]",
)


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    """Overrides of the smallest market."""
    return TINY


@pytest.fixture(scope="session")
def untrained_run(tmp_path_factory) -> Path:
    """The folder of a run that was stopped after its first checkpoint, before it learned much."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    config = load_config([*TINY, f"run.name={folder.name}", f"run.root={folder.parent}"])
    market = make_market(config)
    learner = make_learner(config, market)
    RunFolder(folder).start(config, market.description, "cpu:cpu")
    store = CheckpointStore(RunFolder(folder).last, 2)
    state = jax.jit(learner.init)(jax.random.key(config.seed), market.params["train"])
    store.save(1, state, {"best_score": None})
    store.close()
    return folder


@pytest.fixture(scope="session")
def lab(untrained_run: Path):
    return open_lab(untrained_run)


@pytest.fixture
def browse(tmp_path: Path):
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    return lambda page, *widths: probe(page, tmp_path, widths)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "runs" / "demo")
