"""Usage put together: sums over unknown counts, and each token counted once."""

from typing import Any

import pytest
from msgspec import UNSET

from streamproc import Message, Run, RunStep, StreamProcessor, Usage
from streamproc.model.run_step import TokenDetails
from streamproc.model.wire import from_wire
from streamproc.usage import COUNTS, known_counts, total_usage, usage_report
from tests.streams import creation, message, run, sse, step

WHOLE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 16},
    "completion_tokens_details": {"reasoning_tokens": 8},
}


def usage(**members: Any) -> Usage:
    return from_wire(Usage, members)


def spent(prompt: int, completion: int) -> Usage:
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


# --- counts and sums --------------------------------------------------------------------------------------------------


def test_all_six_counts_are_known_by_name() -> None:
    """In the order of COUNTS, breakdowns beside what they are parts of."""
    expected = [100, 64, 16, 20, 8, 120]

    assert expected == [known_counts(usage(**WHOLE))[name] for name in COUNTS]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, {}),
        ({"prompt_tokens": None, "prompt_tokens_details": None}, {}),
        ({"prompt_tokens": -1, "completion_tokens": 0}, {"completion_tokens": 0}),
        ({"prompt_tokens": 1}, {"prompt_tokens": 1}),
        (
            {"prompt_tokens": 1, "completion_tokens": 2},
            {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        ),
        (
            {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 9},
            {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 9},
        ),
        ({"prompt_token_details": {"cached_tokens": 0}}, {"cached_tokens": 0}),
    ],
    ids=["absent", "null", "negative", "half", "no total", "odd total", "other spelling"],
)
def test_unknown_counts_are_left_out(data: dict[str, Any], expected: dict[str, int]) -> None:
    """0 is a count; what is absent, null or below 0 is none; a total that was said stands."""
    assert expected == known_counts(usage(**data))


def test_sum_adds_count_by_count() -> None:
    """Whichever way a breakdown was spelled."""
    other = usage(
        prompt_tokens=1,
        completion_tokens=2,
        prompt_token_details={"cached_tokens": 3, "cache_write_tokens": 4},
        completion_token_details={"reasoning_tokens": 5},
    )
    expected = Usage(
        prompt_tokens=101,
        completion_tokens=22,
        total_tokens=123,
        prompt_tokens_details=TokenDetails(cached_tokens=67, cache_write_tokens=20),
        completion_tokens_details=TokenDetails(reasoning_tokens=13),
    )

    assert expected == total_usage([usage(**WHOLE), other])


def test_sum_with_an_unknown_summand_is_unknown() -> None:
    """In that count alone: 64 cached tokens and nobody knows how many are not 64."""
    total = total_usage([usage(**WHOLE), usage(prompt_tokens=1, completion_tokens=2)])

    assert (total.prompt_tokens, total.total_tokens) == (101, 123)
    assert (total.cached_tokens, total.reasoning_tokens) == (None, None)
    assert (total.prompt_tokens_details, total.completion_tokens_details) == (UNSET, UNSET)


def test_sum_of_nothing_is_unknown() -> None:
    assert Usage() == total_usage([])


# --- the report -------------------------------------------------------------------------------------------------------


def test_run_counts_once() -> None:
    """Its own usage stands for that of its steps and of their messages, which are told beside it."""
    proc = StreamProcessor()
    part, whole = {"prompt_tokens": 1, "completion_tokens": 2}, {"prompt_tokens": 3, "completion_tokens": 5}
    proc.feed(
        sse(
            run("created", model="gpt-4o"),
            step("completed", usage=part),
            message("completed", usage=part),
            step("completed", "step_2", step_details=creation(), usage=None),
            run("completed", model="gpt-4o", usage=whole),
        )
    )
    report = usage_report(proc.runs, proc.steps, proc.messages)
    (counted,) = report.runs.values()

    assert (counted.run_id, counted.model, counted.basis) == ("run_1", "gpt-4o", "run")
    assert counted.usage == Usage(prompt_tokens=3, completion_tokens=5)
    assert (counted.steps, counted.steps_with_usage, counted.steps_account) == (2, 1, False)
    assert report.steps == {"step_1": Usage(prompt_tokens=1, completion_tokens=2)}
    assert report.messages == {"msg_1": Usage(prompt_tokens=1, completion_tokens=2)}
    assert report.models["gpt-4o"].usage == spent(3, 5) == report.total


