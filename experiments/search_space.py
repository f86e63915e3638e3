"""Which settings a study varies, and how it searches: section `tune` of `params.yaml`, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from training.config import ConfigError, TrainingConfig, read_section

if TYPE_CHECKING:
    from optuna.trial import Trial

__all__ = ["PRUNERS", "Parameter", "SearchSpace", "Value", "load_search_space"]

Value = int | float | str | None
SECTIONS = ("backbone", "input", "train", "recipe", "thresholds")
PRUNERS = ("median", "hyperband", "none")
KEYS = {"low", "high", "log", "step", "choices"}


@dataclass(frozen=True)
class Parameter:
    """One setting that varies: a range, or a list of choices."""

    name: str
    """Its section and field: `train.encoder_lr`."""
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    """Equal chances for equal ratios, as for learning rates."""
    step: float | None = None
    choices: tuple[Value, ...] = ()
    integer: bool = False

    def suggest(self, trial: Trial) -> Value:
        """The trial's value, rounded to four digits: what is trained is what `--best` can write."""
        if self.choices:
            chosen: Value = trial.suggest_categorical(self.name, self.choices)
            return chosen
        if self.integer:
            step = int(self.step or 1)
            return trial.suggest_int(self.name, int(self.low), int(self.high), step=step, log=self.log)
        value = trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log)
        return min(max(float(f"{value:.4g}"), self.low), self.high)

    def contains(self, value: Value) -> bool:
        """Whether a study could suggest this value."""
        if self.choices:
            return value in self.choices
        if not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        steps = (value - self.low) / self.step if self.step else 0.0
        return abs(steps - round(steps)) < 1e-9


@dataclass(frozen=True)
class SearchSpace:
    """What a study varies, and how it decides."""

    parameters: tuple[Parameter, ...]
    pruner: str = "median"
    """`median`: stop a trial below the median of the others at the same point; `hyperband`; `none`."""
    startup_trials: int = 5
    """Trials before the sampler models the scores and before the median pruner stops any."""
    checks_per_epoch: int = 3
    """How often in an epoch a trial's score is looked at; epochs are few."""

    def suggest(self, trial: Trial) -> dict[str, Value]:
        """A value for each parameter, by name."""
        return {one.name: one.suggest(trial) for one in self.parameters}

    def apply(self, config: TrainingConfig, values: Mapping[str, Value]) -> TrainingConfig:
        """The configuration with these values in place.

        Raises:
            ConfigError: a value that its section refuses.
        """
        changed: dict[str, dict[str, Value]] = {}
        for name, value in values.items():
            section, _, item = name.partition(".")
            changed.setdefault(section, {})[item] = value
        parts: dict[str, Any] = {
            name: replace(getattr(config, name), **values) for name, values in changed.items()
        }
        return replace(config, **parts)

    def current(self, config: TrainingConfig) -> dict[str, Value]:
        """The configuration's own values of the parameters."""
        flat = config.flat()
        return {one.name: flat[one.name] for one in self.parameters}

    def outside(self, values: Mapping[str, Value]) -> list[str]:
        """Names of the parameters whose value the study could not suggest."""
        return [one.name for one in self.parameters if not one.contains(values[one.name])]


