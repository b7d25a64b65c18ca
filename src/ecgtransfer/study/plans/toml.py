"""`study.toml` → `StudyPlan`: typed at the edge, so that a mistake ends in one sentence that names its line.

Defaults are those of `StudyPlan`, `UpstreamPlan` and `Budget`, under the protocol ``paper`` those of `PAPER`;
which keys there are says `toml_keys`. ``plans/my-data.toml`` shows every one of them, with comments.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ecgtransfer.datasets.store_info import StoreInfo, read_info
from ecgtransfer.errors import ConfigError, EcgTransferError, nearest
from ecgtransfer.networks import read_card
from ecgtransfer.study.plans.plan import Contrast, DownstreamPlan, StudyPlan, UpstreamPlan
from ecgtransfer.study.plans.toml_errors import MisplacedError, Place, complaint, not_toml, refused
from ecgtransfer.study.plans.toml_keys import BudgetTable, StudyFile
from ecgtransfer.study.spec import Budget
from ecgtransfer.transfer import get_arm

PAPER: dict[str, Any] = {"arms": ("scratch", "full"), "seeds": 1, "baselines": (), "tuning_seeds": 0}
"""What the protocol ``paper`` asks for where the file says nothing: both arms, once each."""

PAPER_UPSTREAM: dict[str, Any] = {"seeds": 1}
"""The same of every upstream: pre-trained once."""


def read_plan(path: str | Path) -> StudyPlan:
    """Read a study's plan.

    Parameters
    ----------
    path : path
        A TOML file; the paths it names are relative to it.

    Returns
    -------
    StudyPlan
        With every store and model found, every name and task given, and no downstream paired with an upstream
        of the same store.

    Raises
    ------
    ConfigError
        The file is no TOML, a key or table is unknown or of the wrong type, a task or a name is unknown, or
        the parts contradict each other. The error names the line where one can be named.
    DataError, ModelError
        A store or a model folder is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(
            "there is no such file", where=path, remedy="Give a study's plan, such as plans/my-data.toml"
        )
    try:
        text = path.read_text(encoding="utf-8")
        asked = StudyFile.model_validate(tomllib.loads(text))
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8 text", where=path, remedy="Save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise not_toml(path, error) from None
    except ValidationError as error:
        # A misspelt key is missing too: its name is what helps.
        first = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")[0]
        raise complaint(path, text, first) from None
    try:
        return _plan(asked, path)
    except MisplacedError as error:
        raise error.at(path, text) from None
    except EcgTransferError as error:
        raise (error if error.where is not None else refused(path, text, error)) from None


def _plan(asked: StudyFile, path: Path) -> StudyPlan:
    if asked.protocol == "paper":
        _check_paper(asked)
    elif "paper" in asked.model_fields_set:
        raise MisplacedError(
            '[paper] belongs to protocol = "paper"', ("paper",), "Leave it out, or name that protocol"
        )
    base = path.parent
    upstreams = [_upstream(asked, number, base) for number in range(len(asked.upstream))]
    downstreams = [_downstream(asked, number, base, upstreams) for number in range(len(asked.downstream))]
    simple = asked.given(
        "networks", "arms", "seeds", "margin", "specificity", "study_seed", "threads", "baselines"
    )
    settings = (PAPER if asked.protocol == "paper" else {}) | simple | asked.search.given()
    return StudyPlan(
        name=asked.name or path.stem,
        protocol=asked.protocol,
        upstreams=tuple(upstreams),
        downstreams=tuple(downstreams),
        budget=_budget(StudyPlan.budget, asked.budget),
        convergence=tuple(asked.convergence.sizes),
        primary=tuple(
            _primary(asked, number, upstreams, downstreams) for number in range(len(asked.primary))
        ),
        **asked.paper.given(),
        **settings,
    )


def _check_paper(asked: StudyFile) -> None:
    """Refuse what the published protocol fixes."""
    for table in ("budget", "search", "convergence"):
        if table in asked.model_fields_set:
            raise MisplacedError(
                f'protocol = "paper" fixes what [{table}] would set', (table,), f"Leave [{table}] out"
            )
    for key in ("primary", "baselines", "margin", "specificity"):
        if key in asked.model_fields_set:
            raise MisplacedError(
                f'{key} means nothing beside protocol = "paper": it has neither verdicts nor baselines',
                (key,),
                "Leave it out",
            )
    free = {"seeds", "name", "store", "models", "task"}
    places: list[tuple[Place, dict[str, Any]]] = [(("pretraining",), asked.pretraining.given())]
    places += [(("upstream", number), each.given()) for number, each in enumerate(asked.upstream)]
    for place, values in places:
        for key in values.keys() - free:
            raise MisplacedError(f'protocol = "paper" fixes {key}', (*place, key), "Leave it out")


def _budget(default: Budget, *tables: BudgetTable) -> Budget:
    """Return the default with what the tables set, a later one before an earlier."""
    known = [field.name for field in dataclasses.fields(Budget)]
    values = {name: value for table in tables for name, value in table.given(*known).items()}
    return dataclasses.replace(default, **values)


