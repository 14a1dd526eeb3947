"""The requests that imd and the reference must answer alike: one list, sent to both in this order.

A step is a dictionary: `name`, and for REST `method`, `path`, `headers`, `body`; for XML-RPC `call` and `args`. `{x}` in
paths, bodies and arguments is the infrastructure that the step with `keep: "x"` made. `settle: "x"` waits before the step
until nothing is pending in that infrastructure. Steps that only prepare something have `check: False`.
"""

USER = r"type = InfrastructureManager; username = user; password = pass\nid = dummy; type = Dummy"
OTHER = r"type = InfrastructureManager; username = other; password = pass\nid = dummy; type = Dummy"
ITEMS = [{"type": "InfrastructureManager", "username": "user", "password": "pass"}, {"id": "dummy", "type": "Dummy"}]
OTHER_ITEMS = [{"type": "InfrastructureManager", "username": "other", "password": "pass"}, {"id": "dummy", "type": "Dummy"}]

NODE = """system node (
cpu.count >= 1 and
cpu.arch = 'x86_64' and
memory.size >= 512m and
net_interface.0.connection = 'pub' and
disk.0.image.url = 'mock0://linux.for.ev.er/image1' and
disk.0.os.name = 'linux'
)
"""
DOCUMENT = "network pub ( outbound = 'yes' )\n" + NODE + "contextualize ()\ndeploy node %d\n"
NAMED = "description lab ( name = 'my lab' )\n" + DOCUMENT
PRIVATE = """network pub ( outbound = 'yes' )
network inner ()
system front (
cpu.count >= 1 and
cpu.arch = 'x86_64' and
memory.size >= 1g and
net_interface.0.connection = 'pub' and
net_interface.0.dns_name = 'front' and
net_interface.1.connection = 'inner' and
disk.0.image.url = 'mock0://linux.for.ev.er/image1' and
disk.0.os.name = 'linux' and
disk.0.applications contains ( name = 'ansible.modules.acme.x' and preinstalled = 'yes' )
)
system wn (
cpu.count >= 1 and
cpu.arch = 'x86_64' and
memory.size >= 1g and
net_interface.0.connection = 'inner' and
net_interface.0.dns_name = 'wn-#N#' and
disk.0.image.url = 'mock0://linux.for.ev.er/image1' and
disk.0.os.name = 'linux' and
disk.1.size = 1g and
disk.1.device = 'hdb'
)
contextualize ()
deploy front 1
deploy wn 2
"""
JSON = "application/json"

STEPS = []


def step(name, method="GET", path=None, body=None, auth=USER, headers=None, **rest):
    given = {} if auth is None else {"Authorization": auth}
    given.update(headers or {})
    STEPS.append(dict(name=name, method=method, path=path, body=body, headers=given, **rest))


def create(keep, document, **rest):
    step("make " + keep, "POST", "/infrastructures", document, headers={"Content-Type": "text/plain"}, keep=keep, check=False, **rest)


def rpc(name, call, *args, **rest):
    STEPS.append(dict(name=name, call=call, args=list(args), **rest))


# What there is to look at.
create("a", NAMED % 2)
create("b", PRIVATE)

# Credentials (1.1 to 1.6).
for number, header in enumerate(
    [
        None,
        "",
        "xxx",
        "type = Dummy",
        "TYPE = InfrastructureManager; username = user; password = pass",
        "type = InfrastructureManager",
        "type = InfrastructureManager; username = ",
        "type = InfrastructureManager; username = __OPENID__u; password = p",
        "type = InfrastructureManager; token = abc",
        r"id = 1bad; type = Dummy\ntype = InfrastructureManager; username = user; password = pass",
        "type=InfrastructureManager;username=user;password=pass",
        "type = InfrastructureManager; username = user; password = pass;",
        r"type = InfrastructureManager; username = user; password = pass\n",
        r"# comment\ntype = InfrastructureManager; username = user; password = pass",
        "type = InfrastructureManager; username = 'user'; password = \"pass\"",
        "type = InfrastructureManager; username = nobody; password = 'pa;ss'",
        "type = InfrastructureManager; username = nobody; password = \"pa;'ss\"",
        "type = InfrastructureManager; username = nobody",
        "type = InfrastructureManager; username = nobody; password = pa=ss",
        "type = InfrastructureManager; username = %; password = %",
        '[{"type": "InfrastructureManager", "username": "user", "password": "pass"}]',
        '{"type": "InfrastructureManager", "username": "user", "password": "pass"}',
        '["x"]',
        "Basic dXNlcjpwYXNz",
        "Bearer abc",
        r"type = InfrastructureManager; username = user; password = pass\ntype = InfrastructureManager; username = other; password = pass",
    ]
):
    step("auth %02d" % number, path="/infrastructures", auth=header)
    step("auth %02d in JSON" % number, path="/infrastructures", auth=header, headers={"Accept": JSON})

