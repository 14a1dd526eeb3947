"""A daemon on a large SQLite database: start, memory, list of one owner; and what saving one machine costs."""
import os
import re
import shutil
import subprocess
import time


def measure(bench, binary, work, quick):
    bench.say("store")
    bench.run("cargo", "build", "--release", "--example", "fill", cwd=bench.ROOT)
    number, machines = (1000 if quick else 10000), 10
    folder = os.path.join(work, "store")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    database, key = os.path.join(folder, "imd.sqlite"), os.path.join(folder, "key")
    start = time.perf_counter()
    fill = os.path.join(bench.ROOT, "target", "release", "examples", "fill")
    bench.run(fill, database, key, str(number), str(machines), stdout=subprocess.DEVNULL)
    filled = time.perf_counter() - start
    port = bench.free_port()
    with open(os.path.join(folder, "im.cfg"), "w") as config:
        config.write(f"""[im]
REST_ADDRESS = 127.0.0.1
REST_PORT = {port}
ACTIVATE_XMLRPC = False
DATA_DB = {database}
DATA_KEY_FILE = {key}
LOG_FILE = {folder}/imd.log
LOG_LEVEL = ERROR
""")
    start_times, memories, first, later = [], [], [], []
    for _ in range(3):
        server = bench.Server("imd", [binary, "--config", f"{folder}/im.cfg"], port, "/readyz", cwd=folder)
        try:
            start_times.append(server.start_time)
            memories.append(server.memory())
            for times in [first] + [later] * 9:
                start = time.perf_counter()
                listed = server.ask("GET", "/infrastructures").split()
                times.append(time.perf_counter() - start)
                assert len(listed) == 100, f"{len(listed)} infrastructures of 100 are listed"
            memories.append(server.memory())
        finally:
            server.stop()
    figures = bench.Table(f"{number} infrastructures with {machines} machines each, SQLite", "figure", "best", "worst", "limit")
    figures.add("start until ready", bench.seconds(min(start_times)), bench.seconds(max(start_times)), "1.00 s")
    figures.add("memory", f"{min(memories):.0f} MiB", f"{max(memories):.0f} MiB", "300 MiB")
    figures.add("list of an owner of 100, first", bench.seconds(min(first)), bench.seconds(max(first)), "20.0 ms")
    figures.add("list of an owner of 100, again", bench.seconds(min(later)), bench.seconds(max(later)), "20.0 ms")
    bench.say(f"  filled in {filled:.1f} s, {os.path.getsize(database) / 2**20:.0f} MiB")
    saved = bench.Table("Saving the new state of one machine", "machines of the infrastructure", "per commit", "ratio", "limit")
    text = subprocess.run(["cargo", "bench", "--bench", "store", "--", "--machines", folder], cwd=bench.ROOT, check=True,
                          capture_output=True, text=True).stdout
    costs = {int(size): float(cost) for size, cost in re.findall(r"one machine of (\d+)\s+([\d.]+) ms", text)}
    for size, cost in sorted(costs.items()):
        saved.add(size, f"{cost:.3f} ms", f"{cost / costs[10]:.2f}", "1.20" if size == 1000 else "")
    return [figures, saved]
