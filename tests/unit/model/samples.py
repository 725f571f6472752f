"""Wire objects as servers send them: JSON data with every declared member of the model in it, and no other."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

__all__ = [
    "BROKEN_OFF",
    "EVERY_OBJECT",
    "MESSAGE",
    "RUN",
    "RUN_APPROVAL",
    "RUN_REQUIRES_ACTION",
    "STEP_ACTIVITIES",
    "STEP_MESSAGE",
    "STEP_TOOL_CALLS",
    "THREAD",
    "TOOL_CALLS",
    "with_unknown",
]

Json: TypeAlias = dict[str, Any]

TOOL_CALLS: Final[Mapping[str, Json]] = {
    "function": {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city":"Żywiec"}', "output": "12 °C"},
    },
    "code_interpreter": {
        "id": "call_2",
        "type": "code_interpreter",
        "code_interpreter": {
            "input": "print(6 * 7)\nplot()",
            "outputs": [
                {"type": "logs", "logs": "42\n"},
                {"type": "image", "image": {"file_id": "file-plot"}},
            ],
        },
    },
    "file_search": {
        "id": "call_3",
        "type": "file_search",
        "file_search": {
            "ranking_options": {"ranker": "default_2024_08_21", "score_threshold": 0.25},
            "results": [
                {
                    "file_id": "file-a",
                    "file_name": "report.pdf",
                    "score": 0.75,
                    "content": [{"type": "text", "text": "third quarter"}],
                },
                {"file_id": "file-b", "file_name": "notes.md", "score": 1, "content": []},
            ],
        },
    },
    "retrieval": {"id": "call_4", "type": "retrieval", "retrieval": {}},
    "azure_ai_search": {
        "id": "call_5",
        "type": "azure_ai_search",
        "azure_ai_search": {"input": "leave policy", "output": '{"summary":"28 days"}'},
    },
    "bing_grounding": {
        "id": "call_6",
        "type": "bing_grounding",
        "bing_grounding": {"requesturl": "https://api.bing.microsoft.com/v7.0/search?q=tides"},
    },
    "bing_custom_search": {
        "id": "call_7",
        "type": "bing_custom_search",
        "bing_custom_search": {"requesturl": "https://api.bing.microsoft.com/v7.0/custom/search?q=tides"},
    },
    "sharepoint_grounding": {
        "id": "call_8",
        "type": "sharepoint_grounding",
        "sharepoint_grounding": {"input": "minutes of May", "output": "three pages"},
    },
    "fabric_dataagent": {
        "id": "call_9",
        "type": "fabric_dataagent",
        "fabric_dataagent": {"input": "sales by month", "output": "a table"},
    },
    "openapi": {
        "id": "call_10",
        "type": "openapi",
        "openapi": {"name": "weather_get", "arguments": '{"lat":1}', "output": "{}"},
        "function": {"name": "weather_get", "arguments": '{"lat":1}', "output": "{}"},
    },
    "mcp": {
        "id": "call_11",
        "type": "mcp",
        "name": "search_code",
        "arguments": '{"q":"sse"}',
        "output": "no hits",
        "server_label": "github",
    },
    "connected_agent": {
        "id": "call_12",
        "type": "connected_agent",
        "connected_agent": {
            "name": "stocks",
            "arguments": "MSFT?",
            "output": "up",
            "run_id": "run_child",
            "thread_id": "thread_child",
            "assistant_id": "asst_child",
        },
    },
    "deep_research": {
        "id": "call_13",
        "type": "deep_research",
        "deep_research": {"input": "history of tea", "output": "long"},
    },
    "azure_function": {
        "id": "call_14",
        "type": "azure_function",
        "azure_function": {"name": "enqueue", "arguments": "{}", "output": None},
    },
    "browser_automation": {
        "id": "call_15",
        "type": "browser_automation",
        "browser_automation": {
            "input": "open the shop",
            "output": "opened",
            "steps": [{"last_step_result": "ok", "current_state": "home page", "next_step": "stop"}],
        },
    },
    "computer_use_preview": {
        "id": "call_16",
        "type": "computer_use_preview",
        "computer_use_preview": {
            "action": {"type": "click", "x": 3, "y": 5, "button": "left"},
            "pending_safety_checks": [{"id": "cu_1", "code": "malicious_instructions", "message": "check"}],
            "output": {"type": "computer_screenshot", "file_id": "file-shot"},
            "acknowledged_safety_checks": [],
        },
    },
}
"""Wire type -> a finished call of that type."""

USAGE: Final[Json] = {
    "completion_tokens": 20,
    "prompt_tokens": 100,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 16},
    "completion_tokens_details": {"reasoning_tokens": 8},
}

STEP_TOOL_CALLS: Final[Json] = {
    "id": "step_1",
    "object": "thread.run.step",
    "created_at": 1760000000,
    "run_id": "run_1",
    "assistant_id": "asst_1",
    "thread_id": "thread_1",
    "type": "tool_calls",
    "status": "completed",
    "cancelled_at": None,
    "completed_at": 1760000004,
    "expired_at": None,
    "failed_at": None,
    "expires_at": 1760000600,
    "last_error": None,
    "metadata": {"tenant": "a"},
    "usage": USAGE,
    "step_details": {"type": "tool_calls", "tool_calls": list(TOOL_CALLS.values())},
}

STEP_MESSAGE: Final[Json] = {
    "id": "step_2",
    "object": "thread.run.step",
    "created_at": 1760000005,
    "run_id": "run_1",
    "assistant_id": "asst_1",
    "thread_id": "thread_1",
    "type": "message_creation",
    "status": "failed",
    "failed_at": 1760000006.25,
    "last_error": {"code": "server_error", "message": "Sorry, something went wrong."},
    "usage": None,
    "step_details": {"type": "message_creation", "message_creation": {"message_id": "msg_1"}},
}

STEP_ACTIVITIES: Final[Json] = {
    "id": "step_3",
    "object": "thread.run.step",
    "type": "activities",
    "status": "completed",
    "step_details": {
        "type": "activities",
        "activities": [
            {
                "type": "mcp_list_tools",
                "id": "mcpl_1",
                "server_label": "github",
                "tools": {"search_code": {"description": None, "parameters": {"type": "object", "properties": {}}}},
            }
        ],
    },
}

RUN: Final[Json] = {
    "id": "run_1",
    "object": "thread.run",
    "created_at": 1760000000,
    "assistant_id": "asst_1",
    "thread_id": "thread_1",
    "status": "incomplete",
    "started_at": 1760000001,
    "expires_at": None,
    "cancelled_at": None,
    "failed_at": None,
    "completed_at": 1760000009,
    "required_action": None,
    "last_error": {"code": "invalid_prompt", "message": "no"},
    "incomplete_details": {"reason": "max_completion_tokens"},
    "model": "gpt-4o",
    "instructions": None,
    "tools": [{"type": "code_interpreter"}, {"type": "function", "function": {"name": "get_weather"}}],
    "tool_resources": {"code_interpreter": {"file_ids": ["file-a"]}},
    "metadata": {},
    "usage": USAGE,
    "temperature": 1.0,
    "top_p": 1,
    "reasoning_effort": "low",
    "max_prompt_tokens": 1000,
    "max_completion_tokens": None,
    "truncation_strategy": {"type": "last_messages", "last_messages": 10},
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}},
    "file_ids": ["file-a"],
}

RUN_REQUIRES_ACTION: Final[Json] = {
    "id": "run_1",
    "object": "thread.run",
    "status": "requires_action",
    "required_action": {
        "type": "submit_tool_outputs",
        "submit_tool_outputs": {
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}},
                TOOL_CALLS["computer_use_preview"],
            ]
        },
    },
    "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    "response_format": "auto",
}

RUN_APPROVAL: Final[Json] = {
    "id": "run_1",
    "object": "thread.run",
    "status": "requires_action",
    "required_action": {
        "type": "submit_tool_approval",
        "submit_tool_approval": {
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "mcp",
                    "name": "search_code",
                    "arguments": "{}",
                    "server_label": "github",
                }
            ]
        },
    },
}

MESSAGE: Final[Json] = {
    "id": "msg_1",
    "object": "thread.message",
    "created_at": 1760000005,
    "thread_id": "thread_1",
    "run_id": "run_1",
    "assistant_id": "asst_1",
    "status": "incomplete",
    "completed_at": None,
    "incomplete_at": 1760000009,
    "incomplete_details": {"reason": "content_filter"},
    "role": "assistant",
    "content": [
        {
            "type": "text",
            "text": {
                "value": "See [1], [2] and [3].",
                "annotations": [
                    {
                        "type": "file_citation",
                        "text": "[1]",
                        "start_index": 4,
                        "end_index": 7,
                        "file_citation": {"file_id": "file-a", "quote": "third quarter"},
                    },
                    {
                        "type": "file_path",
                        "text": "[2]",
                        "start_index": 9,
                        "end_index": 12,
                        "file_path": {"file_id": "file-b"},
                    },
                    {
                        "type": "url_citation",
                        "text": "[3]",
                        "start_index": 17,
                        "end_index": 20,
                        "url_citation": {"url": "https://example.com", "title": "Example"},
                    },
                ],
            },
        },
        {"type": "image_file", "image_file": {"file_id": "file-plot", "detail": "auto"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
        {"type": "refusal", "refusal": "I cannot do that."},
    ],
    "attachments": [{"file_id": "file-a", "tools": [{"type": "file_search"}]}],
    "metadata": {"tenant": "a"},
    "file_ids": ["file-a"],
    "usage": USAGE,
}

THREAD: Final[Json] = {
    "id": "thread_1",
    "object": "thread",
    "created_at": 1760000000,
    "metadata": {},
    "tool_resources": {"file_search": {"vector_store_ids": ["vs_1"]}},
}

BROKEN_OFF: Final[Json] = {"id": "step_4"}

EVERY_OBJECT: Final[Mapping[str, Json]] = {
    "run": RUN,
    "run that waits for outputs": RUN_REQUIRES_ACTION,
    "run that waits for approval": RUN_APPROVAL,
    "step with every tool": STEP_TOOL_CALLS,
    "step with a message": STEP_MESSAGE,
    "step with activities": STEP_ACTIVITIES,
    "step with nothing but an id": BROKEN_OFF,
    "message": MESSAGE,
    "thread": THREAD,
}


def with_unknown(data: Any) -> Any:
    """The same JSON data with a member nobody knows in each object, at every depth."""
    if isinstance(data, dict):
        return {**{name: with_unknown(value) for name, value in data.items()}, "x_new": {"deep": [None, 1.5, "ż"]}}
    if isinstance(data, list):
        return [with_unknown(item) for item in data]
    return data
