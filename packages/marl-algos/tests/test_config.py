"""Configurations: what is composed, and one clear message for each mistake."""

import re
import shlex
from pathlib import Path

import pytest
from marl_algos.conf.load import ConfigError, differences, load_config, type_configs
from marl_algos.learners.registry import LEARNERS
from marl_algos.markets.data import make_market
from marl_algos.train import make_learner


def test_default__has_a_maker_and_an_execution_agent():
    config = load_config([])
    assert sorted(config.env.agents) == ["execution", "market_maker"]
    assert config.env.agents["market_maker"].action == "fixed_quants"
    assert config.data.kind == "embedded"


@pytest.mark.parametrize("name", ["2player", "execution", "market_making"])
def test_experiments__with_our_settings_make_learners_of_the_agents_of_the_published_ones(name):
    ours, published = (
        load_config([f"experiment={who}_{name}"]) for who in ("modelled", "jaxmarl_hft")
    )
    assert sorted(ours.env.agents) == sorted(published.env.agents)
    learner = make_learner(ours, make_market(ours))
    assert sorted(learner.types) == sorted(ours.env.agents)


def test_override__of_one_type_leaves_the_others_alone():
    overrides = ["network=gru", "algo.agents.market_maker.learning_rate=0.02"]
    overrides += ["network.agents.execution.hidden=[7]"]
    types = type_configs(load_config(overrides))
    assert types["market_maker"].settings.learning_rate == 0.02
    assert types["execution"].settings.learning_rate == load_config([]).algo.learning_rate
    assert types["market_maker"].network.hidden == (64,)
    assert types["execution"].network.hidden == (7,)
    assert types["execution"].network.kind == "gru"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("algo.num_env=3", r"unknown configuration key 'algo.num_env'; did you mean algo.num_envs"),
        ("nonsense=1", "unknown configuration key 'nonsense'"),
        ("+nonsense=1", "unknown configuration key 'nonsense'"),
        ("+algo.agents.execution.wrong=1", r"unknown .* 'algo.agents.execution.wrong'"),
        ("algo.num_envs=many", r"algo.num_envs.*many"),
        ("algo.num_envs=0", r"algo.num_envs is 0; it must be >= 1"),
        ("algo=alphazero", r"alphazero.*dqn ippo maddpg mappo qmix vdn"),
        ("algo.name=none", r"algo.name is 'none'; choose .* algo=NAME, allowed: ippo, mappo, dqn"),
        ("algo.clip_eps=-1", r"algo.clip_eps is -1.0; it must be > 0"),
        ("algo.discount=2", r"algo.discount is 2.0"),
        ("algo.agents.execution.gae_lambda=3", r"'execution': algo.gae_lambda is 3.0"),
        ("network.kind=lstm", r"network.kind is 'lstm'; allowed: feed_forward, gru, s5"),
        ("network.attention_heads=3", r"attention_heads is 3; it must divide"),
        ("device=tpu", r"device is 'tpu'; allowed: auto, cpu, gpu"),
        ("data=lobster", r"data=lobster needs data.path"),
        ("evaluation.split=train", r"evaluation.split is 'train'"),
        ("algo.num_envs", r"EQUAL"),
    ],
)
def test_mistake__is_named_in_one_line(override, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load_config([override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["ippo", "mappo", "dqn", "vdn", "qmix", "maddpg"])
def test_algo__has_its_own_settings_and_no_others(name):
    config = load_config([f"algo={name}", "experiment=smoke"])
    assert config.algo.name == name
    assert type(type_configs(config)["execution"].settings) is LEARNERS[name].settings
    foreign = "epsilon_end" if name in ("ippo", "mappo", "maddpg") else "clip_eps"
    with pytest.raises(ConfigError, match=f"unknown configuration key 'algo.{foreign}'"):
        load_config([f"algo={name}", f"algo.{foreign}=0.1"])


def test_differences__names_every_leaf_that_differs():
    old = {"a": {"b": 1, "c": 2}, "d": 3}
    new = {"a": {"b": 1, "c": 5}, "e": 4}
    assert differences(old, new) == ["a.c: 2 -> 5", "d: 3 -> None", "e: None -> 4"]
    assert differences(old, old) == []


def test_readme__every_command_line_has_a_configuration():
    text = (Path(__file__).parents[1] / "README.md").read_text().replace("\\\n", " ")
    lines = re.findall(r"^    (?:WANDB_MODE=offline )?python -m marl_algos\.(\w+)(.*)$", text, re.M)
    apps = {"train": "config"} | {name: name for name in ("selfplay", "pbt", "psro", "clone")}
    composed = 0
    for module, rest in lines:
        words = shlex.split(rest, comments=True)
        if module in apps and "--multirun" not in words:
            load_config(words, apps[module])
            composed += 1
    assert composed >= 15
