"""Checkpoints of a whole run with Orbax: written at once, complete or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

Array: TypeAlias = jax.Array
_T = TypeVar("_T")

SCHEMA: Final = 1
"""Version of the layout; another one is refused."""


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged, or does not fit the run."""


class CheckpointStore:
    """Checkpoints in one folder, by update; the oldest go when there are too many.

    A checkpoint holds every leaf of a pytree under its path, and a small JSON record. Saving
    returns when the data is on disk under its final name.

    Attributes:
        folder: where they are.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, create=True, enable_async_checkpointing=False
        )
        self._manager = ocp.CheckpointManager(
            folder.absolute(),
            options=options,
            item_handlers={
                "leaves": ocp.StandardCheckpointHandler(),
                "record": ocp.JsonCheckpointHandler(),
            },
        )

    def latest(self) -> int | None:
        """Update of the newest checkpoint; None if there is none."""
        step: int | None = self._manager.latest_step()
        return step

    def save(self, update: int, tree: Any, record: dict[str, Any]) -> None:
        """Writes `tree` and `record` as the checkpoint after `update` updates."""
        if update in self._manager.all_steps():
            self._manager.delete(update)
        leaves = {path: np.asarray(leaf) for path, leaf in named_leaves(tree).items()}
        self._manager.save(
            update,
            args=ocp.args.Composite(
                leaves=ocp.args.StandardSave(leaves),
                record=ocp.args.JsonSave({"schema": SCHEMA, **record}),
            ),
        )
        self._manager.wait_until_finished()

    def record(self, update: int) -> dict[str, Any]:
        """The record saved with the checkpoint of `update`.

        Raises:
            CheckpointError: if it has another schema version.
        """
        restored = self._manager.restore(
            update, args=ocp.args.Composite(record=ocp.args.JsonRestore())
        )
        record: dict[str, Any] = restored["record"]
        if record.get("schema") != SCHEMA:
            raise CheckpointError(
                f"{self.folder} has checkpoint schema {record.get('schema')}; "
                f"this version reads {SCHEMA}"
            )
        return record

    def restore(self, update: int, like: _T) -> _T:
        """The tree saved after `update` updates, in the structure of `like`.

        Args:
            update: which checkpoint.
            like: a tree whose leaves have the shapes and types that are expected.

        Raises:
            CheckpointError: naming the leaves that are missing, left over, or of another shape.
        """
        self.record(update)
        expected = named_leaves(like)
        found = self._manager.item_metadata(update)["leaves"]
        problems = [f"{path} is missing" for path in expected if path not in found]
        problems += [f"{path} is not expected" for path in found if path not in expected]
        problems += [
            f"{path} is {tuple(found[path].shape)} {found[path].dtype}, "
            f"expected {leaf.shape} {leaf.dtype}"
            for path, leaf in expected.items()
            if path in found
            and (tuple(found[path].shape) != leaf.shape or found[path].dtype != leaf.dtype)
        ]
        if problems:
            shown = "; ".join(problems[:5])
            raise CheckpointError(f"checkpoint {self.folder}/{update} does not fit: {shown}")
        target = {path: np.zeros(leaf.shape, leaf.dtype) for path, leaf in expected.items()}
        restored = self._manager.restore(
            update, args=ocp.args.Composite(leaves=ocp.args.StandardRestore(target))
        )["leaves"]
        flat, structure = jax.tree.flatten(like)
        leaves = [
            jax.random.wrap_key_data(value) if _is_key(leaf) else jax.device_put(value)
            for leaf, value in zip(flat, (restored[path] for path in expected), strict=True)
        ]
        tree: _T = jax.tree.unflatten(structure, leaves)
        return tree

    def read(self, update: int) -> dict[str, Array]:
        """All leaves saved after `update` updates by path, whatever they are.

        Raises:
            CheckpointError: if the checkpoint has another schema version.
        """
        self.record(update)
        found = self._manager.item_metadata(update)["leaves"]
        target = {path: np.zeros(leaf.shape, leaf.dtype) for path, leaf in dict(found).items()}
        restored = self._manager.restore(
            update, args=ocp.args.Composite(leaves=ocp.args.StandardRestore(target))
        )
        leaves: dict[str, Array] = dict(restored["leaves"])
        return leaves

    def close(self) -> None:
        """Releases what Orbax holds."""
        self._manager.close()


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def named_leaves(tree: Any) -> dict[str, Array]:
    """Leaves by path, random keys as their data, in the order of `jax.tree.leaves`."""
    named = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        named[name] = jax.random.key_data(leaf) if _is_key(leaf) else leaf
    return named


def read_agents(folder: Path) -> dict[str, Array]:
    """Leaves of what each type has learned by path, from the newest checkpoint of a run folder.

    Args:
        folder: the run folder.

    Raises:
        CheckpointError: if there is no checkpoint.
    """
    place = folder / "checkpoints" / "last"
    if not place.is_dir():
        raise CheckpointError(f"{place} does not exist; {folder} has no checkpoint")
    store = CheckpointStore(place, 1_000_000)
    try:
        latest = store.latest()
        if latest is None:
            raise CheckpointError(f"{place} holds no checkpoint")
        leaves = store.read(latest)
    finally:
        store.close()
    prefix = "agents."
    return {path[len(prefix) :]: x for path, x in leaves.items() if path.startswith(prefix)}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        CheckpointError: if the file is missing or is not a JSON object.
    """
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds no JSON object")
    return value
