"""Which keys a `study.toml` has, and of which type; what a key that is left out means is said elsewhere."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator

from ecgtransfer.datasets.splits import SMALLEST_SUBSET


def shown(value: Any) -> str:
    """Return a value as TOML writes it, cut where it is long."""
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _size(value: Any) -> int | None:
    if value == "all":
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < SMALLEST_SUBSET:
        raise ValueError(
            f'{shown(value)} is no size: give a number of labels from {SMALLEST_SUBSET} on, or "all"'
        )
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"\w[\w.+-]*", value):
        raise ValueError(f"{shown(value)} is no name: letters, digits and . _ + - make one")
    return value


Size = Annotated[int | None, PlainValidator(_size)]
Name = Annotated[str, AfterValidator(_name)]
Count = Annotated[int, Field(ge=1)]
Names = Annotated[list[str], Field(min_length=1)]


class Table(BaseModel):
    """A table of the file. Unknown keys are refused, and 1.0 is no whole number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def given(self, *names: str) -> dict[str, Any]:
        """Return those of the fields that the file sets (of ``names``, where given), lists as tuples."""
        values = {name: getattr(self, name) for name in self.model_fields_set if not names or name in names}
        return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


class BudgetTable(Table):
    """``[budget]``: how long a training is and with what."""

    updates: Count | None = None
    batch_size: Annotated[int, Field(ge=2)] | None = None
    validations: Count | None = None
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    warmup_fraction: Annotated[float, Field(ge=0, le=1)] | None = None
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    schedule: Literal["cosine", "constant"] | None = None
    optimizer: Literal["adamw", "adam"] | None = None


class SearchTable(Table):
    """``[search]``: the learning rates, and who chooses among them."""

    rates: Annotated[list[float], Field(min_length=1)] | None = None
    tuning_seeds: Annotated[int, Field(ge=0)] | None = None


class PretrainingTable(BudgetTable):
    """``[pretraining]``: for every upstream that says nothing else."""

    learning_rate: Annotated[float, Field(gt=0)] | None = None
    seeds: Count | None = None
    flip: bool | None = None


class UpstreamTable(PretrainingTable):
    """``[[upstream]]``: a store to pre-train on, or models that are pre-trained."""

    name: Name | None = None
    store: str | None = None
    models: Names | None = None
    task: str | None = None


class DownstreamTable(Table):
    """``[[downstream]]``: a store that somebody cares for."""

    name: Name | None = None
    store: str
    task: str | None = None
    sizes: Annotated[list[Size], Field(min_length=1)] | None = None
    upstreams: Names | None = None


class ConvergenceTable(Table):
    """``[convergence]``: the sizes at which smaller budgets run too."""

    sizes: list[Size]


class PaperTable(Table):
    """``[paper]``: what the published protocol leaves open."""

    epochs: Count | None = None


class PrimaryTable(Table):
    """``[[primary]]``: an arm against scratch that gets a verdict."""

    size: Size
    network: str | None = None
    downstream: str | None = None
    upstream: str | None = None
    arm: str = "full"


class StudyFile(Table):
    """The whole file."""

    networks: Names
    name: Name | None = None
    protocol: Literal["sound", "paper"] = "sound"
    arms: Names | None = None
    seeds: Count | None = None
    margin: Annotated[float, Field(gt=0, lt=1)] | None = None
    specificity: Annotated[float, Field(gt=0, lt=1)] | None = None
    study_seed: Annotated[int, Field(ge=0)] | None = None
    threads: Count | None = None
    baselines: list[str] | None = None
    budget: BudgetTable = BudgetTable()
    search: SearchTable = SearchTable()
    pretraining: PretrainingTable = PretrainingTable()
    upstream: list[UpstreamTable] = []
    downstream: Annotated[list[DownstreamTable], Field(min_length=1)]
    convergence: ConvergenceTable = ConvergenceTable(sizes=[])
    paper: PaperTable = PaperTable()
    primary: list[PrimaryTable] = []


TABLES: dict[str, type[Table]] = {
    "budget": BudgetTable,
    "search": SearchTable,
    "pretraining": PretrainingTable,
    "convergence": ConvergenceTable,
    "paper": PaperTable,
}
"""Tables that are there once, ``[NAME]``."""

LISTS: dict[str, type[Table]] = {
    "upstream": UpstreamTable,
    "downstream": DownstreamTable,
    "primary": PrimaryTable,
}
"""Tables of which there may be several, ``[[NAME]]``."""

TOP = tuple(name for name in StudyFile.model_fields if name not in TABLES and name not in LISTS)
"""Keys before the first table."""
