"""A strict stand-in for the WinRM service of a Windows machine: WS-Management over HTTPS with basic authentication.

winrm.py DIRECTORY PORT: makes a certificate in DIRECTORY, serves, and keeps there
  state.json   user, password, contents of the hosts file; read for every request, so that a test may change it
  requests     one line per request: action, user, "ok" or what is wrong with it
It checks what the specifications DSP0226 and MS-WSMV demand of a client, and runs no PowerShell: it knows the scripts that
it is sent by what is in them.
"""
import base64
import http.server
import json
import os
import re
import ssl
import subprocess
import sys
import threading
import uuid
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape

S = "{http://www.w3.org/2003/05/soap-envelope}"
A = "{http://schemas.xmlsoap.org/ws/2004/08/addressing}"
W = "{http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd}"
SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
RSP = "{%s}" % SHELL
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer/"
ANONYMOUS = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous"
CREATE, DELETE = TRANSFER + "Create", TRANSFER + "Delete"
COMMAND, SEND, RECEIVE, SIGNAL = [SHELL + "/" + name for name in ("Command", "Send", "Receive", "Signal")]

DIRECTORY, PORT = sys.argv[1], int(sys.argv[2])
LOCK = threading.Lock()
shells = {}


class Wrong(Exception):
    """The client broke a rule."""


def demand(holds, what):
    if not holds:
        raise Wrong(what)


def path(name):
    return os.path.join(DIRECTORY, name)


def state():
    with open(path("state.json")) as f:
        return json.load(f)


def keep(new):
    with open(path("state.new"), "w") as f:
        json.dump(new, f)
    os.replace(path("state.new"), path("state.json"))


def powershell(command):
    """What the scripts do: (output, errors, exit code)."""
    script, now = command["script"], state()
    if ".SetPassword(" in script:
        demand(command["ended"], "the script waits for the end of its input")
        lines = [base64.b64decode(line, validate=True).decode("utf-8") for line in command["input"].decode().split()]
        demand(len(lines) == 2 and lines[0] == "WinNT://./%s,user" % now["user"], "account %r" % lines[:1])
        if len(lines[1]) < 8:
            text = "The password does not meet the password policy requirements._x000D__x000A_"
            return "", '#< CLIXML\r\n<Objs><S S="Error">%s</S></Objs>' % text, 1
        keep(dict(now, password=lines[1]))
        return "", "", 0
    piece = re.search(r"FromBase64String\('([A-Za-z0-9+/=]*)'\)", script)
    if "drivers\\etc\\hosts" in script and piece:
        length = sum(len(a) for a in command["arguments"]) + len(command["program"])
        demand(length < 8000, "a command line of %d characters" % length)
        number, last = [int(n) for n in re.search(r"if \((\d+) -eq (\d+)\) \{ Copy-Item -Force", script).groups()]
        first = int(re.search(r"if \((\d+) -eq 0\)", script).group(1)) == 0
        text = ("" if first else now.get("hosts.im", "")) + base64.b64decode(piece.group(1), validate=True).decode()
        now["hosts.im"] = text
        if number == last:
            now["hosts"] = text
        keep(now)
        return "", "", 0
    words = re.match(r"\s*Write-Output '([^']*)'\s*$", script)
    if words:
        return words.group(1) + "\r\n", "", 0
    if script.strip().startswith("exit "):
        return "", "told to", int(script.split()[1])
    return "", "no such script: " + script, 1


def options(header):
    return {o.get("Name"): o.text for o in header.iter(W + "Option")}


def new_shell(header, body):
    shell = body.find(RSP + "Shell")
    demand(shell is not None, "Create without a shell")
    demand("stdin" in shell.findtext(RSP + "InputStreams", "").split(), "input streams")
    demand(shell.findtext(RSP + "OutputStreams", "").split() == ["stdout", "stderr"], "output streams")
    demand(options(header).get("WINRS_CODEPAGE", "").isdigit(), "option WINRS_CODEPAGE")
    id = str(uuid.uuid4()).upper()
    shells[id] = {}
    return (
        '<x:ResourceCreated xmlns:x="http://schemas.xmlsoap.org/ws/2004/09/transfer"><a:Address>https://here/wsman'
        "</a:Address><a:ReferenceParameters><w:ResourceURI>%s/cmd</w:ResourceURI><w:SelectorSet>"
        '<w:Selector Name="ShellId">%s</w:Selector></w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>'
        "<rsp:Shell><rsp:ShellId>%s</rsp:ShellId></rsp:Shell>" % (SHELL, id, id)
    )


