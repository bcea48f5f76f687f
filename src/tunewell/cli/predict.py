"""`tunewell predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from tunewell.cli._options import AsJson

if TYPE_CHECKING:
    from tunewell.cli._texts import Texts
    from tunewell.tasks._protocol import Prediction

_WIDTH = 100


def predict(
    run: Annotated[str, Parameter(help="Name or folder of a run, or the folder of a model.")],
    texts: Annotated[
        list[str] | None, Parameter(help="Texts to judge; read from stdin, one a line, when absent.")
    ] = None,
    /,
    *,
    file: Annotated[Path | None, Parameter(help="File of texts: any data format, or plain lines.")] = None,
    text: Annotated[str | None, Parameter(help="Column of the text in the file.")] = None,
    text_pair: Annotated[str | None, Parameter(help="Column of the second text in the file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a fine-tuned model makes of texts.

    Example: tunewell predict runs/movie_reviews "A film to remember."
    """
    import os

    from tunewell import load
    from tunewell.cli._texts import from_file, from_stdin
    from tunewell.cli._where import ROOT
    from tunewell.runs.folder import find

    folder = Path(run) if os.path.exists(run) else find(run, ROOT).path
    asked = from_file(file, folder, text, text_pair) if file is not None else texts or from_stdin()
    found = load(run).predict(asked)
    lines = _json_lines(asked, found) if as_json else _lines(asked, found)
    for line in lines:
        print(line)


def _json_lines(texts: Texts, predictions: list[Prediction]) -> list[str]:
    import msgspec

    lines = []
    for text, prediction in zip(texts, predictions, strict=True):
        given = {"text": text} if isinstance(text, str) else {"text": text[0], "text_pair": text[1]}
        said = {
            "label": prediction.label,
            "score": prediction.score,
            "probabilities": prediction.probabilities,
        }
        lines.append(msgspec.json.encode(given | said).decode())
    return lines


def _lines(texts: Texts, predictions: list[Prediction]) -> list[str]:
    from tunewell.cli._terminal import aligned

    rows = []
    for text, prediction in zip(texts, predictions, strict=True):
        shown = " ".join((text if isinstance(text, str) else " | ".join(text)).split())
        label = prediction.label
        words = ", ".join(label) or "none" if isinstance(label, list) else label
        score = f"{prediction.score:.3f}"
        shown = shown if len(shown) <= _WIDTH else shown[: _WIDTH - 1] + "…"
        rows.append((score, shown) if words is None else (words, score, shown))
    return aligned(rows)
