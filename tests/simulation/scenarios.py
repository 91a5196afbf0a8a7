"""Short scripts of clients, each repeated with a fault at each of their calls."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from chalicelib.domain.ids import run_key
from chalicelib.domain.request import Request
from chalicelib.domain.run import AttemptResult, Outcome, Response
from tests.parts import ALONE
from tests.simulation import calendars, sharing
from tests.simulation.clients import CALLBACKS, WAITING, WRONG, Clients
from tests.simulation.deployment import Answer, Deployment, deployed
from tests.simulation.faults import Fault, FaultRates, Plan, possible
from tests.simulation.observer import Violation
from tests.simulation.simulation import SimulationRun, finish, told
from tests.simulation.words import Said

Script = Callable[["Stage"], None]
RETRY = {"max_attempts": 3, "initial_delay": 5, "max_delay": 5}
FAR = 1000
# A cron that always comes again within an hour arms itself: its claims send the next message, or
# the sweeper does if that is due later than in 15 minutes. One with a longer gap has a schedule.
SWEPT = {"cron": "1,17 * * * *"}
SELF_ARMING, MINUTELY = {"cron": "* * * * *"}, {"cron": "0-40 0-22 * * *"}


@dataclass
class Stage:
    """What a script works with: clients, and a target that answers as it is told, 200 when it is
    told nothing.
    """

    clients: Clients
    deployment: Deployment
    answers: list[int]
    padding: str = ""

    def job(self, key: str | None = None, **fields: Any) -> str:
        """Register a job, again and again if need be: by the same key, so that there is one."""
        trigger = fields.pop("trigger", {"delay": 4})
        job_id = self.clients.create(
            self.clients.draft(trigger, **fields), key or self.clients.body()
        )
        if job_id is None:
            raise Violation("no job could be registered in six tries")
        return job_id

    def ask(self, *args: Any, **members: Any) -> None:
        """Do something to a job, again if there was no answer."""
        for _ in range(4):
            answer = self.clients.ask(*args, **members)
            if answer is not None and answer[0] != 503:
                return
            self.wait(1)

    def pause(self, job_id: str, seconds: float) -> None:
        """Pause a job for so many seconds, again if there was no answer: for the same end."""
        self.ask("POST", job_id, "/pause", {"until": self.clients.ends_in(seconds)})

    def mend(self, job_id: str, *acts: Callable[[str, str], Answer | None]) -> None:
        """Do something to the job's newest run that has not succeeded, several clients at once.

        Each does it again if there was no answer. A fault may have kept the run from being there.
        """
        for run in self.clients.runs(job_id, (*WRONG, *WAITING, "skipped"))[:1]:
            if len(acts) == 1:
                self._until_answered(acts[0], job_id, run)
            else:
                self.run_all(*(partial(self._until_answered, act, job_id, run) for act in acts))

    def _until_answered(
        self, act: Callable[[str, str], Answer | None], job_id: str, run: str
    ) -> None:
        self.repeat(partial(act, job_id, run))

    def repeat(self, act: Callable[[], Answer | None]) -> None:
        """Do something, again if there was no answer."""
        for _ in range(4):
            answer = act()
            if answer is not None and answer[0] != 503:
                return
            self.wait(1)

    def channel(self, name: str, **fields: Any) -> None:
        """Put a channel, again if there was no answer."""
        for _ in range(4):
            body = {"url": "https://example.com/channel", **fields}
            answer, _process = self.deployment.ask("PUT", f"/notices/{name}", body)
            if answer is not None and answer[0] != 503:
                return
            self.wait(1)

    def flow(self, name: str, **rate: int) -> None:
        """Limit the rate of a flow, again if there was no answer."""
        self.bounds(name, rate=rate)

    def bounds(self, name: str, **limits: Any) -> None:
        """Put a flow with these limits, again if there was no answer."""
        for _ in range(4):
            answer, _process = self.deployment.ask("PUT", f"/flows/{name}", limits)
            if answer is not None and answer[0] != 503:
                return
            self.wait(1)

    def wait(self, seconds: float) -> None:
        self.clients.virtual_time.wait(seconds)

    def few_messages(self, job_id: str) -> None:
        """Hold that messages which come again do not become ever more."""
        bodies = [message.body for message in self.deployment.cloud.messages.values()]
        waiting = sum(job_id in body for body in bodies)
        self.clients.hold(waiting <= 6, "messages do not multiply", job_id, waiting)

    def run_all(self, *scripts: Callable[[], None]) -> None:
        """Have several clients act at once, and go on when all are done."""
        done: list[int] = []

        def act(script: Callable[[], None]) -> None:
            script()
            done.append(1)

        for script in scripts:
            self.clients.virtual_time.at(
                self.clients.virtual_time.time,
                partial(self.deployment.begin, "client", partial(act, script)),
            )
        while len(done) < len(scripts):
            self.wait(0.5)

    def answer(self, request: Request, headers: Mapping[str, str]) -> tuple[float, AttemptResult]:
        """Answer a request. 0 stands for a target that never does."""
        del headers
        status = self.answers.pop(0) if self.answers else 200
        body = Response({}, str(request.body) + self.padding, truncated=False)
        if status == 0:
            return 100.0, AttemptResult(Outcome.TIMEOUT, timedelta(seconds=5), error="too late")
        outcome = Outcome.SUCCESS if status == 200 else Outcome.HTTP_ERROR
        return 0.1, AttemptResult(
            outcome, timedelta(seconds=0.1), status, body, None if status == 200 else f"{status}"
        )


CALLBACK: dict[str, Any] = {"completion": "callback", "deadline": 60}
DONE, BROKEN = {"status": "succeeded"}, {"status": "failed"}


def words(stage: Stage, *plans: list[Said]) -> None:
    """Have the targets of the next requests say what is planned, and those after them nothing."""
    waiting = [*plans]
    stage.deployment.says = lambda: waiting.pop(0) if waiting else []


def a_word(stage: Stage) -> None:
    """It comes twice, and with more time before."""
    long = {"extend": 86_400}
    words(stage, [(5, {"extend": 90}), (6, long), (70, DONE), (71, BROKEN)])
    stage.job(**CALLBACK)
    stage.wait(90)


def a_word_before_the_answer_is_read(stage: Stage) -> None:
    """And a deadline that is moved before. The third answers with an error after its word."""
    words(stage, [(0.05, DONE)], [(0.02, {"extend": 90}), (80, DONE)], [(0.04, BROKEN)])
    stage.answers[:] = [200, 200, 503]
    for _ in range(3):
        stage.job(**CALLBACK, retry=RETRY)
    stage.wait(95)


def a_word_as_an_error_is_stored(stage: Stage) -> None:
    """Words as errors are recorded, and one after that."""
    words(stage, *[[(after, DONE)] for after in (0.085, 0.09, 0.095, 8)])
    stage.answers[:] = [503] * 4
    for _ in range(4):
        stage.job(**CALLBACK, retry={"max_attempts": 1})
        stage.wait(1)
    stage.wait(20)


def a_failure_by_word(stage: Stage) -> None:
    """It is retried; the word for the first attempt is said again, and the second is final."""
    words(stage, [(3, BROKEN), (10, DONE)], [(4, {**BROKEN, "retry": False})])
    stage.job(**CALLBACK, retry=RETRY, callbacks=CALLBACKS)
    stage.wait(30)


def a_word_that_never_comes(stage: Stage) -> None:
    """The second attempt is sent after the deadline; then the first one's word comes."""
    words(stage, [(75, DONE)], [(20, DONE)])
    stage.job(**CALLBACK, retry=RETRY)
    stage.wait(110)


def a_deadline_that_two_notice(stage: Stage) -> None:
    """The first is held up until the second attempt waits for its callback."""
    stage.deployment.observer.is_fine = False
    words(stage, [], [(55, DONE)])
    stage.job(**CALLBACK, retry=RETRY)
    stage.wait(63 - stage.clients.virtual_time.time)
    cloud = stage.deployment.cloud
    cloud.pauses = 100.0, 110.0
    cloud.plan.coming.append((Fault.PAUSE_BEFORE, "TransactWriteItems", "'TableName': 'runs'"))
    stage.wait(150)


def a_cancel_as_a_deadline_is_noticed(stage: Stage) -> None:
    """The executor is held up before it writes what it has decided."""
    job_id = stage.job(**CALLBACK, retry={"max_attempts": 1})
    stage.wait(63 - stage.clients.virtual_time.time)
    cloud = stage.deployment.cloud
    cloud.pauses = 5.0, 6.0
    for operation, table in (("TransactWriteItems", "runs"), ("PutItem", "jobs")):
        cloud.plan.coming.append((Fault.PAUSE_BEFORE, operation, f"'TableName': '{table}'"))
    stage.wait(5)
    cloud.plan.coming.clear()
    stage.mend(job_id, stage.clients.cancel)
    stage.wait(60)


def a_word_held_up_as_its_deadline_moves(stage: Stage) -> None:
    """It was said in time, and by the deadline that is read afterwards it still is."""
    words(stage, [(40, DONE), (41, {"extend": 90})])
    stage.job(**CALLBACK, retry=RETRY)
    stage.wait(44.5 - stage.clients.virtual_time.time)
    stage.deployment.cloud.api_pauses = 25.0, 26.0
    stage.deployment.cloud.plan.coming.append((Fault.PAUSE_BEFORE, "GetItem", "runs"))
    stage.wait(120)


