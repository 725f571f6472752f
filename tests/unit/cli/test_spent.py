"""What the runs of an input spent, read off its changes."""

from streamproc import StreamProcessor
from streamproc.cli.spent import Spent
from streamproc.cost import Prices
from tests.prices import round_prices
from tests.streams import creation, message, run, sse, step

PART = {"prompt_tokens": 1, "completion_tokens": 2}


def spent_on(*events: bytes, prices: Prices | None = None) -> Spent:
    proc, spent = StreamProcessor(), Spent(prices)
    for data in events:
        spent.take(proc.feed(data))
    spent.take(proc.close())
    return spent


def test_nothing_was_said() -> None:
    """Neither 0 nor null: the run is not there."""
    assert spent_on(sse(run("created"), step("completed"), run("completed"))).summary() == {"usage": []}


def test_newest_state_counts() -> None:
    """Whatever was said before, and by steps and messages."""
    more = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    spent = spent_on(
        sse(run("created", model="a"), step("completed", usage=PART), message("completed", usage=PART)),
        sse(run("in_progress", model="b", usage=PART), run("completed", model="b", usage=more)),
    )

    assert spent.summary() == {"usage": [{"run": "run_1", "model": "b", "basis": "run", **more}]}


def test_run_that_said_nothing_is_its_steps() -> None:
    """A step that came without its run's id is known to be of that run."""
    spent = spent_on(
        sse(run("created"), step("completed", usage=PART)),
        sse(step("completed", "step_2", step_details=creation(), usage=PART, run_id=None)),
    )

    assert spent.summary()["usage"] == [
        {"run": "run_1", "model": None, "basis": "steps"}
        | {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}
    ]


def test_cost_is_plain_text() -> None:
    """No exponent, however small or large."""
    usage = {"prompt_tokens": 10**30, "completion_tokens": 0}
    with round_prices():
        spent = spent_on(sse(run("completed", model="acme-plain", usage=usage)), prices=Prices())
        cost = spent.summary()["cost"]

    assert cost["usd"] == "1" + "0" * 30
