"""The laws of delivery, over random scripts of what sinks do: isolation, accounting and order.

Everything runs in virtual time. A script is a list of what the writes of a sink do, one after the other and for ever:
return at once or after a while, never return, not be available, reject some of the batch, raise.
"""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from random import Random
from typing import Any, TypeAlias

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from structlog.testing import capture_logs

from streamproc import Change, StreamProcessor
from streamproc.delivery.fanout import Fanout
from streamproc.delivery.policy import DeliveryPolicy, Retry
from streamproc.delivery.statistics import SinkStatistics
from streamproc.errors import SinkGone, SinkRejected, SinkUnavailable
from streamproc.testing.clock import run_virtual
from tests.streams import arguments, error, message, run, sse, step, words

pytestmark = pytest.mark.slow

Script: TypeAlias = "Sequence[float | str]"

ACTS = st.one_of(
    st.sampled_from([0.0, 0.0, 0.5, 3.0]),
    st.sampled_from(["never", "unavailable", "wait for me", "reject", "bug", "gone"]),
)
SCRIPTS = st.lists(ACTS, min_size=1, max_size=12)


@st.composite
def policies(draw: st.DrawFn) -> DeliveryPolicy:
    deliver = draw(st.sampled_from(["changes", "changes", "latest", "final"]))
    fulls = ["block", "close_sink"] if deliver == "changes" else ["block", "close_sink", "coalesce"]
    settings: dict[str, Any] = {
        "deliver": deliver,
        "required": draw(st.booleans()),
        "when_full": draw(st.sampled_from(fulls)),
        "batch_max": draw(st.integers(1, 5)),
        "batch_max_bytes": draw(st.sampled_from([1, 200, 2**20])),
        "batch_wait_s": draw(st.sampled_from([0.0, 0.7])),
        "timeout_s": draw(st.sampled_from([1.0, 5.0])),
        "retry": Retry(
            base_s=draw(st.sampled_from([0.2, 1.0])),
            max_attempts=draw(st.sampled_from([None, 1, 3])),
            max_elapsed_s=draw(st.sampled_from([None, 4.0])),
        ),
        "breaker_failures": draw(st.integers(1, 4)),
        "breaker_pause_s": draw(st.sampled_from([0.5, 2.0])),
        "max_bugs": draw(st.integers(1, 3)),
        "inbox_max": draw(st.integers(1, 12)),
        "max_pause_s": draw(st.sampled_from([0.0, 1.0, 6.0])),
    }
    return DeliveryPolicy(**settings)


class Offer(Struct, frozen=True):
    """One batch and the pause after it."""

    count: int
    pause_s: float


OFFERS = st.lists(
    st.builds(Offer, st.integers(1, 6), st.sampled_from([0.0, 0.0, 0.0, 0.3, 2.0])), min_size=1, max_size=12
)


class Acting:
    """A sink that follows a script again and again, and notes what arrived and when it was asked."""

    def __init__(self, script: Script) -> None:
        self.offered: list[Change] = []  # in order, repetitions included
        self.arrived: list[Change] = []
        self.written: list[tuple[float, tuple[int, ...]]] = []
        self._script = itertools.cycle(script)

    async def write(self, batch: Sequence[Change]) -> None:
        self.offered += batch
        self.written.append((anyio.current_time(), tuple(change.seq for change in batch)))
        act = next(self._script)
        if isinstance(act, float):
            if act:
                await anyio.sleep(act)
            self.arrived += batch
        elif act == "never":
            await anyio.sleep_forever()
        elif act == "unavailable":
            raise SinkUnavailable("busy")
        elif act == "wait for me":
            raise SinkUnavailable("busy", 2.5)
        elif act == "reject":
            self.arrived += batch[1::2]
            raise SinkRejected("no", batch[::2])
        elif act == "gone":
            raise SinkGone("gone")
        else:
            raise ValueError


def changes() -> list[Change]:
    """72 changes of two runs, with deltas of several objects between each other, errors, ends and an anomaly."""
    parts = []
    for number in (1, 2):
        owner = {"run_id": f"run_{number}"}
        step_id, message_id = f"step_{number}", f"msg_{number}"
        parts += [run("created", f"run_{number}"), step("created", step_id, **owner)]
        parts += [message("created", message_id, **owner)]
        for _ in range(14):
            parts += [arguments("x" * 9, id=step_id), words("y" * 9, id=message_id)]
        parts += [
            error({"message": "e"}),
            step("completed", step_id, **owner),
            message("completed", message_id, **owner),
        ]
        parts += [run("no_such_thing"), run("completed", f"run_{number}")]
    return StreamProcessor().feed(sse(*parts))


CHANGES = changes()


def balance(it: SinkStatistics) -> bool:
    return it.received == it.acked + it.coalesced + it.dead + it.dropped + it.pending


class Outcome(Struct):
    fanout: Fanout
    offered: list[Change]
    paused_s: float  # how long reading waited for room


async def feed(fanout: Fanout, offers: Sequence[Offer], drain_s: float) -> Outcome:
    """Offer the batches as a reader does, looking at the accounts at each step and ever so often between them."""
    offered: list[Change] = []
    paused_s = 0.0

    async def watch() -> None:
        while True:
            assert all(balance(it) for it in fanout.statistics())
            await anyio.sleep(0.4)

    async with anyio.create_task_group() as watching:
        watching.start_soon(watch)
        async with anyio.create_task_group() as group:
            await fanout.start(group)
            for offer in offers:
                batch = CHANGES[len(offered) : len(offered) + offer.count]
                fanout.offer(batch)
                offered += batch
                assert all(balance(it) for it in fanout.statistics())
                began_s = anyio.current_time()
                if fanout.is_full:
                    await fanout.room()
                paused_s += anyio.current_time() - began_s
                assert all(balance(it) for it in fanout.statistics())
                await anyio.sleep(offer.pause_s)
            await fanout.drain(drain_s)
            assert all(balance(it) and it.pending == 0 for it in fanout.statistics())
        watching.cancel_scope.cancel()
    return Outcome(fanout, offered, paused_s)


