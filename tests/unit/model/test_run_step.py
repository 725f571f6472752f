"""RunStep field by field against the protocol, then its open enums, its errors, its usage and its details."""

import json
from typing import Any, NamedTuple, get_args, get_type_hints

import pytest
from msgspec import UNSET, UnsetType

from streamproc.model.run_step import (
    ActivitiesDetails,
    Activity,
    LastError,
    MessageCreation,
    MessageCreationDetails,
    RunStep,
    RunStepStatus,
    RunStepType,
    TokenDetails,
    ToolCallsDetails,
    UnknownDetails,
    Usage,
)
from streamproc.model.tool_calls import FunctionToolCall, UnknownToolCall
from streamproc.model.wire import attach_wire, from_wire, to_wire
from tests.unit.model.samples import STEP_ACTIVITIES, STEP_MESSAGE, STEP_TOOL_CALLS

MESSAGE_DETAILS = {"type": "message_creation", "message_creation": {"message_id": "msg_1"}}


class Row(NamedTuple):
    """One field: what it accepts, what is known of it, and what comes of an example."""

    name: str
    accepts: Any  # the value's type, null and absence apart
    nullable: bool
    example: Any  # as JSON data
    value: Any  # what the example decodes to
    misfit: Any  # JSON data of another type
    literals: Any = ()  # the alias that lists the known values


TIMESTAMP = int | float
FIELDS = [
    Row("id", str, False, "step_abc", "step_abc", 7),
    Row("assistant_id", str, True, "asst_abc", "asst_abc", 7),
    Row("cancelled_at", TIMESTAMP, True, 1760000001, 1760000001, "1760000001"),
    Row("completed_at", TIMESTAMP, True, 1760000002, 1760000002, True),
    Row("created_at", TIMESTAMP, True, 1760000000, 1760000000, [1760000000]),
    Row("expired_at", TIMESTAMP, True, 1760000003, 1760000003, "soon"),
    Row("failed_at", TIMESTAMP, True, 1760000004, 1760000004, {}),
    Row(
        "last_error",
        LastError,
        True,
        {"code": "rate_limit_exceeded", "message": "slow down"},
        LastError(code="rate_limit_exceeded", message="slow down"),
        "rate_limit_exceeded",
    ),
    Row("metadata", dict[str, Any], True, {"tenant": "a"}, {"tenant": "a"}, ["tenant"]),
    Row("object", str, True, "thread.run.step", "thread.run.step", {"type": "step"}),
    Row("run_id", str, True, "run_abc", "run_abc", False),
    Row("status", str, True, "in_progress", "in_progress", 3, RunStepStatus),
    Row(
        "step_details",
        Any,
        True,
        MESSAGE_DETAILS,
        MessageCreationDetails(message_creation=MessageCreation(message_id="msg_1")),
        "message_creation",
    ),
    Row("thread_id", str, True, "thread_abc", "thread_abc", 1.5),
    Row("type", str, True, "message_creation", "message_creation", 7, RunStepType),
    Row(
        "usage",
        Usage,
        True,
        {"completion_tokens": 1, "prompt_tokens": 2, "total_tokens": 3},
        Usage(completion_tokens=1, prompt_tokens=2, total_tokens=3),
        [1, 2, 3],
    ),
]
ADDITION = Row("expires_at", TIMESTAMP, True, 1760000600, 1760000600, "later")

each_field = pytest.mark.parametrize("row", [*FIELDS, ADDITION], ids=lambda row: row.name)


def wire(step: RunStep) -> Any:
    return json.loads(to_wire(step))


# --- the table --------------------------------------------------------------------------------------------------------


def test_fields_are_the_sixteen_and_expires_at() -> None:
    """Nothing is missing, and nothing was added but the one field that servers send undeclared."""
    expected = {row.name for row in FIELDS} | {"expires_at"}

    assert len(FIELDS) == 16
    assert expected == set(RunStep.__struct_fields__)
    assert RunStep.__struct_fields__ == RunStep.__struct_encode_fields__


@each_field
def test_field_accepts_its_type(row: Row) -> None:
    """The declared type is the value's, or null, or absent; `id` alone is always there.

    `step_details` is opened by hand, so that at run time anything may stand there first.
    """
    expected = row.accepts | UnsetType | None if row.nullable else row.accepts

    assert expected == get_type_hints(RunStep)[row.name]


@each_field
def test_field_reads_its_example(row: Row) -> None:
    """The value is there typed, no other field is touched, and it is written as it was read."""
    data = {"id": "step_abc", row.name: row.example}
    step = from_wire(RunStep, data)

    assert row.value == getattr(step, row.name)
    assert RunStep(id="step_abc", **{row.name: row.value} if row.name != "id" else {}) == step
    assert data == wire(step)


@each_field
def test_absent_field_is_unset_and_stays_absent(row: Row) -> None:
    """Absent is not null; an id that is absent reads as empty text."""
    step = from_wire(RunStep, {})

    assert getattr(step, row.name) == ("" if row.name == "id" else UNSET)
    assert wire(step) == {"id": ""}


