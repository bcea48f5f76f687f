"""The README.md of a result: a model card that says what the model is, how good, and how its training went."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import msgspec

from tunewell.recipe import Recipe
from tunewell.runs.story import Story, as_text

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_WAYS = {
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "summarization": "AutoModelForSeq2SeqLM",
    "text-generation": "AutoModelForCausalLM",
    "fill-mask": "AutoModelForMaskedLM",
}
_EXAMPLE = "A text to classify."


class CardFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a model card tells besides the story."""

    name: str
    base_model: str
    """Its name on the hub where it has one, which becomes a link; of a folder only the last part is told."""
    pipeline_tag: str = "text-classification"
    """The hub's word for the task."""
    problem: str = "single_label"
    labels: Sequence[str] = ()
    recipe_yaml: str
    data_files: Sequence[str] = ()
    """Names of the data files; only the last part of a path is told."""
    num_rows: Mapping[str, int] = {}
    """Rows of each split after cleaning."""
    class_counts: Mapping[str, int] = {}
    """Training rows of each class."""
    evaluated_on: str = "validation"
    """Split that the scores are of."""
    scores_before: Mapping[str, float] = {}
    scores_after: Mapping[str, float] = {}
    class_scores: Mapping[str, Mapping[str, float]] = {}
    """Scores of each class after training, by label name, such as ``{"pos": {"precision": 0.9}}``."""
    not_scored: str = ""
    """Why the model could not be scored after training, where it could not."""
    example: str = _EXAMPLE
    """A text for the lines that show how to use the model."""


def model_card(facts: CardFacts, story: Story) -> str:
    """Return the Markdown text of the card, with the front matter that the Hugging Face hub reads."""
    sections = [
        _front_matter(facts),
        f"# {_inline(facts.name)}",
        f"`{_base(facts.base_model)}` fine-tuned with Tunewell for {facts.pipeline_tag.replace('-', ' ')}.",
        _use(facts),
        _scores(facts),
        _data(facts),
        f"## What happened in training\n\n{_fenced(as_text(story).strip(), 'text')}",
        f"## Recipe\n\n{_fenced(facts.recipe_yaml.strip(), 'yaml')}",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(facts: CardFacts) -> str:
    lines = ["---", "library_name: transformers", f"pipeline_tag: {facts.pipeline_tag}"]
    if _HUB_NAME.fullmatch(facts.base_model):
        lines.append(f"base_model: {json.dumps(facts.base_model)}")
    lines += ["tags:", "- tunewell", "- fine-tuned"]
    if facts.scores_after:
        lines += ["metrics:", *(f"- {json.dumps(name)}" for name in facts.scores_after if name != "loss")]
    return "\n".join([*lines, "---"])


def _use(facts: CardFacts) -> str:
    shell, code = use_lines(".", facts.pipeline_tag, facts.problem, facts.example)
    python = code.replace('folder = "."', 'folder = "."  # where this file is')
    return f"## Use\n\nIn this folder:\n\n{_fenced(shell, 'sh')}\n\nOr with transformers alone:\n\n{_fenced(python, 'python')}"


def use_lines(
    model: str, pipeline_tag: str, problem: str = "single_label", example: str = _EXAMPLE
) -> tuple[str, str]:
    """Return the command and the Python lines that ask the model in the folder `model`."""
    way = _WAYS.get(pipeline_tag, "AutoModel")
    code = [
        f"from transformers import AutoTokenizer, {way}",
        "",
        f"folder = {json.dumps(model, ensure_ascii=False)}",
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        f"model = {way}.from_pretrained(folder)",
        f'inputs = tokenizer({json.dumps(example, ensure_ascii=False)}, return_tensors="pt", truncation=True)',
    ]
    if pipeline_tag == "text-classification":
        code += _reading_of_logits(problem)
    return f"tunewell predict {shlex.quote(model)} {_shell_quoted(example)}", "\n".join(code)


def without_folders(recipe: Recipe) -> Recipe:
    """Return `recipe` with the last parts of its paths: a card is published, a machine's folders are not."""

    def names(files: float | list[str] | None) -> float | list[str] | None:
        return (
            [PurePath(name).name if is_path(name) else name for name in files]
            if isinstance(files, list)
            else files
        )

    def is_path(name: str) -> bool:
        return PurePath(name).is_absolute()

    splits = {split: names(getattr(recipe.data, split)) for split in ("train", "validation", "test")}
    model = PurePath(recipe.model).name if is_path(recipe.model) else recipe.model
    changes = {"data": recipe.data.model_copy(update=splits), "model": model, "output_dir": None}
    return recipe.model_copy(update=changes)


def _reading_of_logits(problem: str) -> list[str]:
    if problem == "regression":
        return ["print(model(**inputs).logits[0].tolist())"]
    if problem == "multi_label":
        return [
            "probabilities = model(**inputs).logits[0].sigmoid()",
            "print([model.config.id2label[i] for i, p in enumerate(probabilities) if p > 0.5])",
        ]
    return ["print(model.config.id2label[model(**inputs).logits[0].argmax().item()])"]


def _scores(facts: CardFacts) -> str:
    if not facts.scores_after:
        if facts.not_scored:
            return f"## Scores\n\nThe model could not be scored: {_inline(facts.not_scored)}"
        return "## Scores\n\nThe model was not evaluated."
    both = bool(facts.scores_before)
    header = ["score", "before fine-tuning", "after"] if both else ["score", "after fine-tuning"]
    table = []
    for name, value in facts.scores_after.items():
        before = [_number(facts.scores_before.get(name))] if both else []
        table.append([name.replace("_", " "), *before, _number(value)])
    rows = facts.num_rows.get(facts.evaluated_on)
    where = f"On the {f'{rows:,} ' if rows else ''}{facts.evaluated_on} rows."
    parts = ["## Scores", where, _table(header, table)]
    if facts.class_scores:
        names = list(dict.fromkeys(name for scores in facts.class_scores.values() for name in scores))
        by_class = [
            [label, *(_number(scores.get(name)) for name in names)]
            for label, scores in facts.class_scores.items()
        ]
        parts.append(_table(["class", *(name.replace("_", " ") for name in names)], by_class))
    return "\n\n".join(parts)


def _data(facts: CardFacts) -> str:
    parts = ["## Data"]
    if facts.data_files:
        parts.append("Files: " + ", ".join(f"`{_base(name)}`" for name in facts.data_files) + ".")
    if facts.num_rows:
        parts.append(
            _table(["split", "rows"], [[split, f"{rows:,}"] for split, rows in facts.num_rows.items()])
        )
    if facts.class_counts:
        counts = [[label, f"{count:,}"] for label, count in facts.class_counts.items()]
        parts.append(_table(["class", "training rows"], counts))
    elif facts.labels:
        parts.append("Labels: " + ", ".join(map(_inline, facts.labels)) + ".")
    return "\n\n".join(parts) if len(parts) > 1 else ""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_inline(cell) for cell in line)} |" for line in lines)


def _number(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _base(name: str) -> str:
    """Return `name`, or its last part where it is a path: a card tells nothing of the machine it was made on."""
    parts = re.split(r"[/\\]", name.rstrip("/\\"))
    is_path = len(parts) > 2 or parts[0] in {"", ".", "..", "~"} or "\\" in name
    return (parts[-1] if is_path else name).replace("`", "'")


def _inline(text: str) -> str:
    """Return `text` so that Markdown and HTML show it as it is: labels are other people's words."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", text)


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _shell_quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\$`!])', r"\\\1", text) + '"'
