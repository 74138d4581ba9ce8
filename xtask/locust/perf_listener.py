"""Loaded by `cargo xtask perf` beside the user's locustfile. It changes what Locust records, never
what Locust does:

1. Response times keep three significant digits instead of two. A streamed body is timed to the end
   of its `with` block.
2. Only requests that begin once all users are spawned, plus a warm-up, are counted. Throughput is
   counted over the whole of this window, silence at its end included.
3. Set-up requests, those of `on_start`, have statistics of their own, from the first user on.
4. A request that is cut off at the end counts as a failed one, with the time it has taken so far.
   Requests that are left out are counted with their reason.
5. Users are counted by class, and those that leave before the end are listed with their reason.
   Tasks are counted, and those that end in an exception that no failed request explains.
6. The lateness of Locust's event loop is sampled, and requests are counted over time.
7. The final statistics are written whole. Locust rewrites its own CSV files every second and never
   at the end, so the last second of the run is missing there. These files are written after the
   last request, to a temporary name that is then renamed. The file of the statistics comes last:
   if it exists, the load is over and all of these files are written. Locust itself has come to its
   end if `perf_complete.json` exists.
8. If workers share the load, a master waits for the last report of each, and lists who takes part
   and who was lost.

A worker elsewhere gets this file from its master, but none of the master's environment.

All that is replaced in Locust stands in one list at the end, `_replacements`.
"""

import csv
import functools
import itertools
import json
import math
import os
import socket
import sys
import time
import types
from urllib.parse import urlsplit

import gevent
import locust
from gevent import socket as gevent_socket
from locust import clients, events, exception, stats
from locust.contrib import fasthttp
from locust.runners import STATE_MISSING, STATE_STOPPED, MasterRunner, WorkerRunner
from locust.user import users
from locust.user.task import DefaultTaskSet, TaskSet

_TARGET = os.environ.get("PERF_FINAL_STATS_CSV")
_WARMUP_S = float(os.environ.get("PERF_WARMUP_S", "0"))
_BEGIN = "perf_begin"
_COME = "perf_come"
_REPORT = "perf_report"
# Beyond the stop timeout, for the last report of a worker to arrive.
_LAST_REPORT_S = 10
_SAMPLE_S = 0.2
_MOST_ROWS = 1000
_LONGEST_REASON = 200
_LONGEST_NAME = 500
_LONGEST_EXAMPLE = 40
_UNFINISHED = "unfinished"
_BY_LOCUST = "Locust"
# The name of all that is beyond a bound.
_OTHERS = "(others)"

_BEFORE_WINDOW = "before_window"
_NO_TIME = "no_time"
_IMPOSSIBLE_TIME = "impossible_time"

_MOST_TASKS = 300
_MOST_ERRORS_KEPT = 20
_MOST_ERRORS_REPORTED = 5

_LATENESS_SAMPLE_S = 0.02
# A delay of this length is a sign of a blocked event loop, not of a busy machine.
_BLOCKED_S = 0.1
_STALL_S = 0.5

_SHORTEST_BUCKET_S = 0.25
_MOST_BUCKETS = 60
# Two response times in one step of a bucket's histogram differ by 2 % at most.
_SHORTEST_STEP_MS = 0.1
_STEP = math.log(1.02)

# Exceptions by which Locust itself and its users steer tasks.
_STEERING = tuple(
    getattr(exception, name)
    for name in [
        "InterruptTaskSet",
        "RescheduleTask",
        "RescheduleTaskImmediately",
        "StopTest",
        "StopUser",
    ]
    if hasattr(exception, name)
)


# What follows needs no Locust, and is tried by test_perf_listener.py.


def _three_significant_digits(response_time):
    if response_time < 1:
        return round(response_time, 3)
    return round(response_time, 2 - int(math.log10(response_time)))


def _text(value):
    """Makes text that every file and every reader can hold: half a character becomes an escape."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def _label(value):
    """Makes the method or the name of a request, of which a locustfile's own client gives anything.

    Locust sorts its statistics by them, which fails for a mixture of types.
    """
    if type(value) is str:
        return value
    return "" if value is None else _text(value)


def _milliseconds(response_time):
    """Makes a float of a response time, NaN if it is no number. It may also be None."""
    if response_time is None or type(response_time) is float:
        return response_time
    try:
        return float(response_time)
    except Exception:
        return math.nan


def _content_length(value):
    """Makes a count of bytes, which Locust adds up without a look."""
    try:
        return max(int(value), 0)
    except Exception:
        return 0


def _percentile(counts, percent):
    """Returns a percentile of values with their counts, by Locust's rule: no interpolation."""
    total = sum(counts.values())
    rank, passed = min(int(total * percent), total - 1), 0
    for value in sorted(counts):
        passed += counts[value]
        if passed > rank:
            return value
    return None


def _port(host):
    """Returns the port of Locust's `--host`, or None if it has none that can be known."""
    try:
        parts = urlsplit(host)
        return parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except Exception:
        return None


def _task_name(task):
    return _text(getattr(task, "__name__", None) or type(task).__name__)[:_LONGEST_REASON]


def _error_line(error):
    """Returns an exception as one line: `ValueError: boom`, or `StopUser` if it has no text."""
    name = type(error).__name__
    try:
        text = " ".join(_text(error).split())
    except Exception:
        # An exception of the locustfile's own may not even be able to tell its text.
        text = ""
    return (f"{name}: {text}" if text else name)[:_LONGEST_REASON]


def _reason_for_leaving(stopped_by, raised):
    """Returns why a user left, or None if Locust itself asked it to, as when a shape shrinks.

    `stopped_by` is who called the user's `stop`, and `raised` the line of the exception that ended
    its tasks. A call of `stop` ends them by StopUser or GreenletExit, which do not name the caller.
    """
    if stopped_by == _BY_LOCUST:
        return None
    if stopped_by and raised in (None, "StopUser", "GreenletExit"):
        return stopped_by
    # Only StopUser in `on_start` leaves no trace.
    return raised or "StopUser"


def _ended_by(caller, load_s, run_time_s, shape_has_ended):
    """Returns what ended the load. `caller` is the module and the function that ask it to stop.

    The function is the one that Locust's own timer calls, from 2.11 to 2.47. The clock alone would
    not do: the timer starts before the first user, so the load is a little shorter than asked.
    """
    if shape_has_ended is not None:
        return "shape" if shape_has_ended else "early"
    is_timer = caller == ("locust.main", "stop_and_optionally_quit")
    is_late = bool(run_time_s) and load_s >= run_time_s
    return "run_time" if is_timer or is_late else "early"


class _Verbatim(str):
    """The text of an error. Old versions of Locust put it in quotation marks."""

    __repr__ = str.__str__


