"""`llmproxy` with its bytecodes counted: `python counted_program.py RESULT RESULT ARGUMENT...`.

Counting begins at a SIGUSR1. At a SIGUSR2 it ends, and the next RESULT gets a JSON list of
[function, bytecodes, times entered] for the functions of the first thread. A function of ours is
named as `rules/body.py:53 peek`, another one by the absolute path of its file.
"""

import json
import runpy
import signal
import sys
from collections import Counter
from pathlib import Path
from types import CodeType

PACKAGE = str(Path(__file__).resolve().parent.parent / "llmproxy") + "/"
RESULTS = [Path(sys.argv.pop(1)), Path(sys.argv.pop(1))]
bytecodes: Counter[CodeType] = Counter()
entered: Counter[CodeType] = Counter()


def count(frame, event, _argument):
    if event == "opcode":
        bytecodes[frame.f_code] += 1
    return count


def enter(frame, _event, _argument):
    frame.f_trace_opcodes, frame.f_trace_lines = True, False
    entered[frame.f_code] += 1
    return count


def begin(*_):
    bytecodes.clear()
    entered.clear()
    sys.settrace(enter)


def end(*_):
    sys.settrace(None)
    found = [[name_of(code), number, entered[code]] for code, number in bytecodes.items()]
    RESULTS.pop(0).write_text(json.dumps(found), encoding="utf-8")


def name_of(code):
    file = code.co_filename
    if file.startswith(PACKAGE):
        file = file.removeprefix(PACKAGE)
    return f"{file}:{code.co_firstlineno} {code.co_qualname}"


signal.signal(signal.SIGUSR1, begin)
signal.signal(signal.SIGUSR2, end)
runpy.run_module("llmproxy", run_name="__main__")
