"""Tasks: ordered targets, each "any of these statements", and the list of those each source brings along."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.datasets.statements import canonical
from ecgtransfer.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    import pandas as pd

_TABLE = "tasks.csv"
_COLUMNS = ("task", "source", "position", "target", "any_of", "note")


@dataclass(frozen=True)
class Target:
    """One output of a network.

    Parameters
    ----------
    name : str
        How the target is called in tables and reports.
    any_of : tuple of str
        Statement codes; the target is present where any of them is.
    """

    name: str
    any_of: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.any_of:
            raise DataError(f"the target {self.name!r} names no statement", remedy="Name at least one code")


@dataclass(frozen=True)
class Task:
    """An ordered list of targets under a name.

    Parameters
    ----------
    name : str
        Name of the task within its source.
    targets : tuple of Target
        In the order of the network's outputs; names differ.
    """

    name: str
    targets: tuple[Target, ...]

    def __post_init__(self) -> None:
        names = self.target_names
        if not names or len(set(names)) != len(names):
            raise DataError(
                f"the task {self.name!r} has {'no target' if not names else 'a target twice'}",
                remedy="Give every task at least one target and every target its own name",
            )

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the targets, in the order of the network's outputs."""
        return tuple(target.name for target in self.targets)

    def labels(self, statements: pd.DataFrame) -> NDArray[np.float32]:
        """Return what is known of each target.

        Parameters
        ----------
        statements : DataFrame
            One row per record, one nullable column of 1 / 0 / null per statement code. A code without a
            column is read from those that officially mean the same (`columns_of`: a target CRBBB where the
            store has RBBB), and is unknown for every record where there is none.

        Returns
        -------
        float32 array [records, targets]
            1 where any of the target's statements is present, 0 where all of them are absent, NaN (unknown)
            otherwise.
        """
        labels = np.empty((len(statements), len(self.targets)), dtype=np.float32)
        for column, target in enumerate(self.targets):
            present = np.zeros(len(statements), dtype=bool)
            absent = np.ones(len(statements), dtype=bool)
            for code in target.any_of:
                found = columns_of(code, statements.columns)
                for name in found:
                    values = statements[name].to_numpy(dtype=np.float32, na_value=np.nan)
                    present |= values == 1
                    absent &= values == 0
                if not found:
                    absent[:] = False
            labels[:, column] = np.where(present, 1, np.where(absent, 0, np.nan))
        return labels

    def to_list(self) -> list[list[Any]]:
        """Return ``[[target, [codes]], …]``, the form in which ``dataset.json`` keeps a task."""
        return [[target.name, list(target.any_of)] for target in self.targets]

    @classmethod
    def from_list(cls, name: str, targets: Sequence[Sequence[Any]]) -> Task:
        """Return the task that `to_list` wrote."""
        return cls(name, tuple(Target(str(target), tuple(map(str, codes))) for target, codes in targets))


def columns_of(code: str, columns: Iterable[str]) -> tuple[str, ...]:
    """Return the columns that hold a statement: its own or, without one, those that officially mean the same.

    Parameters
    ----------
    code : str
        A statement.
    columns : iterable of str
        The statements that a store has.

    Returns
    -------
    tuple of str
        Only the Challenges' own equivalences count (`statements.canonical`). A store that has the code itself
        keeps the two apart: a user's table may tell RBBB from CRBBB.
    """
    columns = tuple(columns)
    if code in columns:
        return (code,)
    wanted = canonical(code, extra=False)
    return tuple(name for name in columns if canonical(name, extra=False) == wanted)


def names(source: str) -> tuple[str, ...]:
    """Return the names of the tasks that the table lists for ``source``, in the order of the table."""
    return tuple(_table().get(source, {}))


def get(source: str, name: str) -> Task:
    """Return a task of a source.

    Raises
    ------
    ConfigError
        The table has no such task for this source; the error lists those it has.
    """
    tasks = _table().get(source, {})
    if name not in tasks:
        raise ConfigError(f"the source {source!r} has no task {name!r}", remedy=nearest(name, tasks))
    return tasks[name]


def of_source(source: str) -> dict[str, list[list[Any]]]:
    """Return every task of a source in the form in which a store keeps them (see `Task.to_list`)."""
    return {name: task.to_list() for name, task in _table().get(source, {}).items()}


@cache
def _table() -> dict[str, dict[str, Task]]:
    """Read the table once: source → task → Task. Codes within ``any_of`` are separated by spaces."""
    text = resources.files(__package__).joinpath(_TABLE).read_text(encoding="utf-8")
    reader = csv.DictReader(text.splitlines())
    if tuple(reader.fieldnames or ()) != _COLUMNS:
        raise DataError(f"columns are {reader.fieldnames}, not {list(_COLUMNS)}", where=_TABLE)
    targets: dict[str, dict[str, list[tuple[int, Target]]]] = {}
    for row in reader:
        target = Target(row["target"], tuple(row["any_of"].split()))
        targets.setdefault(row["source"], {}).setdefault(row["task"], []).append(
            (int(row["position"]), target)
        )
    tables: dict[str, dict[str, Task]] = {}
    for source, tasks in targets.items():
        for name, placed in tasks.items():
            placed.sort(key=lambda item: item[0])
            if [position for position, _ in placed] != list(range(len(placed))):
                raise DataError(f"positions of {source}/{name} are not 0, 1, 2, …", where=_TABLE)
            tables.setdefault(source, {})[name] = Task(name, tuple(target for _, target in placed))
    return tables
