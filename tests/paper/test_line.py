"""What is done to a line after it is gone does no harm."""

import asyncio

from vigil.paper.line import forget_unsent


async def test_a_line_that_is_closed_already_can_be_reset():
    async with await asyncio.start_server(lambda _, peer: peer.close(), "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()
        _, writer = await asyncio.open_connection(*address)
        socket = writer.transport.get_extra_info("socket")
        writer.transport.abort()
        while socket.fileno() != -1:
            await asyncio.sleep(0)
        forget_unsent(writer.transport)