def a_word_at_the_deadline(stage: Stage) -> None:
    words(stage, [(59.95, DONE)], [(60.0, BROKEN)], [(60.05, DONE)])
    stage.job(**CALLBACK, retry=RETRY)
    stage.wait(210)


def a_deadline_that_no_message_can_wait_for(stage: Stage) -> None:
    """The sweeper arms it. Of two words at once one counts."""
    words(
        stage,
        [(1, {"extend": FAR + 50})],
        [(1, {"extend": FAR + 200}), (FAR + 100, DONE), (FAR + 100, BROKEN)],
    )
    for _ in range(2):
        stage.job(completion="callback", deadline=FAR, retry={"max_attempts": 1})
    stage.wait(FAR + 130)


def a_cancel_and_a_word_at_once(stage: Stage) -> None:
    words(stage, [(6, DONE)])
    job_id, cancel = stage.job(**CALLBACK, trigger={"delay": 2}), stage.clients.cancel
    stage.wait(6)
    stage.mend(job_id, cancel, cancel)
    stage.wait(70)


def a_word_for_a_job_that_was_changed(stage: Stage) -> None:
    """Paused, given another request, and deleted while their targets work."""
    words(stage, [(20, BROKEN)], [(20, DONE)], [(20, DONE)])
    jobs = [stage.job(**CALLBACK, trigger={"delay": 2}, retry=RETRY) for _ in range(3)]
    stage.wait(6)
    body = {"request": {"url": "https://example.com/other", "body": stage.clients.body()}}
    stage.ask("POST", jobs[0], "/pause")
    stage.ask("PATCH", jobs[1], body=body)
    stage.ask("DELETE", jobs[2])
    stage.wait(80)


def a_word_for_an_executor_that_has_died(stage: Stage) -> None:
    """Its target has got the request: the run waits for it. Another target got none."""
    deployment = stage.deployment
    deployment.observer.is_fine = False
    words(stage, [(50, DONE)], [])
    deployment.fault_rates.killed_in_flight = 1.0
    for _ in range(2):
        stage.job(**CALLBACK, trigger={"delay": 2}, retry={**RETRY, "max_attempts": 2})
    stage.wait(10)
    deployment.fault_rates.killed_in_flight = 0
    stage.wait(150)


def a_cron_whose_target_works_longer(stage: Stage) -> None:
    """Its runs do not overlap, and the job is paused by the words of two."""
    words(stage, [(70, BROKEN)], [(10, BROKEN)])
    job_id = stage.job(
        completion="callback",
        deadline=100,
        trigger={"cron": "* * * * *"},
        overlap="skip",
        pause_after=2,
        retry={"max_attempts": 1},
    )
    stage.channel("a")
    stage.wait(100)
    stage.ask("PATCH", job_id, body={"name": "changed"})
    stage.wait(120)
    stage.ask("DELETE", job_id)


def a_delay(stage: Stage) -> None:
    stage.job()
    stage.wait(10)


def a_response_too_long_for_its_record(stage: Stage) -> None:
    """It is written before the record, which may fail after it."""
    stage.padding, stage.answers = random.Random(1).randbytes(2_000).hex(), [503]
    stage.job()
    stage.wait(30)


def a_date_that_a_schedule_wakes_for(stage: Stage) -> None:
    stage.job(trigger={"delay": FAR})
    stage.wait(FAR + 10)


def a_minutely_cron(stage: Stage) -> None:
    job_id = stage.job(trigger=MINUTELY)
    stage.wait(150)
    stage.ask("DELETE", job_id)


def a_cron_that_keeps_firing(stage: Stage) -> None:
    stage.job(trigger={"cron": "0-40/2 0-22 * * *"})
    stage.wait(260)


def a_self_arming_cron(stage: Stage) -> None:
    """A new request meets a message that its predecessor has sent ahead."""
    stage.answers[:] = [200, 503]
    job_id = stage.job(trigger=SELF_ARMING, retry=RETRY)
    stage.wait(130)
    stage.ask(
        "PATCH",
        job_id,
        body={"request": {"url": "https://example.com/other", "body": stage.clients.body()}},
    )
    stage.wait(65)
    stage.ask("POST", job_id, "/pause")
    stage.wait(5)
    stage.ask("POST", job_id, "/resume")
    stage.wait(65)
    stage.ask("DELETE", job_id)


def a_cron_across_the_hour(stage: Stage) -> None:
    """It loses its schedule, and gets one again."""
    job_id = stage.job(trigger=MINUTELY)
    stage.wait(130)
    stage.ask("PATCH", job_id, body={"trigger": SELF_ARMING})
    stage.wait(130)
    stage.ask("PATCH", job_id, body={"trigger": MINUTELY})
    stage.wait(250)
    stage.ask("DELETE", job_id)


def a_cron_of_sixteen_minutes(stage: Stage) -> None:
    """A claim arms nothing, and the sweeper sends the next message two minutes ahead."""
    stage.answers[:] = [200, 503]
    job_id = stage.job(trigger=SWEPT, retry=RETRY)
    stage.wait(1050)
    stage.few_messages(job_id)
    stage.ask("DELETE", job_id)


def a_swept_cron_across_the_hour(stage: Stage) -> None:
    """It gets a schedule while the sweeper's message is on its way, and loses it again."""
    job_id = stage.job(trigger=SWEPT)
    stage.wait(1000)
    stage.ask("PATCH", job_id, body={"trigger": MINUTELY})
    stage.wait(130)
    stage.ask("PATCH", job_id, body={"trigger": {"cron": "7,25 * * * *"}})
    stage.wait(430)
    stage.ask("DELETE", job_id)


def a_swept_cron_whose_message_is_lost(stage: Stage) -> None:
    """The sweeper sends it again once it is overdue."""
    job_id = stage.job(trigger=SWEPT)
    stage.wait(1005)
    stage.deployment.observer.is_fine = False
    stage.deployment.cloud.messages.clear()
    stage.wait(150)
    stage.ask("DELETE", job_id)


def a_swept_cron_whose_message_is_late_and_comes_twice(stage: Stage) -> None:
    """Neither begets another."""
    deployment, held = stage.deployment, list[str]()
    deployment.fault_rates.doubled_message = 1.0
    job_id = stage.job(trigger=SWEPT)
    stage.wait(900)
    deployment.observer.is_fine = False
    deployment.arrives = held.append
    stage.wait(130)
    deployment.arrives = None
    for name in held * 2:
        deployment.virtual_time.at(
            deployment.virtual_time.time + 45, partial(deployment.deliver, [name])
        )
    stage.wait(150)
    stage.few_messages(job_id)
    stage.ask("DELETE", job_id)


def a_swept_cron_that_is_paused_after_its_sweep(stage: Stage) -> None:
    """The sweeper's message is of an older generation than the job that is resumed."""
    job_id = stage.job(trigger=SWEPT)
    stage.wait(970)
    stage.ask("POST", job_id, "/pause")
    stage.ask("POST", job_id, "/resume")
    stage.wait(80)
    stage.ask("DELETE", job_id)


def a_swept_cron_while_no_sweep_comes(stage: Stage) -> None:
    """It is late, and is made up for when the sweeper is back, a quarter of an hour later."""
    job_id = stage.job(trigger=SWEPT)
    stage.wait(800)
    stage.deployment.observer.is_fine = False
    stage.deployment.fault_rates.lost_sweep = 1.0
    stage.wait(1100)
    stage.deployment.fault_rates.lost_sweep = 0.0
    stage.wait(100)
    stage.ask("DELETE", job_id)


def a_self_arming_cron_whose_message_is_lost(stage: Stage) -> None:
    """The sweeper sends it again, and from then on the claims do."""
    job_id = stage.job(trigger=SELF_ARMING)
    stage.wait(90)
    observer = stage.deployment.observer
    is_fine, observer.is_fine = observer.is_fine, False
    stage.deployment.cloud.messages.clear()
    stage.wait(120)
    observer.is_fine = is_fine
    stage.wait(120)
    stage.ask("DELETE", job_id)


def a_self_arming_cron_whose_message_is_late(stage: Stage) -> None:
    """The sweeper has sent it again: the late one sends nothing ahead."""
    deployment, held = stage.deployment, list[str]()
    job_id = stage.job(trigger=SELF_ARMING)
    stage.wait(70)
    deployment.observer.is_fine = False
    deployment.arrives = held.append
    stage.wait(60)
    deployment.arrives = None
    for name in held:
        deployment.virtual_time.at(
            deployment.virtual_time.time + 75, partial(deployment.deliver, [name])
        )
    stage.wait(150)
    stage.few_messages(job_id)
    stage.ask("DELETE", job_id)


def a_self_arming_cron_whose_messages_come_twice(stage: Stage) -> None:
    """Only one of them begets another."""
    stage.deployment.fault_rates.doubled_message = 1.0
    job_id = stage.job(trigger=SELF_ARMING)
    stage.wait(450)
    stage.few_messages(job_id)
    stage.ask("DELETE", job_id)


def crons_that_are_spread(stage: Stage) -> None:
    """Each job has its own offset, and its schedule wakes in the minute before it."""
    jobs = [stage.job(trigger={"cron": "0-40/2 0-22 * * *", "spread": 120}) for _ in range(3)]
    stage.wait(400)
    for job_id in jobs:
        stage.ask("PATCH", job_id, body={"trigger": {"cron": "0-40/2 0-22 * * *"}})
    stage.wait(60)


