"""How fast the log takes records: records a second, and what one call costs the training thread.

Run: python benchmarks/log_writer.py [--records N]. The aims: at least 200,000 records a second, and at most
10 µs a call on average and at the 99th percentile.
"""

import argparse
import math
import tempfile
import time
from pathlib import Path

from tunewell.records import Step
from tunewell.runs.log import LogWriter, read

LAYERS = {f"encoder.layer.{index}": 0.01 * index for index in range(6)}


def records(count: int) -> list[Step]:
    """Return steps as a run logs them: every 20th with its layers."""
    return [
        Step(
            time=1.7e9 + number,
            step=number,
            cursor=number,
            epoch=number / 300,
            stage=0,
            loss=0.5 + 0.1 * math.sin(number),
            learning_rate=1e-4 * (1 - number / count),
            gradient_norm=1.2345678,
            max_grad_norm=1.0,
            rows=32,
            tokens=4000,
            seconds=0.31,
            data_seconds=0.01,
            layer_gradients=LAYERS if number % 20 == 0 else None,
            layer_updates=LAYERS if number % 20 == 0 else None,
        )
        for number in range(1, count + 1)
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=300_000)
    steps = records(parser.parse_args().records)
    with tempfile.TemporaryDirectory() as folder:
        whole = LogWriter(Path(folder) / "whole.jsonl")
        began, began_cpu = time.perf_counter(), time.process_time()
        for step in steps:
            whole.append(step)
        whole.sync()
        seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
        size, _ = whole.position()
        whole.close()

        single = LogWriter(Path(folder) / "single.jsonl")
        calls = []
        for step in steps:
            began_call = time.perf_counter_ns()
            single.append(step)
            calls.append(time.perf_counter_ns() - began_call)
        single.close()
        calls.sort()

        began = time.perf_counter()
        count = sum(1 for _ in read(Path(folder) / "whole.jsonl"))
        reading = time.perf_counter() - began
    p50, p99 = (calls[int(len(calls) * share)] / 1000 for share in (0.5, 0.99))
    mean = sum(calls) / len(calls) / 1000
    print(f"written and synced: {len(steps) / seconds:,.0f} records/s ({size / seconds / 1e6:.0f} MB/s)")
    print(f"by processor time, whatever else the machine does: {len(steps) / cpu:,.0f} records/s")
    print(
        f"one append: mean {mean:.2f} µs, median {p50:.2f} µs, p99 {p99:.2f} µs, longest {calls[-1] / 1000:.0f} µs"
    )
    print(f"read: {count / reading:,.0f} records/s")


if __name__ == "__main__":
    main()
