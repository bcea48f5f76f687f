"""TensorBoard: event files in the run's folder, which `tensorboard --logdir runs` finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tunewell.runs.forwarding import Back, Item, Message, Opening, Point


class Tensorboard:
    """Writes event files to ``tensorboard/`` in the run's folder; what a rollback undid disappears from the curves."""

    library: ClassVar[str] = "tensorboard"

    def __init__(self, run: Opening) -> None:
        # The package's own writer, which needs neither torch nor TensorFlow.
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(str(run.folder / "tensorboard"))
        if run.settings:
            lines = "\n".join(f"    {key}: {value}" for key, value in run.settings.items())
            self._text("recipe", lines, 0, 0.0)

    def take(self, items: Sequence[Item]) -> None:
        """Write `items`."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary

        for one in items:
            match one:
                case Point():
                    values = [Summary.Value(tag=tag, simple_value=value) for tag, value in one.values.items()]
                    summary = Summary(value=values)
                    self._writer.add_event(Event(wall_time=one.time, step=one.step, summary=summary))
                case Message():
                    self._text("events", f"**{one.title}** ({one.level})  \n{one.text}", one.step, one.time)
                case Back():
                    # A start at a step that was reached before tells TensorBoard to forget what came after it.
                    begun = SessionLog(status=SessionLog.START)
                    self._writer.add_event(Event(wall_time=one.time, step=one.step + 1, session_log=begun))
        self._writer.flush()

    def close(self, status: str) -> None:
        """Write what is left."""
        self._writer.close()

    def _text(self, tag: str, text: str, step: int, time: float) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING
        from tensorboard.plugins.text.metadata import create_summary_metadata

        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()], tensor_shape=shape)
        metadata = create_summary_metadata(display_name=tag, description="")
        value = Summary.Value(tag=tag, metadata=metadata, tensor=tensor)
        self._writer.add_event(Event(wall_time=time, step=step, summary=Summary(value=[value])))
