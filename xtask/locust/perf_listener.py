"""Loaded by `cargo xtask perf` beside the user's locustfile: writes the exact and final statistics of the run.

Locust rewrites its own `_stats.csv` every second and never at the end, so the last second of the run is missing there.
This file is written after the last request, to a temporary name that is then renamed: its existence means that the
load is over and that the file is whole.
"""

import csv
import os

from locust import events, stats
from locust.runners import WorkerRunner


def _write_final_stats(environment, target):
    percentiles = list(stats.PERCENTILES_TO_REPORT)
    percentiles += [needed for needed in (0.50, 0.95, 0.99) if needed not in percentiles]
    temporary = f"{target}.{os.getpid()}.tmp"
    with open(temporary, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        stats.StatsCSV(environment, percentiles).requests_csv(csv.writer(file))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, target)


@events.init.add_listener
def _write_after_the_last_request(environment, runner, **_kwargs):
    target = os.environ.get("PERF_FINAL_STATS_CSV")
    # A worker holds its own share of the requests; the master holds all of them.
    if not target or isinstance(runner, WorkerRunner):
        return
    quit_runner = runner.quit

    # The event `quit` would come too late: `--json-file` clears the statistics that it writes, and comes before it.
    def quit_and_write():
        quit_runner()
        _write_final_stats(environment, target)

    runner.quit = quit_and_write
