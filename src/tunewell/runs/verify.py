"""What of a run is whole and what is not, file by file, and whether it can go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from tunewell.document import load_recipe
from tunewell.problems import RecipeError, RunError
from tunewell.records import Ended, Started
from tunewell.runs import checkpoints, row_history, summary, sums
from tunewell.runs.checkpoints import Commit
from tunewell.runs.folder import RunFolder
from tunewell.runs.log_check import LogCheck, check_log

State = Literal["whole", "damaged", "missing", "unchecked", "left over"]

_YOURS = "if you changed it yourself, all is well: nothing else depends on it"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One file or folder of a run."""

    what: str
    """Its path in the run's folder."""
    state: State
    """unchecked: nothing was kept to compare it with; left over: of no use, and harmless."""
    detail: str = ""
    fix: str = ""


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a run can go on."""

    text: str
    """One sentence."""
    step: int | None = None
    """Where a resume begins; None: there is nothing to resume, or it is refused."""
    next: str
    """The command that comes next."""


def verify(run: RunFolder, *, repair: bool = False) -> list[Part]:
    """Return every part of the run and whether it is whole; reads all files, and changes none.

    `repair` makes the index of the log again where it does not fit; nothing else is touched, nothing deleted.
    Damaged files are named one by one. What a run that trains now is writing is not judged.
    """
    commits = checkpoints.commits(run.checkpoints)
    log = check_log(run.log, [(c.folder.name, *_prefix(c)) for c in commits if "log_length" in c.facts])
    found: dict[str, Part] = {}
    for part in [
        *_log(run, log, begun=bool(commits) or run.model.is_dir()),
        *_facts(run, log.started),
        *_checkpoints(run, commits),
        *_rows(run),
        *_seals(run, log.ended),
        *_model(run, log.ended),
        *_index(run, repair),
        *_leftovers(run),
    ]:
        if part.what not in found or found[part.what].state == "whole":
            found[part.what] = part
    return list(found.values())


def outlook(run: RunFolder, parts: list[Part]) -> Outlook:
    """Return what can be done with the run, given what `verify` found."""
    bad = {part.what: part for part in parts if part.state in ("damaged", "missing")}
    if (holder := run.holder()) is not None:
        return Outlook(text=f"It is training now: {holder}.", next=f"tunewell why {run.name}")
    status = summary.summarize(run.path, quick=True).status
    if status in ("completed", "stopped") and run.model.is_dir():
        if any(what.startswith("model/") for what in bad):
            text = "The result is damaged. Move the folder model away: a resume makes it again from the checkpoints."
            return Outlook(text=text, next=f"tunewell resume {run.name}")
        return Outlook(text="It is complete.", next=f"tunewell predict {run.name}")
    if "recipe.yaml" in bad:
        text = "A resume is refused until recipe.yaml is what it was."
        return Outlook(text=text, next=f"tunewell resume {run.name}")
    broken = {Path(what).parts[1] for what in bad if what.startswith("checkpoints/")}
    whole = [c for c in checkpoints.commits(run.checkpoints) if c.folder.name not in broken]
    if not whole:
        text = "No checkpoint is whole: a resume begins again."
        return Outlook(text=text, step=0, next=f"tunewell resume {run.name}")
    text = f"A resume goes on after step {whole[-1].step:,}, from checkpoint {whole[-1].folder.name}."
    return Outlook(text=text, step=whole[-1].step, next=f"tunewell resume {run.name}")


def _prefix(commit: Commit) -> tuple[int, str]:
    return int(commit.facts["log_length"]), str(commit.facts["log_digest"])


def _log(run: RunFolder, log: LogCheck, *, begun: bool) -> Iterator[Part]:
    name = run.log.name
    fix = f"the weights do not depend on it; tunewell resume {run.name} keeps what can be read of it"
    if log.missing:
        if begun:
            yield Part(what=name, state="missing", fix=fix)
        else:
            yield Part(
                what=name, state="unchecked", detail="there is none: the run was cut before its first record"
            )
    elif log.problems:
        yield Part(what=name, state="damaged", detail="; ".join(log.problems), fix=fix)
    else:
        yield Part(what=name, state="whole", detail="; ".join([f"{log.records:,} records", *log.notes]))


def _facts(run: RunFolder, started: Started | None) -> Iterator[Part]:
    back = "bring it back as it was"
    try:
        recipe = load_recipe(run.recipe)
    except RecipeError as error:
        gone = not run.recipe.exists()
        yield Part(
            what=run.recipe.name,
            state="missing" if gone else "damaged",
            detail="" if gone else error.problems[0].message,
            fix=back,
        )
    else:
        same = started is None or started.recipe_hash == recipe.hash()
        detail = "" if same else "is not what the run began with"
        fix = "" if same else f"{back}, or resume with --allow-changes"
        yield Part(what=run.recipe.name, state="whole" if same else "damaged", detail=detail, fix=fix)
    for path, expected in ((run.environment, started.fingerprint if started else None), (run.ledger, None)):
        if started is None and not path.exists():
            continue  # the run was cut before it was written
        yield _json(path, expected)


def _json(path: Path, expected: Any) -> Part:
    only_told = "training and its result are not affected"
    try:
        content = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        return Part(what=path.name, state="missing", fix=only_told)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        return Part(what=path.name, state="damaged", detail=f"can't be read: {error}", fix=only_told)
    if expected is not None and content != expected:
        detail = "is not what the log says that the run began with"
        return Part(what=path.name, state="damaged", detail=detail, fix=only_told)
    return Part(what=path.name, state="whole")


def _checkpoints(run: RunFolder, commits: list[Commit]) -> Iterator[Part]:
    fix = "a resume sets it aside and takes an older one"
    for folder in checkpoints.damaged_manifests(run.checkpoints):
        what = f"checkpoints/{folder.name}/{checkpoints.MANIFEST}"
        state: State = "damaged" if (folder / checkpoints.MANIFEST).exists() else "missing"
        yield Part(what=what, state=state, detail="nothing tells what the checkpoint holds", fix=fix)
    for commit in commits:
        damage = checkpoints.damage(commit)
        if damage and not commit.folder.exists():
            continue  # pruned meanwhile by the run itself
        for name, problem in damage.items():
            what, state = f"checkpoints/{commit.folder.name}/{name}", _state(problem)
            yield Part(what=what, state=state, detail=problem, fix=fix)
        if not damage:
            marks = [mark for mark in ("healthy", "pinned") if getattr(commit, mark)]
            detail = ", ".join([f"step {commit.step:,}", f"{commit.bytes:,} bytes", *marks])
            yield Part(what=f"checkpoints/{commit.folder.name}", state="whole", detail=detail)


def _rows(run: RunFolder) -> Iterator[Part]:
    damage = row_history.damage(run.rows)
    fix = "training and its result are not affected"
    for name, problem in damage.items():
        yield Part(what=f"rows/{name}", state=_state(problem), detail=problem, fix=fix)
    if not damage and (count := len(list(run.rows.glob("*.bin")))):
        yield Part(what="rows", state="whole", detail=f"{count:,} file{'s' * (count > 1)}")


def _seals(run: RunFolder, ended: Ended | None) -> Iterator[Part]:
    if not (run.path / sums.SUMS).exists():
        if ended is not None and ended.status in ("completed", "stopped"):
            yield Part(
                what=sums.SUMS, state="unchecked", detail="there is none: the run was not sealed at its end"
            )
        return
    damage = sums.check(run.path)
    for name, problem in damage.items():
        yield Part(
            what=name, state=_state(problem), detail=problem, fix=_YOURS if name.endswith("README.md") else ""
        )
    if not damage:
        yield Part(
            what=sums.SUMS, state="whole", detail=f"{len(sums.read(run.path) or {}):,} files are as it says"
        )


def _model(run: RunFolder, ended: Ended | None) -> Iterator[Part]:
    again = f"move the folder model away; tunewell resume {run.name} makes it again from the checkpoints"
    if not run.model.is_dir():
        if ended is not None and ended.status in ("completed", "stopped"):
            yield Part(what="model", state="missing", fix=f"tunewell resume {run.name} makes it again")
        return
    if not (run.model / sums.SUMS).exists():
        yield Part(what="model", state="unchecked", detail=f"it has no {sums.SUMS}")
        return
    damage = sums.check(run.model)
    for name, problem in damage.items():
        fix = _YOURS if name == "README.md" else again
        yield Part(what=f"model/{name}", state=_state(problem), detail=problem, fix=fix)
    if not damage:
        yield Part(what="model", state="whole", detail=f"{len(sums.read(run.model) or {}):,} files")


def _index(run: RunFolder, repair: bool) -> Iterator[Part]:
    name = run.summary.name
    if summary.stored(run) is not None:
        yield Part(what=name, state="whole")
    elif run.holder() is None and repair:
        was = "did not fit the log" if run.summary.exists() else "was not there"
        try:
            summary.store(run)
        except RunError as error:
            yield Part(what=name, state="unchecked", detail=error.problems[0].message)
        else:
            yield Part(what=name, state="whole", detail=f"{was}: made again")
    elif run.summary.exists():
        detail = "does not fit the log: listings read the log in its place"
        yield Part(what=name, state="unchecked", detail=detail)


def _leftovers(run: RunFolder) -> Iterator[Part]:
    if run.holder() is not None:
        return  # it may be writing them now
    for path in sorted(run.path.iterdir()):
        if path.name.startswith("log.damaged-"):
            yield Part(what=path.name, state="left over", detail="the log before a resume mended it")
        elif path.name.startswith("log.trimmed-"):
            yield Part(
                what=path.name, state="left over", detail="records later than the checkpoint of a resume"
            )
        elif path.name.startswith("."):
            yield Part(what=path.name, state="left over", detail="writing was cut short")
    for path in checkpoints.leftovers(run.checkpoints):
        aside = (
            "set aside by a resume" if not path.name.startswith(".") else "a save or deletion was cut short"
        )
        yield Part(what=f"checkpoints/{path.name}", state="left over", detail=aside)


def _state(problem: str) -> State:
    return "missing" if problem.startswith("is missing") else "damaged"