# Versions, paths and methods.
for path in ["/version", "/nothing", "/infrastructures/", "/infrastructures/a/b/c", "/oai", "/static/x", "/clouds/dummy", "/clouds/dummy/other"]:
    for accept in [None, JSON, "text/html", "text/plain", "image/png"]:
        step("path %s %s" % (path, accept), path=path, headers={"Accept": accept} if accept else {})
for method, path in [
    ("POST", "/version"),
    ("PUT", "/version"),
    ("DELETE", "/infrastructures"),
    ("PATCH", "/infrastructures"),
    ("POST", "/infrastructures/{a}/vms/0"),
    ("PUT", "/infrastructures/{a}"),
    ("OPTIONS", "/infrastructures"),
    ("HEAD", "/version"),
    ("PUT", "/infrastructures/{a}/foo"),
    ("PUT", "/infrastructures/{a}/vms/0/foo"),
    ("DELETE", "/infrastructures/{a}/state"),
]:
    step("method %s %s" % (method, path), method, path)

# Reads, in all forms.
READS = ["", "/state", "/radl", "/contmsg", "/authorization", "/vms/0", "/vms/0/contmsg", "/vms/0/memory.size", "/vms/0/state"]
for inf in ["a", "b"]:
    for path in READS:
        step("read %s%s" % (inf, path), path="/infrastructures/{%s}%s" % (inf, path), settle=inf)
        step("read %s%s in JSON" % (inf, path), path="/infrastructures/{%s}%s" % (inf, path), headers={"Accept": JSON})
for accept in ["*/*", "text/*", "application/*", "text/plain", "text/uri-list", "image/png", "text/plain, application/json", "application/json;q=0.1", "text/*;q=0.5, application/json", ""]:
    for path in ["/infrastructures", "/infrastructures/{a}", "/infrastructures/{a}/state", "/infrastructures/{a}/radl", "/infrastructures/{a}/vms/0"]:
        step("accept %s %s" % (accept, path), path=path, headers={"Accept": accept})
for name in ["cpu.count", "cpu.arch", "disk.0.image.url", "disk.0.os.name", "net_interface.0.ip", "net_interface.0.connection", "provider.type", "disk.0.os.credentials.username", "nothing", "memory"]:
    step("property " + name, path="/infrastructures/{a}/vms/0/" + name)
    step("property %s in JSON" % name, path="/infrastructures/{a}/vms/0/" + name, headers={"Accept": JSON})
step("property of disks", path="/infrastructures/{b}/vms/1/disk.1.size")
step("applications in JSON", path="/infrastructures/{b}/vms/0/disk.0.applications", headers={"Accept": JSON})
step("name of a worker", path="/infrastructures/{b}/vms/1/net_interface.0.dns_name")
for query in ["headeronly=yes", "headeronly=no", "headeronly=TRUE", "headeronly=1", "headeronly=maybe", "headeronly="]:
    step("log " + query, path="/infrastructures/{a}/contmsg?" + query)
for query in ["filter=", "filter=my%20lab", "filter=deploy", "filter=nothing-like-it", "filter=(", "filter=.*description%5Cs*.*%5Cs*(%5Cs*name%5Cs*=%5Cs*%27my%20lab%27.*).*"]:
    step("list " + query, path="/infrastructures?" + query)

