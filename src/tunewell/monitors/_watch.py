"""All monitors of a run together: states that travel with a checkpoint, and one story for one fault."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from tunewell.inspections import Inspected
from tunewell.monitors._incidents import Incident, Incidents
from tunewell.monitors._protocol import Monitor, Verdict
from tunewell.records import Effect, Finding, Record, Rewound, StageBegan, Started, Step


class Watch:
    """The monitors of a run and their states.

    A fault and its consequences make one incident: while it is open, a finding of it is passed on only if it is
    more severe than all before it, or names a cause of what was seen. A finding above info says in
    ``evidence["incident"]`` to which it belongs and in ``evidence["cause"]`` what is at the root of that as far as is
    known; its ``evidence["onset"]`` is the incident's. An incident is over soon after an `Effect` that helped, with the
    stage, or, unless it lasts (``evidence["lasting"]``), when nothing of it was seen for a while.

    States rewind with the run (`pack` and `unpack`); what `verdicts` and `incidents` tell does not, so that a fault which
    a rollback undid stays told.
    """

    def __init__(self, monitors: Mapping[str, Monitor]) -> None:
        self._monitors = dict(monitors)
        self._explains = {name: frozenset(getattr(one, "explains", ())) for name, one in monitors.items()}
        self._readers: dict[type, list[tuple[str, Monitor]]] = {}
        self._incidents = Incidents(self._explains)
        self._seen: dict[str, str] = {}
        self._started: Started | None = None
        self.seconds = 0.0
        """Time that the monitors have taken so far."""
        self._begin()

    def _begin(self) -> None:
        self._states = {name: monitor.init() for name, monitor in self._monitors.items()}
        self._incidents.clear()
        self._step = self._looked = self._pace = 0

    @property
    def incident(self) -> str | None:
        """Name of an open incident of the training itself, such as ``loss_spike@310``; None: nothing speaks against it.

        What lasts, as faults of data do, is not meant: it makes no commit worse than another.
        """
        return self._incidents.open

    def incidents(self) -> list[Incident]:
        """Return (id, cause, codes, severity, onset) of every incident so far, in order; infos are none."""
        return self._incidents.known

    def observe(self, record: Record) -> list[Finding]:
        """Return the findings that `record` gives rise to, after false-alarm discipline."""
        began = time.perf_counter()
        findings = self._observed(record)
        self.seconds += time.perf_counter() - began
        return findings

    def _observed(self, record: Record) -> list[Finding]:
        match record:
            case Finding():
                return []
            case Rewound():
                self._rewind(record)
                return []
            case Started():
                self._started = record
            case StageBegan():
                self._incidents.close()
            case Effect():
                self._incidents.settle(record)
            case Step():
                self._step = record.step
                self._incidents.age(self._pace)
                if record.layer_gradients:
                    self._look()
            case Inspected():
                self._look()
        told: list[Finding] = []
        for name, finding in self._update(record):
            self._seen[name] = finding.summary
            news = self._incidents.tell(finding)
            told += [] if news is None else [news]
        return told

    def _look(self) -> None:
        """Learn how many updates lie between two sampled looks at the layers or inside the model."""
        if self._step != self._looked:
            self._pace, self._looked = max(0, self._step - self._looked), self._step

    def verdicts(self) -> dict[str, Verdict]:
        """Return by monitor what can be said of its fault up to now."""
        return {
            name: Verdict("seen", self._seen[name])
            if name in self._seen
            else monitor.verdict(self._states[name])
            for name, monitor in self._monitors.items()
        }

    def pack(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "states": dict(self._states),
            "incidents": self._incidents.pack(),
            "step": [self._step, self._looked, self._pace],
            "seen": dict(self._seen),
            "started": None if self._started is None else msgspec.to_builtins(self._started),
        }

    def unpack(self, packed: Mapping[str, Any]) -> None:
        """Stand where `pack` stood. A monitor without a packed state begins anew; what was seen stays seen."""
        self._begin()
        self._states |= {name: state for name, state in packed["states"].items() if name in self._monitors}
        self._incidents.unpack(packed["incidents"])
        self._step, self._looked, self._pace = packed["step"]
        self._seen = {**packed["seen"], **self._seen}
        if packed["started"] is not None:
            self._started = msgspec.convert(packed["started"], Started)

    def _update(self, record: Record) -> list[tuple[str, Finding]]:
        found: list[tuple[str, Finding]] = []
        for name, monitor in self._reading(type(record)):
            self._states[name], findings = monitor.update(self._states[name], record)
            found += [(name, finding) for finding in findings]
        return found

    def _reading(self, kind: type) -> list[tuple[str, Monitor]]:
        """Return the monitors that look at records of `kind`."""
        if kind not in self._readers:
            self._readers[kind] = [
                (name, monitor)
                for name, monitor in self._monitors.items()
                if kind in (getattr(monitor, "reads", None) or (kind,))
            ]
        return self._readers[kind]

    def _rewind(self, record: Rewound) -> None:
        """Begin anew where nobody restored the states with the weights, as in another tool's log."""
        if self._step <= record.to_step:
            return
        self._begin()
        self._step = record.to_step
        if self._started is not None:
            self._update(self._started)