@each_field
def test_null_field_is_none_and_stays_null(row: Row) -> None:
    """Null is not absent; only an id cannot be null."""
    step = from_wire(RunStep, {row.name: None})

    assert getattr(step, row.name) == (None if row.nullable else "")
    assert wire(step) == ({"id": "", row.name: None} if row.nullable else {"id": ""})


@each_field
def test_misfit_costs_only_its_field(row: Row) -> None:
    """A value of another type leaves that field out of the struct; every other field and the JSON keep theirs."""
    data = {**{other.name: other.example for other in FIELDS}, row.name: row.misfit}
    step = from_wire(RunStep, data)
    attach_wire(step, json.dumps(data).encode())

    assert getattr(step, row.name) == ("" if row.name == "id" else UNSET)
    assert all(other.value == getattr(step, other.name) for other in FIELDS if other.name != row.name)
    assert data == wire(step)


# --- open enums -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alias", "expected"),
    [
        (RunStepType, {"message_creation", "tool_calls"}),
        (RunStepStatus, {"in_progress", "cancelled", "failed", "completed", "expired"}),
    ],
    ids=["type", "status"],
)
def test_known_values_are_those_of_the_protocol(alias: Any, expected: set[str]) -> None:
    """The aliases list what is documented, each value once."""
    assert expected == set(get_args(alias))
    assert len(expected) == len(get_args(alias))


def test_only_type_and_status_have_known_values() -> None:
    """The other texts are names and ids."""
    assert [row.name for row in FIELDS if row.literals] == ["status", "type"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((row.name, value) for row in FIELDS if row.literals for value in get_args(row.literals)),
        ("status", "paused"),
        ("status", ""),
        ("type", "activities"),
        ("type", "thinking"),
        ("object", "thread.run.step.v3"),
    ],
)
def test_enum_takes_any_text(name: str, value: str) -> None:
    """Known or not, a value is read and written as it came."""
    data = {"id": "step_abc", name: value}

    assert getattr(from_wire(RunStep, data), name) == value
    assert data == wire(from_wire(RunStep, data))


# --- timestamps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [row.name for row in [*FIELDS, ADDITION] if row.accepts == TIMESTAMP])
@pytest.mark.parametrize("value", [0, 1760000000.25, -1, 10**30])
def test_timestamp_keeps_its_number(name: str, value: float) -> None:
    """Fractions too, as some servers send them; an integer stays one."""
    actual = getattr(from_wire(RunStep, {name: value}), name)

    assert (value, type(value)) == (actual, type(actual))


def test_expires_at_does_not_expire_the_step() -> None:
    """A running step carries `expires_at`; that it expired is another field."""
    step = from_wire(RunStep, {"id": "step_abc", "status": "in_progress", "expires_at": 1760000600})

    assert (step.expires_at, step.expired_at) == (1760000600, UNSET)
    assert "expired_at" not in wire(step)


# --- last_error -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"code": "server_error", "message": "m"}, LastError(code="server_error", message="m")),
        ({"code": "brand_new", "message": "m"}, LastError(code="brand_new", message="m")),
        ({"code": None}, LastError(code=None)),
        ({}, LastError()),
        ({"code": 500, "message": "m"}, LastError(message="m")),
    ],
)
def test_last_error(data: dict[str, Any], expected: LastError) -> None:
    """Its code is open, both members may be absent or null, and a misfit costs one of them."""
    assert expected == from_wire(RunStep, {"last_error": data}).last_error


# --- usage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["token", "tokens"])
def test_usage_reads_both_spellings_of_its_breakdowns(spelling: str) -> None:
    """Servers write `prompt_tokens_details` or `prompt_token_details`, and likewise for completions."""
    data = {
        "total_tokens": 120,
        f"prompt_{spelling}_details": {"cached_tokens": 64, "cache_write_tokens": 16},
        f"completion_{spelling}_details": {"reasoning_tokens": 8},
    }
    usage = from_wire(Usage, data)

    assert (usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens) == (64, 16, 8)
    assert getattr(usage, f"prompt_{spelling}_details") == TokenDetails(cached_tokens=64, cache_write_tokens=16)
    assert json.loads(to_wire(usage)) == data


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, None),
        ({"prompt_tokens_details": None}, None),
        ({"prompt_tokens_details": {}}, None),
        ({"prompt_tokens_details": {"cached_tokens": None}}, None),
        ({"prompt_tokens_details": {"cached_tokens": "64"}}, None),
        ({"prompt_tokens_details": {"cached_tokens": 0}}, 0),
        ({"prompt_tokens_details": {"cached_tokens": 1}, "prompt_token_details": {"cached_tokens": 2}}, 1),
        ({"prompt_tokens_details": {"cached_tokens": None}, "prompt_token_details": {"cached_tokens": 2}}, 2),
        ({"completion_tokens_details": {"cached_tokens": 3}}, None),
    ],
)
def test_cached_tokens_is_the_first_count_there_is(data: dict[str, Any], expected: int | None) -> None:
    """Absent, null and misfit counts say nothing; 0 is a count."""
    assert expected == from_wire(Usage, data).cached_tokens


