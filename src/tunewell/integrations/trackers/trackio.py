"""Trackio: the local database that `trackio show` reads, or the Space that ``TRACKIO_SPACE_ID`` names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import ClassVar

from tunewell.runs.forwarding import Item, Message, Opening, Point


class Trackio:
    """Logs to the project of ``TRACKIO_PROJECT``, or `tunewell`; findings are alerts."""

    library: ClassVar[str] = "trackio"

    def __init__(self, run: Opening) -> None:
        import trackio

        _be_quiet()
        name = run.remembered("trackio") or run.name
        self._run = trackio.init(
            os.environ.get("TRACKIO_PROJECT", "tunewell"),
            name=name,
            space_id=os.environ.get("TRACKIO_SPACE_ID"),
            config=run.settings,
            resume="allow" if run.remembered("trackio") else "never",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        run.remember("trackio", self._run.name)

    def take(self, items: Sequence[Item]) -> None:
        """Log `items`."""
        from trackio import AlertLevel

        levels = {"info": AlertLevel.INFO, "warning": AlertLevel.WARN, "critical": AlertLevel.ERROR}
        for one in items:
            if isinstance(one, Point):
                self._run.log(dict(one.values), step=one.step)
            elif isinstance(one, Message):
                self._run.alert(title=one.title, text=one.text, level=levels[one.level], step=one.step)

    def close(self, status: str) -> None:
        """Finish the run there."""
        self._run.finish()


def _be_quiet() -> None:
    """Keep Trackio from printing to stdout, where a program may be reading our records."""
    import trackio
    import trackio.run
    import trackio.utils

    for module in (trackio, trackio.run, trackio.utils):
        vars(module)["print"] = lambda *words, **options: None
