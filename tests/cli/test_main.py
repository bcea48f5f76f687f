"""The command line as a whole: start-up, help, exit codes, errors."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from tunewell import cli
from tunewell.problems import InputError, Problem

VERBS = sorted(m.name for m in pkgutil.iter_modules(cli.__path__) if not m.name.startswith("_"))


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_help_lists_every_verb_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from tunewell.cli import main; code = main(['--help']);"
        "heavy = {'torch', 'transformers', 'pydantic', 'pyarrow', 'numpy', 'yaml', 'msgspec'} & set(sys.modules);"
        "assert not heavy, heavy; sys.exit(code)"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert {"check", "evaluate", "init", "predict", "resume", "runs", "schema", "train", "why"} <= set(VERBS)
    assert all(f"│ {verb} " in done.stdout for verb in VERBS)


def test_the_module_can_be_run() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tunewell", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_each_verb_has_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([verb, "--help"]) == 0
    assert f"Example: tunewell {verb}" in capsys.readouterr().out


@pytest.mark.parametrize("tokens", [["trian"], ["train"], ["train", "a", "--sett", "x=1"], ["schema", "x"]])
def test_a_wrong_command_line_is_bad_input(tokens: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(tokens) == 2
    told = capsys.readouterr()
    assert told.err
    assert not told.out


def test_problems_are_told_with_their_number_and_the_next_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "train.yaml"
    recipe.write_text("data: {train: a}\nlearning_rte: 1e-4\nbatch_size: 0\n")
    assert cli.main(["train", str(recipe)]) == 2
    told = capsys.readouterr()
    assert told.err == (
        "error[recipe]: unknown key `learning_rte`\n"
        f"  --> {recipe}:2  learning_rte\n"
        "  did you mean `learning_rate`?  (default 0.0001)\n"
        "error[recipe]: `batch_size` can't be `0`\n"
        f"  --> {recipe}:3  batch_size\n"
        "  give a whole number greater than 0  (default 32)\n"
        f"2 problems in {recipe}. Nothing was started.\n"
        f"next: tunewell check {recipe}\n"
    )
    assert not told.out


def test_at_most_twenty_problems_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    from tunewell.cli._errors import tell_problems

    tell_problems(InputError(Problem("data", f"row {i} is bad", "a.csv", i) for i in range(30)), "init", {})
    told = capsys.readouterr().err
    assert told.count("error[data]") == 20
    assert "30 problems in a.csv, the first 20 of them above. Nothing was started." in told


def test_a_problem_that_names_only_a_key_gets_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tunewell.cli._errors import tell_problems

    recipe = tmp_path / "r.yaml"
    recipe.write_text("seed: 1\ndata:\n  train: a\n")
    tell_problems(InputError(Problem("data", "leaks", field="data.train")), "check", {"recipe": recipe})
    assert f"  --> {recipe}:3  data.train\n" in capsys.readouterr().err


def test_what_the_command_line_set_is_named_as_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text("data:\n  train: a.csv\n")
    for tokens, place in (
        (["r.yaml"], "r.yaml:2  data.train (a.csv)"),
        (["r.yaml", "--set", "data.train=b.csv"], "--set data.train=b.csv"),
        (["a" * 300 + ".csv"], "a" * 300 + ".csv"),
    ):
        assert cli.main(["check", *tokens]) == 2
        assert f"  --> {place}\n" in capsys.readouterr().err


def test_a_defect_is_told_in_words_and_its_traceback_goes_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("tunewell.document.recipe_schema", lambda: {}["lost"])
    assert cli.main(["schema"]) == 1
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert "did not expect (KeyError: 'lost')" in told
    (file,) = tmp_path.glob("crash-*.txt")
    assert str(file) in told
    assert "KeyError: 'lost'" in file.read_text()


def test_the_defect_of_a_run_is_written_into_its_folder(tmp_path: Path) -> None:
    from tunewell.cli._errors import tell_defect

    (tmp_path / "log.jsonl").touch()
    tell_defect(RuntimeError("boom"), {"run": str(tmp_path)})
    (file,) = tmp_path.glob("crash-*.txt")
    assert "RuntimeError: boom" in file.read_text()


def test_ctrl_c_has_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tunewell.document.recipe_schema", interrupted)
    assert cli.main(["schema"]) == 130


def test_a_reader_that_goes_away_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m tunewell schema | true", shell=True, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""


def test_colour_is_for_terminals_and_can_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from rich.console import Console

    from tunewell.cli import _terminal

    for refused in (False, True):
        if refused:
            monkeypatch.setenv("NO_COLOR", "1")
        screen = io.StringIO()
        console = Console(
            file=screen, force_terminal=True, highlight=False, soft_wrap=True, color_system="standard"
        )
        monkeypatch.setattr(_terminal, "messages", lambda console=console: console)
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
        _terminal.say("error[recipe]: x\n  --> a:1", style="problem")
        assert ("\x1b[36m" in screen.getvalue()) is not refused
        assert ("\x1b[1;31m" in screen.getvalue()) is not refused


@pytest.mark.parametrize(
    "tokens",
    [
        ["check", "LONG"], ["check", "LONG.csv"], ["check", "LONG.png"], ["train", "LONG.yaml"], ["init", "a.csv", "--out", "LONG"],
        ["init", "LONG.csv"], ["predict", "LONG", "a film"], ["evaluate", "LONG"], ["resume", "LONG"], ["why", "LONG"],
        ["verify", "LONG"], ["pin", "LONG"], ["check", "r.yaml", "--set", "model=LONG"],
        ["check", "r.yaml", "--set", "data.train=LONG"], ["check", "r.yaml", "--set", "output_dir=LONG"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_name_that_no_disk_takes_is_bad_input(
    tokens: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text("model: minilm\ndata:\n  train: a.csv\n")
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"film {i},{i % 2}\n" for i in range(8)))
    assert cli.main([token.replace("LONG", "a" * 300) for token in tokens]) == 2
    assert "did not expect" not in capsys.readouterr().err
