"""One run with a checkpoint after every update, told on stdout: killed_run.py STORE SPEC FOLDER."""

import json
import sys
import time
from pathlib import Path

from ecgtransfer.progress import Progress
from ecgtransfer.study import learn
from ecgtransfer.study.run import Locations, run
from ecgtransfer.study.spec import RunSpec


class Telling(Progress):
    """Says every update at once, and leaves time to be killed in."""

    def update(self, done: int, total: int, note: str = "") -> None:
        print(done, flush=True)
        time.sleep(0.1)


if __name__ == "__main__":
    learn.CHECKPOINT_SECONDS = 0.0
    spec = RunSpec.from_dict(json.loads(Path(sys.argv[2]).read_text()))
    locations = Locations({spec.store: Path(sys.argv[1])})
    run(spec, Path(sys.argv[3]), locations, progress=Telling("killed"))
