"""`tunewell watch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def watch(
    run: Annotated[
        str | None, Parameter(help="Name or folder of a run, or its beginning; all runs otherwise.")
    ] = None,
    /,
    *,
    root: Annotated[Path, Parameter(help="Folder of the runs.")] = Path("runs"),
    host: Annotated[
        str, Parameter(help="Address to listen at; others than this machine's own need --token-file.")
    ] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port; the first free one from 7860 on otherwise.")] = 0,
    token_file: Annotated[
        Path | None, Parameter(help="File, closed to others, that holds the token; made where it is missing.")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        Parameter(help="NAME:PORT that a browser may call this server by, as behind a tunnel."),
    ] = None,
    open_page: Annotated[
        bool, Parameter(name="--open", negative="--no-open", help="Open the page in a browser.")
    ] = False,
    stop: Annotated[bool, Parameter(help="End the server that serves these runs.")] = False,
    tui: Annotated[
        bool, Parameter(help="Show one run in this terminal in place of a page: RUN, or the newest one.")
    ] = False,
) -> int:
    """Show runs in a page on this machine: curves, what went wrong and why, and buttons to act.

    Example: tunewell watch movie_reviews

    Prints a link that opens once. Where a server serves the same runs already, it gives a fresh link. Ctrl-C ends it.
    """
    if tui:
        from tunewell.cli._tui import chosen, watch_in_terminal

        return watch_in_terminal(chosen(run, root))
    from tunewell.cli._dashboard import begin

    return begin(
        run,
        root,
        host=host,
        port=port,
        token_file=token_file,
        also=allow_host or (),
        open_page=open_page,
        stop=stop,
    )