class _Load:
    """Knows when the load began, was asked to stop and ended, and which part of it is measured.

    Times are seconds of `time.perf_counter`, which nobody sets.
    """

    def __init__(self, leaves_ramp_up_out):
        self.leaves_ramp_up_out = leaves_ramp_up_out
        self.loaded_at = time.perf_counter()
        self.began_at = None
        # Seconds since 1970.
        self.began_time = None
        self.opened_at = math.inf
        # Seconds since 1970, for Locust's own files and for what else was measured meanwhile.
        self.opened_time = None
        self.asked_at = None
        self.ended_at = None
        self.ended_by = "early"
        self._is_warming_up = False

    @property
    def is_open(self):
        return self.opened_at < math.inf

    @property
    def is_asked_to_stop(self):
        return self.asked_at is not None

    @property
    def is_measured(self):
        """Whether the window is open and users are still to go on."""
        return self.is_open and not self.is_asked_to_stop

    def begin(self, now, now_time):
        if self.began_at is None:
            self.began_at = now
            self.began_time = now_time

    def starts_warm_up(self):
        """Returns whether all users are spawned for the first time: a locustfile may add more."""
        is_first = not self._is_warming_up
        self._is_warming_up = True
        return is_first

    def open(self, now, now_time):
        """Opens the window. Returns False if it is open already, or if the load is over."""
        if self.is_open or self.is_asked_to_stop:
            return False
        self.opened_at = now
        self.opened_time = now_time
        return True

    def counts(self, began_at):
        """Returns whether a request that began then is measured."""
        return not self.leaves_ramp_up_out or began_at >= self.opened_at

    def can_have_taken(self, response_time, now):
        """Whether a request can have taken so many ms: no request is older than the load.

        The comparison is false for NaN.
        """
        # A greenlet of the locustfile's may ask for something a little earlier.
        oldest = self.loaded_at if self.began_at is None else self.began_at - 1
        return 0 <= response_time <= (now - oldest) * 1000

    def ask_to_stop(self, now, ended_by):
        if not self.is_asked_to_stop:
            self.asked_at = now
            self.ended_by = ended_by

    def end(self, now):
        """Notes that users have stopped. The last of them ends the load."""
        if self.ended_at is None or now > self.ended_at:
            self.ended_at = now

    def load_s(self, now):
        """How long the load had gone on by now, or when it was asked to stop."""
        if self.began_at is None:
            return 0.0
        end = now if self.asked_at is None else self.asked_at
        return max(end - self.began_at, 0.0)

    def window_s(self):
        if not self.is_open or self.ended_at is None:
            return None
        return max(self.ended_at - self.opened_at, 0.0)

    def measured_s(self):
        """How long the window had been open when the load was asked to stop."""
        if not self.is_open or self.asked_at is None:
            return 0.0
        return max(self.asked_at - self.opened_at, 0.0)


class _Mean:
    def __init__(self):
        self.total = 0
        self.samples = 0

    def add(self, value):
        self.total += value
        self.samples += 1

    def get(self):
        return self.total / self.samples if self.samples else None


class _Unfinished:
    """Counts unfinished requests by endpoint, and keeps the longest time of each."""

    def __init__(self):
        self._endpoints = {}

    def add(self, method, name, longest_ms, times=1):
        key = (_text(method), _text(name))
        former_times, former_ms = self._endpoints.get(key, (0, 0.0))
        self._endpoints[key] = (former_times + times, max(former_ms, longest_ms))

    def rows(self):
        rows = [
            {"method": method, "name": name, "times": times, "longest_ms": round(longest_ms, 3)}
            for (method, name), (times, longest_ms) in self._endpoints.items()
        ]
        rows.sort(key=lambda row: (-row["times"], -row["longest_ms"], row["name"], row["method"]))
        return rows[:_MOST_ROWS]


class _UsersLeft:
    """Counts the users that left before the load was asked to stop, by class and reason."""

    def __init__(self):
        self._times = {}

    def add(self, user, reason, times=1):
        key = (_text(user), _text(reason)[:_LONGEST_REASON])
        self._times[key] = self._times.get(key, 0) + times

    def rows(self):
        rows = [
            {"user": user, "reason": reason, "times": times}
            for (user, reason), times in self._times.items()
        ]
        rows.sort(key=lambda row: (-row["times"], row["user"], row["reason"]))
        return rows[:_MOST_ROWS]


class _LeftOut:
    """Counts requests that are not in the statistics, or are there without a time, by reason."""

    _COLUMNS = ("reason", "method", "name", "example", "requests")

    def __init__(self):
        self.totals = {_BEFORE_WINDOW: 0, _NO_TIME: 0, _IMPOSSIBLE_TIME: 0}
        self._endpoints = {}

    def add(self, reason, method, name, example=None, requests=1):
        self.totals[reason] += requests
        self._add_to_endpoint(reason, method, name, example, requests)

    def _add_to_endpoint(self, reason, method, name, example, requests):
        key = (reason, method[:_LONGEST_NAME], name[:_LONGEST_NAME])
        row = self._endpoints.get(key)
        if row is None:
            if len(self._endpoints) >= _MOST_ROWS:
                return
            text = None if example is None else _text(example)[:_LONGEST_EXAMPLE]
            row = self._endpoints[key] = [0, text]
        row[0] += requests

    def merge(self, part):
        for row in part["endpoints"]:
            self._add_to_endpoint(*(row[key] for key in self._COLUMNS))
        for reason, requests in part["totals"].items():
            self.totals[reason] += requests

    def part(self):
        rows = [
            dict(zip(self._COLUMNS, (*key, example, requests)))
            for key, (requests, example) in self._endpoints.items()
        ]
        rows.sort(key=lambda row: (row["reason"], -row["requests"], row["name"], row["method"]))
        return {"totals": self.totals, "endpoints": rows}


class _Tasks:
    """Counts calls of tasks, and those that end in an exception that no failed request explains."""

    def __init__(self):
        # By class and task: calls, failures, and how often each error was met.
        self._tasks = {}

    def add(self, of_class, task, error=None):
        if error is None:
            self._add(of_class, task, 1, 0, {})
        else:
            self._add(of_class, task, 1, 1, {error: 1})

    def _add(self, of_class, task, calls, failures, errors):
        row = self._tasks.get((of_class, task))
        if row is None:
            if len(self._tasks) >= _MOST_TASKS:
                of_class = task = _OTHERS
            row = self._tasks.setdefault((of_class, task), [0, 0, {}])
        row[0] += calls
        row[1] += failures
        for error, times in errors.items():
            # Errors may name a number that is another each time.
            is_known = error in row[2] or len(row[2]) < _MOST_ERRORS_KEPT
            text = error if is_known else error.split(":", 1)[0]
            row[2][text] = row[2].get(text, 0) + times

    def merge(self, part):
        for row in part:
            errors = {about["error"]: about["times"] for about in row["errors"]}
            self._add(row["class"], row["task"], row["calls"], row["failures"], errors)

    def part(self):
        rows = []
        for (of_class, task), (calls, failures, errors) in self._tasks.items():
            most = sorted(errors.items(), key=lambda pair: (-pair[1], pair[0]))
            row = {"class": of_class, "task": task, "calls": calls, "failures": failures}
            row["errors"] = [
                {"error": error, "times": times} for error, times in most[:_MOST_ERRORS_REPORTED]
            ]
            rows.append(row)
        rows.sort(key=lambda row: (-row["failures"], -row["calls"], row["class"], row["task"]))
        return rows


