"""An agent of the usual kind: FastAPI on uvicorn, SQLite for what must last. Written to be compared with, see README.md."""

import json
import os
import sqlite3
import threading
import time
import uuid
from contextlib import asynccontextmanager
from typing import Any, Dict, Optional

from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel, ConfigDict

DATABASE = os.environ.get("AGENT_DATABASE", "agent.sqlite")
EVENTS_MAX = 1000
TABLE = """
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    webhook_id TEXT UNIQUE,
    created REAL NOT NULL,
    type TEXT NOT NULL,
    metadata TEXT NOT NULL
)
"""


class Webhook(BaseModel):
    """The fields that the documents name, checked for their type; unknown ones are kept."""

    model_config = ConfigDict(extra="allow")
    workflow_id: Optional[str] = None
    workflow_name: Optional[str] = None
    status: Optional[str] = None
    metadata: Optional[Dict[str, Any]] = None


class Store:
    """One connection, one writer at a time: SQLite has no more. A commit returns when the log is flushed to the disk."""

    def __init__(self, path):
        self.lock = threading.Lock()
        self.connection = sqlite3.connect(path, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        self.connection.execute(TABLE)
        self.connection.commit()

    def add(self, kind, webhook_id, metadata):
        """The id of the event, and whether the webhook came before."""
        row = (str(uuid.uuid4()), webhook_id, time.time(), kind, metadata)
        with self.lock:
            try:
                with self.connection:
                    self.connection.execute("INSERT INTO events (id, webhook_id, created, type, metadata) VALUES (?, ?, ?, ?, ?)", row)
            except sqlite3.IntegrityError:
                return self.connection.execute("SELECT id FROM events WHERE webhook_id = ?", (webhook_id,)).fetchone()[0], True
        return row[0], False

    def since(self, seq, limit):
        with self.lock:
            found = self.connection.execute(
                "SELECT seq, id, created, type, metadata FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
            )
            return found.fetchall()


store: Optional[Store] = None


@asynccontextmanager
async def lifespan(_):
    global store
    store = Store(DATABASE)
    yield
    store.connection.close()


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health():
    return {"status": "healthy", "version": "1.0.0"}


# Not `async`: FastAPI runs it in its pool of threads, so that a flush does not hold up the loop.
@app.post("/api/webhooks/chainbot/{kind}/{what}")
def webhook(kind: str, what: str, body: Webhook, webhook_id: Optional[str] = Header(None)):
    if body.status is not None and body.status != what:
        raise HTTPException(422, f"status must be {what}")
    event, is_duplicate = store.add(f"{kind}_{what}", webhook_id, body.model_dump_json())
    return {"status": "success", "id": event, "duplicate": is_duplicate}


@app.get("/api/events")
def events(since: int = 0, limit: int = 100):
    rows = store.since(since, min(limit, EVENTS_MAX))
    found = [
        {"seq": seq, "id": event, "timestamp": created, "type": kind, "metadata": json.loads(metadata)}
        for seq, event, created, kind, metadata in rows
    ]
    return {"events": found, "next": rows[-1][0] if rows else since}
