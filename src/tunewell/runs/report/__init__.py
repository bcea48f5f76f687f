"""The report of a run: one self-contained page, made from the record alone, readable offline and on paper."""

from __future__ import annotations

from tunewell.runs.report._page import inline, render, write

__all__ = ["inline", "render", "write"]
