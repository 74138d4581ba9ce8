"""Tries the parts of perf_listener.py that need no Locust, under any bare Python from 3.8 on:

python3 xtask/locust/test_perf_listener.py
"""

import contextlib
import json
import math
import os
import sys
import tempfile
import types
import unittest
from unittest.mock import MagicMock

# Locust and gevent are not installed: what the listener imports of them stands for nothing.
for name in [
    "gevent",
    "locust",
    "locust.contrib",
    "locust.runners",
    "locust.user",
    "locust.user.task",
    "locust.user.users",
]:
    sys.modules[name] = MagicMock()


class GreenletExit(BaseException):
    pass


class StopUser(Exception):
    pass


class InterruptTaskSet(Exception):
    pass


class MasterRunner:
    pass


class WorkerRunner:
    pass


class TaskSet:
    pass


class DefaultTaskSet(TaskSet):
    pass


class HttpUser:
    pass


class HttpSession:
    pass


class Entry:
    """An entry of Locust's statistics, as far as the listener needs one."""

    def __init__(self, _statistics, name, method):
        self.name, self.method = name, method
        self.num_requests = self.num_failures = self.total_response_time = 0
        self.start_time, self.last_request_timestamp = 5.0, None

    def serialize(self):
        return dict(vars(self))

    def extend(self, other):
        self.num_requests += other.num_requests
        self.num_failures += other.num_failures
        self.total_response_time += other.total_response_time


class Error:
    def __init__(self, method, name, error):
        self.method, self.name, self.error, self.occurrences = method, name, error, 0

    @staticmethod
    def parse_error(error):
        return error if isinstance(error, str) else repr(error)


class Statistics:
    def __init__(self, use_response_times_cache=True):
        assert not use_response_times_cache
        self.total, self.entries, self.errors = Entry(self, "Aggregated", ""), {}, {}

    def get(self, name, method):
        return self.entries.setdefault((name, method), Entry(self, name, method))

    def log_request(self, method, name, response_time, _content_length):
        for entry in (self.total, self.get(name, method)):
            entry.num_requests += 1
            entry.total_response_time += response_time or 0

    def log_error(self, method, name, error):
        for entry in (self.total, self.get(name, method)):
            entry.num_failures += 1
        key = (method, name, Error.parse_error(error))
        self.errors.setdefault(key, Error(method, name, error)).occurrences += 1

    def counts(self):
        return {
            name: (one.num_requests, one.num_failures) for (name, _), one in self.entries.items()
        }


sys.modules["gevent"].GreenletExit = GreenletExit
sys.modules["locust"].exception = types.SimpleNamespace(
    StopUser=StopUser, InterruptTaskSet=InterruptTaskSet
)
sys.modules["locust"].stats = types.SimpleNamespace(
    RequestStats=Statistics, StatsEntry=Entry, StatsError=Error
)
sys.modules["locust"].clients = types.SimpleNamespace(HttpSession=HttpSession)
sys.modules["locust.contrib"].fasthttp = types.SimpleNamespace(
    FastHttpUser=HttpUser, FastHttpSession=HttpSession
)
sys.modules["locust.user"].users = types.SimpleNamespace(HttpUser=HttpUser)
sys.modules["locust.runners"].MasterRunner = MasterRunner
sys.modules["locust.runners"].WorkerRunner = WorkerRunner
sys.modules["locust.user.task"].TaskSet = TaskSet
sys.modules["locust.user.task"].DefaultTaskSet = DefaultTaskSet
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import perf_listener as listener  # noqa: E402


class Rounding(unittest.TestCase):
    def test_three_significant_digits_are_kept(self):
        cases = [
            (0, 0),
            (0.0004, 0.0),
            (0.1234, 0.123),
            (0.9996, 1.0),
            (1, 1),
            (1.2345, 1.23),
            (9.996, 10.0),
            (12.345, 12.3),
            (99.96, 100.0),
            (147.4, 147),
            (1234.5, 1230),
            (98765, 98800),
        ]
        for exact, rounded in cases:
            with self.subTest(exact):
                self.assertEqual(listener._three_significant_digits(exact), rounded)


class Text(unittest.TestCase):
    def test_every_file_can_hold_it(self):
        cases = [
            ("/a", "/a"),
            ("/ä", "/ä"),
            (b"GET", "GET"),
            (b"\xff", "\\xff"),
            (None, "None"),
            ("half \ud83d", "half \\ud83d"),
        ]
        for value, expected in cases:
            with self.subTest(expected):
                text = listener._text(value)
                self.assertEqual(text, expected)
                text.encode("utf-8")

    def test_an_error_is_one_line(self):
        class StopUser(Exception):
            pass

        class Mute(Exception):
            def __str__(self):
                return self.missing

        cases = [
            (ValueError("boom"), "ValueError: boom"),
            (ValueError("boom\n  and more"), "ValueError: boom and more"),
            (Mute(), "Mute"),
            (StopUser(), "StopUser"),
            (StopUser("enough"), "StopUser: enough"),
            (KeyError("é" * 300), "KeyError: '" + "é" * 189),
        ]
        for error, expected in cases:
            with self.subTest(expected):
                self.assertEqual(listener._error_line(error), expected)

    def test_an_error_is_written_as_it_is(self):
        error = listener._Verbatim("unfinished")
        self.assertEqual((str(error), repr(error)), ("unfinished", "unfinished"))


class Reasons(unittest.TestCase):
    def test_why_a_user_left(self):
        cases = [
            # Who called `stop`, what was raised, and what is told.
            (None, "StopUser", "StopUser"),
            (None, "StopUser: enough", "StopUser: enough"),
            (None, "ValueError: boom", "ValueError: boom"),
            (None, "GreenletExit", "GreenletExit"),
            (None, None, "StopUser"),
            ("self.stop()", "StopUser", "self.stop()"),
            ("self.stop()", "GreenletExit", "self.stop()"),
            ("self.stop()", None, "self.stop()"),
            ("self.stop()", "ValueError: boom", "ValueError: boom"),
            ("stop()", "GreenletExit", "stop()"),
            ("Locust", "StopUser", None),
            ("Locust", "GreenletExit", None),
            ("Locust", "ValueError: in on_stop", None),
        ]
        for stopped_by, raised, expected in cases:
            with self.subTest(stopped_by=stopped_by, raised=raised):
                self.assertEqual(listener._reason_for_leaving(stopped_by, raised), expected)

    def test_what_ended_the_load(self):
        timer = ("locust.main", "stop_and_optionally_quit")
        signal = ("locust.main", "shutdown")
        task = ("locustfile", "go")
        cases = [
            # Who asked it to stop, after how long of how long, whether a shape had ended.
            (timer, 7.7, 8, None, "run_time"),
            (signal, 7.7, 8, None, "early"),
            (signal, 8.0, 8, None, "run_time"),
            (task, 3.0, 8, None, "early"),
            (("locustfile", "stop_and_optionally_quit"), 3.0, 8, None, "early"),
            (None, 3.0, 8, None, "early"),
            (signal, 3.0, None, None, "early"),
            (signal, 0.0, 0, None, "early"),
            (("locust.runners", "shape_worker"), 3.0, 8, True, "shape"),
            (signal, 9.0, 8, False, "early"),
            # The shape has raised an exception.
            (timer, 3.0, 8, False, "early"),
        ]
        for caller, load_s, run_time_s, shape_has_ended, expected in cases:
            with self.subTest(caller=caller, load_s=load_s, shape=shape_has_ended):
                ended_by = listener._ended_by(caller, load_s, run_time_s, shape_has_ended)
                self.assertEqual(ended_by, expected)


