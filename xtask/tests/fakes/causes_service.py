"""The service of `causes`: five endpoints that ask a database, render rows and answer. PLANT makes
it slower in one way."""

import json
import os
import sqlite3
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PLANT = os.environ.get("PLANT", "")
QUERIES = 11 if PLANT == "queries" else 1
ROWS = 15_000 if PLANT == "body" else 1500
QUERY_S = 0.01
lock = threading.Lock()
counting = threading.Lock()
counts = {"db_queries_total": 0, "requests_total": 0}
kept = []


def count(name):
    with counting:
        counts[name] += 1


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # The head and the body are sent apart, and the second would wait 40 ms.
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        if PLANT == "keep-alive":
            # The handshakes of a new connection, which is not reused.
            time.sleep(0.01)

    def do_GET(self):
        if self.path == "/metrics":
            lines = [f"# TYPE {name} counter\n{name} {value}\n" for name, value in counts.items()]
            return self.answer("".join(lines).encode())
        if self.path == "/ready":
            return self.answer(b"ok")
        if PLANT == "lock":
            with lock:
                body = self.work()
        else:
            body = self.work()
        return self.answer(body)

    def work(self):
        count("requests_total")
        database = sqlite3.connect(":memory:")
        for number in range(QUERIES):
            database.execute("select ?", [number]).fetchall()
            time.sleep(QUERY_S)
            count("db_queries_total")
        database.close()
        if PLANT == "cpu":
            began_at = time.thread_time()
            while time.thread_time() < began_at + 0.03:
                pass
        if PLANT == "sleep" or (PLANT == "endpoint" and self.path == "/c"):
            time.sleep(0.03)
        if PLANT == "leak":
            kept.append(bytes(50_000))
            # A search in what was never removed.
            time.sleep(len(kept) * 0.0001)
        rows = [{"id": row, "amount": row * 1.5, "state": "open"} for row in range(ROWS)]
        return json.dumps(rows).encode()

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if PLANT == "keep-alive":
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
