"""Which remedies there are for which fault, the first to try first.

A fault that is not listed here has no remedy that a program should apply: a person has to look (shifted labels, inputs
that say nothing of the targets, a stall, ranks that differ).
"""

from __future__ import annotations

from tunewell.policies import _remedies
from tunewell.policies._protocol import Facts
from tunewell.policies._remedies import Actions, Remedy
from tunewell.records import Finding

_UNSTABLE = ("rollback_and_lower_rate", "rollback_and_cut_rate", "give_up")
LADDERS: dict[str, tuple[str, ...]] = {
    "learning_rate_too_high": _UNSTABLE,
    "learning_rate_too_low": ("raise_rate", "raise_rate_by_less"),
    "no_warmup": ("rewarm", "rollback_and_lower_rate"),
    "schedule_too_fast": ("stretch_schedule",),
    "non_finite": ("exclude_rows", "rollback", *_UNSTABLE),
    "loss_spike": ("rollback", *_UNSTABLE),
    "divergence": _UNSTABLE,
    "exploding_gradient": ("clip_layers", "clip", *_UNSTABLE),
    "gradient_spike": ("clip", "lower_rate"),
    "oscillation": ("lower_rate",),
    "vanishing_gradient": ("set_small_epsilon", "scale_layers", "scale_loss"),
    "gradient_underflow": ("scale_loss", "scale_loss_by_less", "set_small_epsilon"),
    "epsilon_too_large": ("set_epsilon",),
    "underfitting": ("raise_rate",),
    "parameters_not_updating": ("optimize",),
    "frozen_head": ("unfreeze",),
    "gradients_not_cleared": ("clear_gradients",),
    "training_in_evaluation_mode": ("set_mode",),
    "evaluation_in_training_mode": ("set_mode",),
    "double_softmax": ("take_logarithm",),
    "dead_units": ("reinitialize", "rollback_and_lower_rate"),
    "saturation": ("rollback_and_lower_rate", "reinitialize"),
    "bad_initialization": ("reinitialize",),
    "accumulation_not_divided": ("divide_gradients",),
    "label_noise": ("exclude_rows",),
    "leakage": ("exclude_rows",),
    "conflicting_labels": ("exclude_rows",),
    "truncated_targets": ("exclude_few_rows",),
    "class_imbalance": ("balance_classes",),
    "sorted_data": ("shuffle_rows",),
    "inputs_not_normalized": ("normalize_inputs",),
    "collapse": _UNSTABLE,
    "overfitting": ("rollback_to_best_and_decay", "rollback_to_best_and_stop"),
    "forgetting": ("rollback_and_go_slowly",),
    "plateau": ("lower_rate_for_plateau",),
    "overtraining": ("rollback_to_best_and_stop",),
}

CALMING = frozenset(
    {
        "rollback",
        "rollback_and_lower_rate",
        "rollback_and_cut_rate",
        "lower_rate",
        "clip",
        "clip_layers",
        "exclude_rows",
    }
)
"""Remedies that can't make a run unstable: what is seen of that after them is the trouble that they were meant for."""
CONTINUED = {"raise_rate": "raise_rate_further", "raise_rate_further": "raise_rate_further"}
"""What follows a remedy that helped, to see whether more of it helps more."""

STANDING = frozenset(
    {
        "clip", "clip_layers", "set_epsilon", "set_small_epsilon", "scale_loss", "scale_layers", "divide_gradients", "clear_gradients",
        "set_mode", "take_logarithm", "normalize_inputs", "shuffle_rows", "balance_classes", "optimize", "unfreeze",
        "stretch_schedule",
    }
)  # fmt: skip
"""Remedies that stay in force: one that helped is not taken again when the symptom is seen again, as a norm that is
clipped still is."""

REMEDIES: dict[str, Remedy] = {
    name: getattr(_remedies, name)
    for name in sorted(
        {remedy for ladder in LADDERS.values() for remedy in ladder}
        | {"restart", "lower_rate", "stop"}
        | set(CONTINUED.values())
    )
}
"""Every remedy by the name that `on:` in a recipe takes."""


def actions_of(remedy: str, finding: Finding, facts: Facts) -> Actions:
    """Return the actions of the remedy of that name, none where this loop can't carry out all of them."""
    actions = REMEDIES[remedy](finding, facts)
    return actions if all(facts.can(action) for action in actions) else ()


def next_remedy(finding: Finding, facts: Facts) -> tuple[str, Actions] | None:
    """Return the first remedy for `finding` that can be had and has not failed yet; None: nothing is left."""
    failed = facts.failed.get(finding.code, ())
    for remedy in LADDERS.get(finding.code, ()):
        if remedy not in failed and (actions := actions_of(remedy, finding, facts)):
            return remedy, actions
    return None


def is_told(finding: Finding) -> bool:
    """Return whether a remedy that the recipe names is taken: not for what is only remarked, unless its kind always is."""
    return finding.severity != "info" or finding.code in {"plateau", "overtraining"}


def is_due(finding: Finding) -> bool:
    """Return whether something should be done about `finding`, not only said.

    One refused update has done no harm, nor has one bad batch that training got over by itself.
    """
    if finding.severity == "info":
        return False
    evidence = finding.evidence
    if finding.code == "non_finite" and finding.severity != "critical":
        return bool(finding.rows) and not evidence.get("applied", False)
    if finding.code == "loss_spike" and finding.severity != "critical":
        return bool(evidence.get("sustained", False))
    return True
