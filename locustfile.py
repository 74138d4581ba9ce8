"""Load test for the bundled claims service, read by Locust.

Locust starts many simulated users. Each one repeats: pick one of the methods
marked with @task (a task with weight 3 is picked three times as often as one
with weight 1), run it, wait, pick the next. Locust measures how long every
request takes, and counts any answer with a status of 400 or above as a failure.

By hand, with the service running:

    locust -f locustfile.py --headless -u 10 -r 10 -t 20s -H http://127.0.0.1:8080

-u is the number of users, -r how many of them start per second, -t the duration
and -H the service to load.
"""

from itertools import count

from locust import HttpUser, constant, task

# The service always knows these claims. Counting through them instead of
# drawing at random asks for the same claims in every run.
CLAIM_IDS = range(1, 101)

_turns = count()


class ClaimsUser(HttpUser):
    # Seconds between two requests of one user.
    wait_time = constant(0.1)

    @task(3)
    def list_claims(self):
        self.client.get("/claims")

    @task(3)
    def get_claim(self):
        claim_id = CLAIM_IDS[next(_turns) % len(CLAIM_IDS)]
        # The name puts all ids on one line of the report.
        self.client.get(f"/claims/{claim_id}", name="/claims/[id]")

    @task(2)
    def create_claim(self):
        self.client.post(
            "/claims",
            json={
                "policy": "P-1001",
                "description": "Hail damage to the roof",
                "amount_cents": 125_000,
            },
        )

    @task(2)
    def dashboard(self):
        self.client.get("/dashboard")

    @task(2)
    def health(self):
        self.client.get("/health")
