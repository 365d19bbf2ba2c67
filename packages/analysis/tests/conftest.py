import json
import shutil
import subprocess
from pathlib import Path

import jax
import pytest
from lob_analysis.lab import open_lab
from lob_analysis.testing import write_run
from lob_core.runtime import configure_cpu
from marl_algos.checkpoint import CheckpointStore
from marl_algos.conf.load import load_config
from marl_algos.data import make_market
from marl_algos.runfolder import RunFolder
from marl_algos.train import make_learner

configure_cpu()

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
PROBE = """<script>
var problems = [];
window.addEventListener('error', function(e){problems.push(e.message || 'failed to load');}, true);
console.error = function(){problems.push(Array.from(arguments).join(' '));};
function drag(area){
  var box = area.getBoundingClientRect();
  function send(target, kind, share){
    target.dispatchEvent(new MouseEvent(kind, {bubbles: true, cancelable: true, view: window,
      clientX: box.left + box.width * share, clientY: box.top + box.height * share}));
  }
  send(area, 'mousemove', 0.3);
  send(area, 'mousedown', 0.3);
  var cover = document.querySelector('.dragcover') || document;
  [0.4, 0.5, 0.7].forEach(function(share){send(cover, 'mousemove', share);});
  send(cover, 'mouseup', 0.7);
}
window.addEventListener('load', function(){setTimeout(function(){
  document.querySelectorAll('details').forEach(function(x){x.open = true;});
  var plots = document.querySelectorAll('.plotly-graph-div');
  var zoomed = plots[0];
  var before = zoomed._fullLayout.xaxis.range.slice();
  drag(zoomed.querySelector('.nsewdrag'));
  setTimeout(function(){
    var result = {
      problems: problems, plots: plots.length,
      drawn: Array.from(plots).filter(function(p){
        var trace = p.querySelector('.main-svg .trace, .main-svg .hm');
        return trace && trace.getBoundingClientRect().width > 0;}).length,
      before: before, after: zoomed._fullLayout.xaxis.range,
      page: document.documentElement.scrollWidth, window: window.innerWidth,
      widest: Math.max.apply(null, Array.from(plots).map(function(p){
        return p.getBoundingClientRect().right;})),
      requests: performance.getEntriesByType('resource').map(function(x){return x.name;}),
    };
    document.body.innerHTML = '<pre id=probe>' + JSON.stringify(result) + '</pre>';
  }, 1500);
}, 500);});
</script>"""


def probe(page, folder, width=1000):
    """Opens a page in Chromium in a frame of the given width and returns what it finds."""
    (folder / "page.html").write_text(page.replace("<head>", "<head>" + PROBE, 1))
    frame = (
        f"<body style='margin:0'><iframe src=page.html style='width:{width}px;height:900px'>"
        "</iframe><script>setInterval(function(){var d=frames[0].document;"
        "var p=d&&d.getElementById('probe');if(p){document.title=p.textContent;}},50)</script>"
    )
    (folder / "frame.html").write_text(frame)
    done = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu",
            "--allow-file-access-from-files", f"--user-data-dir={folder / 'profile'}",
            "--virtual-time-budget=15000", "--dump-dom", (folder / "frame.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    title = done.stdout.split("<title>")[1].split("</title>")[0]
    return json.loads(title.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))


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
    return lambda page, width=1000: probe(page, tmp_path, width)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "runs" / "demo")