class Load(unittest.TestCase):
    def test_only_what_begins_in_the_window_counts(self):
        load = listener._Load(leaves_ramp_up_out=True)
        load.begin(100.0, 1_700_000_000.0)
        self.assertFalse(load.is_open or load.counts(101.0))
        self.assertTrue(load.open(102.0, 1_700_000_000.0))
        self.assertEqual([load.counts(at) for at in (101.9, 102.0, 103.0)], [False, True, True])
        self.assertIsNone(load.window_s())
        load.ask_to_stop(110.0, "run_time")
        load.end(112.5)
        self.assertEqual((load.load_s(112.5), load.window_s()), (10.0, 10.5))

    def test_all_users_are_spawned_for_the_first_time_once(self):
        load = listener._Load(leaves_ramp_up_out=True)
        self.assertEqual([load.starts_warm_up() for _ in range(3)], [True, False, False])

    def test_the_window_opens_once_and_never_after_the_load(self):
        load = listener._Load(leaves_ramp_up_out=True)
        self.assertTrue(load.open(102.0, 1.0))
        self.assertFalse(load.open(103.0, 2.0))
        self.assertEqual((load.opened_at, load.opened_time), (102.0, 1.0))
        late = listener._Load(leaves_ramp_up_out=True)
        late.begin(100.0, 1_700_000_000.0)
        late.ask_to_stop(101.0, "run_time")
        self.assertFalse(late.open(102.0, 1.0))
        late.end(103.0)
        self.assertIsNone(late.window_s())

    def test_the_first_to_ask_is_the_reason_and_the_last_to_stop_the_end(self):
        load = listener._Load(leaves_ramp_up_out=True)
        load.begin(100.0, 1_700_000_000.0)
        load.begin(101.0, 1_700_000_000.0)
        load.open(102.0, 1.0)
        load.ask_to_stop(105.0, "early")
        load.ask_to_stop(110.0, "run_time")
        for at in (107.0, 106.0):
            load.end(at)
        self.assertEqual((load.ended_by, load.load_s(120.0), load.window_s()), ("early", 5.0, 5.0))

    def test_a_load_that_never_began_has_no_length(self):
        load = listener._Load(leaves_ramp_up_out=True)
        load.ask_to_stop(105.0, "early")
        load.end(106.0)
        self.assertEqual((load.load_s(106.0), load.window_s()), (0.0, None))

    def test_all_of_a_load_shape_counts(self):
        load = listener._Load(leaves_ramp_up_out=False)
        load.begin(100.0, 1_700_000_000.0)
        load.open(100.0, 1.0)
        self.assertTrue(load.counts(-math.inf))


class Counting(unittest.TestCase):
    def test_the_mean_of_users(self):
        for samples, expected in [([], None), ([0], 0), ([5, 5, 2], 4), ([1, 2], 1.5)]:
            with self.subTest(samples):
                mean = listener._Mean()
                for sample in samples:
                    mean.add(sample)
                self.assertEqual(mean.get(), expected)

    def test_unfinished_requests_by_endpoint_the_most_frequent_first(self):
        unfinished = listener._Unfinished()
        unfinished.add("GET", "/a", 10.0)
        unfinished.add(b"GET", "/b", 3.0)
        unfinished.add("GET", "/b", 20.12345, times=2)
        unfinished.add("", "unfinished", 30.0)
        rows = [tuple(row.values()) for row in unfinished.rows()]
        self.assertEqual(
            rows,
            [
                ("GET", "/b", 3, 20.123),
                ("", "unfinished", 1, 30.0),
                ("GET", "/a", 1, 10.0),
            ],
        )

    def test_users_that_left_by_class_and_reason(self):
        left = listener._UsersLeft()
        left.add("B", "StopUser")
        left.add("A", "StopUser")
        left.add("A", "ValueError: boom", times=3)
        left.add("A", "x" * 300)
        left.add("A", "x" * 301)
        rows = [tuple(row.values()) for row in left.rows()]
        self.assertEqual(
            rows,
            [
                ("A", "ValueError: boom", 3),
                ("A", "x" * 200, 2),
                ("A", "StopUser", 1),
                ("B", "StopUser", 1),
            ],
        )

    def test_the_lists_are_bounded(self):
        unfinished, left = listener._Unfinished(), listener._UsersLeft()
        for number in range(1500):
            unfinished.add("GET", f"/{number}", 1.0, times=number + 1)
            left.add("User", f"reason {number}", times=number + 1)
        for rows in (unfinished.rows(), left.rows()):
            self.assertEqual((len(rows), rows[0]["times"], rows[-1]["times"]), (1000, 1500, 501))


NOTHING = {"requests": 0, "failures": 0, "mean_ms": None, "p50_ms": None, "p95_ms": None}


def left_out(rows):
    counts = listener._LeftOut()
    for reason, method, name, requests in rows:
        counts.add(reason, method, name, requests=requests)
    return counts.part()


def tasks(calls):
    counts = listener._Tasks()
    for call in calls:
        counts.add(*call)
    return counts.part()


def lateness(samples):
    late = listener._Lateness()
    for late_s in samples:
        late.add(late_s)
    return late.part()


def history(ends, users=()):
    """What a process counts whose requests end at these moments, after so many ms."""
    counts = listener._History()
    for at_s, number in users:
        bucket = counts.at(at_s)
        bucket.users += number
        bucket.samples += 1
    for at_s, time_ms in ends:
        bucket = counts.at(at_s)
        bucket.requests += 1
        bucket.add_time(time_ms)
    return counts.part()


def part(**about):
    return {
        "is_loader": True,
        "requests": 0,
        "setup_requests": 0,
        "connections": 0,
        "resets": 0,
        "mean_users": None,
        "users": [],
        "unfinished": [],
        "users_left": [],
        "tasks": [],
        "left_out": left_out([]),
        "lateness": None,
        "history": history([]),
        **about,
    }


class Bounds(unittest.TestCase):
    def test_left_out_requests_are_listed_by_endpoint_up_to_a_bound(self):
        rows = [("impossible_time", "GET", f"/{number}", 1) for number in range(1500)]
        part = left_out([*rows, ("impossible_time", "G" * 600, "/" + "a" * 600, 1)])
        merged = listener._LeftOut()
        merged.merge(part)
        merged.merge(part)
        self.assertEqual(len(merged.part()["endpoints"]), 1000)
        self.assertEqual(merged.part()["totals"]["impossible_time"], 3002)
        [long] = left_out([("no_time", "G" * 600, "/" + "a" * 600, 1)])["endpoints"]
        self.assertEqual((len(long["method"]), len(long["name"])), (500, 500))

    def test_tasks_and_their_errors_are_bounded(self):
        many = tasks([("U", f"t{number}", None) for number in range(400)])
        self.assertEqual(len(many), 301)
        self.assertEqual((many[0]["task"], many[0]["calls"]), ("(others)", 100))
        [row] = tasks([("U", "go", f"KeyError: {number}") for number in range(100)])
        self.assertEqual((row["failures"], len(row["errors"])), (100, 5))
        self.assertEqual(row["errors"][0], {"error": "KeyError", "times": 80})

    def test_a_task_has_a_name_whatever_it_is(self):
        class Call:
            def __call__(self):
                pass

        self.assertEqual([listener._task_name(task) for task in (len, Call())], ["len", "Call"])

    def test_lateness_keeps_a_bounded_number_of_values(self):
        part = lateness(number / 10_000 for number in range(50_000))
        self.assertLess(len(part["counts"]), 2500)
        self.assertEqual(sum(part["counts"].values()), 50_000)

    def test_a_long_history_has_longer_buckets(self):
        part = history([(second, 1.0) for second in range(3600)])
        self.assertLessEqual(len(part["buckets"]), 60)
        self.assertEqual(part["bucket_s"], 64.0)
        self.assertEqual(sum(row[0] for row in part["buckets"]), 3600)


