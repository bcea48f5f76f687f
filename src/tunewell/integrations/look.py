"""A look inside at a sampled update: the fields of `Inspected`, as numbers that are still on the device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn
from torch.optim import Optimizer

from tunewell.integrations.forward import Forwards
from tunewell.integrations.update import Update
from tunewell.probes import memory
from tunewell.probes.activations import silent_and_saturated
from tunewell.probes.layers import Layers
from tunewell.probes.optimizer import (
    LeftOut,
    epsilon_share,
    output_gain,
    smallest_numbers,
    zero_shares,
)
from tunewell.probes.ranks import Ranks, digest


def before_backward(update: Update, loss: Tensor, names: Mapping[Tensor, str]) -> None:
    """Note what only the graph shows; `names` gives the layer of each parameter."""
    silent, saturated = silent_and_saturated(loss, names)
    update.told["silent_units"] = dict.fromkeys(silent, 0.0)
    update.told["saturated_units"] = dict.fromkeys(saturated, 0.0)
    update.shown |= {f"silent_units/{name}": share for name, share in silent.items()}
    update.shown |= {f"saturated_units/{name}": share for name, share in saturated.items()}


def before_update(
    update: Update,
    optimizer: Optimizer,
    parameters: Mapping[str, nn.Parameter],
    layers: Layers,
    forwards: Forwards,
    modules: Mapping[str, nn.Module],
    left_out: LeftOut,
) -> None:
    """Note what gradients, optimizer and modes show just before the update."""
    shares = zero_shares(parameters, layers.of, layers.embeddings)
    update.told["zero_gradients"] = dict.fromkeys(shares, 0.0)
    update.shown |= {f"zero_gradients/{layer}": share for layer, share in shares.items()}
    smallest = smallest_numbers(parameters, layers.of, layers.embeddings)
    update.told["smallest_gradients"] = dict.fromkeys(smallest, 0.0)
    update.shown |= {f"smallest_gradients/{layer}": number for layer, number in smallest.items()}
    update.told["not_optimized"] = left_out.names(parameters, optimizer)
    # What another optimizer trains is none of this one's layers.
    elsewhere = {layers.of[name] for name in left_out.moved}
    update.gradients = {layer: norm for layer, norm in update.gradients.items() if layer not in elsewhere}
    training = {layers.of[name] for name, parameter in parameters.items() if parameter.requires_grad}
    update.told["frozen"] = [layer for layer in layers.order if layer not in training]
    update.told["output_layer"] = layers.output
    if layers.output in modules:
        output = modules[layers.output]
        update.told["output_frozen"] = not any(parameter.requires_grad for parameter in output.parameters())
        gain = output_gain(output)
        if gain is not None:
            update.shown["output_gain"] = gain
    shared = epsilon_share(optimizer)
    if shared is not None:
        update.told["epsilon"], update.shown["epsilon_share"] = shared
    if update.stale is not None:
        update.shown["stale_gradient"] = update.stale
    forward = forwards.first
    if forward is not None:
        update.told["switching"] = len(forwards.modes.switching)
        update.told["in_evaluation"] = forward.in_evaluation
        update.shown |= forward.scales


def of_losses(update: Update) -> None:
    """Note what the backward passes differentiated, beside the mean loss that they should have."""
    update.told["backward_passes"] = len(update.passes)
    seen = [one.seen for one in update.passes]
    known = [one for one in seen if one is not None]
    if known:
        update.told["outputs_are_probabilities"] = any(one.of_probabilities for one in known)
    if not known or len(known) < len(seen):
        return
    loss_sum = sum((one.loss_sum for one in known[1:]), start=known[0].loss_sum)
    update.shown["mean_loss"] = loss_sum / sum((one.count for one in known[1:]), start=known[0].count)
    if known[0].log_probabilities is not None:
        update.told["num_outputs"] = known[0].log_probabilities.shape[-1]
    guessing = [one.guessing for one in known if one.guessing is not None]
    if len(guessing) == len(known):
        update.shown["guessing_loss"] = sum(guessing[1:], start=guessing[0]) / len(guessing)
    if update.scaled or not all(one.is_all for one in known):
        return
    weighted = [one.loss * one.weight for one in update.passes if one.weight is not None]
    update.shown["objective"] = sum(weighted[1:], start=weighted[0]) / update.divisor


def of_machine(
    update: Update,
    parameters: Mapping[str, nn.Parameter],
    ranks: Ranks,
    log: Path | None,
    total_steps: int | None,
) -> None:
    """Note memory, disk and the weights of other processes; `log` is the file that grows until the last step."""
    device = next(iter(parameters.values())).device
    update.told["memory_bytes"], update.told["memory_limit"] = memory.held(device), memory.limit(device)
    update.told["digests"] = ranks.compared(lambda: digest(parameters))
    if log is None:
        return
    update.told["disk_free"] = memory.disk_free(log.parent)
    size = memory.file_bytes(log)
    if total_steps is not None and size is not None:
        update.told["disk_needed"] = size * max(0, total_steps - update.step) // update.step
