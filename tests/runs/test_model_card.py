import msgspec
import pytest

from tunewell.records import Ended, Started
from tunewell.runs.model_card import CardFacts, model_card
from tunewell.runs.story import why

STORY = why(
    [
        Started(
            run="movies",
            recipe_hash="",
            data_hash="",
            fingerprint={},
            total_steps=2,
            batches_per_epoch=1,
            num_rows={},
            trainable_parameters=1,
            total_parameters=1,
        ),
        Ended(step=2, status="completed", reason=""),
    ]
)
FACTS = CardFacts(
    name="movies",
    base_model="sentence-transformers/all-MiniLM-L6-v2",
    labels=["neg", "pos"],
    recipe_yaml="model: minilm\ndata:\n  train: a.csv\n",
    data_files=["/home/anna/secret/a.csv", "b.csv"],
    num_rows={"train": 9000, "test": 2000},
    class_counts={"neg": 4000, "pos": 5000},
    evaluated_on="test",
    scores_before={"loss": 0.69, "accuracy": 0.5},
    scores_after={"loss": 0.38, "accuracy": 0.86, "macro_f1": 0.85},
    class_scores={"neg": {"precision": 0.9}, "pos": {"precision": 0.8, "recall": 0.7}},
)


def change(**changes):
    return model_card(msgspec.structs.replace(FACTS, **changes), STORY)


def front_matter(card):
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(card.split("---\n")[1])


def test_front_matter_is_what_the_hub_reads():
    assert front_matter(change()) == {
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "base_model": "sentence-transformers/all-MiniLM-L6-v2",
        "tags": ["tunewell", "fine-tuned"],
        "metrics": ["accuracy", "macro_f1"],
    }


def test_scores_before_after_and_by_class():
    card = change()
    assert "On the 2,000 test rows." in card
    assert "| accuracy | 0.5000 | 0.8600 |" in card
    assert "| macro f1 |  | 0.8500 |" in card
    assert "| class | precision | recall |" in card
    assert "| neg | 0.9000 |  |" in card
    assert "| accuracy | 0.8600 |" in change(scores_before={})
    assert "The model was not evaluated." in change(scores_after={})
    why = "ValueError: no score for <b>"
    assert "could not be scored: ValueError: no score for &lt;b>" in change(scores_after={}, not_scored=why)


def test_recipe_data_and_story_are_told():
    card = change()
    assert "```yaml\nmodel: minilm\n" in card
    assert "Files: `a.csv`, `b.csv`." in card
    assert "| pos | 5,000 |" in card
    assert "movies completed at step 2; no fault was seen" in card
    assert "Labels: neg, pos." in change(class_counts={})


@pytest.mark.parametrize("name", ["/home/anna/models/bert", "./models/bert", "C:\\models\\bert", "a/b/bert/"])
def test_a_folder_as_base_model_tells_nothing_of_the_machine(name):
    card = change(base_model=name)
    assert "base_model" not in front_matter(card)
    assert "`bert` fine-tuned" in card
    assert "anna" not in card


def test_how_to_use_it():
    card = change(example='He said "$5" `now`')
    assert 'tunewell predict . "He said \\"\\$5\\" \\`now\\`"' in card
    assert "AutoModelForSequenceClassification.from_pretrained(folder)" in card
    assert "argmax" in card
    assert "sigmoid" in change(problem="multi_label")
    assert "tolist" in change(problem="regression")
    assert "AutoModelForSeq2SeqLM" in change(pipeline_tag="summarization")


@pytest.mark.parametrize("problem", ["single_label", "multi_label", "regression"])
def test_the_python_lines_are_python(problem):
    code = change(problem=problem, example='a "quoted" 语 text').split("```python\n")[1].split("```")[0]
    compile(code, "card", "exec")


def test_hostile_labels_and_recipes_stay_text():
    card = change(class_counts={"<img onerror=x>|a\nb": 1}, recipe_yaml="a: ```` evil\n# Title")
    assert "<img" not in card
    assert "| &lt;img onerror=x>\\|a b | 1 |" in card
    assert "`````yaml" in card
