"""The command line says in one line what it does not know, with what may be meant, or that it was stopped."""

import pytest

from mspn.commands import ceiling
from mspn.commands.cli import main


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tarin"], "mspn: argument VERB: invalid choice: 'tarin'"),
        (["report", "mkae"], "did you mean make?"),
        (["plan", "--gpu", "a1000"], "did you mean a100?"),
        (["plan", "--scale", "dmeo"], "no such scale; did you mean demo?"),
        (["train", "--run", "msnp-2"], "unknown run 'msnp-2' at scale demo; did you mean mspn-2?"),
        (
            ["plan", "--budget", "x y"],
            "argument --budget-hours: invalid float value: 'x y'; mspn plan --help",
        ),
    ],
)
def test_a_misspelt_word_is_one_line(words, expected, capsys):
    try:
        code = main(words)
    except SystemExit as left:
        code = left.code  # type: ignore[assignment]
    error = capsys.readouterr().err
    assert code == 2 and expected in error and error.count("\n") == 1


def test_ctrl_c_is_one_line(monkeypatch, capsys):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(ceiling, "run", interrupted)
    assert main(["ceiling"]) == 130
    assert capsys.readouterr().err == "mspn: stopped by Ctrl-C\n"