class _UsersByClass:
    """Knows how many users of each class are there, and samples it."""

    def __init__(self):
        self.present = {}
        self._sums = {}
        self._samples = 0
        self._last = {}

    def come(self, user_class):
        self.present[user_class] = self.present.get(user_class, 0) + 1

    def go(self, user_class):
        self.present[user_class] -= 1

    def sample(self):
        self._samples += 1
        self._last = dict(self.present)
        for user_class, number in self.present.items():
            self._sums[user_class] = self._sums.get(user_class, 0) + number

    def part(self):
        return [
            {
                "user": _text(user_class)[:_LONGEST_REASON],
                "mean": total / self._samples,
                "last": self._last.get(user_class, 0),
            }
            for user_class, total in sorted(self._sums.items())[:_MOST_ROWS]
        ]


def _sum_of_classes(parts):
    """Adds up the users of each class over processes, which all sample the same window."""
    sums = {}
    for row in (row for part in parts for row in part):
        mean, last = sums.get(row["user"], (0, 0))
        sums[row["user"]] = (mean + row["mean"], last + row["last"])
    return [
        {"user": user, "mean": round(mean, 3), "last": last}
        for user, (mean, last) in sorted(sums.items())
    ]


class _Lateness:
    """Keeps by how much a timer of the event loop was late, in a histogram."""

    def __init__(self):
        self._counts = {}
        self._sampled_s = 0.0
        self._blocked_s = 0.0
        self._stalled_s = 0.0
        self._stalls = 0
        self._longest_s = 0.0

    def add(self, late_s):
        late_s = max(late_s, 0.0)
        late_ms = late_s * 1000
        step = (
            round(late_ms, 1) if late_ms < _BLOCKED_S * 1000 else _three_significant_digits(late_ms)
        )
        self._counts[step] = self._counts.get(step, 0) + 1
        self._sampled_s += _LATENESS_SAMPLE_S + late_s
        self._longest_s = max(self._longest_s, late_s)
        if late_s >= _BLOCKED_S:
            self._blocked_s += late_s
        if late_s >= _STALL_S:
            self._stalls += 1
            self._stalled_s += late_s

    def part(self):
        if not self._counts:
            return None
        return {
            "counts": self._counts,
            "max_ms": self._longest_s * 1000,
            "stalls": self._stalls,
            "stalled_share": self._stalled_s / self._sampled_s,
            "blocked_share": self._blocked_s / self._sampled_s,
        }


def _lateness_of_all(parts):
    """Pools the samples of all processes. The shares are those of the process that is worst off."""
    parts = [part for part in parts if part]
    if not parts:
        return None
    counts = {}
    for part in parts:
        for late_ms, samples in part["counts"].items():
            counts[late_ms] = counts.get(late_ms, 0) + samples
    return {
        "samples": sum(counts.values()),
        "p50_ms": _percentile(counts, 0.50),
        "p95_ms": _percentile(counts, 0.95),
        "p99_ms": _percentile(counts, 0.99),
        "max_ms": round(max(part["max_ms"] for part in parts), 1),
        "stalls": sum(part["stalls"] for part in parts),
        "stalled_share": round(max(part["stalled_share"] for part in parts), 4),
        "blocked_share": round(max(part["blocked_share"] for part in parts), 4),
    }


class _Bucket:
    """What happened in a part of the window. A request belongs to the part in which it ended."""

    __slots__ = ("failures", "requests", "samples", "steps", "total_ms", "users")

    def __init__(self, row=(0, 0, 0.0, 0, 0, ())):
        self.requests, self.failures, self.total_ms, self.users, self.samples, steps = row
        # A histogram of response times, by step.
        self.steps = dict(steps)

    def add_time(self, time_ms):
        self.total_ms += time_ms
        step = int(math.log(max(time_ms, _SHORTEST_STEP_MS) / _SHORTEST_STEP_MS) / _STEP)
        self.steps[step] = self.steps.get(step, 0) + 1

    def merge(self, other):
        self.requests += other.requests
        self.failures += other.failures
        self.total_ms += other.total_ms
        self.users += other.users
        self.samples += other.samples
        for step, requests in other.steps.items():
            self.steps[step] = self.steps.get(step, 0) + requests

    def part(self):
        steps = list(self.steps.items())
        return [self.requests, self.failures, self.total_ms, self.users, self.samples, steps]

    def times(self):
        timed = sum(self.steps.values())
        return {
            "requests": self.requests,
            "failures": self.failures,
            "mean_ms": round(self.total_ms / timed, 3) if timed else None,
            "p50_ms": self._percentile(0.50),
            "p95_ms": self._percentile(0.95),
        }

    def _percentile(self, percent):
        step = _percentile(self.steps, percent)
        if step is None:
            return None
        return _three_significant_digits(_SHORTEST_STEP_MS * math.exp((step + 0.5) * _STEP))


class _History:
    """Counts over the window, in buckets that get twice as long if there are too many of them."""

    def __init__(self):
        self.bucket_s = _SHORTEST_BUCKET_S
        self.buckets = []

    def at(self, at_s):
        """Returns the bucket of a moment, in seconds since the window was opened."""
        while at_s >= self.bucket_s * _MOST_BUCKETS:
            self._halve()
        index = max(int(at_s / self.bucket_s), 0)
        while len(self.buckets) <= index:
            self.buckets.append(_Bucket())
        return self.buckets[index]

    def _halve(self):
        self.bucket_s *= 2
        for bucket, next_one in zip(self.buckets[::2], self.buckets[1::2]):
            bucket.merge(next_one)
        self.buckets = self.buckets[::2]

    def part(self):
        return {"bucket_s": self.bucket_s, "buckets": [bucket.part() for bucket in self.buckets]}

    @classmethod
    def of_all(cls, parts):
        """Adds up processes, whose users are there beside each other."""
        histories = [cls._of_part(part) for part in parts]
        merged = cls()
        merged.bucket_s = max((one.bucket_s for one in histories), default=merged.bucket_s)
        for one in histories:
            while one.bucket_s < merged.bucket_s:
                one._halve()
        length = max((len(one.buckets) for one in histories), default=0)
        merged.buckets = [_Bucket() for _ in range(length)]
        for one in histories:
            users = 0.0
            for index, total in enumerate(merged.buckets):
                bucket = one.buckets[index] if index < len(one.buckets) else _Bucket()
                # Without a sample, as when the process was busy, the number is the one before.
                users = bucket.users / bucket.samples if bucket.samples else users
                bucket.users, bucket.samples = users, 0
                total.merge(bucket)
        return merged

    @classmethod
    def _of_part(cls, part):
        history = cls()
        history.bucket_s = part["bucket_s"]
        history.buckets = [_Bucket(row) for row in part["buckets"]]
        return history

    def most_users(self, length_s):
        """Returns the largest number of users in a bucket that begins within the load."""
        number = math.ceil(length_s / self.bucket_s)
        return round(max((bucket.users for bucket in self.buckets[:number]), default=0.0), 3)

    def rows(self, length_s):
        rows = []
        for index, bucket in enumerate(self.buckets):
            at_s = index * self.bucket_s
            # Users leave once the load has ended.
            users = round(bucket.users, 3) if at_s < length_s else None
            rows.append({"at_s": at_s, "users": users, **bucket.times()})
        return rows

    def halves(self, length_s):
        """Sums up both halves of the load. The second has what ends after it, too."""
        middle = round(length_s / self.bucket_s / 2)
        halves = []
        for part in (self.buckets[:middle], self.buckets[middle:]):
            half = _Bucket()
            for bucket in part:
                half.merge(bucket)
            halves.append(half.times())
        return halves