# Addresses behind proxies.
for name, headers in [
    ("host", {"Host": "foo.bar:99"}),
    ("proto", {"X-Forwarded-Proto": "https"}),
    ("forwarded host", {"X-Forwarded-Host": "im.example.org"}),
    ("forwarded host and port", {"X-Forwarded-Host": "im.example.org", "X-Forwarded-Port": "8443"}),
    ("https default port", {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "im.example.org:443"}),
    ("prefix", {"X-Forwarded-Prefix": "/im"}),
    ("two hosts", {"X-Forwarded-Host": "a.org,b.org"}),
]:
    step("base " + name, path="/infrastructures/{a}", headers=headers)

# Reverse tunnels (2.8): nobody can log in to the master here.
for number in ["0", "2", "99", "abc"]:
    for query in ["", "?step=2", "?step=3", "?step=x", "?step=", "?step=-1"]:
        step("command %s%s" % (number, query), path="/infrastructures/{b}/vms/%s/command%s" % (number, query))
step("command in JSON", path="/infrastructures/{b}/vms/2/command?step=2", headers={"Accept": JSON})
step("command in an image", path="/infrastructures/{b}/vms/2/command?step=2", headers={"Accept": "image/png"})
# Only infrastructures made from TOSCA have these.
for name in ["tosca", "outputs"]:
    for accept in [None, JSON, "*/*", "text/plain"]:
        step("property %s %s" % (name, accept), path="/infrastructures/{a}/" + name, headers={"Accept": accept} if accept else {})

# Unknown and foreign.
for path in READS + ["/outputs", "/tosca", "/data", "/nothing", "/vms/0/command", "/vms/0/command?step=2"]:
    step("unknown" + path, path="/infrastructures/nothing" + path)
    step("foreign" + path, path="/infrastructures/{a}" + path, auth=OTHER)
for method, path in [("POST", ""), ("DELETE", ""), ("PUT", "/start"), ("PUT", "/stop"), ("PUT", "/reconfigure"), ("POST", "/authorization"), ("PUT", "/vms/0"), ("DELETE", "/vms/0"), ("PUT", "/vms/0/start"), ("PUT", "/vms/0/stop"), ("PUT", "/vms/0/reboot"), ("PUT", "/vms/0/disks/0/snapshot?image_name=x")]:
    step("unknown %s%s" % (method, path), method, "/infrastructures/nothing" + path, body="" if method == "POST" else None)
    step("foreign %s%s" % (method, path), method, "/infrastructures/{a}" + path, body="" if method == "POST" else None, auth=OTHER)
for number in ["77", "abc", "-1", "0,1"]:
    step("machine " + number, path="/infrastructures/{a}/vms/" + number)
    step("machine property " + number, path="/infrastructures/{a}/vms/%s/state" % number)
    step("stop machine " + number, "PUT", "/infrastructures/{a}/vms/%s/stop" % number) if number != "0,1" else None
step("remove machine 77", "DELETE", "/infrastructures/{a}/vms/77")
step("remove machines 0 and 77", "DELETE", "/infrastructures/{a}/vms/0,77")

# Parameters and bodies of creation.
for query in ["async=maybe", "async=", "dry_run=2", "dry_run=x"]:
    step("create " + query, "POST", "/infrastructures?" + query, DOCUMENT % 1)
for kind in ["application/xml", "application/x-www-form-urlencoded", "image/png, text/html"]:
    step("create as " + kind, "POST", "/infrastructures", DOCUMENT % 1, headers={"Content-Type": kind})
