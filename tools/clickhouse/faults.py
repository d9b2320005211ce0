"""Faults that a test arms: what goes wrong, with which statement, how often."""

import os
import signal
import threading

from protocol import Lost, Refused

WHEN = ("insert", "query", "any")
DO = ("lose_request", "lose_reply", "cut_reply", "kill_before", "kill_after", "error", "delay")
# What a fault may say beside `do`, and what holds where it does not.
FIELDS = {"when": "any", "match": "", "skip": 0, "times": 1, "ms": 0, "code": 252, "before": None}


class Fault:
    """One JSON object:

    do      lose_request: the connection closes, and the engine never saw the statement;
            lose_reply: executed, and the connection closes without an answer;
            cut_reply: executed, and the connection closes in the middle of the answer;
            kill_before, kill_after: SIGKILL of this process before or after the statement is executed;
            error: the exception `code`, not executed; executed all the same with "before": false;
            delay: executed, and the answer held for `ms` or until all is disarmed; with "before": true the execution
    when    insert, query (what is no insert), any
    match   a part of the statement's text or of its settings, as name=value
    skip    so many matching statements go by before it
    times   so many it befalls then
    """

    def __init__(self, fields):
        if not isinstance(fields, dict) or "do" not in fields:
            raise ValueError("a fault is an object with `do`")
        unknown = fields.keys() - FIELDS.keys() - {"do"}
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        self.__dict__.update(FIELDS | fields)
        self.released = threading.Event()
        if self.before is None:
            self.before = self.do == "error"
        for name, known in (("do", DO), ("when", WHEN)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}")
        for name in ("skip", "times", "ms", "code"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 0:
                raise ValueError(f"{name} is a whole number")
        if type(self.match) is not str or type(self.before) is not bool:
            raise ValueError("match is a text, before is true or false")

    def meets(self, statement, settings):
        if self.when != "any" and (self.when == "insert") != statement.is_insert:
            return False
        said = [statement.text.decode(errors="replace"), *(f"{name}={value}" for name, value in settings.items())]
        return any(self.match in text for text in said)

    def before_it_runs(self):
        if self.do == "lose_request":
            raise Lost
        if self.do == "kill_before":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.before:
            self._error_or_delay()

    def after_it_ran(self, answer):
        if self.do == "lose_reply":
            raise Lost
        if self.do == "cut_reply":
            raise Lost(answer)
        if self.do == "kill_after":
            os.kill(os.getpid(), signal.SIGKILL)
        if not self.before:
            self._error_or_delay()

    def _error_or_delay(self):
        if self.do == "error":
            raise Refused(self.code, "A fault that was armed.")
        if self.do == "delay":
            self.released.wait(self.ms / 1000)

    def told(self):
        return {name: getattr(self, name) for name in ("do", *FIELDS)}


class Faults:
    def __init__(self):
        self._lock = threading.Lock()
        self._armed, self._fired = [], []

    def arm(self, said):
        """One fault or a list of them."""
        new = [Fault(fields) for fields in (said if isinstance(said, list) else [said])]
        with self._lock:
            self._armed += new

    def disarm(self):
        """Lets go of what is held, too."""
        with self._lock:
            for fault in self._armed:
                fault.released.set()
            self._armed.clear()

    def next(self, statement, settings):
        """The fault that befalls this statement: the one armed first of those that are due."""
        with self._lock:
            for fault in self._armed:
                if fault.times and fault.meets(statement, settings):
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    self._fired.append({"do": fault.do, "query": statement.text.decode(errors="replace")})
                    return fault
        return None

    def told(self):
        with self._lock:
            return {"armed": [fault.told() for fault in self._armed if fault.times], "fired": list(self._fired)}
