"""How a session begins, from nothing or from a commit, and how it is kept from ending without a word."""

from __future__ import annotations

import contextlib
import logging
import time
import traceback
from collections.abc import Iterator

import msgspec

from tunewell import monitors
from tunewell.monitors import Watch
from tunewell.policies import Judge
from tunewell.problems import Problem, RunError
from tunewell.records import Ended, Record, Started
from tunewell.runs import report, summary, sums
from tunewell.runs.disk import explained, in_words, write_durably
from tunewell.runs.environment import environment
from tunewell.runs.folder import RunFolder
from tunewell.runs.log import LogWriter
from tunewell.training import changes
from tunewell.training.device import torch_facts
from tunewell.training.interruption import Interruption
from tunewell.training.memory import is_out_of_memory
from tunewell.training.rehearsal import rehearse
from tunewell.training.session import Session
from tunewell.training.setup import Prepared, data_checked, parameter_counts
from tunewell.training.state import TrainState

_LOGGER = logging.getLogger("tunewell")

_PATIENCE, _IN_A_HURRY = 30.0, 3.0
"""Seconds that the tools of `log_to` have to finish."""
_UNSEALED = {
    "checkpoints",
    "lock",
    "inbox.jsonl",
    "report.html",
    "tensorboard",
    "wandb",
    "wandb.id",
    "mlflow.id",
    "trackio.id",
}
"""Entries of a run's folder that have digests of their own, change after its end, or can be made again."""


def new_session(
    prepared: Prepared,
    state: TrainState,
    folder: RunFolder,
    log: LogWriter,
    interruption: Interruption,
    parent: str = "",
) -> Session:
    """Return a session that stands before its first update; `parent` is the point that a branch came from."""
    recipe = prepared.recipe
    watch = Watch(monitors.from_recipe(recipe, prepared.task.main_metric))
    identity = changes.identity(prepared, parent)
    return Session(prepared, state, folder, log, watch, Judge.from_recipe(recipe), interruption, identity)


def started(session: Session) -> Iterator[Record]:
    """Log what the run begins with: its plan, its data's ledger, where it computes."""
    prepared, folder = session.prepared, session.folder
    ledger = msgspec.json.format(msgspec.json.encode(prepared.ledger))
    with in_words("write the ledger of the data", folder.path):
        write_durably(folder.path / "data.json", ledger)
    changes.remember_rows(folder, prepared)
    sums.write(folder.path, only=sums.FIXED)
    trained, total = parameter_counts(session.state.model)
    counts = prepared.ledger.splits["train"].balance if prepared.dataset.problem == "single_label" else {}
    yield from session.record(
        Started(
            time=time.time(),
            run=folder.name,
            parent=session.identity["parent"],
            recipe_hash=prepared.recipe.hash(),
            data_hash=prepared.dataset.hash,
            fingerprint=environment(torch_facts(prepared.compute)),
            total_steps=session.plan.total_steps,
            batches_per_epoch=session.plan.batches_per_epoch,
            num_rows={split: len(encoded) for split, encoded in prepared.splits.items()},
            trainable_parameters=trained,
            total_parameters=total,
            num_classes=len(counts),
            class_counts=counts,
        )
    )
    for text in prepared.ledger.lines(brief=True):
        yield from session.note(text, "ledger")
    for text in prepared.ledger.notes:
        yield from session.note(text, "data")
    if session.state.progress.step == 0:
        yield from session.record(data_checked(prepared))
        if prepared.recipe.self_tests:
            yield from _rehearsed(session)


def _rehearsed(session: Session) -> Iterator[Record]:
    """Log what the self-tests came to."""
    answers = rehearse(session.prepared, session.state, session.poll)
    for answer in answers:
        yield from session.record(answer)
    counts = {
        "passed": sum(answer.passed is True for answer in answers),
        "failed": sum(answer.passed is False for answer in answers),
        "could not be made": sum(answer.passed is None for answer in answers),
    }
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    yield from session.note(f"self-tests: {told or 'none made'}", "self-tests")


def guarded(session: Session, opening: Iterator[Record]) -> Iterator[Record]:
    """Run to the end; whatever breaks the run is written in its log before it is raised."""
    aborted = False
    try:
        with session.watchdog.watching():
            session.interruption.has_work = True
            yield from opening
            yield from session.run()
    except KeyboardInterrupt:
        aborted = True
        raise
    except Exception as error:
        reason = "".join(traceback.format_exception_only(error)).strip()
        step = session.state.progress.step
        ended = Ended(time=time.time(), step=step, status="failed", reason=reason)
        session.log.append(ended)
        session.forwarding.take(ended)
        session.has_ended = True
        if isinstance(error, OSError):
            raise explained(error, "go on with the run", session.folder.path) from error
        if is_out_of_memory(error):
            raise _out_of_memory(session.folder) from error
        raise
    finally:
        session.interruption.has_work = False
        if not aborted:
            session.saving.close()
        session.log.close()
        session.forwarding.close(_IN_A_HURRY if session.interruption.came() or aborted else _PATIENCE)
        if session.has_ended:
            _seal(session.folder)


def _seal(folder: RunFolder) -> None:
    """Write the run's summary, its report and the digests of its files; all can be done without."""
    with contextlib.suppress(RunError, OSError):
        summary.store(folder)
    _report(folder)
    with contextlib.suppress(RunError, OSError):
        sums.write(folder.path, leave_out=_UNSEALED)


def _report(folder: RunFolder) -> None:
    """Write the report of a run that is over; an interrupted one is in a hurry, and goes on later."""
    known = summary.stored(folder)
    if known is not None and known.status == "interrupted":
        return
    try:
        report.write(folder)
    except Exception as error:  # whatever it is: a trained model is not lost for want of a page
        _LOGGER.warning("report.html could not be written: %s (tunewell report %s)", error, folder.name)


def _out_of_memory(folder: RunFolder) -> RunError:
    fix = "give it more memory, or less to hold: `embeddings: freeze`, `optimizer: adafactor`, a lower data.max_length"
    message = "memory ran out where nothing can be split further"
    return RunError(Problem("run", message, str(folder.path), fix=fix))
