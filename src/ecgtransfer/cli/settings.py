"""What options have to satisfy, as typed models; imported when a command runs, so that --help stays fast."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from ecgtransfer.errors import ConfigError

if TYPE_CHECKING:
    from ecgtransfer.study.spec import Budget

Settings = TypeVar("Settings", bound=BaseModel)


class BudgetSettings(BaseModel):
    """What the budget options have to satisfy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    updates: int = Field(ge=1)
    batch_size: int = Field(ge=2)

    def budget(self, *, flip: bool = False, upstream: bool = False) -> Budget:
        """Return the budget with the package's defaults for everything that no option sets.

        An upstream has many validation records, so that looking half as often costs little choice.
        """
        from ecgtransfer.study.spec import Budget
        from ecgtransfer.training import Augmentation

        return Budget(
            updates=self.updates,
            batch_size=self.batch_size,
            validations=10 if upstream else 20,
            augment=Augmentation(polarity_flip=flip),
        )


class ComparisonSettings(BaseModel):
    """What the options of `compare` have to satisfy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    networks: tuple[str, ...] = Field(min_length=1)
    arms: tuple[str, ...] = Field(min_length=1)
    sizes: tuple[int | None, ...] = Field(min_length=1)
    seeds: int = Field(ge=1, le=10_000)
    rates: tuple[float, ...] = Field(min_length=1)

    @field_validator("networks", "arms", "sizes", "rates", mode="before")
    @classmethod
    def _split(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, str):
            return value
        parts = [part.strip() for part in value.split(",") if part.strip()]
        return [None if part == "all" else part for part in parts] if info.field_name == "sizes" else parts

    @field_validator("sizes")
    @classmethod
    def _large_enough(cls, value: tuple[int | None, ...]) -> tuple[int | None, ...]:
        for n in value:
            if n is not None and n < 10:
                raise ValueError(f"{n} is too few labels to train and validate on; the least is 10")
        return value

    @field_validator("rates")
    @classmethod
    def _positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < rate < math.inf for rate in value):
            raise ValueError("a learning rate must be above 0")
        return value


def check(kind: type[Settings], *, prefix: str = "", **values: Any) -> Settings:
    """Check options; the first that does not fit becomes one clear sentence, ``prefix`` before its name."""
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-") if first["loc"] else "options"
        option = f"--{prefix}{'network' if name == 'networks' else name}"
        message = str(first["msg"]).removeprefix("Value error, ")
        if first["type"] in ("int_parsing", "int_from_float"):
            message = "whole numbers are needed" + (", or 'all'" if option == "--sizes" else "")
        elif first["type"] == "float_parsing":
            message = "a number is needed, such as 0.001"
        raise ConfigError(f"{first['input']!r} does not fit: {message}", where=option) from None
