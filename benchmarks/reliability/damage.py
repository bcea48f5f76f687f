"""Every file of a run damaged, one at a time: is it noticed, is it named, and does nothing wrong come of it?

Run: python -m benchmarks.reliability.damage [--flips N] [--seed S]. Bits flip at N random places of each file of a
finished and of a crashed run of a tiny model, and each file is cut to nothing, a quarter, a half and all but its last
byte. After each damage `tunewell verify` looks at the run. Then the crashed run is resumed to its end, and the
finished one predicts and is told about; that must come to what it comes to without damage, or be refused in words.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reliability.machine import facts_of_the_machine
from benchmarks.reliability.outcome import outcome
from benchmarks.reliability.tiny import make_tiny_bert, tiny_recipe
from tunewell.problems import InputError
from tunewell.records import Step
from tunewell.runs import checkpoints, log, story
from tunewell.runs.folder import RunFolder
from tunewell.runs.row_history import read_row_history
from tunewell.runs.summary import summarize
from tunewell.runs.verify import verify

FLIPS = 20
CRASH_AT = 12
TEXTS = ["a lovely film", "the plot is dull and tired", "music with superb actors"]


@dataclass(frozen=True)
class Damage:
    """One file, one thing wrong with it."""

    file: str
    """Its path in the run's folder."""
    what: str
    content: bytes
    """What is in the file instead."""
    place: int
    """Byte that differs, or the length that is left."""


@dataclass(frozen=True)
class Found:
    """What came of one damage."""

    damage: Damage
    named: bool
    """`verify` named that file."""
    noticed: bool
    """`verify` named any file."""
    came_to: str
    """``equal``, ``refused``, or what went wrong."""
    harmless: str = ""
    """Why nobody need notice, where nobody did."""

    @property
    def kind(self) -> str:
        """The file's name without the number of its checkpoint or epoch."""
        return re.sub(r"\d{4,}(-step-\d+)?", "*", self.damage.file)

    @property
    def missed(self) -> bool:
        """Whether it did harm that nobody was told of, or could have."""
        return self.came_to not in ("equal", "refused") or not (self.noticed or self.harmless)


@dataclass(frozen=True)
class Runs:
    """A finished run, and one that crashed on its way there."""

    finished: Path
    crashed: Path


def make_runs(base: Path) -> Runs:
    """Train the tiny model twice in `base`, once to the end and once up to a crash."""
    from tunewell.training import driver

    model = make_tiny_bert(base / "model")
    runs = Runs(base / "finished", base / "crashed")
    changes = {"num_epochs": 2, "save_steps": 3, "ema_decay": 0.9, "dropout": 0.1}
    for folder in (runs.finished, runs.crashed):
        records = driver.train(tiny_recipe(base, model, output_dir=str(folder), **changes))
        for record in records:
            if folder == runs.crashed and isinstance(record, Step) and record.step == CRASH_AT:
                break
        records.close()  # type: ignore[attr-defined]
    return runs


