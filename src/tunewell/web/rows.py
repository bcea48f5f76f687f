"""Rows of runs, asked of a process of their own that ends when nobody asks for a while."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import Any

import msgspec

from tunewell.web.answers import AskError
from tunewell.web.rows_process import Question

_IDLE = 60.0
_LONGEST_ANSWER = 64 << 20
_WITHIN = 120.0


class Rows:
    """Asks one question at a time; the process begins with the first and is ended after a minute of silence."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def ask(self, question: Question) -> dict[str, Any]:
        """Return the answer; raises `AskError` where there is none."""
        async with self._lock:
            if self._closed:
                raise AskError("the server ends", status=503)
            if self._timer is not None:
                self._timer.cancel()
            try:
                line = await asyncio.wait_for(self._asked(question), _WITHIN)
            except (TimeoutError, OSError, ValueError) as error:
                self.end()
                raise AskError(
                    "the rows could not be read", f"try again ({type(error).__name__})", status=503
                ) from error
            self._timer = asyncio.get_running_loop().call_later(_IDLE, self.end)
        if not line:
            self.end()
            raise AskError("the process that reads rows ended", "try again; memory may be short", status=503)
        told: dict[str, Any] = msgspec.json.decode(line)
        if "error" in told:
            raise AskError("the rows can't be read", str(told["error"])[:1_000], status=422)
        return told

    async def _asked(self, question: Question) -> bytes:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tunewell.web.rows_process",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LONGEST_ANSWER,
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(question) + b"\n")
        await self._process.stdin.drain()
        return await self._process.stdout.readline()

    def end(self) -> None:
        """End the process at once, if it runs."""
        process, self._process = self._process, None
        if self._timer is not None:
            self._timer.cancel()
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    async def close(self) -> None:
        """End the process and see it gone."""
        self._closed = True
        process = self._process
        self.end()
        if process is not None:
            await process.communicate()
