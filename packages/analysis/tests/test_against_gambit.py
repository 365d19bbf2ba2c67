"""The same equilibria as Gambit; skipped where `pygambit` is not installed."""

import io
from itertools import product

import numpy as np
import pytest
from lob_analysis.equilibrium import nash_conv, support_enumeration

gambit = pytest.importorskip("pygambit", reason="pygambit is not installed")


def equilibria(game):
    """All equilibria that Gambit finds, each as one mixture for every player."""
    shape = game[0].shape
    players = " ".join(f'"{player}"' for player in range(len(game)))
    # The first player's strategy runs fastest in the file.
    cells = [cell[::-1] for cell in product(*(range(size) for size in shape[::-1]))]
    payoffs = " ".join(f"{table[cell]:.17g}" for cell in cells for table in game)
    sizes = " ".join(map(str, shape))
    text = f'NFG 1 R "game" {{ {players} }} {{ {sizes} }}\n\n{payoffs}'
    read = gambit.read_nfg(io.BytesIO(text.encode()))
    if len(game) == 2:
        found = gambit.nash.enummixed_solve(read, rational=False).equilibria
    else:
        found = gambit.nash.enumpoly_solve(read).equilibria
    return [
        [np.array([float(share) for _, share in profile[player]]) for player in read.players]
        for profile in found
    ]


@pytest.mark.parametrize("seed", range(4))
def test_support_enumeration__finds_what_gambit_finds(seed):
    game = list(np.random.default_rng(seed).normal(size=(2, 3, 2)))
    ours, theirs = support_enumeration(game), equilibria(game)
    assert len(ours) == len(theirs) >= 1
    for x, y in theirs:
        assert any(np.allclose(x, a) and np.allclose(y, b) for a, b in ours)


@pytest.mark.parametrize("seed", range(4))
def test_nash_conv__is_zero_at_gambits_equilibria_of_three_players_only(seed):
    game = list(np.random.default_rng(seed).normal(size=(3, 2, 2, 2)))
    found = equilibria(game)
    assert found
    for profile in found:
        assert nash_conv(game, profile) < 1e-6
        moved = [0.9 * mixture + 0.1 * np.array([0.3, 0.7]) for mixture in profile]
        assert nash_conv(game, moved) > 1e-4
