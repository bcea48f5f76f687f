"""Self-tests: small trials of a model before its training, each answered by one `Tested` record.

They know nothing of runs: a test gets a model that it may change and a function that gives a loss, or what such a
trial came to. `rehearsal.py` asks them of a prepared run, `integrations/self_test.py` of anybody's model.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
import torch
from torch import Tensor, nn

from tunewell.inspections import Tested
from tunewell.probes.gradients import values
from tunewell.training.memory import is_out_of_memory

Loss = Callable[[], Tensor]
"""The mean loss of a small batch under the model's present weights and mode, 0-d and differentiable."""

NAMES = (
    "first_loss",
    "repeats",
    "modes_agree",
    "padding",
    "accumulation",
    "gradients_reach",
    "parameters_move",
    "inputs_matter",
    "fits_one_batch",
)
"""All tests, in the order in which they are made: the last ones change the copy."""

EXCESS = 0.5
"""Nats by which a first loss may stand above that of knowing nothing: logits that spread by about 1 cost so much."""
NOTHING = 1e-6
"""Relative change, or share of the largest gradient, that is rounding only."""
MEMORISED = 0.1
"""Share of the first loss, above its floor, at which a batch counts as memorised."""
FIRST_RATE = 3e-4
"""Of Adam, where memorising begins: careful for a pre-trained model; what wants more gets it within some updates."""
GROWTH, FALL = 1.4, 0.2
"""The rate's factor after an update that helped, and after one that led away (the bold driver, Battiti 1989)."""
STANDS = 0.05
"""Share of the first loss by which it must still fall in the last third of the updates to be called falling."""
FEWEST_UPDATES = 20
"""Of fewer it does not follow that a batch can't be memorised: by then the rate has grown 800 times."""
MOST_NAMED = 20
"""Parameters that a record names."""


def unmade(name: str, why_not: str) -> Tested:
    """Return the record of a test that could not be made."""
    return Tested(name=name, passed=None, detail=f"Not made: {why_not}.")


def answered(name: str, test: Callable[[], Tested]) -> Tested:
    """Return the answer of `test` with the time it took; one that fails, for whatever reason, is answered with why."""
    began = time.perf_counter()
    try:
        answer = test()
    except Exception as error:  # whatever it is: the training itself may well go
        answer = unmade(name, "memory ran out" if is_out_of_memory(error) else told(error))
    return msgspec.structs.replace(answer, time=time.time(), seconds=time.perf_counter() - began)


def told(error: Exception) -> str:
    """Return an error in one line."""
    text = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def first_loss(losses: Tensor, unknowing: float, *, what: str) -> Tested:
    """Compare the (rows,) `losses` of the untrained model with the loss of knowing nothing, `what` in words."""
    losses = losses.detach().double()
    mean = float(losses.mean())
    error = float(losses.std() / math.sqrt(len(losses))) if len(losses) > 1 else 0.0
    passed = math.isfinite(mean) and mean <= unknowing + max(EXCESS, 3 * error)
    return Tested(
        name="first_loss",
        passed=passed,
        detail=f"The first loss is {mean:.3g} ± {error:.1g} over {len(losses)} rows; {what} is {unknowing:.3g}.",
        numbers={"loss": mean, "expected": unknowing, "standard_error": error, "rows": len(losses)},
    )


def tolerance(*dtypes: torch.dtype) -> float:
    """Return the relative difference up to which two computations in these precisions count as the same."""
    return max(1e-4, *(8 * torch.finfo(dtype).eps for dtype in dtypes if dtype.is_floating_point))


def repeats(model: nn.Module, loss: Loss) -> Tested:
    """Compute one batch's loss twice in evaluation mode: nothing may differ."""
    with _mode(model, training=False), torch.no_grad():
        one, two = float(loss()), float(loss())
    return Tested(
        name="repeats",
        passed=abs(one - two) <= NOTHING * max(1.0, abs(one)),
        detail=f"In evaluation mode one batch gives the loss {one:.6g}, and again {two:.6g}.",
        numbers={"first": one, "second": two},
    )


def modes_agree(model: nn.Module, loss: Loss, *, within: float) -> Tested:
    """Compare training mode, its dropout and batch statistics switched off, with evaluation mode."""
    with torch.no_grad():
        with _mode(model, training=False):
            evaluation = float(loss())
        with _mode(model, training=True), without_noise(model):
            _statistics_stay(model)
            training = float(loss())
    difference = abs(training - evaluation) / max(1.0, abs(evaluation))
    passed = difference <= within
    modes = (
        f"in training mode without its noise the loss is {training:.4g}, in evaluation mode {evaluation:.4g}"
    )
    return Tested(
        name="modes_agree",
        passed=passed,
        detail=f"The modes {'agree' if passed else 'differ by more than dropout'}: {modes}.",
        numbers={"training": training, "evaluation": evaluation, "difference": difference},
    )