def new_command(header, body, shell):
    line = body.find(RSP + "CommandLine")
    demand(line is not None, "Command without a command line")
    demand(options(header).get("WINRS_CONSOLEMODE_STDIN", "").upper() in ("TRUE", "FALSE"), "WINRS_CONSOLEMODE_STDIN")
    demand(options(header).get("WINRS_SKIP_CMD_SHELL", "").upper() in ("TRUE", "FALSE"), "WINRS_SKIP_CMD_SHELL")
    program = line.findtext(RSP + "Command", "")
    arguments = " ".join(a.text or "" for a in line.findall(RSP + "Arguments")).split()
    demand(program.strip('"').lower() in ("powershell", "powershell.exe"), "program %r" % program)
    demand("-EncodedCommand" in arguments, "arguments %r" % arguments)
    script = base64.b64decode(arguments[arguments.index("-EncodedCommand") + 1], validate=True).decode("utf-16-le")
    id = str(uuid.uuid4()).upper()
    shell[id] = {
        "program": program, "arguments": arguments, "script": script, "input": b"", "ended": False, "asked": 0,
    }
    return "<rsp:CommandResponse><rsp:CommandId>%s</rsp:CommandId></rsp:CommandResponse>" % id


def command_of(element, shell):
    id = element.get("CommandId")
    demand(id in shell, "unknown command %r" % id)
    return shell[id]


def send(body, shell):
    for stream in body.find(RSP + "Send").findall(RSP + "Stream"):
        command = command_of(stream, shell)
        demand(stream.get("Name") == "stdin" and not command["ended"], "input after its end")
        command["input"] += base64.b64decode(stream.text or "", validate=True)
        command["ended"] = stream.get("End", "").lower() in ("true", "1")
    return "<rsp:SendResponse/>"


def receive(body, shell):
    desired = body.find(RSP + "Receive").find(RSP + "DesiredStream")
    command = command_of(desired, shell)
    demand(desired.text.split() == ["stdout", "stderr"], "desired streams")
    command["asked"] += 1
    if command["asked"] == 1:
        raise TimeoutError
    out, errors, code = powershell(command)
    id = desired.get("CommandId")
    stream = lambda name, text: '<rsp:Stream Name="%s" CommandId="%s">%s</rsp:Stream>' % (
        name, id, base64.b64encode(text.encode()).decode())
    done = '<rsp:CommandState CommandId="%s" State="%s/CommandState/Done"><rsp:ExitCode>%d</rsp:ExitCode>' % (
        id, SHELL, code)
    return "<rsp:ReceiveResponse>%s%s%s</rsp:CommandState></rsp:ReceiveResponse>" % (
        stream("stdout", out), stream("stderr", errors), done)


def signal(body, shell):
    element = body.find(RSP + "Signal")
    code = element.findtext(RSP + "Code", "")
    demand(code in (SHELL + "/signal/terminate", SHELL + "/signal/ctrl_c"), "signal %r" % code)
    command_of(element, shell)
    del shell[element.get("CommandId")]
    return "<rsp:SignalResponse/>"


