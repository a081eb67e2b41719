"""A player of the least: it is up at once, answers every request with success, and starts a helper of its own.

python -S bare.py -http-port=8080 ...
"""

import http.server
import json
import subprocess
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"id": request["id"], "success": True, "message": "", "value": 0}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    helper = subprocess.Popen(["sleep", "600"], start_new_session=True)  # out of reach for a kill of the group
    port = next(int(text.partition("=")[2]) for text in sys.argv if text.startswith("-http-port="))
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
