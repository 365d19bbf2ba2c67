"""All GPU measurements in one sitting of less than eight minutes.

    bash bench/gpu.sh --out gpu.json          # on a machine with an NVIDIA GPU
    bash bench/gpu.sh --tiny --device cpu     # tries the script anywhere, in seconds

Messages/s of the engine, env steps/s of the environment and of training, each compared with what
the CPU makes of the same inputs, each beside the nearest peer's figure and the goal. Every part
(`engine`, `environment`, `training`) is a process of its own that is stopped when its time is up;
what was not measured is listed as SKIPPED. A row below its goal gets a profile. The exit status is
0 if all that was measured agrees with the CPU and nothing failed, 1 otherwise, 2 if the device is
not there.

It needs jax with CUDA, numba, flax and optax; this repository's packages are taken from where they
lie, so nothing has to be installed. On a machine that cannot install packages carry the repository
alone: the script reads neither configuration files nor tables (no hydra, no polars).
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gpu_parts.plan import FULL, GOALS, PARTS, PEER, TINY, Plan, beside, name_of, settings_of

VERSIONS = ("jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda13-plugin", "numba", "flax", "optax")
_GRACE = 20.0
"""Seconds a part may run over its time to finish what it has begun."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="JSON file to write")
    parser.add_argument("--device", choices=["gpu", "cpu"], default="gpu")
    parser.add_argument("--tiny", action="store_true", help="small settings, to try the script")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seconds", type=float, default=460.0, help="time for everything")
    parser.add_argument("--profile", choices=["misses", "all", "none"], default="misses")
    parser.add_argument("--run-part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    plan = TINY if options.tiny else FULL
    if options.run_part:
        return run_part(options, plan)
    return run_all(options, plan)


def run_all(options: argparse.Namespace, plan: Plan) -> int:
    """Runs the parts one after the other and writes the report."""
    end = time.monotonic() + options.seconds
    report: dict[str, Any] = {"schema": 2, **describe_machine(), "rows": [], "skipped": []}
    for number, part in enumerate(options.parts):
        later = sum(plan.seconds[PARTS.index(other)] for other in options.parts[number + 1 :])
        seconds = max(end - time.monotonic() - later * _shrink(options, plan), 0.0)
        rows, reason, device = start_part(part, seconds, options)
        report["device"] = report.get("device") or device
        report["rows"] += rows
        for setting in settings_of(part, plan):
            name = name_of(part, setting, plan)
            if name not in [row["name"] for row in rows]:
                report["skipped"].append({"part": part, "name": name, "why": reason})
        if reason == "no device":
            return 2
    options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print_table(report)
    say(f"JSON: {options.out}")
    is_good = all(not row["differs"] for row in report["rows"]) and report["rows"]
    has_failed = any(entry["why"] != "out of time" for entry in report["skipped"])
    return 0 if is_good and not has_failed else 1


def _shrink(options: argparse.Namespace, plan: Plan) -> float:
    """By how much the time of the parts must shrink to fit into that for everything."""
    wanted = sum(plan.seconds[PARTS.index(part)] for part in options.parts)
    return min(1.0, options.seconds / wanted)


def start_part(
    part: str, seconds: float, options: argparse.Namespace
) -> tuple[list[dict[str, Any]], str, str | None]:
    """Runs one part in a process of its own; its rows, why others lack, and the device."""
    if seconds <= 0:
        return [], "out of time", None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        command = [sys.executable, __file__, "--run-part", part, "--rows", str(path)]
        command += ["--device", options.device, "--seconds", str(seconds)]
        command += ["--profile", options.profile, *(["--tiny"] if options.tiny else [])]
        reason = "out of time"
        try:
            status = subprocess.run(command, timeout=seconds + _GRACE, check=False).returncode
        except subprocess.TimeoutExpired:
            status = 0
        if status:
            reason = "no device" if status == 2 else f"the part ended with status {status}"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    entries = [json.loads(line) for line in lines]
    devices = [entry["device"] for entry in entries if "device" in entry]
    return (
        [entry for entry in entries if "name" in entry],
        reason,
        devices[0] if devices else None,
    )


def run_part(options: argparse.Namespace, plan: Plan) -> int:
    """Measures the rows of one part as long as its time lasts, and writes each when it is done."""
    from lob_core.runtime import DeviceError, configure_cpu, require_device

    began = time.monotonic()
    configure_cpu()
    try:
        device, cpu = require_device(options.device), require_device("cpu")
    except DeviceError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    with options.rows.open("a", encoding="utf-8") as file:

        def write(entry: dict[str, Any]) -> None:
            file.write(json.dumps(entry) + "\n")
            file.flush()

        write({"device": device.device_kind})
        measured = make_part(options.run_part, plan, device, cpu)
        failed = 0
        for setting in settings_of(options.run_part, plan):
            if time.monotonic() - began > options.seconds:
                break
            name = name_of(options.run_part, setting, plan)
            try:
                row = {"part": options.run_part, "name": name, **measure_row(
                    measured, setting, options.run_part, options.profile, device
                )}  # fmt: skip
            except Exception as error:  # other rows may still work
                failed += 1
                sys.stderr.write(f"FAILED {name}: {type(error).__name__}: {error}\n")
                continue
            write(row)
            say(f"{name}: {row['rate']:,.0f} {row['unit']}")
    return 3 if failed else 0


def make_part(part: str, plan: Plan, device: Any, cpu: Any) -> Any:
    """What measures the rows of a part."""
    if part == "engine":
        from gpu_parts.engine import Engine

        return Engine(plan, device, cpu)
    if part == "environment":
        from gpu_parts.environment import Environment

        return Environment(plan, device, cpu)
    from gpu_parts.training import Training

    return Training(plan, device, cpu)


def measure_row(
    measured: Any, setting: Any, part: str, profiled: str, device: Any
) -> dict[str, Any]:
    """One row: its figures, the peer's and the goal, and a profile if it misses the goal."""
    row, program, arguments = measured.row(setting)
    goal = beside(GOALS, part, row["messages"])
    row |= {"peer": beside(PEER, part, row["messages"]), "goal": goal}
    is_miss = goal is not None and row["rate"] < goal
    if profiled == "all" or (profiled == "misses" and is_miss and device.platform == "gpu"):
        from gpu_parts.timing import profile

        row["profile"] = profile(program, arguments, device)
    return row


def describe_machine() -> dict[str, Any]:
    """Date, driver, versions, processor and commit."""
    versions = {"python": platform.python_version()}
    for name in VERSIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "driver": output_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "versions": versions,
        "cpu_cores": os.cpu_count(),
        "commit": output_of("git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"),
    }


