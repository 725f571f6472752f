"""The receiver of the tests, so that what it says of a sink can be believed."""

import gzip
from http.client import HTTPConnection
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.otlp_receiver import OtlpReceiverProcess, keys, latest, requests, taken

HEADERS = {"Content-Type": "application/x-protobuf"}


def body(name: str, seq: int = 1) -> bytes:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.name, span.trace_id, span.span_id = name, b"t" * 16, b"s" * 8
    span.start_time_unix_nano, span.end_time_unix_nano = 1, 2
    span.attributes.add(key="streamproc.stream").value.string_value = "s"
    span.attributes.add(key="streamproc.epoch").value.int_value = 1
    span.attributes.add(key="streamproc.seq").value.int_value = seq
    names = span.attributes.add(key="names").value.array_value
    names.values.add().string_value = "a"
    return request.SerializeToString()


def post(port: int, data: bytes, **headers: str) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", "/v1/traces", body=data, headers=HEADERS | headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_process_that_is_killed_and_comes_back(tmp_path: Path) -> None:
    """Its file goes on, a refusal is no taken span, and a torn line is none either."""
    with OtlpReceiverProcess(tmp_path / "arrived.jsonl") as receiver:
        first = post(receiver.port, body("first"))
        receiver.tell(status=503, times=1)
        refused = post(receiver.port, body("refused"))
        receiver.kill()
        with receiver.record.open("ab") as file:
            file.write(b'{"status": 200, "spa\n')
        receiver.start()
        packed = post(receiver.port, gzip.compress(body("packed", seq=2)), **{"Content-Encoding": "gzip"})
        spans = receiver.await_taken(1)

    assert (first[0], refused[0], packed[0]) == (200, 503, 200)
    assert [span.name for span in spans] == ["first", "packed"]
    assert spans[0].trace_id == "74" * 16
    assert spans[0].attributes["names"] == ["a"]
    assert keys(spans) == [("s", 1, 1), ("s", 1, 2)]
    assert [span.name for span in latest(spans).values()] == ["packed"]
    assert [request.status for request in requests(receiver.record)] == [200, 503, 200]


def test_what_is_told(tmp_path: Path) -> None:
    """A partial success, and a body that is none."""
    with OtlpReceiverProcess(tmp_path / "arrived.jsonl") as receiver:
        receiver.tell(rejected_spans=2, error_message="too old")
        partial = ExportTraceServiceResponse.FromString(post(receiver.port, body("first"))[1]).partial_success
        garbage = post(receiver.port, b"\xff\xff\xff")
        receiver.tell()
        whole = post(receiver.port, body("second"))

    assert (partial.rejected_spans, partial.error_message) == (2, "too old")
    assert garbage[0] == 400
    assert whole == (200, b"")
    assert [span.name for span in taken(receiver.record)] == ["first", "second"]
