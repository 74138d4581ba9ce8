"""Loaded by `cargo xtask perf` beside the user's locustfile. It changes what Locust records, never
what Locust does:

1. Response times keep three significant digits instead of two.
2. Only requests that begin once all users are spawned, plus a warm-up, are counted. Throughput is
   counted over the whole of this window, silence at its end included.
3. A request that is cut off at the end counts as a failed one, with the time it has taken so far.
4. Users are counted, and those that leave before the end are told with their reason.
5. The final statistics are written whole. Locust rewrites its own CSV files every second and never
   at the end, so the last second of the run is missing there. These files are written after the
   last request, to a temporary name that is then renamed. The file of the statistics comes last:
   where it exists the load is over and everything is written.
6. Where workers share the load, a master waits for the last report of each, and tells who takes
   part and who was lost.

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

import gevent
import locust
from locust import clients, events, stats
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
_UNFINISHED = "unfinished"
_BY_LOCUST = "Locust"


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


def _told(error):
    """Says in a line what was raised: `ValueError: boom`, or `StopUser` where it has no text."""
    name = type(error).__name__
    try:
        text = " ".join(_text(error).split())
    except Exception:
        # An exception of the locustfile's own may not even be able to tell its text.
        text = ""
    return (f"{name}: {text}" if text else name)[:_LONGEST_REASON]


def _reason_for_leaving(stopped_by, raised):
    """Says why a user left, or None where Locust itself asked it to, as when a shape shrinks.

    `stopped_by` is who called the user's `stop`, and `raised` what ended its tasks, as `_told`
    says it. A call of `stop` ends them by StopUser or by GreenletExit, which tell less.
    """
    if stopped_by == _BY_LOCUST:
        return None
    if stopped_by and raised in (None, "StopUser", "GreenletExit"):
        return stopped_by
    # Only StopUser in `on_start` leaves no trace.
    return raised or "StopUser"


def _ended_by(caller, load_s, run_time_s, shape_has_ended):
    """Says what ended the load. `caller` is the module and the function that ask it to stop.

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
        self.began_at = None
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

    def begin(self, now):
        if self.began_at is None:
            self.began_at = now

    def starts_warm_up(self):
        """Says whether all users are spawned for the first time: a locustfile may add more."""
        is_first = not self._is_warming_up
        self._is_warming_up = True
        return is_first

    def open(self, now, now_time):
        """Opens the window. Says False where it is open already, or where the load is over."""
        if self.is_open or self.is_asked_to_stop:
            return False
        self.opened_at = now
        self.opened_time = now_time
        return True

    def counts(self, began_at):
        """Says whether a request that began then is measured."""
        return not self.leaves_ramp_up_out or began_at >= self.opened_at

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


def _account(load, parts, requests):
    """Makes what perf_listener.json holds, from the part of each process that ran users, and from
    the number of requests that were measured."""
    unfinished, users_left = _Unfinished(), _UsersLeft()
    for part in parts:
        for row in part["unfinished"]:
            unfinished.add(row["method"], row["name"], row["longest_ms"], row["times"])
        for row in part["users_left"]:
            users_left.add(row["user"], row["reason"], row["times"])
    # All of them sample the same window, so the mean of the sum is the sum of the means.
    means = [part["mean_users"] for part in parts if part["mean_users"] is not None]
    window_s = load.window_s()
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
    }


def _span_window(statistics, load):
    """Lets all entries span the window, so that every file tells the same throughput.

    Locust's own times end with the last answer, and so leave silence at the end out. With workers
    they begin with the oldest report, which may be three seconds older than the window.
    """
    window_s = load.window_s()
    if window_s is None:
        return
    for entry in [statistics.total, *statistics.entries.values()]:
        entry.start_time = load.opened_time
        entry.last_request_timestamp = load.opened_time + window_s


class _Roll:
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
        """Takes a report of a worker. `report` is what our listener adds to it where it runs."""
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
    """Says whether the whole answer was read. With `stream` that is done after `request`."""
    # The first is of HttpUser, and what follows of FastHttpUser.
    if hasattr(response, "_content_consumed"):
        return response._content_consumed
    if hasattr(response, "_cached_content"):
        return True
    return getattr(getattr(response, "_response", None), "message_complete", True)


