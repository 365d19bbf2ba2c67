"""The page on agents names everything that is registered."""

from pathlib import Path

import marl_envs
import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "envs" / "agents.md").read_text()
KINDS = marl_envs.available_kinds()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_page_names_every_piece(kind: str) -> None:
    pieces = KINDS[kind]
    for names in (pieces.actions, pieces.observations, pieces.rewards):
        missing = [name for name in names if f"`{name}`" not in PAGE]
        assert not missing, f"docs/envs/agents.md does not mention {missing} of {kind}"