def _upstream(asked: StudyFile, number: int, base: Path) -> UpstreamPlan:
    own, place = asked.upstream[number], ("upstream", number)
    if (own.store is None) == (own.models is None):
        raise MisplacedError(
            "an upstream is either a store or models",
            place,
            'Give store = "NAME.ecgs" to pre-train on, or models = ["FOLDER", …] that are pre-trained',
        )
    if own.models is not None:
        for key in own.given().keys() - {"name", "models"}:
            raise MisplacedError(f"{key} means nothing beside models: nothing is trained", (*place, key))
        folders = tuple(_found(base, text, (*place, "models"), "model folder") for text in own.models)
        name = own.name or _as_name(str(read_card(folders[0])["data"][0]["name"]))
        return UpstreamPlan(name=name, models=folders, seeds=1)
    store, info = _store(base, str(own.store), (*place, "store"))
    around = PAPER_UPSTREAM if asked.protocol == "paper" else {}
    for table in (asked.pretraining, own):
        around = around | table.given("learning_rate", "seeds", "flip")
    return UpstreamPlan(
        name=own.name or _as_name(info.name),
        store=store,
        task=_task(info, own.task, place),
        budget=_budget(UpstreamPlan.budget, asked.pretraining, own),
        **around,
    )


def _downstream(
    asked: StudyFile, number: int, base: Path, upstreams: Sequence[UpstreamPlan]
) -> DownstreamPlan:
    own, place = asked.downstream[number], ("downstream", number)
    store, info = _store(base, own.store, (*place, "store"))
    if own.sizes is None and asked.protocol == "sound":
        raise MisplacedError(
            "'sizes' is missing in [[downstream]]",
            place,
            'Give the labels to use, such as sizes = [50, 200, "all"]',
        )
    others = [upstream.name for upstream in upstreams if not _same(upstream.store, store)]
    if own.upstreams is None:
        # Never onto itself; where that is the only pair there is, the plan of runs says so.
        chosen = tuple(others) if len(others) < len(upstreams) else ()
    else:
        known = [upstream.name for upstream in upstreams]
        for name in own.upstreams:
            if name not in known:
                raise MisplacedError(
                    f"there is no upstream '{name}'", (*place, "upstreams"), nearest(name, known)
                )
            if name not in others:
                raise MisplacedError(
                    f"upstream '{name}' and this downstream are the same store",
                    (*place, "upstreams"),
                    "A network that has learnt from a store cannot be tested on it",
                )
        chosen = tuple(own.upstreams)
    return DownstreamPlan(
        name=own.name or _as_name(info.name),
        store=store,
        task=_task(info, own.task, place),
        sizes=(None,) if own.sizes is None else tuple(own.sizes),
        upstreams=chosen,
    )


def _primary(
    asked: StudyFile, number: int, upstreams: Sequence[UpstreamPlan], downstreams: Sequence[DownstreamPlan]
) -> Contrast:
    own = asked.primary[number]
    origins = [upstream.name for upstream in upstreams]

    def only(what: str, given: str | None, known: Sequence[str]) -> str:
        if given is None and len(known) != 1:
            raise MisplacedError(
                f"{what} is missing, and the plan has {len(known)}",
                ("primary", number),
                f"Name one of {', '.join(known)}" if known else None,
            )
        if given is not None and given not in known:
            raise MisplacedError(
                f"this plan has no {what} '{given}'", ("primary", number, what), nearest(given, known)
            )
        return known[0] if given is None else given

    if get_arm(own.arm).start == "pretrained":
        upstream = only("upstream", own.upstream, origins)
    elif own.upstream is not None:
        raise MisplacedError(
            f"arm '{own.arm}' starts from random weights, so no upstream belongs to it",
            ("primary", number, "upstream"),
            "Leave upstream out",
        )
    else:
        upstream = None
    return Contrast(
        downstream=only("downstream", own.downstream, [downstream.name for downstream in downstreams]),
        network=only("network", own.network, asked.networks),
        upstream=upstream,
        arm=own.arm,
        n=own.size,
    )


def _store(base: Path, text: str, place: Place) -> tuple[Path, StoreInfo]:
    path = _found(base, text, place, "store")
    return path, read_info(path)


def _found(base: Path, text: str, place: Place, what: str) -> Path:
    path = base / Path(text).expanduser()
    if not path.is_dir():
        made = "prepare" if what == "store" else "pretrain"
        raise MisplacedError(
            f"there is no {what} at {path}",
            place,
            f"Paths are relative to this file; `ecgtransfer {made}` makes one",
        )
    return path


def _task(info: StoreInfo, task: str | None, place: Place) -> str:
    if task is not None and task not in info.tasks:
        raise MisplacedError(
            f"the store '{info.name}' has no task '{task}'", (*place, "task"), nearest(task, info.tasks)
        )
    if task is None and len(info.tasks) != 1:
        known = ", ".join(info.tasks)
        raise MisplacedError(
            f"'task' is missing, and the store '{info.name}' has {len(info.tasks)}", place, f"Known: {known}"
        )
    return next(iter(info.tasks)) if task is None else task


def _same(one: Path | None, other: Path) -> bool:
    return one is not None and one.resolve() == other.resolve()


def _as_name(text: str) -> str:
    """Make a name of what a store calls itself: names become parts of file names."""
    return re.sub(r"[^\w.+-]+", "-", text).lstrip(".+-") or "store"