def load_search_space(config: TrainingConfig, path: Path | str = "params.yaml") -> SearchSpace:
    """Section `tune` of the parameter file, checked against the fields and limits of `config`.

    Raises:
        ConfigError: names the setting that is missing, unknown or out of range.
    """
    section = read_section("tune", path)
    if not section.get("parameters"):
        raise ConfigError(f"{path}: tune.parameters: name at least one setting, e.g. train.encoder_lr")
    known = {item.name for item in fields(SearchSpace)}
    if unknown := set(section) - known:
        raise ConfigError(f"tune.{min(unknown)}: unknown; known: {', '.join(sorted(known))}")
    if not isinstance(section["parameters"], Mapping):
        raise ConfigError("tune.parameters: expected a mapping of section.name to a range or choices")
    pruner = section.get("pruner", "median")
    if pruner not in PRUNERS:
        raise ConfigError(f"tune.pruner: must be one of {PRUNERS}, got {pruner!r}")
    counts = {}
    for name, default, least in (("startup_trials", 5, 0), ("checks_per_epoch", 3, 1)):
        counts[name] = section.get(name, default)
        if not _number(counts[name], integer=True) or counts[name] < least:
            raise ConfigError(f"tune.{name}: must be a whole number from {least}, got {counts[name]!r}")
    parameters = tuple(_parameter(name, spec, config) for name, spec in section["parameters"].items())
    space = SearchSpace(parameters, pruner, **counts)
    for one in parameters:
        for value in one.choices or (one.low, one.high):
            try:
                space.apply(config, {one.name: value})
            except (ValueError, TypeError) as error:
                raise ConfigError(f"tune.parameters.{one.name}: {value!r} is refused: {error}") from error
    return space


def _parameter(name: str, spec: object, config: TrainingConfig) -> Parameter:
    where = f"tune.parameters.{name}"
    section, _, item = str(name).partition(".")
    if section not in SECTIONS:
        raise ConfigError(f"{where}: expected section.name with a section of {SECTIONS}")
    hints = get_type_hints(type(getattr(config, section)))
    if item not in hints:
        raise ConfigError(f"{where}: {section} has no such setting; known: {', '.join(hints)}")
    kinds = set(get_args(hints[item]) or (hints[item],))
    if not isinstance(spec, Mapping):
        raise ConfigError(f"{where}: expected {{low: …, high: …}} or {{choices: […]}}, got {spec!r}")
    if unknown := set(spec) - KEYS:
        raise ConfigError(f"{where}.{min(unknown)}: unknown; known: {', '.join(sorted(KEYS))}")
    if "choices" in spec:
        return _choices(where, name, spec, kinds)
    if not kinds & {int, float}:
        raise ConfigError(f"{where}: is a text; give it choices")
    integer = float not in kinds
    kind = "a whole number" if integer else "a number"
    for key in ("low", "high"):
        if not _number(spec.get(key), integer):
            raise ConfigError(f"{where}.{key}: expected {kind}, got {spec.get(key)!r}")
    low, high, step, log = spec["low"], spec["high"], spec.get("step"), spec.get("log", False)
    if low >= high:
        raise ConfigError(f"{where}: low ({low}) must be below high ({high})")
    if not isinstance(log, bool) or (log and low <= 0):
        raise ConfigError(f"{where}.log: expected true or false, and a positive low where true")
    if step is not None:
        if not _number(step, integer) or step <= 0:
            raise ConfigError(f"{where}.step: expected {kind} above 0, got {step!r}")
        if log:
            raise ConfigError(f"{where}: a logarithmic range has no step")
        steps = (high - low) / step
        if abs(steps - round(steps)) > 1e-9:
            raise ConfigError(f"{where}.step: {step} does not divide the range from {low} to {high}")
    return Parameter(str(name), low, high, log, step, integer=integer)


def _choices(where: str, name: str, spec: Mapping[str, Any], kinds: set[type]) -> Parameter:
    choices = spec["choices"]
    if len(spec) > 1:
        raise ConfigError(f"{where}: choices stand alone, without {', '.join(set(spec) - {'choices'})}")
    if not isinstance(choices, list) or len(choices) < 2:
        raise ConfigError(f"{where}.choices: expected a list of at least two values")
    allowed = tuple(kinds | {int}) if float in kinds else tuple(kinds)
    for value in choices:
        if isinstance(value, bool) or not isinstance(value, allowed):
            names = " or ".join(sorted(kind.__name__ for kind in kinds))
            raise ConfigError(f"{where}.choices: {value!r} is not of type {names}")
    return Parameter(str(name), choices=tuple(choices))


def _number(value: object, integer: bool) -> bool:
    return isinstance(value, int if integer else (int, float)) and not isinstance(value, bool)