def _part_of_statistics(statistics):
    """Makes of statistics what reaches a master. It stays as it is, unlike Locust's own report."""
    return {
        "entries": [entry.serialize() for entry in statistics.entries.values()],
        "errors": [
            [error.method, error.name, stats.StatsError.parse_error(error.error), error.occurrences]
            for error in statistics.errors.values()
        ],
    }


def _merge_statistics(statistics, part):
    for about in part["entries"]:
        # `unserialize` takes other arguments in each version.
        entry = stats.StatsEntry(statistics, about["name"], about["method"])
        vars(entry).update(about)
        statistics.get(entry.name, entry.method).extend(entry)
        statistics.total.extend(entry)
    for method, name, text, times in part["errors"]:
        key = (method, name, text)
        if key not in statistics.errors:
            statistics.errors[key] = stats.StatsError(method, name, _Verbatim(text))
        statistics.errors[key].occurrences += times


def _merged_statistics(parts):
    statistics = stats.RequestStats(use_response_times_cache=False)
    for part in parts:
        _merge_statistics(statistics, part)
    return statistics


class _Asked:
    """Knows for how many users the runner was asked."""

    def __init__(self):
        self.first = self.least = self.most = None

    def add(self, users):
        if not isinstance(users, int):
            return
        if self.first is None:
            self.first = self.least = self.most = users
        self.least, self.most = min(self.least, users), max(self.most, users)

    def row(self):
        return {"first": self.first, "least": self.least, "most": self.most}


def _account(load, parts, requests, about):
    """Makes what perf_listener.json holds, from the part of each process that ran users, and from
    the number of requests that were measured. `about` is what only the writing process knows."""
    unfinished, users_left = _Unfinished(), _UsersLeft()
    left_out, tasks = _LeftOut(), _Tasks()
    for part in parts:
        for row in part["unfinished"]:
            unfinished.add(row["method"], row["name"], row["longest_ms"], row["times"])
        for row in part["users_left"]:
            users_left.add(row["user"], row["reason"], row["times"])
        left_out.merge(part["left_out"])
        tasks.merge(part["tasks"])
    history = _History.of_all(part["history"] for part in parts)
    # All of them sample the same window, so the mean of the sum is the sum of the means.
    means = [part["mean_users"] for part in parts if part["mean_users"] is not None]
    window_s = load.window_s()
    measured_s = load.measured_s()
    return {
        "ramp_up_left_out": load.leaves_ramp_up_out,
        # A load shape has no ramp-up to wait for.
        "began": load.is_open or not load.leaves_ramp_up_out,
        "ended_by": load.ended_by,
        "load_s": round(load.load_s(load.ended_at), 3),
        "opened_time": load.opened_time,
        "window_s": None if window_s is None else round(window_s, 3),
        "requests": requests,
        "mean_users": round(sum(means), 3) if means else None,
        "unfinished": unfinished.rows(),
        "users_left": users_left.rows(),
        "own_requests": sum(part["requests"] for part in parts),
        "setup_requests": sum(part["setup_requests"] for part in parts),
        "loaders": sum(1 for part in parts if part["is_loader"]),
        "connections": sum(part["connections"] for part in parts),
        "resets": sum(part["resets"] for part in parts),
        "max_users": history.most_users(measured_s) if means else None,
        "users": _sum_of_classes(part["users"] for part in parts),
        "tasks": tasks.part(),
        "left_out": left_out.part(),
        "lateness": _lateness_of_all(part["lateness"] for part in parts),
        "history": {"bucket_s": history.bucket_s, "buckets": history.rows(measured_s)},
        "halves": history.halves(measured_s),
        **about,
    }


def _span(statistics, began_time, length_s):
    for entry in [statistics.total, *statistics.entries.values()]:
        entry.start_time = began_time
        entry.last_request_timestamp = began_time + length_s


def _span_window(statistics, load):
    """Lets all entries span the window, so that every file has the same throughput.

    Locust's own times end with the last answer, and so leave silence at the end out. With workers
    they begin with the oldest report, which may be three seconds older than the window.
    """
    window_s = load.window_s()
    if window_s is not None:
        _span(statistics, load.opened_time, window_s)


class _WorkerList:
    """Knows which workers take part and what became of each, from what reaches their master.

    The requests of a worker that is lost are lost, and Locust's exit code does not tell.
    """

    def __init__(self):
        self.about = {}
        # Client ids, once the load begins.
        self.taking_part = None
        self.last_number = {}
        self.complete = set()
        self.faults = {}

    def come(self, client_id, about):
        self.about[client_id] = about

    def begin(self, here):
        self.taking_part = set(here)

    def report(self, client_id, report, has_requests):
        """Takes a report of a worker, with what our listener adds to it, if it runs there."""
        previous = self.last_number.get(client_id)
        if report:
            self.last_number[client_id] = report["number"]
        if self.taking_part is None:
            return
        if client_id not in self.taking_part:
            # It joined late, or its own master has died: Locust counts its requests anyway.
            if has_requests:
                self.faults.setdefault(client_id, "late")
        elif not report:
            # The first report of a worker is older than its listener, and empty.
            if has_requests:
                self.faults.setdefault(client_id, "bare")
        elif previous is not None and report["number"] != previous + 1:
            self.faults.setdefault(client_id, "lost")
        elif report["is_last"]:
            self.complete.add(client_id)

    def look(self, here, is_collecting):
        """Finds who has gone and who has come, of the workers that are connected now."""
        if self.taking_part is None:
            return
        for client_id in self.awaited() - here:
            self.faults[client_id] = "lost"
        # A worker that has ended already may come back for the next run while this one's results
        # are collected. One that does not tell its name is found by its first requests.
        if not is_collecting:
            for client_id in (here & set(self.about)) - self.taking_part:
                self.faults.setdefault(client_id, "late")

    def awaited(self):
        return self.taking_part - self.complete - set(self.faults)

    def give_up(self):
        for client_id in self.awaited():
            self.faults[client_id] = "lost"

    def rows(self, here):
        has_begun = self.taking_part is not None
        rows = []
        for client_id in sorted(self.taking_part | set(self.faults) if has_begun else here):
            about = self.about.get(client_id, {"host": client_id.rsplit("_", 1)[0]})
            state = "complete" if client_id in self.complete else "here"
            rows.append({**about, "state": self.faults.get(client_id, state)})
        return rows


# From here on Locust is watched.


def _path_with_query(session, url, params):
    """Names a request as HttpUser does: by path and query of the address that is sent."""
    try:
        requests = clients.requests
        merged = requests.sessions.merge_setting(params, session.params)
        prepared = requests.PreparedRequest()
        prepared.prepare_url(session._build_url(url), merged)
        return prepared.path_url
    except Exception:
        return url


def _url_as_given(_session, url, _params):
    """Names a request as FastHttpUser does."""
    return url


def _has_come_whole(response):
    """Returns whether the whole answer was read. With `stream` that is done after `request`."""
    # The first is of HttpUser, and what follows of FastHttpUser.
    if hasattr(response, "_content_consumed"):
        return response._content_consumed
    if hasattr(response, "_cached_content"):
        return True
    return getattr(getattr(response, "_response", None), "message_complete", True)


