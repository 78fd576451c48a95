"""agreement.py: two runs beside each other."""

import pytest

from tts_diffvoc_eval import agreement, program, records


def write(run, value, error=None, clip="a"):
    run.mkdir(exist_ok=True)
    values = {} if error else {"pesq_wb": value}
    records.append(run, "quality", {"system": "x", "clip": clip, "seed": 0, "error": error, "values": values})
    return run


@pytest.mark.parametrize(("other", "status", "largest"), [(3.03, 0, 0.01), (4.0, 1, 0.25), (None, 1, 0)])
def test_values(tmp_path, other, status, largest):
    one, two = write(tmp_path / "one", 3.0), write(tmp_path / "two", other)
    assert program.main(agreement, [str(one), str(two)]) == status
    found = agreement.compare(one, two).loc["pesq_wb"]
    assert found.largest == pytest.approx(largest, abs=1e-4) and found["where"] == "x a 0"
    assert program.main(agreement, [str(one), str(two), "--tolerance", "0.3"]) == (other is None)


def test_failures_and_clips_of_one_run_alone(tmp_path):
    one, two = write(tmp_path / "one", 3.0), write(tmp_path / "two", 3.0, "broken")
    assert agreement.compare(one, two).largest["failures"] == 1
    write(one, 2.0, clip="b")
    assert agreement.compare(one, two).one_run_alone["pesq_wb"] == 2
    assert program.main(agreement, [str(one), str(two)]) == 1


def test_no_run(tmp_path, capsys):
    assert program.main(agreement, [str(tmp_path), str(tmp_path)]) == 2
    assert "holds no records" in capsys.readouterr().err
