"""What a recipe's `on:` says of each kind of fault: over what the policy would do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from tunewell.plugins import names
from tunewell.policies._ladders import LADDERS, REMEDIES
from tunewell.problems import Problem, RecipeError, nearest

Mode = Literal["ignore", "observe", "ask", "do"]

_WORDS = ("ignore", "observe", "ask")
_SHORT = {"exclude": "exclude_rows", "lower": "lower_rate", "raise": "raise_rate"}
"""What people write for a remedy's longer name."""


class Answer(NamedTuple):
    """What to do about one kind of fault."""

    mode: Mode
    remedy: str = ""
    """Name of the one remedy to take or to ask for; empty: the policy's."""


def answers(on: Mapping[str, str], *, strict: bool = True) -> dict[str, Answer]:
    """Return the answers of `on` by code; raises one `RecipeError` that names every unknown fault and remedy.

    Not `strict`: monitors of a user's own may tell of kinds that are not known here.
    """
    known = sorted({*names("monitors"), *LADDERS})
    problems: list[Problem] = []
    found: dict[str, Answer] = {}
    for code, text in on.items():
        if strict and code not in known:
            problems.append(_unknown(f"there is no kind of fault `{code}`", f"on.{code}", code, known))
            continue
        answer = _answer(text)
        if answer is None:
            asked = text.removeprefix("ask ").strip()
            message = f"there is no remedy `{asked}`"
            problems.append(_unknown(message, f"on.{code}", asked, [*_WORDS, *REMEDIES]))
        else:
            found[code] = answer
    if problems:
        raise RecipeError(problems)
    return found


def _answer(text: str) -> Answer | None:
    first, _, rest = text.strip().partition(" ")
    asks = first == "ask"
    if not rest and first in _WORDS:
        return Answer("ask" if asks else "ignore" if first == "ignore" else "observe")
    remedy = rest.strip() if asks else text.strip()
    remedy = _SHORT.get(remedy, remedy)
    return Answer("ask" if asks else "do", remedy) if remedy in REMEDIES else None


def _unknown(message: str, field: str, word: str, known: list[str]) -> Problem:
    guess = nearest(word, known)
    fix = f"did you mean `{guess}`?" if guess else f"known: {', '.join(known)}"
    return Problem("recipe", message, field=field, fix=fix)