def _is_task_set(task):
    return isinstance(task, type) and issubclass(task, TaskSet)


def _is_http(user):
    """Returns whether all requests of a user are hooked: only those of Locust's own clients are."""
    kinds = [users.HttpUser, fasthttp.FastHttpUser, getattr(users, "PytestUser", None)]
    sessions = (clients.HttpSession, fasthttp.FastHttpSession)
    return isinstance(user, tuple(kind for kind in kinds if kind)) or isinstance(
        getattr(user, "client", None), sessions
    )


class _Recorder:
    """Accounts for every request and every user of this process.

    Its methods named `..._replacing` get a function of Locust and make what takes its place.
    """

    def __init__(self, environment, runner, load):
        self.environment = environment
        self.runner = runner
        self.load = load
        self.unfinished = _Unfinished()
        self.users_left = _UsersLeft()
        self.mean_users = _Mean()
        self.users = _UsersByClass()
        self.tasks = _Tasks()
        self.left_out = _LeftOut()
        self.lateness = _Lateness()
        self.history = _History()
        self.asked = _Asked()
        self.requests = 0
        self.connections = 0
        self.resets = 0
        self.port = None
        self.setup = stats.RequestStats(use_response_times_cache=False)
        # Those of them that a listener without set-up statistics would have measured.
        self.setup_in_window = stats.RequestStats(use_response_times_cache=False)
        # Greenlets of users that have not begun their first task.
        self.in_setup = set()
        # By greenlet of a user in a task: whether a request of the task has failed.
        self.has_failed = {}
        # Requests by number: when each began, and what it takes to name it.
        self.under_way = {}
        self.numbers = itertools.count()
        # By greenlet of a user whose requests are not watched: when it was last heard of.
        self.quiet_since = {}
        # By greenlet of a user.
        self.asked_to_stop_at = {}
        self.stopping_users = 0
        self.shape_has_ended = None if environment.shape_class is None else False
        # Where the error of a request goes, which Locust logs right after the request.
        self.last_targets = ()
        self.log_request = None
        self.log_error = None

    def part(self):
        return {
            # A master has no users of its own, and learns of others late.
            "is_loader": not isinstance(self.runner, MasterRunner),
            "requests": self.requests,
            "setup_requests": self.setup.total.num_requests,
            "connections": self.connections,
            "resets": self.resets,
            "mean_users": self.mean_users.get(),
            "users": self.users.part(),
            "unfinished": self.unfinished.rows(),
            "users_left": self.users_left.rows(),
            "tasks": self.tasks.part(),
            "left_out": self.left_out.part(),
            "lateness": self.lateness.part(),
            "history": self.history.part(),
            "setup": _part_of_statistics(self.setup),
            "setup_in_window": _part_of_statistics(self.setup_in_window),
        }

    def begin(self, **_kwargs):
        self.load.begin(time.perf_counter(), time.time())
        if not self.load.leaves_ramp_up_out:
            self.open()

    def open(self, **_kwargs):
        if not self.load.open(time.perf_counter(), time.time()):
            return False
        if self.load.leaves_ramp_up_out:
            self.environment.stats.reset_all()
        self.resets = 0
        self.port = _port(self.environment.host)
        if not isinstance(self.runner, MasterRunner):
            gevent.spawn(self._sample_users)
            gevent.spawn(self._sample_lateness)
        if _TARGET and not isinstance(self.runner, WorkerRunner):
            # What else is measured begins now too.
            open(_beside_target("perf_window_opened"), "wb").close()
        return True

    def _sample_users(self):
        while not self.load.is_asked_to_stop:
            users = self.runner.user_count
            self.mean_users.add(users)
            self.users.sample()
            bucket = self._bucket(time.perf_counter())
            bucket.users += users
            bucket.samples += 1
            gevent.sleep(_SAMPLE_S)

    def _sample_lateness(self):
        clock = time.perf_counter
        while not self.load.is_asked_to_stop:
            due = clock() + _LATENESS_SAMPLE_S
            gevent.sleep(_LATENESS_SAMPLE_S)
            self.lateness.add(clock() - due)

    def _bucket(self, now):
        return self.history.at(now - self.load.opened_at)

    # Requests.

    def log_request_replacing(self, former):
        self.log_request = former

        def log_request(method, name, response_time, content_length):
            now = time.perf_counter()
            if self.quiet_since:
                greenlet = gevent.getcurrent()
                if greenlet in self.quiet_since:
                    self.quiet_since[greenlet] = now
            method, name = _label(method), _label(name)
            time_ms = _milliseconds(response_time)
            is_setup = bool(self.in_setup) and gevent.getcurrent() in self.in_setup
            self.last_targets = ()
            reason = self._reason_to_leave_out(is_setup, now, time_ms)
            if reason is not None:
                example = response_time if reason == _IMPOSSIBLE_TIME else None
                self.left_out.add(reason, method, name, example)
                return
            if time_ms is None:
                self.left_out.add(_NO_TIME, method, name)
            if type(content_length) is not int:
                content_length = _content_length(content_length)
            if is_setup:
                in_window = self.load.counts(now - (time_ms or 0) / 1000)
                self._log_setup(method, name, time_ms, content_length, in_window)
            else:
                self._log_measured(method, name, time_ms, content_length)

        return log_request

    def _reason_to_leave_out(self, is_setup, now, time_ms):
        is_before = not is_setup and not self.load.counts(now - (time_ms or 0) / 1000)
        if is_before and not self.load.is_open:
            return _BEFORE_WINDOW
        if time_ms is not None and not self.load.can_have_taken(time_ms, now):
            return _IMPOSSIBLE_TIME
        return _BEFORE_WINDOW if is_before else None

    def _log_measured(self, method, name, time_ms, content_length):
        self.last_targets = (self._log_measured_error,)
        self.requests += 1
        self.log_request(method, name, time_ms, content_length)
        if self.load.is_open:
            bucket = self._bucket(time.perf_counter())
            bucket.requests += 1
            if time_ms is not None:
                bucket.add_time(time_ms)

    def _log_measured_error(self, method, name, error):
        self.log_error(method, name, error)
        if self.load.is_open:
            self._bucket(time.perf_counter()).failures += 1

    def _log_setup(self, method, name, time_ms, content_length, in_window):
        targets = [self.setup, self.setup_in_window] if in_window else [self.setup]
        method, name = self._bounded(method, name)
        for statistics in targets:
            statistics.log_request(method, name, time_ms, content_length)
        self.last_targets = [functools.partial(self._log_setup_error, one) for one in targets]

    def _log_setup_error(self, statistics, method, name, error):
        if len(statistics.errors) >= _MOST_ROWS:
            error = _Verbatim(_OTHERS)
        statistics.log_error(*self._bounded(method, name), error)

    def _bounded(self, method, name):
        """Sums up the set-up requests beyond a number of endpoints, as of a name with an id."""
        entries = self.setup.entries
        is_known = len(entries) < _MOST_ROWS or (name, method) in entries
        return (method, name) if is_known else ("", _OTHERS)

    def log_error_replacing(self, former):
        self.log_error = former

        def log_error(method, name, error):
            self._note_failed_request()
            for log in self.last_targets:
                log(_label(method), _label(name), error)

        return log_error

    def _note_failed_request(self):
        """Notes that a request of a task has failed. It may be made in a greenlet of the task's."""
        if not self.has_failed:
            return
        greenlet = gevent.getcurrent()
        for _generation in range(3):
            if greenlet in self.has_failed:
                self.has_failed[greenlet] = True
                return
            parent = getattr(greenlet, "spawning_greenlet", None)
            greenlet = parent() if parent else None

    def _log_unfinished(self, method, name, response_time):
        # The task of this user is not to count as cut off too.
        greenlet = gevent.getcurrent()
        self.quiet_since.pop(greenlet, None)
        method, name = _label(method), _label(name)
        if greenlet in self.in_setup:
            self._log_setup(method, name, response_time, 0, in_window=self.load.is_open)
        # It counts even if it began before the window was opened: it reaches into it.
        elif self.load.is_open:
            self._log_measured(method, name, response_time, 0)
        else:
            return
        for log in self.last_targets:
            log(method, name, _Verbatim(_UNFINISHED))
        self.unfinished.add(method, name, response_time)

    def reset_replacing(self, former):
        """For what clears the statistics, as a plugin may do in the window."""

        @functools.wraps(former)
        def reset(*args, **kwargs):
            self.resets += self.load.is_open
            return former(*args, **kwargs)

        return reset

    def connect_replacing(self, former):
        """For `connect` of gevent's sockets, which all clients of Locust's own use."""

        @functools.wraps(former)
        def connect(connection, address):
            result = former(connection, address)
            is_local = not isinstance(address, (tuple, list))
            if self.load.is_measured and not is_local and self.port in (None, address[1]):
                self.connections += 1
            return result

        return connect

    def request_replacing(self, default_name):
        """For `request` of a client whose requests are called by `default_name` without a name."""

        def replacing(former):
            numbers, under_way, clock = self.numbers, self.under_way, time.perf_counter

            @functools.wraps(former)
            def request(session, method, url, name=None, *args, **kwargs):
                number = next(numbers)
                # In old versions FastHttpSession has no `request_name`.
                title = name or getattr(session, "request_name", None)
                began_at = clock()
                under_way[number] = began_at, method, title, default_name, session, url, kwargs
                try:
                    response = former(session, method, url, name, *args, **kwargs)
                    if kwargs.get("stream"):
                        response._perf_streams_since = began_at
                    return response
                except gevent.GreenletExit:
                    if number in under_way and self._had_its_time(under_way[number][0]):
                        self._cut_off_request(number)
                    raise
                finally:
                    under_way.pop(number, None)

            return request

        return replacing

    def _had_its_time(self, began_at):
        """Returns whether what began then, in the greenlet that is being killed, is unfinished.

        That is what was under way when the user was asked to stop: it had the whole stop timeout.
        What began later had less. Locust even kills a user at once that has just ceased to wait.
        Nobody asks a greenlet that the locustfile has started: it is given the same time.
        """
        asked_at = self.asked_to_stop_at.get(gevent.getcurrent())
        if asked_at is None:
            return self._is_overdue(began_at)
        return began_at < asked_at

    def _is_overdue(self, began_at):
        return time.perf_counter() - began_at > (self.environment.stop_timeout or 0)

    def _cut_off_request(self, number):
        began_at, method, title, default_name, session, url, kwargs = self.under_way.pop(number)
        response_time = (time.perf_counter() - began_at) * 1000
        name = title or default_name(session, url, kwargs.get("params"))
        self._log_unfinished(method, name, response_time)

    def exit_replacing(self, former):
        """For the end of a `with` block of `catch_response`, which may be killed as it reads."""

        @functools.wraps(former)
        def leave(response, kind, *rest):
            if kind is not None and issubclass(kind, gevent.GreenletExit):
                self._cut_off_reading(response)
            # Locust's own time ends with the headers. A block that has begun may be left only once.
            since = getattr(response, "_perf_streams_since", None)
            if since is not None:
                response._perf_streams_since = None
                response.request_meta["response_time"] = (time.perf_counter() - since) * 1000
            return former(response, kind, *rest)

        return leave

    def _cut_off_reading(self, response):
        about = getattr(response, "request_meta", None)
        # Where the block has judged already, Locust counts the request.
        is_judged = getattr(response, "_manual_result", None) is not None
        if not about or is_judged or _has_come_whole(response):
            return
        so_far_s = max(time.time() - about["start_time"], 0.0)
        if self._had_its_time(time.perf_counter() - so_far_s):
            self._log_unfinished(about["request_type"], about["name"], so_far_s * 1000)

    def execute_next_task_replacing(self, former):
        """For each task: a function, or a nested task set."""

        @functools.wraps(former)
        def execute_next_task(tasks, *args, **kwargs):
            greenlet = gevent.getcurrent()
            if greenlet in self.quiet_since:
                self.quiet_since[greenlet] = time.perf_counter()
            is_root = isinstance(tasks, DefaultTaskSet)
            queue = getattr(tasks, "_task_queue", None)
            task = queue[0] if queue else None
            # The `on_start` of the first task set belongs to the set-up.
            if greenlet in self.in_setup and not (is_root and _is_task_set(task)):
                self.in_setup.discard(greenlet)
            is_measured = self.load.is_measured
            self.has_failed[greenlet] = False
            error = None
            try:
                return former(tasks, *args, **kwargs)
            except gevent.GreenletExit:
                is_measured = False
                self._cut_off_task(tasks.user, greenlet)
                raise
            except Exception as raised:
                is_steering = isinstance(raised, _STEERING)
                if not is_steering and not self.has_failed.get(greenlet):
                    error = _error_line(raised)
                raise
            finally:
                self.in_setup.discard(greenlet)
                if is_measured and task is not None:
                    owner = tasks.user if is_root else tasks
                    self.tasks.add(type(owner).__name__, _task_name(task), error)

        return execute_next_task

    def _cut_off_task(self, user, greenlet):
        # A task in a task is cut off once.
        since = self.quiet_since.pop(greenlet, None)
        if since is None or _is_http(user) or user._state == "waiting":
            return
        # One that was heard of during the stop timeout may do what needs no request.
        if self._had_its_time(since):
            quiet_ms = (time.perf_counter() - since) * 1000
            self._log_unfinished("", _UNFINISHED, quiet_ms)

    # Users.

    def run_replacing(self, has_on_start):
        """For the whole life of a user."""

        def replacing(former):
            @functools.wraps(former)
            def run(user):
                greenlet = gevent.getcurrent()
                user_class = type(user).__name__
                self.users.come(user_class)
                if has_on_start:
                    self.in_setup.add(greenlet)
                if not _is_http(user):
                    self.quiet_since[greenlet] = time.perf_counter()
                raised = None
                try:
                    return former(user)
                except BaseException as error:
                    raised = _error_line(error)
                    raise
                finally:
                    self.users.go(user_class)
                    self.in_setup.discard(greenlet)
                    self.has_failed.pop(greenlet, None)
                    self.quiet_since.pop(greenlet, None)
                    self.asked_to_stop_at.pop(greenlet, None)
                    self._leave(user, raised)

            return run

        return replacing

    def run_tasks_replacing(self, former):
        """For the tasks of a user: `run` hides what ends them."""

        @functools.wraps(former)
        def run(tasks):
            try:
                return former(tasks)
            except BaseException as error:
                tasks.user._perf_raised = _error_line(error)
                raise

        return run

    def stop_user_replacing(self, former):
        @functools.wraps(former)
        def stop(user, *args, **kwargs):
            self.asked_to_stop_at.setdefault(user.greenlet, time.perf_counter())
            if gevent.getcurrent() is user.greenlet:
                user._perf_stopped_by = "self.stop()"
            else:
                user._perf_stopped_by = _BY_LOCUST if self.stopping_users else "stop()"
            return former(user, *args, **kwargs)

        return stop

    def _leave(self, user, raised):
        if self.load.is_asked_to_stop:
            return
        about = vars(user)
        raised = about.get("_perf_raised") or raised
        reason = _reason_for_leaving(about.get("_perf_stopped_by"), raised)
        if reason is not None:
            self.users_left.add(type(user).__name__, reason)

    # The load.

    def start_replacing(self, former):
        """For `start` of the runner, which a locustfile may call for more users or for fewer."""

        @functools.wraps(former)
        def start(user_count, *args, **kwargs):
            self.asked.add(user_count)
            return former(user_count, *args, **kwargs)

        return start

    def tick_replacing(self, former):
        """For a load shape, which ends the load when it returns None."""

        def tick(*args, **kwargs):
            users_and_rate = former(*args, **kwargs)
            self.shape_has_ended = users_and_rate is None
            return users_and_rate

        return tick

    def stop_replacing(self, former):
        """For `stop` of the runner, which asks all users to stop and waits for them."""

        def stop(*args, **kwargs):
            self.load.ask_to_stop(time.perf_counter(), "early")
            return former(*args, **kwargs)

        return stop

    def stop_users_replacing(self, former):
        def stop_users(*args, **kwargs):
            self.stopping_users += 1
            try:
                former(*args, **kwargs)
            finally:
                self.stopping_users -= 1
            if self.load.is_asked_to_stop:
                self._end()

        return stop_users

    def _end(self):
        self.load.end(time.perf_counter())
        # A greenlet that the locustfile has started outlives its user.
        for number, (began_at, *_rest) in list(self.under_way.items()):
            if self._is_overdue(began_at):
                self._cut_off_request(number)


