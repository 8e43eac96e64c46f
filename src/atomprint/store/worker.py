"""A process that describes the blocks it is given, and ends as soon as whoever gives them is gone."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import warnings
from pathlib import Path
from threading import Thread
from typing import Any


def main() -> None:
    """Take tasks from standard input, and answer each on standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever gives the tasks
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever libraries print is no answer
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    Thread(target=_listen, args=(tasks,), daemon=True).start()

    from atomprint.store.plan import Plan
    from atomprint.store.work import Task, carry_out

    store = Path(sys.argv[1])
    made: tuple[Plan, Any] | None = None  # with its transformer: there may be none before the first block
    while True:
        task = tasks.get()
        try:
            if isinstance(task, Task):
                if made is None:
                    plan = Plan.read(store)
                    made = plan, plan.transformer()
                answer: Any = carry_out(store, *made, task)
            else:
                answer = task()
        except Exception as error:
            answer = _as_it_can_be_sent(error)
        pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()


def _listen(tasks: queue.SimpleQueue[Any]) -> None:
    """Pass on tasks, also those that come while another one is at work; no more can come from one that is gone."""
    while True:
        try:
            tasks.put(pickle.load(sys.stdin.buffer))
        except BaseException:
            os._exit(0)


def _as_it_can_be_sent(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
