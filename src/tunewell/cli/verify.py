"""`tunewell verify`."""

from __future__ import annotations

from tunewell.cli._options import AsJson, RunName


def verify(run: RunName, /, *, as_json: AsJson = False) -> int:
    """Check every file of a run: what is whole, what is not, and whether the run can go on.

    Makes the index of the log again where it does not fit; changes nothing else. The exit code is 1 when
    something is damaged or missing.

    Example: tunewell verify runs/movie_reviews
    """
    import msgspec

    from tunewell.cli._codes import DONE, FAILED
    from tunewell.cli._terminal import aligned, next_command, say
    from tunewell.cli._where import ROOT
    from tunewell.runs import verify as whole
    from tunewell.runs.folder import find

    folder = find(run, ROOT)
    parts = whole.verify(folder, repair=True)
    outlook = whole.outlook(folder, parts)
    bad = [part for part in parts if part.state in ("damaged", "missing")]
    if as_json:
        print(msgspec.json.encode({"parts": parts, "outlook": outlook}).decode())
        return FAILED if bad else DONE
    for line in aligned([(part.what, part.state, part.detail) for part in parts]):
        print(line)
    for part in bad:
        if part.fix:
            say(f"{part.what}: {part.fix}")
    count = (
        f"{len(bad)} part{'s' * (len(bad) > 1)} of {folder.name} {'are' if len(bad) > 1 else 'is'} not whole."
    )
    say(f"{count if bad else f'All of {folder.name} is whole.'} {outlook.text}", style="" if bad else "green")
    next_command(outlook.next)
    return FAILED if bad else DONE