for name, document in [
    ("bad", "bad radl"),
    ("no system", "deploy node 1"),
    ("no cloud", DOCUMENT % 1 + "deploy node 1 other\n"),
    ("unknown network", NODE + "deploy node 1\n"),
    ("bad recipe", DOCUMENT % 1 + "configure x (\n@begin\n - a: [\n@end\n)\n"),
    ("unclosed", "system node ("),
    ("unknown item", "system a ()\ncontextualize ( system b configure a )"),
    ("twice", "system a ()\nsystem a ()\n"),
    ("JSON that is none", "{"),
]:
    step("create " + name, "POST", "/infrastructures", document, headers={"Content-Type": JSON if name.startswith("JSON") else "text/plain"})
    step("create %s, error in JSON" % name, "POST", "/infrastructures", document, headers={"Content-Type": JSON if name.startswith("JSON") else "text/plain", "Accept": JSON})
step("create without a cloud", "POST", "/infrastructures", DOCUMENT % 1, auth="type = InfrastructureManager; username = user; password = pass")
step("create on an unknown cloud", "POST", "/infrastructures", DOCUMENT % 1, auth=r"type = InfrastructureManager; username = user; password = pass\nid = x; type = NoSuchCloud")
step("estimate", "POST", "/infrastructures?dry_run=yes", PRIVATE)
for sizes in ["10.4GB and disk.0.free_size = 3.92GB", "1.5GB", "2500M", "1.0GB and gpu.count = 1.5"]:
    step("estimate of " + sizes, "POST", "/infrastructures?dry_run=1", DOCUMENT.replace("disk.0.os.name", "disk.0.size = %s and disk.1.size = 2.6GiB and disk.0.os.name" % sizes) % 2)
step("estimate of nothing", "POST", "/infrastructures?dry_run=1", "system a ()")
step("create nothing", "POST", "/infrastructures", "", keep="empty", check=False)
step("state of nothing", path="/infrastructures/{empty}/state")
step("machines of nothing", path="/infrastructures/{empty}")
step("delete nothing", "DELETE", "/infrastructures/{empty}")
step("create in JSON", "POST", "/infrastructures", '[{"class": "network", "id": "pub", "outbound": "yes"}, {"class": "system", "id": "node", "net_interface.0.connection": "pub", "disk.0.image.url": "mock0://linux.for.ev.er/image1", "disk.0.os.name": "linux"}, {"class": "contextualize"}, {"class": "deploy", "system": "node", "vm_number": 1}]', headers={"Content-Type": JSON, "Accept": JSON}, keep="j")
step("radl of JSON", path="/infrastructures/{j}/radl", settle="j")
step("delete it", "DELETE", "/infrastructures/{j}")
step("read it", path="/infrastructures/{j}")
step("delete it again", "DELETE", "/infrastructures/{j}")

# Changes.
step("add", "POST", "/infrastructures/{a}", "network pub\nsystem node\ndeploy node 1\n", settle="a")
step("add without context", "POST", "/infrastructures/{a}?context=0", "network pub\nsystem node\ndeploy node 1\n", headers={"Accept": JSON}, settle="a")
step("remove what was added without context", "DELETE", "/infrastructures/{a}/vms/3?context=no")
step("add context=x", "POST", "/infrastructures/{a}?context=x", "network pub\nsystem node\ndeploy node 1\n")
step("add unknown", "POST", "/infrastructures/{a}", "deploy other 1\n")
step("add a bad document", "POST", "/infrastructures/{a}", "bad radl")
step("machines after adding", path="/infrastructures/{a}", settle="a")
step("remove one", "DELETE", "/infrastructures/{a}/vms/1")
step("removed one", path="/infrastructures/{a}/vms/1")
step("state of a removed one", path="/infrastructures/{a}/vms/1/state")
step("remove it again", "DELETE", "/infrastructures/{a}/vms/1")
step("machines after removing", path="/infrastructures/{a}", settle="a")
step("add two", "POST", "/infrastructures/{a}", "network pub\nsystem node\ndeploy node 2\n", settle="a")
step("remove two", "DELETE", "/infrastructures/{a}/vms/4,5", settle="a")
step("alter", "PUT", "/infrastructures/{a}/vms/0", "system node ( cpu.count = 2 and memory.size = 1g )", settle="a")
step("alter another system", "PUT", "/infrastructures/{a}/vms/0", "system other ( memory.size = 1g )")
step("altered memory", path="/infrastructures/{a}/vms/0/memory.size")
for operation in ["stop", "start", "reboot"]:
    step(operation + " machine", "PUT", "/infrastructures/{a}/vms/0/" + operation)
