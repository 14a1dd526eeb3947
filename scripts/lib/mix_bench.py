"""The mix part of scripts/bench: imd and the reference with many infrastructures of one owner, asked as clients ask.

The reference needs minutes to make a thousand infrastructures, so it makes one, and the others are copies of that row with
other ids, written into its database while it does not run. Before anything is measured both have answered for the state of
every infrastructure once, since the reference reads them from its database at the first use and keeps them.
"""
import concurrent.futures
import os
import sqlite3
import time
import uuid
import xmlrpc.client

import daemons
from measure import AUTH, RADL, Server, Table, both, say, seconds

MACHINES = 3
LUA = os.path.dirname(os.path.abspath(__file__))


def fill_imd(server, number):
    """Creates them one beside the other."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        document = (RADL % MACHINES).encode()
        urls = list(pool.map(lambda _: server.ask("POST", "/infrastructures", document), range(number)))
    return [url.rsplit("/", 1)[1] for url in urls]


def fill_reference(server, venv, work, number):
    """Creates one, copies its row, and starts it again: the new server, the ids, the time of the one create."""
    one, took = server.create(MACHINES)
    server.stop()
    ids = [one] + [str(uuid.uuid1()) for _ in range(number - 1)]
    folder = os.path.join(work, "reference")
    with sqlite3.connect(os.path.join(folder, "inf.dat")) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(inf_list)")]
        row = database.execute(f"SELECT {', '.join(columns)} FROM inf_list WHERE id = ?", (one,)).fetchone()
        marks = ", ".join("?" * len(columns))
        other = lambda value, new: value.replace(one, new) if isinstance(value, str) else value  # noqa: E731
        rows = [[other(value, new) for value in row] for new in ids[1:]]
        database.executemany(f"INSERT INTO inf_list ({', '.join(columns)}) VALUES ({marks})", rows)
    database.close()
    return daemons.start_reference(venv, work, kind=Server, keep=True), ids, took


def warm(server, ids):
    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for text in pool.map(lambda one: server.ask("GET", f"/infrastructures/{one}/state"), ids):
            assert text.count('"configured"') == MACHINES + 1, f"{server.name}: {text}"
    return time.perf_counter() - start


def listing(server, ids, times):
    """Median time of the list, asked alone."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        text = server.ask("GET", "/infrastructures")
        taken.append(time.perf_counter() - start)
        assert len(text.split()) == len(ids), f"{server.name} lists {len(text.split())} of {len(ids)}"
    return sorted(taken)[len(taken) // 2]


def measure(options, binary, venv):
    number, duration = (100, 3) if options.quick else (1000, 15)
    ours, theirs = both(binary, venv, options.work, xmlrpc=True)
    servers = [ours, theirs]
    table = Table(f"Mix of requests at {number} infrastructures of {MACHINES} machines, one owner (16 connections)", "figure",
                  "imd", "reference", "ratio")
    try:
        say("filling")
        start = time.perf_counter()
        our_ids = fill_imd(ours, number)
        our_filling = time.perf_counter() - start
        theirs, their_ids, one = fill_reference(theirs, venv, options.work, number)
        servers = [ours, theirs]
        table.add(f"making all {number}", seconds(our_filling), f"{seconds(one * number)} (from one create)",
                  f"{one * number / our_filling:.0f}x")
        first = warm(ours, our_ids), warm(theirs, their_ids)
        table.add("state of each, one after the other", *map(seconds, first), f"{first[1] / first[0]:.0f}x")

        say("list")
        lists = listing(ours, our_ids, 51), listing(theirs, their_ids, 5)
        table.add("list of all, asked alone (median)", *map(seconds, lists), f"{lists[1] / lists[0]:.0f}x")

        say("mix")
        results = []
        for server, ids in ((ours, our_ids), (theirs, their_ids)):
            file = os.path.join(options.work, server.name + ".ids")
            with open(file, "w") as out:
                out.write("\n".join(ids))
            results.append(server.scripted_load(os.path.join(LUA, "mix.lua"), [file, AUTH], duration))
        (rate, *times), (their_rate, *their_times) = results
        table.add("requests per second", f"{rate:.0f}", f"{their_rate:.1f}", f"{rate / their_rate:.0f}x")
        for name, mine, other in zip(("median", "p95", "p99"), times, their_times):
            table.add(f"time of an answer, {name}", seconds(mine), seconds(other), f"{other / mine:.0f}x")

        say("XML-RPC")
        items = [dict(part.strip().split(" = ") for part in item.split(";")) for item in AUTH.split("\\n")]
        rates = []
        for server, ids in ((ours, our_ids), (theirs, their_ids)):
            body = xmlrpc.client.dumps((ids[0], items), "GetInfrastructureState")
            script = os.path.join(LUA, "xmlrpc.lua")
            rates.append(server.scripted_load(script, [body], duration, port=server.rpc_port)[0])
        table.add("GetInfrastructureState over XML-RPC, per second", f"{rates[0]:.0f}", f"{rates[1]:.1f}", f"{rates[0] / rates[1]:.0f}x")
        table.add("resident memory", *(f"{server.memory():.1f} MiB" for server in servers),
                  f"1/{theirs.memory() / ours.memory():.1f}")
    finally:
        for server in servers:
            server.stop()
    return [table]
