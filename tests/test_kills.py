"""A run that is killed goes on from its checkpoint and ends with the bits of one that was not; few of many kills."""

from scripts.kill_tests import series


def test_kills_of_one_process_leave_no_trace(capsys):
    assert series(1, 2, seed=3)
    assert "1 rank(s): 2 kills" in capsys.readouterr().out


def test_a_kill_of_two_ranks_leaves_no_trace():
    assert series(2, 1, seed=1)