def deliver(
    sinks: Sequence[tuple[Acting, DeliveryPolicy]], offers: Sequence[Offer], seed: int = 0, drain_s: float = 20.0
) -> Outcome:
    with capture_logs():
        return run_virtual(feed, Fanout(sinks, random=Random(seed)), offers, drain_s)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(SCRIPTS, policies()), min_size=1, max_size=3),
    OFFERS,
    st.integers(),
    st.sampled_from([0.0, 20.0]),
)
def test_accounts_are_exact(
    sinks: list[tuple[Script, DeliveryPolicy]], offers: list[Offer], seed: int, drain_s: float
) -> None:
    """At every step, and each account is what the sink and the dead letters show."""
    acting = [(Acting(script), policy) for script, policy in sinks]
    outcome = deliver(acting, offers, seed, drain_s)
    letters = list(outcome.fanout.dead_letters)

    for it, (sink, policy) in zip(outcome.fanout.statistics(), acting, strict=True):
        selected = [
            change
            for change in outcome.offered
            if policy.deliver == "changes"
            or (change.kind != "anomaly" and (policy.deliver == "latest" or change.is_final))
        ]
        assert it.received == len(selected)
        assert it.dead == sum(letter.sink == it.name for letter in letters)
        assert it.writes == len(sink.written)
        # What was in flight when the lane was closed counts as dropped, though it may arrive at that very moment.
        assert it.acked <= len(sink.arrived) <= it.acked + (it.dropped and policy.batch_max)
        if policy.deliver == "changes":
            assert it.coalesced == 0


@settings(max_examples=200)
@given(SCRIPTS, policies(), OFFERS, st.integers())
def test_order_holds_for_each_sink(script: Script, policy: DeliveryPolicy, offers: list[Offer], seed: int) -> None:
    """What arrives is in the order of the changes; nothing arrives twice, or after it became a dead letter."""
    sink = Acting(script)
    outcome = deliver([(sink, policy)], offers, seed)
    arrived = [change.seq for change in sink.arrived]
    dead = [letter.change.seq for letter in outcome.fanout.dead_letters]
    known = {change.seq for change in outcome.offered}

    assert arrived == sorted(set(arrived))
    assert dead == sorted(set(dead))
    assert not set(arrived) & set(dead)
    assert set(arrived) | set(dead) <= known
    # Each object's states come with growing revisions, repetitions of a batch that failed apart.
    newest: dict[str, int] = defaultdict(int)
    for change in sink.arrived:
        assert change.revision > newest[change.id] or change.kind in ("error", "anomaly")
        newest[change.id] = change.revision
    (it,) = outcome.fanout.statistics()
    if it.dropped == 0 and it.dead == 0 and policy.deliver != "changes":
        wanted = [change for change in outcome.offered if change.kind not in ("error", "anomaly")]
        last = {change.id: change.revision for change in wanted if policy.deliver == "latest" or change.is_final}
        assert last == {name: number for name, number in newest.items() if number}


@settings(max_examples=200)
@given(st.lists(st.tuples(SCRIPTS, policies()), min_size=1, max_size=3), OFFERS, st.integers())
def test_a_bad_sink_changes_nothing_for_a_good_one(
    others: list[tuple[Script, DeliveryPolicy]], offers: list[Offer], seed: int
) -> None:
    """Its changes and their order are those of a run alone, and they come as much later as reading paused.

    Its batches are the same too, unless a pause tore changes apart that had come within a millisecond.
    """
    alone, beside = Acting([0.0]), Acting([0.0])
    deliver([(alone, DeliveryPolicy())], offers)
    bad = [(Acting(script), policy) for script, policy in others]
    outcome = deliver([*bad, (beside, DeliveryPolicy())], offers, seed)

    if outcome.paused_s == 0:
        assert [batch for _, batch in alone.written] == [batch for _, batch in beside.written]
    early, late = ([(seq, at_s) for at_s, batch in sink.written for seq in batch] for sink in (alone, beside))
    assert [seq for seq, _ in early] == [seq for seq, _ in late]
    delays = [mine - its for (_, its), (_, mine) in zip(early, late, strict=True)]
    assert all(-1e-9 <= delay <= outcome.paused_s + 0.001 + 1e-9 for delay in delays)
    longest = sum(policy.max_pause_s for _, policy in others if policy.required and policy.when_full != "close_sink")
    pauses = len(offers) if longest else 0
    assert outcome.paused_s <= pauses * longest + 1e-9


@pytest.mark.parametrize("script", [["never"], ["bug"], [1.0]], ids=["never returns", "always raises", "one a second"])
def test_a_fast_sink_beside_a_broken_one(script: Script) -> None:
    """With the settings that people have who change none but the size of the inbox."""
    offers = [Offer(4, 0.01)] * 18
    alone, beside = Acting([0.0]), Acting([0.0])
    deliver([(alone, DeliveryPolicy())], offers)

    outcome = deliver([(Acting(script), DeliveryPolicy(inbox_max=8, batch_max=1)), (beside, DeliveryPolicy())], offers)

    assert [batch for _, batch in alone.written] == [batch for _, batch in beside.written]
    assert [change.seq for change in beside.arrived] == [change.seq for change in outcome.offered]
    if script == ["never"]:
        assert outcome.paused_s == pytest.approx(DeliveryPolicy().max_pause_s)
    if script == ["bug"]:
        assert outcome.paused_s == 0
