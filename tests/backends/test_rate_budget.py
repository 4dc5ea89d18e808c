"""Rate limits: read from headers and refusals, waited for, stopped at once, told to a person."""

import math
import threading
import time
from datetime import UTC, datetime
from email.utils import formatdate

import pytest

from qeu.backends.rate_budget import Clock, LimitReached, RateBudget
from qeu.backends.rate_headers import (
    clock_time,
    read_allowance,
    read_duration,
    read_limit_kind,
    read_retry_after,
    read_try_again,
)
from qeu.core.errors import QeuError

MODEL = "llama-3.3-70b-versatile"
GROQ = {
    "x-ratelimit-limit-requests": "14400",
    "x-ratelimit-limit-tokens": "18000",
    "x-ratelimit-remaining-requests": "14370",
    "x-ratelimit-remaining-tokens": "17997",
    "x-ratelimit-reset-requests": "2m59.56s",
    "x-ratelimit-reset-tokens": "7.66s",
}
TPM = (
    "Rate limit reached for model `m` in organization `org_0` service tier `on_demand` on tokens "
    "per minute (TPM): Limit 6000, Used 5880, Requested 900. Please try again in 7.8s."
)
TPD = TPM.replace("minute (TPM)", "day (TPD)").replace("7.8s", "7m12.5s")


class FakeClock(Clock):
    """Pauses pass at once and are remembered."""

    def __init__(self):
        self.time = 1_000.0
        self.paused: list[float] = []

    def now(self):
        return self.time

    def wall(self):
        return 1_750_000_000.0 + self.time

    def pause(self, stop, seconds):
        self.paused.append(seconds)
        self.time += seconds


def make_budget(**how):
    clock = FakeClock()
    return RateBudget("Groq", clock=clock, jitter=lambda: 0.0, **how), clock


def go(budget, tokens=10, model=MODEL, on_wait=None):
    return budget.acquire(model, tokens, threading.Event(), on_wait)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7.66s", 7.66), ("2m59.56s", 179.56), ("1h2m3s", 3723.0), ("120ms", 0.12), ("3", 3.0),
     ("1d", 86_400.0), ("6m0s", 360.0), ("1s5ms", 1.005), ("-3", 0.0), ("99d", 604_800.0),
     ("", None), ("soon", None), ("5 minutes", None), ("nan", None)],
)  # fmt: skip
def test_durations_are_read_in_the_forms_that_providers_write(text, seconds):
    found = read_duration(text)
    assert found == (None if seconds is None else pytest.approx(seconds))


def test_retry_after_is_a_number_or_a_date():
    now = 1_750_000_000.0
    assert read_retry_after({"retry-after": "12"}, now) == 12.0
    date = formatdate(now + 90, usegmt=True)
    assert read_retry_after({"retry-after": date}, now) == pytest.approx(90.0)
    assert read_retry_after({"retry-after": formatdate(now - 90, usegmt=True)}, now) == 0.0
    assert read_retry_after({"retry-after": "some day"}, now) is None
    assert read_retry_after({}, now) is None


def test_the_text_of_a_refusal_tells_how_long_and_which_limit():
    assert read_try_again(TPD) == pytest.approx(432.5)
    assert read_try_again("Slow down.") is None
    kinds = [read_limit_kind(text) for text in (TPM, TPD, "You exceeded your current quota")]
    assert kinds == ["minute", "day", "quota"]
    assert read_limit_kind("on requests per day (RPD): Limit 1000") == "day"
    assert read_limit_kind("Rate limit reached type=insufficient_quota") == "quota"


def test_an_allowance_tells_how_fast_it_comes_back():
    requests, tokens = read_allowance(GROQ, "requests"), read_allowance(GROQ, "tokens")
    assert requests.unit_s == pytest.approx(86_400 / 14_400, rel=0.01)
    assert (tokens.limit, tokens.remaining) == (18_000, 17_997)
    assert read_allowance({}, "tokens") is None
    assert read_allowance({**GROQ, "x-ratelimit-limit-tokens": "many"}, "tokens") is None


def test_nothing_known_means_nothing_to_wait_for():
    budget, clock = make_budget()
    assert go(budget)
    assert clock.paused == []


def test_tokens_that_are_left_go_at_once_and_more_wait_for_as_long_as_they_take():
    budget, clock = make_budget()
    told = []
    budget.learn(MODEL, {**GROQ, "x-ratelimit-remaining-tokens": "3000",
                         "x-ratelimit-reset-tokens": "50s"})  # fmt: skip
    assert go(budget, 2_900)
    assert clock.paused == []
    assert go(budget, 1_100, on_wait=told.append)
    # 1,000 tokens are missing, and 15,000 come back in 50 s
    assert sum(clock.paused) == pytest.approx(1_000 * 50 / 15_000)
    assert told[0] == pytest.approx(sum(clock.paused))
    assert told == sorted(told, reverse=True)