for operation in ["stop", "start"]:
    step(operation + " all", "PUT", "/infrastructures/{b}/" + operation)
step("snapshot", "PUT", "/infrastructures/{a}/vms/0/disks/0/snapshot?image_name=mine")
step("snapshot without name", "PUT", "/infrastructures/{a}/vms/0/disks/0/snapshot")
step("snapshot auto_delete=x", "PUT", "/infrastructures/{a}/vms/0/disks/0/snapshot?image_name=x&auto_delete=x")
for query in ["", "?vm_list=0", "?vm_list=0,99", "?vm_list=a", "?vm_list="]:
    step("reconfigure" + query, "PUT", "/infrastructures/{a}/reconfigure" + query, settle="a")
step("reconfigure with a recipe", "PUT", "/infrastructures/{a}/reconfigure", "configure node (\n@begin\n - tasks: []\n@end\n)\n", settle="a")
step("reconfigure with a bad recipe", "PUT", "/infrastructures/{a}/reconfigure", "configure node (\n@begin\n - a: [\n@end\n)\n", settle="a")
step("reconfigure as XML", "PUT", "/infrastructures/{a}/reconfigure", "x", headers={"Content-Type": "application/xml"})

# Owners.
step("new owner", "POST", "/infrastructures/{b}/authorization", '{"username": "other", "password": "pass"}')
step("owners", path="/infrastructures/{b}/authorization")
step("new owner as text", "POST", "/infrastructures/{b}/authorization", "x", headers={"Content-Type": "text/plain"})
step("no owner", "POST", "/infrastructures/{b}/authorization", "{}")
step("new owner overwrite=x", "POST", "/infrastructures/{b}/authorization?overwrite=x", '{"username": "other"}')
step("the new owner reads", path="/infrastructures/{b}/state", auth=OTHER)

# Clouds and statistics.
for path in ["/clouds/dummy/images", "/clouds/dummy/quotas", "/clouds/nocloud/images", "/clouds/nocloud/quotas", "/clouds/dummy/images?filters=", "/clouds/dummy/images?filters=a=b", "/clouds/dummy/images?filters=a=b=c"]:
    for accept in [None, JSON, "text/plain"]:
        step("cloud %s %s" % (path, accept), path=path, headers={"Accept": accept} if accept else {})
for path in ["/stats?init_date=2999-01-01", "/stats?init_date=x", "/stats?end_date=2001/01/01", "/stats?end_date=2001-13-01"]:
    step("statistics " + path, path=path)

# XML-RPC: every method, as it should be called and as it should not (3.2).
STRANGER = [{"type": "InfrastructureManager", "username": "stranger", "password": "pass"}]
rpc("rpc GetVersion", "GetVersion")
rpc("make x", "CreateInfrastructure", NAMED % 2, ITEMS, keep="x", check=False)
rpc("rpc list", "GetInfrastructureList", STRANGER)
for name, value in [("nothing", None), ("empty", ""), ("no match", "nothing-like-it"), ("bad", "(")]:
    rpc("rpc list filter " + name, "GetInfrastructureList", STRANGER, value)
for call in ["GetInfrastructureInfo", "GetInfrastructureState", "GetInfrastructureRADL", "GetInfrastructureContMsg", "GetInfrastructureOwners"]:
    rpc("rpc " + call, call, "{x}", ITEMS, settle="x")
    rpc("rpc %s unknown" % call, call, "zz", ITEMS)
    rpc("rpc %s integer id" % call, call, 12, ITEMS)
    rpc("rpc %s foreign" % call, call, "{x}", STRANGER)
for value in [True, False, 0, 1]:
    rpc("rpc log header %r" % value, "GetInfrastructureContMsg", "{x}", ITEMS, value)
