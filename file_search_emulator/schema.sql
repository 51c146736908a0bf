CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE stores (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    embedding_model TEXT NOT NULL,
    created TEXT NOT NULL
);

-- An upload that has begun: its bytes so far are the file uploads/ID.
CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    store INTEGER NOT NULL REFERENCES stores ON DELETE CASCADE,
    file_name TEXT NOT NULL,
    mime_type TEXT NOT NULL,
    display_name TEXT NOT NULL,
    metadata TEXT NOT NULL,
    max_tokens INTEGER NOT NULL,
    overlap INTEGER NOT NULL,
    expected INTEGER NOT NULL,
    received INTEGER NOT NULL DEFAULT 0,
    started REAL NOT NULL
);
CREATE INDEX uploads_store ON uploads (store);

-- The number of a document is never used again, and its content never changes: caches rest on both.
CREATE TABLE documents (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    store INTEGER NOT NULL REFERENCES stores ON DELETE CASCADE,
    id TEXT NOT NULL,
    upload TEXT NOT NULL,
    file_name TEXT NOT NULL,
    mime_type TEXT NOT NULL,
    display_name TEXT NOT NULL,
    metadata TEXT NOT NULL,
    max_tokens INTEGER NOT NULL,
    overlap INTEGER NOT NULL,
    size INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'ACTIVE', 'FAILED')),
    error_code INTEGER,
    error TEXT,
    lease_holder TEXT,
    lease_until REAL NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    UNIQUE (store, id)
);
CREATE INDEX documents_pending ON documents (number) WHERE state = 'PENDING';

-- Chunks of a document that is not ACTIVE are there already, and not searched.
CREATE TABLE chunks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    text TEXT NOT NULL,
    page INTEGER,
    heading TEXT,
    tokens INTEGER NOT NULL,
    vector BLOB NOT NULL,
    indexed_title TEXT NOT NULL,
    indexed_text TEXT  -- where it differs from text
);
CREATE INDEX chunks_document ON chunks (document);

CREATE VIEW indexed_chunks AS
    SELECT number, indexed_title AS title, coalesce(indexed_text, text) AS body FROM chunks;
CREATE VIRTUAL TABLE chunk_terms USING fts5 (
    title, body, content = 'indexed_chunks', content_rowid = 'number',
    tokenize = "porter unicode61 remove_diacritics 2 categories 'L* N* Co Mn Mc'"
);
CREATE TRIGGER chunk_added AFTER INSERT ON chunks BEGIN
    INSERT INTO chunk_terms (rowid, title, body)
        VALUES (new.number, new.indexed_title, coalesce(new.indexed_text, new.text));
END;
CREATE TRIGGER chunk_deleted AFTER DELETE ON chunks BEGIN
    INSERT INTO chunk_terms (chunk_terms, rowid, title, body)
        VALUES ('delete', old.number, old.indexed_title, coalesce(old.indexed_text, old.text));
END;

-- Counts every change of what is searchable, for caches in any process.
CREATE TABLE changes (count INTEGER NOT NULL);
INSERT INTO changes VALUES (0);
CREATE TRIGGER document_settled AFTER UPDATE OF state ON documents BEGIN
    UPDATE changes SET count = count + 1;
END;
CREATE TRIGGER document_deleted AFTER DELETE ON documents BEGIN
    UPDATE changes SET count = count + 1;
END;
