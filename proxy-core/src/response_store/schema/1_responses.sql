-- One row a response. `object` is the response without its output. A response that was deleted while others
-- continue it stays with `deleted` = 1 and an empty object until the last of them is gone.
CREATE TABLE response (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    background INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0,
    parent INTEGER REFERENCES response (number),
    object TEXT NOT NULL
) STRICT;
CREATE INDEX response_owner ON response (owner);
CREATE INDEX response_parent ON response (parent) WHERE parent IS NOT NULL;
CREATE INDEX response_age ON response (created_at) WHERE deleted = 0;
CREATE INDEX response_running ON response (number) WHERE status IN ('queued', 'in_progress');

-- `used_at` is the time of the last change.
CREATE TABLE conversation (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    object TEXT NOT NULL
) STRICT;
CREATE INDEX conversation_owner ON conversation (owner);
CREATE INDEX conversation_age ON conversation (used_at);

-- One row an item, in the order of the numbers. It belongs to a response, to a conversation, or to both.
CREATE TABLE item (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    response INTEGER REFERENCES response (number),
    conversation INTEGER REFERENCES conversation (number),
    output INTEGER NOT NULL,
    id TEXT,
    item TEXT NOT NULL,
    CHECK (response IS NOT NULL OR conversation IS NOT NULL)
) STRICT;
CREATE INDEX item_response ON item (response) WHERE response IS NOT NULL;
CREATE INDEX item_conversation ON item (conversation) WHERE conversation IS NOT NULL;
CREATE INDEX item_id ON item (id) WHERE id IS NOT NULL;

-- One row a stored chat completion. `object` is the completion without its metadata.
CREATE TABLE chat (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    model TEXT NOT NULL,
    metadata TEXT NOT NULL,
    object TEXT NOT NULL
) STRICT;
CREATE INDEX chat_owner ON chat (owner, created_at);
CREATE INDEX chat_age ON chat (created_at);

CREATE TABLE chat_message (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    chat INTEGER NOT NULL REFERENCES chat (number) ON DELETE CASCADE,
    id TEXT,
    message TEXT NOT NULL
) STRICT;
CREATE INDEX chat_message_chat ON chat_message (chat);