class Lateness(unittest.TestCase):
    def test_a_blocked_loop_is_not_a_small_delay(self):
        cases = [
            # Delays in seconds, then the largest in ms, stalls, and both shares.
            ([-0.001], 0.0, 0, 0.0, 0.0),
            ([0.05] * 10, 50.0, 0, 0.0, 0.0),
            ([0.2] * 5, 200.0, 0, 0.0, 0.9091),
            ([0.6], 600.0, 1, 0.9677, 0.9677),
        ]
        for samples, max_ms, stalls, stalled, blocked in cases:
            with self.subTest(samples=samples):
                row = listener._lateness_of_all([lateness(samples), None])
                found = (row["max_ms"], row["stalls"], row["stalled_share"], row["blocked_share"])
                self.assertEqual(found, (max_ms, stalls, stalled, blocked))
                self.assertGreaterEqual(row["p50_ms"], 0.0)

    def test_percentiles_have_no_interpolation(self):
        cases = [([1], 0.5, 1), ([1, 2], 0.5, 2), (range(100), 0.95, 95), (range(100), 1.0, 99)]
        for values, percent, expected in cases:
            counts = dict.fromkeys(values, 1)
            self.assertEqual(listener._percentile(counts, percent), expected)
        self.assertIsNone(listener._percentile({}, 0.5))


class History(unittest.TestCase):
    def test_processes_are_added_up(self):
        one = history([(0.1, 10.0), (0.3, 20.0)], [(0.0, 3), (0.3, 4), (0.4, 6), (1.1, 2)])
        two = history([(0.1, 30.0)], [(0.1, 1)])
        total = listener._History.of_all(json.loads(json.dumps([one, two])))
        rows = total.rows(1.0)
        self.assertEqual([row["at_s"] for row in rows], [0.0, 0.25, 0.5, 0.75, 1.0])
        # Users stay where nobody has sampled, and none are reported after the load.
        self.assertEqual([row["users"] for row in rows], [4.0, 6.0, 6.0, 6.0, None])
        self.assertEqual([row["requests"] for row in rows], [2, 1, 0, 0, 0])
        self.assertEqual(total.most_users(1.0), 6.0)
        self.assertEqual((rows[0]["mean_ms"], rows[2]["p95_ms"]), (20.0, None))
        for key, time_ms in [("p50_ms", 30.0), ("p95_ms", 30.0)]:
            self.assertLess(abs(rows[0][key] / time_ms - 1), 0.02)

    def test_processes_with_buckets_of_other_lengths_are_added_up(self):
        long = history([(20.0, 1.0)], [(0.0, 1), (20.0, 1)])
        total = listener._History.of_all([history([(0.0, 1.0), (0.4, 1.0)], [(0.0, 2)]), long])
        rows = total.rows(21.0)
        self.assertEqual((total.bucket_s, rows[0]["requests"], rows[-1]["requests"]), (0.5, 2, 1))
        self.assertEqual({row["users"] for row in rows}, {3.0})

    def test_halves_of_the_load(self):
        total = listener._History.of_all(
            [history([(0.1, 10.0), (0.9, 10.0), (1.1, 40.0), (2.3, 40.0)])]
        )
        first, second = total.halves(2.0)
        self.assertEqual((first["requests"], first["mean_ms"]), (2, 10.0))
        self.assertEqual((second["requests"], second["mean_ms"]), (2, 40.0))

    def test_times_of_any_size_have_a_place(self):
        total = listener._History.of_all([history([(0.0, 0.0), (0.0, 1e9)])])
        [row] = total.rows(1.0)
        self.assertEqual(row["requests"], 2)
        json.dumps(row, allow_nan=False)


class Account(unittest.TestCase):
    def ended(self, **about):
        load = listener._Load(**about)
        load.begin(100.0, 1_700_000_000.0)
        load.open(102.0, 1_700_000_000.25)
        load.ask_to_stop(110.0004, "run_time")
        load.end(112.5)
        return load

    def test_the_parts_of_workers_are_added_up(self):
        parts = [
            part(
                requests=300,
                setup_requests=2,
                connections=4,
                mean_users=3.25,
                users=[{"user": "U", "mean": 3.25, "last": 3}],
                unfinished=[{"method": "GET", "name": "/a", "times": 2, "longest_ms": 5.0}],
                users_left=[{"user": "U", "reason": "StopUser", "times": 1}],
                left_out=left_out([("no_time", "", "/n", 3)]),
                tasks=tasks([("U", "go", "KeyError: 'a'"), ("U", "go", None)]),
                lateness=lateness([0.001] * 99 + [1.0]),
            ),
            part(
                requests=150,
                setup_requests=1,
                resets=1,
                mean_users=2.0,
                users=[
                    {"user": "U", "mean": 1.75, "last": 2},
                    {"user": "V", "mean": 0.25, "last": 0},
                ],
                unfinished=[{"method": "GET", "name": "/a", "times": 1, "longest_ms": 9.0}],
                users_left=[{"user": "U", "reason": "StopUser", "times": 2}],
                left_out=left_out([("no_time", "", "/n", 1), ("before_window", "GET", "/a", 7)]),
                tasks=tasks([("U", "go", "KeyError: 'a'"), ("U", "go", "KeyError: 'b'")]),
                lateness=lateness([0.002] * 100),
            ),
            # A master's own.
            part(is_loader=False),
        ]
        about = {"run_time_s": 8}
        account = listener._account(self.ended(leaves_ramp_up_out=True), parts, 450, about)
        expected = {
            "ramp_up_left_out": True,
            "began": True,
            "ended_by": "run_time",
            "load_s": 10.0,
            "opened_time": 1_700_000_000.25,
            "window_s": 10.5,
            "requests": 450,
            "mean_users": 5.25,
            "unfinished": [{"method": "GET", "name": "/a", "times": 3, "longest_ms": 9.0}],
            "users_left": [{"user": "U", "reason": "StopUser", "times": 3}],
            "own_requests": 450,
            "setup_requests": 3,
            "loaders": 2,
            "connections": 4,
            "resets": 1,
            "max_users": 0.0,
            "users": [
                {"user": "U", "mean": 5.0, "last": 5},
                {"user": "V", "mean": 0.25, "last": 0},
            ],
            "tasks": [
                {
                    "class": "U",
                    "task": "go",
                    "calls": 4,
                    "failures": 3,
                    "errors": [
                        {"error": "KeyError: 'a'", "times": 2},
                        {"error": "KeyError: 'b'", "times": 1},
                    ],
                }
            ],
            "left_out": {
                "totals": {"before_window": 7, "no_time": 4, "impossible_time": 0},
                "endpoints": [
                    {
                        "reason": "before_window",
                        "method": "GET",
                        "name": "/a",
                        "example": None,
                        "requests": 7,
                    },
                    {
                        "reason": "no_time",
                        "method": "",
                        "name": "/n",
                        "example": None,
                        "requests": 4,
                    },
                ],
            },
            "lateness": {
                "samples": 200,
                "p50_ms": 2.0,
                "p95_ms": 2.0,
                "p99_ms": 2.0,
                "max_ms": 1000.0,
                "stalls": 1,
                # Of the worse process: it sampled for 99 x 21 ms and for 1.02 s.
                "stalled_share": 0.3227,
                "blocked_share": 0.3227,
            },
            "history": {"bucket_s": 0.25, "buckets": []},
            "halves": [NOTHING, NOTHING],
            "run_time_s": 8,
        }
        self.assertEqual(account, expected)
        self.assertEqual(list(account), list(expected))
        self.assertEqual(json.loads(json.dumps(account)), expected)

    def test_a_window_that_never_opened_has_no_length_and_no_users(self):
        for leaves_ramp_up_out, began in [(True, False), (False, True)]:
            with self.subTest(leaves_ramp_up_out=leaves_ramp_up_out):
                load = listener._Load(leaves_ramp_up_out)
                load.ask_to_stop(100.0, "early")
                load.end(100.0)
                account = listener._account(load, [], 0, {})
                self.assertEqual(account["began"], began)
                keys = ("opened_time", "window_s", "mean_users", "max_users", "lateness")
                self.assertEqual([account[key] for key in keys], [None] * 5)

    def test_every_entry_spans_the_window(self):
        def entry():
            return types.SimpleNamespace(start_time=5.0, last_request_timestamp=None)

        statistics = types.SimpleNamespace(total=entry(), entries={1: entry(), 2: entry()})
        load = self.ended(leaves_ramp_up_out=True)
        listener._span_window(statistics, load)
        for entry in [statistics.total, *statistics.entries.values()]:
            span = entry.last_request_timestamp - entry.start_time
            self.assertEqual((entry.start_time, span), (1_700_000_000.25, 10.5))
        statistics.total.start_time = 5.0
        listener._span_window(statistics, listener._Load(leaves_ramp_up_out=True))
        self.assertEqual(statistics.total.start_time, 5.0)


