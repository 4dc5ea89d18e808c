"""As much of the Hub's API on a local socket as pushing takes; whoever asks is the real client."""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_made_up_for_this_test"
COMMIT = "b" * 40


class FakeHub:
    """Repositories by name: {"private", "files": {name: bytes}, "commits"}.

    `big` are endings of files that go the way of large files (LFS); `delay_s` is waited before
    every answer; `refuse` is a status for commits.
    """

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, Any]] = {}
        self.big: tuple[str, ...] = ()
        self.delay_s, self.refuse = 0.0, 0
        self.requests: list[str] = []
        self.blobs: dict[str, bytes] = {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.answer(self)

            do_POST = do_PUT = do_GET

            def log_message(self, *arguments: object) -> None:
                """Keep the test's output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        """No more answers."""
        self.server.shutdown()
        self.server.server_close()

    def add(self, repo: str, private: bool) -> None:
        """A repository that is there already."""
        self.repos[repo] = {"private": private, "files": {}, "commits": []}

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.split("?")[0]
        self.requests.append(f"{request.command} {path}")
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length)
        time.sleep(self.delay_s)
        known = request.headers.get("Authorization") == f"Bearer {TOKEN}"
        status, found, error = self._route(request.command, path, body, known)
        data = json.dumps(found).encode()
        request.send_response(status)
        if error:
            request.send_header("X-Error-Code", error)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    def _route(
        self, command: str, path: str, body: bytes, known: bool
    ) -> tuple[int, dict[str, Any], str]:
        if path.startswith("/blob/"):
            self.blobs[path.rpartition("/")[2]] = body
            return 200, {}, ""
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}, ""
        if not known:
            return 401, {"error": "Invalid credentials"}, ""
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.add(name, asked.get("visibility") == "private")
            return 200, {"url": f"{self.url}/{name}", "name": name}, ""
        parts = path.strip("/").split("/")
        if path.endswith("/info/lfs/objects/batch"):
            return 200, self._large(json.loads(body)), ""
        name = "/".join(parts[2:4])
        repo = self.repos.get(name)
        if repo is None:
            return 404, {"error": "Repository not found"}, "RepoNotFound"
        if command == "GET":
            info = {"id": name, "private": repo["private"], "sha": COMMIT, "siblings": []}
            return 200, info, ""
        if parts[4] == "preupload":
            return 200, {"files": [self._mode(f["path"]) for f in json.loads(body)["files"]]}, ""
        if self.refuse:
            return self.refuse, {"error": "No room for it"}, ""
        return 200, self._commit(name, repo, body), ""

    def _mode(self, path: str) -> dict[str, Any]:
        mode = "lfs" if self.big and path.endswith(self.big) else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": False}

    def _large(self, asked: dict[str, Any]) -> dict[str, Any]:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.url}/blob/{one['oid']}"}}}
            for one in asked["objects"]
        ]
        return {"transfer": "basic", "objects": objects}

    def _commit(self, name: str, repo: dict[str, Any], body: bytes) -> dict[str, Any]:
        for line in body.decode().splitlines():
            entry = json.loads(line)
            if entry["key"] == "header":
                repo["commits"].append(entry["value"]["summary"])
            elif entry["key"] == "file":
                content = base64.b64decode(entry["value"]["content"])
                repo["files"][entry["value"]["path"]] = content
            elif entry["key"] == "lfsFile":
                repo["files"][entry["value"]["path"]] = self.blobs[entry["value"]["oid"]]
        return {"commitUrl": f"{self.url}/{name}/commit/{COMMIT}", "commitOid": COMMIT}
