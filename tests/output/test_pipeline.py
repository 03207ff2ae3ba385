"""Objects one after the other: what is under way while one is used. Failures of one among many: tests/test_inference.py."""
import threading
from concurrent.futures import ThreadPoolExecutor

from config import UserError
from utils.output.pipeline import prefetch


def test_while_one_item_is_used_the_next_one_only_is_under_way():
    started = {item: threading.Event() for item in "abc"}

    def work(item):
        started[item].set()
        if item == "b":
            raise UserError("b is broken")
        return item.upper()
    results = []
    with ThreadPoolExecutor(1) as executor:
        for item, coming in prefetch(executor, work, "abc"):
            if item == "a":
                assert started["b"].wait(10) and not started["c"].is_set()
            results.append((item, "broken" if coming.exception() else coming.result()))
    assert results == [("a", "A"), ("b", "broken"), ("c", "C")]
    with ThreadPoolExecutor(1) as executor:
        assert list(prefetch(executor, work, "")) == []
