"""`tunewell ctl`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from tunewell.cli._codes import DONE, FAILED
from tunewell.cli._options import AsJson, RunName

if TYPE_CHECKING:
    from tunewell.records import Record
    from tunewell.runs.folder import RunFolder
    from tunewell.runs.inbox import Request
    from tunewell.runs.requests import Asked
    from tunewell.runs.tail import Tail

Wish = Annotated[
    Literal[
        "pause", "resume", "save", "evaluate", "stop", "lr", "clip", "rollback", "exclude", "include", "undo", "note",
        "tag",
    ],
    Parameter(
        help="What is wanted: pause, resume, save, evaluate, stop; lr 1e-5; clip 1.0; rollback 500 (a step, a"
        " checkpoint's name, best or last); exclude 12 15; include 12; undo [ID]; note TEXT; tag A B."
    ),
]  # fmt: skip
Values = Annotated[str, Parameter(help="Values of it.")]
NoWait = Annotated[bool, Parameter(help="Ask, and don't wait for the answer.")]
Timeout = Annotated[float, Parameter(help="Seconds to wait for the answer.")]


def ctl(
    run: RunName,
    wish: Wish,
    /,
    *values: Values,
    no_wait: NoWait = False,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
) -> int:
    """Ask something of a run while it trains, and show what it answers.

    Example: tunewell ctl movie_reviews lr 1e-5

    The run takes it up before its next update. Exit code 1: it was refused, or not answered in time.
    """
    from tunewell.cli._where import ROOT
    from tunewell.runs.folder import find
    from tunewell.runs.tail import Tail

    folder = find(run, ROOT)
    tail = Tail(folder.log)
    records = tail.read()
    if wish in ("note", "tag"):
        return _call(folder, wish, list(values), as_json=as_json)
    request = _send(folder, records, wish, list(values))
    return _answered(folder, records, tail, request, 0.0 if no_wait else timeout, as_json=as_json)


def _send(folder: RunFolder, records: list[Record], wish: str, values: list[str]) -> Request:
    """Check what is asked against what can be seen from here, and ask it; the run has the last word."""
    from tunewell.cli._answer import who
    from tunewell.cli._wishes import action_of, undone
    from tunewell.problems import RunError
    from tunewell.runs import control, inbox
    from tunewell.runs.requests import requests

    _refuse_idle(folder, records)
    facts = control.read_facts(folder, records)
    if wish == "undo":
        earlier = undone(values, requests(records, inbox.read_all(folder)))
        return inbox.send(folder, who(), undo=earlier.id)
    action = action_of(wish, values, folder, facts)
    problem = control.check(action, facts)
    if problem is not None:
        raise RunError(problem)
    return inbox.send(folder, who(), action=action)


def _answered(
    folder: RunFolder, records: list[Record], tail: Tail, request: Request, seconds: float, *, as_json: bool
) -> int:
    """Wait for the answer and show it; return the exit code."""
    import msgspec

    from tunewell.cli._terminal import next_command, say
    from tunewell.records import spell_non_finite
    from tunewell.runs.tail import await_answer

    asked = await_answer(
        folder, request, tail, records, seconds, lambda one: None if as_json else say(_line(one))
    )
    if as_json:
        print(msgspec.json.encode(spell_non_finite(msgspec.to_builtins(asked))).decode())
        return DONE if asked.state == "applied" or not seconds else FAILED
    if asked.state in ("applied", "refused"):
        if asked.can_undo:
            next_command(f"tunewell ctl {folder.name} undo")
        return DONE if asked.state == "applied" else FAILED
    if not seconds:
        next_command(f"tunewell why {folder.name}")
        return DONE
    if folder.holder() is None:
        say("It trains no more: it takes this up when it goes on.")
        next_command(f"tunewell resume {folder.name}")
    else:
        say(f"Not answered in {seconds:g} s; it stands in the inbox, and is taken up before the next update.")
        next_command(f"tunewell why {folder.name}")
    return FAILED


def _line(asked: Asked) -> str:
    at = "" if asked.step is None else f" at step {asked.step:,}"
    match asked.state:
        case "requested":
            return f"requested: to {asked.what} ({asked.id[:8]})"
        case "accepted":
            return f"accepted{at}"
        case "applied":
            return f"applied{at}" + (f": {asked.detail}" if asked.detail else "")
        case "refused":
            return f"refused{at}: {asked.why}"


def _call(folder: RunFolder, wish: str, values: list[str], *, as_json: bool) -> int:
    """Give a run its tags or its note, whether it trains or not."""
    import msgspec

    from tunewell.cli._answer import who
    from tunewell.cli._terminal import next_command, say
    from tunewell.cli._wishes import label_of
    from tunewell.problems import RunError
    from tunewell.runs import control, inbox

    label = label_of(wish, values)
    problem = control.check_label(label)
    if problem is not None:
        raise RunError(problem)
    inbox.send(folder, who(), label=label)
    now = inbox.label(inbox.read_all(folder))
    if as_json:
        print(msgspec.json.encode(msgspec.to_builtins(now)).decode())
        return DONE
    say(f"{folder.name}: tags {', '.join(now.tags or []) or 'none'}; note: {now.note or 'none'}")
    next_command("tunewell runs")
    return DONE


def _refuse_idle(folder: RunFolder, records: list[Record]) -> None:
    """Raise `RunError` where nobody trains the run, with what can be done instead."""
    from tunewell.problems import Problem, RunError
    from tunewell.runs.control import is_watched, last_end

    if folder.holder() is not None:
        return
    ended = last_end(records)
    status = "ended without a word" if ended is None else f"is {ended.status}"
    fix = f"go on with it first: tunewell resume {folder.name}"
    if is_watched(records):
        fix = "it is of another program's loop; start that again"
    elif ended is not None and ended.status in ("completed", "stopped"):
        fix = f"train on from one of its checkpoints: tunewell branch {folder.name}@last --set num_epochs=…"
    raise RunError(
        Problem("run", f"nobody trains `{folder.name}` now: it {status}", str(folder.path), fix=fix)
    )
