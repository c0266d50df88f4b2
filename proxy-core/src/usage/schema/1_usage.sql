-- One row a request. The id is given when the event is recorded, so that inserting it twice changes nothing.
CREATE TABLE usage_event (
    id INTEGER PRIMARY KEY,
    ts_ms INTEGER NOT NULL,
    route TEXT NOT NULL,
    method TEXT NOT NULL,
    surface TEXT NOT NULL,
    request_id TEXT NOT NULL,
    key TEXT NOT NULL,
    client TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    requested_model TEXT NOT NULL,
    effective_model TEXT NOT NULL,
    effort TEXT,
    stream INTEGER NOT NULL,
    status INTEGER NOT NULL,
    error_code TEXT,
    input_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    tool_calls INTEGER NOT NULL,
    ttft_ms INTEGER,
    duration_ms INTEGER NOT NULL,
    worker INTEGER,
    thread TEXT NOT NULL,
    request_bytes INTEGER NOT NULL,
    response_bytes INTEGER NOT NULL
) STRICT;
CREATE INDEX usage_event_ts ON usage_event (ts_ms);

-- The sums of a quarter of an hour (slot = seconds since the epoch / 900), once for each kind of name:
-- 0 all requests, 1 by model, 2 by key, 3 by client.
CREATE TABLE usage_sum (
    kind INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    name TEXT NOT NULL,
    requests INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    estimated_requests INTEGER NOT NULL,
    estimated_tokens INTEGER NOT NULL,
    ttft_sum_ms INTEGER NOT NULL,
    ttft_count INTEGER NOT NULL,
    duration_sum_ms INTEGER NOT NULL,
    PRIMARY KEY (kind, slot, name)
) STRICT, WITHOUT ROWID;

-- What the writer has to remember: 'log_path' and 'log_id' of the usage log file, and 'raw_since_ms', before which
-- events may have been removed.
CREATE TABLE usage_state (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
