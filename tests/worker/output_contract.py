"""What every worker gives of what its runs print: a part of `WorkerContract`, which has the fixtures."""

import pytest

from katib.domain.errors import InvalidArgumentError


class OutputContract:
    def test_lines_are_given_while_it_runs_and_an_unfinished_one_is_held_back(self, driver):
        # In one go: whoever has seen the first may stop the run before another command prints.
        name = driver.start("sh", "-c", "printf 'first\\nhalf'; exec sleep 600")
        driver.printed(name, "first")
        output = driver.worker.output(driver.study_id, name, "", 65536)
        assert [line.text for line in output.lines] == ["first"]
        assert not output.end
        again = driver.worker.output(driver.study_id, name, output.cursor, 65536)
        assert (list(again.lines), again.cursor, again.end) == ([], output.cursor, False)
        driver.worker.stop(driver.study_id, name)
        driver.ended(name)
        lines, _ = driver.read(name, output.cursor)
        assert [line.text for line in lines] == ["half"]

    def test_output_read_in_the_smallest_pieces_is_the_same(self, driver):
        name = driver.start("sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do echo line $i; done; printf last")
        driver.ended(name)
        whole, end = driver.read(name)
        pieces, same_end = driver.read(name, max_bytes=1)
        assert [line.text for line in whole] == [f"line {i}" for i in range(1, 10)] + ["last"]
        assert [(line.text, line.position) for line in pieces] == [(line.text, line.position) for line in whole]
        assert same_end == end

    def test_positions_grow_and_reading_again_gives_the_same(self, driver):
        name = driver.start("sh", "-c", "echo a; echo a; echo b")
        driver.ended(name)
        first, _ = driver.read(name)
        positions = [line.position for line in first]
        assert positions == sorted(set(positions))
        second, _ = driver.read(name)
        assert [(line.text, line.position) for line in second] == [(line.text, line.position) for line in first]

    def test_a_run_that_prints_nothing_has_an_output_that_ends(self, driver):
        name = driver.start("true")
        driver.ended(name)
        output = driver.worker.output(driver.study_id, name, "", 100)
        assert (list(output.lines), output.end) == ([], True)

    def test_the_output_does_not_end_before_all_of_it_was_given(self, driver):
        name = driver.start("sh", "-c", "i=0; while [ $i -lt 3000 ]; do echo value=$i; i=$((i+1)); done")
        texts = [line.text for line in driver.read(name, max_bytes=1000)[0]]
        assert texts == [f"value={i}" for i in range(3000)]

    def test_the_version_of_the_output_changes_when_something_is_printed(self, driver):
        name = driver.start("sh", "-c", "sleep 0.3; echo more; sleep 600")
        before = driver.status(name).output_version
        driver.until("the version stayed", lambda: driver.status(name).output_version != before)
        driver.printed(name, "more")

    def test_a_bad_cursor_is_refused(self, driver):
        name = driver.start("true")
        driver.ended(name)
        with pytest.raises(InvalidArgumentError):
            driver.worker.output(driver.study_id, name, "nonsense ", 100)

    # Logs

    def test_a_log_is_read_in_pieces_until_it_is_finished(self, driver):
        name = driver.start("printf", "0123456789")
        driver.ended(name)
        data, offset, finished = b"", 0, False
        while not finished:
            chunk = driver.worker.log(driver.study_id, name, offset, 4)
            assert len(chunk.data) <= 4
            data, offset, finished = data + chunk.data, chunk.next_offset, chunk.finished
        assert data == b"0123456789"
        assert driver.worker.log(driver.study_id, name, offset, 4).data == b""

    def test_a_negative_offset_reads_the_end_of_a_log(self, driver):
        name = driver.start("printf", "0123456789")
        driver.ended(name)
        assert driver.worker.log(driver.study_id, name, -3, 100).data == b"789"
        assert driver.worker.log(driver.study_id, name, -100, 100).data == b"0123456789"

    def test_the_log_of_a_run_that_goes_on_is_not_finished(self, driver):
        name = driver.start("sh", "-c", "echo here; sleep 600")
        driver.printed(name, "here")
        chunk = driver.worker.log(driver.study_id, name, 0, 100)
        assert (chunk.data, chunk.finished) == (b"here\n", False)