def report(number, is_last=False):
    return {"number": number, "is_last": is_last}


# Each is what reaches the master in turn, and what is to become of the workers.
WORKER_LISTS = [
    (
        "two that do as they should",
        [
            ("come", "one"),
            ("come", "two"),
            ("begin", {"one", "two"}),
            ("report", "one", None, False),
            ("report", "one", report(1), True),
            ("report", "two", report(1), True),
            ("report", "one", report(2, is_last=True), True),
            ("report", "two", report(2, is_last=True), False),
            ("look", set()),
        ],
        {"one": "complete", "two": "complete"},
    ),
    (
        "one that is still at it",
        [("begin", {"one"}), ("report", "one", report(1), True), ("look", {"one"})],
        {"one": "here"},
    ),
    (
        "one that goes before its last report",
        [("begin", {"one", "two"}), ("look", {"one"})],
        {"one": "here", "two": "lost"},
    ),
    (
        "one whose report is missing",
        [
            ("begin", {"one"}),
            ("report", "one", report(1), True),
            ("report", "one", report(3), True),
            ("report", "one", report(4, is_last=True), True),
        ],
        {"one": "lost"},
    ),
    (
        "one whose last report does not come",
        [("begin", {"one"}), ("report", "one", report(1), True), ("give_up",)],
        {"one": "lost"},
    ),
    (
        "one that joins late and tells its name",
        [("begin", {"one"}), ("come", "two"), ("look", {"one", "two"})],
        {"one": "here", "two": "late"},
    ),
    (
        "one that joins late and is found by its requests",
        [("begin", {"one"}), ("report", "two", None, True), ("look", {"one", "two"})],
        {"one": "here", "two": "late"},
    ),
    (
        "one that comes back for the next run",
        [
            ("begin", {"one"}),
            ("report", "one", report(1, is_last=True), True),
            ("come", "again"),
            ("collecting", {"again"}),
        ],
        {"one": "complete"},
    ),
    (
        "one without our listener",
        [("begin", {"one"}), ("report", "one", None, False), ("report", "one", None, True)],
        {"one": "bare"},
    ),
    (
        "those who have come before the load begins",
        [("come", "one"), ("report", "two", None, False), ("look", {"one", "two"})],
        {"one": "here", "two": "here"},
    ),
]


class WorkerList(unittest.TestCase):
    def test_what_becomes_of_the_workers(self):
        for name, happenings, expected in WORKER_LISTS:
            with self.subTest(name):
                workers, here = listener._WorkerList(), set()
                for kind, *rest in happenings:
                    if kind == "come":
                        workers.come(rest[0], {"host": "h", "name": rest[0]})
                    elif kind in ("look", "collecting"):
                        here = rest[0]
                        workers.look(here, is_collecting=kind == "collecting")
                    else:
                        getattr(workers, kind)(*rest)
                found = {row.get("name") or row["host"]: row["state"] for row in workers.rows(here)}
                self.assertEqual(found, expected)

    def test_a_worker_without_a_name_is_known_by_its_host(self):
        workers = listener._WorkerList()
        workers.begin({"some_host_0af1"})
        self.assertEqual(workers.rows(set()), [{"host": "some_host", "state": "here"}])

    def test_a_fault_ends_the_wait(self):
        workers = listener._WorkerList()
        workers.begin({"one", "two", "three"})
        workers.report("one", report(1, is_last=True), True)
        self.assertEqual(workers.awaited(), {"two", "three"})
        workers.look({"three"}, is_collecting=True)
        self.assertEqual(workers.awaited(), {"three"})
        workers.give_up()
        self.assertEqual(workers.awaited(), set())


class Session:
    request_name = None


def by_path(_session, url, params):
    return url if params is None else f"{url}?{params}"


