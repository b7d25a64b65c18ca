"""The two ways in which a run is done: `sound`, and `paper`, the published study as it was.

Everything in which they differ is said here once and read from here. The published study is Nguyen & Do,
"Transfer Learning in ECG Diagnosis: Is It Effective?" (arXiv 2402.02021, PLoS ONE 20(5): e0316043); it is
there to be repeated and to be measured against, and no verdict should be taken from it.

What differs from the study although the protocol is ``paper``:

- Networks divide signals by their own input scale (0.25) before the first layer. Batch norm and Adam undo
  that in the residual networks; in the recurrent ones the input weights start, and move, four times as fast.
- Weights are rounded to float32 where they are kept: a pre-trained network, the model that a run leaves.
- Stores keep signals in steps of 1/32767 of their range.
- Which records `train_test_split` draws depends on their order, and the study's is not known to be the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ecgtransfer.datasets.published import first_rows, published_split
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError, nearest
from ecgtransfer.networks import card
from ecgtransfer.study.macro import MINIMUM_PER_TEST_PART, MacroSet
from ecgtransfer.study.parts import Parts, sound_parts
from ecgtransfer.study.spec import Budget, RunSpec
from ecgtransfer.training import Augmentation, Selection, get_selection
from ecgtransfer.transfer import ARMS, PRETRAIN

EPOCHS = 100
BATCH_SIZE = 256


@dataclass(frozen=True)
class Protocol:
    """How data are divided, weights selected and results scored.

    Attributes
    ----------
    name, title : str
    divide : callable
        A run and its store → the parts.
    chosen_on : {'validation', 'test'}
        The part that selects the weights.
    selection, pretraining_selection : Selection
        By what score, for a run that is reported and for one that others start from.
    threshold : float or None
        The probability from which a record is called, for every target; None: chosen on the validation part.
    whole_epochs : bool
        Whether every epoch ends with a smaller batch.
    arms : tuple of str
    recipe : str or None
        What stores have to be prepared with; None for any.
    rates : tuple of float or None
        The only learning rates there are; None: those of the plan.
    precision : {'float64'} or None
        Of the trainings; None: what suits network and machine.
    rules : tuple of (str, str)
        What a reader has to know of it, under the same names for both.
    """

    name: Literal["sound", "paper"]
    title: str
    divide: Callable[[RunSpec, Store], Parts]
    chosen_on: Literal["validation", "test"]
    selection: Selection
    pretraining_selection: Selection
    threshold: float | None
    whole_epochs: bool
    arms: tuple[str, ...]
    recipe: str | None
    rates: tuple[float, ...] | None
    precision: Literal["float64"] | None
    rules: tuple[tuple[str, str], ...]

    def selection_of(self, arm: str) -> Selection:
        """Return by what score the weights of this arm are selected."""
        return self.pretraining_selection if arm == PRETRAIN.name else self.selection


def protocol(name: str) -> Protocol:
    """Return the protocol of this name; a `ConfigError` names the nearest known one."""
    if name not in PROTOCOLS:
        raise ConfigError(f"unknown protocol '{name}'", remedy=nearest(name, PROTOCOLS))
    return PROTOCOLS[name]


def paper_parts(spec: RunSpec, store: Store) -> Parts:
    """Divide a store as the study did: by record, no validation part, the first n rows, unknown as absent.

    Raises
    ------
    ConfigError
        The store has another recipe, or the run asks for what the study did not do.
    """
    _check_paper(spec, store)
    task = store.task(spec.task)
    division = published_split(store, task)
    train = first_rows(store, division.train, spec.n)
    labels = store.labels(task)
    used = labels[np.concatenate([train, division.test])]
    how = f"{division.how}; all of the first {len(train):,} training records are learnt from, none set apart"
    if unknown := int(np.isnan(used).sum()):
        how += f"; {unknown:,} of {used.size:,} labels are unknown and count as absent"
    return Parts(
        train=train,
        validation=np.empty(0, dtype=np.int64),
        test=division.test,
        labels=np.nan_to_num(labels),
        how=how,
        unlabelled=division.unlabelled,
    )


def paper_budget(n_train: int, *, epochs: int = EPOCHS) -> Budget:
    """Return the study's budget in updates: so many epochs of batches of 256, the last one of each smaller.

    Fewer epochs than 100 are a deviation from the study, and part of the run's identity.
    """
    return Budget(
        updates=epochs * math.ceil(n_train / min(BATCH_SIZE, n_train)),
        batch_size=BATCH_SIZE,
        validations=epochs,
        weight_decay=0.0,
        warmup_fraction=0.0,
        clip_norm=None,
        schedule="constant",
        optimizer="adam",
        augment=Augmentation.none(),
    )


def paper_train_size(store: Store, task: str, n: int | None) -> int:
    """Return how many records a run of the study learns from; `ConfigError` for a size that is not there."""
    return len(first_rows(store, published_split(store, store.task(task)).train, n))


def paper_macro(store: Store, task: str) -> MacroSet:
    """Return the targets that macro averages run over: those with two of each class in the study's test part.

    The study's own score needs no such set, because it weights every target by its positives.
    """
    labels = np.nan_to_num(store.labels(store.task(task)))[published_split(store, store.task(task)).test]
    kept, left_out = [], []
    for name, column in zip(store.task(task).target_names, labels.T, strict=True):
        positives = int(column.sum())
        if min(positives, len(column) - positives) >= MINIMUM_PER_TEST_PART:
            kept.append(name)
        else:
            found = f"the test part holds {positives} positives and {len(column) - positives} negatives"
            left_out.append((name, f"{found}, {MINIMUM_PER_TEST_PART} needed"))
    return MacroSet(tuple(kept), tuple(left_out))


def paper_spec(
    store: Store,
    *,
    network: str,
    arm: str,
    task: str,
    n: int | None,
    seed: int,
    study_seed: int,
    threads: int,
    upstream: str | None = None,
    epochs: int = EPOCHS,
) -> RunSpec:
    """Return a run of the published protocol; a pre-training is the arm ``pretrain`` with n None.

    Parameters
    ----------
    upstream : str or None
        `RunSpec.upstream`, for the arm ``full``.
    epochs : int
        The study had 100.

    Raises
    ------
    ConfigError
        The store has another recipe, or lacks the task or the size; the arm is not the study's.
    ModelError
        There is no such network.
    """
    card(network)
    assert PAPER.rates is not None
    assert PAPER.precision is not None
    spec = RunSpec(
        network=network,
        arm=arm,
        store=store.fingerprint,
        task=task,
        targets=tuple((target.name, tuple(target.any_of)) for target in store.task(task).targets),
        upstream=upstream if arm == "full" else None,
        n=n,
        seed=seed,
        study_seed=study_seed,
        rates=PAPER.rates,
        budget=paper_budget(paper_train_size(store, task, n), epochs=epochs),
        precision=PAPER.precision,
        threads=threads,
        macro_targets=paper_macro(store, task).targets,
        protocol="paper",
    )
    _check_paper(spec, store)
    return spec


def _check_paper(spec: RunSpec, store: Store) -> None:
    if spec.arm not in PAPER.arms:
        raise ConfigError(
            f"the published protocol has no arm '{spec.arm}'", remedy=f"It has {', '.join(PAPER.arms)}"
        )
    found = store.info.recipe["name"]
    if found != PAPER.recipe:
        raise ConfigError(
            f"the store was prepared by the recipe '{found}', which the published protocol does not use",
            where=store.path,
            remedy=f"Prepare it with --recipe {PAPER.recipe}",
        )
    if spec.rates != PAPER.rates or spec.tuned_by or spec.tuning:
        raise ConfigError("the published protocol searches no learning rate", remedy="It has 0.01 alone")
    if spec.final:
        raise ConfigError("the published protocol tests every model", remedy="Use the protocol 'sound'")
    if spec.excluded or spec.apart_from:
        raise ConfigError("the published protocol leaves no recording out", remedy="Use the protocol 'sound'")


SOUND = Protocol(
    name="sound",
    title="patients kept apart, choices on a validation part, the test part opened once",
    divide=sound_parts,
    chosen_on="validation",
    selection=get_selection("validation-loss"),
    pretraining_selection=get_selection("validation-loss"),
    threshold=None,
    whole_epochs=False,
    arms=(PRETRAIN.name, *ARMS),
    recipe=None,
    rates=None,
    precision=None,
    rules=(
        ("signals", "anti-aliased to the store's rate, in mV"),
        ("test part", "by patient and duplicate, stratified; another fold for every seed, or official folds"),
        ("subsets", "random, nested, another for every seed; n counts the validation part"),
        ("unknown labels", "masked in loss and metrics"),
        ("budget", "the same number of updates for every size"),
        (
            "learning rate",
            "the same few rates for every arm, chosen on validation parts; AdamW, warm-up, cosine",
        ),
        ("weights", "lowest loss on the validation part"),
        (
            "score",
            "on the test part once: AUROC, AUPRC, F1 at thresholds of the validation part, calibration",
        ),
        ("pre-trained network", "lowest loss on the upstream validation part; shared recordings left out"),
        ("precision", "float32, or bfloat16 where the machine has it"),
    ),
)

PAPER = Protocol(
    name="paper",
    title="the published study: the epoch chosen on the test part, records instead of patients",
    divide=paper_parts,
    chosen_on="test",
    selection=get_selection("test-optimistic"),
    pretraining_selection=get_selection("test-optimistic-mean"),
    threshold=0.5,
    whole_epochs=True,
    arms=(PRETRAIN.name, "scratch", "full"),
    recipe="paper",
    rates=(0.01,),
    precision="float64",
    rules=(
        ("signals", "every k-th sample without a filter, each lead scaled to its own range (recipe paper)"),
        (
            "test part",
            "a third of the records whoever the patient is, the same for every seed; PTB-XL: fold 10",
        ),
        ("subsets", "the first n training rows, all learnt from"),
        ("unknown labels", "count as absent"),
        ("budget", f"{EPOCHS} epochs of batches of {BATCH_SIZE}, so that updates grow with the size"),
        (
            "learning rate",
            "0.01 for every network and arm; Adam, constant, no decay, clipping or augmentation",
        ),
        ("weights", "highest F1 on the test part, looked at after every epoch (test-optimistic)"),
        ("score", "that F1: at 0.5, weighted by the positives of each target in the test part"),
        ("pre-trained network", "highest mean F1 on the upstream test part"),
        ("precision", "float64"),
    ),
)

PROTOCOLS = {each.name: each for each in (SOUND, PAPER)}
