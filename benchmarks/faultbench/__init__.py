"""FaultBench: 32 known mistakes, planted one at a time in small real trainings, and how often they are named and mended.

    python -m benchmarks.faultbench             # everything, and the page docs/faultbench.md
    python -m benchmarks.faultbench --quick     # the slice that CI keeps an eye on
    python -m benchmarks.faultbench --bases mlp,gru --faults label_noise,no_zero_grad --seeds 2 --arms observe,autopilot

A run is a plain PyTorch loop (`loop`) over a `Training` (`training`), watched by `tunewell.watch` in three lines. To add

- a base: a file in `bases/` with a `BASE`: what it is, and a function from seed to `Training`;
- a fault: a function under `@fault` in a file of `faults/`, that changes a `Training` as a user's mistake would;
- a healthy variant: a function under `@healthy` in `healthy`;
- a baseline: a file in `baselines/` with a function `alarms` from records to alarms.

Nothing has to be registered. Thresholds may be tuned on bases that say ``scored=False``, on no others.
"""
