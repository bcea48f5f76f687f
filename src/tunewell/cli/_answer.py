"""What `tunewell approve` and `tunewell decline` share."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

Number = Annotated[
    int | None, Parameter(help="Number of the proposal; absent: the only one that waits for an answer.")
]


def tell(run: str, number: int | None, *, approve: bool) -> None:
    """Send a person's answer to a proposal of `run` and say what comes of it."""
    from tunewell.cli._terminal import next_command, say
    from tunewell.cli._where import ROOT
    from tunewell.runs import inbox, log
    from tunewell.runs.folder import find
    from tunewell.runs.wording import intended

    folder = find(run, ROOT)
    records = list(log.read(folder.log))
    proposal = inbox.answer(folder, records, number, approve=approve, by=who())
    wish = " and to ".join(intended(action) for action in [proposal.action, *proposal.also])
    say(f"{'Approved' if approve else 'Declined'}: proposal {proposal.id} of {folder.name}, to {wish}.")
    if folder.holder() is None:
        say("It is not training now: it takes this up when it goes on.")
        next_command(f"tunewell resume {folder.name}")
    else:
        next_command(f"tunewell why {folder.name}")


def who() -> str:
    """Return the name of whoever sits here, for the record."""
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # an account without a name, as in many containers
        return "somebody"
