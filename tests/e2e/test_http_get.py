"""http-get, the example integration that waits: against a small server on the loopback address."""

import http.server
import threading

import pytest

from harness import BUILD, needs, step

PROGRAM = BUILD / "integrations" / "http-get"
BIG = "line of text é\n" * 10000


@pytest.fixture
def server():
    """Serves a few pages; `hang` answers when `release` is set, `slow` in pieces."""
    release = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers["Host"]))
            if self.path == "/hang":
                release.wait(60)
            body = {"/big": BIG, "/empty": "", "/hang": "late", "/quote": 'a "b" \\ \n\x01é'}.get(self.path, "a page").encode()
            self.send_response(404 if self.path == "/missing" else 503 if self.path == "/down" else 200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            for at in range(0, len(body), 5000):
                self.wfile.write(body[at:at + 5000])

        def log_message(self, *_):
            pass
    seen = []
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    made.seen, made.release, made.base = seen, release, f"http://127.0.0.1:{made.server_port}"
    yield made
    release.set()
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def get(project):
    if not PROGRAM.exists():
        pytest.skip("the SDK's examples are not built")
    project.config["integrations"]["get"] = {"command": [str(PROGRAM)], "describe": True, "config": {"timeout_s": 30}}
    project.write_config()

    def workflow(url, **members):
        project.workflow("w", [step("one", uses="get", with_={"url": url}, **members)])
    return workflow


@needs("DESCRIBE")
def test_pages_are_values_and_large_ones_files(project, daemon_of, server, get):
    daemon = daemon_of(project)
    for path, body in (("/page?a=1&b=2#part", "a page"), ("", "a page"), ("/empty", ""), ("/quote", 'a "b" \\ \n\x01é')):
        get(server.base + path, output_type="text")
        assert daemon.run("w").value("one") == body, path
    assert [path for path, _ in server.seen] == ["/page?a=1&b=2", "/", "/empty", "/quote"]
    assert {host for _, host in server.seen} == {server.base.removeprefix("http://")}
    get(server.base + "/big")
    run = daemon.run("w")
    (event,) = run.of("step.completed", "one")
    reference = event["data"]["artifact"]["$artifact"] if "$artifact" in event["data"]["artifact"] else event["data"]["artifact"]
    assert reference["bytes"] == len(BIG.encode()) and reference["media_type"] == "text/plain"
    assert project.file(reference["path"]).read_text() == BIG


@needs("DESCRIBE")
def test_what_goes_wrong_is_said(project, daemon_of, server, get):
    daemon = daemon_of(project)
    for url, words in ((server.base + "/missing", "HTTP/1.0 404 Not Found"), (server.base + "/down", "503"), ("http://127.0.0.1:1/", "127.0.0.1 port 1: Connection refused"),
                       ("ftp://x/", "is no http:// URL"), ("http:///", "is no http:// URL")):
        get(url)
        failure = daemon.run("w").failure()
        assert failure["kind"] == "integration_error" and words in failure["message"], failure


@needs("DESCRIBE")
def test_it_is_cancelled_while_it_waits(project, daemon_of, server, get):
    get(server.base + "/hang")
    daemon = daemon_of(project)
    run_id = daemon.start_run("w")
    daemon.wait_event("step.started", run_id)
    daemon.call("run.cancel", {"run_id": run_id})
    run = daemon.end_of(run_id)
    assert run.status == "cancelled" and not run.of("step.interrupted")


@needs("DESCRIBE")
def test_it_gives_up_by_its_own_timeout_and_by_the_steps(project, daemon_of, server, get):
    daemon = daemon_of(project)
    project.config["integrations"]["get"]["config"]["timeout_s"] = 1
    get(server.base + "/hang")
    project.workflow("w", [step("one", uses="get", with_={"url": server.base + "/hang", "timeout_s": 1})])
    failure = daemon.run("w").failure()
    assert failure["kind"] == "integration_error" and failure["code"] == -32014 and "no byte for 1 s" in failure["message"]
    project.config["integrations"]["get"]["config"]["timeout_s"] = 60
    get(server.base + "/hang", timeout_s=0.3)
    failure = daemon.run("w").failure()  # it knows the deadline: whoever is first
    assert failure["kind"] == "timeout" or failure["code"] == -32014, failure
