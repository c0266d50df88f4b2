"""Decodes OTLP export requests, hex in BODIES, with OpenTelemetry's own messages; prints them as one line of JSON."""

import json
import os

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def value(any_value):
    kind = any_value.WhichOneof("value")
    if kind == "array_value":
        return [value(each) for each in any_value.array_value.values]
    return getattr(any_value, kind) if kind else None


def attributes(pairs):
    return {pair.key: value(pair.value) for pair in pairs}


spans = []
for body in os.environ["BODIES"].split():
    request = ExportTraceServiceRequest.FromString(bytes.fromhex(body))
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                spans.append(
                    {
                        "name": span.name,
                        "kind": span.kind,
                        "trace_id": span.trace_id.hex(),
                        "span_id": span.span_id.hex(),
                        "parent_span_id": span.parent_span_id.hex(),
                        "nanoseconds": span.end_time_unix_nano - span.start_time_unix_nano,
                        "status": MessageToDict(span.status).get("code", "STATUS_CODE_UNSET"),
                        "attributes": attributes(span.attributes),
                        "resource": attributes(resource_spans.resource.attributes),
                    }
                )
print(json.dumps(spans))
