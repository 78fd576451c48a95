"""Running the command in this process."""

from tts_diffvoc.cli import main


def run_import(*arguments):
    """``tts-diffvoc import``; its exit status."""
    return main(["import", *map(str, arguments)])


def assert_agree(mine, theirs, tolerance=1e-4):
    """To ``tolerance`` of the output's size, which must not be nothing."""
    size = theirs.abs().max()
    assert mine.shape == theirs.shape
    assert size > 1e-3
    assert (mine - theirs).abs().max() <= tolerance * size