def test_a_limit_tells_its_end_to_programs():
    budget, clock = make_budget()
    end = datetime.fromtimestamp(math.ceil(clock.wall() + 432.5), UTC)
    refusal = budget.refuse(MODEL, {}, TPD)
    assert datetime.fromisoformat(refusal.again_at) == end
    with pytest.raises(LimitReached) as found:
        go(budget)
    assert datetime.fromisoformat(found.value.again_at) == end
    assert budget.refuse(MODEL, {}, "You exceeded your current quota").again_at == ""


def test_each_model_has_limits_of_its_own():
    budget, clock = make_budget()
    budget.refuse(MODEL, {"retry-after": "30"}, TPM)
    assert go(budget, model="other")
    assert clock.paused == []
    assert go(budget)
    assert sum(clock.paused) == pytest.approx(30.0)


def test_a_minute_limit_waits_for_retry_after_then_for_the_text_then_longer_each_time():
    budget, _ = make_budget()
    assert budget.refuse(MODEL, {"retry-after": "3"}, TPM).wait_s == 3.0
    assert budget.refuse(MODEL, {}, TPM).wait_s == pytest.approx(7.8)
    assert [budget.refuse(MODEL, {}, "Slow down.").wait_s for _ in range(3)] == [4.0, 8.0, 16.0]


def test_jitter_spreads_those_who_wait():
    waits = {
        RateBudget("Groq", clock=FakeClock(), jitter=lambda part=part: part)
        .refuse(MODEL, {"retry-after": "4"}, TPM)
        .wait_s
        for part in (0.0, 0.5, 1.0)
    }
    assert len(waits) == 3
    assert min(waits) == 4.0


def test_a_limit_for_the_day_ends_with_the_hour_and_holds_for_all_who_come_later():
    budget, clock = make_budget()
    refusal = budget.refuse(MODEL, {}, TPD)
    hour = clock_time(clock.wall() + 432.5, clock.wall())
    assert refusal.kind == "day"
    assert hour in refusal.sentence
    assert not budget.is_patient(refusal)
    with pytest.raises(QeuError, match="limit for one day at Groq"):
        go(budget)
    clock.time += 433
    assert go(budget)


def test_a_limit_for_the_day_that_is_over_soon_is_waited_for():
    budget, clock = make_budget()
    refusal = budget.refuse(MODEL, {"retry-after": "6"}, TPD)
    assert budget.is_patient(refusal)
    assert go(budget)
    assert sum(clock.paused) == pytest.approx(6.0)


def test_an_account_without_credit_is_no_rate_limit():
    budget, _ = make_budget()
    refusal = budget.refuse(MODEL, {"retry-after": "1"}, "429 insufficient_quota")
    assert (refusal.kind, budget.is_patient(refusal)) == ("quota", False)
    assert "no credit" in refusal.sentence
    assert go(budget)  # another request may try: the account may have been filled meanwhile


def test_the_day_is_named_when_the_hour_is_tomorrow():
    now = time.mktime((2025, 11, 21, 23, 30, 0, 0, 0, -1))
    assert clock_time(now + 600, now).startswith("23:40")
    assert clock_time(now + 3_600, now).startswith("2025-11-22 00:30")


def test_a_wait_ends_at_once_when_it_is_stopped():
    budget = RateBudget("Groq")
    budget.refuse(MODEL, {"retry-after": "60"}, TPM)
    stop, told = threading.Event(), threading.Event()
    got = []
    thread = threading.Thread(
        target=lambda: got.append(budget.acquire(MODEL, 1, stop, lambda _: told.set()))
    )
    thread.start()
    assert told.wait(10)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert got == [False]
    assert budget.under_way == 0


def test_no_more_than_the_allowed_requests_are_under_way():
    budget = RateBudget("Groq", 3)
    lock, together, most = threading.Lock(), [0], [0]

    def work():
        assert go(budget)
        with lock:
            together[0] += 1
            most[0] = max(most[0], together[0])
        time.sleep(0.002)
        with lock:
            together[0] -= 1
        budget.release()

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert 1 <= most[0] <= 3
    assert budget.under_way == 0


def test_refusals_leave_fewer_places_and_good_answers_give_them_back():
    budget, _ = make_budget(concurrency=8)
    for left in (4, 2, 1, 1):
        budget.refuse(MODEL, {}, TPM)
        assert budget.allowed == left
    for _ in range(100):
        budget.learn(MODEL, {})
    assert budget.allowed == 8