def padding(alone: Tensor, padded: Tensor, *, within: float) -> Tested:
    """Compare the (rows,) losses of rows as they are with those of the same rows padded further."""
    largest = float(((alone - padded).abs() / alone.abs().clamp_min(1.0)).max())
    return Tested(
        name="padding",
        passed=largest <= within,
        detail=f"Padding changes a row's loss by {largest:.1g} at most, over {len(alone)} rows.",
        numbers={"largest": largest},
    )


def inputs_matter(outputs: Tensor, shuffled: Tensor) -> Tested:
    """Compare (rows, …) outputs with those of the same rows when each gets another's inputs."""
    change = float(
        torch.linalg.vector_norm(shuffled - outputs) / torch.linalg.vector_norm(outputs).clamp_min(1e-12)
    )
    return Tested(
        name="inputs_matter",
        passed=change > NOTHING,
        detail=f"With the inputs of other rows the outputs change by {change:.1%}.",
        numbers={"change": change},
    )


def accumulation(
    whole: Mapping[str, Tensor], gathered: Mapping[str, Tensor], parts: int, *, within: float
) -> Tested:
    """Compare the gradient of a batch with that gathered from `parts` of it; both by parameter."""
    size = _norm(whole.values())
    difference = _norm(gathered[name] - gradient for name, gradient in whole.items()) / max(size, 1e-30)
    ratio = _norm(gathered.values()) / max(size, 1e-30)
    return Tested(
        name="accumulation",
        passed=difference <= 10 * within,
        detail=f"Gathered in {parts} parts, a gradient has {ratio:.4g} times the norm of the whole batch's"
        f" and differs from it by {difference:.1g} of that.",
        numbers={"ratio": ratio, "difference": difference, "parts": parts},
    )


@dataclass
class Moves:
    """What a few updates of a copy did, by trainable parameter."""

    gradients: dict[str, float] = field(default_factory=dict)
    """Largest gradient norm of each; absent: it never had a gradient."""
    trained: list[str] = field(default_factory=list)
    still: list[str] = field(default_factory=list)
    """Those that no update moved."""


def make_updates(
    parameters: Mapping[str, nn.Parameter],
    backward: Callable[[], None],
    step: Callable[[], None],
    number: int = 2,
) -> Moves:
    """Make a few updates and return what they did to `parameters`.

    `backward` leaves gradients in the parameters, `step` uses them and clears them. More than one, since what stands
    behind weights of zero, as in a new LoRA, gets its gradient from the second on.
    """
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    moves = Moves(trained=list(parameters))
    for _ in range(number):
        backward()
        for name, parameter in parameters.items():
            if (gradient := values(parameter)) is not None:
                norm = float(torch.linalg.vector_norm(gradient.detach().float()))
                moves.gradients[name] = max(norm, moves.gradients.get(name, 0.0), key=_nan_first)
        step()
    moves.still = [name for name, parameter in parameters.items() if torch.equal(parameter, before[name])]
    return moves


def gradients_reach(moves: Moves) -> Tested:
    """Tell whether every trainable parameter got a gradient that is finite and not all zero.

    A bias before a normalisation rightly gets none: zeros count where no parameter of their module got anything else.
    """
    alive = {_module(name) for name, norm in moves.gradients.items() if norm > 0.0}
    without = [name for name in moves.trained if name not in moves.gradients]
    broken = [name for name, norm in moves.gradients.items() if not math.isfinite(norm)]
    zero = [name for name, norm in moves.gradients.items() if norm == 0.0 and _module(name) not in alive]
    reached, total = len(moves.trained) - len(without) - len(broken) - len(zero), len(moves.trained)
    detail = f"Gradients reach {reached} of {total} trainable parameters"
    kinds = (
        (without, "have none"),
        (zero, "have nothing but zeros"),
        (broken, "have some that are not finite"),
    )
    detail += "".join(f"; {len(names)} {what} ({_listed(names)})" for names, what in kinds if names)
    return Tested(
        name="gradients_reach",
        passed=reached == total,
        detail=f"{detail}.",
        numbers={"trained": total, "without": len(without), "zero": len(zero), "not_finite": len(broken)},
        layers=[*broken, *without, *zero][:MOST_NAMED],
    )


