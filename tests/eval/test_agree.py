"""agree.py: two runs beside each other."""

import pytest

from tts_diffvoc_eval import agree, records


def write(run, value, error=None, clip="a"):
    run.mkdir(exist_ok=True)
    record = {"system": "x", "clip": clip, "seed": 0, "error": error, "values": {"pesq_wb": value}}
    records.append(run, "quality", record)
    return run


@pytest.mark.parametrize(
    ("other", "status", "told"),
    [(3.03, 0, "agree in everything"), (3.5, 1, "pesq_wb of x a 0: 3.0 and 3.5"), (None, 1, "3.0 and None")],
)
def test_values(tmp_path, capsys, other, status, told):
    one, two = write(tmp_path / "one", 3.0), write(tmp_path / "two", other)
    assert agree.main([str(one), str(two)]) == status
    assert told in capsys.readouterr().out


def test_failures_and_missing_clips(tmp_path, capsys):
    one, two = write(tmp_path / "one", 3.0), write(tmp_path / "two", 3.0, "broken")
    write(one, 2.0, clip="b")
    assert agree.main([str(one), str(two)]) == 1
    said = capsys.readouterr().out
    assert "quality of x b 0 is only in one run" in said and "error of x a 0: None and broken" in said


def test_no_run(tmp_path, capsys):
    assert agree.main([str(tmp_path), str(tmp_path)]) == 2
    assert "holds no records" in capsys.readouterr().err
