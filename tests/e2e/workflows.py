"""What the tests of workflows share: gates, input steps, what a run waits for, manifests with more in them."""

import json

from harness import wait_until


def gate(step_id, message="Go on?", **members):
    """A gate; members of the step are given in `step_`, all others belong to the gate."""
    of_step = members.pop("step_", {})
    return {"id": step_id, "gate": {"message": message, **members}, **of_step}


def question(step_id, fields, message="Tell me", **members):
    of_step = members.pop("step_", {})
    return {"id": step_id, "input": {"message": message, "fields": fields, **members}, **of_step}


def manifest(project, workflow, **members):
    """More members for a manifest that was written."""
    place = project.path / "workflows" / workflow / "manifest.yml"
    place.write_text(json.dumps({**json.loads(place.read_text()), **members}))


def approve(daemon, run_id, **params):
    return daemon.call("run.resume", {"run_id": run_id, "decision": "approve", **params})


def deny(daemon, run_id, **params):
    return daemon.call("run.resume", {"run_id": run_id, "decision": "deny", **params})


def submit(daemon, run_id, answers, **params):
    return daemon.call("run.submit_input", {"run_id": run_id, "answers": answers, **params})


def cancel(daemon, run_id, **params):
    return daemon.call("run.cancel", {"run_id": run_id, **params})


def start_waiting(daemon, step_id, workflow="w", inputs=None):
    """A run that waits at that step."""
    run_id = daemon.start_run(workflow, inputs)
    daemon.wait_event("run.waiting", run_id, step_id)
    return run_id


def wait_status(daemon, run_id, status):
    return wait_until(lambda: (state := daemon.status(run_id))["status"] == status and state, f"{run_id} is {status}")


def types(events, *wanted):
    """(type, step_id) of the events of these types, or of all."""
    return [(e["type"], e.get("step_id")) for e in events if not wanted or e["type"] in wanted]


def seconds(earlier, later):
    """Between the times of two events."""
    from datetime import datetime
    at = [datetime.strptime(event["time"] if isinstance(event, dict) else event, "%Y-%m-%dT%H:%M:%S.%fZ")
          for event in (earlier, later)]
    return (at[1] - at[0]).total_seconds()


def one(events, kind, step_id=None):
    (event,) = [e for e in events if e["type"] == kind and (step_id is None or e.get("step_id") == step_id)]
    return event
