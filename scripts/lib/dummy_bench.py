"""The dummy part of scripts/bench: imd, the reference and a bare HTTP handler, with few and with large infrastructures."""
import os
import time
import urllib.request

import daemons
from measure import AUTH, ROOT, Server, Table, both, free_port, say, seconds


def start_floor(binary, work, kind, body):
    folder = os.path.join(work, "floor")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "body"), "w") as out:
        out.write(body)
    port = free_port()
    return Server("floor", [binary, f"127.0.0.1:{port}", kind, f"{folder}/body"], port, "/", cwd=folder)


def measure(options, binary, venv):
    daemons.build("release", "--example", "floor")
    floor_binary = os.path.join(ROOT, "target", "release", "examples", "floor")
    duration = 2 if options.quick else 5

    say("start-up and memory")
    process = Table("Start-up and memory", "figure", "imd", "reference", "ratio")
    ours, theirs = both(binary, venv, options.work)
    servers = [ours, theirs]
    try:
        process.add("start to first answer", seconds(ours.start_time), seconds(theirs.start_time),
                    f"{theirs.start_time / ours.start_time:.0f}x")
        idle = ours.memory(), theirs.memory()
        process.add("resident memory, idle", f"{idle[0]:.1f} MiB", f"{idle[1]:.1f} MiB", f"1/{idle[1] / idle[0]:.1f}")

        say("creates")
        create = Table("Create and delete on the dummy cloud", "figure", "imd", "reference", "ratio")
        made = {}
        for number in (1, 100, 1000):
            limit = 100 if options.quick else 1000
            one, took = ours.create(number)
            if number > limit:
                create.add(f"create of {number} VMs", seconds(took), "not run", "")
                made[number] = one, None
                continue
            other, reference_took = theirs.create(number)
            made[number] = one, other
            create.add(f"create of {number} VMs", seconds(took), seconds(reference_took),
                       f"{reference_took / took:.0f}x")
        # What the creates themselves needed is given back first, by both.
        time.sleep(10)
        full = ours.memory(), theirs.memory()
        process.add("resident memory with a 1000-VM infrastructure", f"{full[0]:.1f} MiB", f"{full[1]:.1f} MiB",
                    f"1/{full[1] / full[0]:.1f}")

        say("requests")
        requests = Table("Requests per second (16 connections, one client core)", "request", "imd", "bare warp handler",
                         "imd / floor", "reference", "imd / reference")
        big = 1000 if made[1000][1] else 100
        cases = [("GET /version", "/version", "/version")]
        for number in (1, big):
            one, other = made[number]
            for path in ("", "/state", "/vms/0"):
                label = f"GET {path or 'infrastructure'} ({number} VM{'s' if number > 1 else ''})"
                cases.append((label, f"/infrastructures/{one}{path}", f"/infrastructures/{other}{path}"))
        cases.insert(1, ("GET /infrastructures", "/infrastructures", "/infrastructures"))
        for label, path, reference_path in cases:
            request = urllib.request.Request(ours.url(path), headers={"Authorization": AUTH})
            with urllib.request.urlopen(request) as answer:
                kind, body = answer.headers["Content-Type"], answer.read().decode()
            floor = start_floor(floor_binary, options.work, kind, body)
            servers.append(floor)
            floor_rate = floor.load("/", duration)
            floor.stop()
            servers.remove(floor)
            rate = ours.load(path, duration)
            reference_rate = theirs.load(reference_path, duration)
            requests.add(label, f"{rate:.0f}", f"{floor_rate:.0f}", f"{100 * rate / floor_rate:.0f} %",
                         f"{reference_rate:.1f}", f"{rate / reference_rate:.0f}x")

        say("delete")
        one, other = made[big] if big == 1000 else made[100]
        took, reference_took = ours.delete(one), theirs.delete(other)
        create.add(f"delete of {big} VMs", seconds(took), seconds(reference_took), f"{reference_took / took:.0f}x")
    finally:
        for server in servers:
            server.stop()
    return [process, create, requests]
