"""static_server.py ADDRESS PORT DIRECTORY LOG [CERTIFICATE KEY]: serves files over http or https, a line of LOG per request."""
import functools
import http.server
import ssl
import sys

address, port, directory, log = sys.argv[1:5]


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, form, *args):
        with open(log, "a") as f:
            f.write(form % args + "\n")


server = http.server.ThreadingHTTPServer((address, int(port)), functools.partial(Handler, directory=directory))
if len(sys.argv) > 5:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sys.argv[5:7])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
