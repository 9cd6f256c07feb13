"""The same stream as link_stream's by aiohttp: aiohttp_stream.py COUNT BYTES URL [CA-FILE]"""

import asyncio
import resource
import ssl
import sys
import time

import aiohttp


def cpu_us():
    use = resource.getrusage(resource.RUSAGE_SELF)
    return (use.ru_utime + use.ru_stime) * 1e6


async def main():
    count, size, url = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    trust = ssl.create_default_context(cafile=sys.argv[4]) if len(sys.argv) > 4 else None
    text = "x" * size
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url, protocols=["charter.v1"], ssl=trust) as socket:
            cpu, wall = cpu_us(), time.perf_counter()
            for _ in range(count):
                await socket.send_str(text)
            await socket.close()
            print(round(cpu_us() - cpu), round((time.perf_counter() - wall) * 1e6))


asyncio.run(main())