def an_interval_of_ten_seconds(stage: Stage) -> None:
    """It is shorter than its target takes to fail."""
    stage.answers[:] = [200, 0, 0, 200]
    job_id = stage.job(trigger={"every": 10}, retry=RETRY)
    stage.wait(65)
    stage.ask("DELETE", job_id)


def an_interval_that_no_message_can_wait_for(stage: Stage) -> None:
    """The sweeper arms it. Then it is changed to one that arms itself, and back."""
    job_id = stage.job(trigger={"every": FAR})
    stage.wait(FAR + 100)
    stage.ask("PATCH", job_id, body={"trigger": {"every": 30}})
    stage.wait(40)
    stage.ask("PATCH", job_id, body={"trigger": {"every": FAR}})
    stage.wait(60)


def a_pause_within_an_interval(stage: Stage) -> None:
    job_id = stage.job(trigger={"every": 20})
    stage.wait(25)
    stage.ask("POST", job_id, "/pause")
    stage.wait(25)
    stage.ask("POST", job_id, "/resume")
    stage.wait(45)
    stage.ask("DELETE", job_id)


def an_interval_of_three_runs(stage: Stage) -> None:
    """The first takes so long that others are skipped: these do not count."""
    stage.answers[:] = [0, 200, 503, 200]
    trigger = {"every": 10, "max_runs": 3}
    job_id = stage.job(trigger=trigger, overlap="skip", retry={**RETRY, "max_attempts": 1})
    stage.wait(60)
    stage.ask("POST", job_id, "/run")
    stage.ask("PATCH", job_id, body={"trigger": {**trigger, "max_runs": 2}})
    stage.wait(25)


def an_interval_that_misses_some_of_its_runs(stage: Stage) -> None:
    stage.deployment.observer.is_fine = False
    stage.job(trigger={"every": 10, "max_runs": 9})
    stage.wait(12)
    stage.deployment.cloud.messages.clear()
    stage.wait(100)


def a_cron_with_an_end(stage: Stage) -> None:
    ends_at = (stage.clients.virtual_time.now + timedelta(seconds=130)).isoformat()
    stage.answers[:] = [200, 503, 200]
    trigger = {**MINUTELY, "ends_at": ends_at}
    job_id = stage.job(trigger=trigger, retry=RETRY)
    paused = stage.job(trigger=trigger)
    stage.ask("POST", paused, "/pause")
    stage.wait(150)
    stage.ask("POST", paused, "/resume")
    stage.ask("PATCH", job_id, body={"name": "ended"})
    stage.wait(10)


def a_retry(stage: Stage) -> None:
    stage.answers[:] = [503, 503, 200]
    stage.job(retry=RETRY)
    stage.wait(30)


def a_target_that_never_answers(stage: Stage) -> None:
    stage.answers[:] = [0, 0, 0]
    stage.job(retry=RETRY)
    stage.wait(40)


def a_target_that_says_no(stage: Stage) -> None:
    stage.answers[:] = [404]
    stage.job(retry=RETRY)
    stage.wait(10)


def a_pause_before_it_is_due(stage: Stage) -> None:
    job_id = stage.job(trigger={"delay": 6})
    stage.ask("POST", job_id, "/pause")
    stage.wait(20)


def a_pause_as_it_comes_due(stage: Stage) -> None:
    job_id = stage.job(trigger={"delay": 6})
    stage.wait(6.3)
    stage.ask("POST", job_id, "/pause")
    stage.wait(10)


def a_pause_and_a_resume_of_a_cron(stage: Stage) -> None:
    """The queue is down after the pause: a claim that has timed out cannot send its messages."""
    job_id = stage.job(trigger=MINUTELY)
    stage.wait(65)
    stage.ask("POST", job_id, "/pause")
    stage.deployment.cloud.plan.down.add("SendMessageBatch")
    stage.wait(15)
    stage.deployment.cloud.plan.down.clear()
    stage.wait(50)
    stage.ask("POST", job_id, "/resume")
    stage.wait(65)
    stage.ask("DELETE", job_id)


def a_pause_and_a_resume_of_a_date(stage: Stage) -> None:
    job_id = stage.job(trigger={"delay": FAR})
    stage.ask("POST", job_id, "/pause")
    stage.wait(30)
    stage.ask("POST", job_id, "/resume")
    stage.wait(FAR)


def a_pause_while_a_retry_waits(stage: Stage) -> None:
    stage.answers[:] = [503]
    job_id = stage.job(retry={**RETRY, "initial_delay": 20, "max_delay": 20})
    stage.wait(10)
    stage.ask("POST", job_id, "/pause")
    stage.wait(30)


def a_pause_while_the_request_is_on_the_wire(stage: Stage) -> None:
    stage.answers[:] = [0]
    job_id = stage.job(retry=RETRY)
    stage.wait(6)
    stage.ask("POST", job_id, "/pause")
    stage.wait(20)


def a_new_request_before_it_is_due(stage: Stage) -> None:
    job_id = stage.job(trigger={"delay": 6})
    stage.ask(
        "PATCH",
        job_id,
        body={"request": {"url": "https://example.com/other", "body": stage.clients.body()}},
    )
    stage.wait(15)


def a_delete_while_the_executor_sleeps(stage: Stage) -> None:
    """The executor has read the job before it was due."""
    job_id = stage.job()
    stage.wait(4.8 - stage.clients.virtual_time.time)
    stage.ask("DELETE", job_id)
    stage.wait(10)


def a_new_trigger_before_it_is_due(stage: Stage) -> None:
    job_id = stage.job(trigger={"delay": 6})
    stage.ask("POST", job_id, body={"trigger": {"delay": 12}})
    stage.wait(20)


def a_new_request_while_a_claim_is_unsure(stage: Stage) -> None:
    job_id = stage.job(trigger=MINUTELY)
    stage.wait(62)
    stage.ask(
        "PATCH",
        job_id,
        body={"request": {"url": "https://example.com/other", "body": stage.clients.body()}},
    )
    stage.wait(60)
    stage.ask("DELETE", job_id)


def a_new_trigger_while_the_request_is_on_the_wire(stage: Stage) -> None:
    stage.answers[:] = [0]
    job_id = stage.job(trigger={"delay": 3}, retry={"max_attempts": 1})
    stage.wait(5)
    stage.ask("POST", job_id, body={"trigger": {"delay": 20}})
    stage.wait(30)


def a_date_that_has_passed_while_the_request_is_on_the_wire(stage: Stage) -> None:
    """The new run is due before the old one was, and still waits for a retry when that ends."""
    stage.deployment.observer.is_fine = False
    stage.answers[:] = [0, 503, 200]
    job_id = stage.job(trigger={"delay": 3}, retry={**RETRY, "max_attempts": 2})
    stage.wait(5)
    passed = (stage.clients.virtual_time.now - timedelta(seconds=10)).isoformat()
    stage.ask("PATCH", job_id, body={"trigger": {"date": passed}})
    stage.wait(30)


def two_minutes_in_a_row(stage: Stage) -> None:
    stage.job(trigger={"cron": "4,5 0-22 * * *"})
    stage.wait(320)


def a_cron_becomes_a_date(stage: Stage) -> None:
    job_id = stage.job(trigger=MINUTELY)
    stage.wait(65)
    stage.ask("POST", job_id, body={"trigger": {"delay": FAR}})
    stage.wait(FAR + 10)


def a_policy_changes_while_a_retry_waits(stage: Stage) -> None:
    stage.answers[:] = [503]
    job_id = stage.job(retry={**RETRY, "initial_delay": 20, "max_delay": 20}, trigger=MINUTELY)
    stage.wait(65)
    stage.ask("PATCH", job_id, body={"retry": {"max_attempts": 1}})
    stage.wait(65)
    stage.ask("DELETE", job_id)


def a_delete_before_it_is_due(stage: Stage) -> None:
    job_id = stage.job(trigger={"delay": 6})
    stage.ask("DELETE", job_id)
    stage.wait(15)


def a_delete_of_a_schedule(stage: Stage) -> None:
    job_id = stage.job(trigger={"delay": FAR})
    stage.ask("DELETE", job_id)
    stage.wait(FAR + 10)


def a_delete_while_a_retry_waits(stage: Stage) -> None:
    stage.answers[:] = [503]
    job_id = stage.job(retry={**RETRY, "initial_delay": 20, "max_delay": 20})
    stage.wait(10)
    stage.ask("DELETE", job_id)
    stage.wait(30)


def a_pause_until_an_occurrence(stage: Stage) -> None:
    job_id = stage.job(trigger={"cron": "* * * * *"})
    stage.pause(job_id, 60)
    stage.wait(125)
    stage.ask("DELETE", job_id)


def a_pause_whose_end_is_far(stage: Stage) -> None:
    """The sweeper arms it. The cron keeps its schedule; the date has none left."""
    cron = stage.job(trigger={"cron": "0-40 0-22 * * *"})
    stage.pause(cron, FAR)
    date = stage.job(trigger={"delay": FAR + 40})
    stage.pause(date, FAR + 20)
    stage.wait(FAR + 70)
    stage.ask("DELETE", cron)


def a_pause_whose_message_is_lost(stage: Stage) -> None:
    stage.deployment.observer.is_fine = False
    job_id = stage.job(trigger={"every": 20, "max_runs": 5})
    stage.pause(job_id, 10)
    stage.deployment.cloud.messages.clear()
    stage.wait(120)