class Watched(unittest.TestCase):
    """Requests, tasks and users of a Locust that is played here."""

    def setUp(self):
        environment = types.SimpleNamespace(
            shape_class=None, stop_timeout=2.0, host="http://127.0.0.1:8080"
        )
        self.now, self.greenlet = 100.0, "greenlet"
        self.real = listener.time, listener.gevent
        listener.time = types.SimpleNamespace(
            perf_counter=lambda: self.now, time=lambda: self.now + 1_700_000_000
        )
        listener.gevent = types.SimpleNamespace(
            GreenletExit=GreenletExit, getcurrent=lambda: self.greenlet
        )
        self.load = listener._Load(leaves_ramp_up_out=True)
        self.load.begin(self.now, 1_700_000_000.0)
        self.recorder = listener._Recorder(environment, None, self.load)
        self.logged = []
        self.log_request = self.recorder.log_request_replacing(
            lambda method, name, response_time, _length: self.logged.append([method, name])
        )
        self.log_error = self.recorder.log_error_replacing(
            lambda _method, _name, error: self.logged[-1].append(error)
        )

    def tearDown(self):
        listener.time, listener.gevent = self.real

    def open(self):
        self.load.open(self.now, 1_700_000_000.0)

    def watch(self, takes_s, ends=None, session=None):
        """A `request` that takes so long, and then ends, or is ended by what is raised."""

        def request(_session, _method, _url, _name=None, **_kwargs):
            self.now += takes_s
            if ends is not None:
                raise ends
            return "answer"

        watched = self.recorder.request_replacing(by_path)(request)
        return lambda *args, **kwargs: watched(session or Session(), *args, **kwargs)

    def killed(self, *args, takes_s=3.0, session=None, **kwargs):
        with self.assertRaises(GreenletExit):
            self.watch(takes_s, GreenletExit(), session)(*args, **kwargs)

    def test_a_request_that_is_killed_is_a_failed_one(self):
        self.open()
        renamed = Session()
        renamed.request_name = "group"
        self.killed("GET", "/a")
        self.killed("GET", "/a", takes_s=5.0)
        self.killed("POST", "/a", params="b")
        self.killed("GET", "/c", "named")
        self.killed("GET", "/c", name="named")
        self.killed("GET", "/c", session=renamed)
        self.killed("GET", "/c", name="named", session=renamed)
        self.killed(method="GET", url="/d")
        names = ["/a", "/a", "/a?b", "named", "named", "group", "named", "/d"]
        methods = ["GET", "GET", "POST"] + ["GET"] * 5
        expected = [[method, name, "unfinished"] for method, name in zip(methods, names)]
        self.assertEqual(self.logged, expected)
        rows = {row["name"]: row for row in self.recorder.part()["unfinished"]}
        self.assertEqual((rows["/a"]["times"], rows["/a"]["longest_ms"]), (2, 5000.0))
        self.assertEqual(self.recorder.under_way, {})

    def test_one_that_ends_or_fails_is_left_to_locust(self):
        self.open()
        self.assertEqual(self.watch(1.0)("GET", "/a"), "answer")
        with self.assertRaises(ValueError):
            self.watch(1.0, ValueError())("GET", "/a")
        self.assertEqual((self.logged, self.recorder.under_way), ([], {}))

    def test_nothing_counts_before_the_window(self):
        self.killed("GET", "/a")
        self.assertEqual(self.logged, [])

    def test_one_that_began_before_the_window_counts(self):
        def request(_session, _method, _url, _name=None):
            self.now += 1.0
            self.open()
            self.now += 2.0
            raise GreenletExit

        with self.assertRaises(GreenletExit):
            self.recorder.request_replacing(by_path)(request)(Session(), "GET", "/a")
        self.assertEqual(self.logged, [["GET", "/a", "unfinished"]])

    def test_one_that_began_after_its_user_was_asked_to_stop_had_less_time(self):
        self.open()
        self.recorder.asked_to_stop_at["greenlet"] = self.now
        self.killed("GET", "/a", takes_s=0.003)
        self.assertEqual(self.logged, [])
        self.recorder.asked_to_stop_at["greenlet"] = self.now + 0.001
        self.killed("GET", "/a", takes_s=0.003)
        self.assertEqual(self.logged, [["GET", "/a", "unfinished"]])

    def test_a_greenlet_that_nobody_asks_is_given_the_stop_timeout(self):
        self.open()
        self.killed("GET", "/quick", takes_s=1.9)
        self.killed("GET", "/slow", takes_s=2.1)
        self.assertEqual(self.logged, [["GET", "/slow", "unfinished"]])

    def test_so_is_one_that_outlives_its_user(self):
        self.open()
        for number, age_s in enumerate([1.0, 3.0]):
            about = (self.now - age_s, "GET", None, by_path, Session(), f"/{age_s}", {})
            self.recorder.under_way[number] = about
        stop_users = self.recorder.stop_users_replacing(lambda: None)
        stop_users()
        self.assertEqual((self.logged, self.load.ended_at), ([], None))
        self.load.ask_to_stop(self.now, "run_time")
        stop_users()
        self.assertEqual(self.logged, [["GET", "/3.0", "unfinished"]])
        self.assertEqual((self.load.ended_at, list(self.recorder.under_way)), (self.now, [0]))

    def test_a_block_that_is_killed_as_it_reads(self):
        self.open()
        began = {"start_time": self.now + 1_700_000_000 - 3, "request_type": "GET", "name": "/a"}
        cases = [
            # Judged by the block, read to the end, and what is counted.
            (None, False, [["GET", "/a", "unfinished"]]),
            (True, False, []),
            (None, True, []),
        ]
        leave = self.recorder.exit_replacing(lambda _response, kind, *_rest: kind is None)
        for judged, whole, expected in cases:
            with self.subTest(judged=judged, whole=whole):
                self.logged.clear()
                response = types.SimpleNamespace(
                    request_meta=began, _manual_result=judged, _content_consumed=whole
                )
                self.assertTrue(leave(response, None, None, None))
                self.assertFalse(leave(response, ValueError, ValueError(), None))
                self.assertEqual(self.logged, [])
                self.assertFalse(leave(response, GreenletExit, GreenletExit(), None))
                self.assertEqual(self.logged, expected)

    def test_the_window_filters_requests_with_their_errors(self):
        self.log_request("GET", "/before", 10.0, 0)
        self.log_error("GET", "/before", "e")
        self.open()
        self.now += 1.0
        self.log_request("GET", "/across", 1500.0, 0)
        self.log_error("GET", "/across", "e")
        self.log_request("GET", "/within", 500.0, 0)
        self.log_error("GET", "/within", "e")
        self.log_request("GET", "/no time", None, 0)
        self.assertEqual(self.logged, [["GET", "/within", "e"], ["GET", "/no time"]])

    def play_task(self, user, happen):
        tasks = types.SimpleNamespace(user=user, _task_queue=[])

        def execute(_tasks):
            happen()
            raise GreenletExit

        with self.assertRaises(GreenletExit):
            self.recorder.execute_next_task_replacing(execute)(tasks)

    def test_a_task_of_another_client_that_is_cut_off(self):
        def quiet():
            self.now += 5.0

        def heard_of():
            self.now += 5.0
            self.log_request("X", "heard", 1.0, 0)

        other = types.SimpleNamespace(_state="stopping")
        waiting = types.SimpleNamespace(_state="waiting")
        cases = [
            ("quiet", other, True, quiet, [["", "unfinished", "unfinished"]]),
            ("heard of after it was asked", other, True, heard_of, [["X", "heard"]]),
            ("in its wait time", waiting, True, quiet, []),
            ("whose requests are watched", other, False, quiet, []),
        ]
        listener._is_http, is_http = lambda _user: False, listener._is_http
        try:
            for name, user, is_other, happen, expected in cases:
                with self.subTest(name):
                    self.tearDown()
                    self.setUp()
                    self.open()
                    self.recorder.asked_to_stop_at["greenlet"] = self.now + 2
                    if is_other:
                        self.recorder.quiet_since["greenlet"] = self.now
                    self.recorder.quiet_since["another"] = self.now
                    self.play_task(user, happen)
                    self.assertEqual(self.logged, expected)
        finally:
            listener._is_http = is_http

    def leave(self, stopped_by, raised, in_on_start):
        """Plays a user that is stopped by the greenlet of this name, and then ended by `raised`."""
        user = HttpUser()
        user.greenlet = "greenlet"
        stop = self.recorder.stop_user_replacing(lambda _user: None)

        def run_tasks(_tasks):
            if stopped_by:
                self.greenlet = stopped_by
                stop(user)
                self.greenlet = "greenlet"
            raise raised

        # As Locust's own, it hides what ends the tasks.
        def run(user):
            if in_on_start:
                raise raised
            tasks = types.SimpleNamespace(user=user)
            with contextlib.suppress(GreenletExit):
                self.recorder.run_tasks_replacing(run_tasks)(tasks)

        with contextlib.suppress(ValueError):
            self.recorder.run_replacing(has_on_start=True)(run)(user)

    def test_users_leave_for_a_reason(self):
        killed, boom = GreenletExit(), ValueError("boom")
        cases = [
            # Who stops it, what is raised, whether in `on_start`, and what is told.
            (None, killed, False, ["GreenletExit"]),
            (None, boom, False, ["ValueError: boom"]),
            (None, boom, True, ["ValueError: boom"]),
            ("greenlet", killed, False, ["self.stop()"]),
            ("another", killed, False, ["stop()"]),
            ("Locust", killed, False, []),
            ("the end", killed, False, []),
        ]
        for stopped_by, raised, in_on_start, expected in cases:
            with self.subTest(stopped_by=stopped_by, raised=raised, in_on_start=in_on_start):
                self.tearDown()
                self.setUp()
                self.recorder.stopping_users = int(stopped_by == "Locust")
                if stopped_by == "the end":
                    self.load.ask_to_stop(self.now, "run_time")
                self.leave(stopped_by, raised, in_on_start)
                rows = self.recorder.part()["users_left"]
                self.assertEqual([row["reason"] for row in rows], expected)
                self.assertEqual(self.recorder.asked_to_stop_at, {})
                self.assertEqual(self.recorder.in_setup, set())

    # Set-up requests.

    def run_user(self, on_start, steps=(), has_on_start=True):
        """Plays a user: its `on_start`, and then steps of its tasks."""
        user = HttpUser()
        user.greenlet = self.greenlet

        def run(_user):
            on_start()
            for step in steps:
                step(user)

        self.recorder.run_replacing(has_on_start)(run)(user)

    def step(self, task, happen, tasks=None, raised=None):
        """Plays a step of a task set, by default of the root one, with this task in its queue."""

        def step(user):
            one = tasks or DefaultTaskSet()
            one.user, one._task_queue = user, [task]

            def execute(_tasks):
                happen()
                if raised:
                    raise raised

            with contextlib.suppress(Exception):
                self.recorder.execute_next_task_replacing(execute)(one)

        return step

    def ask(self, name, error=None):
        self.log_request("GET", name, 0.0, 0)
        if error:
            self.log_error("GET", name, error)

    def test_requests_of_on_start_are_set_up_until_the_first_task_begins(self):
        class Outer(TaskSet):
            pass

        class Inner(TaskSet):
            pass

        def first_of_outer(user):
            self.ask("/outer on_start", "e")
            self.step(Inner, lambda: self.ask("/inner on_start"), Outer())(user)
            self.ask("/after")

        def on_start():
            self.ask("/login", "e")
            self.open()
            self.ask("/late login")
            self.greenlet = "spawned by on_start"
            self.ask("/poll")
            self.greenlet = "greenlet"

        def user_of_sets():
            outer = DefaultTaskSet()

            def step(user):
                outer.user, outer._task_queue = user, [Outer]
                self.recorder.execute_next_task_replacing(lambda _tasks: first_of_outer(user))(
                    outer
                )

            return [step, self.step(Outer, lambda: self.ask("/outer on_start again"))]

        self.run_user(on_start, user_of_sets())
        self.assertEqual(
            self.recorder.setup.counts(),
            {"/login": (1, 1), "/late login": (1, 0), "/outer on_start": (1, 1)},
        )
        # Only those that an older listener would have measured.
        self.assertEqual(
            self.recorder.setup_in_window.counts(),
            {"/late login": (1, 0), "/outer on_start": (1, 1)},
        )
        measured = ["/poll", "/inner on_start", "/after", "/outer on_start again"]
        self.assertEqual([name for _, name in self.logged], measured)
        self.assertEqual((self.recorder.requests, self.recorder.part()["setup_requests"]), (4, 3))
        self.assertEqual(self.recorder.in_setup, set())

    def test_a_task_set_after_the_first_is_no_set_up(self):
        class One(TaskSet):
            pass

        self.open()
        steps = [
            self.step(One, lambda: self.ask("/on_start"), raised=InterruptTaskSet()),
            self.step(One, lambda: self.ask("/on_start again")),
        ]
        self.run_user(lambda: None, steps)
        self.assertEqual(self.recorder.setup.counts(), {"/on_start": (1, 0)})
        self.assertEqual(self.logged, [["GET", "/on_start again"]])

    def test_the_first_function_ends_the_set_up(self):
        self.open()

        def go():
            pass

        self.run_user(lambda: self.ask("/login"), [self.step(go, lambda: self.ask("/go"))])
        self.assertEqual(self.recorder.setup.counts(), {"/login": (1, 0)})
        self.assertEqual(self.logged, [["GET", "/go"]])

    def test_a_user_without_on_start_has_no_set_up(self):
        self.open()
        self.run_user(lambda: self.ask("/first"), has_on_start=False)
        found = (self.logged, self.recorder.setup.counts())
        self.assertEqual(found, ([["GET", "/first"]], {}))

    def test_a_set_up_request_that_is_killed_is_a_failed_one(self):
        self.recorder.in_setup.add("greenlet")
        self.killed("POST", "/login")
        self.assertEqual((self.logged, self.recorder.setup.counts()), ([], {"/login": (1, 1)}))
        self.assertEqual(self.recorder.setup_in_window.counts(), {})

    def test_set_up_has_a_bounded_number_of_endpoints_and_errors(self):
        self.recorder.in_setup.add("greenlet")
        for number in range(1100):
            self.ask(f"/{number}", f"error {number}")
        counts = self.recorder.setup.counts()
        self.assertEqual((len(counts), counts["(others)"]), (1001, (100, 100)))
        self.assertEqual(self.recorder.setup.total.num_requests, 1100)
        self.assertEqual(len(self.recorder.setup.errors), 1001)
        times = sum(error.occurrences for error in self.recorder.setup.errors.values())
        self.assertEqual(times, 1100)

    def test_set_up_of_workers_is_added_up(self):
        self.recorder.in_setup.add("greenlet")
        self.ask("/login", ValueError("boom"))
        self.log_error("GET", "/login", ValueError("boom"))
        part = json.loads(json.dumps(self.recorder.part()["setup"]))
        # It stays as it is, since a worker may report more than once.
        self.assertEqual(part, json.loads(json.dumps(self.recorder.part()["setup"])))
        merged = listener._merged_statistics([part, part])
        self.assertEqual((merged.counts(), merged.total.num_requests), ({"/login": (2, 4)}, 2))
        [error] = merged.errors.values()
        self.assertEqual((error.occurrences, repr(error.error)), (4, "ValueError('boom')"))

    # Tasks.

    def test_a_task_fails_by_an_exception_that_no_request_explains(self):
        def go():
            pass

        def failing_request():
            self.ask("/a", "404")

        def failing_request_of_a_pool():
            self.greenlet = MagicMock(spawning_greenlet=lambda: "greenlet")
            self.ask("/a", "404")
            self.greenlet = "greenlet"

        def failing_request_of_another():
            self.greenlet = "another"
            self.ask("/a", "404")
            self.greenlet = "greenlet"

        def nothing():
            pass

        boom = KeyError("items")
        cases = [
            (nothing, None, 0),
            (nothing, boom, 1),
            (failing_request, None, 0),
            (failing_request, boom, 0),
            (failing_request_of_a_pool, boom, 0),
            (failing_request_of_another, boom, 1),
            (nothing, StopUser(), 0),
            (nothing, InterruptTaskSet(), 0),
        ]
        for happen, raised, failures in cases:
            with self.subTest(happen=happen.__name__, raised=raised):
                self.tearDown()
                self.setUp()
                self.open()
                self.run_user(nothing, [self.step(go, happen, raised=raised)])
                [row] = self.recorder.part()["tasks"]
                counts = (row["class"], row["task"], row["calls"], row["failures"])
                self.assertEqual(counts, ("HttpUser", "go", 1, failures))
                errors = [{"error": "KeyError: 'items'", "times": 1}] if failures else []
                self.assertEqual(row["errors"], errors)
                self.assertEqual(self.recorder.has_failed, {})

    def test_a_failed_request_explains_the_exception_of_its_own_call_alone(self):
        self.open()
        boom = KeyError("items")
        steps = [
            self.step(len, lambda: self.ask("/a", "404")),
            self.step(len, lambda: None, raised=boom),
        ]
        self.run_user(lambda: None, steps)
        [row] = self.recorder.part()["tasks"]
        self.assertEqual((row["calls"], row["failures"]), (2, 1))

    def test_tasks_of_task_sets_are_named_by_their_set(self):
        class Basket(TaskSet):
            pass

        self.open()
        nested = [
            self.step(Basket, lambda: None, raised=ValueError("in on_start")),
            self.step(len, lambda: None, Basket()),
        ]
        self.run_user(lambda: None, nested)
        rows = [
            (row["class"], row["task"], row["failures"]) for row in self.recorder.part()["tasks"]
        ]
        self.assertEqual(rows, [("HttpUser", "Basket", 1), ("Basket", "len", 0)])

    def test_tasks_count_only_if_they_begin_in_the_window_and_end(self):
        step = self.step(len, lambda: None)
        self.run_user(lambda: None, [step])
        self.open()
        with self.assertRaises(GreenletExit):
            self.run_user(lambda: None, [self.step(len, lambda: None, raised=GreenletExit())])
        self.load.ask_to_stop(self.now, "run_time")
        self.run_user(lambda: None, [step])
        self.assertEqual(self.recorder.part()["tasks"], [])

    # Requests that are left out, and those that are not.

    def test_requests_are_left_out_for_a_reason(self):
        self.log_request("GET", "/early", 1.0, 0)
        self.log_request("GET", "/early", math.nan, 0)
        self.now += 1.0
        self.open()
        self.now += 2.0
        too_long_ms = 4001.0
        cases = [
            ("/across", 2500.0, "before_window", None),
            ("/fine", 1500.0, None, None),
            ("/fine", 0, None, None),
            ("/fine", "12.5", None, None),
            ("/none", None, "no_time", None),
            ("/nan", math.nan, "impossible_time", "nan"),
            ("/infinite", math.inf, "impossible_time", "inf"),
            ("/negative", -5, "impossible_time", "-5"),
            ("/ns", 20e6, "impossible_time", "20000000.0"),
            ("/longer than the load", too_long_ms, "impossible_time", "4001.0"),
            ("/text", "soon" * 20, "impossible_time", "soon" * 10),
        ]
        for name, response_time, reason, example in cases:
            with self.subTest(name=name, response_time=response_time):
                self.logged.clear()
                self.recorder.left_out = listener._LeftOut()
                self.log_request("GET", name, response_time, 0)
                self.log_error("GET", name, "e")
                # One without a time is counted too.
                is_logged = reason in (None, "no_time")
                self.assertEqual(self.logged, [["GET", name, "e"]] if is_logged else [])
                rows = self.recorder.part()["left_out"]["endpoints"]
                found = [(row["reason"], row["name"], row["example"]) for row in rows]
                self.assertEqual(found, [(reason, name, example)] if reason else [])

    def test_nothing_is_measured_before_the_window(self):
        self.log_request("GET", "/a", 1.0, 0)
        self.log_request("GET", "/a", math.nan, 0)
        totals = self.recorder.part()["left_out"]["totals"]
        self.assertEqual(totals, {"before_window": 2, "no_time": 0, "impossible_time": 0})

    def test_an_impossible_time_of_set_up_is_left_out_too(self):
        self.recorder.in_setup.add("greenlet")
        self.log_request("GET", "/login", -1, 0)
        self.assertEqual(self.recorder.part()["left_out"]["totals"]["impossible_time"], 1)
        self.assertEqual(self.recorder.setup.counts(), {})

    def test_methods_names_and_lengths_are_made_such_that_locust_can_count_them(self):
        lengths = []
        log_request = self.recorder.log_request_replacing(
            lambda method, name, _time, length: lengths.append((method, name, length))
        )
        self.open()
        cases = [
            ((b"GET", "/a", 3), ("GET", "/a", 3)),
            ((None, None, None), ("", "", 0)),
            (("X", 7, math.nan), ("X", "7", 0)),
            (("X", "/a", -3.5), ("X", "/a", 0)),
            (("X", "/a", "many"), ("X", "/a", 0)),
        ]
        for (method, name, length), expected in cases:
            log_request(method, name, 0.0, length)
            self.assertEqual(lengths[-1], expected)

    # Counts of the window.

    def test_requests_are_counted_once_more_and_over_time(self):
        self.open()
        self.ask("/a")
        self.now += 0.3
        self.ask("/a", "e")
        self.killed("GET", "/b")
        self.now += 3.0
        self.log_request("GET", "/c", None, 0)
        part = self.recorder.part()
        self.assertEqual(part["requests"], 4)
        counts = [row[:2] for row in part["history"]["buckets"] if row[0]]
        self.assertEqual(counts, [[1, 0], [1, 1], [1, 1], [1, 0]])

    def test_resets_within_the_window_are_counted(self):
        cleared = []
        reset = self.recorder.reset_replacing(lambda: cleared.append(1))
        self.recorder.environment.stats = types.SimpleNamespace(reset_all=reset)
        listener.gevent.spawn = lambda _function: None
        reset()
        self.recorder.open()
        self.assertEqual(self.recorder.part()["resets"], 0)
        reset()
        self.assertEqual((self.recorder.part()["resets"], len(cleared)), (1, 3))

    def test_connections_to_the_service_are_counted_while_it_is_measured(self):
        connect = self.recorder.connect_replacing(lambda _socket, address: address)
        self.recorder.port = 8080
        connect(None, ("127.0.0.1", 8080))
        self.open()
        for address in [("127.0.0.1", 8080), ("::1", 8080, 0, 0), ("127.0.0.1", 5432), "/a.sock"]:
            self.assertEqual(connect(None, address), address)
        self.load.ask_to_stop(self.now, "run_time")
        connect(None, ("127.0.0.1", 8080))
        self.assertEqual(self.recorder.part()["connections"], 2)

    def test_users_are_counted_by_class(self):
        class Browser(HttpUser):
            greenlet = "greenlet"

        class Buyer(HttpUser):
            greenlet = "greenlet"

        def run(user):
            if isinstance(user, Browser):
                self.recorder.run_replacing(has_on_start=True)(run)(Buyer())
            self.recorder.users.sample()

        self.recorder.run_replacing(has_on_start=True)(run)(Browser())
        self.assertEqual(
            self.recorder.part()["users"],
            [
                {"user": "Browser", "mean": 1.0, "last": 1},
                {"user": "Buyer", "mean": 0.5, "last": 0},
            ],
        )

    def test_the_runner_is_asked_for_users(self):
        start = self.recorder.start_replacing(lambda *args, **kwargs: (args, kwargs))
        self.assertEqual(self.recorder.asked.row(), {"first": None, "least": None, "most": None})
        self.assertEqual(start(5, 1.0, wait=True), ((5, 1.0), {"wait": True}))
        self.assertEqual(start(user_count=40, spawn_rate=1), ((40,), {"spawn_rate": 1}))
        start(3, 1)
        self.assertEqual(self.recorder.asked.row(), {"first": 5, "least": 3, "most": 40})

    # Streamed bodies.

    def test_a_streamed_body_is_timed_to_the_end_of_its_block(self):
        leave = self.recorder.exit_replacing(lambda response, *_rest: response.request_meta)
        response = types.SimpleNamespace()

        def request(_session, _method, _url, _name=None, **_kwargs):
            self.now += 0.5
            response.request_meta = {"response_time": 20.0}
            return response

        watched = self.recorder.request_replacing(by_path)(request)
        for stream, expected in [(True, 1500.0), (False, 20.0)]:
            with self.subTest(stream=stream):
                self.assertIs(watched(Session(), "GET", "/a", stream=stream), response)
                self.now += 1.0
                meta = leave(response, None, None, None)
                self.assertAlmostEqual(meta["response_time"], expected)

    def test_a_shape_ends_with_none(self):
        for ticks, expected in [([(1, 1)], False), ([(1, 1), None], True)]:
            with self.subTest(ticks):
                tick = self.recorder.tick_replacing(iter(ticks).__next__)
                self.assertEqual([tick() for _ in ticks], ticks)
                self.assertEqual(self.recorder.shape_has_ended, expected)

    def test_users_spawned_again_within_the_warm_up_open_one_window(self):
        timers, after = [], []
        listener.gevent.spawn_later = lambda _s, function: timers.append(function)
        listener.gevent.spawn = lambda _function: None
        environment = self.recorder.environment
        environment.stats = types.SimpleNamespace(reset_all=lambda: None)
        environment.events = types.SimpleNamespace(
            spawning_complete=types.SimpleNamespace(add_listener=after.append)
        )
        listener._open_when_all_users_are_spawned(self.recorder, environment, object())
        after[0](user_count=5)
        self.now += 1.0
        after[0](user_count=6)
        self.assertEqual(len(timers), 1)
        timers[0]()
        opened_at = self.load.opened_at
        self.now += 1.0
        after[0](user_count=7)
        self.assertEqual((len(timers), self.load.opened_at), (1, opened_at))


