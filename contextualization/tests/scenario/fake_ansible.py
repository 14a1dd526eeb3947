#!/usr/bin/python3
"""Stands for ansible-playbook: replays the events of a recorded run for each host, and notes when it ran."""
import json
import os
import sys
import time

RECORDED = """
{"e": "host_start", "task": "t1", "name": "Gathering Facts"}
{"e": "ok", "task": "t1", "name": "Gathering Facts", "res": {"changed": false}}
{"e": "host_start", "task": "t2", "name": "Write a file"}
{"e": "ok", "task": "t2", "name": "Write a file", "res": {"changed": true}}
{"e": "host_start", "task": "t3", "name": "Say"}
{"e": "ok", "task": "t3", "name": "Say", "res": {"msg": "hello"}, "verbose": true}
"""


def main():
    if "--version" in sys.argv:
        print("ansible-playbook [core 2.16.3]")
        return
    with open([word for word in sys.argv if word.startswith("@")][0][1:]) as f:
        hosts = json.load(f)["IM_HOST"].split(",")
    # It goes on with no other playbook.
    playbook, begin = os.path.basename(sys.argv[-2 if "IM_NEXT_RUN" in os.environ else -1]), time.time()
    sequence = 0
    with open(os.environ["IM_EVENTS"], "a") as events:

        def emit(event, **more):
            nonlocal sequence
            sequence += 1
            common = {"v": 1, "run": os.environ["IM_RUN"], "seq": sequence, "ts": time.time()}
            events.write(json.dumps(dict(common, **dict(event, **more))) + "\n")
            events.flush()

        emit({"e": "play", "play": playbook, "hosts": hosts})
        for line in RECORDED.strip().splitlines():
            for host in hosts:
                emit(json.loads(line), host=host)
            time.sleep(0.1)
        emit({"e": "stats", "stats": {host: {"ok": 3, "changed": 1} for host in hosts}})
    with open("/var/tmp/runs", "a") as f:
        f.write("%s %d %f %f\n" % (playbook, len(hosts), begin, time.time()))


main()