for number in ["0", 0, 1, "77", 77, "abc", -1]:
    rpc("rpc GetVMInfo %r" % number, "GetVMInfo", "{x}", number, ITEMS)
    rpc("rpc GetVMContMsg %r" % number, "GetVMContMsg", "{x}", number, ITEMS)
for name in ["cpu.count", "memory.size", "net_interface.0.ip", "state", "disk.0.image.url", "provider.type", "nothing"]:
    rpc("rpc GetVMProperty " + name, "GetVMProperty", "{x}", "0", name, ITEMS)
rpc("rpc GetVMProperty of none", "GetVMProperty", "{x}", 77, "state", ITEMS)
for number, auth in enumerate(
    [
        [],
        [{"type": "Dummy"}],
        [{"type": "InfrastructureManager"}],
        [{"type": "InfrastructureManager", "username": ""}],
        [{"type": "InfrastructureManager", "username": "__OPENID__u", "password": "p"}],
        [{"type": "InfrastructureManager", "token": "abc"}],
        [{"id": "1bad", "type": "Dummy"}, {"type": "InfrastructureManager", "username": "user", "password": "pass"}],
        {"type": "InfrastructureManager", "username": "nobody", "password": "pass"},
        "x",
        [{"type": "InfrastructureManager", "username": "%", "password": "%"}],
    ]
):
    rpc("rpc auth %d" % number, "GetInfrastructureList", auth)
    rpc("rpc auth %d of state" % number, "GetInfrastructureState", "{x}", auth)
for name, document in [("bad", "bad"), ("no system", "deploy node 1"), ("unknown network", NODE + "deploy node 1\n"), ("a path", "/etc/passwd")]:
    rpc("rpc create " + name, "CreateInfrastructure", document, ITEMS)
    rpc("rpc estimate " + name, "EstimateResources", document, ITEMS)
    rpc("rpc add " + name, "AddResource", "{x}", document, ITEMS)
rpc("rpc create without a cloud", "CreateInfrastructure", DOCUMENT % 1, ITEMS[:1])
rpc("rpc estimate", "EstimateResources", PRIVATE, ITEMS)
rpc("rpc estimate nothing", "EstimateResources", "system a ()", ITEMS)
rpc("rpc create in the background", "CreateInfrastructure", DOCUMENT % 1, ITEMS, True, keep="y")
rpc("rpc info of it", "GetInfrastructureInfo", "{y}", ITEMS, settle="y")
rpc("rpc add", "AddResource", "{x}", "network pub\nsystem node\ndeploy node 1\n", ITEMS, settle="x")
rpc("rpc add without context", "AddResource", "{x}", "network pub\nsystem node\ndeploy node 2\n", ITEMS, False, settle="x")
rpc("rpc add unknown", "AddResource", "zz", "deploy node 1\n", ITEMS)
# Nothing settles until these are gone: nobody configures them.
rpc("rpc remove a struct", "RemoveResource", "{x}", {}, ITEMS)
for value in ["77", "2,77", ["77"], "abc"]:
    rpc("rpc remove %r" % value, "RemoveResource", "{x}", value, ITEMS)
for value in ["2", 3, ["4"]]:
    rpc("rpc remove %r" % value, "RemoveResource", "{x}", value, ITEMS, False)
rpc("rpc removed", "GetVMInfo", "{x}", 2, ITEMS)
rpc("rpc state after removing", "GetInfrastructureState", "{x}", ITEMS, settle="x")
for call in ["StopVM", "StartVM", "RebootVM"]:
    rpc("rpc " + call, call, "{x}", 0, ITEMS, settle="x")
    rpc("rpc %s of none" % call, call, "{x}", 77, ITEMS)
    rpc("rpc %s of a removed one" % call, call, "{x}", 2, ITEMS)
for call in ["StopInfrastructure", "StartInfrastructure"]:
    rpc("rpc " + call, call, "{x}", ITEMS, settle="x")
    rpc("rpc %s unknown" % call, call, "zz", ITEMS)
