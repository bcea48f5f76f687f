"""Logs of other tools, one reader a file: `read` finds the right one, `diagnosed` judges what it returns."""

from __future__ import annotations

from tunewell.integrations.logs._find import read
from tunewell.integrations.logs._judgement import diagnosed
from tunewell.integrations.logs._log import ForeignLog, Row

__all__ = ["ForeignLog", "Row", "diagnosed", "read"]
