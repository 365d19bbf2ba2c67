"""Do learned agents beat the rules? Several seeds, modelled and recorded flow, one command.

    python -m marl_algos.market_proof data.path=FOLDER

trains five seeds in one program on modelled flow (`experiment=modelled_2player`) and, if a folder
of LOBSTER files is named, five on recorded flow (`experiment=recorded_2player`). It evaluates all
of them on held-out episodes and prints execution against TWAP and market making against
Avellaneda-Stoikov and doing nothing, with intervals over seeds and stretches of order flow together
(`marl_algos.power`). Further overrides go to both runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from lob_core.runtime import configure_cpu

from marl_algos.conf.load import load_config
from marl_algos.power import print_effects
from marl_algos.runs.commands import exit_code, run_session
from marl_algos.train import Training

NUM_SEEDS: Final = 5
RECORDED: Final = "data.path="


def plan(arguments: Sequence[str]) -> list[list[str]]:
    """Overrides of the runs, in order.

    Args:
        arguments: overrides of all runs; `data.path=FOLDER` adds one on recorded flow.
    """
    common = [item for item in arguments if not item.startswith(RECORDED)]
    paths = [item for item in arguments if item.startswith(RECORDED)]
    seeds = f"num_seeds={NUM_SEEDS}"
    runs = [["experiment=modelled_2player", "run.name=proof-modelled", seeds, *common]]
    if paths:
        recorded = ["data=lobster", paths[-1], "experiment=recorded_2player"]
        runs.append([*recorded, "run.name=proof-recorded", seeds, *common])
    return runs


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the proof; returns the exit code.

    Args:
        arguments: overrides; None takes those of the process.
    """
    parser = argparse.ArgumentParser(
        prog="python -m marl_algos.market_proof",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", help="Hydra overrides of all runs")
    overrides = parser.parse_args(arguments).overrides
    configure_cpu()

    def work() -> None:
        configs = [load_config(run) for run in plan(overrides)]  # mistakes come before any run
        configs.reverse()  # recorded data first: they may be missing
        folders = [run_session(config, Training)[0].path for config in configs]
        for folder in reversed(folders):
            print_effects(folder)

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
