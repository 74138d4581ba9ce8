"""Tries the parts of perf_listener.py that need no Locust, under any bare Python from 3.8 on:

python3 xtask/locust/test_perf_listener.py
"""

import contextlib
import json
import math
import os
import sys
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


sys.modules["gevent"].GreenletExit = GreenletExit
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

    def test_an_error_is_told_in_a_line(self):
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
                self.assertEqual(listener._told(error), expected)

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
        load.begin(100.0)
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
        late.begin(100.0)
        late.ask_to_stop(101.0, "run_time")
        self.assertFalse(late.open(102.0, 1.0))
        late.end(103.0)
        self.assertIsNone(late.window_s())

    def test_the_first_to_ask_tells_why_and_the_last_to_stop_when(self):
        load = listener._Load(leaves_ramp_up_out=True)
        load.begin(100.0)
        load.begin(101.0)
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
        load.begin(100.0)
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


class Account(unittest.TestCase):
    def ended(self, **about):
        load = listener._Load(**about)
        load.begin(100.0)
        load.open(102.0, 1_700_000_000.25)
        load.ask_to_stop(110.0004, "run_time")
        load.end(112.5)
        return load

    def test_the_parts_of_workers_are_added_up(self):
        parts = [
            {
                "mean_users": 3.25,
                "unfinished": [{"method": "GET", "name": "/a", "times": 2, "longest_ms": 5.0}],
                "users_left": [{"user": "U", "reason": "StopUser", "times": 1}],
            },
            {
                "mean_users": 2.0,
                "unfinished": [{"method": "GET", "name": "/a", "times": 1, "longest_ms": 9.0}],
                "users_left": [{"user": "U", "reason": "StopUser", "times": 2}],
            },
            {"mean_users": None, "unfinished": [], "users_left": []},
        ]
        account = listener._account(self.ended(leaves_ramp_up_out=True), parts, 450)
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
                account = listener._account(load, [], 0)
                self.assertEqual(account["began"], began)
                told = [account[key] for key in ("opened_time", "window_s", "mean_users")]
                self.assertEqual(told, [None, None, None])

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
ROLLS = [
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


class Roll(unittest.TestCase):
    def test_what_becomes_of_the_workers(self):
        for name, happenings, expected in ROLLS:
            with self.subTest(name):
                roll, here = listener._Roll(), set()
                for kind, *rest in happenings:
                    if kind == "come":
                        roll.come(rest[0], {"host": "h", "name": rest[0]})
                    elif kind in ("look", "collecting"):
                        here = rest[0]
                        roll.look(here, is_collecting=kind == "collecting")
                    else:
                        getattr(roll, kind)(*rest)
                found = {row.get("name") or row["host"]: row["state"] for row in roll.rows(here)}
                self.assertEqual(found, expected)

    def test_one_that_does_not_tell_is_known_by_its_host(self):
        roll = listener._Roll()
        roll.begin({"some_host_0af1"})
        self.assertEqual(roll.rows(set()), [{"host": "some_host", "state": "here"}])

    def test_a_fault_ends_the_wait(self):
        roll = listener._Roll()
        roll.begin({"one", "two", "three"})
        roll.report("one", report(1, is_last=True), True)
        self.assertEqual(roll.awaited(), {"two", "three"})
        roll.look({"three"}, is_collecting=True)
        self.assertEqual(roll.awaited(), {"three"})
        roll.give_up()
        self.assertEqual(roll.awaited(), set())


class Session:
    request_name = None


def by_path(_session, url, params):
    return url if params is None else f"{url}?{params}"


class Watched(unittest.TestCase):
    """Requests, tasks and users of a Locust that is played here."""

    def setUp(self):
        environment = types.SimpleNamespace(shape_class=None, stop_timeout=2.0)
        self.load = listener._Load(leaves_ramp_up_out=True)
        self.recorder = listener._Recorder(environment, None, self.load)
        self.logged = []
        self.log_request = self.recorder.log_request_replacing(
            lambda method, name, response_time, _length: self.logged.append([method, name])
        )
        self.log_error = self.recorder.log_error_replacing(
            lambda _method, _name, error: self.logged[-1].append(error)
        )
        self.now, self.greenlet = 100.0, "greenlet"
        self.real = listener.time, listener.gevent
        listener.time = types.SimpleNamespace(
            perf_counter=lambda: self.now, time=lambda: self.now + 1_700_000_000
        )
        listener.gevent = types.SimpleNamespace(
            GreenletExit=GreenletExit, getcurrent=lambda: self.greenlet
        )

    def tearDown(self):
        listener.time, listener.gevent = self.real

    def open(self):
        self.load.begin(self.now)
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
        tasks = types.SimpleNamespace(user=user)

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
        user = types.SimpleNamespace(greenlet="greenlet")
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
            self.recorder.run_replacing(run)(user)

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
        listener._is_http, is_http = lambda _user: True, listener._is_http
        try:
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
        finally:
            listener._is_http = is_http

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
        kinds = listener.MasterRunner, listener.WorkerRunner
        listener.MasterRunner, listener.WorkerRunner = (
            type("Master", (), {}),
            type("Worker", (), {}),
        )
        try:
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
        finally:
            listener.MasterRunner, listener.WorkerRunner = kinds


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
