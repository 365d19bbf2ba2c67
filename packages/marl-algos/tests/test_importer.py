"""Configurations of JaxMARL-HFT: what is carried over, and what is said about the rest."""

import json

import pytest
from marl_algos import importer
from marl_algos.conf.load import load_config, type_configs
from marl_algos.markets.data import agent_spec
from marl_envs import EnvConfig, MarketEnv

WORLD = {
    "world_config": {
        "n_data_msg_per_step": 100,
        "ep_type": "fixed_steps",
        "episode_time": 64,
        "nOrders": 100,
        "stock": "AMZN",
        "cancel_mode": 1,
        "nTrades": 100,
    },
    "dict_of_agents_configs": {
        "MarketMaking": {
            "action_space": "fixed_quants",
            "observation_space": "basic",
            "reward_function": "spooner_asym_damped2",
            "fixed_quant_value": 1,
            "inventoryPnL_eta": 0.6,
            "skew_multiplier": 5.0,
            "n_actions": 3,
        },
        "Execution": {
            "action_space": "fixed_quants_complex",
            "observation_space": "engineered",
            "reward_function": "imaginary",
            "task_size": 600,
            "doom_price_penalty": 3,
        },
    },
    "number_of_agents_per_type": [1, 1],
}
LEARNING = {
    "LR": [0.00025, 0.00025],
    "NUM_ENVS": 4096,
    "GAMMA": [0.999999999, 0.999],
    "GRU_HIDDEN_DIM": 256,
    "FC_DIM_SIZE": 256,
    "TOTAL_TIMESTEPS": "5e8",
    "ANNEAL_LR": [True, True],
    "SCALE_CLIP_EPS": [False, False],
    "NUM_AGENTS_PER_TYPE": [2, 3],
    "SWEEP_PARAMETERS": {"SEED": {"values": [42]}},
    "NEW_THING": 7,
}


def test_import__carries_values_over_and_says_what_became_of_the_rest():
    found = importer.import_config(WORLD, LEARNING)
    algo, env = found.settings["algo"], found.settings["env"]
    assert algo["learning_rate"] == 0.00025
    assert algo["agents"]["market_maker"]["discount"] == 0.999999999
    assert algo["agents"]["execution"]["discount"] == 0.999
    assert algo["final_learning_rate"] == 0.0
    assert algo["total_env_steps"] == 500_000_000
    assert found.settings["network"] == {"kind": "gru", "gru_size": 256, "hidden": [256]}
    assert (env["num_steps"], env["messages_per_step"], env["num_slots"]) == (64, 100, 100)
    assert env["agents"]["market_maker"]["settings"] == {"fixed_quant_value": 1, "eta": 0.6}
    assert env["agents"]["execution"]["num_agents"] == 3
    assert any("NEW_THING" in line for line in found.unsupported)
    assert any("'imaginary': taken 'normal'" in line for line in found.unsupported)
    assert any("skew_multiplier: none of the chosen" in line for line in found.dropped)
    named = "\n".join([*found.carried, *found.dropped, *found.unsupported])
    for key in (*LEARNING, *WORLD["world_config"], *WORLD["dict_of_agents_configs"]["Execution"]):
        assert key in named, f"nothing is said about {key}"


def test_command__writes_an_experiment_that_is_a_valid_configuration(tmp_path, capsys):
    world, learning = tmp_path / "env.json", tmp_path / "rl.yaml"
    world.write_text(json.dumps(WORLD))
    learning.write_text(json.dumps(LEARNING))
    written = tmp_path / "conf" / "experiment" / "imported.yaml"
    assert importer.main([str(world), str(learning), "-o", str(written)]) == 0
    assert "NOT SUPPORTED" in capsys.readouterr().err
    overrides = [f"hydra.searchpath=[file://{tmp_path / 'conf'}]", "experiment=imported"]
    config = load_config([*overrides, "data.path=."])
    assert config.algo.num_envs == 4096
    assert type_configs(config)["market_maker"].settings.discount == 0.999999999
    specs = tuple(agent_spec(name, section) for name, section in config.env.agents.items())
    assert MarketEnv(EnvConfig(agents=specs)).groups["execution"].num_agents == 3


def test_command__files_of_another_form_are_refused(tmp_path, capsys):
    file = tmp_path / "env.json"
    file.write_text('{"world_config": {}}')
    assert importer.main([str(file), str(file)]) == 2
    assert "dict_of_agents_configs" in capsys.readouterr().err
    for text, message in (("{broken", "env.json: Expecting"), ("[]", "env.json: holds list")):
        file.write_text(text)
        assert importer.main([str(file), str(file)]) == 2
        assert message in capsys.readouterr().err
    assert importer.main([str(tmp_path / "none.json"), str(file)]) == 2
    assert "none.json: No such file" in capsys.readouterr().err
    bad = {**WORLD, "dict_of_agents_configs": {"Clown": {}}}
    with pytest.raises(ValueError, match=r"\['Clown'\] are unknown"):
        importer.import_config(bad, LEARNING)


@pytest.mark.parametrize(
    "name", ["jaxmarl_hft_2player", "jaxmarl_hft_execution", "jaxmarl_hft_market_making"]
)
def test_experiments__with_published_settings_are_valid(name):
    config = load_config([f"experiment={name}"])
    assert config.network.kind == "gru"
    specs = tuple(agent_spec(n, section) for n, section in config.env.agents.items())
    assert set(MarketEnv(EnvConfig(agents=specs)).groups) == set(config.env.agents)
