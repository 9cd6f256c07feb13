"""The bridge between charter-daemon and integrations that are Python classes.

    python bridge.py TARGET [--describe]

TARGET is the name of an entry point of the group `charter.integrations`, or FILE.py:CLASS.  The
class has `execute(self, step, context)` and may have `setup`, `teardown` and a `config` annotation;
each method may be a coroutine.  The daemon carries this file inside it and writes it to
.charter/bridge.py; nothing but the standard library of Python 3.7 or later is needed.

stdout belongs to the protocol: what the integration prints becomes log lines.  Invariant: to each
request goes exactly one answer, and nothing but whole lines.
"""

import json
import os
import signal
import sys
import threading
from queue import Empty, SimpleQueue

CANCELLED, INVALID_PARAMS, METHOD_NOT_FOUND, FAILED = -32015, -32602, -32601, -32603
NOTICE_BYTES = 12000  # of a notification: below the shortest message limit that can be configured
MESSAGE_CHARACTERS = 2000  # of an error
LEVELS = ("debug", "info", "warning", "error")


class Cancelled(BaseException):
    """The daemon wants no answer to this request any more."""


class Terminated(BaseException):
    """SIGTERM."""


class Refused(Exception):
    """What the author can put right; says all there is to say, so no traceback is shown."""


class Failure(Exception):
    """What context.fail() raises: the author's own words, without a traceback."""

    def __init__(self, message, code, retry):
        Exception.__init__(self, message)
        self.code, self.retry = code, retry


# --- what goes out ---------------------------------------------------------------------------------