def test_run_without_usage_is_what_its_steps_said() -> None:
    """A run that is going on, or broke off, spent at least that."""
    steps = {
        "a": RunStep(id="a", run_id="run_1", usage=spent(1, 2)),
        "b": RunStep(id="b", run_id="run_1", usage=None),
        "c": RunStep(id="c", run_id="run_1", usage=spent(3, 4)),
    }
    counted = usage_report({"run_1": Run(id="run_1", usage=None)}, steps).runs["run_1"]

    assert (counted.usage, counted.basis) == (spent(4, 6), "steps")
    assert (counted.model, counted.steps, counted.steps_with_usage) == (None, 3, 2)


def test_run_of_which_nobody_said_anything_is_unknown() -> None:
    """Neither absent nor empty usage makes a run free of charge."""
    runs = {"run_1": Run(id="run_1", model="m"), "run_2": Run(id="run_2", model="m", usage=Usage())}
    runs["run_3"] = Run(id="run_3", model="m", usage=spent(1, 2))
    report = usage_report(runs, {"a": RunStep(id="a", run_id="run_1", usage=Usage(total_tokens=None))})

    assert [(counted.usage, counted.basis) for counted in report.runs.values()] == [
        (None, None),
        (None, None),
        (spent(1, 2), "run"),
    ]
    assert report.steps == {}
    model = report.models["m"]
    assert (model.runs, model.runs_without_usage, model.usage) == (3, 2, spent(1, 2))


def test_models_are_told_apart() -> None:
    """Runs that name none are together too."""
    runs = {
        "run_1": Run(id="run_1", model="a", usage=spent(1, 1)),
        "run_2": Run(id="run_2", model="b", usage=spent(2, 2)),
        "run_3": Run(id="run_3", model="a", usage=spent(3, 3)),
        "run_4": Run(id="run_4", usage=spent(4, 4)),
    }
    models = usage_report(runs, {}).models

    assert {name: (model.runs, model.usage) for name, model in models.items()} == {
        "a": (2, spent(4, 4)),
        "b": (1, spent(2, 2)),
        None: (1, spent(4, 4)),
    }


def test_step_of_an_unseen_run_makes_one() -> None:
    """One that names no run stands alone."""
    steps = {
        "a": RunStep(id="a", run_id="run_9", usage=spent(1, 2)),
        "b": RunStep(id="b", usage=spent(3, 4)),
    }
    report = usage_report({}, steps, {"m": Message(id="m")})

    assert [(counted.run_id, counted.usage) for counted in report.runs.values()] == [("run_9", spent(1, 2))]
    assert report.steps == {"a": spent(1, 2), "b": spent(3, 4)}
    assert report.messages == {}
    assert report.total == spent(1, 2)


@pytest.mark.parametrize(
    ("whole", "parts", "expected"),
    [
        (spent(3, 5), [spent(1, 2), spent(2, 3)], True),
        (spent(3, 5), [spent(1, 2), spent(2, 2)], False),
        (spent(3, 5), [spent(3, 5), None], False),
        (spent(3, 5), [], False),
        (Usage(total_tokens=8), [spent(3, 5)], False),
        (spent(3, 5), [Usage(prompt_tokens=3, prompt_tokens_details=TokenDetails(cached_tokens=1))], False),
        (spent(100, 20), [usage(**WHOLE)], True),
        (usage(**WHOLE), [spent(100, 20)], False),
        (None, [spent(3, 5)], False),
    ],
    ids=[
        *["same", "less", "silent step", "no step", "total alone", "half a step", "steps know more", "run knows more"],
        "silent run",
    ],
)
def test_steps_account_for_a_run(whole: Usage | None, parts: list[Usage | None], expected: bool) -> None:
    """Each of them said its usage, and they come to all that the run said."""
    steps = {str(at): RunStep(id=str(at), run_id="run_1", usage=part) for at, part in enumerate(parts)}
    counted = usage_report({"run_1": Run(id="run_1", usage=whole)}, steps).runs["run_1"]

    assert counted.steps_account is expected
