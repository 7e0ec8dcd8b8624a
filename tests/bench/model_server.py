"""A language model that answers at once, on a bare aiohttp server with uvloop: what a gateway is compared with.

``python -m tests.bench.model_server`` prints its port and serves OpenAI's chat completions until it is ended.
"""

from __future__ import annotations

import asyncio
import json

import uvloop
from aiohttp import web

WORDS = 20
_ANSWER = json.dumps(
    {
        "model": "bench",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "word " * WORDS}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 50, "completion_tokens": WORDS},
    }
).encode()
_CHUNK = b'data: {"model":"bench","choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}\n\n'
_END = (
    b'data: {"model":"bench","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"model":"bench","choices":[],"usage":{"prompt_tokens":50,"completion_tokens":20}}\n\n'
    b"data: [DONE]\n\n"
)


async def answer(request: web.Request) -> web.StreamResponse:
    """Whole, or in twenty pieces."""
    asked = json.loads(await request.read())
    if not asked.get("stream"):
        return web.Response(body=_ANSWER, content_type="application/json")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for _ in range(WORDS):
        await response.write(_CHUNK)
        await asyncio.sleep(0)
    await response.write(_END)
    return response


async def serve() -> None:
    """Serve for ever."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/{tail:.*}", answer)
    runner = web.AppRunner(app, access_log=None, handle_signals=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"listening {runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
