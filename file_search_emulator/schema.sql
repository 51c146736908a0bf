CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE stores (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    embedding_model TEXT NOT NULL,
    created TEXT NOT NULL
);

-- An upload that has begun, into a store or (without one) among the files: its bytes so far are the blob of this id.
CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    store INTEGER REFERENCES stores ON DELETE CASCADE,
    request TEXT NOT NULL,
    file_name TEXT NOT NULL,
    mime_type TEXT NOT NULL,
    expected INTEGER NOT NULL,
    received INTEGER NOT NULL DEFAULT 0,
    started REAL NOT NULL
);
CREATE INDEX uploads_store ON uploads (store);

CREATE TABLE files (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    blob TEXT NOT NULL,
    display_name TEXT NOT NULL,
    mime_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    created REAL NOT NULL
);

-- The number of a document is never used again, and its text never changes: caches rest on both.
-- Its blob is kept until it is indexed, a picture's for ever.
CREATE TABLE documents (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    store INTEGER NOT NULL REFERENCES stores ON DELETE CASCADE,
    id TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('upload', 'import')),
    blob TEXT NOT NULL,
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
    fault TEXT,          -- the failure that was asked for
    recovers_in REAL,    -- seconds from that failure until it is ACTIVE after all
    lease_holder TEXT,
    lease_until REAL NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    takes_long INTEGER NOT NULL DEFAULT 0,
    analysis INTEGER NOT NULL DEFAULT 0,    -- the version of ANALYSIS (analysis.py) that made its chunks
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    UNIQUE (store, id)
);
CREATE INDEX documents_analysis ON documents (analysis);
CREATE INDEX documents_unsettled ON documents (lease_until) WHERE state = 'PENDING' OR recovers_in IS NOT NULL;

-- Chunks of a document that is not ACTIVE are there already, and not searched.
CREATE TABLE chunks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    text TEXT NOT NULL,
    page INTEGER,
    heading TEXT,
    tokens INTEGER NOT NULL,
    vector BLOB NOT NULL,
    term_count INTEGER NOT NULL,
    postings BLOB NOT NULL
);
CREATE INDEX chunks_document ON chunks (document);

CREATE TABLE interactions (
    id TEXT PRIMARY KEY,
    body TEXT NOT NULL,
    created REAL NOT NULL
);

-- Counts every change of what is searchable, for caches in any process.
CREATE TABLE changes (count INTEGER NOT NULL);
INSERT INTO changes VALUES (0);
CREATE TRIGGER document_settled AFTER UPDATE OF state, analysis ON documents BEGIN
    UPDATE changes SET count = count + 1;
END;
CREATE TRIGGER document_deleted AFTER DELETE ON documents BEGIN
    UPDATE changes SET count = count + 1;
END;