def a_pause_that_is_changed(stage: Stage) -> None:
    """Its end comes sooner, then later, then never; the job is changed and skipped meanwhile."""
    job_id = stage.job(trigger={"every": 10})
    for seconds in (40, 5, 15):
        stage.pause(job_id, seconds)
    stage.ask("POST", job_id, "/skip", {"count": 1})
    request = {"url": "https://example.com/other", "body": stage.clients.body()}
    stage.ask("PATCH", job_id, body={"request": request})
    stage.wait(28)
    stage.pause(job_id, 5)
    stage.ask("POST", job_id, "/pause", {"until": None, "reason": "for good"})
    stage.wait(20)
    stage.ask("POST", job_id, "/resume")
    stage.wait(15)
    stage.ask("DELETE", job_id)


def a_pause_that_ends_as_users_act(stage: Stage) -> None:
    jobs = [stage.job(trigger={"every": 10}) for _ in range(3)]
    for job_id in jobs:
        stage.pause(job_id, 12)
    stage.wait(10.9)
    request = {"url": "https://example.com/other", "body": stage.clients.body()}
    stage.run_all(
        lambda: stage.ask("POST", jobs[0], "/resume"),
        lambda: stage.ask("PATCH", jobs[1], body={"request": request}),
        lambda: stage.ask("POST", jobs[2], "/pause"),
    )
    stage.wait(20)
    for job_id in jobs:
        stage.ask("DELETE", job_id)


def a_pause_whose_end_nobody_has_handled(stage: Stage) -> None:
    """Its message is lost: for what users do then it has ended all the same."""
    stage.deployment.observer.is_fine = False
    jobs = [stage.job(trigger={"every": 10}) for _ in range(4)]
    for job_id in jobs:
        stage.pause(job_id, 8)
    stage.deployment.cloud.messages.clear()
    stage.wait(14)
    request = {"url": "https://example.com/other", "body": stage.clients.body()}
    stage.ask("POST", jobs[0], "/resume")
    stage.ask("PATCH", jobs[1], body={"request": request})
    stage.ask("POST", jobs[2], "/pause")
    stage.ask("PATCH", jobs[3], body={"trigger": {"every": 15}})
    stage.wait(25)
    for job_id in jobs:
        stage.ask("DELETE", job_id)


def a_date_and_a_cron_that_pass_within_a_pause(stage: Stage) -> None:
    stage.channel("a")
    ends_at = (stage.clients.virtual_time.now + timedelta(seconds=65)).isoformat()
    for trigger in ({"delay": 5}, {"delay": 5}, {"cron": "* * * * *", "ends_at": ends_at}):
        job_id = stage.job(trigger=trigger)
        stage.pause(job_id, 70)
    stage.ask("POST", job_id, "/skip", {"count": 3})
    stage.wait(90)


def a_job_that_fails_is_paused_for_a_while(stage: Stage) -> None:
    """The count of its failed runs begins anew, and a run of before gets no other attempt."""
    stage.answers[:] = [404, 503, 404, 404, 200]
    job_id = stage.job(trigger={"every": 10}, pause_after=2, retry=RETRY)
    stage.wait(21)
    stage.pause(job_id, 5)
    stage.wait(35)
    stage.ask("DELETE", job_id)


def occurrences_that_are_skipped(stage: Stage) -> None:
    job_id = stage.job(trigger={"every": 10, "max_runs": 3})
    stage.ask("POST", job_id, "/skip", {"count": 2})
    stage.wait(35)
    stage.ask("POST", job_id, "/skip", {"count": 1})
    stage.ask("POST", job_id, "/skip", {"count": 0})
    stage.wait(15)
    stage.ask("POST", job_id, "/skip", {"count": 100})
    stage.wait(22)
    stage.ask("POST", job_id, body={"trigger": {"delay": 5}})
    stage.ask("POST", job_id, "/skip", {"count": 2})
    stage.wait(12)


def a_skip_as_it_comes_due(stage: Stage) -> None:
    """The executor has read the job before it was due."""
    job_id = stage.job(trigger={"every": 10})
    stage.wait(10.8 - stage.clients.virtual_time.time % 1)
    stage.ask("POST", job_id, "/skip", {"count": 1})
    stage.wait(25)
    stage.ask("DELETE", job_id)


def skips_that_come_late(stage: Stage) -> None:
    """Those that were asked for are skipped, however late it is; the others are missed."""
    stage.deployment.observer.is_fine = False
    job_id = stage.job(trigger={"every": 10, "max_runs": 9})
    stage.ask("POST", job_id, "/skip", {"count": 3})
    stage.deployment.cloud.messages.clear()
    stage.wait(150)


def a_run_now(stage: Stage) -> None:
    job_id = stage.job(trigger={"delay": FAR})
    stage.ask("POST", job_id, "/run", key="run-1")
    stage.wait(10)
    stage.ask("DELETE", job_id)


def a_run_now_of_a_paused_job_is_tried_again(stage: Stage) -> None:
    stage.answers[:] = [503, 200]
    job_id = stage.job(trigger={"delay": FAR}, retry=RETRY)
    stage.ask("POST", job_id, "/pause")
    stage.ask("POST", job_id, "/run", key="run-1")
    stage.wait(20)


def a_key_that_comes_twice_at_once(stage: Stage) -> None:
    draft = stage.clients.draft({"delay": 5})

    def create() -> None:
        stage.clients.create(draft, "the-same")

    stage.run_all(create, create, create)
    stage.wait(15)


def two_changes_at_once(stage: Stage) -> None:
    job_id = stage.job(trigger=MINUTELY)
    stage.run_all(
        lambda: stage.ask("POST", job_id, body={"trigger": {"cron": "0-40/2 0-22 * * *"}}),
        lambda: stage.ask(
            "PATCH",
            job_id,
            body={"request": {"url": "https://example.com/a", "body": stage.clients.body()}},
        ),
        lambda: stage.ask("POST", job_id, "/pause"),
    )
    stage.wait(65)
    stage.ask("DELETE", job_id)


def a_cron_that_does_not_overlap(stage: Stage) -> None:
    stage.answers[:] = [503, 503]
    job_id = stage.job(
        trigger=MINUTELY,
        overlap="skip",
        retry={**RETRY, "initial_delay": 70, "max_delay": 70},
    )
    stage.wait(200)
    stage.ask("DELETE", job_id)


def a_message_that_is_lost_past_its_grace(stage: Stage) -> None:
    stage.job(trigger={"delay": 10}, misfire_grace=5)
    stage.deployment.cloud.messages.clear()
    stage.wait(150)


def a_message_that_comes_twice(stage: Stage) -> None:
    stage.deployment.fault_rates.doubled_message = 1.0
    stage.job(trigger={"delay": 4})
    stage.wait(15)


def a_clock_that_is_ahead_at_the_end_of_a_lease(stage: Stage) -> None:
    """The executor has died, and its message comes again, to one whose clock is ahead."""
    deployment = stage.deployment
    deployment.observer.is_fine = False
    deployment.fault_rates.killed_in_flight = 1.0
    stage.job()
    stage.wait(10)
    deployment.fault_rates.killed_in_flight, deployment.skew = 0, 5.0
    names = list(deployment.cloud.messages)
    deployment.virtual_time.at(28, partial(deployment.deliver, names))
    stage.wait(40)


def an_interval_whose_sweeper_s_message_is_lost(stage: Stage) -> None:
    """The sweeper looks again 30 s after the occurrence."""
    job_id = stage.job(trigger={"every": 1000})
    stage.wait(970)
    stage.deployment.observer.is_fine = False
    stage.deployment.cloud.messages.clear()
    stage.wait(210)
    done = [one for one in stage.deployment.observer.sent if one[0] == job_id]
    stage.clients.hold(bool(done), "a lost message is found by the sweeper", job_id)
    stage.ask("DELETE", job_id)


def a_long_attempt_whose_executor_dies(stage: Stage) -> None:
    """Its lease ends between two looks at its watch, which the claim has left much earlier."""
    deployment = stage.deployment
    deployment.observer.is_fine = False
    deployment.fault_rates.killed_in_flight = 1.0
    stage.job(trigger={"delay": 2}, timeout=120, retry={**RETRY, "max_attempts": 2})
    stage.wait(10)
    deployment.fault_rates.killed_in_flight = 0
    stage.wait(220)


def a_finished_job_begins_anew(stage: Stage) -> None:
    job_id = stage.job(trigger={"delay": 2})
    stage.wait(8)
    stage.ask("POST", job_id, body={"trigger": {"delay": 3}})
    stage.wait(10)


def a_failed_run_is_retried_by_two_at_once(stage: Stage) -> None:
    """And again when its retry has ended: one that was held up finds it."""
    stage.answers[:] = [404]
    job_id, retry = stage.job(trigger={"delay": 2}), stage.clients.retry
    stage.wait(8)
    stage.mend(job_id, retry, retry)
    stage.wait(6)
    stage.mend(job_id, partial(retry, key="again"))
    stage.wait(6)


def a_retry_that_fails_is_retried_and_the_job_paused(stage: Stage) -> None:
    stage.answers[:] = [404, 503, 404]
    job_id = stage.job(trigger=MINUTELY, retry=RETRY)
    stage.wait(61)
    stage.mend(job_id, stage.clients.retry)
    stage.wait(2)
    stage.ask("POST", job_id, "/pause")
    stage.wait(8)
    stage.mend(job_id, stage.clients.retry)
    stage.wait(8)


