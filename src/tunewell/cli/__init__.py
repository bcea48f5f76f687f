"""The terminal: one verb a file; each file holds a function of its own name.

Exit codes: 0 done, 1 failed, 2 bad input, 3 stopped by a policy, 129 terminal closed, 130 Ctrl-C, 143
SIGTERM. Data goes to stdout,
messages to stderr. Nothing heavy is imported before a verb needs it.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from typing import Any

from cyclopts import App, CycloptsError, Parameter

from tunewell import __version__
from tunewell.cli._codes import BAD_INPUT, DONE, FAILED, INTERRUPTED, TERMINATED
from tunewell.problems import InputError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (`sys.argv` when None) and return its exit code."""
    app = _app()
    tokens = list(sys.argv[1:] if argv is None else argv)
    try:
        verb, bound, _ = app.parse_args(tokens, exit_on_error=False)
    except CycloptsError:
        return BAD_INPUT  # cyclopts has told what is wrong
    return _guarded(verb, bound.args, bound.kwargs, bound.arguments)


def _app() -> App:
    app = App(
        name="tunewell",
        help="Fine-tune a pre-trained model on labelled data, watched, explained and repaired while it trains.\n\n"
        "Example: tunewell init reviews.csv",
        help_format="plaintext",
        version=__version__,
        default_parameter=Parameter(negative=(), show_default=False),
    )
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            verb = importlib.import_module(f"{__name__}.{module.name}")
            app.command(getattr(verb, module.name), name=module.name)
    return app


def _guarded(verb: Any, args: tuple[Any, ...], kwargs: dict[str, Any], arguments: dict[str, Any]) -> int:
    """Call the verb; tell of bad input in place, of a defect with the file that holds its traceback."""
    from tunewell.cli import _errors

    try:
        code = verb(*args, **kwargs)
        sys.stdout.flush()
    except InputError as error:
        _errors.tell_problems(error, verb.__name__, arguments)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except SystemExit as ending:
        if ending.code == TERMINATED:
            print("Terminated: nothing was begun.", file=sys.stderr)
        raise
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:  # the last door: no traceback reaches a user
        _errors.tell_defect(error, arguments)
        return FAILED
    return code if isinstance(code, int) else DONE