class Channel:
    """The daemon's end: whole lines, from any thread."""

    def __init__(self, fd):
        self.fd = fd
        self.lock = threading.Lock()
        self.in_flight = False  # notifications are heard only while a request is
        self.writing = self.interrupted = False  # by the main thread; after it was to be interrupted

    def send(self, message):
        line = json.dumps(message, ensure_ascii=False, allow_nan=False, default=plain).encode("utf-8") + b"\n"
        self.write(line)

    def write(self, line):
        main = threading.current_thread() is threading.main_thread()
        with self.lock:
            if main:
                self.writing = True
            try:
                view = memoryview(line)
                while len(view) > 0 and self.fd >= 0:
                    view = view[os.write(self.fd, view):]
            except OSError:  # nobody reads any more: the daemon has given this process up
                self.fd = -1
            finally:
                if main:
                    self.writing = False
        if main and self.interrupted:
            self.interrupted = False
            raise Cancelled()

    def notify(self, method, params):
        """False where nobody would hear it."""
        if not self.in_flight or self.fd < 0:
            return False
        while True:
            line = json.dumps({"jsonrpc": "2.0", "method": method, "params": params},
                              ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace") + b"\n"
            text = params.get("message")
            if len(line) <= NOTICE_BYTES or not text:
                break
            params["message"] = text[:max(0, len(text) * NOTICE_BYTES // len(line) - 2)] + "\u2026"
        self.write(line)
        return True

    def log(self, level, message):
        if not self.notify("log", {"level": level, "message": message}):
            print(message, file=sys.stderr, flush=True)


class Printed:
    """The binary file under sys.stdout: each line becomes a log line."""

    def __init__(self, channel):
        import io

        class Raw(io.RawIOBase):
            def __init__(self):
                io.RawIOBase.__init__(self)
                self.rest = b""

            def writable(self):
                return True

            def fileno(self):  # for those who hand it to a subprocess: fd 1 is the error stream
                return 1

            def isatty(self):
                return False

            def write(self, data):
                lines = (self.rest + bytes(data)).split(b"\n")
                self.rest = lines.pop()
                if len(self.rest) > NOTICE_BYTES:
                    lines.append(self.rest)
                    self.rest = b""
                for line in lines:
                    channel.log("info", line.decode("utf-8", "backslashreplace"))
                return len(data)

            def end_line(self):
                if self.rest:
                    self.write(b"\n")

        self.raw = Raw()
        self.text = io.TextIOWrapper(self.raw, encoding="utf-8", errors="backslashreplace",
                                     line_buffering=True, write_through=True)

    def end(self):
        """What was printed without a line feed is a line when the request ends."""
        try:
            self.text.flush()
            self.raw.end_line()
        except ValueError:  # the integration has closed it
            pass


def plain(value):
    """JSON of what json.dumps does not know; the documented result types."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "__fields__") and hasattr(value, "json"):
        return json.loads(value.json())
    if hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    import enum
    if isinstance(value, enum.Enum):
        return value.value
    raise TypeError("a value of type %s is no JSON" % type(value).__name__)


# --- what the integration sees ---------------------------------------------------------------------


class View:
    """The members of a JSON object as attributes."""

    def __init__(self, members):
        self.__dict__.update(members)

    def __repr__(self):
        return "%s(%s)" % (type(self).__name__, ", ".join("%s=%r" % item for item in sorted(self.__dict__.items())
                                                          if not item[0].startswith("_")))


class Step(View):
    """id, uses, with_config, output, output_type."""


class Artifact:
    def __init__(self, path, media_type):
        self.path, self.media_type = path, media_type


class Context(View):
    """run_id, workflow_id, attempt, idempotency_key, deadline_ms, artifacts_dir, inputs, outputs, named_outputs."""

    def __init__(self, members, bridge, request_id):
        View.__init__(self, members)
        self._bridge, self._request_id = bridge, request_id
        import time
        self._deadline = None if members.get("deadline_ms") is None else time.monotonic() + members["deadline_ms"] / 1000

    def log(self, message, level="info"):
        if level not in LEVELS:
            raise ValueError("level must be one of " + ", ".join(LEVELS))
        self._bridge.channel.log(level, str(message))

    def progress(self, current, total=None, message=None):
        params = {"current": current, "total": total}
        if message is not None:
            params["message"] = str(message)
        self._bridge.channel.notify("progress", params)

    def fail(self, message, code=FAILED, retry=None):
        """Ends the step; retry=False: for good, however many attempts are left."""
        raise Failure(str(message), code, retry)

    def artifact(self, path, media_type="application/octet-stream"):
        """To be returned by execute(): a file in artifacts_dir as the step's result."""
        path = os.fspath(path)
        if os.path.isabs(path):
            path = os.path.relpath(os.path.realpath(path), os.path.realpath(self.artifacts_dir))
        return Artifact(path, media_type)

    def time_left(self):
        """Seconds to the deadline of this attempt, or None."""
        import time
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    @property
    def cancelled(self):
        return self._bridge.cancelled_id == self._request_id


# --- finding the class -----------------------------------------------------------------------------


def entry_points(name):
    """{MODULE:ATTRIBUTE: where} of the group charter.integrations; the first folder of sys.path that has the name counts."""
    for folder in sys.path:
        found = {}
        try:
            names = sorted(os.listdir(folder or "."))
        except OSError:
            continue
        for entry in names:
            if not entry.endswith((".dist-info", ".egg-info")):
                continue
            try:
                with open(os.path.join(folder, entry, "entry_points.txt"), encoding="utf-8") as file:
                    lines = file.read().splitlines()
            except (OSError, UnicodeDecodeError):
                continue
            group = None
            for line in lines:
                line = line.strip()
                if line.startswith("["):
                    group = line.strip("[]").strip()
                elif group == "charter.integrations" and "=" in line and line[0] not in "#;":
                    key, _, value = line.partition("=")
                    if key.strip() == name:
                        found.setdefault(value.partition("[")[0].strip(), entry)
        if found:
            return found
    return {}


def load_file(path, attribute):
    import importlib.util
    full = os.path.abspath(path)
    if not os.path.isfile(full):
        raise Refused("there is no file %s" % path)
    stem = os.path.splitext(os.path.basename(full))[0]
    name = stem if stem.isidentifier() and importlib.util.find_spec(stem) is None else "charter_workflow_" + stem
    sys.path.insert(0, os.path.dirname(full))
    spec = importlib.util.spec_from_file_location(name, full)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return member(module, attribute, path)


def member(module, attribute, where):
    found = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise Refused("%s has no %s" % (where, attribute))
        found = getattr(found, name)
    return found


def load(target):
    path, colon, attribute = target.rpartition(":")
    if colon and path.endswith(".py"):
        found = load_file(path, attribute)
    else:
        points = entry_points(target)
        if not points:
            raise Refused("no package in %s has an entry point '%s' in the group charter.integrations" % (sys.prefix, target))
        if len(points) > 1:
            raise Refused("the entry point '%s' is there several times: %s" % (
                target, ", ".join("%s in %s" % pair for pair in sorted(points.items()))))
        import importlib
        (value,) = points
        module, _, attribute = value.partition(":")
        found = importlib.import_module(module.strip())
        if attribute.strip():
            found = member(found, attribute.strip(), module.strip())
    if not callable(getattr(found, "execute", None)):
        raise Refused("%s has no method execute(self, step, context)" % target)
    return found


# --- config: from JSON to what the class declares ---------------------------------------------------


def annotation(owner, name):
    """The resolved annotation of a class attribute, or None."""
    owner = owner if isinstance(owner, type) else type(owner)
    for base in owner.__mro__:
        notes = getattr(base, "__annotations__", None) or {}
        if name in notes:
            note = notes[name]
            if isinstance(note, str):
                try:
                    note = eval(note, dict(vars(sys.modules[base.__module__])), dict(vars(base)))
                except Exception as error:
                    raise Refused("the annotation of %s.%s cannot be resolved: %s" % (base.__name__, name, error))
            return note
    return None


def is_dataclass(kind):
    return isinstance(kind, type) and hasattr(kind, "__dataclass_fields__")


def arguments(kind):
    return getattr(kind, "__args__", None) or ()


def origin(kind):
    found = getattr(kind, "__origin__", None)
    if found is None and type(kind).__name__ == "UnionType":
        import typing
        return typing.Union
    return found


def is_literal(kind):
    return str(origin(kind)).endswith("Literal")


def fields_of(kind):
    """(name, type, default or REQUIRED) of a dataclass."""
    import dataclasses
    import typing
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if field.init:
            default = field.default
            if default is dataclasses.MISSING:
                default = REQUIRED if field.default_factory is dataclasses.MISSING else field.default_factory()
            yield field.name, hints.get(field.name), default


REQUIRED = object()
NAMES = {str: "a string", int: "an integer", float: "a number", bool: "true or false", list: "a list", dict: "an object"}


def wrong(path, kind):
    raise Refused("%s: must be %s" % (path, NAMES.get(kind, getattr(kind, "__name__", str(kind)))))


def fill_dataclass(kind, value, path):
    if not isinstance(value, dict):
        wrong(path, dict)
    given, made = dict(value), {}
    for name, hint, default in fields_of(kind):
        if name in given:
            made[name] = fill(hint, given.pop(name), path + "." + name)
        elif default is REQUIRED:
            raise Refused("%s.%s: is missing" % (path, name))
    for name in given:
        raise Refused("%s.%s: is unknown" % (path, name))
    try:
        return kind(**made)
    except (ValueError, TypeError) as error:
        if hasattr(error, "errors"):
            raise refused_by_model(error, path)
        raise Refused("%s: %s" % (path, error))


def refused_by_model(error, path):
    """pydantic's errors by path; without the values, which may be secrets."""
    said = ["%s: %s" % (".".join([path] + [str(part) for part in one["loc"]]), one["msg"]) for one in error.errors()]
    return Refused("; ".join(said))


def fill(kind, value, path):
    """A JSON value as what the annotation says."""
    import enum
    import typing
    pydantic = sys.modules.get("pydantic")
    if kind is None or kind is typing.Any or kind is object or isinstance(kind, typing.TypeVar):
        return value
    try:
        if hasattr(kind, "model_validate_json"):
            return kind.model_validate_json(json.dumps(value))
        if hasattr(kind, "parse_obj"):
            return kind.parse_obj(value)
        if "__pydantic_validator__" in getattr(kind, "__dict__", {}) and hasattr(pydantic, "TypeAdapter"):
            return pydantic.TypeAdapter(kind).validate_json(json.dumps(value))
    except ValueError as error:
        if not hasattr(error, "errors"):
            raise
        raise refused_by_model(error, path)
    if is_dataclass(kind):
        return fill_dataclass(kind, value, path)
    base = origin(kind)
    if base is typing.Union:
        if value is None and type(None) in arguments(kind):
            return None
        choices = [one for one in arguments(kind) if one is not type(None)]
        for one in choices:
            try:
                return fill(one, value, path)
            except Refused:
                if len(choices) == 1:
                    raise
        raise Refused("%s: fits none of %s" % (path, ", ".join(getattr(one, "__name__", str(one)) for one in choices)))
    if is_literal(kind):
        if not any(value == one and type(value) is type(one) for one in arguments(kind)):
            raise Refused("%s: must be one of %s" % (path, ", ".join(json.dumps(one) for one in arguments(kind))))
        return value
    if base is None and hasattr(kind, "__supertype__"):
        return fill(kind.__supertype__, value, path)
    shape = base if isinstance(base, type) else kind
    if not isinstance(shape, type):
        return value
    if issubclass(shape, enum.Enum):
        try:
            return shape(value)
        except ValueError:
            raise Refused("%s: must be one of %s" % (path, ", ".join(json.dumps(one.value, default=str) for one in shape)))
    if shape is bool or shape is str:
        return value if isinstance(value, shape) else wrong(path, shape)
    if shape is int:
        return value if isinstance(value, int) and not isinstance(value, bool) else wrong(path, int)
    if shape is float:
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else wrong(path, float)
    if hasattr(shape, "keys") or shape.__name__ in ("Mapping", "MutableMapping"):
        if not isinstance(value, dict):
            wrong(path, dict)
        inner = arguments(kind)[1] if base is not None and len(arguments(kind)) == 2 else None
        return {key: fill(inner, one, path + "." + key) for key, one in value.items()}
    if issubclass(shape, (list, tuple, set, frozenset)) or shape.__name__ in ("Sequence", "Iterable", "Collection"):
        if not isinstance(value, list):
            wrong(path, list)
        inner = arguments(kind)[0] if base is not None and arguments(kind) else None
        made = [fill(inner, one, "%s[%d]" % (path, i)) for i, one in enumerate(value)]
        return shape(made) if shape in (tuple, set, frozenset) else made
    if issubclass(shape, os.PathLike):
        return kind(value) if isinstance(value, str) else wrong(path, str)
    raise Refused("%s: its annotation %s is neither a pydantic model, a dataclass nor a type of JSON" % (path, kind))


# --- --describe --------------------------------------------------------------------------------------

KEPT = ("type", "enum", "default", "minimum", "maximum", "description")


def simple(schema, definitions, depth=0):
    """A schema of pydantic with the keywords alone that the daemon checks; what they cannot say is left open."""
    if not isinstance(schema, dict) or depth > 16:
        return {}
    reference = schema.get("$ref")
    if reference is not None:
        inner = simple(definitions.get(reference.rpartition("/")[2]), definitions, depth + 1)
        inner.update({key: schema[key] for key in ("default", "description") if key in schema})
        return inner
    made = {key: schema[key] for key in KEPT if key in schema}
    if "const" in schema:
        made["enum"] = [schema["const"]]
    if len(schema.get("allOf") or ()) == 1:
        made.update(dict(simple(schema["allOf"][0], definitions, depth + 1), **made))
    if "properties" in schema:
        made["properties"] = {name: simple(one, definitions, depth + 1) for name, one in schema["properties"].items()}
        made["required"] = list(schema.get("required", ()))
    if isinstance(schema.get("additionalProperties"), bool):
        made["additionalProperties"] = schema["additionalProperties"]
    if isinstance(schema.get("items"), dict):
        made["items"] = simple(schema["items"], definitions, depth + 1)
    return made


def schema_of(kind, depth=0):
    """A JSON Schema of what fill() takes."""
    import enum
    if depth > 16:
        return {}
    described = None
    if hasattr(kind, "model_json_schema"):
        described = kind.model_json_schema()
    elif hasattr(kind, "parse_obj"):
        described = kind.schema()
    elif "__pydantic_validator__" in getattr(kind, "__dict__", {}):
        described = sys.modules["pydantic"].TypeAdapter(kind).json_schema()
    if described is not None:
        return simple(described, described.get("$defs") or described.get("definitions") or {})
    if is_dataclass(kind):
        made = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
        for name, hint, default in fields_of(kind):
            made["properties"][name] = one = schema_of(hint, depth + 1)
            if default is REQUIRED:
                made["required"].append(name)
            elif default is not None:
                try:
                    one["default"] = json.loads(json.dumps(default, default=plain))
                except (TypeError, ValueError):
                    pass
        return made
    base = origin(kind)
    if is_literal(kind):
        return {"enum": list(arguments(kind))}
    shape = base if isinstance(base, type) else kind
    if not isinstance(shape, type):
        return {}
    if issubclass(shape, enum.Enum):
        return {"enum": [one.value for one in shape]}
    for known, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string")):
        if shape is known:
            return {"type": name}
    if hasattr(shape, "keys") or shape.__name__ in ("Mapping", "MutableMapping"):
        return {"type": "object"}
    if issubclass(shape, (list, tuple, set, frozenset)) or shape.__name__ in ("Sequence", "Iterable", "Collection"):
        made = {"type": "array"}
        inner = schema_of(arguments(kind)[0], depth + 1) if base is not None and arguments(kind) else {}
        if inner:
            made["items"] = inner
        return made
    return {"type": "string"} if issubclass(shape, os.PathLike) else {}


def describe(target):
    found = load(target)
    owner = found if isinstance(found, type) else type(found)
    name, output = getattr(found, "name", None), getattr(found, "output_type", None)
    made = {"name": name if isinstance(name, str) else owner.__name__}
    for key, note in (("config_schema", annotation(owner, "config")), ("input_schema", annotation(owner, "inputs"))):
        schema = {} if note is None else schema_of(note)
        made[key] = schema or {"type": "object"}
    made["output_type"] = output if isinstance(output, str) else "json"
    return made


# --- the conversation --------------------------------------------------------------------------------


class Bridge:
    """One process: one instance of one class, one request at a time."""

    def __init__(self, target, requests, answers):
        self.target = target
        self.requests = requests
        self.channel = Channel(answers)
        self.printed = Printed(self.channel)
        self.inbox = SimpleQueue()
        self.lock = threading.Lock()
        self.current_id = self.cancelled_id = None
        self.interruptible = False  # the main thread runs code of the integration outside of the event loop
        self.loop = self.arrived = self.task = None
        self.instance = None
        self.is_set_up = False

    # The reader is a thread of its own, so that `cancel` is heard while the integration works.

    def read(self):
        pieces = []
        while True:
            try:
                data = os.read(self.requests, 1 << 20)
            except OSError:
                data = b""
            if not data:
                self.put(None)
                return
            while data:
                line, feed, data = data.partition(b"\n")
                pieces.append(line)
                if feed:
                    text = b"".join(pieces)
                    pieces = []
                    if text.strip():
                        self.on_line(text)

    def on_line(self, line):
        message = json.loads(line.decode("utf-8"))
        if "id" in message:
            self.put(message)
        elif message.get("method") == "cancel":
            self.cancel(message["params"]["id"])

    def put(self, message):
        self.inbox.put(message)
        loop = self.loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self.arrived.set)
            except RuntimeError:  # closed: the process is about to end
                pass

    def cancel(self, request_id):
        with self.lock:
            self.cancelled_id = request_id
            if self.current_id != request_id:
                return
            if self.task is not None:
                self.loop.call_soon_threadsafe(self.task.cancel)
            elif self.interruptible:
                # Also out of a sleep or a read.
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    def on_interrupt(self, number, frame):
        if not self.interruptible:
            return
        if self.channel.writing:  # half a line must not stay: after it
            self.channel.interrupted = True
            return
        raise Cancelled()

    def next_message(self):
        if self.loop is None:
            return self.inbox.get()

        async def wait():
            # What the integration left running in the loop goes on meanwhile.
            while True:
                self.arrived.clear()
                try:
                    return self.inbox.get_nowait()
                except Empty:
                    await self.arrived.wait()
        return self.loop.run_until_complete(wait())

    def need_loop(self):
        import asyncio
        if self.loop is None:
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)

            async def make():
                return asyncio.Event()
            self.arrived = loop.run_until_complete(make())
            self.loop = loop
        return asyncio

    def call(self, method, *arguments):
        """The result of a method of the integration, awaited where it can be."""
        try:
            with self.lock:
                if self.cancelled_id is not None and self.cancelled_id == self.current_id:
                    raise Cancelled()
                self.interruptible = True
            result = method(*arguments)
        finally:
            self.interruptible = self.channel.interrupted = False
        if not hasattr(type(result), "__await__"):
            return result
        asyncio = self.need_loop()

        async def run():
            return await result
        task = self.loop.create_task(run())
        with self.lock:
            self.task = task
            if self.cancelled_id is not None and self.cancelled_id == self.current_id:
                task.cancel()
        try:
            return self.loop.run_until_complete(task)
        except asyncio.CancelledError:
            if self.cancelled_id == self.current_id:
                raise Cancelled() from None
            raise RuntimeError("it was cancelled from inside") from None
        finally:
            with self.lock:
                self.task = None

    # Requests.

    def on_setup(self, params, request_id):
        found = self.call(load, self.target)
        if "logging" in sys.modules:
            self.take_logging()
        instance = self.call(found) if isinstance(found, type) else found
        config = params.get("config") or {}
        kind = annotation(found, "config")
        if kind is not None or not hasattr(instance, "config"):
            try:
                instance.config = fill(kind, config, "config")
            except AttributeError:
                if kind is not None:
                    raise
        self.instance = instance
        setup = getattr(instance, "setup", None)
        if setup is not None:
            self.call(setup, *([Context(params, self, request_id)] if wants_argument(setup) else []))
        self.is_set_up = True
        return {"ok": True}

    def on_execute(self, params, request_id):
        value = self.call(self.instance.execute, Step(params["step"]), Context(params["context"], self, request_id))
        if isinstance(value, Artifact):
            return {"artifact": {"path": value.path, "media_type": value.media_type}}
        return {"value": value}

    def on_teardown(self):
        self.is_set_up = False
        teardown = getattr(self.instance, "teardown", None)
        if teardown is not None:
            self.call(teardown)
        return {"ok": True}

    def answer_to(self, method, params, request_id):
        if method == "setup":
            return self.on_setup(params, request_id)
        if method in ("execute", "teardown") and self.instance is not None:
            return self.on_execute(params, request_id) if method == "execute" else self.on_teardown()
        error = Failure("no method %s here" % method, METHOD_NOT_FOUND, None)
        raise error

    def serve_one(self, message):
        """Answers a request; False after the last."""
        request_id, method = message["id"], message["method"]
        with self.lock:
            self.current_id = request_id
        self.channel.in_flight = True
        answer = {"jsonrpc": "2.0", "id": request_id}
        try:
            answer["result"] = self.answer_to(method, message.get("params") or {}, request_id)
            line = json.dumps(answer, ensure_ascii=False, allow_nan=False, default=plain).encode("utf-8") + b"\n"
        except Cancelled:
            line = self.failure(request_id, {"code": CANCELLED, "message": "cancelled"})
        except Terminated:
            raise
        except BaseException as error:  # SystemExit as well: an integration that calls sys.exit() has failed
            line = self.failure(request_id, described(error))
        self.printed.end()
        for stream in (sys.stdout, sys.stderr):  # before the answer, so that the daemon has it with the error
            try:
                stream.flush()
            except (OSError, ValueError):
                pass
        with self.lock:
            self.current_id = None
        self.channel.in_flight = False
        self.channel.write(line)
        return method != "teardown"

    def failure(self, request_id, error):
        return json.dumps({"jsonrpc": "2.0", "id": request_id, "error": error},
                          ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"

    def take_logging(self):
        import logging
        root, channel = logging.getLogger(), self.channel
        if root.handlers:
            return

        class Handler(logging.Handler):
            def emit(self, record):
                level = LEVELS[0 if record.levelno < 20 else 1 if record.levelno < 30 else 2 if record.levelno < 40 else 3]
                try:
                    channel.log(level, self.format(record))
                except Exception:
                    self.handleError(record)
        root.addHandler(Handler())
        if root.level == logging.WARNING:
            root.setLevel(logging.INFO)

    def serve(self):
        def terminate(number, frame):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            raise Terminated()
        signal.signal(signal.SIGINT, self.on_interrupt)
        signal.signal(signal.SIGTERM, terminate)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.forget)
        threading.Thread(target=self.read, daemon=True).start()
        try:
            while True:
                message = self.next_message()
                if message is None:
                    if self.is_set_up:  # the daemon has gone without a word
                        self.on_teardown()
                    return
                if not self.serve_one(message):
                    return
        finally:
            self.close_loop()

    def forget(self):
        """In a forked child: the conversation is its parent's."""
        self.channel.fd = -1
        self.channel.lock = threading.Lock()
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
        except ValueError:  # of a thread other than the first, in older Pythons
            pass

    def close_loop(self):
        if self.loop is None:
            return
        import asyncio
        loop, self.loop = self.loop, None
        every = getattr(asyncio, "all_tasks", None)
        left = [task for task in (every(loop) if every else ()) if not task.done()]
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def wants_argument(method):
    """Whether setup() takes something besides self: run_id, integration, config."""
    import inspect
    try:
        parameters = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) and one.default is one.empty for one in parameters)


