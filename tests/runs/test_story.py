import math

import msgspec
import pytest

from tunewell.actions import Rollback, Stop
from tunewell.records import Acted, Ended, Eval, Finding, Note, Rewound, Started, Step
from tunewell.runs.story import Story, as_text, why

STARTED = Started(
    run="movies",
    recipe_hash="",
    data_hash="",
    fingerprint={},
    total_steps=200,
    batches_per_epoch=100,
    num_rows={"train": 9000},
    trainable_parameters=1,
    total_parameters=1,
)
COMPLETED = Ended(step=200, status="completed", reason="all steps done")


def steps(first, last, loss=0.5):
    return [
        Step(
            step=number,
            cursor=number,
            epoch=0,
            stage=0,
            loss=loss + 0.02 * math.sin(number),
            learning_rate=1e-4,
            gradient_norm=1.0,
            rows=32,
            tokens=9,
            seconds=0.1,
        )
        for number in range(first, last + 1)
    ]


def evaluation(number, split, accuracy):
    return Eval(
        step=number, epoch=0, split=split, loss=0.5, metrics={"accuracy": accuracy}, rows=9, seconds=0.1
    )


def spike(**more):
    told = {
        "step": 100,
        "monitor": "loss_spike",
        "code": "loss_spike",
        "severity": "critical",
        "summary": "The loss rose from 0.5 to 9.",
        "meaning": "One batch pushed the weights far off.",
        "causes": ["a broken row"],
        "advice": ["look at the row"],
        "evidence": {
            "loss": 9.0,
            "usual_loss": 0.5,
            "nan": math.nan,
            "layers": {"head": 1.5},
            "steps": list(range(20)),
        },
        "rows": [1204],
    }
    return Finding(**(told | more))


ROLLED_BACK = [
    Acted(
        step=100,
        action=Rollback(before=100),
        by="cautious",
        reason="loss_spike",
        outcome="applied",
        detail="back at step 90",
        code="loss_spike",
    ),
    Rewound(step=100, to_step=90, commit=3, reason="rollback"),
]
SPIKED = msgspec.structs.replace(steps(100, 100)[0], loss=9.0, worst_rows=[(1204, 0.97 * 9.0 * 32)])
SICK = [STARTED, *steps(1, 99), SPIKED, spike(), *ROLLED_BACK, *steps(91, 200), COMPLETED]


def test_a_healthy_run():
    fine = Note(step=200, topic="verdict", text="leakage: checked and fine: no row stands twice")
    story = why(
        [STARTED, evaluation(0, "test", 0.5), *steps(1, 200), evaluation(200, "test", 0.86), fine, COMPLETED]
    )
    assert story.headline == (
        "movies completed at step 200 and is healthy: no fault was seen, and all 1 kind could be checked."
    )
    assert story.scores == "Test accuracy went from 0.5 (step 0) to 0.86 (step 200)."
    assert (story.status, story.step, story.total_steps, story.incidents) == ("completed", 200, 200, [])


def test_a_run_is_not_called_healthy_where_the_monitors_were_blind():
    blind = Note(
        step=200, topic="verdict", text="dead units: could not be checked, because nothing was sampled"
    )
    fine = Note(step=200, topic="verdict", text="leakage: checked and fine")
    story = why([STARTED, *steps(1, 200), blind, fine, blind, COMPLETED])
    assert "healthy" not in story.headline
    assert "not everything could be checked" in story.headline
    assert (story.unchecked, story.checked) == ([blind.text], [fine.text])
    text = as_text(story)
    assert "no fault was seen in the 1 kind that could be checked" in story.headline
    assert "What could not be checked\n  - dead units" in text
    assert "Checked and fine\n  - leakage\n" in text


def test_a_repaired_spike_reads_from_first_sign_to_recovery():
    story = why(SICK)
    assert story.headline == (
        "movies completed at step 200 with 1 incident: loss spike at step 100 (training recovered)."
    )
    text = as_text(story, rows=lambda row: f"“text of {row}” (positive)")
    for line in [
        "1. Loss spike at step 100 (critical)",
        "   What was seen  The loss rose from 0.5 to 9.",
        "   What it means  One batch pushed the weights far off.",
        "                  - usual loss: 0.5",
        "                  - layers: head 1.5",
        "                  - steps: 0, 1, 2, 3, 4, 5, 6, 7 and 12 more",
        "   Rows to blame  row 1,204 made 97% of step 100's loss: “text of 1204” (positive)",
        "   Likely causes  a broken row",
        "   What was done  step 100: cautious rolled back to the last healthy checkpoint before step 100:",
        "   Afterwards     Training recovered: the loss was 0.4986 before",
        "   Advice         look at the row",
    ]:
        assert line in text
    assert max(map(len, text.splitlines())) <= 100
    assert "Rows to blame  row 1,204 made 97% of step 100's loss\n" in as_text(story)


