"""Translates a TOSCA template with the reference (IM 1.19.1), in its own virtual environment and without any network.

usage: tosca_reference.py TYPES RUNS TEMPLATE

The file TYPES stands at every address of types, a recipe of one task at every other one. Prints a JSON object: the number of
systems and the least of the seconds.
"""
import io
import json
import logging
import sys
import time
import urllib.request

import requests
import requests_cache
from toscaparser.utils.urlutils import UrlUtils

RECIPE = b"- tasks: [ { debug: { msg: x } } ]"


def main(types, runs, template):
    logging.disable(logging.CRITICAL)
    with open(types, "rb") as file:
        types = file.read()
    with open(template) as file:
        text = file.read()

    class Session:
        """Answers in the place of the cache of recipes."""

        def __init__(self, *_, **__):
            pass

        def get(self, url, **_):
            response = requests.Response()
            response.status_code, response.url, response._content = 200, url, RECIPE
            return response

    urllib.request.urlopen = lambda *_, **__: io.BytesIO(types)
    UrlUtils.validate_url = staticmethod(lambda url: "://" in url)
    requests_cache.CachedSession = Session
    from IM.tosca.Tosca import Tosca

    times = []
    for _ in range(int(runs)):
        start = time.perf_counter()
        _, radl = Tosca(text).to_radl()
        times.append(time.perf_counter() - start)
    print(json.dumps({"systems": len(radl.systems), "seconds": min(times)}))


main(*sys.argv[1:])