def is_between(path):
    """Whether a frame stands between the daemon and the author's code: ours, or the event loop's."""
    loop = sys.modules.get("asyncio")
    return path == __file__ or (loop is not None and path.startswith(os.path.dirname(loop.__file__) + os.sep))


def described(error):
    """The error object of an exception; its traceback goes to stderr, from the first frame that is not ours."""
    import traceback
    if isinstance(error, Refused):
        return {"code": INVALID_PARAMS, "message": str(error)[:MESSAGE_CHARACTERS]}
    if isinstance(error, Failure):
        made = {"code": error.code, "message": str(error)[:MESSAGE_CHARACTERS]}
        if error.retry is not None:
            made["data"] = {"retry": bool(error.retry)}
        return made
    frames = error.__traceback__
    while frames is not None and is_between(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    try:
        sys.stderr.write("".join(traceback.format_exception(type(error), error, frames)))
    except (OSError, ValueError):
        pass
    try:
        text = str(error)
    except Exception:
        text = "(its message cannot be shown)"
    if isinstance(error, SystemExit):
        text = "it called sys.exit(%s)" % text
    code, retry = getattr(error, "code", None), getattr(error, "retry", None)
    made = {"code": code if isinstance(code, int) and not isinstance(code, bool) and not isinstance(error, SystemExit)
            and abs(code) < 1 << 31 else FAILED,
            "message": (type(error).__name__ + (": " + text if text else ""))[:MESSAGE_CHARACTERS]}
    if isinstance(retry, bool):
        made["data"] = {"retry": retry}
    return made


def take_streams():
    """Private descriptors for the conversation.  Whoever reads fd 0 finds the end, whoever writes to fd 1 writes to the
    error stream: C libraries and subprocesses as well."""
    requests, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    if hasattr(sys.stderr, "reconfigure"):
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    own = os.path.dirname(os.path.abspath(__file__))
    if sys.path and os.path.abspath(sys.path[0]) == own:
        del sys.path[0]
    return requests, answers


def main(argv):
    if len(argv) not in (2, 3) or (len(argv) == 3 and argv[2] != "--describe"):
        print("usage: bridge.py TARGET [--describe]", file=sys.stderr)
        return 2
    requests, answers = take_streams()
    if len(argv) == 3:
        sys.stdout = sys.stderr
        try:
            line = json.dumps(describe(argv[1]), allow_nan=False).encode() + b"\n"
        except Refused as error:
            print(error, file=sys.stderr)
            return 1
        Channel(answers).write(line)
        return 0
    bridge = Bridge(argv[1], requests, answers)
    sys.stdout = bridge.printed.text
    try:
        bridge.serve()
    except Terminated:
        return 128 + signal.SIGTERM
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
