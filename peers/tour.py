"""Takes the official Python client through a tour of an MCP server (tours/*.json).

Usage: tour.py ERA TOUR DIRECTORY COMMAND...

ERA is `initialize` (2025-11-25), `discover` (2026-07-28), or `probe`: discover first, initialize when that fails,
as for a server that speaks the older revisions alone. Steps with `only` are for that client or era.
Prints one JSON object a step: what the client's caller saw of it. The frames are written down by tee.py.
"""

import json
import logging
import os
import sys
import warnings

import anyio
import mcp_types as types
from mcp import ClientSession, StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError
from pydantic import TypeAdapter

PATIENCE = 30  # seconds for what a step waits for
ANYTHING = TypeAdapter(dict)


class Seen:
    """What came from the server since the step began."""

    def __init__(self):
        self.methods = []
        self.changed = anyio.Event()

    def begin(self):
        self.methods = []

    def note(self, method):
        self.methods.append(method)
        self.changed.set()
        self.changed = anyio.Event()

    async def wait(self, wanted):
        missing = list(wanted)
        with anyio.fail_after(PATIENCE):
            while True:
                missing = list(wanted)
                for method in self.methods:
                    if method in missing:
                        missing.remove(method)
                if not missing:
                    return
                await self.changed.wait()


class Watched:
    """One of the client's two streams; says what came from the server, and when this client has answered."""

    def __init__(self, stream, seen):
        self.stream, self.seen = stream, seen

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def __aiter__(self):
        return self

    async def __anext__(self):
        item = await self.stream.__anext__()
        method = getattr(getattr(item, "message", None), "method", None)
        if method is not None:
            self.seen.note(method)
        return item

    async def send(self, item):
        await self.stream.send(item)
        if getattr(item.message, "method", None) is None:
            self.seen.note("answer")

    async def __aenter__(self):
        await self.stream.__aenter__()
        return self

    async def __aexit__(self, *why):
        return await self.stream.__aexit__(*why)


def filled(value, known):
    """The value with `${NAME}` replaced by what is known."""
    if isinstance(value, str):
        for name, text in known.items():
            value = value.replace("${" + name + "}", text)
        return value
    if isinstance(value, list):
        return [filled(item, known) for item in value]
    if isinstance(value, dict):
        return {name: filled(item, known) for name, item in value.items()}
    return value


def at(value, path):
    for name in path.split("/"):
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value


class Tour:
    def __init__(self, session, tour, directory, seen):
        self.session, self.tour, self.seen = session, tour, seen
        self.known = {"dir": directory}

    async def request(self, method, params, progress):
        """As an application would call it; for what the client has no call of its own, the plain request."""
        session = self.session

        def page():
            return types.PaginatedRequestParams(**params) if params else None

        calls = {
            "ping": lambda: session.send_ping(),
            "logging/setLevel": lambda: session.set_logging_level(params["level"]),
            "tools/list": lambda: session.list_tools(params=page()),
            "resources/list": lambda: session.list_resources(params=page()),
            "resources/templates/list": lambda: session.list_resource_templates(params=page()),
            "resources/read": lambda: session.read_resource(params["uri"]),
            "resources/subscribe": lambda: session.subscribe_resource(params["uri"]),
            "resources/unsubscribe": lambda: session.unsubscribe_resource(params["uri"]),
            "prompts/list": lambda: session.list_prompts(params=page()),
            "prompts/get": lambda: session.get_prompt(params["name"], params.get("arguments")),
        }
        if method in calls:
            return await calls[method]()
        if method == "tools/call" and "task" not in params:
            return await session.call_tool(
                params["name"], params.get("arguments"), progress_callback=progress, read_timeout_seconds=PATIENCE
            )
        plain = types.Request[dict, str](method=method, params=params)
        return await session.send_request(plain, ANYTHING, progress_callback=progress)

    async def take(self, step):
        self.seen.begin()
        self.session.answers = {**self.tour.get("answers", {}), **step.get("answers", {})}
        if "notify" in step:
            note = types.Notification[dict | None, str](method=step["notify"], params=filled(step.get("params"), self.known))
            await self.session.send_notification(note)
            outcome = {"notified": step["notify"]}
        elif "request" in step:
            outcome = await self.asked(step)
        else:
            outcome = {}
        await self.seen.wait(step.get("wait", []))
        return outcome

    async def asked(self, step):
        params = filled(step.get("params"), self.known)

        async def progress(*_):
            pass

        outcome = {"asked": step["request"]}
        try:
            if "cancel_after" in step:
                async with anyio.create_task_group() as group:

                    async def call():
                        await self.request(step["request"], params, progress)
                        outcome["came"] = "result"

                    group.start_soon(call)
                    await self.seen.wait([step["cancel_after"]])
                    group.cancel_scope.cancel()
                outcome.setdefault("came", "cancelled")
                return outcome
            result = await self.request(step["request"], params, progress if step.get("progress") else None)
            raw = result if isinstance(result, dict) else result.model_dump(by_alias=True, mode="json", exclude_none=True)
            for name, path in step.get("save", {}).items():
                self.known[name] = at(raw, path)
            outcome["came"] = "tool error" if raw.get("isError") else "result"
        except MCPError as error:
            outcome["came"] = f"error {error.code}"
        return outcome


async def main(era, path, directory, command):
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")  # of what the newest revision no longer has
    with open(path, encoding="utf-8") as file:
        tour = json.load(file)
    seen = Seen()

    def told(answer, kind):
        return types.ErrorData(**answer["error"]) if "error" in answer else kind.model_validate(answer)

    async def sampling(_, __):
        return told(session.answers["sampling/createMessage"], types.CreateMessageResult)

    async def elicitation(_, __):
        return told(session.answers["elicitation/create"], types.ElicitResult)

    async def roots(_):
        return told(filled(session.answers["roots/list"], {"dir": directory}), types.ListRootsResult)

    parameters = StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ))
    async with stdio_client(parameters) as (read, write):
        asks = "answers" in tour
        session = ClientSession(
            Watched(read, seen),
            Watched(write, seen),
            client_info=types.Implementation(name="tour", version="1"),
            sampling_callback=sampling if asks else None,
            elicitation_callback=elicitation if asks else None,
            list_roots_callback=roots if asks else None,
        )
        session.answers = tour.get("answers", {})
        async with session:
            if era in ("probe", "discover"):
                try:
                    await session.discover()
                except MCPError as error:
                    print(json.dumps({"asked": "server/discover", "came": f"error {error.code}"}))
            if session.protocol_version is None:
                await session.initialize()
                await seen.wait(tour.get("after_initialize", []))
            travel = Tour(session, tour, directory, seen)
            for step in tour["steps"]:
                if step.get("only", "python") in ("python", era):
                    print(json.dumps(await travel.take(step)), flush=True)


anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