rpc("rpc alter", "AlterVM", "{x}", "0", "system node ( cpu.count = 2 and memory.size = 2g )", ITEMS, settle="x")
rpc("rpc altered", "GetVMProperty", "{x}", "0", "memory.size", ITEMS)
rpc("rpc alter another system", "AlterVM", "{x}", "0", "system other ( memory.size = 2g )", ITEMS)
rpc("rpc alter badly", "AlterVM", "{x}", "0", "bad", ITEMS)
rpc("rpc alter none", "AlterVM", "{x}", 77, "system node ( memory.size = 2g )", ITEMS)
rpc("rpc snapshot", "CreateDiskSnapshot", "{x}", 0, 0, "mine", False, ITEMS)
rpc("rpc snapshot of none", "CreateDiskSnapshot", "{x}", 77, 0, "mine", False, ITEMS)
for name, args in [("nothing", ["", ITEMS]), ("some", ["", ITEMS, [0]]), ("unknown machines", ["", ITEMS, [99]]), ("badly", ["bad", ITEMS])]:
    rpc("rpc reconfigure " + name, "Reconfigure", "{x}", *args, settle="x")
rpc("rpc images", "GetCloudImageList", "dummy", ITEMS)
rpc("rpc images filtered", "GetCloudImageList", "dummy", ITEMS, {"distribution": "x"})
rpc("rpc images of no cloud", "GetCloudImageList", "nocloud", ITEMS)
rpc("rpc quotas", "GetCloudQuotas", "dummy", ITEMS)
rpc("rpc quotas of no cloud", "GetCloudQuotas", "nocloud", ITEMS)
for name, args in [("future", ["2999-01-01", "", ITEMS]), ("a word", ["x", "", ITEMS]), ("bad end", ["", "2001-13-01", ITEMS]), ("nobody's", ["", "", STRANGER]), ("nil", [None, None, STRANGER])]:
    rpc("rpc statistics " + name, "GetStats", *args)
rpc("rpc export unknown", "ExportInfrastructure", "zz", False, ITEMS)
rpc("rpc import what is there", "ImportInfrastructure", '{"id": "{x}"}', ITEMS)
rpc("rpc import nothing", "ImportInfrastructure", "{}", ITEMS)
rpc("rpc import no JSON", "ImportInfrastructure", "{", ITEMS)
rpc("rpc new owner", "ChangeInfrastructureAuth", "{x}", OTHER_ITEMS[:1], False, ITEMS)
rpc("rpc owners", "GetInfrastructureOwners", "{x}", ITEMS)
rpc("rpc new owner without a name", "ChangeInfrastructureAuth", "{x}", [{"type": "InfrastructureManager"}], False, ITEMS)
rpc("rpc another owner", "ChangeInfrastructureAuth", "{x}", OTHER_ITEMS[:1], True, ITEMS)
rpc("rpc the former owner", "GetInfrastructureOwners", "{x}", ITEMS)
rpc("rpc the present owner", "GetInfrastructureOwners", "{x}", OTHER_ITEMS)
# What is no call.
rpc("rpc fault unknown method", "Foo", 1)
rpc("rpc fault too few", "GetInfrastructureState", "{x}")
rpc("rpc fault too many", "GetVersion", 1)
rpc("rpc fault multicall", "system.listMethods")
rpc("rpc destroy foreign", "DestroyInfrastructure", "{y}", STRANGER)
rpc("rpc destroy", "DestroyInfrastructure", "{x}", OTHER_ITEMS, False, settle="y")
rpc("rpc destroy in the background", "DestroyInfrastructure", "{y}", ITEMS, False, True)
rpc("rpc destroy again", "DestroyInfrastructure", "{x}", OTHER_ITEMS)

# The end of all.
step("delete force=x", "DELETE", "/infrastructures/{a}?force=x")
step("delete async=x", "DELETE", "/infrastructures/{a}?async=x")
step("delete a", "DELETE", "/infrastructures/{a}", settle="a")
step("deleted a", path="/infrastructures/{a}/state")
step("delete b", "DELETE", "/infrastructures/{b}?force=yes", headers={"Accept": JSON}, settle="b")
step("list at the end", path="/infrastructures")
