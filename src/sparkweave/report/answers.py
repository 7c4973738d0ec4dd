"""What a user wants to know of a run: is it learning, what limits its speed, is a worker slow, how many bytes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

from sparkweave.events import EpochEnded, Evaluated
from sparkweave.report.history import History
from sparkweave.report.profile import SLOW_FACTOR, Split, WorkerProfile, mean_split
from sparkweave.report.quantities import BYTES, PERCENT, digits, duration, percent, show

Level = Literal["good", "look", "open"]

_OVERFIT_FACTOR = 1.1
_MOSTLY = 0.7
_DATA_SHARE = 0.15
_WAIT_SHARE = 0.25
_ENCODE_SHARE = 0.15
_EXCHANGE = ("encode", "wait", "apply")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """One question with its answer; ``level`` says whether there is something to look at, or nothing to judge."""

    question: str
    level: Level
    headline: str
    details: tuple[str, ...] = ()


def answers(history: History, workers: Sequence[WorkerProfile]) -> list[Answer]:
    """All four. ``workers`` are of the measured steps; empty where none were."""
    return [_learning(history), _speed(history, workers), _stragglers(history, workers), _traffic(history)]


def step_split(workers: Sequence[WorkerProfile]) -> Split:
    """The mean of all measured steps."""
    return mean_split([worker.split for worker in workers for _ in range(worker.steps)])


def time_split(history: History, workers: Sequence[WorkerProfile]) -> Split:
    """Where the time went in sum: of whole epochs; of the measured steps while no epoch has ended.

    An epoch's communication is divided as it was in the measured steps, or counts as waiting. Steps alone would not do:
    a strategy need not exchange in each, so that the measured ones may have missed every exchange.
    """
    steps = step_split(workers)
    exchange = dataclasses.replace(steps, data=0.0, compute=0.0)
    if exchange.total <= 0:
        exchange = Split(wait=1.0)
    splits = [
        Split(
            data=_positive(epoch.data_seconds),
            compute=_positive(epoch.compute_seconds),
            **{part: _positive(epoch.communication_seconds) * exchange.share(part) for part in _EXCHANGE},
        )
        for epoch in history.epochs
    ]
    return mean_split(splits) if splits else steps


def _learning(history: History) -> Answer:
    question = "Is it learning?"
    epochs = history.epochs
    if not epochs:
        return Answer(question=question, level="open", headline="No epoch has ended yet")
    first, last = epochs[0], epochs[-1]
    details = [f"Training loss {_course([epoch.loss for epoch in epochs])}, accuracy {show(last.accuracy, PERCENT)}."]
    measured = history.evaluations
    if measured:
        best = max(measured, key=lambda one: _or(one.accuracy, -math.inf))
        details.append(f"Best on the test images: {show(best.accuracy, PERCENT)} after epoch {best.epoch:,}.")
    else:
        details.append(
            "It was not measured on test images: train with --test, and --evaluate-every to see it on the way."
        )
    level, headline = _judged(first, last, measured, len(epochs))
    return Answer(question=question, level=level, headline=headline, details=tuple(details))


def _judged(first: EpochEnded, last: EpochEnded, measured: Sequence[Evaluated], count: int) -> tuple[Level, str]:
    if not math.isfinite(last.loss):
        return "look", "No: the loss is no longer a finite number"
    if overfit := _overfit(measured):
        return "look", overfit
    if count == 1:
        return "open", "Too early to say: one epoch has ended"
    if last.loss >= first.loss:
        return "look", "No: the training loss has not fallen"
    if measured and math.isfinite(measured[-1].accuracy):
        return "good", f"Yes: {show(measured[-1].accuracy, PERCENT)} of the test images are right"
    return "good", f"Yes: {show(last.accuracy, PERCENT)} of the training images are right"


def _overfit(measured: Sequence[Evaluated]) -> str:
    """Said where the loss on test images has risen well above its lowest."""
    finite = [one for one in measured if math.isfinite(one.loss)]
    if not finite:
        return ""
    best, last = min(finite, key=lambda one: one.loss), finite[-1]
    if last.loss <= best.loss * _OVERFIT_FACTOR:
        return ""
    rise = f" and {percent(last.loss / best.loss - 1)} higher at the end" if best.loss > 0 else " and higher at the end"
    return f"Until epoch {best.epoch:,}: there the loss on test images is lowest,{rise}"


def _speed(history: History, workers: Sequence[WorkerProfile]) -> Answer:
    question = "What limits its speed?"
    split = time_split(history, workers)
    if split.total <= 0:
        return Answer(question=question, level="open", headline="Nothing is measured yet")
    details = [_shares(split, divided=bool(workers), whole=bool(history.epochs))]
    rates = [epoch.images_per_second for epoch in history.epochs if math.isfinite(epoch.images_per_second)]
    if rates:
        details.insert(0, f"{show(sorted(rates)[len(rates) // 2])} images a second at the median epoch.")
    level, headline, remedy = _limit(split, [worker for worker in workers if worker.is_slow])
    return Answer(question=question, level=level, headline=headline, details=(*details, *filter(None, [remedy])))


def _limit(split: Split, slow: Sequence[WorkerProfile]) -> tuple[Level, str, str]:
    if split.share("data") >= _DATA_SHARE:
        remedy = "A larger --prefetch or more cores a worker (spark.task.cpus) may help; so does less augmentation."
        return "look", f"Preparing images: {percent(split.share('data'))} of the time", remedy
    if split.share("wait") >= _WAIT_SHARE and slow:
        worst = max(slow, key=lambda worker: worker.slowness)
        return "look", f"Waiting for worker {worst.rank}: {percent(split.share('wait'))} of the time", ""
    if split.share("wait") >= _WAIT_SHARE:
        remedy = "Larger batches, or a strategy that exchanges less often or less, may help."
        return "look", f"Waiting for peers and the network: {percent(split.share('wait'))} of the time", remedy
    if split.share("encode") + split.share("apply") >= _ENCODE_SHARE:
        remedy = "A strategy or settings that encode less may be faster, if the network is not slow."
        return "look", "Making and applying messages", remedy
    if split.share("compute") >= _MOSTLY:
        return "good", f"Computing: {percent(split.share('compute'))} of the time", ""
    return "good", "Nothing in particular", ""


def _shares(split: Split, *, divided: bool, whole: bool) -> str:
    names = {"data": "data", "compute": "compute", "encode": "encode", "wait": "wait", "apply": "apply"}
    if not divided:
        names = {"data": "data", "compute": "compute", "wait": "communication"}
    shares = ", ".join(f"{name} {percent(split.share(part))}" for part, name in names.items())
    return f"{'Of the epochs' if whole else 'Of the measured steps'}: {shares}."


def _stragglers(history: History, workers: Sequence[WorkerProfile]) -> Answer:
    question = "Is a worker slow?"
    slow = sorted((worker for worker in workers if worker.is_slow), key=lambda worker: -worker.slowness)
    told = _told(history.epochs)
    if slow:
        worst = slow[0]
        headline = (
            f"Yes: worker {worst.rank} on {worst.host} takes {digits(worst.slowness)} times as long as the others"
        )
        more = [
            f"Slow too: worker {worker.rank} on {worker.host}, {digits(worker.slowness)} times." for worker in slow[1:4]
        ]
        return Answer(question=question, level="look", headline=headline, details=(*more, *_few(told)))
    if told:
        return Answer(question=question, level="look", headline="At times", details=_few(told))
    if len(workers) > 1:
        rule = f"Of {len(workers):,} workers none is busy {SLOW_FACTOR:g} times as long as the others."
        return Answer(question=question, level="good", headline="No", details=(rule,))
    if history.started and history.started.workers > 1 and history.epochs:
        known = "No epoch had a straggler, that is a worker that computes 1.5 times as long as the others and over 1 s longer."
        return Answer(question=question, level="good", headline="None that stood out", details=(known,))
    return Answer(question=question, level="open", headline="There are no workers to compare")


def _told(epochs: Sequence[EpochEnded]) -> list[str]:
    """What was said of stragglers during the run, in a sentence for each of them."""
    by_name: dict[str, list[EpochEnded]] = {}
    for epoch in epochs:
        if epoch.straggler and math.isfinite(epoch.straggler_factor):
            by_name.setdefault(epoch.straggler, []).append(epoch)
    return [
        f"{name} computed up to {digits(max(epoch.straggler_factor for epoch in found))} times as long as the others in"
        f" {_epochs([epoch.epoch for epoch in found])}."
        for name, found in by_name.items()
    ]


def _epochs(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"epoch {numbers[0]:,}"
    if numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"epochs {numbers[0]:,} to {numbers[-1]:,}"
    return f"{len(numbers):,} epochs from {numbers[0]:,} to {numbers[-1]:,}"


def _few(texts: Sequence[str]) -> tuple[str, ...]:
    more = [f"And {len(texts) - 3:,} more."] if len(texts) > 3 else []
    return (*texts[:3], *more)


def _traffic(history: History) -> Answer:
    question = "How many bytes?"
    sent = [epoch.bytes_sent for epoch in history.epochs]
    if not sent:
        return Answer(question=question, level="open", headline="No epoch has ended yet")
    details = [f"{show(sum(sent) / len(sent), BYTES)} an epoch, sent by all workers together."]
    steps = sum(history.worker_steps[epoch.epoch] for epoch in history.epochs)
    if steps:
        details.append(f"{show(sum(sent) / steps, BYTES)} a step and worker.")
    seconds = math.fsum(_positive(epoch.seconds) for epoch in history.epochs)
    if seconds > 0 and sum(sent) > 0:
        details.append(f"{show(sum(sent) / seconds, BYTES)} a second, over {duration(seconds)} of epochs.")
    headline = f"{show(sum(sent), BYTES)} sent" if sum(sent) else "None"
    return Answer(question=question, level="open", headline=headline, details=tuple(details))


def _course(values: Sequence[float]) -> str:
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "not finite"
    return show(finite[0]) if len(finite) == 1 else f"from {show(finite[0])} to {show(finite[-1])}"


def _or(value: float, other: float) -> float:
    return value if math.isfinite(value) else other


def _positive(value: float) -> float:
    return value if value > 0 else 0.0
