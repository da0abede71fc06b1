"""An agent that holds a delegation of its own and signs each call itself, with the official MCP client.

Usage: delegated_agent.py DELEGATION_FILE SERVER_ALIAS COMMAND...

Reads one JSON object a line from standard input and prints one for each: {"call": TOOL, "args": {…}} makes a call,
{"again": true} sends the last call again with the very same proof, {"hand": HOLDER, "tools": {…}, "text": …,
"out": FILE} narrows its delegation for a sub-agent with a fresh key. Needs clients/python on PYTHONPATH.
"""

import asyncio
import json
import sys

from deeds_delegation import Delegation, DelegationError
from mcp import ClientSession, StdioServerParameters, stdio_client


async def main(path, alias, command):
    mine = Delegation.read(path)
    parameters = StdioServerParameters(command=command[0], args=command[1:], env=None)
    async with stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        last = None

        async def call(name, arguments, meta):
            result = await session.call_tool(name, arguments, meta=meta)
            error = result.isError if hasattr(result, "isError") else result.is_error
            return {"error": bool(error), "text": "\n".join(part.text for part in result.content if part.type == "text")}

        print(json.dumps({"ready": True}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            if "hand" in asked:
                try:
                    theirs = mine.child(asked["hand"], tools=asked["tools"], handoff=asked["text"])
                    theirs.write(asked["out"])
                    told = {"error": False, "digest": theirs.digest}
                except DelegationError as error:
                    told = {"error": True, "text": str(error)}
            elif "again" in asked:
                told = await call(*last)
            else:
                last = (asked["call"], asked["args"], mine.meta(f"stdio:{alias}#{asked['call']}", asked["args"]))
                told = await call(*last)
            print(json.dumps(told), flush=True)


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
