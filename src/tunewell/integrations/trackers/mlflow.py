"""MLflow: a run in the experiment of ``MLFLOW_EXPERIMENT_NAME``, or `tunewell`, on the server or store that MLflow is set to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, ClassVar

from tunewell.runs.forwarding import Item, Message, Opening, Point

_METRICS = 1_000
_PARAMETERS = 100
"""What MLflow takes in one call."""
_LONGEST = 500
_STATES = {"completed": "FINISHED", "stopped": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


class Mlflow:
    """Logs metrics, the recipe as parameters, findings and actions as the artifact ``events.md``."""

    library: ClassVar[str] = "mlflow"

    def __init__(self, run: Opening) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = MlflowClient()
        self._events: list[str] = []
        self._id = run.remembered("mlflow")
        if self._id:
            self._client.update_run(self._id, status="RUNNING")
            return
        self._id = self._client.create_run(self._experiment(), run_name=run.name).info.run_id
        run.remember("mlflow", self._id)
        parameters = [Param(key, str(value)[:_LONGEST]) for key, value in run.settings.items()]
        for first in range(0, len(parameters), _PARAMETERS):
            self._client.log_batch(self._id, params=parameters[first : first + _PARAMETERS])

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "tunewell")
        found: Any = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found is not None else self._client.create_experiment(name))

    def take(self, items: Sequence[Item]) -> None:
        """Log `items`."""
        from mlflow.entities import Metric

        metrics = [
            Metric(_allowed(name), value, round(one.time * 1000), one.step)
            for one in items
            if isinstance(one, Point)
            for name, value in one.values.items()
        ]
        for first in range(0, len(metrics), _METRICS):
            self._client.log_batch(self._id, metrics=metrics[first : first + _METRICS])
        told = [f"- **{one.title}** ({one.level}): {one.text}" for one in items if isinstance(one, Message)]
        if told:
            self._events += told
            self._client.log_text(self._id, "\n".join(self._events) + "\n", "events.md")

    def close(self, status: str) -> None:
        """End the run there."""
        self._client.set_terminated(self._id, _STATES.get(status, "KILLED"))


def _allowed(name: str) -> str:
    """Return `name` with the signs that MLflow takes: classes may be named otherwise."""
    return "".join(char if char.isalnum() or char in "_-. /" else "_" for char in name)
