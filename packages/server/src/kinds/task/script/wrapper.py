"""Runs one script: `python3 wrapper.py <script> <task id> <work dir>`. What it answers is written to output.json.

The script has a function `run(context)`, plain or async. Exit codes: 0 done, 1 no such script or no `run` in it,
2 the script failed, 3 this wrapper did.
"""

import asyncio
import importlib.util
import inspect
import json
import os
import sys
import traceback


class Context:
    def __init__(self, task_id, work_dir, args):
        self.task_id = task_id
        self.work_dir = work_dir
        self.args = args
        self.output_file = os.path.join(work_dir, "output.json")

    def get_arg(self, name, default=None):
        return self.args.get(name, default)

    def log(self, message):
        print(f"[SCRIPT_LOG] {message}", flush=True)

    def save_result(self, result):
        with open(self.output_file, "w", encoding="utf-8") as file:
            json.dump(result, file, ensure_ascii=False)


def main():
    script, task_id, work_dir = sys.argv[1:4]
    with open(os.path.join(work_dir, "input.json"), encoding="utf-8") as file:
        context = Context(task_id, work_dir, json.load(file))
    name = os.path.splitext(os.path.basename(script))[0]
    sys.path.insert(0, os.path.dirname(script))
    spec = importlib.util.spec_from_file_location(name, script)
    if spec is None or not os.path.exists(script):
        print(f"There is no script {name}", flush=True)
        return 1
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        run = getattr(module, "run", None)
        if run is None:
            print(f"Script {name} has no function run(context)", flush=True)
            return 1
        result = run(context)
        if inspect.isawaitable(result):
            result = asyncio.run(result)
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        return 2
    if result is not None:
        context.save_result(result)
    elif not os.path.exists(context.output_file):
        context.save_result({"status": "success"})
    return 0


if __name__ == "__main__":
    try:
        code = main()
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        code = 3
    sys.stdout.flush()
    os._exit(code)
