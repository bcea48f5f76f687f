"""All benchmarks that need no data beside the project's: `make bench`. `side_by_side` needs IMDb (see its head)."""

from __future__ import annotations

import subprocess
import sys

for name in ("log_writer", "choices"):
    print(f"\n## {name}\n", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
