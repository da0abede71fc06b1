"""Drives mcp-server-time over stdio with the stateless client of the official SDK (protocol 2026-07-28).

Usage: time_client.py COMMAND...   Prints one JSON object with what it saw.
"""

import asyncio
import json
import sys

from mcp import Client, StdioServerParameters, stdio_client


async def main(command):
    parameters = StdioServerParameters(command=command[0], args=command[1:], env=None)
    async with Client(stdio_client(parameters)) as client:
        seen = {"protocol": client.protocol_version}
        seen["tools"] = sorted(tool.name for tool in (await client.list_tools()).tools)
        result = await client.call_tool("get_current_time", {"timezone": "Europe/Berlin"})
        seen["now"] = {"error": bool(result.is_error), "text": result.content[0].text}
    print(json.dumps(seen))


asyncio.run(main(sys.argv[1:]))