def test_an_unanswered_fault_says_that_nothing_was_done():
    story = why([STARTED, *steps(1, 99), spike(), COMPLETED])
    assert "loss spike at step 100 (nothing was done about it)" in story.headline
    assert "What was done  nothing\n" in as_text(story)


def test_many_incidents_stay_one_sentence():
    kinds = ["stall", "plateau", "underfitting", "overfitting", "leakage"]
    story = why([STARTED, *steps(1, 50), *(spike(code=kind) for kind in kinds), COMPLETED])
    assert story.headline.count(".") == 1
    assert "with 5 incidents: stall at step 100" in story.headline
    assert story.headline.endswith("and 2 more.")


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([], "this run: nothing was trained yet."),
        ([STARTED], "movies: nothing was trained yet."),
        (
            [STARTED, Ended(step=0, status="failed", reason="no room")],
            "nothing was trained; it failed: no room.",
        ),
        ([STARTED, *steps(1, 9)], "movies has not ended (last step 9); no fault was seen so far."),
        (
            [*SICK[:-1], Ended(step=3, status="failed", reason="x.")],
            "movies failed at step 3 (x) with 1 incident:",
        ),
        (
            [STARTED, *steps(1, 9), Ended(step=9, status="stopped", reason="")],
            "was stopped at step 9; no fault was seen, but what could be checked is not known.",
        ),
    ],
)
def test_headlines(records, words):
    story = why(records)
    assert words in story.headline
    assert as_text(story).endswith("\n")


def test_interruptions_remarks_and_other_deeds():
    exact = Rewound(step=0, to_step=40, commit=2, reason="resume")
    other = Rewound(
        step=0, to_step=60, commit=3, reason="resume", exact=False, detail="torch was 2.10 and is 2.11 now"
    )
    refused = msgspec.structs.replace(steps(70, 70)[0], skipped=True)
    info = spike(severity="info", step=71, summary="Guessed the text column.")
    damage = Note(step=71, topic="damage", text="line 9 of log.jsonl can't be read")
    stop = Acted(step=72, action=Stop(), by="recipe", reason="no better evaluation in 2", outcome="applied")
    story = why([STARTED, *steps(1, 50), exact, *steps(41, 69), other, refused, info, damage, stop])
    assert story.interruptions == [
        "Resumed from step 40 (checkpoint 2), exactly.",
        "Resumed from step 60 (checkpoint 3), approximately: torch was 2.10 and is 2.11 now.",
    ]
    assert story.remarks[0] == "Step 71: Guessed the text column."
    assert story.remarks[1].startswith("1 update refused")
    assert story.remarks[2] == damage.text
    assert "the recipe ended training; reason: no better" in as_text(story)


def test_validation_scores_stand_in_where_there_is_no_test():
    ended = Ended(step=9, status="completed", reason="", best_step=4, best_value=0.9, best_metric="accuracy")
    evals = [
        evaluation(2, "validation", 0.6),
        evaluation(4, "validation", 0.9),
        evaluation(9, "validation", 0.8),
    ]
    assert why([STARTED, *steps(1, 9), *evals, ended]).scores == (
        "Validation accuracy went from 0.6 (step 2) to 0.8 (step 9). The best was 0.9 at step 4."
    )
    assert why([STARTED, evals[0]]).scores == "Validation accuracy: 0.6 at step 2."


def test_a_story_is_plain_json():
    story = why(SICK)
    again = msgspec.json.decode(msgspec.json.encode(story), type=Story)
    assert as_text(again).replace("nan: none", "nan: nan") == as_text(story)


def test_nothing_in_a_row_reaches_the_terminal_as_a_command():
    text = as_text(why(SICK), rows=lambda _: "\x1b[2J\x07evil\u202e\r\n" + "long " * 500)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert "evil" in text
    assert len(text) < 3000
