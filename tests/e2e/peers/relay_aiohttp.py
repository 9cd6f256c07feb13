"""A WebSocket server on aiohttp whose behaviour is told to it line by line; see relay.py."""

import asyncio
import json
import sys

from aiohttp import WSMsgType, web

current = None
closings = {}


def say(**what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def serve(request):
    global current
    current = request, web.WebSocketResponse(protocols=["charter.v1"], max_msg_size=int(sys.argv[1]), autoping=False, compress=True)
    socket = current[1]
    await socket.prepare(request)
    say(type="open", protocol=socket.ws_protocol, path=request.path, extensions="")
    async for message in socket:
        if message.type == WSMsgType.TEXT:
            say(type="text", data=message.data)
        elif message.type == WSMsgType.PING:
            say(type="ping", data=message.data.decode())
            await socket.pong(message.data)
        elif message.type == WSMsgType.PONG:
            say(type="pong", data=message.data.decode())
        elif message.type == WSMsgType.ERROR:
            say(type="error", data=str(socket.exception()))
    if socket in closings:  # the connection would be cut where the handler ends before it
        await closings[socket]
    say(type="close", code=socket.close_code, reason="")
    return socket


async def act(what):
    request, socket = current
    if what["do"] == "text":
        await socket.send_str(what["data"])
    elif what["do"] == "ping":
        await socket.ping(what["data"].encode())
    elif what["do"] == "close":
        closings[socket] = asyncio.ensure_future(socket.close(code=what["code"], message=what["reason"].encode()))
    elif what["do"] == "drop":
        request.transport.abort()


async def attempt(what):
    try:
        await act(what)
    except (ConnectionError) as fault:  # it has just gone
        say(type="error", data=str(fault))


async def main():
    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    say(type="listening", port=runner.addresses[0][1])
    while True:
        line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        if not line:
            return
        asyncio.ensure_future(attempt(json.loads(line)))


asyncio.run(main())