def _is_http(user):
    """Says whether all requests of a user are watched: those of a client of Locust's own are."""
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
        # Requests by number: when each began, and what it takes to name it.
        self.under_way = {}
        self.numbers = itertools.count()
        # By greenlet of a user whose requests are not watched: when it was last heard of.
        self.quiet_since = {}
        # By greenlet of a user.
        self.asked_to_stop_at = {}
        self.stopping_users = 0
        self.shape_has_ended = None if environment.shape_class is None else False
        self.last_counted = False
        self.log_request = None
        self.log_error = None

    def part(self):
        return {
            "mean_users": self.mean_users.get(),
            "unfinished": self.unfinished.rows(),
            "users_left": self.users_left.rows(),
        }

    def begin(self, **_kwargs):
        self.load.begin(time.perf_counter())
        if not self.load.leaves_ramp_up_out:
            self.open()

    def open(self, **_kwargs):
        if not self.load.open(time.perf_counter(), time.time()):
            return False
        if self.load.leaves_ramp_up_out:
            self.environment.stats.reset_all()
        # A master has no users of its own, and learns of others late.
        if not isinstance(self.runner, MasterRunner):
            gevent.spawn(self._sample_users)
        return True

    def _sample_users(self):
        while not self.load.is_asked_to_stop:
            self.mean_users.add(self.runner.user_count)
            gevent.sleep(_SAMPLE_S)

    # Requests.

    def log_request_replacing(self, former):
        self.log_request = former

        def log_request(method, name, response_time, content_length):
            now = time.perf_counter()
            if self.quiet_since:
                greenlet = gevent.getcurrent()
                if greenlet in self.quiet_since:
                    self.quiet_since[greenlet] = now
            self.last_counted = self.load.counts(now - (response_time or 0) / 1000)
            if self.last_counted:
                former(method, name, response_time, content_length)

        return log_request

    def log_error_replacing(self, former):
        self.log_error = former

        # Locust logs the error of a request right after the request.
        def log_error(method, name, error):
            if self.last_counted:
                former(method, name, error)

        return log_error

    def _log_unfinished(self, method, name, response_time):
        # The task of this user is not to count as cut off too.
        self.quiet_since.pop(gevent.getcurrent(), None)
        # It counts even if it began before the window was opened: it reaches into it.
        if not self.load.is_open:
            return
        self.log_request(method, name, response_time, 0)
        self.log_error(method, name, _Verbatim(_UNFINISHED))
        self.unfinished.add(method, name, response_time)

    def request_replacing(self, default_name):
        """For `request` of a client whose requests are called by `default_name` without a name."""

        def replacing(former):
            numbers, under_way, clock = self.numbers, self.under_way, time.perf_counter

            @functools.wraps(former)
            def request(session, method, url, name=None, *args, **kwargs):
                number = next(numbers)
                # In old versions FastHttpSession has no `request_name`.
                title = name or getattr(session, "request_name", None)
                under_way[number] = clock(), method, title, default_name, session, url, kwargs
                try:
                    return former(session, method, url, name, *args, **kwargs)
                except gevent.GreenletExit:
                    if number in under_way and self._had_its_time(under_way[number][0]):
                        self._cut_off_request(number)
                    raise
                finally:
                    under_way.pop(number, None)

            return request

        return replacing

    def _had_its_time(self, began_at):
        """Says whether what began then, in the greenlet that is being killed, is unfinished.

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
        """For each task, where users of other clients than Locust's own are watched."""

        @functools.wraps(former)
        def execute_next_task(tasks, *args, **kwargs):
            if not self.quiet_since:
                return former(tasks, *args, **kwargs)
            greenlet = gevent.getcurrent()
            if greenlet in self.quiet_since:
                self.quiet_since[greenlet] = time.perf_counter()
            try:
                return former(tasks, *args, **kwargs)
            except gevent.GreenletExit:
                self._cut_off_task(tasks.user, greenlet)
                raise

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

    def run_replacing(self, former):
        """For the whole life of a user."""

        @functools.wraps(former)
        def run(user):
            greenlet = gevent.getcurrent()
            if not _is_http(user):
                self.quiet_since[greenlet] = time.perf_counter()
            raised = None
            try:
                return former(user)
            except BaseException as error:
                raised = _told(error)
                raise
            finally:
                self.quiet_since.pop(greenlet, None)
                self.asked_to_stop_at.pop(greenlet, None)
                self._leave(user, raised)

        return run

    def run_tasks_replacing(self, former):
        """For the tasks of a user: `run` hides what ends them."""

        @functools.wraps(former)
        def run(tasks):
            try:
                return former(tasks)
            except BaseException as error:
                tasks.user._perf_raised = _told(error)
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

    def tick_replacing(self, former):
        """For a load shape, which ends the load where it returns None."""

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
    """As a worker: tells who this is, and numbers the reports, so that a lost one is missed."""
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
    """Keeps the roll of the workers in a file that is rewritten at every change, and collects
    their last reports."""

    def __init__(self, environment, runner, load):
        self.runner = runner
        self.environment = environment
        self.load = load
        self.roll = _Roll()
        self.last_reports = {}
        self.is_collecting = False
        self.is_over = False
        self.written = None
        runner.register_message(_COME, self._come)
        environment.events.test_start.add_listener(self._begin)
        environment.events.worker_report.add_listener(self._report)
        gevent.spawn(self._watch)

    def _come(self, msg, **_kwargs):
        self.roll.come(msg.node_id, msg.data)

    def _begin(self, **_kwargs):
        self.roll.begin(self._here())

    def _here(self):
        nodes = self.runner.clients.items()
        return {client_id for client_id, node in nodes if node.state != STATE_MISSING}

    def _report(self, client_id, data, **_kwargs):
        report = data.get(_REPORT)
        self.roll.report(client_id, report, bool(data["stats"]))
        if report and report["is_last"] and client_id in self.roll.complete:
            self.last_reports[client_id] = report
            self.load.end(time.perf_counter() - report["ended_s_ago"])

    def _look(self):
        here = self._here()
        self.roll.look(here, self.is_collecting)
        has_begun = self.roll.taking_part is not None
        text = json.dumps({"began": has_begun, "workers": self.roll.rows(here)})
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
        if self.roll.taking_part is None:
            # Nothing began. Who had come by now stays told, though all of them leave.
            self._look()
            self.is_over = True
            return
        self.is_collecting = True
        # Else Locust would start the users of a worker that has ended on the others.
        self.runner.stop(send_stop_to_client=False)
        self.runner.send_message("quit")
        stop_timeout_s = self.environment.stop_timeout or 0
        deadline = time.monotonic() + stop_timeout_s + _LAST_REPORT_S
        while self.roll.awaited() and time.monotonic() < deadline:
            gevent.sleep(0.05)
            self._look()
        self.roll.give_up()
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


