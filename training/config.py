"""Every setting of a training run, checked: the only reader of `params.yaml` in the code.

(The DVC stages of `data` get theirs on the command line, filled in by `dvc.yaml` from the same file.)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml

from data.encoding import InputLimits
from data.taxonomy import TASKS
from training.recipe import RecipeConfig

__all__ = [
    "METHODS",
    "ArtefactConfig",
    "BackboneConfig",
    "ConfigError",
    "GateConfig",
    "ThresholdConfig",
    "TrainConfig",
    "TrainingConfig",
    "baseline_names",
    "flatten",
    "load_gate",
    "load_training_config",
    "model_names",
    "parse_training_config",
    "read_section",
    "taxonomy_path",
]

PARAMS = Path("params.yaml")
METHODS = ("fine_tune", "tfidf", "probe", "few_shot")
"""How a model learns: `fine_tune` is the real one, the others are baselines (`training.baselines`)."""
T = TypeVar("T")


class ConfigError(ValueError):
    """A setting is missing, unknown or out of range; the message names it."""


@dataclass(frozen=True)
class BackboneConfig:
    """Which pretrained encoder to start from."""

    name: str = "builtin"
    """`builtin`, a Hugging Face model id, or a local folder."""
    margin: int = 6000
    """Multi-character pieces kept beyond those in use (builtin)."""
    layers: int | None = None
    """Keep the first so many layers; null keeps all."""
    frozen_layers: int = 0
    """The lowest so many layers, and the embeddings below them, stay as pretrained; 0 trains all."""

    def __post_init__(self) -> None:
        _require(self.margin >= 0, "backbone.margin", "must not be negative")
        _require(self.layers is None or self.layers > 0, "backbone.layers", "must be positive")
        _require(self.frozen_layers >= 0, "backbone.frozen_layers", "must not be negative")


@dataclass(frozen=True)
class TrainConfig:
    """How the network learns."""

    epochs: int = 6
    batch_size: int = 32
    encoder_lr: float = 3.0e-4
    """Peak learning rate of the top encoder layer."""
    head_lr: float = 3.0e-3
    """Peak learning rate of the heads."""
    layer_decay: float = 0.9
    """Each layer further down learns at this multiple of the one above; 1 is one rate for all. Source: Howard
    and Ruder, "Universal Language Model Fine-tuning for Text Classification", 2018, section 3.2. Free."""
    warmup: float = 0.1
    """Share of all steps before the peak; then linear to zero."""
    weight_decay: float = 0.01
    dropout: float = 0.1
    """Before the heads."""
    encoder_dropout: float = 0.0
    """Inside the encoder; it learns too little in its few epochs rather than too much."""
    label_smoothing: float = 0.05
    class_balance: float = 0.5
    """Class weights are (1 / frequency) to this power: 0 is none, 1 is full balance."""
    emotion_weight: float = 0.5
    """Weight of the emotion loss beside the category loss, when both are learnt."""
    ngram_buckets: int = 131072
    """Buckets of the character n-gram view beside the encoder; 0 leaves it out."""
    ngram_strength: float = 0.5
    """Inverse regularisation of the n-gram view."""
    mask_numbers: float = 0.15
    """Share of training rows whose numbers are replaced by typed placeholders, as masked chats have."""
    patience: int = 3
    """Epochs without a better `val/macro_f1` before training stops."""
    precision: str = "auto"
    """`32`, `bf16`, or `auto`: bf16 where the processor computes it natively."""
    accelerator: str = "auto"
    """`auto`, `cpu` or `gpu`."""
    devices: int = 1
    """Processes that train together, one a GPU; each takes its share of every batch."""
    shots: int = 8
    """Training rows of each label that the method `few_shot` may see."""
    seed: int = 7

    def __post_init__(self) -> None:
        _require(self.shots >= 2, "train.shots", "must be at least 2: a pair needs two rows of a label")
        for name in ("epochs", "batch_size", "patience", "devices"):
            _require(getattr(self, name) > 0, f"train.{name}", "must be positive")
        for name in ("encoder_lr", "head_lr"):
            _require(0 < getattr(self, name) < 1, f"train.{name}", "must be between 0 and 1")
        _require(0 < self.layer_decay <= 1, "train.layer_decay", "must be in (0, 1]")
        for name in ("warmup", "dropout", "encoder_dropout", "label_smoothing", "mask_numbers"):
            _require(0 <= getattr(self, name) < 1, f"train.{name}", "must be in [0, 1)")
        _require(0 <= self.class_balance <= 1, "train.class_balance", "must be in [0, 1]")
        _require(self.weight_decay >= 0, "train.weight_decay", "must not be negative")
        _require(self.ngram_buckets >= 0, "train.ngram_buckets", "must not be negative")
        choices = ("auto", "32", "bf16")
        _require(self.precision in choices, "train.precision", f"must be one of {choices}")
        devices = ("auto", "cpu", "gpu")
        _require(self.accelerator in devices, "train.accelerator", f"must be one of {devices}")


@dataclass(frozen=True)
class ThresholdConfig:
    """What the thresholds stored with a model are chosen for, on validation."""

    answered_accuracy: float = 0.95
    """Abstain below the score that makes answered messages at least this accurate …"""
    max_abstain: float = 0.25
    """… but never abstain on more than this share."""
    alert_false_rate: float = 0.02
    """Red alerts on messages that are not angry: at most this share."""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            _require(0 <= value <= 1, f"thresholds.{item.name}", "must be in [0, 1]")


@dataclass(frozen=True)
class ArtefactConfig:
    """Which compressed networks an exported model gets, and how good each must be on validation."""

    make: Sequence[str] = ("int8", "float16")
    """`int8` for CPUs, `float16` for GPUs; empty for none."""
    max_macro_f1_loss: float = 0.005
    """Macro-F1 of any task below float32's."""
    max_red_recall_loss: float = 0.005
    """Share of angry messages that raise a red alert, below float32's; a single message is always allowed."""
    max_distance: Mapping[str, float] = field(default_factory=lambda: {"int8": 0.15, "float16": 0.01})
    """Mean distance (total variation) of probabilities from float32's, at the worst batch and length."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "make", tuple(self.make))  # a list in YAML and JSON: the same setting
        for name in self.make:
            _require(name in self.max_distance, "artefacts.make", f"{name!r} is not int8 or float16")
        for item in ("max_macro_f1_loss", "max_red_recall_loss"):
            _require(0 <= getattr(self, item) <= 1, f"artefacts.{item}", "must be in [0, 1]")


@dataclass(frozen=True)
class GateConfig:
    """What a candidate must reach on `test` before it may become champion."""

    minimum: dict[str, float] = field(default_factory=dict)
    """Metric name to the least allowed value."""
    maximum: dict[str, float] = field(default_factory=dict)
    """Metric name to the highest allowed value."""
    compare: dict[str, str] = field(default_factory=lambda: {task: f"test/{task}_macro_f1" for task in TASKS})
    """By task, the metric in which a candidate must not be worse than the champion."""
    tolerance: float = 0.005
    """How much worse still counts as not worse (the noise of a test split)."""
    not_worse: dict[str, float] = field(default_factory=dict)
    """Further metrics in which a candidate must not be worse than the champion, and how much still counts as
    not worse."""
    class_floor: dict[str, float] = field(default_factory=dict)
    """By task the least F1 of any class that has test rows."""
    class_floors: dict[str, dict[str, float]] = field(default_factory=dict)
    """By task and class another floor than `class_floor`."""
    require_artefacts: Sequence[str] = ()
    """Compressed networks without which a model may not become champion; others may have been refused."""
    max_artefact_loss: float = 0.005
    """Macro-F1 that a compressed network may lose on validation."""
    max_artefact_distance: dict[str, float] = field(default_factory=lambda: {"int8": 0.15, "float16": 0.01})
    """Mean distance (total variation) of its probabilities from float32's, at the worst batch and length."""

    def __post_init__(self) -> None:
        _require(0 <= self.tolerance < 0.2, "gate.tolerance", "must be in [0, 0.2)")
        for name in ("compare", "class_floor", "class_floors"):
            for task in getattr(self, name):
                _require(task in TASKS, f"gate.{name}", f"{task!r} is not one of {TASKS}")
        for name in self.require_artefacts:
            known = ("int8", "float16")
            _require(name in known, "gate.require_artefacts", f"{name!r} is not one of {known}")
        floors = {**self.class_floor}
        for task, single in self.class_floors.items():
            _require(isinstance(single, dict), f"gate.class_floors.{task}", "expected classes with floors")
            floors |= {f"{task}.{label}": limit for label, limit in single.items()}
        for name, limit in floors.items():
            _require(0 <= limit <= 1, f"gate floor of {name}", "must be in [0, 1]")
        for name, limit in self.not_worse.items():
            _require(0 <= limit < 0.2, f"gate.not_worse.{name}", "must be in [0, 0.2)")


