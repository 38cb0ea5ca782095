"""A stand-in for Amazon's store on this machine: a folder whose subfolders are buckets, told as S3 tells it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

WHEN = "Mon, 01 Jan 2024 00:00:00 GMT"


@contextmanager
def served(folder: Path, *, forbidden: tuple[str, ...] = ()) -> Iterator[str]:
    """Serve the folder while the context lasts; the query that leads a URI there. ``forbidden``: closed buckets."""

    class Answers(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, *, body: bool) -> None:
            parts, asked = urlsplit(self.path), parse_qs(urlsplit(self.path).query, keep_blank_values=True)
            bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
            place = folder / bucket / key
            if bucket in forbidden:
                self._send(403, _fault("AccessDenied", "Access Denied"), body=body)
            elif not (folder / bucket).is_dir():
                self._send(404, _fault("NoSuchBucket", "The specified bucket does not exist"), body=body)
            elif not key and body:
                self._send(200, _listing(folder / bucket, asked), body=body)
            elif not key:
                self._send(200, b"", body=body)
            elif place.is_file():
                self._send_file(place.read_bytes(), body=body)
            else:
                self._send(404, _fault("NoSuchKey", "The specified key does not exist."), body=body)

        def _send_file(self, content: bytes, *, body: bool) -> None:
            span = self.headers.get("Range")
            if span is None:
                self._send(200, content, body=body)
                return
            first, last = span.removeprefix("bytes=").split("-")
            end = min(int(last or len(content) - 1), len(content) - 1)
            told = {"Content-Range": f"bytes {first}-{end}/{len(content)}"}
            self._send(206, content[int(first) : end + 1], body=body, **told)

        def _send(self, code: int, content: bytes, *, body: bool, **headers: str) -> None:
            self.send_response(code)
            told = {"Content-Length": str(len(content)), "Last-Modified": WHEN, "ETag": '"0"', **headers}
            for name, value in told.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"?endpoint_override=127.0.0.1:{server.server_port}&scheme=http&region=us-east-1"
    finally:
        server.shutdown()
        server.server_close()


def _fault(code: str, message: str) -> bytes:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode()


def _listing(bucket: Path, asked: dict[str, list[str]]) -> bytes:
    """The keys that begin so, and up to the next delimiter what they have in common."""
    prefix, delimiter = (asked.get(name, [""])[0] for name in ("prefix", "delimiter"))
    keys = sorted(file.relative_to(bucket).as_posix() for file in bucket.rglob("*") if file.is_file())
    files, folders = [], dict[str, None]()
    for key in (key for key in keys if key.startswith(prefix)):
        head, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
        if cut:
            folders[prefix + head + delimiter] = None
        else:
            files.append(key)
    told = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{(bucket / key).stat().st_size}</Size>"
        "<LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>0</ETag></Contents>"
        for key in files
    )
    told += "".join(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in folders)
    head = f"<IsTruncated>false</IsTruncated><KeyCount>{len(files) + len(folders)}</KeyCount>"
    return f"<ListBucketResult>{head}{told}</ListBucketResult>".encode()
