"""Stands between an MCP client and a server and writes down what passes, line by line, as it was.

Usage: tee.py TOUR DIRECTORY TRANSCRIPT COMMAND...

Each line of TRANSCRIPT is one frame: {"from": "client" | "server", "frame": TEXT}, in the order in which it passed.
What differs from run to run is replaced: DIRECTORY by `<dir>`, then whatever the tour's `rules` say
([[REGULAR EXPRESSION, REPLACEMENT], …], applied to the text of the frame in this order). Nothing else is touched.
"""

import json
import os
import re
import subprocess
import sys
import threading


def main(tour, directory, transcript, command):
    with open(tour, encoding="utf-8") as file:
        rules = [(re.compile(pattern), replacement) for pattern, replacement in json.load(file)["rules"]]
    # sorted, because a program that starts another may pass its variables on in an order of its own
    environment = dict(sorted(os.environ.items()))
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    writing = threading.Lock()
    with open(transcript, "w", encoding="utf-8") as out:

        def note(sender, line):
            text = line.decode("utf-8", errors="backslashreplace").rstrip("\n").replace(directory, "<dir>")
            for pattern, replacement in rules:
                text = pattern.sub(replacement, text)
            out.write(json.dumps({"from": sender, "frame": text}, ensure_ascii=False) + "\n")
            out.flush()

        def copy(sender, source, target):
            for line in source:
                # written down before it is passed on, so that an answer never stands before its question
                with writing:
                    note(sender, line)
                try:
                    target.write(line)
                    target.flush()
                except BrokenPipeError:
                    break
            try:
                target.close()
            except BrokenPipeError:
                pass

        asking = threading.Thread(target=copy, args=("client", sys.stdin.buffer, server.stdin), daemon=True)
        asking.start()
        copy("server", server.stdout, sys.stdout.buffer)
        sys.exit(server.wait())


main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