@dataclass(frozen=True)
class TrainingConfig:
    """All that decides what a training run makes out of a snapshot."""

    tasks: tuple[str, ...]
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    input: InputLimits = field(default_factory=InputLimits)
    train: TrainConfig = field(default_factory=TrainConfig)
    thresholds: ThresholdConfig = field(default_factory=ThresholdConfig)
    artefacts: ArtefactConfig = field(default_factory=ArtefactConfig)
    method: str = "fine_tune"
    """One of `METHODS`."""
    recipe: RecipeConfig = field(default_factory=RecipeConfig)

    def __post_init__(self) -> None:
        _require(self.method in METHODS, "method", f"{self.method!r} is not one of {METHODS}")
        buckets = self.train.ngram_buckets
        if self.method == "tfidf":
            _require(buckets > 0, "train.ngram_buckets", "must be positive: tfidf reads nothing else")
        elif self.method != "fine_tune":
            _require(buckets == 0, "train.ngram_buckets", f"must be 0: {self.method} reads the encoder alone")
        fine_tuned = self.method == "fine_tune" or self.recipe.plain
        _require(fine_tuned, "recipe", f"is of method fine_tune; leave it out for {self.method}")
        _require(bool(self.tasks), "tasks", f"name at least one of {TASKS}")
        for task in self.tasks:
            _require(task in TASKS, "tasks", f"{task!r} is not one of {TASKS}")
        _require(len(set(self.tasks)) == len(self.tasks), "tasks", "a task is named twice")

    def flat(self) -> dict[str, Any]:
        """Dotted names to values, as experiment trackers show them."""
        return flatten(asdict(self))

    def fingerprint(self, snapshot: str) -> str:
        """Twelve hex digits: the same settings on the same data."""
        values = asdict(self)
        if self.recipe.plain:
            del values["recipe"]  # so that runs begun before there were recipes are found again
        if self.train.devices == 1:
            del values["train"]["devices"]
        text = json.dumps([snapshot, values], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one mapping with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def _require(condition: bool, name: str, reason: str) -> None:
    if not condition:
        raise ConfigError(f"{name}: {reason}")


def read_section(section: str, path: Path | str = PARAMS) -> dict[str, Any]:
    """One top-level mapping of the parameter file; empty if it is not there.

    Raises:
        ConfigError: the file cannot be read, or the section is no mapping.
    """
    try:
        params = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}") from error
    value = (params or {}).get(section) or {}
    _require(isinstance(value, dict), f"{path}: {section}", "expected a mapping")
    return value


