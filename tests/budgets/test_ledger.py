"""The ledger of a budget, and several that share one: nothing but calls of its methods."""

import random

import pytest

from llmproxy.batteries.budgets.ledger import Ledger, LedgerReply
from llmproxy.batteries.budgets.periods import Period

EVER = Period(0.0, float("inf"))


class Server:
    """What budgets.lua does, for instances that never die."""

    def __init__(self):
        self.spent, self.told, self.held, self.short_until = 0, {}, {}, -1.0

    def answer(self, name, request, now):
        known = max(self.spent, request.known)
        self.spent = known + max(0, request.own - self.told.get(name, request.own_before))
        self.told[name] = request.own
        others = sum(held for other, held in self.held.items() if other != name)
        more = min(
            request.wants - request.keeps, request.amount - self.spent - others - request.keeps
        )
        self.held[name] = request.keeps + max(0, more)
        if request.short and self.held[name] < request.wants and others:
            self.short_until = now + 0.5
        return LedgerReply(self.spent, self.held[name], others, int(now < self.short_until))


def exchange(server, name, ledger, instances, now, *, reply_is_lost=False):
    request = ledger.request(instances, now)
    reply = server.answer(name, request, now)
    if not reply_is_lost:
        ledger.receive(request, reply, now)


def test_alone_a_ledger_gives_out_what_is_left():
    ledger = Ledger(EVER, 100, shared=False)
    assert ledger.reserve(60, 0.0)
    assert not ledger.reserve(60, 0.0)
    ledger.release(60)
    ledger.spend(10)
    assert ledger.reserve(90, 0.0)
    assert not ledger.reserve(1, 0.0)


def test_two_instances_share_what_is_left():
    server, one, other = Server(), *(Ledger(EVER, 100, shared=True) for _ in range(2))
    assert not one.reserve(1, 0.0)  # nothing is held yet
    for now in (0.1, 0.2, 0.3):
        one.last_used = other.last_used = now
        exchange(server, "one", one, 2, now)
        exchange(server, "other", other, 2, now)
    assert (one.free, other.free) == (50, 50)


def test_an_instance_that_is_idle_gives_its_part_back():
    server, one, other = Server(), *(Ledger(EVER, 100, shared=True) for _ in range(2))
    for now in (0.1, 20.0, 20.1):
        other.last_used = now
        exchange(server, "one", one, 2, now)
        exchange(server, "other", other, 2, now)
    assert one.held == 0
    assert other.free == 50  # and more, as soon as a call needs it
    other.waiting = 100
    exchange(server, "other", other, 2, 20.2)
    assert other.free == 100


def test_without_the_server_an_instance_keeps_to_its_part_once():
    ledger = Ledger(EVER, 100, shared=True)
    ledger.keep_part(4)
    ledger.keep_part(4)
    assert ledger.free == 25


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_all_together_reserve_no_more_than_there_is(seed):
    """Random calls, lost replies and outages; each call costs what it has reserved, or less."""
    draw = random.Random(seed)
    amount, server, now = 10_000, Server(), 0.0
    ledgers = {str(number): Ledger(EVER, amount, shared=True) for number in range(3)}
    under_way = []
    for _ in range(3000):
        now += draw.expovariate(50)
        name = draw.choice(list(ledgers))
        ledger = ledgers[name]
        match draw.randrange(3):
            case 0:
                cost = draw.randint(1, 200)
                if ledger.reserve(cost, now):
                    under_way.append((ledger, cost))
                else:
                    ledger.waiting = cost
            case 1 if under_way:
                settled, cost = under_way.pop(draw.randrange(len(under_way)))
                settled.release(cost)
                settled.spend(draw.randint(0, cost))
            case _:
                lost = draw.random() < 0.1
                exchange(server, name, ledger, 3, now, reply_is_lost=lost)
                ledger.waiting = 0
        spent = sum(ledger.own for ledger in ledgers.values())
        assert spent + sum(ledger.reserved for ledger in ledgers.values()) <= amount
    assert spent > 0.9 * amount
