"""Logs of other tools, one reader a file: `read` finds the right one, `diagnosed` judges it, `told` tells."""

from __future__ import annotations

from tunewell.integrations.logs._find import read
from tunewell.integrations.logs._judgement import diagnosed
from tunewell.integrations.logs._log import ForeignLog, Row
from tunewell.integrations.logs._telling import Diagnosis, as_text, told

__all__ = ["Diagnosis", "ForeignLog", "Row", "as_text", "diagnosed", "read", "told"]