def _build(cls: type[T], values: dict[str, Any], section: str) -> T:
    assert is_dataclass(cls)
    known = {item.name: item for item in fields(cls)}
    hints = get_type_hints(cls)
    for name, value in values.items():
        _require(name in known, f"{section}.{name}", f"unknown; known: {', '.join(known)}")
        hint = hints[name]
        if hint is float and isinstance(value, int) and not isinstance(value, bool):
            continue
        expected = {int: int, float: float, str: str}.get(hint)
        if expected and (not isinstance(value, expected) or isinstance(value, bool)):
            raise ConfigError(f"{section}.{name}: expected {expected.__name__}, got {value!r}")
    for item in known.values():
        if item.default is MISSING and item.default_factory is MISSING:
            _require(item.name in values, f"{section}.{item.name}", "is missing")
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{section}: {error}") from error


def taxonomy_path(path: Path | str = PARAMS) -> Path | None:
    """The label schema that `params.yaml` names; None for the embedded one."""
    named = read_section("data", path).get("taxonomy")
    return Path(named) if named else None


def model_names(path: Path | str = PARAMS) -> list[str]:
    """The models that `params.yaml` asks for."""
    return list(read_section("models", path))


def baseline_names(path: Path | str = PARAMS) -> list[str]:
    """The baselines that `params.yaml` asks for."""
    return list(read_section("baselines", path))


def load_training_config(model: str, path: Path | str = PARAMS) -> TrainingConfig:
    """The settings of one model or baseline: its own entry over the common sections.

    Raises:
        ConfigError: names the setting that is missing, unknown or out of range.
    """
    models, baselines = read_section("models", path), read_section("baselines", path)
    for name in models.keys() & baselines.keys():
        _require(False, f"baselines.{name}", "models has an entry of the same name; rename one")
    known = models | baselines
    _require(model in known, f"models.{model}", f"unknown; known: {', '.join(known)}")
    entry = dict(known[model] or {})
    tasks = tuple(entry.pop("tasks", ()))
    method = str(entry.pop("method", "fine_tune"))
    parts: dict[str, Any] = {}
    for section, cls in _SECTIONS.items():
        values = {**read_section(section, path), **(entry.pop(section, None) or {})}
        parts[section] = _build(cls, values, section)
    section = "models" if model in models else "baselines"
    _require(not entry, f"{section}.{model}", f"unknown setting {next(iter(entry), '')!r}")
    return TrainingConfig(tasks=tasks, method=method, **parts)


_SECTIONS: dict[str, Any] = {
    "backbone": BackboneConfig,
    "input": InputLimits,
    "train": TrainConfig,
    "thresholds": ThresholdConfig,
    "artefacts": ArtefactConfig,
    "recipe": RecipeConfig,
}


def parse_training_config(values: Mapping[str, Any]) -> TrainingConfig:
    """The settings that `dataclasses.asdict` made of a `TrainingConfig`, also after a way through JSON.

    Raises:
        ConfigError: names the setting that this version does not know, or that is out of range.
    """
    unknown = set(values) - {item.name for item in fields(TrainingConfig)}
    _require(not unknown, ", ".join(sorted(unknown)), "is no setting of this version")
    plain = {name: value for name, value in values.items() if name not in {"tasks", *_SECTIONS}}
    parts = {name: _build(cls, dict(values.get(name) or {}), name) for name, cls in _SECTIONS.items()}
    return TrainingConfig(tasks=tuple(values.get("tasks", ())), **plain, **parts)


def load_gate(path: Path | str = PARAMS) -> GateConfig:
    """The gate a candidate must pass."""
    return _build(GateConfig, read_section("gate", path), "gate")
