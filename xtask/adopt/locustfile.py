"""Defines what the users of the load test do. Locust (https://docs.locust.io) reads this file.

Each user repeats: pick a method marked with @task (with @task(3), it is picked three times as
often), run it, wait, pick the next. A response with status 400 or above counts as a failure.
"""

from locust import HttpUser, constant, task


class User(HttpUser):
    # Seconds that a user waits after each method.
    wait_time = constant(0.1)

    # Request what your users request, in the same proportions. If a path contains an id, give it a
    # name, so that all ids are one endpoint of the report:
    # self.client.get(f"/claims/{claim_id}", name="/claims/[id]")
    @task
    def home(self):
        self.client.get("/")
