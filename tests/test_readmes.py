"""Every Python example of every README runs as printed."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READMES = [ROOT / "README.md", *sorted(ROOT.glob("packages/*/README.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_examples_run(
    readme: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Runs the blocks of one file in order, as one program, in an empty folder."""
    blocks = BLOCK.findall(readme.read_text())
    assert blocks, f"{readme} shows no Python example"
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(blocks), str(readme), "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.strip(), f"{readme} prints nothing"
