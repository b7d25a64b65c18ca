"""The list of commands, in the order in which a user meets them."""

from __future__ import annotations

import typer

from ecgtransfer.cli.advise import advise
from ecgtransfer.cli.audit import audit
from ecgtransfer.cli.compare import compare
from ecgtransfer.cli.datasets import datasets
from ecgtransfer.cli.demo import demo
from ecgtransfer.cli.evaluate import evaluate
from ecgtransfer.cli.finetune import finetune
from ecgtransfer.cli.networks import networks
from ecgtransfer.cli.prepare import prepare
from ecgtransfer.cli.pretrain import pretrain
from ecgtransfer.cli.report import report
from ecgtransfer.cli.selfcheck import selfcheck
from ecgtransfer.cli.simulate import simulate
from ecgtransfer.cli.study import study
from ecgtransfer.cli.train import train


def register(app: typer.Typer) -> None:
    """Add every command to the application."""
    for command in (
        demo,
        simulate,
        datasets,
        prepare,
        audit,
        advise,
        networks,
        pretrain,
        train,
        finetune,
        evaluate,
        compare,
        report,
        selfcheck,
    ):
        app.command(command.__name__)(command)
    app.add_typer(study)
