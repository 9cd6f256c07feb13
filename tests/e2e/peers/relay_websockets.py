"""A WebSocket server on python3-websockets whose behaviour is told to it line by line; see relay.py."""

import asyncio
import json
import sys

import websockets

current = None


def say(**what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def serve(socket):
    global current
    current = socket
    say(type="open", protocol=socket.subprotocol, path=socket.path, extensions=len(socket.extensions) and "some" or "")
    try:
        async for message in socket:
            say(type="text" if isinstance(message, str) else "binary", data=str(message))
    except websockets.ConnectionClosed:
        pass
    say(type="close", code=socket.close_code, reason=socket.close_reason)


async def pieces(of):
    for piece in of:
        yield piece


async def act(what):
    socket = current
    if what["do"] == "text":
        await socket.send(what["data"])
    elif what["do"] == "fragments":
        await socket.send(pieces(what["pieces"]))
    elif what["do"] == "ping":
        await (await socket.ping(what["data"]))
        say(type="pong", data=what["data"])
    elif what["do"] == "close":
        await socket.close(what["code"], what["reason"])
    elif what["do"] == "drop":
        socket.transport.abort()


async def attempt(what):
    try:
        await act(what)
    except (ConnectionError, websockets.ConnectionClosed) as fault:  # it has just gone
        say(type="error", data=str(fault))


async def main():
    server = await websockets.serve(serve, "127.0.0.1", 0, subprotocols=["charter.v1"], max_size=int(sys.argv[1]), ping_interval=None)
    say(type="listening", port=server.sockets[0].getsockname()[1])
    while True:
        line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        if not line:
            return
        asyncio.ensure_future(attempt(json.loads(line)))


asyncio.run(main())
