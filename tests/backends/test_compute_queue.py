"""Turns come in order, are given up on a stop and survive what fails inside them."""

import threading
import time
from collections.abc import Callable

import pytest

from qeu.backends.compute_queue import ComputeQueue


def wait_for(happens: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.001)


def in_line(queue: ComputeQueue, length: int) -> None:
    wait_for(lambda: queue.length == length)


def test_turns_come_in_the_order_of_asking_one_at_a_time():
    queue, order, inside = ComputeQueue(), [], []

    def run(name: int) -> None:
        with queue.turn() as mine:
            assert mine
            inside.append(name)
            assert len(inside) == 1
            time.sleep(0.002)
            inside.remove(name)
            order.append(name)

    threads = []
    with queue.turn():
        for name in range(8):
            threads.append(threading.Thread(target=run, args=(name,)))
            threads[-1].start()
            in_line(queue, name + 2)
    for thread in threads:
        thread.join(10)
    assert order == list(range(8))
    assert queue.length == 0


def test_the_place_is_told_whenever_it_changes():
    queue, places = ComputeQueue(), []
    gates = [threading.Event(), threading.Event()]

    def hold(gate: threading.Event) -> None:
        with queue.turn():
            gate.wait(10)

    def wait() -> None:
        with queue.turn(on_place=places.append):
            pass

    threads = [threading.Thread(target=hold, args=(gate,)) for gate in gates]
    threads.append(threading.Thread(target=wait))
    for at, thread in enumerate(threads):
        thread.start()
        in_line(queue, at + 1)
    wait_for(lambda: places == [2])
    time.sleep(0.2)  # nothing has changed, so nothing is told
    gates[0].set()
    wait_for(lambda: places == [2, 1])
    gates[1].set()
    threads[2].join(10)
    assert places == [2, 1, 0]


def test_a_stop_gives_the_place_up_at_once():
    queue, stop = ComputeQueue(), threading.Event()
    with queue.turn():
        began = time.monotonic()
        threading.Timer(0.05, stop.set).start()
        with queue.turn(stop=stop) as mine:
            assert not mine
            assert queue.length == 1
            assert time.monotonic() - began < 2
    with queue.turn() as mine:
        assert mine


def test_a_turn_survives_failures_of_its_run_and_of_its_callback():
    queue = ComputeQueue()

    def fails(ahead: int) -> None:
        raise RuntimeError("callback")

    with pytest.raises(ValueError, match="run"), queue.turn():
        raise ValueError("run")
    with pytest.raises(RuntimeError, match="callback"), queue.turn(on_place=fails):
        pass
    assert queue.length == 0
    with queue.turn() as mine:
        assert mine


def test_long_work_gives_way_to_all_who_wait_and_goes_on_behind_them():
    queue, order = ComputeQueue(), []

    def short(name: int) -> None:
        with queue.turn():
            order.append(name)

    with queue.turn() as mine:
        assert mine
        assert not mine.wanted
        mine.give_way()  # nobody waits: it comes back at once
        threads = [threading.Thread(target=short, args=(name,)) for name in range(3)]
        for name, thread in enumerate(threads):
            thread.start()
            in_line(queue, name + 2)
        assert mine.wanted
        assert order == []
        mine.give_way()
        order.append("long")
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2, "long"]
    assert queue.length == 0


def test_a_turn_that_was_not_had_gives_nothing_away():
    queue, stop = ComputeQueue(), threading.Event()
    stop.set()
    with queue.turn(), queue.turn(stop) as mine:
        assert not mine
        assert not mine.wanted
        mine.give_way()