def an_old_run_is_retried_while_a_new_trigger_waits(stage: Stage) -> None:
    stage.answers[:] = [404]
    job_id = stage.job(trigger={"delay": 2}, retry=RETRY)
    stage.wait(6)
    stage.ask("POST", job_id, body={"trigger": {"delay": 30}})
    stage.mend(job_id, stage.clients.retry)
    stage.wait(40)


def a_cancel_as_the_next_attempt_comes_due(stage: Stage) -> None:
    stage.answers[:] = [503]
    job_id, cancel = stage.job(trigger={"delay": 2}, retry=RETRY), stage.clients.cancel
    stage.wait(7.9)
    stage.mend(job_id, cancel, cancel)
    stage.mend(job_id, stage.clients.retry)
    stage.wait(10)


def a_cancel_of_what_is_queued(stage: Stage) -> None:
    """A manual run is cancelled while its message is on the way, and its retry too."""
    job_id = stage.job(trigger={"delay": FAR}, retry=RETRY)
    stage.ask("POST", job_id, "/run", key="run-1")
    stage.mend(job_id, stage.clients.cancel)
    stage.mend(job_id, stage.clients.retry)
    stage.mend(job_id, stage.clients.cancel)
    stage.wait(10)
    stage.ask("DELETE", job_id)


def all_that_failed_is_retried(stage: Stage) -> None:
    """By two who begin at once, and each of whom asks again for what had no answer."""
    stage.answers[:] = [404] * 2
    jobs = [stage.job(trigger={"delay": 1}) for _ in range(2)]
    stage.wait(6)
    failed = [(job_id, run) for job_id in jobs for run in stage.clients.runs(job_id, WRONG)]
    retried: list[bool] = []

    def retry_all() -> None:
        retried.append(stage.clients.retry_all(tries=4))

    stage.run_all(retry_all, retry_all)
    stage.wait(3)
    for job_id, run in failed:
        begun = stage.deployment.observer.job_history(job_id).begun
        if any(retried) and run_key(job_id, run).retried_by not in begun:
            raise Violation(f"what failed is retried: {run}")


def a_backfill(stage: Stage) -> None:
    """One of its runs is tried again, one fails, and the job comes due meanwhile. No channel hears
    of it, and the job is not paused.
    """
    stage.answers[:] = [200, 503, 200, 404]
    stage.channel("a")
    retry = {**RETRY, "initial_delay": 12, "max_delay": 12}
    trigger = {"cron": "1-59/2 * * * *"}
    job_id = stage.job(trigger=trigger, retry=retry, pause_after=1, overlap="skip")
    stage.wait(50)
    until = stage.clients.virtual_time.now
    backfill = partial(stage.clients.backfill, job_id, 7, "backfill", until)
    stage.repeat(backfill)
    stage.wait(100)
    stage.repeat(backfill)
    stage.wait(3)
    stage.ask("DELETE", job_id)


def a_backfill_that_is_ended(stage: Stage) -> None:
    """While an attempt is in flight, while a run is queued, and while one waits."""
    stage.answers[:] = [200, 0, 200, 503]
    job_id = stage.job(trigger={"cron": "* * * * *"}, retry=RETRY)
    backfill, end = stage.clients.backfill, stage.clients.end_backfill
    for pause in (1, 0, 2):
        stage.repeat(partial(backfill, job_id))
        stage.wait(pause)
        stage.repeat(partial(end, job_id))
        stage.wait(5)
    stage.wait(10)
    stage.ask("DELETE", job_id)


def an_end_of_a_backfill_as_its_run_is_claimed(stage: Stage) -> None:
    """The claim comes between the read and the write of the end."""
    deployment, held = stage.deployment, list[str]()
    job_id = stage.job(trigger={"cron": "1-59/2 * * * *"}, retry=RETRY)
    # It makes the tenant's signing secret.
    stage.ask("POST", job_id, "/run", key="run-1")
    stage.wait(2)
    deployment.arrives = held.append
    stage.repeat(partial(stage.clients.backfill, job_id, 7))
    deployment.arrives = None
    stage.wait(1)
    deployment.virtual_time.at(deployment.virtual_time.time, partial(deployment.deliver, held))
    stage.wait(0.03)
    stage.repeat(partial(stage.clients.end_backfill, job_id))
    stage.wait(5)
    stage.ask("DELETE", job_id)


def a_backfill_of_a_job_that_is_paused_and_changed(stage: Stage) -> None:
    stage.answers[:] = [503]
    job_id = stage.job(trigger={"cron": "*/2 * * * *"}, retry=RETRY, callbacks=CALLBACKS)
    stage.repeat(partial(stage.clients.backfill, job_id, 4))
    stage.wait(3)
    stage.ask("POST", job_id, "/pause")
    stage.wait(4)
    stage.ask("POST", job_id, "/resume")
    stage.ask("PATCH", job_id, body={"callbacks": None})
    stage.answers[:] = [0]
    stage.repeat(partial(stage.clients.backfill, job_id, 6))
    stage.wait(1)
    stage.ask("PATCH", job_id, body={"name": "another"})
    request = {"url": "https://example.com/other", "body": stage.clients.body()}
    stage.ask("PATCH", job_id, body={"request": request})
    stage.wait(12)
    stage.ask("DELETE", job_id)


def two_backfills_at_once(stage: Stage) -> None:
    """And two who end one at once; then one of its runs is cancelled, and the next one follows."""
    stage.answers[:] = [0]
    job_id = stage.job(trigger={"cron": "1-59/2 * * * *"}, retry=RETRY)
    begin = partial(stage.repeat, partial(stage.clients.backfill, job_id, 7))
    end = partial(stage.repeat, partial(stage.clients.end_backfill, job_id))
    stage.run_all(begin, begin)
    stage.run_all(end, end)
    stage.wait(6)
    stage.answers[:] = [503]
    begin()
    stage.wait(2)
    stage.mend(job_id, stage.clients.cancel)
    stage.wait(100)
    stage.ask("DELETE", job_id)


def a_backfill_whose_messages_are_lost_and_come_twice(stage: Stage) -> None:
    """The sweeper finds its next run. The job has ended by then."""
    stage.deployment.observer.is_fine = False
    ends_at = (stage.clients.virtual_time.now + timedelta(seconds=61)).isoformat()
    job_id = stage.job(trigger={"cron": "* * * * *", "ends_at": ends_at})
    stage.wait(65)
    stage.repeat(partial(stage.clients.backfill, job_id))
    stage.deployment.cloud.messages.clear()
    stage.deployment.fault_rates.doubled_message = 1.0
    stage.wait(100)


def a_callback(stage: Stage) -> None:
    stage.answers[:] = [503, 200, 503, 200]
    stage.job(retry=RETRY, callbacks=CALLBACKS)
    stage.wait(40)


def a_callback_of_a_superseded_run(stage: Stage) -> None:
    stage.answers[:] = [503]
    job_id = stage.job(retry={**RETRY, "initial_delay": 20, "max_delay": 20}, callbacks=CALLBACKS)
    stage.wait(10)
    stage.ask("POST", job_id, "/pause")
    stage.wait(30)


def a_callback_that_changes_while_the_request_is_out(stage: Stage) -> None:
    stage.answers[:] = [0]
    job_id = stage.job(retry={"max_attempts": 1}, callbacks=CALLBACKS)
    stage.wait(6)
    stage.ask("PATCH", job_id, body={"callbacks": None})
    stage.wait(20)


def a_job_that_keeps_failing(stage: Stage) -> None:
    stage.answers[:] = [404, 200, 404]
    job_id = stage.job(
        trigger=MINUTELY,
        pause_after=2,
        callbacks={"failed": CALLBACKS["failed"]},
    )
    stage.ask("POST", job_id, "/run", key="run-1")
    stage.wait(200)
    stage.ask("POST", job_id, "/resume")
    stage.wait(65)
    stage.ask("DELETE", job_id)


def a_channel(stage: Stage) -> None:
    """A failure and a recovery, while the channel is changed. Another one hears of neither."""
    stage.answers[:] = [404, 503, 200, 200]
    stage.channel("a", after=1)
    stage.channel("b", after=2)
    job_id = stage.job(trigger=MINUTELY, retry={"max_attempts": 1})
    stage.wait(70)
    stage.channel("a", after=2, label="team:sales")
    stage.wait(60)
    stage.ask("DELETE", job_id)


def a_flow_of_one_in_five_seconds(stage: Stage) -> None:
    """The first is tried again; the last is cancelled while it waits."""
    stage.flow("host:example.com", requests=1, seconds=5)
    stage.answers[:] = [503]
    for _ in range(2):
        stage.job(trigger={"date": "2026-11-23T10:00:07Z"}, retry=RETRY)
    job_id = stage.job(trigger={"date": "2026-11-23T10:00:07Z"})
    stage.wait(max(0, 9 - stage.clients.virtual_time.time))
    stage.mend(job_id, stage.clients.cancel)
    stage.wait(20)


