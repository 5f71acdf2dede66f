"""A voice agent for Trunkline in one file: greets, repeats what it hears, is interrupted by 0, hangs up at 9.

    pip install websockets
    TRUNKLINE_AGENT_SECRET=agsec_... python examples/agent.py 8766

Without the secret it lets in anybody. The protocol: docs/agent-protocol.md; the token: docs/agent-token.md.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import math
import os
import struct
import sys
import time

from websockets.asyncio.server import serve

SECRET = os.environ.get("TRUNKLINE_AGENT_SECRET")
GREETING = b"".join(struct.pack("<h", int(8000 * math.sin(i * 2 * math.pi * 440 / 8000))) for i in range(8000))  # 1 s
seen: dict[str, float] = {}  # tokens that were used, and until when they are good


def check(connection, request):
    """401 for whoever does not bring a token of ours that is new and for this attempt."""
    if SECRET is None:
        return None
    signed, _, signature = request.headers.get("Authorization", "").removeprefix("Bearer ").rpartition(".")
    mac = base64.urlsafe_b64encode(hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest()).rstrip(b"=")
    if not hmac.compare_digest(signature.encode(), mac):
        return connection.respond(401, "not signed by the relay\n")
    claims, now = json.loads(base64.urlsafe_b64decode(signed.partition(".")[2] + "==")), time.time()
    fresh = claims["iat"] - 30 <= now < claims["exp"] + 30 and claims["jti"] not in seen
    if not fresh or claims["attempt"] != request.headers.get("X-Trunkline-Attempt"):
        return connection.respond(401, "expired, used before, or for another attempt\n")
    for jti in [jti for jti, until in seen.items() if until < now]:
        del seen[jti]
    seen[claims["jti"]] = claims["exp"] + 30
    return None


async def talk(socket) -> None:
    """One call."""
    heard = b""
    async for message in socket:
        if isinstance(message, bytes):  # 20 ms of the callee: L16, 8 kHz
            heard += message
            if len(heard) >= 32_000:  # 2 s
                await socket.send(heard)
                heard = b""
            continue
        event = json.loads(message)
        if event["event"] == "start":
            print("call", event["call"]["id"], "variables", event["call"]["variables"], flush=True)
            await socket.send(json.dumps({"event": "ready"}))
            if not event["resumed"]:
                await socket.send(GREETING)  # played when somebody picks up
        elif event["event"] == "dtmf" and event["digit"] == "0":
            await socket.send(json.dumps({"event": "clear"}))
        elif event["event"] == "dtmf" and event["digit"] == "9":
            await socket.send(json.dumps({"event": "hangup", "after_playback": True}))
        elif event["event"] in ("error", "stop"):
            print(event, flush=True)


async def main(port: int) -> None:
    """Until it is interrupted."""
    async with serve(talk, "127.0.0.1", port, process_request=check, subprotocols=["trunkline.agent.v1"]) as server:
        print(f"listening on ws://127.0.0.1:{port}/", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8766))
