"""Reads /metrics with Prometheus' own parsers, in both text formats, and prints what it found as one line of JSON."""

import io
import json
import os
import urllib.request

from prometheus_client.openmetrics.parser import text_fd_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_fd_to_metric_families as parse_prometheus

URL = os.environ["METRICS_URL"]


def scrape(accept, parse):
    request = urllib.request.Request(URL, headers={"Accept": accept})
    with urllib.request.urlopen(request) as answer:
        text = answer.read().decode()
        content_type = answer.headers["content-type"]
    families = list(parse(io.StringIO(text)))
    return {
        "content_type": content_type,
        "types": {family.name: family.type for family in families},
        "undocumented": [family.name for family in families if not family.documentation],
        "samples": [
            {"name": sample.name, "labels": sample.labels, "value": sample.value}
            for family in families
            for sample in family.samples
        ],
    }


prometheus = scrape("text/plain", parse_prometheus)
openmetrics = scrape("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", parse_openmetrics)
print(json.dumps({"prometheus": prometheus, "openmetrics": openmetrics}))
