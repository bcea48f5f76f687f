"""Requests from the page to a run: checked by the rules that the run itself checks by, then put into its inbox."""

from __future__ import annotations

import getpass
from functools import cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tunewell.actions import Action
from tunewell.problems import Problem
from tunewell.records import Requested
from tunewell.runs import control, inbox, requests
from tunewell.runs.inbox import Label, Name, Reply
from tunewell.runs.requests import Asked
from tunewell.web.answers import AskError, answer, run_id
from tunewell.web.routes_of_many import hub_of
from tunewell.web.story import timeline_of
from tunewell.web.watched import WatchedRun

_MOST_WAITING = 1_000


class Wish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a page asks of a run: one of the wishes, under an id that the page made up."""

    id: Name
    action: Action | None = None
    answer: Reply | None = None
    undo: Name | None = None
    label: Label | None = None


_decoder = msgspec.json.Decoder(Wish)


async def ask(request: Request) -> Response:
    """Put a request into the inbox of a run; one that comes twice is put there once."""
    try:
        wish = _decoder.decode(await request.body())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        field = str(error).rpartition("`$.")[2].rstrip("`") if "`$." in str(error) else ""
        raise AskError(f"the request can't be understood: {error}", "reload the page", field=field) from error
    given = sum(one is not None for one in (wish.action, wish.answer, wish.undo, wish.label))
    if given != 1:
        raise AskError(
            f"a request holds one wish, and this holds {given or 'none'}", "ask for one thing at a time"
        )
    hub = hub_of(request)
    status, body = await hub.ask(run_id(request), lambda run: _asked(run, wish))
    hub.look(run_id(request))
    return answer(body, status)


def _asked(run: WatchedRun, wish: Wish) -> tuple[int, dict[str, Any]]:
    """Check `wish` and put it into the inbox; called with the lock of `run` held, so that two of one id don't race."""
    line = timeline_of(run.log)
    sent = inbox.read_all(run.folder)
    if any(one.id == wish.id for one in sent) or any(
        isinstance(one, Requested) and one.id == wish.id for one in run.log.records
    ):
        return 202, {"asked": _shown(run, line, wish.id)}
    facts = control.read_facts(run.folder, line)
    _refuse(wish, facts, run, line, sent)
    inbox.send(
        run.folder, _person(), answer=wish.answer, action=wish.action, undo=wish.undo, label=wish.label, id=wish.id
    )  # fmt: skip
    run.refresh()
    return 202, {"asked": _shown(run, timeline_of(run.log), wish.id)}


def _refuse(
    wish: Wish, facts: control.Facts, run: WatchedRun, line: list[Any], sent: list[inbox.Request]
) -> None:
    """Raise `AskError` for a wish that can't be granted."""
    if wish.label is not None:
        problem = control.check_label(wish.label)
        if problem is not None:
            raise _problem(problem)
        return
    if facts.over:
        raise AskError(facts.over, f"tunewell branch {run.folder.name}", status=409)
    if wish.action is not None and (problem := control.check(wish.action, facts)) is not None:
        raise _problem(problem)
    known = requests.requests(line, sent)
    if sum(one.state == "requested" for one in known) >= _MOST_WAITING:
        raise AskError("too many requests wait already", "wait until the run has read them", status=429)
    if wish.undo is not None:
        earlier = next((one for one in known if one.id == wish.undo), None)
        if earlier is None or not earlier.can_undo:
            what = (
                "there is no such request" if earlier is None else f"this can't be taken back: {earlier.what}"
            )
            raise AskError(what, "the list of requests shows which can be", field="undo")
    if wish.answer is not None:
        waiting = [one.id for one in inbox.open_proposals(run.log.records, run.folder)]
        if wish.answer.proposal not in waiting:
            raise AskError(f"the run does not ask {wish.answer.proposal}, or it was answered", field="answer")


def _shown(run: WatchedRun, line: list[Any], wanted: str) -> dict[str, Any] | None:
    known = requests.requests(line, inbox.read_all(run.folder))
    found: Asked | None = next((one for one in known if one.id == wanted), None)
    return None if found is None else msgspec.to_builtins(found)


def _problem(problem: Problem) -> AskError:
    return AskError(problem.message, problem.fix, field=problem.field)


@cache
def _person() -> str:
    """Return who sits at this machine, as the log will say."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"


ROUTES = [Route("/api/runs/{run}/requests", ask, methods=["POST"])]
