"""Drives a filesystem MCP server over stdio with the official Python client (protocol 2025-11-25).

Usage: filesystem_client.py DIRECTORY COMMAND...   Prints one JSON object with what it saw.
"""

import asyncio
import json
import sys

from mcp import ClientSession, StdioServerParameters, stdio_client


def text_of(result):
    return "\n".join(part.text for part in result.content if part.type == "text")


async def main(directory, command):
    seen = {}
    parameters = StdioServerParameters(command=command[0], args=command[1:], env=None)
    async with stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
        initialized = await session.initialize()
        seen["protocol"] = initialized.protocolVersion if hasattr(initialized, "protocolVersion") else initialized.protocol_version
        seen["tools"] = sorted(tool.name for tool in (await session.list_tools()).tools)

        async def call(name, arguments):
            result = await session.call_tool(name, arguments)
            error = result.isError if hasattr(result, "isError") else result.is_error
            return {"error": bool(error), "text": text_of(result)}

        seen["list"] = await call("list_directory", {"path": directory})
        seen["read"] = await call("read_text_file", {"path": f"{directory}/hello.txt"})
        seen["write"] = await call("write_file", {"path": f"{directory}/made.txt", "content": "made\n"})
        seen["forbidden"] = await call("write_file", {"path": f"{directory}/secret/x.txt", "content": "no\n"})
        seen["sneaky"] = await call("write_file", {"path": f"{directory}/a/../secret/y.txt", "content": "no\n"})
        seen["missing"] = await call("read_text_file", {"path": f"{directory}/nothing-here.txt"})
    print(json.dumps(seen))


asyncio.run(main(sys.argv[1], sys.argv[2:]))
