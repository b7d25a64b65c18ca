"""A study to be interrupted, which tells what it begins: interrupted_study.py SETUP.json LEDGER OPTIONS."""

import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecgtransfer.errors import EcgTransferError
from ecgtransfer.study.execution.executors import execute
from ecgtransfer.study.ledger import Ledger
from ecgtransfer.study.run import Locations
from ecgtransfer.study.spec import RunSpec


class Telling:
    """A listener that tells every event on stdout at once."""

    def started(self, spec: RunSpec) -> None:
        print("started", spec.id, flush=True)

    def finished(self, spec: RunSpec, content: dict[str, Any]) -> None:
        print("finished", spec.id, flush=True)

    def elsewhere(self, specs: Sequence[RunSpec]) -> None:
        print("elsewhere", *(spec.id for spec in specs), flush=True)


if __name__ == "__main__":
    # Tests that run in the background of a shell ignore it, and so would this.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    given = json.loads(Path(sys.argv[1]).read_text())
    locations = Locations({name: Path(path) for name, path in given["stores"].items()})
    specs = [RunSpec.from_dict(each) for each in given["specs"]]
    options = json.loads(sys.argv[3])
    if "patience" in options:
        from ecgtransfer.study.execution import ray_executor

        ray_executor.PATIENCE = options.pop("patience")
    try:
        execute(specs, Ledger(Path(sys.argv[2])), locations, listener=Telling(), **options)
    except KeyboardInterrupt:
        sys.exit(130)
    except EcgTransferError as error:
        sys.exit(str(error))