def a_flow_that_takes_its_places_together(stage: Stage) -> None:
    """Messages of one invocation; the flow is deleted while the last of their runs waits."""
    deployment, held = stage.deployment, list[str]()
    stage.flow("slow", requests=3, seconds=2)
    stage.job(trigger={"delay": 1}, flow="slow")
    stage.wait(2)
    deployment.arrives = held.append
    for _ in range(3):
        stage.job(trigger={"date": "2026-11-23T10:00:12Z"}, flow="slow")
    deployment.arrives = None
    deployment.virtual_time.at(11.9, partial(deployment.deliver, held))
    stage.wait(max(0, 12.5 - deployment.virtual_time.time))
    deployment.ask("DELETE", "/flows/slow")
    stage.wait(5)


def an_outage_while_runs_wait_for_their_flow(stage: Stage) -> None:
    """Their places pass: each takes another one."""
    deployment, held = stage.deployment, list[str]()
    deployment.observer.is_fine = False
    stage.flow("slow", requests=1, seconds=3)
    deployment.arrives = held.append
    for _ in range(3):
        stage.job(trigger={"date": "2026-11-23T10:00:05Z"}, flow="slow")

    def deliver_each() -> None:
        for name in held[:3]:
            deployment.deliver([name])

    deployment.virtual_time.at(4.9, deliver_each)
    stage.wait(max(0, 17 - deployment.virtual_time.time))
    deployment.arrives = None
    late = [name for name in held if name in deployment.cloud.messages]
    deployment.virtual_time.at(18, partial(deployment.deliver, late))
    stage.wait(20)


def a_held_run_whose_message_comes_twice(stage: Stage) -> None:
    """Both take a place. Who is held up claims when the place of the other has come."""
    deployment, held = stage.deployment, list[str]()
    deployment.observer.is_fine = False
    deployment.cloud.pauses = 4.2, 4.8
    stage.flow("slow", requests=1, seconds=4)
    deployment.arrives = held.append
    for _ in range(2):
        stage.job(trigger={"date": "2026-11-23T10:00:12Z"}, flow="slow")

    def deliver_one_twice() -> None:
        for name in (*held, held[-1]):
            deployment.deliver([name])

    deployment.virtual_time.at(11.9, deliver_one_twice)
    stage.wait(max(0, 13 - deployment.virtual_time.time))
    deployment.arrives = None
    stage.wait(30)


def a_rate_that_is_changed_while_runs_wait(stage: Stage) -> None:
    """It becomes slower, is lifted, and is there again. One of the waiting jobs is changed, one
    paused.
    """
    stage.flow("slow", requests=1, seconds=4)
    date = {"date": "2026-11-23T10:00:06Z"}
    jobs = [stage.job(trigger=date, flow="slow") for _ in range(5)]
    stage.wait(max(0, 7 - stage.clients.virtual_time.time))
    stage.ask("PATCH", jobs[3], body={"timeout": 7})
    stage.ask("POST", jobs[4], "/pause")
    stage.flow("slow", requests=1, seconds=6)
    stage.wait(10)
    stage.deployment.ask("DELETE", "/flows/slow")
    stage.flow("slow", requests=1, seconds=3)
    stage.job(trigger={"delay": 1}, flow="slow")
    stage.wait(20)


def a_rate_that_is_changed_as_runs_come_due(stage: Stage) -> None:
    """They were prepared before, and claim after."""
    deployment = stage.deployment
    for seconds in (4, 5):
        stage.flow("slow", requests=1, seconds=seconds)
        at = f"2026-11-23T10:00:{(seconds - 3) * 12}Z"
        for _ in range(2):
            stage.job(trigger={"date": at}, flow="slow")
        stage.wait(max(0, (seconds - 3) * 12 - 0.12 - deployment.virtual_time.time))
        stage.flow("slow", requests=1, seconds=3)
    stage.wait(10)


def intervals_that_are_too_many_for_their_flow(stage: Stage) -> None:
    stage.flow("host:example.com", requests=1, seconds=20)
    begins = {"starts_at": "2026-11-23T10:00:30Z"}
    jobs = [stage.job(trigger={"every": 25, **begins}) for _ in range(2)]
    stage.wait(max(0, 60 - stage.clients.virtual_time.time))
    stage.ask("POST", jobs[0], "/pause")
    stage.ask("DELETE", jobs[1])


def a_flow_with_one_out_at_once(stage: Stage) -> None:
    """Five wait for one; the first is tried again, one is cancelled in the line."""
    stage.bounds("host:example.com", concurrency=1)
    stage.answers[:] = [503]
    jobs = [stage.job(trigger={"date": "2026-11-23T10:00:07Z"}, retry=RETRY) for _ in range(5)]
    stage.wait(max(0, 7.02 - stage.clients.virtual_time.time))
    stage.mend(jobs[2], stage.clients.cancel)
    stage.wait(20)


def a_slot_whose_write_comes_twice(stage: Stage) -> None:
    """The SDK repeats it in silence: the slot is taken, and given back."""
    stage.bounds("host:example.com", concurrency=1)
    stage.deployment.cloud.plan.coming.append((Fault.SDK_RETRY, "PutItem", "out#"))
    for second in ("05", "06"):
        stage.job(trigger={"date": f"2026-11-23T10:00:{second}Z"})
    stage.wait(70)


def a_slot_of_an_executor_that_has_died(stage: Stage) -> None:
    """It ends by itself, and the sweeper has the line looked at."""
    deployment = stage.deployment
    deployment.observer.is_fine = False
    deployment.fault_rates.killed_in_flight = 1.0
    stage.bounds("slow", concurrency=1)
    fields: dict[str, Any] = {"flow": "slow", "timeout": 5, "retry": {"max_attempts": 1}}
    stage.job(trigger={"date": "2026-11-23T10:00:06Z"}, **fields)
    job_id = stage.job(trigger={"date": "2026-11-23T10:00:07Z"}, **fields)
    stage.wait(max(0, 10 - stage.clients.virtual_time.time))
    deployment.fault_rates.killed_in_flight = 0
    stage.wait(110)
    is_sent = any(sent.job_id == job_id for sent in deployment.observer.sent.values())
    has_fault = bool(deployment.cloud.plan.chosen)
    stage.clients.hold(is_sent or has_fault, "a slot ends by itself, and the line goes on", job_id)


def a_flow_with_two_out_at_once_whose_targets_never_answer(stage: Stage) -> None:
    """The limit is lowered, then raised, while four wait."""
    stage.answers[:] = [0, 0, 0]
    stage.bounds("slow", concurrency=2)
    for number in range(6):
        timeout = 4 + 2 * (number % 2)
        stage.job(trigger={"date": "2026-11-23T10:00:06Z"}, flow="slow", timeout=timeout)
    stage.wait(max(0, 7 - stage.clients.virtual_time.time))
    stage.bounds("slow", concurrency=1)
    stage.wait(10)
    stage.bounds("slow", concurrency=3)
    stage.wait(30)


def a_flow_whose_target_takes_longer_than_clocks_differ(stage: Stage) -> None:
    """The second comes while the first is out."""
    stage.deployment.observer.is_fine = False
    stage.answers[:] = [0]
    stage.bounds("slow", concurrency=1)
    for second in ("05", "20"):
        date = {"date": f"2026-11-23T10:00:{second}Z"}
        stage.job(trigger=date, flow="slow", timeout=17, retry={"max_attempts": 1})
    stage.wait(30)


def a_flow_that_is_paused(stage: Stage) -> None:
    """While runs wait, one of their jobs is paused, one changed, one deleted."""
    stage.bounds("host:example.com", paused=True)
    jobs = [stage.job(trigger={"date": "2026-11-23T10:00:06Z"}) for _ in range(5)]
    stage.wait(max(0, 6.5 - stage.clients.virtual_time.time))
    stage.ask("POST", jobs[0], "/pause")
    stage.ask("PATCH", jobs[1], body={"timeout": 7})
    stage.ask("DELETE", jobs[2])
    stage.bounds("host:example.com")
    stage.wait(20)


def a_flow_that_is_paused_as_runs_come_due(stage: Stage) -> None:
    """It has a bound afterwards, and is paused once more; at last it is deleted."""
    deployment = stage.deployment
    stage.bounds("slow", concurrency=1)
    for at in (6, 9, 12, 15):
        for _ in range(2):
            stage.job(trigger={"date": f"2026-11-23T10:00:{at:02}Z"}, flow="slow")
    stage.wait(max(0, 5.9 - deployment.virtual_time.time))
    for until, limits in (
        (8.9, {"paused": True}),
        (11.9, {"concurrency": 1}),
        (14.9, {"paused": True}),
    ):
        stage.bounds("slow", **limits)
        stage.wait(max(0, until - deployment.virtual_time.time))
    stage.wait(5)
    deployment.ask("DELETE", "/flows/slow")
    stage.wait(20)


def a_pause_of_a_flow_that_ends_as_a_run_comes_due(stage: Stage) -> None:
    """The run was prepared before, and its flow has an empty line with a bound when it claims.
    Another job's run has made the executor read the flows.
    """
    time = stage.deployment.virtual_time
    for number, ahead in enumerate((0.12, 0.25, 0.4, 0.7)):
        stage.bounds("slow", paused=True)
        at = 6 + 6 * number
        stage.job(trigger={"date": f"2026-11-23T10:00:{at - 2:02}Z"})
        stage.job(trigger={"date": f"2026-11-23T10:00:{at:02}Z"}, flow="slow")
        stage.wait(max(0, at - ahead - time.time))
        stage.bounds("slow", concurrency=1)
        stage.wait(2)


