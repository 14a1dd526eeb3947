"""What the parts of scripts/bench have in common: servers that are asked and loaded, tables, the load itself."""
import json
import os
import re
import subprocess
import sys
import time
import urllib.request

import daemons
from daemons import ROOT, free_port, run, say  # noqa: F401

AUTH = r"type = InfrastructureManager; username = user; password = pass\nid = dummy; type = Dummy"
RADL = """network public (outbound = 'yes')
system node (net_interface.0.connection = 'public' and disk.0.image.url = 'mock0://linux.for.ev.er/image1')
contextualize ()
deploy node %d
"""


class Server(daemons.Server):
    """One that is asked as its user asks it."""

    def ask(self, method, path, body=None, timeout=600):
        request = urllib.request.Request(self.url(path), method=method, data=body)
        request.add_header("Authorization", AUTH)
        if body is not None:
            request.add_header("Content-Type", "text/plain")
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.read().decode()

    def create(self, number):
        start = time.perf_counter()
        url = self.ask("POST", "/infrastructures", (RADL % number).encode())
        took = time.perf_counter() - start
        states = json.loads(self.ask("GET", f"/infrastructures/{url.rsplit('/', 1)[1]}/state"))["state"]["vm_states"]
        assert len(states) == number, f"{self.name} has {len(states)} of {number} machines"
        return url.rsplit("/", 1)[1], took

    def delete(self, infrastructure):
        start = time.perf_counter()
        self.ask("DELETE", f"/infrastructures/{infrastructure}")
        return time.perf_counter() - start

    def load(self, path, seconds, connections=16):
        """Requests per second; every answer must be a success."""
        out = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-H", f"Authorization: {AUTH}", self.url(path)],
            check=True, capture_output=True, text=True).stdout
        if "Non-2xx" in out:
            sys.exit(f"{self.name} {path}: {out}")
        return float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))

    def scripted_load(self, script, arguments, seconds, connections=16, port=None):
        """Load of a Lua script that ends with the line `RESULT requests microseconds p50 p95 p99 errors`: requests per second
        and the three percentiles in seconds."""
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s", script,
                   f"http://127.0.0.1:{port or self.port}", "--", *arguments]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        requests, time_taken, p50, p95, p99, errors = map(float, re.search(r"RESULT (.*)", out).group(1).split())
        if errors or not requests:
            sys.exit(f"{self.name}: {errors:.0f} failures under load: {out}")
        return requests / time_taken * 1e6, p50 / 1e6, p95 / 1e6, p99 / 1e6


class Table:
    def __init__(self, title, *columns):
        self.title, self.columns, self.rows = title, columns, []

    def add(self, *row):
        self.rows.append([str(cell) for cell in row])
        say("  " + " | ".join(self.rows[-1]))

    def show(self, markdown):
        print(f"\n### {self.title}\n" if markdown else f"\n{self.title}")
        if markdown:
            print("| " + " | ".join(self.columns) + " |")
            print("|" + "---|" * len(self.columns))
            for row in self.rows:
                print("| " + " | ".join(row) + " |")
            return
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows)]
        for row in [self.columns, *self.rows]:
            print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)))


def seconds(value):
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"


def both(binary, venv, work, xmlrpc=False):
    """imd and the reference, started."""
    ours = daemons.start_imd(binary, work, xmlrpc=xmlrpc, kind=Server)
    return ours, daemons.start_reference(venv, work, kind=Server)