def _open_when_all_users_are_spawned(recorder, environment, runner):
    if isinstance(runner, WorkerRunner):
        # Only the master knows when the other workers are ready too.
        runner.register_message(_BEGIN, recorder.open)
        return

    def open_everywhere():
        if recorder.open() and isinstance(runner, MasterRunner):
            runner.send_message(_BEGIN)

    def after_warmup(**_kwargs):
        if recorder.load.starts_warm_up():
            gevent.spawn_later(_WARMUP_S, open_everywhere)

    environment.events.spawning_complete.add_listener(after_warmup)


def _take_part(environment, runner, recorder):
    """As a worker: sends who this is, and numbers the reports, so that a lost one is missed."""
    numbers = itertools.count(1)

    def add_to_report(data, **_kwargs):
        report = {"number": next(numbers), "is_last": runner.state == STATE_STOPPED}
        # Once all users have stopped there is nothing more to report.
        if report["is_last"]:
            report.update(recorder.part())
            # A span of time, since clocks of other machines differ.
            ended_at = recorder.load.ended_at
            now = time.perf_counter()
            report["ended_s_ago"] = 0.0 if ended_at is None else now - ended_at
        data[_REPORT] = report

    environment.events.report_to_master.add_listener(add_to_report)
    about = {
        "name": os.environ.get("PERF_WORKER"),
        "host": socket.gethostname(),
        "process": os.getpid(),
        "locust": locust.__version__,
    }
    runner.send_message(_COME, about)


