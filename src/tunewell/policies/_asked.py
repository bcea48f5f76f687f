"""What the recipe itself asks for, under every policy: early stopping and the plateau schedule."""

from __future__ import annotations

from tunewell.actions import ScaleLearningRate, Stop
from tunewell.policies._protocol import Facts, Proposal
from tunewell.records import Finding

PLATEAU_FACTOR = 0.2
"""Between the 0.1 of long trainings from scratch, which would all but end a short fine-tuning, and 0.5."""


def asked(findings: list[Finding], facts: Facts) -> list[Proposal]:
    """Return the actions that follow from `findings` by the recipe's own keys."""
    for finding in findings:
        if finding.code == "overtraining" and facts.early_stopping:
            return [
                Proposal(Stop(success=True), f"early stopping: {finding.summary}", finding.code, "recipe")
            ]
    return [
        Proposal(ScaleLearningRate(PLATEAU_FACTOR), f"plateau: {finding.summary}", finding.code, "recipe")
        for finding in findings
        if finding.code == "plateau" and facts.lr_scheduler == "plateau"
    ]
