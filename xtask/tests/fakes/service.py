"""The service that the real Locust of `projects` and `matrix` loads: an answer takes 20 ms, or what
the environment says."""

import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

DELAY_S = float(os.environ.get("SERVICE_DELAY_MS", "20")) / 1000
# From this many seconds after the first request of the load on an answer takes 4 s; never, where it
# is not set.
SLOW_AFTER_S = float(os.environ.get("SERVICE_SLOW_AFTER_S") or "inf")
ERROR_PCT = int(os.environ.get("SERVICE_ERROR_PCT", "0"))
turns = count()
began_at = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # The head and the body are sent apart, and the second would wait 40 ms.
    disable_nagle_algorithm = True

    def do_GET(self):
        is_load = self.path != "/ready"
        if is_load:
            began_at.append(time.monotonic())
        is_slow = is_load and time.monotonic() - began_at[0] > SLOW_AFTER_S
        time.sleep(4 if is_slow else DELAY_S)
        fails = is_load and next(turns) * ERROR_PCT % 100 < ERROR_PCT
        self.send_response(500 if fails else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_args):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