class _Master:
    """Keeps the list of the workers in a file that is rewritten at every change, and collects
    their last reports."""

    def __init__(self, environment, runner, load):
        self.runner = runner
        self.environment = environment
        self.load = load
        self.workers = _WorkerList()
        self.last_reports = {}
        self.is_collecting = False
        self.is_over = False
        self.written = None
        runner.register_message(_COME, self._come)
        environment.events.test_start.add_listener(self._begin)
        environment.events.worker_report.add_listener(self._report)
        gevent.spawn(self._watch)

    def _come(self, msg, **_kwargs):
        self.workers.come(msg.node_id, msg.data)

    def _begin(self, **_kwargs):
        self.workers.begin(self._here())

    def _here(self):
        nodes = self.runner.clients.items()
        return {client_id for client_id, node in nodes if node.state != STATE_MISSING}

    def _report(self, client_id, data, **_kwargs):
        report = data.get(_REPORT)
        self.workers.report(client_id, report, bool(data["stats"]))
        if report and report["is_last"] and client_id in self.workers.complete:
            self.last_reports[client_id] = report
            self.load.end(time.perf_counter() - report["ended_s_ago"])

    def _look(self):
        here = self._here()
        self.workers.look(here, self.is_collecting)
        has_begun = self.workers.taking_part is not None
        text = json.dumps({"began": has_begun, "workers": self.workers.rows(here)})
        if text != self.written:
            self.written = text
            _write_atomically(_beside_target("perf_workers.json"), lambda file: file.write(text))

    def _watch(self):
        while not self.is_over:
            self._look()
            gevent.sleep(0.2)

    def collect(self):
        """Waits for the last report of each worker. Locust itself waits for half a second, however
        long the requests under way take."""
        if self.is_over:
            return
        if self.workers.taking_part is None:
            # Nothing began. Who had come by now stays listed, though all of them leave.
            self._look()
            self.is_over = True
            return
        self.is_collecting = True
        # Else Locust would start the users of a worker that has ended on the others.
        self.runner.stop(send_stop_to_client=False)
        self.runner.send_message("quit")
        stop_timeout_s = self.environment.stop_timeout or 0
        deadline = time.monotonic() + stop_timeout_s + _LAST_REPORT_S
        while self.workers.awaited() and time.monotonic() < deadline:
            gevent.sleep(0.05)
            self._look()
        self.workers.give_up()
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


