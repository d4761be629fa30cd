"""A client of the meeting server: signs each request with the secret of a session (RFC 9421)."""

import json
import secrets
import sys
import urllib.error
import urllib.request
from pathlib import Path

from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms


class Client:
    def __init__(self, url, client_id, session_secret):
        keys = MappingKeyResolver(public_keys={}, private_keys={client_id: session_secret.encode()})
        self.url, self.client_id = url.rstrip("/"), client_id
        self.signer = HTTPMessageSigner(
            signature_algorithm=algorithms.HMAC_SHA256, key_resolver=keys
        )

    def __call__(self, method, path, document=None, **headers):
        """Status, document and headers of the answer."""
        body = b"" if document is None else json.dumps(document).encode()
        request = urllib.request.Request(self.url + path, body or None, headers, method=method)
        request.url = request.full_url
        if body:
            request.add_header("Content-Type", "application/json")
        self.signer.sign(
            request,
            key_id=self.client_id,
            nonce=secrets.token_urlsafe(16),
            covered_component_ids=("@method", "@authority", "@path", "@query"),
            body=body,  # adds Content-Digest, and covers it
        )
        try:
            answer = urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            text = answer.read().decode()
        is_json = answer.headers.get_content_type() == "application/json"
        return answer.status, json.loads(text) if is_json and text else text, answer.headers


if __name__ == "__main__":
    # python docs/client.py http://127.0.0.1:3000 session.json GET /meetings ['{"title": …}']
    url, session, method, path, *document = sys.argv[1:]
    known = json.loads(Path(session).read_text())
    client = Client(url, known["client_id"], known["session_secret"])
    status, answer, _ = client(method, path, *map(json.loads, document))
    print(answer if isinstance(answer, str) else json.dumps(answer, indent=2))
    sys.exit(status >= 400)