def damages(run: Path, flips: int, seed: int) -> Iterator[Damage]:
    """Yield `flips` flipped bits and four truncations of every file of the run in folder `run`."""
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        file, content = path.relative_to(run).as_posix(), path.read_bytes()
        rng = random.Random(f"{seed} {file}")
        for _ in range(flips if content else 0):
            place, bit = rng.randrange(len(content)), rng.randrange(8)
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            yield Damage(file, f"bit {bit} of byte {place}", bytes(flipped), place)
        for size in sorted(
            {0, len(content) // 4, len(content) // 2, max(0, len(content) - 1)} - {len(content)}
        ):
            yield Damage(file, f"cut to {size} bytes", content[:size], size)


def try_damage(whole: Path, damage: Damage, scratch: Path, goes_on: Callable[[Path], str]) -> Found:
    """Damage a copy of the run in folder `whole` and tell what came of it; `goes_on` uses it and says how it went."""
    run = scratch / whole.name
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(whole, run)
    (run / damage.file).write_bytes(damage.content)
    named = {
        part.what for part in verify(RunFolder(run)) if part.state in ("damaged", "missing", "unchecked")
    }
    harmless = "" if damage.file in named else why_harmless(whole, damage)
    try:
        came_to = goes_on(run)
    except InputError:
        came_to = "refused"
    except Exception as error:  # the very thing that must not happen, whatever it is
        came_to = f"{type(error).__name__}: {error}"
    return Found(damage, damage.file in named, bool(named), came_to, harmless)


def why_harmless(run: Path, damage: Damage) -> str:
    """Return why a damage that nothing names does no harm; nothing where it may."""
    whole = (run / damage.file).read_bytes()
    match damage.file.split("/"):
        case [*_, "manifest.json"] if b"".join(damage.content.split()) == b"".join(whole.split()):
            return "white space"
        case ["report.html"]:
            return "a view: `tunewell report` makes it again"
        case ["lock"]:
            return "tells only who held the run"
        case ["log.jsonl"]:
            lengths = [commit.facts["log_length"] for commit in checkpoints.commits(run / "checkpoints")]
            if damage.place >= max(lengths, default=0):
                return "later than the newest checkpoint: measured again by a resume"
    return ""


def resumed(twin: Path) -> Callable[[Path], str]:
    """Return a function that resumes a run to its end and compares weights with the undisturbed `twin`."""
    from tunewell.training import driver

    expected = weights_of(twin)

    def go_on(run: Path) -> str:
        for _ in driver.resume(run):
            pass
        tell(run)
        unlike = [name for name, digest in weights_of(run).items() if expected.get(name) != digest]
        return f"another {', '.join(unlike)}" if unlike else "equal"

    return go_on


def weights_of(run: Path) -> dict[str, str]:
    """Return the digests of the result and of the last checkpoint's tensors."""
    return {name: digest for name, digest in outcome(run).digests.items() if not name.startswith("rows")}


def used(whole: Path) -> Callable[[Path], str]:
    """Return a function that predicts with a finished run and compares with the undamaged one in folder `whole`."""
    import tunewell

    expected = tunewell.load(whole).predict(TEXTS)

    def go_on(run: Path) -> str:
        tell(run)
        return "equal" if tunewell.load(run).predict(TEXTS) == expected else "other predictions"

    return go_on


def tell(run: Path) -> None:
    """Do what `tunewell runs` and `tunewell why` do, and read the rows' losses."""
    folder = RunFolder(run)
    summarize(run)
    try:
        story.why(list(log.read(folder.log)))
        read_row_history(folder.rows)
    except InputError:  # in words: the model is of use without them
        return


def measure(base: Path, flips: int, seed: int, *, every: int = 1) -> dict[str, list[Found]]:
    """Return what came of every damage, or of one in `every`, to the crashed and the finished run made in `base`."""
    runs = make_runs(base)
    scratch = base / "damaged"
    scratch.mkdir()
    ways = {
        "crashed": (runs.crashed, resumed(runs.finished)),
        "finished": (runs.finished, used(runs.finished)),
    }
    return {
        name: [
            try_damage(run, damage, scratch, goes_on)
            for number, damage in enumerate(damages(run, flips, seed))
            if number % every == 0
        ]
        for name, (run, goes_on) in ways.items()
    }


def table(found: list[Found]) -> str:
    """Return the table of one run: how many damages of each kind of file were named, worked around, missed."""
    columns: list[tuple[str, Callable[[Found], bool]]] = [
        ("damages", lambda each: True),
        ("noticed", lambda each: each.noticed),
        ("named", lambda each: each.named),
        ("harmless", lambda each: bool(each.harmless)),
        ("equal after it", lambda each: each.came_to == "equal"),
        ("refused in words", lambda each: each.came_to == "refused"),
        ("missed", lambda each: each.missed),
    ]
    counts = [Counter(each.kind for each in found if counted(each)) for _, counted in columns]
    lines = ["| file | " + " | ".join(name for name, _ in columns) + " |"]
    lines.append("| --- |" + " ---: |" * len(columns))
    lines += [
        f"| `{kind}` | " + " | ".join(str(c[kind]) for c in counts) + " |" for kind in sorted(counts[0])
    ]
    lines.append("| all | " + " | ".join(str(count.total()) for count in counts) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--flips", type=int, default=FLIPS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=1, help="only one damage in so many")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), asked.flips, asked.seed, every=asked.every)
    print(facts_of_the_machine())
    for name, each in found.items():
        print(f"\n{name.capitalize()} run, {asked.flips} flips a file, seed {asked.seed}:\n\n{table(each)}")
        reasons = Counter(one.harmless for one in each if one.harmless)
        for reason, count in reasons.items():
            print(f"\nharmless, {count}: {reason}")
        for one in each:
            if one.missed:
                print(f"\nmissed: {one.damage.file}, {one.damage.what}: {one.came_to}")


if __name__ == "__main__":
    main()
