"""Configuration files of JaxMARL-HFT as an experiment of ours.

`python -m marl_algos.importer ENV.json RL.yaml -o experiment/imported.yaml` writes a Hydra
experiment and prints, for every key, what became of it;
`python -m marl_algos.train --config-dir=. experiment=imported` then runs it.
`docs/coming-from-jaxmarl-hft.md` explains the correspondence.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]
from marl_envs import AgentKind, available_kinds

KINDS: Final = {
    "MarketMaking": "market_maker",
    "Execution": "execution",
    "Directional": "directional",
}
"""Our kinds of agents by the names of theirs."""
PIECES: Final = {
    "action_space": ("action", "actions"),
    "observation_space": ("observation", "observations"),
    "reward_function": ("reward", "rewards"),
}
"""Our key of an agent, and where a kind lists what it may be."""
PER_TYPE: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "LR": ("algo.learning_rate", float),
    "ANNEAL_LR": ("algo.final_learning_rate", lambda anneals: 0.0 if anneals else 1.0),
    "GAMMA": ("algo.discount", float),
    "GAE_LAMBDA": ("algo.gae_lambda", float),
    "CLIP_EPS": ("algo.clip_eps", float),
    "ENT_COEF": ("algo.entropy_coef", float),
    "VF_COEF": ("algo.value_coef", float),
    "MAX_GRAD_NORM": ("algo.max_grad_norm", float),
    "UPDATE_EPOCHS": ("algo.num_epochs", int),
    "NUM_MINIBATCHES": ("algo.num_minibatches", int),
    "ACTIVATION": ("network.activation", str),
    "GRU_HIDDEN_DIM": ("network.gru_size", int),
    "FC_DIM_SIZE": ("network.hidden", lambda size: [int(size)]),
}
"""Keys of learning that may be a list over agent types: ours, and how the value changes."""
COMMON: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "NUM_ENVS": ("algo.num_envs", int),
    "NUM_STEPS": ("algo.num_steps", int),
    "TOTAL_TIMESTEPS": ("algo.total_env_steps", lambda steps: int(float(steps))),
    "SEED": ("seed", int),
    "PROJECT": ("logging.wandb_project", str),
    "WANDB_MODE": ("logging.wandb", lambda mode: mode == "online"),
}
"""Keys of learning with one value."""
WORLD: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "n_data_msg_per_step": ("env.messages_per_step", int),
    "episode_time": ("env.num_steps", int),
    "nOrders": ("env.num_slots", int),
    "stock": ("data.ticker", str),
}
"""Keys of the world."""
SETTINGS: Final = {
    "reward_scaling_quo": "reward_scale",
    "inventoryPnL_eta": "eta",
    "inventoryPnL_gamma": "gamma",
    "unrealizedPnL_lambda": "unrealized_lambda",
    "inv_penalty": "inventory_penalty",
    "inv_penalty_lambda": "inventory_penalty_weight",
    "inv_penalty_quadratic_factor": "inventory_penalty_scale",
    "inv_penalty_threshold": "inventory_penalty_threshold",
    "unwind_price": "closing_price",
    "unwind_price_penalty": "closing_penalty",
    "bob_v0": "v0",
}
"""Settings of agents that have another name here."""
NOT_NEEDED: Final = {
    "ENV_CONFIG": "both files are given on the command line",
    "ENV_NAME": "there is one market",
    "N_DEVICES": "all devices that JAX sees can be used",
    "NUM_STEPS_EVAL": "evaluation plays whole episodes",
    "Calculate Baseline": "baselines are always played",
    "CALC_EVAL": "evaluation.every says when",
    "SWEEP_PARAMETERS": "sweeps are made by --multirun",
    "alphatradePath": "give data.path=FOLDER",
    "dataPath": "give data.path=FOLDER",
    "timePeriod": "splits are made by day or by time of day",
    "TimePeriod": "splits are made by day or by time of day",
    "EvalTimePeriod": "splits are made by day or by time of day",
    "shuffle_action_messages": "agents always act in random order",
    "nTrades": "accounts are kept from complete sums, not from a list of trades",
    "num_messages_by_agent": "follows from the action scheme",
    "num_action_messages_by_agent": "follows from the action scheme",
    "n_actions": "follows from the action scheme",
    "normalize": "algo.normalize_obs",
    "short_name": "",
    "debug_mode": "",
    "avst_k_parameter": "measured on the training data",
    "avst_var_parameter": "measured on the training data",
    "window_selector": "windows are drawn at random",
    "tick_size": "prices are ticks",
    "ENTITY": "set WANDB_ENTITY",
    "Timing": "",
    "maxint": "",
    "init_id": "",
    "empty_slot_val": "",
    "check_book_fill": "always checked and counted",
    "start_resolution": "data.stride",
    "trader_id_range_start": "",
    "placeholder_order_id": "",
    "artificial_trader_id_end_episode": "",
    "artificial_order_id_end_episode": "",
    "order_id_counter_start_when_resetting": "",
    "use_pickles_for_init": "data is prepared once into Parquet",
    "save_raw_observations": "",
    "seed": "SEED of the learning file is taken",
}
"""Keys that have no counterpart because nothing depends on them, and why."""


@dataclasses.dataclass
class Imported:
    """An experiment and what became of each key.

    Attributes:
        settings: nested keys of our configuration.
        carried: lines `their key -> our key = value`.
        dropped: lines `their key: reason`, of keys without influence here.
        unsupported: lines `their key = value: reason`; a run will differ in these.
    """

    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    carried: list[str] = dataclasses.field(default_factory=list)
    dropped: list[str] = dataclasses.field(default_factory=list)
    unsupported: list[str] = dataclasses.field(default_factory=list)

    def put(self, theirs: str, ours: str, value: Any) -> None:
        """Sets one of our keys, given by its path."""
        node = self.settings
        *parents, last = ours.split(".")
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = value
        self.carried.append(f"{theirs} -> {ours} = {value}")

    def leave(self, theirs: str, value: Any, where: str = "") -> None:
        """Notes a key that has no counterpart; `where` is put before its name."""
        if theirs in NOT_NEEDED:
            self.dropped.append(f"{where}{theirs}: {NOT_NEEDED[theirs]}".rstrip(": "))
        else:
            self.unsupported.append(f"{where}{theirs} = {value!r}: no counterpart")


def import_config(world: Mapping[str, Any], learning: Mapping[str, Any]) -> Imported:
    """Translates an environment configuration and a learning configuration.

    Args:
        world: contents of a file of `config/env_configs`.
        learning: contents of a file of `config/rl_configs`.

    Raises:
        ValueError: if the files are not of that form.
    """
    agents = world.get("dict_of_agents_configs")
    if (
        not isinstance(agents, dict)
        or not agents
        or not isinstance(world.get("world_config"), dict)
    ):
        raise ValueError(
            "the environment file needs the objects 'world_config' and 'dict_of_agents_configs'"
        )
    unknown = sorted(set(agents) - set(KINDS))
    if unknown:
        raise ValueError(f"agent types {unknown} are unknown; known: {', '.join(KINDS)}")
    names = [KINDS[name] for name in agents]
    out = Imported()
    out.put("algo", "algo.name", "ippo")
    out.put("GRU", "network.kind", "gru")
    counts = learning.get("NUM_AGENTS_PER_TYPE", world.get("number_of_agents_per_type"))
    for index, (theirs, settings) in enumerate(agents.items()):
        count = counts[index] if counts else 1
        _import_agent(out, theirs, settings, int(count))
    _import_world(out, world["world_config"])
    for key, value in learning.items():
        if key in COMMON:
            ours, change = COMMON[key]
            out.put(key, ours, change(value))
        elif key in PER_TYPE:
            _import_per_type(out, key, value, names)
        elif key != "NUM_AGENTS_PER_TYPE":
            flags = value if isinstance(value, list) else [value]
            if key == "SCALE_CLIP_EPS" and not any(flags):
                out.dropped.append("SCALE_CLIP_EPS: off")
            else:
                out.leave(key, value)
    return out


def _import_per_type(out: Imported, key: str, value: Any, names: list[str]) -> None:
    """A value for all types, or a list over them."""
    ours, change = PER_TYPE[key]
    values = value if isinstance(value, list) else [value]
    if len(values) not in (1, len(names)):
        raise ValueError(f"{key} has {len(values)} values for {len(names)} agent types")
    if len(set(map(str, values))) == 1:
        out.put(key, ours, change(values[0]))
        return
    section, field = ours.split(".")
    for name, own in zip(names, values, strict=True):
        out.put(key, f"{section}.agents.{name}.{field}", change(own))


def _import_world(out: Imported, world: Mapping[str, Any]) -> None:
    for key, value in world.items():
        if key == "ep_type":
            if value == "fixed_steps":
                out.dropped.append("ep_type: episodes are counted in steps")
            else:
                out.unsupported.append(
                    f"ep_type = {value!r}: episodes have env.num_steps steps; for steps by the "
                    "clock set data.seconds_per_step"
                )
        elif key in WORLD:
            ours, change = WORLD[key]
            out.put(key, ours, change(value))
        else:
            out.leave(key, value)
    out.put("world_config", "data.kind", "lobster")


def _import_agent(out: Imported, theirs: str, settings: Mapping[str, Any], count: int) -> None:
    """One agent type: its pieces, and those of its settings that they read."""
    name = KINDS[theirs]
    kind = available_kinds()[name]
    base = f"env.agents.{name}"
    out.put(theirs, f"{base}.kind", name)
    out.put("NUM_AGENTS_PER_TYPE", f"{base}.num_agents", count)
    pieces: list[Any] = [kind.closing, kind.task]
    for key, (ours, options) in PIECES.items():
        known: Mapping[str, Any] = getattr(kind, options)
        chosen = str(settings[key]) if key in settings else ""
        if chosen in known:
            out.put(f"{theirs}.{key}", f"{base}.{ours}", chosen)
            pieces.append(known[chosen])
        else:
            default = next(iter(known))
            pieces.append(known[default])
            if chosen:
                out.unsupported.append(
                    f"{theirs}.{key} = {chosen!r}: taken {default!r} instead; "
                    f"available: {', '.join(known)}"
                )
    readable = {
        field.name for piece in pieces if piece is not None for field in dataclasses.fields(piece)
    }
    elsewhere = _all_settings(kind)
    for key, value in settings.items():
        ours = SETTINGS.get(key, key)
        if key in PIECES:
            continue
        if ours in readable:
            out.put(f"{theirs}.{key}", f"{base}.settings.{ours}", value)
        elif ours in elsewhere:
            out.dropped.append(f"{theirs}.{key}: none of the chosen pieces reads it")
        else:
            out.leave(key, value, f"{theirs}.")


def _all_settings(kind: AgentKind) -> set[str]:
    """Settings that any piece of a kind of agent reads."""
    pieces: list[Any] = [
        *kind.actions.values(),
        *kind.observations.values(),
        *kind.rewards.values(),
    ]
    return {field.name for piece in pieces for field in dataclasses.fields(piece)}


def render(imported: Imported) -> str:
    """The experiment as a YAML file of the group `experiment`."""
    body = yaml.safe_dump(imported.settings, sort_keys=False)
    return f"# @package _global_\n# Imported from a configuration of JaxMARL-HFT.\n{body}"


def _read(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    """The object that a file holds.

    Raises:
        ValueError: naming the file, if it cannot be read or holds something else.
    """
    try:
        found = parse(path.read_text())
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: holds {type(found).__name__}, not an object with keys")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m marl_algos.importer",
        description="Turn configuration files of JaxMARL-HFT into an experiment.",
    )
    parser.add_argument("environment", type=Path, help="JSON file of config/env_configs")
    parser.add_argument("learning", type=Path, help="YAML file of config/rl_configs")
    parser.add_argument("-o", "--output", type=Path, help="file to write; standard output if none")
    options = parser.parse_args(arguments)
    try:
        world = _read(options.environment, json.loads)
        learning = _read(options.learning, yaml.safe_load)
        imported = import_config(world, learning)
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if options.output is None:
        sys.stdout.write(render(imported))
    else:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(render(imported))
    for title, lines in (
        ("carried over", imported.carried),
        ("not needed", imported.dropped),
        ("NOT SUPPORTED, the run will differ", imported.unsupported),
    ):
        sys.stderr.write(f"{title}:\n" + "".join(f"  {line}\n" for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
