"""Certificates: who has one gets in, nobody else does."""

import asyncio
import datetime
import os
import ssl
import stat
import subprocess
import sys
import types

import pytest
from distributed import Client, Scheduler, Security
from distributed.comm import connect

from helpers import certificates
from helpers.certificates import CertificateError, make_certificates, security

FILES = {f"{name}.{kind}" for name in ("ca", *certificates.NAMES) for kind in ("pem", "key")}


class LongAgo(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) - datetime.timedelta(days=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("tls") / "a folder")


def who_gets_in(folder, client):
    """Start a scheduler with TLS, and say whether a client of this security reaches it."""

    async def ask():
        own = Security(
            tls_ca_file=str(folder / "ca.pem"),
            tls_scheduler_cert=str(folder / "scheduler.pem"),
            tls_scheduler_key=str(folder / "scheduler.key"),
            require_encryption=True,
        )
        options = {"host": "127.0.0.1", "protocol": "tls", "dashboard": False, "security": own}
        async with Scheduler(**options) as scheduler:
            address = scheduler.address if client else scheduler.address.replace("tls", "tcp")
            try:
                if isinstance(client, ssl.SSLContext):
                    comm = await connect(address, timeout=3, ssl_context=client)
                    await comm.close()
                    return True
                async with Client(address, security=client, asynchronous=True, timeout=3):
                    return True
            except OSError:
                return False

    return asyncio.run(ask())


def test_a_client_with_a_certificate_gets_in(folder):
    assert who_gets_in(folder, security(folder))


def test_another_authority_an_old_certificate_and_plain_tcp_do_not(folder, tmp_path, monkeypatch):
    other = security(make_certificates(tmp_path / "other"))
    assert not who_gets_in(folder, other)
    nobody = ssl.create_default_context(cafile=folder / "ca.pem")
    nobody.check_hostname = False
    assert not who_gets_in(folder, nobody)  # it trusts the authority, and shows nothing itself
    assert not who_gets_in(folder, None)
    clock = types.SimpleNamespace(**vars(datetime) | {"datetime": LongAgo})
    monkeypatch.setattr(certificates, "datetime", clock)
    old = make_certificates(tmp_path / "old")
    monkeypatch.undo()
    assert not who_gets_in(old, security(old))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes of files; needs Linux or macOS")
def test_only_the_owner_reads_keys(folder):
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes.keys() == FILES and stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(mode & 0o077 == 0 for name, mode in modes.items() if name.endswith(".key"))


def test_the_authority_alone_signs_and_days_are_short(folder):
    from cryptography import x509

    read = {
        name: x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())
        for name in ("ca", *certificates.NAMES)
    }
    assert [
        name
        for name, one in read.items()
        if one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    ] == ["ca"]
    for one in read.values():
        one.verify_directly_issued_by(read["ca"])
        assert one.not_valid_after_utc - one.not_valid_before_utc < datetime.timedelta(days=31)


def test_nothing_is_overwritten_or_half_made(tmp_path, monkeypatch):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(CertificateError, match="not overwritten"):
        make_certificates(tmp_path)
    with pytest.raises(CertificateError, match="not overwritten"):
        make_certificates(tmp_path / "mine")
    write = certificates._write

    def full(folder, name, *rest):
        if name == "worker":
            raise OSError("No space left on device")
        write(folder, name, *rest)

    monkeypatch.setattr(certificates, "_write", full)
    with pytest.raises(CertificateError, match="No space"):
        make_certificates(tmp_path / "new")
    assert {path.name for path in tmp_path.iterdir()} == {"mine"}


@pytest.mark.parametrize("names", [[], ["ca"], ["../up"], ["a", "A"], [""], [None]])
def test_names_are_checked(tmp_path, names):
    with pytest.raises(ValueError, match="name"):
        make_certificates(tmp_path / "new", names)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("days", [0, -1, 398, 1.5, True, "7"])
def test_days_are_checked(tmp_path, days):
    with pytest.raises(ValueError, match="1 to 397"):
        make_certificates(tmp_path / "new", days=days)


@pytest.mark.parametrize("names", ["worker", iter(["worker"])], ids=["a word", "an iterator"])
def test_one_name_is_one_certificate(tmp_path, names):
    folder = make_certificates(tmp_path / "new", names)
    assert {path.name for path in folder.glob("*.pem")} == {"ca.pem", "worker.pem"}


def test_a_missing_file_is_named(tmp_path):
    make_certificates(tmp_path / "tls", ["worker"])
    with pytest.raises(CertificateError, match="client.key"):
        security(tmp_path / "tls")


def test_the_command_says_what_goes_where(tmp_path):
    call = [sys.executable, "-m", "helpers.certificates", str(tmp_path / "new"), "--days", "2"]
    first, second = (subprocess.run(call, capture_output=True, text=True) for _ in range(2))
    assert first.returncode == 0 and "client.key" in first.stdout and "2 days" in first.stdout
    assert second.returncode == 1 and "not overwritten" in second.stderr