@pytest.mark.parametrize("name", ["cached_tokens", "cache_write_tokens", "reasoning_tokens"])
def test_breakdown_that_nobody_sent_is_unknown(name: str) -> None:
    """Unknown is not 0."""
    assert getattr(from_wire(Usage, {"prompt_tokens": 1, "completion_tokens": 2}), name) is None


def test_usage_keeps_what_fits() -> None:
    """A count that is no integer costs that count."""
    actual = from_wire(RunStep, {"usage": {"prompt_tokens": 1, "total_tokens": "3", "input_tokens": 1}}).usage

    assert Usage(prompt_tokens=1) == actual


# --- step_details -----------------------------------------------------------------------------------------------------


def test_message_creation_details() -> None:
    """They point to the message."""
    details = from_wire(RunStep, STEP_MESSAGE).step_details

    assert MessageCreationDetails(message_creation=MessageCreation(message_id="msg_1")) == details
    assert isinstance(details, MessageCreationDetails)
    assert details.type == "message_creation"


def test_tool_calls_details() -> None:
    """They hold the calls in their order."""
    details = from_wire(RunStep, STEP_TOOL_CALLS).step_details

    assert isinstance(details, ToolCallsDetails)
    assert isinstance(details.tool_calls, tuple)
    assert [call.id for call in details.tool_calls] == [f"call_{number}" for number in range(1, 17)]


def test_activities_details() -> None:
    """Azure: what the service did on its own."""
    details = from_wire(RunStep, STEP_ACTIVITIES).step_details

    assert isinstance(details, ActivitiesDetails)
    assert isinstance(details.activities, tuple)
    (activity,) = details.activities
    assert isinstance(activity, Activity)
    assert (activity.type, activity.id, activity.server_label) == ("mcp_list_tools", "mcpl_1", "github")
    assert isinstance(activity.tools, dict)
    assert list(activity.tools) == ["search_code"]


@pytest.mark.parametrize(
    "data",
    [
        {"type": "thinking", "content": "hm", "deep": {"er": [1]}},
        {"type": "TOOL_CALLS", "tool_calls": []},
        {"type": None, "tool_calls": []},
        {"type": 3},
        {"type": ["tool_calls"]},
        {"tool_calls": []},
        {},
    ],
)
def test_unknown_details_keep_all_members(data: dict[str, Any]) -> None:
    """Details of a type we do not know, or of none, are a dict of what came."""
    step = from_wire(RunStep, {"id": "step_abc", "step_details": data})

    assert isinstance(step.step_details, UnknownDetails)
    assert step.step_details == data
    assert wire(step) == {"id": "step_abc", "step_details": data}


@pytest.mark.parametrize("misfit", ["tool_calls", "", 0, False, [], [{"type": "tool_calls"}]])
def test_details_that_are_no_object_are_left_out(misfit: Any) -> None:
    """Whoever matches on the details meets what their type says and nothing else."""
    assert from_wire(RunStep, {"step_details": misfit}).step_details is UNSET


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"type": "tool_calls"}, ToolCallsDetails()),
        ({"type": "tool_calls", "tool_calls": None}, ToolCallsDetails(tool_calls=None)),
        ({"type": "tool_calls", "tool_calls": []}, ToolCallsDetails(tool_calls=())),
        ({"type": "tool_calls", "tool_calls": "none"}, ToolCallsDetails()),
        ({"type": "tool_calls", "tool_calls": {"type": "function"}}, ToolCallsDetails()),
        ({"type": "message_creation"}, MessageCreationDetails()),
        ({"type": "message_creation", "message_creation": None}, MessageCreationDetails(message_creation=None)),
        ({"type": "message_creation", "message_creation": "msg_1"}, MessageCreationDetails()),
        (
            {"type": "message_creation", "message_creation": {"message_id": 1}},
            MessageCreationDetails(message_creation=MessageCreation()),
        ),
        ({"type": "activities", "activities": [{"tools": []}]}, ActivitiesDetails(activities=(Activity(),))),
    ],
)
def test_known_details_with_odd_members(data: dict[str, Any], expected: object) -> None:
    """The type alone decides which details these are."""
    assert expected == from_wire(RunStep, {"step_details": data}).step_details


def test_tool_calls_that_are_no_objects_are_empty_unknown_ones() -> None:
    """The calls beside them, known and unknown, keep their positions."""
    calls: list[Any] = ["call_1", {"type": "function"}, None, {"type": "teleport"}]
    details = from_wire(RunStep, {"step_details": {"type": "tool_calls", "tool_calls": calls}}).step_details
    empty = UnknownToolCall()

    assert ToolCallsDetails(tool_calls=(empty, FunctionToolCall(), empty, UnknownToolCall(type="teleport"))) == details


def test_details_made_by_hand_stay_as_they_are() -> None:
    """A struct is not opened once more."""
    details = ToolCallsDetails(tool_calls=(FunctionToolCall(id="call_1"),))
    unknown = UnknownDetails(type="thinking")

    assert RunStep(id="step_abc", step_details=details).step_details is details
    assert RunStep(id="step_abc", step_details=unknown).step_details is unknown
