"""A fitted model: parameters, how sure they are, how well they fit, and its form as JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jax.numpy as jnp
import numpy as np
from lob_core.flow import Hawkes, QueueReactive, ZeroIntelligence

from lob_data.errors import LobDataError

MODELS: Final[dict[str, Any]] = {
    "zero_intelligence": ZeroIntelligence,
    "hawkes": Hawkes,
    "queue_reactive": QueueReactive,
}
"""The models that can be fitted, by the name that options and files use."""


@dataclass(frozen=True)
class Calibration:
    """Fitted parameters and how well they fit.

    Attributes:
        model: the model of `lob_core.flow` that the parameters belong to.
        params: its fitted parameters, a pytree.
        standard_errors: of the fitted rates, by name; nested lists of the parameter's shape.
        fit: figures of the fit by name. All models have `events`, the number used, and
            `residual_mean` and `residual_ks`: mean, and Kolmogorov-Smirnov distance to the
            exponential law, of the waiting times after the random time change, which are
            exponential with mean 1 if the model holds. What else there is each fit says.
    """

    model: Any
    params: Any
    standard_errors: dict[str, Any]
    fit: dict[str, float]

    @property
    def name(self) -> str:
        """The model's name, a key of `MODELS`."""
        return next(name for name, model in MODELS.items() if type(self.model) is model)

    def to_json(self) -> str:
        """All of it as JSON; `load_calibration` reads it."""
        content = {
            "model": self.name,
            "settings": dataclasses.asdict(self.model),
            "params": _to_plain(self.params),
            "standard_errors": self.standard_errors,
            "fit": self.fit,
        }
        return json.dumps(content, indent=2) + "\n"


def load_calibration(path: Path | str) -> Calibration:
    """Reads what `Calibration.to_json` wrote.

    Raises:
        LobDataError: if the file is missing or is no calibration.
    """
    try:
        content: dict[str, Any] = json.loads(Path(path).read_text())
        name = content["model"]
        if name not in MODELS:
            known = ", ".join(MODELS)
            raise LobDataError(f"is of model {name!r}; the models are {known}", path=path)
        model = MODELS[name](**content["settings"])
        return Calibration(
            model=model,
            params=_from_plain(content["params"], model.default_params(), "params"),
            standard_errors=content["standard_errors"],
            fit=content["fit"],
        )
    except LobDataError:
        raise
    except OSError as error:
        raise LobDataError(f"cannot be read: {error.strerror}", path=path) from error
    except KeyError as error:
        raise LobDataError(f"is no calibration: it has no {error}", path=path) from error
    except (TypeError, ValueError) as error:
        raise LobDataError(f"is no calibration: {error}", path=path) from error


def leaves_of(params: Any) -> dict[str, Any]:
    """The arrays of a parameter pytree, by name of their field."""
    leaves: dict[str, Any] = {}
    for field in dataclasses.fields(params):
        value = getattr(params, field.name)
        leaves |= leaves_of(value) if dataclasses.is_dataclass(value) else {field.name: value}
    return leaves


def _to_plain(params: Any) -> Any:
    """A parameter pytree as nested dictionaries of lists and numbers."""
    if dataclasses.is_dataclass(params):
        return {f.name: _to_plain(getattr(params, f.name)) for f in dataclasses.fields(params)}
    return np.asarray(params).tolist()


def _from_plain(content: Any, template: Any, where: str) -> Any:
    """The pytree that `_to_plain` made `content` of, with shapes and types of `template`."""
    if dataclasses.is_dataclass(template):
        names = [field.name for field in dataclasses.fields(template)]
        if set(content) != set(names):
            raise ValueError(f"{where} has {sorted(content)}; it must have {sorted(names)}")
        parts = {n: _from_plain(content[n], getattr(template, n), f"{where}.{n}") for n in names}
        return dataclasses.replace(template, **parts)  # type: ignore[type-var]
    leaf = jnp.asarray(content, template.dtype)
    if leaf.shape != template.shape:
        raise ValueError(f"{where} has shape {leaf.shape}; it must be {template.shape}")
    return leaf
