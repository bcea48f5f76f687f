"""The end of a run: the best weights restored, tested, and exported with their story."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tunewell.document import dump_recipe
from tunewell.models.export import export
from tunewell.records import Ended, Eval, Record
from tunewell.runs import checkpoints
from tunewell.runs import log as logs
from tunewell.runs.model_card import CardFacts, model_card, without_folders
from tunewell.runs.story import why
from tunewell.training import checkpoint
from tunewell.training.evaluate import EvaluationInterruptedError, Outcome
from tunewell.training.validation import by_class, evaluation

if TYPE_CHECKING:
    from tunewell.training.session import Session


def write(session: Session, ended: Ended) -> Iterator[Record]:
    """Restore the best weights, score them on the test split (else validation) and write ``model/``.

    `ended` is how the run ends, for the story on the model card; it is logged by the caller once all is written.
    """
    yield from _restore_best(session)
    split = next((s for s in ("test", "validation") if s in session.prepared.splits), None)
    outcome, failure = None, ""
    if split is not None:
        try:
            outcome, seconds = evaluation(session, split)
        except EvaluationInterruptedError:
            raise
        except Exception as error:  # whatever it is: a trained model is not lost for want of a score
            failure = "".join(traceback.format_exception_only(error)).strip()
            told = f"the result could not be scored on the {split} rows: {failure}"
            yield from session.note(told, "result")
        else:
            yield from session.record(_scored(session, split, outcome, seconds))
    weights = session.state.weights.full(session.state.average)
    settings = json.dumps(session.work.task.settings(), ensure_ascii=False, indent=2)
    session.log.flush()
    records = list(logs.read(session.folder.log))
    card = model_card(_facts(session, records, split, outcome, failure), why([*records, ended]))
    export(session.state.model, weights, session.work.task.tokenizer, card, session.folder.model, settings)


def _restore_best(session: Session) -> Iterator[Record]:
    progress = session.state.progress
    if not session.recipe.load_best_model_at_end or progress.best_commit is None or _is_best_now(session):
        return
    by_number = {c.commit: c for c in checkpoints.commits(session.folder.checkpoints)}
    commit = by_number.get(progress.best_commit)
    damage = ["it is not there"] if commit is None else checkpoints.verify(commit)
    if commit is None or damage:
        text = f"the best checkpoint can't be used ({'; '.join(damage)}): the last weights are the result"
        yield from session.note(text, "checkpoint")
        return
    session.state.weights.load(checkpoint.load_model_weights(commit))
    session.state.average = None
    yield from session.note(f"the best model, of step {commit.step}, is the result", "result")


def _is_best_now(session: Session) -> bool:
    return session.state.progress.best_step == session.state.progress.step


def _scored(session: Session, split: str, outcome: Outcome, seconds: float) -> Eval:
    progress = session.state.progress
    return Eval(
        time=time.time(),
        step=progress.step,
        epoch=round(session.work.order.epoch_at(progress.step), 6),
        split=split,
        loss=outcome.loss,
        metrics=outcome.metrics,
        rows=len(outcome.targets),
        seconds=seconds,
        in_training=outcome.in_training,
        **by_class(outcome, session.prepared.dataset),
    )


def _facts(
    session: Session, records: Sequence[Record], split: str | None, outcome: Outcome | None, failure: str
) -> CardFacts:
    prepared = session.prepared
    before = next((r for r in records if isinstance(r, Eval) and r.step == 0 and r.split == split), None)
    recipe = prepared.recipe
    return CardFacts(
        name=session.folder.name,
        base_model=recipe.model,
        problem=prepared.dataset.problem,
        labels=prepared.dataset.labels,
        recipe_yaml=dump_recipe(without_folders(recipe)),
        data_files=recipe.data.train,
        num_rows={name: len(encoded) for name, encoded in prepared.splits.items()},
        class_counts=prepared.ledger.splits["train"].balance,
        evaluated_on=split or "validation",
        scores_before=before.metrics if before else {},
        scores_after=outcome.metrics if outcome else {},
        class_scores=outcome.by_class if outcome else {},
        not_scored=failure,
    )
