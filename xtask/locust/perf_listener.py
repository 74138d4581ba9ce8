"""Loaded by `cargo xtask perf` beside the user's locustfile. It changes what Locust records, never what it does:

1. Response times keep three significant digits instead of two, where Locust lets that be replaced (2.43.4 and later).
2. Only requests that begin once all users are spawned, plus a warm-up, are counted.
3. The final statistics are written whole. Locust rewrites its own `_stats.csv` every second and never at the end, so
   the last second of the run is missing there. This file is written after the last request, to a temporary name that
   is then renamed: its existence means that the load is over and that the file is whole.
4. Where workers share the load, a master waits for the last report of each, and tells who takes part and who was lost.

A worker elsewhere gets this file from its master, but none of the master's environment.
"""

import csv
import itertools
import json
import math
import os
import socket
import time

import gevent
import locust
from locust import events, stats
from locust.runners import STATE_MISSING, STATE_STOPPED, MasterRunner, WorkerRunner

_TARGET = os.environ.get("PERF_FINAL_STATS_CSV")
_WARMUP_S = float(os.environ.get("PERF_WARMUP_S", "0"))
_BEGIN = "perf_begin"
_COME = "perf_come"
_REPORT = "perf_report"
# Beyond the stop timeout, for the last report of a worker to arrive.
_LAST_REPORT_S = 10


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


def _take_part(environment, runner):
    """As a worker: tells who this is, and numbers the reports, so that a lost one is missed."""
    numbers = itertools.count(1)

    def number(data, **_kwargs):
        # Once all users have stopped there is nothing more to report.
        data[_REPORT] = {"number": next(numbers), "is_last": runner.state == STATE_STOPPED}

    environment.events.report_to_master.add_listener(number)
    about = {
        "name": os.environ.get("PERF_WORKER"),
        "host": socket.gethostname(),
        "process": os.getpid(),
        "locust": locust.__version__,
    }
    runner.send_message(_COME, about)


class _Roll:
    """As the master: which workers take part, in a file that is written anew at every change. The requests of a worker
    that is lost are lost, and Locust's exit code does not tell."""

    def __init__(self, environment, runner):
        self.runner = runner
        self.stop_timeout_s = environment.stop_timeout or 0
        self.about = {}
        # Client ids, once the load begins.
        self.taking_part = None
        self.last_number = {}
        self.complete = set()
        self.faults = {}
        self.is_collecting = False
        self.is_over = False
        self.written = None
        runner.register_message(_COME, self._come)
        environment.events.test_start.add_listener(self._begin)
        environment.events.worker_report.add_listener(self._report)
        gevent.spawn(self._watch)

    def _come(self, msg, **_kwargs):
        self.about[msg.node_id] = msg.data

    def _begin(self, **_kwargs):
        self.taking_part = self._here()

    def _here(self):
        return {client_id for client_id, node in self.runner.clients.items() if node.state != STATE_MISSING}

    def _report(self, client_id, data, **_kwargs):
        report = data.get(_REPORT)
        previous = self.last_number.get(client_id)
        if report:
            self.last_number[client_id] = report["number"]
        if self.taking_part is None:
            return
        if client_id not in self.taking_part:
            # One that joined late, or whose own master has died: Locust counts its requests in any case.
            if data["stats"]:
                self.faults.setdefault(client_id, "late")
        elif not report:
            # The first report of a worker is older than its listener, and empty.
            if data["stats"]:
                self.faults.setdefault(client_id, "bare")
        elif previous is not None and report["number"] != previous + 1:
            self.faults.setdefault(client_id, "lost")
        elif report["is_last"]:
            self.complete.add(client_id)

    def _awaited(self):
        return self.taking_part - self.complete - set(self.faults)

    def _look(self):
        here = self._here()
        if self.taking_part is not None:
            for client_id in self._awaited() - here:
                self.faults[client_id] = "lost"
            # A worker that has ended already may come back for the next run while this one's results are collected.
            # One that does not tell its name is found by its first requests.
            if not self.is_collecting:
                for client_id in (here & set(self.about)) - self.taking_part:
                    self.faults.setdefault(client_id, "late")
            here = self.taking_part | set(self.faults)
        workers = []
        for client_id in sorted(here):
            about = self.about.get(client_id, {"host": client_id.rsplit("_", 1)[0]})
            state = self.faults.get(client_id, "complete" if client_id in self.complete else "here")
            workers.append({**about, "state": state})
        text = json.dumps({"began": self.taking_part is not None, "workers": workers})
        if text != self.written:
            self.written = text
            _write_atomically(_beside_target("perf_workers.json"), lambda file: file.write(text))

    def _watch(self):
        while not self.is_over:
            self._look()
            gevent.sleep(0.2)

    def collect(self):
        """Waits for the last report of each worker. Locust itself waits for half a second, however long the requests
        under way take."""
        if self.is_over:
            return
        if self.taking_part is None:
            # Nothing began. Who had come by now stays told, though all of them leave.
            self._look()
            self.is_over = True
            return
        self.is_collecting = True
        # Else Locust would start the users of a worker that has ended on the others.
        self.runner.stop(send_stop_to_client=False)
        self.runner.send_message("quit")
        deadline = time.monotonic() + self.stop_timeout_s + _LAST_REPORT_S
        while self._awaited() and time.monotonic() < deadline:
            gevent.sleep(0.05)
            self._look()
        for client_id in self._awaited():
            self.faults[client_id] = "lost"
        self._look()
        self.is_over = True
        self.is_collecting = False


def _beside_target(name):
    return os.path.join(os.path.dirname(_TARGET), name)


def _write_atomically(path, write):
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _write_final_stats(environment, window):
    about = {"ramp_up_left_out": window is not None, "began": window is None or window.opened_at < math.inf}
    _write_atomically(_beside_target("perf_listener.json"), lambda file: json.dump(about, file))
    percentiles = list(stats.PERCENTILES_TO_REPORT)
    percentiles += [needed for needed in (0.50, 0.95, 0.99) if needed not in percentiles]
    rows = stats.StatsCSV(environment, percentiles)
    _write_atomically(_TARGET, lambda file: rows.requests_csv(csv.writer(file)))


@events.init.add_listener
def _listen(environment, runner, **_kwargs):
    is_worker = isinstance(runner, WorkerRunner)
    if not _TARGET and not is_worker:
        return
    # The user count of a load shape changes all the time: it never finishes spawning.
    window = None if environment.shape_class else _Window(environment)
    if window:
        _open_when_all_users_are_spawned(window, environment, runner)
    # A worker holds its own share of the requests; the master holds all of them.
    if is_worker:
        _take_part(environment, runner)
        return
    roll = _Roll(environment, runner) if isinstance(runner, MasterRunner) else None
    quit_runner = runner.quit

    # The event `quit` would come too late: `--json-file` clears the statistics that it writes, and comes before it.
    def quit_and_write():
        if roll:
            # When its last worker has quit Locust quits once more.
            if roll.is_collecting:
                return
            roll.collect()
        quit_runner()
        _write_final_stats(environment, window)

    runner.quit = quit_and_write
