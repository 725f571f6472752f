"""Names of attributes, held to what was published."""

from typing import Final

from streamproc.sinks._otlp_names import NAMES, Names

# `gen_ai.*` of the registry in v1.36.0 that are not deprecated there, as opentelemetry-semantic-conventions 0.57b0 has
# them: github.com/open-telemetry/semantic-conventions, docs/registry/attributes/gen-ai.md
OF_1_36: Final = frozenset(
    f"gen_ai.{name}"
    for name in (
        *("agent.description", "agent.id", "agent.name", "conversation.id", "data_source.id", "operation.name"),
        *("output.type", "request.choice.count", "request.encoding_formats", "request.frequency_penalty"),
        *("request.max_tokens", "request.model", "request.presence_penalty", "request.seed", "request.stop_sequences"),
        *("request.temperature", "request.top_k", "request.top_p", "response.finish_reasons", "response.id"),
        *("response.model", "system", "token.type", "tool.call.id", "tool.description", "tool.name", "tool.type"),
        *("usage.input_tokens", "usage.output_tokens"),
    )
)


def written(names: Names) -> list[str]:
    values = (getattr(names, field) for field in names.__struct_fields__ if field != "schema_url")
    return [value for value in values if value is not None]


def test_the_older_version_has_no_name_of_a_later_one() -> None:
    assert {name for name in written(NAMES["1.36"]) if name.startswith("gen_ai.")} <= OF_1_36


def test_no_name_means_two_things() -> None:
    """All are the conventions' or under our own prefix."""
    for names in NAMES.values():
        found = written(names)

        assert len(found) == len(set(found))
        assert all(name.startswith(("gen_ai.", "streamproc.")) or name == "error.type" for name in found)


def test_ours_are_the_same_in_all_versions() -> None:
    ours = [[name for name in written(names) if name.startswith("streamproc.")] for names in NAMES.values()]

    assert ours[0] == ours[1]