def a_pause_of_a_flow_that_ends_before_a_late_write(stage: Stage) -> None:
    """A run's entry takes effect when its line is gone already."""
    stage.deployment.observer.is_fine = False
    stage.deployment.cloud.effects[Fault.LATE_EFFECT] = (5,)
    stage.deployment.cloud.plan.coming.append((Fault.LATE_EFFECT, "TransactWriteItems", "wait#"))
    stage.bounds("slow", paused=True)
    stage.job(trigger={"date": "2026-11-23T10:00:06Z"}, flow="slow")
    stage.wait(max(0, 7 - stage.clients.virtual_time.time))
    stage.bounds("slow")
    stage.wait(20)


def a_run_that_comes_as_its_line_is_closed(stage: Stage) -> None:
    """A change of the flow has its line looked at, which is empty, while the only slot is taken.
    Whoever looks is held up.
    """
    stage.deployment.observer.is_fine = False
    stage.deployment.cloud.pauses = 2, 25
    stage.answers[:] = [0]
    stage.bounds("slow", concurrency=1)
    for second in ("06", "09"):
        date = {"date": f"2026-11-23T10:00:{second}Z"}
        stage.job(trigger=date, flow="slow", timeout=40, retry={"max_attempts": 1})
    stage.wait(max(0, 8 - stage.clients.virtual_time.time))
    stage.deployment.cloud.plan.coming.append((Fault.PAUSE_BEFORE, "PutItem", "closing"))
    stage.bounds("slow", concurrency=1)
    stage.wait(50)


def a_job_that_changes_its_flow_as_it_comes_due(stage: Stage) -> None:
    """It has a slot of the one, and the only slot of the other is taken. Who has its message is
    held up before the claim.
    """
    stage.deployment.observer.is_fine = False
    stage.deployment.cloud.pauses = 2, 4
    stage.answers[:] = [0]
    for name in ("slow", "host:example.com"):
        stage.bounds(name, concurrency=1)
    date = {"date": "2026-11-23T10:00:05Z"}
    stage.job(trigger=date, timeout=30, retry={"max_attempts": 1})
    job_id = stage.job(trigger={"date": "2026-11-23T10:00:07Z"}, flow="slow")
    stage.wait(max(0, 6 - stage.clients.virtual_time.time))
    stage.deployment.cloud.plan.coming.append((Fault.PAUSE_AFTER, "PutItem", "out#"))
    stage.wait(1.5)
    stage.ask("PATCH", job_id, body={"flow": None})
    stage.wait(40)


def a_flow_whose_target_does_not_work(stage: Stage) -> None:
    """Two open it, one probes it in vain; then all goes out. Channels are told of it."""
    stage.channel("ops", events=["flow.opened", "flow.closed"])
    stage.channel("late", events=["run.failed", "flow.opened", "flow.closed"], digest=10)
    stage.bounds("slow", breaker={"failures": 2, "probe_seconds": 6})
    stage.answers[:] = [503, 503, 503]
    for at in (6, 7, 8, 9, 10):
        date = {"date": f"2026-11-23T10:00:{at:02}Z"}
        stage.job(trigger=date, flow="slow", retry={"max_attempts": 1})
    stage.wait(40)


def a_breaker_of_a_flow_with_two_out_at_once(stage: Stage) -> None:
    """Its target does not answer. It is put as it is, and with another breaker."""
    stage.answers[:] = [0, 0, 0, 0]
    limits = {"concurrency": 2, "breaker": {"failures": 1, "probe_seconds": 5}}
    stage.bounds("slow", **limits)
    for _ in range(6):
        stage.job(trigger={"date": "2026-11-23T10:00:06Z"}, flow="slow", timeout=4)
    stage.wait(max(0, 12 - stage.clients.virtual_time.time))
    stage.bounds("slow", **limits)
    stage.wait(15)
    stage.bounds("slow", concurrency=1, breaker={"failures": 3, "probe_seconds": 8})
    stage.wait(30)


def a_success_between_failures_of_a_flow(stage: Stage) -> None:
    """It begins the count anew. Two in a row open the flow, and the last three wait."""
    stage.bounds("slow", breaker={"failures": 2, "probe_seconds": 6})
    stage.answers[:] = [503, 200, 503, 503, 503]
    for at in (6, 7, 11, 15, 18, 19, 21):
        date = {"date": f"2026-11-23T10:00:{at:02}Z"}
        stage.job(trigger=date, flow="slow", retry={"max_attempts": 1})
    stage.wait(35)


def a_failure_of_a_flow_whose_count_comes_twice(stage: Stage) -> None:
    """The SDK repeats it in silence: two more open the flow."""
    stage.bounds("slow", breaker={"failures": 3, "probe_seconds": 6})
    stage.answers[:] = [503, 503, 503]
    stage.deployment.cloud.plan.coming.append((Fault.SDK_RETRY, "UpdateItem", "failures"))
    for at in (6, 7, 8, 9):
        date = {"date": f"2026-11-23T10:00:{at:02}Z"}
        stage.job(trigger=date, flow="slow", retry={"max_attempts": 1})
    stage.wait(30)


def a_success_as_a_flow_is_opened(stage: Stage) -> None:
    """The executor that opens the flow is held up, and the next attempt succeeds meanwhile."""
    stage.deployment.observer.is_fine = False
    stage.bounds("slow", breaker={"failures": 1, "probe_seconds": 300})
    stage.answers[:] = [503]
    cloud = stage.deployment.cloud
    cloud.pauses = 30.0, 60.0
    cloud.plan.coming.append((Fault.PAUSE_BEFORE, "TransactWriteItems", "opened_at"))
    for at in (6, 8):
        date = {"date": f"2026-11-23T10:00:{at:02}Z"}
        stage.job(trigger=date, flow="slow", retry={"max_attempts": 1})
    stage.wait(150)


def a_flow_that_closes_as_runs_come_due(stage: Stage) -> None:
    """They were prepared while it was open; the first of them fails."""
    stage.bounds("slow", concurrency=3, breaker={"failures": 1, "probe_seconds": 6})
    stage.answers[:] = [503, 200, 503]
    for at in (6, 7, *8 * (13,)):
        date = {"date": f"2026-11-23T10:00:{at:02}Z"}
        stage.job(trigger=date, flow="slow", retry={"max_attempts": 1})
    stage.wait(30)


def a_flow_that_closes_and_a_message_that_is_lost(stage: Stage) -> None:
    """The sweeper has the line looked at."""
    deployment = stage.deployment
    deployment.observer.is_fine = False
    stage.bounds("slow", breaker={"failures": 1, "probe_seconds": 5})
    stage.answers[:] = [503]
    jobs = [
        stage.job(trigger={"date": f"2026-11-23T10:00:{at:02}Z"}, flow="slow", timeout=5)
        for at in (6, *5 * (8,))
    ]
    stage.wait(max(0, 11 - deployment.virtual_time.time))
    deployment.cloud.plan.coming.append((Fault.ERROR_BEFORE, "SendMessageBatch", "flow#"))
    stage.wait(110)
    sent = {one.job_id for one in deployment.observer.sent.values()}
    is_done = sent.issuperset(jobs) or bool(deployment.cloud.plan.chosen)
    stage.clients.hold(is_done, "a flow closes, and its line goes on", len(sent))


def a_flow_that_works_and_fails_in_turn(stage: Stage) -> None:
    """A success begins the count anew; a retry waits while the flow is open; it is deleted."""
    stage.bounds("host:example.com", breaker={"failures": 2, "probe_seconds": 4})
    stage.answers[:] = [503, 200, 503, 503, 503, 404, 503, 503]
    for at in range(6, 14):
        stage.job(trigger={"date": f"2026-11-23T10:00:{at:02}Z"}, retry=RETRY)
    stage.wait(25)
    stage.deployment.ask("DELETE", "/flows/host:example.com")
    stage.wait(20)


def a_paused_flow_past_a_grace(stage: Stage) -> None:
    """A cron and an interval go on; their runs that wait are missed."""
    stage.bounds("slow", paused=True)
    jobs = [
        stage.job(trigger=MINUTELY, flow="slow"),
        stage.job(trigger={"every": 25}, flow="slow", misfire_grace=10),
    ]
    stage.wait(130)
    stage.bounds("slow", concurrency=1, rate={"requests": 1, "seconds": 2})
    stage.wait(30)
    for job_id in jobs:
        stage.ask("DELETE", job_id)


def a_channel_that_hears_of_missed_occurrences(stage: Stage) -> None:
    stage.channel("a")
    stage.job(trigger={"delay": 10}, misfire_grace=5)
    stage.deployment.cloud.messages.clear()
    stage.wait(150)


def a_channel_that_is_deleted_before_the_next_failure(stage: Stage) -> None:
    """One claim misses an occurrence, which drops who is gone, and goes on to the next."""
    stage.answers[:] = [404, 404, 200]
    stage.channel("a")
    stage.channel("b")
    job_id = stage.job(trigger=MINUTELY, misfire_grace=5, retry={"max_attempts": 1})
    stage.wait(max(0, 65 - stage.clients.virtual_time.time))
    stage.repeat(lambda: stage.deployment.ask("DELETE", "/notices/b")[0])
    stage.deployment.cloud.messages.clear()
    stage.wait(130)
    stage.ask("DELETE", job_id)