class Folder(unittest.TestCase):
    """Files beside the results."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.target = listener._TARGET
        listener._TARGET = os.path.join(self.folder.name, "perf_results_stats.csv")

    def tearDown(self):
        listener._TARGET = self.target
        self.folder.cleanup()

    def read(self, name):
        with open(os.path.join(self.folder.name, name), encoding="utf-8") as file:
            return json.load(file)

    def test_processes_that_write_the_same_results_are_counted(self):
        self.assertEqual([listener._note_process() for _ in range(2)], [1, 1])
        real, os.getpid = os.getpid, lambda: 1
        try:
            self.assertEqual([listener._note_process() for _ in range(2)], [2, 2])
        finally:
            os.getpid = real
        self.assertEqual(listener._note_process(), 2)

    def test_the_end_of_locust_is_marked(self):
        for code, expected in [(0, 0), (3, 3), (object(), None)]:
            listener._mark_complete(exit_code=code)
            self.assertEqual(self.read("perf_complete.json"), {"exit_code": expected})

    def test_there_are_files_of_set_up_only_with_set_up_requests(self):
        load = listener._Load(leaves_ramp_up_out=True)
        load.begin(100.0, 1_700_000_000.0)
        load.open(102.0, 1_700_000_002.0)
        load.ask_to_stop(110.0, "run_time")
        load.end(110.0)
        setup = Statistics(use_response_times_cache=False)
        nothing = listener._part_of_statistics(setup)
        without = [{"setup": nothing, "setup_in_window": nothing}]
        environment = types.SimpleNamespace(stats=Statistics(use_response_times_cache=False))
        environment.stats.log_request("GET", "/a", 1.0, 0)
        listener.stats.StatsCSV = MagicMock()
        self.assertEqual(listener._files_of_setup(load, without, []), [])
        self.assertEqual(listener._files_with_setup(environment, load, without), [])

        setup.log_request("POST", "/login", 7.0, 0)
        setup = listener._part_of_statistics(setup)
        parts = [{"setup": setup, "setup_in_window": setup}] * 2
        files = listener._files_of_setup(load, parts, [])
        names = [name for name, _write in files]
        expected = ["perf_setup_stats.csv", "perf_setup_failures.csv", "perf_setup.json"]
        self.assertEqual(names, expected)
        for name, write in [files[-1], *listener._files_with_setup(environment, load, parts)]:
            listener._write_atomically(listener._beside_target(name), write)
        [login] = self.read("perf_setup.json")
        self.assertEqual((login["name"], login["num_requests"]), ("/login", 2))
        self.assertEqual(login["last_request_timestamp"] - login["start_time"], 10.0)
        entries = {entry["name"]: entry for entry in self.read("perf_with_setup.json")}
        counts = {name: entry["num_requests"] for name, entry in entries.items()}
        self.assertEqual(counts, {"/a": 1, "/login": 2})
        self.assertEqual(entries["/a"]["start_time"], 1_700_000_002.0)
        # The results themselves stay without it.
        self.assertEqual(environment.stats.counts(), {"/a": (1, 0)})

    def test_a_run_time_may_be_anything(self):
        for run_time, expected in [(8, 8), (None, None), ("8s", None)]:
            options = types.SimpleNamespace(run_time=run_time)
            environment = types.SimpleNamespace(parsed_options=options)
            self.assertEqual(listener._run_time_s(environment), expected)

    def test_the_port_of_a_host(self):
        cases = [
            ("http://127.0.0.1:8080", 8080),
            ("http://a", 80),
            ("https://a/b", 443),
            ("http://a:b", None),
            (None, None),
        ]
        for host, port in cases:
            self.assertEqual(listener._port(host), port)


class Replacements(unittest.TestCase):
    def test_what_a_version_does_not_have_is_left_out(self):
        owner = types.SimpleNamespace(known=lambda: 1)
        double = [(owner, "known", lambda former: lambda: 2 * former())]
        listener._replace([*double, (owner, "unknown", double), (None, "known", double)])
        self.assertEqual(owner.known(), 2)
        self.assertFalse(hasattr(owner, "unknown"))

    def test_a_greenlet_may_call_quit_first_of_all(self):
        self.assertIsNone(listener._name_of(None))
        frame = sys._getframe()
        self.assertEqual(listener._name_of(frame)[1], "test_a_greenlet_may_call_quit_first_of_all")


if __name__ == "__main__":
    unittest.main()
