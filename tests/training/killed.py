"""Train with a checkpoint after every update, told on stdout: killed.py FOLDER RESULT UPDATES_PER_SECOND."""

import dataclasses
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from conftest import FakeStore, TinyNetwork

from ecgtransfer.training import Feed, FitSettings, fit, predict_logits


def main(folder: Path, result_path: Path, updates_per_second: float) -> None:
    torch.set_num_threads(1)
    store, network = FakeStore(), TinyNetwork()
    train, validation = (Feed(store, part, store.truth[part]) for part in (np.arange(20), np.arange(20, 30)))

    def tell(done: int, loss: float, records_per_second: float) -> None:
        print(done, flush=True)
        if updates_per_second:
            time.sleep(1 / updates_per_second)

    settings = FitSettings(updates=40, batch_size=8, learning_rate=0.05, validate_every=4)
    result = fit(
        network,
        train,
        validation,
        settings,
        checkpoint=folder / "checkpoint.safetensors",
        checkpoint_every=0,
        progress=tell,
    )
    said = dataclasses.asdict(result) | {"seconds": 0, "records_per_second": 0}
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    logits = predict_logits(network, validation)
    np.savez(result_path, said=np.array(json.dumps(said)), logits=logits, **weights)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
