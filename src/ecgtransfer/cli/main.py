"""The command `ecgtransfer`: commands are listed here and imported when they run, so that --help is fast."""

from __future__ import annotations

import errno
import os
import sys
from importlib.util import find_spec
from typing import NoReturn

import typer

from ecgtransfer import __version__
from ecgtransfer.cli import commands
from ecgtransfer.cli.options import INTERRUPTED
from ecgtransfer.errors import EcgTransferError

_FULL = (
    "Free some space, or choose another disk, and give the command again: it goes on from what was finished"
)
_CLOSED = "Check that it is yours to write to, or choose another place"
_LOST = "Check the disk or the network drive; what was finished is kept, and the same command goes on from it"
_OTHER = "Check the path"

# What of the system's complaints is the user's to mend, and how; Python's words name the path.
_MENDABLE = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EACCES: _CLOSED,
    errno.EPERM: _CLOSED,
    errno.EROFS: _CLOSED,
    errno.EIO: _LOST,
    errno.ESTALE: _LOST,
    errno.ENOTDIR: _OTHER,
    errno.EISDIR: _OTHER,
    errno.ENAMETOOLONG: _OTHER,
    errno.EMFILE: "Allow more open files (`ulimit -n`), or give fewer --workers",
}

app = typer.Typer(
    name="ecgtransfer",
    help="Fine-tune a pre-trained ECG network or train from scratch? A fair comparison, and the model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
commands.register(app)


@app.callback(invoke_without_command=True)
def _options(
    version: bool = typer.Option(False, "--version", help="Print the version and leave.", is_eager=True),
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line: exit 0, 2 with one paragraph for what the user can mend, 1 for a bug."""
    try:
        # Not its stand-alone mode, which would answer a broken pipe with the exit code of a bug.
        code = app(standalone_mode=False)
        sys.stdout.flush()
        if code == INTERRUPTED:
            # The parser makes an exit code of Ctrl-C, and says nothing.
            raise KeyboardInterrupt
        sys.exit(code if isinstance(code, int) else 0)
    except EcgTransferError as error:
        _say(str(error))
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.split(".")[0] == "ecgtransfer" or find_spec(missing.split(".")[0]) is not None:
            raise
        _say(
            f"this command needs the package '{missing}', which is not installed. "
            "Install it with: pip install 'ecgtransfer[train]'"
        )
    except (KeyboardInterrupt, typer.Abort):
        print("\nStopped. What was finished is kept; to go on, give the same command again.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        _reader_gone()
    except SystemExit as stop:
        # The parser answers a broken pipe with 1, the exit code of a bug.
        if isinstance(stop.__context__, BrokenPipeError):
            _reader_gone()
        raise
    except OSError as error:
        if error.errno not in _MENDABLE:
            raise
        where = f" ({error.filename})" if error.filename else ""
        _say(f"{error.strerror or error}{where}. {_MENDABLE[error.errno]}")
    except Exception as error:
        # What the parser says of a wrong option: it knows how to show itself and its exit code.
        show = getattr(error, "show", None)
        if show is None:
            raise
        show()
        sys.exit(2)


def _reader_gone() -> NoReturn:
    """Leave with 0 where the reader of our output has gone (`| head`): no error, nothing left to flush."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os._exit(0)


def _say(message: str) -> None:
    """Print one paragraph on stderr and leave with 2."""
    print(
        f"ecgtransfer: {message}." if message[-1:] not in ".?!" else f"ecgtransfer: {message}",
        file=sys.stderr,
    )
    sys.exit(2)
