"""What the users of the load test do, read by Locust (https://docs.locust.io).

Each user repeats: pick a method marked @task (one of weight 3 is picked three times as often), run
it, wait, pick the next. An answer of status 400 or above counts as a failure.
"""

from locust import HttpUser, constant, task


class User(HttpUser):
    # Seconds between two requests of one user.
    wait_time = constant(0.1)

    # Ask for what your users ask for, in their proportions. Give a path that holds an id a name, so
    # that all ids are one endpoint of the report:
    # self.client.get(f"/claims/{claim_id}", name="/claims/[id]")
    @task
    def home(self):
        self.client.get("/")
