"""One TOSCA template of many nodes, read and translated by imd and by the reference, without any network."""
import json
import os
import re
import subprocess
import sys

HEAD = """tosca_definitions_version: tosca_simple_yaml_1_0
imports:
  - types: https://raw.githubusercontent.com/grycap/tosca/main/custom_types.yaml
topology_template:
  inputs:
    cpus: { type: integer, default: 2 }
  node_templates:
"""
# A machine with a public network and a volume, and two kinds of software on it; the first of them depends on its neighbour.
PART = """    vm%(n)d:
      type: tosca.nodes.indigo.Compute
      capabilities:
        host: { properties: { num_cpus: { get_input: cpus }, mem_size: 4 GiB } }
        endpoint: { properties: { network_name: PUBLIC, ports: { ssh: { source: 22 } } } }
      requirements:
        - local_storage: { node: disk%(n)d, relationship: { type: AttachesTo, properties: { location: /data } } }
    disk%(n)d: { type: tosca.nodes.BlockStorage, properties: { size: 10 GB } }
    app%(n)d:
      type: tosca.nodes.WebServer
      requirements: [ { host: vm%(n)d }%(needs)s ]
      interfaces:
        Standard:
          configure:
            implementation: https://recipes.example/a.yml
            inputs: { peer: { get_attribute: [ vm%(before)d, private_address, 0 ] } }
    wn%(n)d:
      type: tosca.nodes.indigo.LRMS.WorkerNode.Slurm
      properties: { front_end_ip: a }
      requirements: [ { host: vm%(n)d } ]
"""


def template(nodes):
    parts = []
    for n in range(nodes // 4):
        before = max(n - 1, 0)
        parts.append(PART % {"n": n, "before": before, "needs": ", { dependency: app%d }" % before if n else ""})
    return HEAD + "".join(parts)


def measure(bench, venv, work, quick):
    bench.say("tosca")
    folder = os.path.join(work, "tosca")
    os.makedirs(folder, exist_ok=True)
    sizes = (50, 200) if quick else (50, 200, 800)
    files = {}
    for nodes in sizes:
        files[nodes] = os.path.join(folder, f"{nodes}.yaml")
        with open(files[nodes], "w") as out:
            out.write(template(nodes))
    text = subprocess.run(["cargo", "bench", "-p", "tosca", "--bench", "translate", "--", *files.values()], cwd=bench.ROOT,
                          check=True, capture_output=True, text=True).stdout
    ours = {file: (int(systems), float(took) / 1e3) for file, systems, took in re.findall(r"(\S+) (\d+) ([\d.]+)", text)}
    # imd knows the types; the reference gets them where they would be fetched.
    types = os.path.join(bench.ROOT, "tosca", "src", "types", "grycap.yaml")
    script = os.path.join(bench.ROOT, "scripts", "lib", "tosca_reference.py")
    table = bench.Table("A TOSCA template, read and translated", "nodes", "imd", "reference", "ratio")
    for nodes, file in files.items():
        runs = "1" if nodes > 200 else "3"
        out = subprocess.run([os.path.join(venv, "bin", "python3"), script, types, runs, file], cwd=folder, check=True,
                             capture_output=True, text=True).stdout
        theirs = json.loads(out)
        systems, took = ours[file]
        if systems != theirs["systems"]:
            sys.exit(f"{file}: imd makes {systems} systems, the reference {theirs['systems']}")
        table.add(nodes, bench.seconds(took), bench.seconds(theirs["seconds"]), f"{theirs['seconds'] / took:.0f}x")
    return [table]