def a_channel_that_hears_of_a_pause(stage: Stage) -> None:
    stage.answers[:] = [404, 200, 200]
    stage.channel("a")
    job_id = stage.job(trigger=MINUTELY, pause_after=1)
    stage.wait(65)
    stage.ask("POST", job_id, "/resume")
    stage.wait(65)
    stage.ask("DELETE", job_id)


def a_digest(stage: Stage) -> None:
    """Two that fail, and one for which it is too late. The digest is told again."""
    stage.answers[:] = [404, 404, 503, 200, 404]
    stage.channel("a", digest=10)
    for delay in (2, 6, 40):
        stage.job(trigger={"delay": delay})
    stage.wait(70)


def a_digest_that_two_open_at_once(stage: Stage) -> None:
    """Both ends would open the window. Then the channel is changed, and changed again."""
    deployment, held = stage.deployment, list[str]()
    # The first request makes the tenant's signing secret; those that wait for it end apart.
    stage.answers[:] = [200, *[404] * 4]
    stage.channel("a", digest=50)
    stage.job(trigger={"delay": 1})
    stage.wait(3)
    deployment.arrives = held.append
    for _ in range(2):
        stage.job(trigger={"date": "2026-11-23T10:00:08Z"})
    deployment.arrives = None
    deployment.virtual_time.at(7.9, partial(deployment.deliver, held))
    stage.wait(max(0, 9 - deployment.virtual_time.time))
    for form in ("resona", "slack"):
        stage.channel("a", digest=10, format=form)
        stage.job(trigger={"delay": 1})
        stage.wait(3)
    stage.wait(12)


def a_digest_that_is_deleted_while_it_waits(stage: Stage) -> None:
    stage.answers[:] = [404, 404]
    stage.channel("a", digest=30)
    for delay in (2, 12):
        stage.job(trigger={"delay": delay})
    stage.wait(4)
    answer, _process = stage.deployment.ask("GET", "/jobs?kind=notice")
    for notice in answer[2] if answer is not None and answer[0] == 200 else ():
        stage.ask("DELETE", notice["id"])
    stage.wait(50)


SCRIPTS: tuple[Script, ...] = (
    *calendars.SCRIPTS,
    a_delay,
    a_date_that_a_schedule_wakes_for,
    a_minutely_cron,
    a_cron_that_keeps_firing,
    a_self_arming_cron,
    a_cron_across_the_hour,
    a_cron_of_sixteen_minutes,
    a_swept_cron_across_the_hour,
    a_swept_cron_whose_message_is_lost,
    a_swept_cron_whose_message_is_late_and_comes_twice,
    a_swept_cron_that_is_paused_after_its_sweep,
    a_swept_cron_while_no_sweep_comes,
    a_self_arming_cron_whose_message_is_lost,
    a_self_arming_cron_whose_message_is_late,
    a_self_arming_cron_whose_messages_come_twice,
    crons_that_are_spread,
    an_interval_of_ten_seconds,
    an_interval_that_no_message_can_wait_for,
    a_pause_within_an_interval,
    an_interval_of_three_runs,
    an_interval_that_misses_some_of_its_runs,
    a_cron_with_an_end,
    a_retry,
    a_delete_while_the_executor_sleeps,
    a_target_that_never_answers,
    a_target_that_says_no,
    a_pause_before_it_is_due,
    a_pause_as_it_comes_due,
    a_pause_and_a_resume_of_a_cron,
    a_pause_and_a_resume_of_a_date,
    a_pause_until_an_occurrence,
    a_pause_whose_end_is_far,
    a_pause_whose_message_is_lost,
    a_pause_that_is_changed,
    a_pause_that_ends_as_users_act,
    a_pause_whose_end_nobody_has_handled,
    a_date_and_a_cron_that_pass_within_a_pause,
    a_job_that_fails_is_paused_for_a_while,
    occurrences_that_are_skipped,
    a_skip_as_it_comes_due,
    skips_that_come_late,
    a_pause_while_a_retry_waits,
    a_pause_while_the_request_is_on_the_wire,
    a_new_request_before_it_is_due,
    a_new_trigger_before_it_is_due,
    a_new_request_while_a_claim_is_unsure,
    a_new_trigger_while_the_request_is_on_the_wire,
    a_date_that_has_passed_while_the_request_is_on_the_wire,
    two_minutes_in_a_row,
    a_cron_becomes_a_date,
    a_policy_changes_while_a_retry_waits,
    a_delete_before_it_is_due,
    a_delete_of_a_schedule,
    a_delete_while_a_retry_waits,
    a_run_now,
    a_run_now_of_a_paused_job_is_tried_again,
    a_key_that_comes_twice_at_once,
    two_changes_at_once,
    a_cron_that_does_not_overlap,
    a_message_that_is_lost_past_its_grace,
    a_message_that_comes_twice,
    a_clock_that_is_ahead_at_the_end_of_a_lease,
    a_finished_job_begins_anew,
    a_response_too_long_for_its_record,
    a_failed_run_is_retried_by_two_at_once,
    a_retry_that_fails_is_retried_and_the_job_paused,
    an_old_run_is_retried_while_a_new_trigger_waits,
    a_cancel_as_the_next_attempt_comes_due,
    a_cancel_of_what_is_queued,
    all_that_failed_is_retried,
    a_backfill,
    a_backfill_that_is_ended,
    an_end_of_a_backfill_as_its_run_is_claimed,
    a_backfill_of_a_job_that_is_paused_and_changed,
    two_backfills_at_once,
    a_backfill_whose_messages_are_lost_and_come_twice,
    a_word,
    a_word_before_the_answer_is_read,
    a_word_as_an_error_is_stored,
    a_failure_by_word,
    a_word_that_never_comes,
    a_deadline_that_two_notice,
    a_cancel_as_a_deadline_is_noticed,
    a_word_held_up_as_its_deadline_moves,
    a_word_at_the_deadline,
    a_deadline_that_no_message_can_wait_for,
    a_cancel_and_a_word_at_once,
    a_word_for_a_job_that_was_changed,
    a_word_for_an_executor_that_has_died,
    a_cron_whose_target_works_longer,
    a_callback,
    a_callback_of_a_superseded_run,
    a_callback_that_changes_while_the_request_is_out,
    a_job_that_keeps_failing,
    a_channel,
    a_flow_of_one_in_five_seconds,
    a_flow_that_takes_its_places_together,
    an_outage_while_runs_wait_for_their_flow,
    a_held_run_whose_message_comes_twice,
    a_rate_that_is_changed_while_runs_wait,
    a_rate_that_is_changed_as_runs_come_due,
    intervals_that_are_too_many_for_their_flow,
    a_flow_with_one_out_at_once,
    a_slot_whose_write_comes_twice,
    a_slot_of_an_executor_that_has_died,
    a_flow_with_two_out_at_once_whose_targets_never_answer,
    a_flow_whose_target_takes_longer_than_clocks_differ,
    a_flow_that_is_paused,
    a_flow_that_is_paused_as_runs_come_due,
    a_pause_of_a_flow_that_ends_as_a_run_comes_due,
    a_pause_of_a_flow_that_ends_before_a_late_write,
    a_run_that_comes_as_its_line_is_closed,
    a_job_that_changes_its_flow_as_it_comes_due,
    a_flow_whose_target_does_not_work,
    a_breaker_of_a_flow_with_two_out_at_once,
    a_success_between_failures_of_a_flow,
    a_failure_of_a_flow_whose_count_comes_twice,
    a_success_as_a_flow_is_opened,
    a_flow_that_closes_as_runs_come_due,
    a_flow_that_closes_and_a_message_that_is_lost,
    a_flow_that_works_and_fails_in_turn,
    a_paused_flow_past_a_grace,
    a_channel_that_hears_of_missed_occurrences,
    a_channel_that_is_deleted_before_the_next_failure,
    a_channel_that_hears_of_a_pause,
    a_digest,
    a_digest_that_two_open_at_once,
    a_digest_that_is_deleted_while_it_waits,
    an_interval_whose_sweeper_s_message_is_lost,
    a_long_attempt_whose_executor_dies,
    *sharing.SCRIPTS,
)


def play(
    script: Script, chosen: Mapping[int, Fault], *, is_verbose: bool = False
) -> tuple[SimulationRun, list[tuple[int, Fault]]]:
    """Run a script with faults at the chosen calls.

    Return also every fault that its calls could have met.
    """
    plan = Plan(chosen=dict(chosen))
    few = sharing.FEW if script in sharing.SCRIPTS else ALONE
    with deployed(plan, FaultRates(), script.__name__, few) as deployment:
        clients = Clients(deployment)
        stage = Stage(clients, deployment, [])
        deployment.target, deployment.says = stage.answer, list
        deployment.cloud.is_verbose = is_verbose
        deployment.cloud.remembers_calls = not chosen
        ended: list[bool] = []

        def perform() -> None:
            script(stage)
            ended.append(True)

        violation = None
        deployment.observer.is_fine = deployment.cloud.plan.is_fine(deployment.fault_rates)
        try:
            deployment.begin("client", perform)
            while not ended:
                deployment.virtual_time.run_until(deployment.virtual_time.time + 30)
            points = [
                (number, fault)
                for number, operation, request in deployment.cloud.told
                for fault in possible(operation, request)
            ]
            finish(deployment, clients)
        except Violation as broken:
            violation, points = str(broken), []
        return told(deployment, 0, violation), points
