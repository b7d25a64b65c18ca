"""Records per second of fit(), and what the loop itself costs beside the network's forward and backward pass.

    python benchmarks/bench_training.py [--networks resnet1d18-w16,lstm] [--updates 20] [--leads 12,1]
        [--batch 32,64] [--layouts 1x1,2x1,1x2] [--precisions float32,bfloat16] [--device cpu]

Signals are random (speed does not depend on them). A layout is processes × threads; processes run at once and
their rates are added. "records/s" is by the clock. The other two are by processor time, which a busy machine
disturbs less: "rec/cpu-s" counts all threads, "loop" is the share of an update that feed, augmentation,
clipping, optimizer and schedule take (an update less a bare forward and backward pass in the same process),
told for one thread only, because waiting threads burn processor time as well. Close other programs first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Geometry:
    """Ten seconds at 100 Hz."""

    leads: tuple[str, ...]
    sampling_rate: float = 100.0
    n_samples: int = 1000


class RandomStore:
    """As many windows of noise as asked for, one per record."""

    def __init__(self, n_records: int, n_leads: int) -> None:
        self.info = Geometry(tuple(f"L{i}" for i in range(n_leads)))
        self.n_records = n_records
        self.record_of_row = np.arange(n_records)
        shape = (n_records, n_leads, self.info.n_samples)
        self.signals = np.random.default_rng(0).normal(0, 0.25, shape).astype(np.float32)

    def rows_of(self, records: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row i is record i."""
        return np.sort(records)

    def millivolts(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Signals [rows, leads, samples]."""
        return self.signals[rows]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", default="resnet1d18-w16")
    parser.add_argument("--leads", default="12,1")
    parser.add_argument("--batch", default="32,64")
    parser.add_argument("--layouts", default="1x1,2x1,1x2")
    parser.add_argument("--precisions", default="float32,bfloat16")
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(measure(**json.loads(given.worker))))
        return
    load = f"load {os.getloadavg()[0]:.2f}"
    print(f"{'network':16} leads batch layout precision records/s rec/cpu-s   loop  ({load} before)")
    axes = (given.networks, given.leads, given.batch, given.layouts, given.precisions)
    for name, leads, batch, layout, precision in product(*(axis.split(",") for axis in axes)):
        processes, threads = map(int, layout.split("x"))
        job = {"name": name, "leads": int(leads), "batch": int(batch), "precision": precision}
        job |= {"threads": threads, "updates": given.updates, "device": given.device}
        rates = together(job, processes)
        by_clock = sum(rate["records_per_second"] for rate in rates)
        update = float(np.mean([rate["update_cpu_seconds"] for rate in rates]))
        bare = float(np.mean([rate["bare_cpu_seconds"] for rate in rates]))
        loop = f"{1 - bare / update:6.1%}" if threads == 1 else "     –"
        print(
            f"{name:16} {leads:>5} {batch:>5} {layout:>6} {precision:>9} {by_clock:9.0f} "
            f"{int(batch) / update:9.0f} {loop}",
            flush=True,
        )


def together(job: dict[str, object], processes: int) -> list[dict[str, float]]:
    """Run the same measurement in several processes at once."""
    command = [sys.executable, __file__, "--worker", json.dumps(job)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    outputs = [process.communicate()[0] for process in running]
    return [json.loads(output.splitlines()[-1]) for output in outputs]


def measure(
    name: str, leads: int, batch: int, precision: str, threads: int, updates: int, device: str
) -> dict[str, float]:
    """Time bare passes and fit() in this process, in turns."""
    import torch

    from ecgtransfer import networks
    from ecgtransfer.training import Feed, FitSettings, fit, masked_bce
    from ecgtransfer.training.precision import autocast

    torch.set_num_threads(threads)
    store = RandomStore(256, leads)
    labels = np.random.default_rng(1).integers(0, 2, (256, 5)).astype(np.float32)
    train = Feed(store, np.arange(240), labels[:240], device=device)
    validation = Feed(store, np.arange(240, 256), labels[240:], device=device)
    network = networks.build(name, n_leads=leads, n_outputs=5, n_samples=1000, sampling_rate=100.0).to(device)
    signals, truth = train.batch(np.arange(batch), np.zeros(batch))
    settings = FitSettings(updates=updates, batch_size=batch, validate_every=updates, precision=precision)  # type: ignore[arg-type]
    ticks: list[float] = []

    def bare() -> float:
        network.train()
        began = time.process_time()
        for _ in range(updates):
            with autocast(settings.precision, train.device):
                logits = network(signals)
            masked_bce(logits, truth).backward()
            network.zero_grad(set_to_none=True)
        if device == "cuda":
            torch.cuda.synchronize()
        return (time.process_time() - began) / updates

    def fitted() -> float:
        ticks.clear()
        # The hook is called at the start of every update: what lies between two calls is one update.
        result = fit(
            network, train, validation, settings, on_update=lambda *_: ticks.append(time.process_time())
        )
        rates.append(result.records_per_second)
        return float(np.median(np.diff(ticks)))

    rates: list[float] = []
    bare()  # warms up
    passes = [(bare(), fitted()) for _ in range(2)]
    return {
        "records_per_second": max(rates),
        "bare_cpu_seconds": min(first for first, _ in passes),
        "update_cpu_seconds": min(second for _, second in passes),
    }


if __name__ == "__main__":
    main()