def _note_process():
    """Notes that this process is to write the results, and returns how many are: a fork at import
    makes two of them."""
    with open(_beside_target("perf_processes.txt"), "a+", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")
        file.seek(0)
        return len(set(file))


def _run_time_s(environment):
    """Returns the run time that Locust goes by, which a locustfile may have changed."""
    run_time_s = getattr(environment.parsed_options, "run_time", None)
    return run_time_s if isinstance(run_time_s, (int, float)) else None


def _files_of_setup(load, parts, percentiles):
    """Lists the files of the set-up requests, of which there are none without any."""
    setup = _merged_statistics(part["setup"] for part in parts)
    if not setup.total.num_requests:
        return []
    if load.began_at is not None:
        _span(setup, load.began_time, max(load.ended_at - load.began_at, 0.0))
    tables = stats.StatsCSV(types.SimpleNamespace(stats=setup, runner=None), percentiles)
    return [
        ("perf_setup_stats.csv", lambda file: tables.requests_csv(csv.writer(file))),
        ("perf_setup_failures.csv", lambda file: tables.failures_csv(csv.writer(file))),
        ("perf_setup.json", lambda file: _dump_entries(setup, file)),
    ]


def _files_with_setup(environment, load, parts):
    """Lists the file of the measured requests together with the set-up requests of the window, as
    older listeners measured them: it is for comparisons with their baselines."""
    setup = [part["setup_in_window"] for part in parts]
    if not any(part["entries"] for part in setup):
        return []
    everything = _merged_statistics([_part_of_statistics(environment.stats), *setup])
    _span_window(everything, load)
    return [("perf_with_setup.json", lambda file: _dump_entries(everything, file))]


def _dump_entries(statistics, file):
    """Writes the format of `--json-file`."""
    entries = statistics.entries.values()
    json.dump([entry.serialize() for entry in entries if entry.num_requests], file)


def _write_results(environment, load, parts, asked):
    if load.ended_at is None:
        load.end(time.perf_counter())
    _span_window(environment.stats, load)
    # Those of workers are strings.
    for failure in environment.stats.errors.values():
        if isinstance(failure.error, str):
            failure.error = _Verbatim(failure.error)
    about = {
        "run_time_s": _run_time_s(environment),
        "users_asked": asked.row(),
        "writers": _note_process(),
    }
    account = _account(load, parts, environment.stats.total.num_requests, about)
    percentiles = list(stats.PERCENTILES_TO_REPORT)
    percentiles += [needed for needed in (0.50, 0.95, 0.99) if needed not in percentiles]
    tables = stats.StatsCSV(environment, percentiles)
    for name, write in [
        ("perf_results_failures.csv", lambda file: tables.failures_csv(csv.writer(file))),
        ("perf_results_exceptions.csv", lambda file: tables.exceptions_csv(csv.writer(file))),
        *_files_of_setup(load, parts, percentiles),
        *_files_with_setup(environment, load, parts),
        ("perf_listener.json", lambda file: json.dump(account, file)),
    ]:
        _write_atomically(_beside_target(name), write)
    _write_atomically(_TARGET, lambda file: tables.requests_csv(csv.writer(file)))


def _mark_complete(exit_code, **_kwargs):
    """Marks that Locust has written its own files too: a locustfile may end it before that."""
    text = json.dumps({"exit_code": exit_code if isinstance(exit_code, int) else None})
    _write_atomically(_beside_target("perf_complete.json"), lambda file: file.write(text))


def _name_of(frame):
    """Names the module and the function of a frame, of which a greenlet's first call has none."""
    return frame and (frame.f_globals.get("__name__"), frame.f_code.co_name)


def _quit_replacing(recorder, environment, runner, master):
    """For `quit` of the runner. The event `quit` would come too late: `--json-file` clears the
    statistics that it writes, and comes before it."""

    def replacing(former):
        def quit_and_write():
            now = time.perf_counter()
            ended_by = _ended_by(
                _name_of(sys._getframe().f_back),
                recorder.load.load_s(now),
                _run_time_s(environment),
                recorder.shape_has_ended,
            )
            recorder.load.ask_to_stop(now, ended_by)
            if master:
                # When its last worker has quit Locust quits once more.
                if master.is_collecting:
                    return
                master.collect()
            # A user or a load shape that quits is killed in here. Locust quits again at its end.
            former()
            workers = master.last_reports.values() if master else []
            parts = [*workers, recorder.part()]
            _write_results(environment, recorder.load, parts, recorder.asked)

        return quit_and_write

    return replacing


def _replacements(recorder, environment, runner, master):
    """Lists all that is replaced in Locust: whose, its name, and what makes the replacement.

    They fit Locust 2.11 to 2.47. What a version does not have is left out.
    """
    shape = environment.shape_class
    # A worker holds its own share of the requests, and its master all of them.
    writer = None if isinstance(runner, WorkerRunner) else runner
    http, fast_http = clients.HttpSession, fasthttp.FastHttpSession
    return [
        # Three significant digits, since 2.43.4. Earlier versions cannot be changed.
        (stats, "bucket_response_time", lambda _former: _three_significant_digits),
        # What is counted: requests that begin in the window. All versions.
        (environment.stats, "log_request", recorder.log_request_replacing),
        (environment.stats, "log_error", recorder.log_error_replacing),
        # Who clears what is counted. All versions.
        (environment.stats, "reset_all", recorder.reset_replacing),
        (environment.stats, "clear_all", recorder.reset_replacing),
        # How many connections are opened. All versions.
        (gevent_socket.socket, "connect", recorder.connect_replacing),
        # What does not end: Locust cuts it off without an event. All versions.
        (http, "request", recorder.request_replacing(_path_with_query)),
        (fast_http, "request", recorder.request_replacing(_url_as_given)),
        # The end of a streamed body too.
        (clients.ResponseContextManager, "__exit__", recorder.exit_replacing),
        (fasthttp.ResponseContextManager, "__exit__", recorder.exit_replacing),
        # What becomes of tasks too, and where the set-up of a user ends.
        (TaskSet, "execute_next_task", recorder.execute_next_task_replacing),
        # Why users leave: Locust lets most of them go without a word. All versions, but for
        # PytestUser, since 2.40.
        (users.User, "run", recorder.run_replacing(has_on_start=True)),
        (getattr(users, "PytestUser", None), "run", recorder.run_replacing(has_on_start=False)),
        (DefaultTaskSet, "run", recorder.run_tasks_replacing),
        (users.User, "stop", recorder.stop_user_replacing),
        # When and by whom the load is ended: there is no event for it. All versions.
        (shape, "tick", recorder.tick_replacing),
        (writer, "start", recorder.start_replacing),
        (runner, "stop", recorder.stop_replacing),
        (runner, "stop_users", recorder.stop_users_replacing),
        (writer, "quit", _quit_replacing(recorder, environment, runner, master)),
    ]


def _replace(replacements):
    for owner, name, replacing in replacements:
        former = getattr(owner, name, None)
        if former is not None:
            setattr(owner, name, replacing(former))


@events.init.add_listener
def _listen(environment, runner, **_kwargs):
    is_worker = isinstance(runner, WorkerRunner)
    if not _TARGET and not is_worker:
        return
    # Locust's run time counts from when gevent's loop last looked at the clock, which was before
    # the locustfile was imported: a slow import would shorten the load.
    gevent.get_hub().loop.update_now()
    # The ramp-up is left out here. Locust would clear its statistics a little later once more.
    environment.reset_stats = False
    if not is_worker:
        _note_process()
        # First of all, since another listener of this event may end the process.
        events.quit._handlers.insert(0, _mark_complete)
    # The user count of a load shape changes all the time: it never finishes spawning. All of it
    # is measured.
    load = _Load(leaves_ramp_up_out=environment.shape_class is None)
    recorder = _Recorder(environment, runner, load)
    environment.events.test_start.add_listener(recorder.begin)
    if load.leaves_ramp_up_out:
        _open_when_all_users_are_spawned(recorder, environment, runner)
    if is_worker:
        _take_part(environment, runner, recorder)
    master = _Master(environment, runner, load) if isinstance(runner, MasterRunner) else None
    _replace(_replacements(recorder, environment, runner, master))
