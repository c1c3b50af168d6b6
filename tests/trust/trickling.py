"""Clients that send a byte a second, in a process of their own: `python -m tests.trust.trickling PORT KEY COUNT`."""

import asyncio
import contextlib
import sys

HEAD = b"POST /v1/uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
FORM = b"Content-Type: multipart/form-data; boundary=b\r\n"


async def trickle(port: int, key: str, count: int) -> None:
    """Hold connections, a third of them in the head, the others in the body, until every one has been cut off."""
    known = f"Authorization: Bearer {key}\r\n".encode()

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD if number % 3 == 0 else HEAD + FORM + known + b"\r\n--b\r\n")
        with contextlib.suppress(OSError):
            while not reader.at_eof():
                writer.write(b"x")
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1), 1.0)
        writer.close()

    await asyncio.gather(*(one(number) for number in range(count)))


if __name__ == "__main__":
    asyncio.run(trickle(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