def output_of(*command: str) -> str | None:
    """What a command prints, or None if it cannot run."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def print_table(report: dict[str, Any]) -> None:
    """The report for people."""
    say(f"\n{report.get('device')}, driver {report['driver']}, {report['date']}")
    for row in report["rows"]:
        share = row["utilization"]
        used = "unknown" if share is None else f"{share:.0%}"
        peak = row["peak_bytes_so_far"]
        say(f"\n{row['name']}\n  {row['rate']:,.0f} {row['unit']}")
        say(f"  peer: {row['peer'] or 'none'}; goal: {format_goal(row)}")
        say(f"  checked: {row['checked']}: {'DIFFERS' if row['differs'] else 'agrees'}")
        for line in row["differs"]:
            say(f"    {line}")
        say(
            f"  {row['kernels_per_innermost_step']} kernels in the innermost loop, "
            f"compiling {row['compile_seconds']} s, utilization {used}, "
            f"peak {'unknown' if peak is None else f'{peak / 2**30:.2f} GiB'}"
        )
        if "bytes_per_env" in row:
            say(
                f"  {row['bytes_per_env']:,} bytes an environment, and "
                f"{row['temporary_bytes_per_env']:,} while stepping"
            )
        seen = row.get("profile")
        if seen:
            say(f"  profile: {seen['events']} events, {seen['share_of_events']:.0%} of "
                f"{seen['milliseconds']} ms")  # fmt: skip
        for entry in (seen or {}).get("longest", []):
            say(f"    {entry['milliseconds']} ms in {entry['calls']} x {entry['name']}")
    for entry in report["skipped"]:
        say(f"\nSKIPPED {entry['name']}: {entry['why']}")


def say(text: str) -> None:
    """Prints a line at once, whatever standard output is."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def format_goal(row: dict[str, Any]) -> str:
    """The goal and whether it is reached."""
    if row["goal"] is None:
        return "none"
    return f"{row['goal']:,.0f} {'reached' if row['rate'] >= row['goal'] else 'MISSED'}"


if __name__ == "__main__":
    sys.exit(main())
