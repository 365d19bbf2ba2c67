"""Structured configuration: every key that a run accepts, with its type and default.

Learning and network settings are the fields of `marl_algos.settings`, so that they are documented
and checked in one place.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from marl_algos.learners.registry import LEARNERS
from marl_algos.settings import NetworkConfig

AGENT_TYPES = ("market_maker", "execution", "directional")
"""Agent types that can be given their own settings without adding a key."""


def _mutable(name: str, source: type, *, optional: bool) -> list[tuple[str, Any, Any]]:
    """Fields of a frozen dataclass for a structured configuration."""
    hints = get_type_hints(source)
    fields: list[tuple[str, Any, Any]] = []
    for item in dataclasses.fields(source):
        hint = hints[item.name]
        if optional:
            fields.append((item.name, hint | None, field(default=None)))
        else:
            fields.append((item.name, hint, field(default=item.default)))
    return fields


def _make(name: str, fields: list[tuple[str, Any, Any]], bases: tuple[type, ...] = ()) -> type:
    """A dataclass that other processes find by its name here: launchers send it to them."""
    made = dataclasses.make_dataclass(name, fields, bases=bases, namespace={"__module__": __name__})
    globals()[name] = made
    return made


NetworkOverrides = _make(
    "NetworkOverrides", _mutable("NetworkOverrides", NetworkConfig, optional=True)
)
"""Architecture of one agent type where it differs; null keeps the common one."""
_NetworkFields = _make("_NetworkFields", _mutable("_NetworkFields", NetworkConfig, optional=False))


def _network_by_type() -> dict[str, Any]:
    return {name: NetworkOverrides() for name in AGENT_TYPES}


@dataclass
class AlgoSection:
    """What is common to all learners.

    Each learner has a section of its own, with every field of its settings
    (`marl_algos.learners.registry.LEARNERS`) beside these; `algo=NAME` chooses it.

    Attributes:
        name: the learner.
        num_envs: `B`, parallel environments.
        num_steps: `T`, steps of a rollout.
        total_env_steps: environment steps of the run, rounded up to whole updates of `B * T`.
        agents: settings by agent type that differ; null keeps the common one.
    """

    name: str = ""
    num_envs: int = 64
    num_steps: int = 64
    total_env_steps: int = 600_000
    agents: dict[str, Any] = field(default_factory=dict)


def _make_section(name: str, settings: type) -> type[AlgoSection]:
    """The section of one learner: the common fields, its settings, and overrides by type."""
    own = _make(f"{name}_overrides", _mutable(name, settings, optional=True))

    def by_type() -> dict[str, Any]:
        return {agent_type: own() for agent_type in AGENT_TYPES}

    fields = [
        *_mutable(name, settings, optional=False),
        ("name", str, field(default=name)),
        ("agents", dict[str, own], field(default_factory=by_type)),  # type: ignore[valid-type]
    ]
    return _make(f"{name}_section", fields, (AlgoSection,))


ALGO_SECTIONS = {name: _make_section(name, entry.settings) for name, entry in LEARNERS.items()}
"""Sections by `algo.name`."""


@dataclass
class NetworkSection(_NetworkFields):  # type: ignore[valid-type, misc]
    """Networks; beside this, every field of `marl_algos.settings.NetworkConfig`.

    Attributes:
        agents: architecture by agent type where it differs.
    """

    agents: dict[str, NetworkOverrides] = field(  # type: ignore[valid-type]
        default_factory=_network_by_type
    )


@dataclass
class AgentSection:
    """One agent type of the market; empty names take the default of the kind.

    Attributes:
        kind: registered kind of agent.
        num_agents: instances.
        action: action scheme.
        observation: observation.
        reward: reward.
        settings: parameters of those pieces, e.g. `fixed_quant_value`.
    """

    kind: str = "market_maker"
    num_agents: int = 1
    action: str = ""
    observation: str = ""
    reward: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class EnvSection:
    """The market.

    Attributes:
        agents: agent types by name.
        num_steps: steps of an episode.
        messages_per_step: background messages of a step.
        num_slots: resting orders that each side of the book holds; null takes 128 for a flow
            model and what the data needs for a replay.
    """

    agents: dict[str, AgentSection] = field(default_factory=dict)
    num_steps: int = 64
    messages_per_step: int = 100
    num_slots: int | None = None


@dataclass
class DataSection:
    """Where the background order flow comes from.

    Attributes:
        kind: `"embedded"` (a flow model drawn live), `"synthetic"` (LOBSTER files written by the
            flow model, prepared and replayed) or `"lobster"` (recorded data).
        path: for `"lobster"`: folder of LOBSTER pairs, or a prepared store.
        ticker: for `"lobster"`: stock to take where files hold several; null takes all.
        level: for `"lobster"`: book level of the files to take where there are several.
        cache: folder in which raw files are prepared once.
        flow: order-flow model of `"embedded"`: one of `marl_algos.markets.flows.FLOWS`.
        params: for `"embedded"`: file of fitted parameters that `lob-data calibrate --save`
            wrote; it says which model they belong to, so that `flow` is not read. Null takes the
            parameters that the model has.
        refresh_every: for `"embedded"`: messages that the model draws from one look at the book;
            1 is exact and slow.
        seed: seed of what is generated (`"embedded"`: openings; `"synthetic"`: files).
        num_openings: for `"embedded"`: opening books of a split.
        num_messages: for `"synthetic"`: messages of the generated day.
        seconds_per_step: length of a step by the clock; null counts `env.messages_per_step`.
        stride: distance between the starts of windows, in messages (or in seconds); null takes a
            quarter of a window for training. Evaluation windows never overlap.
    """

    kind: str = "embedded"
    path: str | None = None
    ticker: str | None = None
    level: int | None = None
    cache: str = "prepared"
    flow: str = "zero_intelligence"
    params: str | None = None
    refresh_every: int = 20
    seed: int = 0
    num_openings: int = 256
    num_messages: int = 400_000
    seconds_per_step: float | None = None
    stride: float | None = None


@dataclass
class EvaluationSection:
    """Comparison with rule-based policies on held-out episodes.

    Attributes:
        every: updates between evaluations on the validation split that choose the best
            checkpoint; 0 evaluates at the end only.
        num_episodes: episodes of each policy.
        split: `"test"` or `"validation"`: what the final evaluation plays.
        checkpoint: `"last"` or `"best"`: which learned policy it plays.
        sampled: also evaluate the learned policy with sampled actions, as `learned_sampled`.
        resamples: bootstrap resamples of an interval.
    """

    every: int = 25
    num_episodes: int = 256
    split: str = "test"
    checkpoint: str = "last"
    sampled: bool = False
    resamples: int = 2000


@dataclass
class CheckpointSection:
    """Saving the state of a run.

    Attributes:
        every: updates between checkpoints; one is always made after the last update.
        keep: checkpoints kept beside the best one.
        max_loss: a loss beyond it, in absolute value, ends the run as diverged; null has no limit.
    """

    every: int = 25
    keep: int = 2
    max_loss: float | None = 1e6


@dataclass
class TransferSection:
    """A warm start from what another run has learned.

    Attributes:
        run: folder of the run; null starts from random networks.
        seats: types that start from the policy of another type there, e.g. `{execution: rival}`.
    """

    run: str | None = None
    seats: dict[str, str] = field(default_factory=dict)


@dataclass
class DomainsSection:
    """Domain randomization: training episodes are played in markets drawn at random.

    The first domain is the market of `data`, which is also the one that policies are evaluated
    in. Recorded data needs none of this to train on several stocks: with `data.ticker=null`
    episodes are drawn from all.

    Attributes:
        num: domains drawn from `ranges`, the market of `data` among them; 1 draws none.
        ranges: by parameter of the flow model, the lowest and the highest factor that it is
            multiplied by; factors are drawn log-uniformly, e.g. `{market_rate: [0.5, 2.0]}`.
        params: files of fitted parameters as `data.params`; each is a domain more. They must be
            of the same model with the same settings.
    """

    num: int = 1
    ranges: dict[str, list[float]] = field(default_factory=dict)
    params: list[str] = field(default_factory=list)


@dataclass
class TrialsSection:
    """Meta-learning by recurrence (RL^2): episodes of one task follow each other in a trial.

    Attributes:
        num_episodes: episodes of a trial, throughout which recurrent policies remember; what is
            evaluated is the last one. 1 has no trials.
    """

    num_episodes: int = 1


@dataclass
class FederatedSection:
    """Federated averaging: workers learn on their own shards of data and average what they learn.

    Training windows (or opening books) are cut into as many shards, in order. A step of the run
    is a round; every metric is a list over workers.

    Attributes:
        num_workers: shards; 1 learns on all data.
        updates_per_round: updates of every worker between two averages.
    """

    num_workers: int = 1
    updates_per_round: int = 10


@dataclass
class LoggingSection:
    """Takers of metrics beside `metrics.jsonl`.

    Attributes:
        tensorboard: event files in the run folder; needs the extra `tensorboard`.
        wandb: Weights & Biases; needs the extra `wandb`.
        wandb_project: project there.
    """

    tensorboard: bool = False
    wandb: bool = False
    wandb_project: str = "marl-algos"


@dataclass
class RunSection:
    """The folder of a run.

    Attributes:
        name: its name; null makes one of algorithm, data, seed and time, and with `resume=true`
            takes the newest run.
        root: folder of all runs.
    """

    name: str | None = None
    root: str = "runs"


@dataclass
class Config:
    """A training run.

    Attributes:
        seed: seed of everything random in learning and evaluation.
        num_seeds: independent learners trained side by side in one compiled program.
        device: `"auto"`, `"cpu"` or `"gpu"`.
        num_devices: devices of that kind that the environments are spread over.
        resume: go on from the last checkpoint of the run.
        progress: `"auto"` (a bar on a terminal, else lines), `"lines"` or `"none"`.
        run: the folder.
        algo: the learner.
        env: the market.
        data: background order flow.
        network: networks.
        evaluation: comparison with rule-based policies.
        checkpoint: saving.
        logging: further takers of metrics.
        transfer: warm start from another run.
        domains: training in markets drawn at random.
        trials: several episodes of one task in a row.
        federated: learning on shards of data that stay apart.
    """

    seed: int = 0
    num_seeds: int = 1
    device: str = "auto"
    num_devices: int = 1
    resume: bool = False
    progress: str = "auto"
    run: RunSection = field(default_factory=RunSection)
    algo: AlgoSection = field(default_factory=AlgoSection)
    env: EnvSection = field(default_factory=EnvSection)
    data: DataSection = field(default_factory=DataSection)
    network: NetworkSection = field(default_factory=NetworkSection)
    evaluation: EvaluationSection = field(default_factory=EvaluationSection)
    checkpoint: CheckpointSection = field(default_factory=CheckpointSection)
    logging: LoggingSection = field(default_factory=LoggingSection)
    transfer: TransferSection = field(default_factory=TransferSection)
    domains: DomainsSection = field(default_factory=DomainsSection)
    trials: TrialsSection = field(default_factory=TrialsSection)
    federated: FederatedSection = field(default_factory=FederatedSection)
