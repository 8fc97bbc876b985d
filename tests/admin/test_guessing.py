"""Wrong keys are slowed down, address by address."""

from llmproxy.batteries.admin.guessing import WrongKeys


def test_pauses_double_from_the_fifth_wrong_key_on_up_to_8_s():
    wrong_keys, pauses, now = WrongKeys(), [], 0.0
    for _ in range(12):
        wrong_keys.count("203.0.113.9", now)
        pauses.append(wrong_keys.pause_s("203.0.113.9", now))
        now += pauses[-1]
    assert pauses == [0, 0, 0, 0, 0.5, 1, 2, 4, 8, 8, 8, 8]


def test_addresses_are_counted_apart_but_those_of_one_ipv6_network_together():
    wrong_keys = WrongKeys()
    for number in range(6):
        wrong_keys.count(f"2001:db8:0:1::{number}", 0.0)
    assert wrong_keys.pause_s("2001:db8:0:1::ffff", 0.0) == 1.0
    assert wrong_keys.pause_s("2001:db8:0:2::1", 0.0) == 0.0
    assert wrong_keys.pause_s("203.0.113.9", 0.0) == 0.0


def test_the_right_key_and_ten_quiet_minutes_begin_anew():
    wrong_keys = WrongKeys()
    for _ in range(6):
        wrong_keys.count("a", 0.0)
        wrong_keys.count("b", 0.0)
    wrong_keys.forget("a")
    assert wrong_keys.pause_s("a", 0.0) == 0.0
    assert wrong_keys.count("b", 601.0) == 1


def test_no_more_than_a_thousand_addresses_are_kept():
    wrong_keys = WrongKeys()
    for number in range(3000):
        wrong_keys.count(str(number), 0.0)
    assert len(wrong_keys._seen) == 1000
