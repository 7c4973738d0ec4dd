from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
import pytest

from sparkweave.serving.batcher import Batcher
from sparkweave.serving.refusal import Refusal


def rows(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


class Doubling:
    """Doubles rows; waits at the first batch until it is let go, and remembers the sizes of all."""

    def __init__(self, *, held: bool = False) -> None:
        self.sizes: list[int] = []
        self.entered = threading.Event()
        self.go = threading.Event()
        if not held:
            self.go.set()

    def __call__(self, given: np.ndarray) -> np.ndarray:
        self.sizes.append(len(given))
        self.entered.set()
        assert self.go.wait(60)
        return given * 2


def run(body: Callable[[Batcher], Awaitable[Any]], **options: Any) -> Any:
    async def main() -> Any:
        batcher = Batcher(**{"batch_images": 4, "queue_images": 100, "queue_bytes": 10_000, **options})
        batcher.start()
        try:
            return await body(batcher)
        finally:
            await batcher.stop()
            assert (batcher.waiting, batcher.waiting_bytes) == (0, 0)

    return asyncio.run(main())


async def entered(predict: Doubling) -> None:
    await asyncio.get_running_loop().run_in_executor(None, predict.entered.wait)


async def spread(batcher: Batcher, predict: Any, jobs: Sequence[np.ndarray]) -> list[Any]:
    """All jobs while the first one is being computed."""
    first = asyncio.create_task(batcher.predict(predict, jobs[0]))
    await entered(predict)
    others = [asyncio.create_task(batcher.predict(predict, job)) for job in jobs[1:]]
    await asyncio.sleep(0)
    predict.go.set()
    return list(await asyncio.gather(first, *others))


def test_each_gets_its_own_rows_and_what_waits_goes_together() -> None:
    predict = Doubling(held=True)
    jobs = [rows(0), rows(1), rows(2, 3), rows(4), rows(5)]
    results = run(lambda batcher: spread(batcher, predict, jobs))
    for job, result in zip(jobs, results, strict=True):
        assert np.array_equal(result, job * 2)
    assert predict.sizes == [1, 4, 1], "the first alone, then as many as a batch holds"


def test_a_job_larger_than_a_batch_is_one_and_others_are_not_cut() -> None:
    predict = Doubling(held=True)
    jobs = [rows(0), rows(*range(6)), rows(1, 2, 3), rows(4, 5)]
    results = run(lambda batcher: spread(batcher, predict, jobs))
    assert [len(result) for result in results] == [1, 6, 3, 2]
    assert predict.sizes == [1, 6, 3, 2]


def test_two_models_are_not_mixed() -> None:
    old, new = Doubling(held=True), Doubling()

    async def body(batcher: Batcher) -> list[Any]:
        first = asyncio.create_task(batcher.predict(old, rows(0)))
        await entered(old)
        others = [asyncio.create_task(batcher.predict(model, rows(n))) for n, model in enumerate((old, old, new, new))]
        await asyncio.sleep(0)
        old.go.set()
        return list(await asyncio.gather(first, *others))

    assert len(run(body)) == 5
    assert (old.sizes, new.sizes) == ([1, 2], [2])


def test_one_too_many_is_refused_with_the_time_to_come_back() -> None:
    predict = Doubling(held=True)

    async def body(batcher: Batcher) -> list[Any]:
        waiting = [asyncio.create_task(batcher.predict(predict, rows(0, 1)))]
        await entered(predict)
        waiting.append(asyncio.create_task(batcher.predict(predict, rows(2, 3))))
        await asyncio.sleep(0)
        with pytest.raises(Refusal, match="4 images wait already, of at most 5; try again later") as refused:
            await batcher.predict(predict, rows(4, 5))
        assert refused.value.status == 503
        assert refused.value.retry_seconds is not None
        assert refused.value.retry_seconds >= 1
        waiting.append(asyncio.create_task(batcher.predict(predict, rows(6))))
        predict.go.set()
        return list(await asyncio.gather(*waiting))

    assert len(run(body, queue_images=5)) == 3


def test_bytes_are_bounded_too_and_a_lone_request_is_always_taken() -> None:
    predict = Doubling(held=True)

    async def body(batcher: Batcher) -> Any:
        first = asyncio.create_task(batcher.predict(predict, rows(*range(20))))
        await entered(predict)
        with pytest.raises(Refusal):
            await batcher.predict(predict, rows(1))
        predict.go.set()
        return await first

    assert len(run(body, queue_bytes=40)) == 20


def test_a_failing_batch_fails_those_in_it_and_nobody_after() -> None:
    def fail(_given: np.ndarray) -> np.ndarray:
        raise RuntimeError("out of order")

    async def body(batcher: Batcher) -> Any:
        with pytest.raises(RuntimeError, match="out of order"):
            await batcher.predict(fail, rows(1))
        return await batcher.predict(Doubling(), rows(1))

    assert np.array_equal(run(body), rows(2))


def test_only_the_request_whose_output_is_not_finite_fails() -> None:
    predict = Doubling(held=True)

    async def body(batcher: Batcher) -> list[Any]:
        first = asyncio.create_task(batcher.predict(predict, rows(0)))
        await entered(predict)
        others = [asyncio.create_task(batcher.predict(predict, rows(value))) for value in (1, np.nan, 3)]
        await asyncio.sleep(0)
        predict.go.set()
        return list(await asyncio.gather(first, *others, return_exceptions=True))

    _, one, bad, three = run(body)
    assert isinstance(bad, Refusal)
    assert bad.status == 500
    assert np.array_equal([one, three], [rows(2), rows(6)])
    assert predict.sizes == [1, 3]


def test_who_leaves_is_not_waited_for() -> None:
    predict = Doubling(held=True)

    async def body(batcher: Batcher) -> Any:
        first = asyncio.create_task(batcher.predict(predict, rows(0)))
        await entered(predict)
        gone = asyncio.create_task(batcher.predict(predict, rows(1)))
        await asyncio.sleep(0)
        gone.cancel()
        predict.go.set()
        return await first

    assert np.array_equal(run(body), rows(0))


def test_what_was_taken_in_is_answered_before_the_end() -> None:
    predict = Doubling(held=True)

    async def main() -> list[Any]:
        batcher = Batcher(batch_images=2, queue_images=100, queue_bytes=10_000)
        batcher.start()
        jobs = [asyncio.create_task(batcher.predict(predict, rows(value))) for value in range(7)]
        await asyncio.sleep(0)
        ending = asyncio.create_task(batcher.stop())
        await asyncio.sleep(0)
        predict.go.set()
        await ending
        return list(await asyncio.gather(*jobs))

    results = asyncio.run(main())
    assert np.array_equal(np.concatenate(results), rows(*range(7)) * 2)


def test_each_batch_is_told_of() -> None:
    told: list[int] = []
    run(lambda batcher: batcher.predict(Doubling(), rows(1, 2)), observe=lambda images, _seconds: told.append(images))
    assert told == [2]
