"""Loaded by `cargo xtask perf` beside the user's locustfile. It changes what Locust records, never what it does:

1. Response times keep three significant digits instead of two, where Locust lets that be replaced (2.43.4 and later).
2. Only requests that begin once all users are spawned, plus a warm-up, are counted.
3. The final statistics are written whole. Locust rewrites its own `_stats.csv` every second and never at the end, so
   the last second of the run is missing there. This file is written after the last request, to a temporary name that
   is then renamed: its existence means that the load is over and that the file is whole.
"""

import csv
import json
import math
import os
import time

import gevent
from locust import events, stats
from locust.runners import MasterRunner, WorkerRunner

_TARGET = os.environ.get("PERF_FINAL_STATS_CSV")
_WARMUP_S = float(os.environ.get("PERF_WARMUP_S", "0"))
_BEGIN = "perf_begin"


def _three_significant_digits(response_time):
    if response_time < 1:
        return round(response_time, 3)
    return round(response_time, 2 - int(math.log10(response_time)))


if hasattr(stats, "bucket_response_time"):
    stats.bucket_response_time = _three_significant_digits


class _Window:
    """Counts the requests that begin after `open`, and no other."""

    def __init__(self, environment):
        self.statistics = environment.stats
        self.opened_at = math.inf
        self.counts = False
        self.log_request = self.statistics.log_request
        self.log_error = self.statistics.log_error
        self.statistics.log_request = self._log_request
        self.statistics.log_error = self._log_error

    def open(self, *_args, **_kwargs):
        # Throughput is counted from here on.
        self.statistics.reset_all()
        self.opened_at = time.perf_counter()

    def _log_request(self, method, name, response_time, content_length):
        self.counts = time.perf_counter() - (response_time or 0) / 1000 >= self.opened_at
        if self.counts:
            self.log_request(method, name, response_time, content_length)

    # Locust logs the error of a request right after the request.
    def _log_error(self, method, name, error):
        if self.counts:
            self.log_error(method, name, error)


def _open_when_all_users_are_spawned(window, environment, runner):
    if isinstance(runner, WorkerRunner):
        # Only the master knows when the other workers are ready too.
        runner.register_message(_BEGIN, window.open)
        return

    def open_everywhere():
        window.open()
        if isinstance(runner, MasterRunner):
            runner.send_message(_BEGIN)

    def after_warmup(**_kwargs):
        if window.opened_at == math.inf:
            gevent.spawn_later(_WARMUP_S, open_everywhere)

    environment.events.spawning_complete.add_listener(after_warmup)


def _write_atomically(path, write):
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _write_final_stats(environment, window):
    about = {"ramp_up_left_out": window is not None, "began": window is None or window.opened_at < math.inf}
    _write_atomically(os.path.join(os.path.dirname(_TARGET), "perf_listener.json"), lambda file: json.dump(about, file))
    percentiles = list(stats.PERCENTILES_TO_REPORT)
    percentiles += [needed for needed in (0.50, 0.95, 0.99) if needed not in percentiles]
    rows = stats.StatsCSV(environment, percentiles)
    _write_atomically(_TARGET, lambda file: rows.requests_csv(csv.writer(file)))


@events.init.add_listener
def _listen(environment, runner, **_kwargs):
    if not _TARGET:
        return
    # The user count of a load shape changes all the time: it never finishes spawning.
    window = None if environment.shape_class else _Window(environment)
    if window:
        _open_when_all_users_are_spawned(window, environment, runner)
    # A worker holds its own share of the requests; the master holds all of them.
    if isinstance(runner, WorkerRunner):
        return
    quit_runner = runner.quit

    # The event `quit` would come too late: `--json-file` clears the statistics that it writes, and comes before it.
    def quit_and_write():
        quit_runner()
        _write_final_stats(environment, window)

    runner.quit = quit_and_write
