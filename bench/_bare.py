"""What bench/accept.py stands beside: Flask, the same pool, one INSERT. ``DATABASE_URL`` says where; the table is there."""

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402
from uuid import uuid4

from flask import Flask, Response, request
from psycopg.types.json import Jsonb

from settings import get_settings
from store.pool import open_database

database = open_database(get_settings(), "bare", cooperative=True)
app = Flask("bare")


@app.post("/v1/calls")
def keep() -> tuple[Response | dict[str, str], int]:
    """The body as it came, under a new id."""
    made = uuid4()
    with database.connection() as conn:
        conn.execute("INSERT INTO bare_calls (id, body) VALUES (%s, %s)", (made, Jsonb(request.get_json())))
    return {"id": str(made)}, 202