def answer(envelope):
    """Action, message id and body of the answer."""
    demand(envelope.tag == S + "Envelope", "no SOAP 1.2 envelope")
    header, body = envelope.find(S + "Header"), envelope.find(S + "Body")
    demand(header is not None and body is not None, "header or body is missing")
    action, message = header.findtext(A + "Action", ""), header.findtext(A + "MessageID", "")
    uuid.UUID(message.replace("uuid:", "", 1))
    demand(header.findtext(A + "To", "").endswith("/wsman"), "To %r" % header.findtext(A + "To"))
    demand(header.find(A + "ReplyTo").findtext(A + "Address") == ANONYMOUS, "ReplyTo")
    demand(header.findtext(W + "ResourceURI") == SHELL + "/cmd", "ResourceURI %r" % header.findtext(W + "ResourceURI"))
    demand(int(header.findtext(W + "MaxEnvelopeSize", "0")) >= 8192, "MaxEnvelopeSize")
    demand(re.fullmatch(r"PT\d+(\.\d+)?S", header.findtext(W + "OperationTimeout", "")), "OperationTimeout")
    for element in header:
        must = element.get(S + "mustUnderstand")
        demand(must in (None, "true", "false"), "mustUnderstand %r" % must)
    if action == CREATE:
        return action, message, new_shell(header, body)
    selected = [s.text for s in header.iter(W + "Selector") if s.get("Name") == "ShellId"]
    demand(len(selected) == 1 and selected[0] in shells, "unknown shell %r" % selected)
    shell = shells[selected[0]]
    if action == DELETE:
        del shells[selected[0]]
        return action, message, ""
    demand(action in (COMMAND, SEND, RECEIVE, SIGNAL), "action %r" % action)
    if action == COMMAND:
        return action, message, new_command(header, body, shell)
    return action, message, {SEND: send, RECEIVE: receive, SIGNAL: signal}[action](body, shell)


def reply(action, relates, body):
    return (
        '<s:Envelope xmlns:s="%s" xmlns:a="%s" xmlns:w="%s" xmlns:rsp="%s"><s:Header><a:Action>%s</a:Action>'
        "<a:MessageID>uuid:%s</a:MessageID><a:RelatesTo>%s</a:RelatesTo></s:Header><s:Body>%s</s:Body></s:Envelope>"
        % (S[1:-1], A[1:-1], W[1:-1], SHELL, action, uuid.uuid4(), escape(relates), body)
    )


def fault(text, code):
    return (
        "<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>w:TimedOut</s:Value></s:Subcode></s:Code>"
        '<s:Reason><s:Text xml:lang="en-US">%s</s:Text></s:Reason><s:Detail><f:WSManFault Code="%s" '
        'xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"><f:Message>%s</f:Message></f:WSManFault>'
        "</s:Detail></s:Fault>" % (escape(text), code, escape(text))
    )


class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def note(self, *words):
        with open(path("requests"), "a") as f:
            f.write(" ".join(words) + "\n")

    def finish_with(self, status, text="", headers=()):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/soap+xml;charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        for header in headers:
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        text = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        with LOCK:
            self.serve(text)

    def serve(self, text):
        kind, _, given = self.headers.get("Authorization", "").partition(" ")
        pair = base64.b64decode(given).decode("latin-1") if kind == "Basic" else ":"
        user, _, password = pair.partition(":")
        now = state()
        if (user, password) != (now["user"], now["password"]):
            self.note("-", user, "refused")
            return self.finish_with(401, headers=[("WWW-Authenticate", 'Basic realm="WSMAN"')])
        action, message = "-", "-"
        try:
            demand(self.path == "/wsman", "path %r" % self.path)
            kind = self.headers.get("Content-Type", "").replace(" ", "").lower()
            demand(kind == "application/soap+xml;charset=utf-8", "content type %r" % kind)
            envelope = ET.fromstring(text)
            action = (envelope.findtext("%sHeader/%sAction" % (S, A)) or "-").rsplit("/", 1)[-1]
            message = envelope.findtext("%sHeader/%sMessageID" % (S, A)) or "-"
            uri, message, body = answer(envelope)
            self.note(action, user, "ok")
            self.finish_with(200, reply(uri + "Response", message, body))
        except TimeoutError:
            self.note(action, user, "ok")
            text = "The WS-Management service cannot complete the operation within the time specified."
            self.finish_with(500, reply("fault", message, fault(text, 2150858793)))
        except Exception as e:
            self.note(action, user, "WRONG", repr(e))
            self.finish_with(500, reply("fault", message, fault(str(e), 5)))


certificate = path("certificate")
subprocess.run(
    ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=windows", "-days", "2", "-keyout",
     certificate + ".key", "-out", certificate],
    check=True, stderr=subprocess.DEVNULL,
)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, certificate + ".key")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def finish_request(self, request, address):
        # The handshake belongs to the connection, so that a slow one does not hold up the others.
        with context.wrap_socket(request, server_side=True) as stream:
            self.RequestHandlerClass(stream, address, self)

    def handle_error(self, request, address):
        pass


Server(("", PORT), Service).serve_forever()