def _write_results(environment, load, parts):
    if load.ended_at is None:
        load.end(time.perf_counter())
    _span_window(environment.stats, load)
    # Those of workers are strings.
    for failure in environment.stats.errors.values():
        if isinstance(failure.error, str):
            failure.error = _Verbatim(failure.error)
    account = _account(load, parts, environment.stats.total.num_requests)
    percentiles = list(stats.PERCENTILES_TO_REPORT)
    percentiles += [needed for needed in (0.50, 0.95, 0.99) if needed not in percentiles]
    tables = stats.StatsCSV(environment, percentiles)
    for name, write in [
        ("perf_results_failures.csv", lambda file: tables.failures_csv(csv.writer(file))),
        ("perf_results_exceptions.csv", lambda file: tables.exceptions_csv(csv.writer(file))),
        ("perf_listener.json", lambda file: json.dump(account, file)),
    ]:
        _write_atomically(_beside_target(name), write)
    _write_atomically(_TARGET, lambda file: tables.requests_csv(csv.writer(file)))


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
                getattr(environment.parsed_options, "run_time", None),
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
            parts = list(master.last_reports.values()) if master else [recorder.part()]
            _write_results(environment, recorder.load, parts)

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
        # Three significant digits, since 2.43.4. Before, Locust rounds where nobody can step in.
        (stats, "bucket_response_time", lambda _former: _three_significant_digits),
        # What is counted: requests that begin in the window. All versions.
        (environment.stats, "log_request", recorder.log_request_replacing),
        (environment.stats, "log_error", recorder.log_error_replacing),
        # What does not end: Locust cuts it off without an event. All versions.
        (http, "request", recorder.request_replacing(_path_with_query)),
        (fast_http, "request", recorder.request_replacing(_url_as_given)),
        (clients.ResponseContextManager, "__exit__", recorder.exit_replacing),
        (fasthttp.ResponseContextManager, "__exit__", recorder.exit_replacing),
        (TaskSet, "execute_next_task", recorder.execute_next_task_replacing),
        # Why users leave: Locust lets most of them go without a word. All versions, but for
        # PytestUser, since 2.40.
        (users.User, "run", recorder.run_replacing),
        (getattr(users, "PytestUser", None), "run", recorder.run_replacing),
        (DefaultTaskSet, "run", recorder.run_tasks_replacing),
        (users.User, "stop", recorder.stop_user_replacing),
        # When and by whom the load is ended: no event tells it. All versions.
        (shape, "tick", recorder.tick_replacing),
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
