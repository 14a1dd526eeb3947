"""Whether every room of the house imports only from rooms below it (docs/architecture.md, 2): no circle crosses folders."""
import itertools
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# For each folder, its rooms (files and folders) from the ground up; rooms of one floor do not know each other.
HOUSES = {
    "src/engine": [
        ["files"],
        ["error", "misfit", "secrets", "settings"],
        ["state", "cluster"],
        ["exchange", "transitions", "services"],
        ["keeper"],
        ["work"],
        ["operations"],
    ],
    "contextualization/src": [
        ["digest", "failure", "ssh"],
        ["contract", "winrm"],
        ["access"],
        ["bootstrap"],
        ["galaxy"],
        ["plan"],
        ["journal"],
        ["driver"],
    ],
    "contextualization/src/driver": [
        ["rules", "secrets", "stop"],
        ["link", "recorder"],
        ["items", "pass"],
        ["doors", "install", "late", "listen", "start", "tunnels", "windows"],
        ["prepare", "steps"],
    ],
    "contextualization/src/driver/rules": [["key"], ["item"], ["progress"], ["next", "parts"], ["histories"]],
}


def paths(tree, prefix=()):
    """The paths of a use tree: `a::{b, c::d}` has `a::b` and `a::c::d`."""
    head, _, rest = tree.partition("{")
    prefix += tuple(part.strip() for part in head.split("::") if part.strip())
    if not rest:
        yield prefix
        return
    depth, start, inner = 0, 0, rest.rsplit("}", 1)[0] + ","
    for place, character in enumerate(inner):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            if inner[start:place].strip():
                yield from paths(inner[start:place], prefix)
            start = place + 1


def imports(text, module):
    """All that the file of a module takes from its crate, tests left out."""
    text = re.sub(r"//.*", "", text.split("\nmod tests {")[0])
    found = [path for tree in re.findall(r"\buse ((?:crate|super)::[^;]*);", text) for path in paths(tree)]
    found += [tuple(path.split("::")) for path in re.findall(r"\bcrate(?:::\w+)+", text)]
    for path in found:
        climbs = len(path) - len(list(itertools.dropwhile(lambda part: part == "super", path)))
        yield module[: len(module) - climbs] + path[climbs:] if climbs else path


def module_of(file, house, prefix):
    """The path of a file's module."""
    inside = file.relative_to(ROOT / house).with_suffix("").parts
    return prefix + (inside[:-1] if inside[-1] == "mod" else inside)


wrong = []
for house, floors in HOUSES.items():
    floor_of = {room: floor for floor, rooms in enumerate(floors) for room in rooms}
    crate, _, inside = (house + "/").partition("src/")
    prefix = ("crate", *[part for part in inside.split("/") if part])
    for file in sorted((ROOT / house).rglob("*.rs")):
        room = file.relative_to(ROOT / house).parts[0].removesuffix(".rs")
        if room in ("mod", "lib", "main") or file.name == "tests.rs":
            continue
        if room not in floor_of:
            wrong.append(f"{file.relative_to(ROOT)}: the room {room} has no floor in scripts/lib/floors.py")
            continue
        taken = imports(file.read_text(), module_of(file, house, prefix))
        used = {path[len(prefix)] for path in taken if path[: len(prefix)] == prefix and len(path) > len(prefix)}
        above = [other for other in sorted(used) if other != room and floor_of.get(other, -1) >= floor_of[room]]
        wrong += [f"{file.relative_to(ROOT)}: {room} imports from {other}, which is not below it" for other in above]
print("\n".join(wrong), end="\n" if wrong else "")
sys.exit(bool(wrong))
