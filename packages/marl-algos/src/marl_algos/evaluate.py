"""Evaluation of a finished run: `python -m marl_algos.evaluate RUN_FOLDER`, or `marl-evaluate`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from lob_core.runtime import configure_cpu

from marl_algos.clone import CloneSession
from marl_algos.conf.load import ConfigError, load_saved
from marl_algos.pbt import PBTSession
from marl_algos.psro import PSROSession
from marl_algos.runs.commands import evaluate_session, exit_code
from marl_algos.runs.harness import Session
from marl_algos.selfplay import SelfPlaySession
from marl_algos.train import Training

SESSIONS: Final[dict[str, type[Session[Any]]]] = {
    "config": Training,
    "selfplay": SelfPlaySession,
    "pbt": PBTSession,
    "psro": PSROSession,
    "clone": CloneSession,
}
"""Kinds of runs by the name of their primary configuration."""
_CHANGEABLE = ("evaluation.", "device=", "progress=")


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m marl_algos.evaluate RUN_FOLDER [evaluation.key=value ...]`; returns the exit code.

    Plays the policies of the last (or best) checkpoint again, with other numbers of episodes or
    another split, and replaces the results in the run folder.
    """
    parser = argparse.ArgumentParser(
        prog="python -m marl_algos.evaluate",
        description="Play the policies of a finished run again and replace its results.",
    )
    parser.add_argument("run", type=Path, help="folder of the run, e.g. runs/NAME")
    parser.add_argument(
        "overrides", nargs="*", help="evaluation.KEY=VALUE, device=NAME or progress=KIND"
    )
    options = parser.parse_args(arguments)
    configure_cpu()

    def work() -> None:
        for override in options.overrides:
            if not override.startswith(_CHANGEABLE):
                raise ConfigError(
                    f"{override!r}: only evaluation.KEY, device and progress can be changed"
                )
        config, app = load_saved(options.run / "config.yaml", options.overrides)
        evaluate_session(config, SESSIONS[app], options.run)

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