def parameters_move(moves: Moves) -> Tested:
    """Tell whether every trainable parameter that has a gradient moves."""
    if not all(map(math.isfinite, moves.gradients.values())):
        return unmade("parameters_move", "the gradients are not finite, and no update is made of such")
    largest = max(moves.gradients.values(), default=0.0)
    moving = {name for name, norm in moves.gradients.items() if norm > NOTHING * largest}
    still = [name for name in moves.still if name in moving]
    detail = (
        f"The optimizer moves {len(moving) - len(still)} of the {len(moving)} parameters that have a gradient"
    )
    return Tested(
        name="parameters_move",
        passed=not still and bool(moving),
        detail=f"{detail}; not {_listed(still)}." if still else f"{detail}.",
        numbers={"with_gradient": len(moving), "still": len(still)},
        layers=still[:MOST_NAMED],
    )


def fits_one_batch(
    model: nn.Module, loss: Loss, *, rows: int, updates: int, floor: float = 0.0, unknowing: float = 0.0
) -> Tested:
    """Let `model` memorise one small batch of `rows` rows within so many `updates` of Adam, at the rate that suits.

    What can't be memorised will not be learned either: the loss stays on a floor because of what is wrong with it.
    `floor` is the least the loss can be, `unknowing` that of knowing nothing: what begins below it need not fall tenfold.
    """
    course = _memorise(model, loss, updates, floor, unknowing)
    first, best = course[0], min(course)
    scale = max(first, unknowing) - floor
    earlier = min(course[: max(1, 2 * len(course) // 3)])
    left = (best - floor) / max(scale, 1e-12)
    falling = earlier - best > STANDS * scale or len(course) <= FEWEST_UPDATES
    passed = True if left <= MEMORISED else None if falling else False
    ending = {True: "", False: ", and stands there", None: ", and was still falling"}[passed]
    return Tested(
        name="fits_one_batch",
        passed=passed,
        detail=f"{rows} rows trained on again and again: loss {first:.3g} → {best:.3g}"
        f" after {len(course) - 1} updates{ending}.",
        numbers={
            "first": first,
            "best": best,
            "floor": floor,
            "left": left,
            "updates": len(course) - 1,
            "rows": rows,
        },
    )


def _memorise(model: nn.Module, loss: Loss, updates: int, floor: float, unknowing: float) -> list[float]:
    """Return the losses that were come to, (updates made + 1,); ends early once the batch is memorised."""
    trained: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
    best = [p.detach().clone() for p in trained]
    rate = FIRST_RATE
    optimizer = torch.optim.Adam(trained, lr=rate)
    course: list[float] = []
    with _mode(model, training=True), without_noise(model):
        while True:
            value = loss()
            number = float(value.detach())
            is_best = math.isfinite(number) and number < min(course, default=math.inf)
            led_away = not math.isfinite(number) or number > 1.2 * (course[0] if course else number)
            course.append(number if math.isfinite(number) else math.inf)
            aim = floor + MEMORISED * (max(course[0], unknowing) - floor)
            if number <= aim or len(course) > updates or course[0] == math.inf:
                break
            if led_away:
                with torch.no_grad():
                    torch._foreach_copy_(trained, best)
                rate *= FALL
                optimizer = torch.optim.Adam(trained, lr=rate)
                value = loss()
            elif is_best:
                torch._foreach_copy_(best, [p.detach() for p in trained])
                rate *= GROWTH
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    optimizer.zero_grad()
    return course


@contextmanager
def without_noise(model: nn.Module) -> Iterator[None]:
    """Switch dropout off in training mode for a while, the functional kind too, which reads its share from its module."""
    kept: list[tuple[nn.Module, str, float]] = []
    for module in model.modules():
        names = [
            name
            for name, value in vars(module).items()
            if isinstance(value, float) and _is_share(module, name)
        ]
        kept += [(module, name, getattr(module, name)) for name in names]
    try:
        for module, name, _ in kept:
            setattr(module, name, 0.0)
        yield
    finally:
        for module, name, value in kept:
            setattr(module, name, value)


def _is_share(module: nn.Module, name: str) -> bool:
    """Tell whether the number `name` of `module` is a share to be dropped."""
    return "drop" in name or (name == "p" and "drop" in type(module).__name__.lower())


def _statistics_stay(model: nn.Module) -> None:
    """Let batch normalisation use the statistics that it has gathered, as in evaluation."""
    for module in model.modules():
        if getattr(module, "track_running_stats", False):
            module.eval()


@contextmanager
def _mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Put `model` into one mode for a while; each module is back in its own after."""
    modes = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, was in modes:
            module.training = was


def _norm(tensors: Iterable[Tensor]) -> float:
    return math.sqrt(sum(float(torch.linalg.vector_norm(t.float())) ** 2 for t in tensors))


def _module(parameter: str) -> str:
    return parameter.rpartition(".")[0]


def _nan_first(norm: float) -> float:
    return math.inf if math.isnan(norm) else norm


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
