"""Make an authority and certificates for a cluster that uses TLS.

``python -m helpers.certificates FOLDER`` writes an authority and a certificate and key for each
part of a cluster: the scheduler, the workers, the clients. Whoever has a certificate of the
authority gets in; nobody else does. Dask asks both ends of every connection for theirs.

A part needs three files, and no others: ``ca.pem``, its own ``.pem`` and its own ``.key``. The
authority's key, ``ca.key``, signs new certificates: it never leaves the machine where it was made.
"""

import argparse
import datetime
import os
import re
import shutil
import sys
from numbers import Integral
from pathlib import Path

NAMES = ("scheduler", "worker", "client")
DAYS, MOST_DAYS = 30, 397
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


class CertificateError(RuntimeError):
    """Certificates could not be made; the message says why and what to do."""


def make_certificates(folder, names=NAMES, days=DAYS):
    """Make an authority and a certificate for each name, in a new folder.

    Parameters
    ----------
    folder : path-like
        Must not exist yet, or be empty: certificates are never overwritten.
    names : iterable of str, or str
        One certificate and key for each. A name is a label for people to read; Dask does not
        compare it with the name of a host.
    days : int
        How long all of them are valid, from 1 to 397. They cannot be called back, so short is good.

    Returns
    -------
    pathlib.Path
        The folder, which only you may enter. In it: ``ca.pem`` and ``ca.key``, and for each name
        ``NAME.pem`` and ``NAME.key``. Only you can read the keys (on Windows: who can read the
        folder above).

    Raises
    ------
    ValueError
        If a name or `days` is not as above.
    CertificateError
        If the folder has files already or cannot be written. Nothing half-made stays.

    Examples
    --------
    >>> import tempfile
    >>> folder = make_certificates(Path(tempfile.mkdtemp(), "tls"), days=7)
    >>> sorted(path.name for path in folder.glob("*.pem"))
    ['ca.pem', 'client.pem', 'scheduler.pem', 'worker.pem']
    """
    names = _checked(names, days)
    folder = Path(folder).expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CertificateError(
            f"{folder} is there already. Certificates are not overwritten: name a new folder, or "
            "delete this one when no cluster uses it."
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        _fill(folder, names, days)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise CertificateError(f"The certificates could not be written: {error}") from None
    return folder


def security(folder, name="client"):
    """Return what a client needs to join a cluster with certificates of this folder.

    Parameters
    ----------
    folder : path-like
        With ``ca.pem`` and the two files of `name`.
    name : str
        Whose certificate to show.

    Returns
    -------
    distributed.Security
        For ``start_cluster(security=…)`` or ``distributed.Client(security=…)``. It refuses to
        speak to anybody without encryption.

    Raises
    ------
    CertificateError
        If a file is missing.

    Examples
    --------
    >>> import tempfile
    >>> security(make_certificates(Path(tempfile.mkdtemp(), "tls"))).require_encryption
    True
    """
    from distributed import Security

    folder = Path(folder).expanduser().absolute()
    files = [folder / "ca.pem", folder / f"{name}.pem", folder / f"{name}.key"]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise CertificateError(
            f"missing: {', '.join(missing)}. `python -m helpers.certificates FOLDER` makes them."
        )
    authority, certificate, key = map(str, files)
    return Security(
        tls_ca_file=authority,
        tls_client_cert=certificate,
        tls_client_key=key,
        require_encryption=True,
    )


def what_is_wrong(security, name="client", theirs=None):
    """Say why certificates will not be accepted, before anybody refuses them.

    Parameters
    ----------
    security : distributed.Security
        Names the authority's file, a certificate and its key, or holds their text.
    name : {"client", "worker", "scheduler"}
        Whose certificate and key to look at.
    theirs : str, optional
        The certificate of the other end as text (PEM): look at this one instead.

    Returns
    -------
    str
        A phrase such as ``"client.pem has expired on 2026-01-31"``; empty if nothing is wrong.

    Examples
    --------
    >>> from distributed import Security
    >>> what_is_wrong(Security(tls_ca_file=None))
    'no certificates are given'
    """
    files = security.get_tls_config_for_role(name)
    if not files["ca_file"] or not files["cert"]:
        return "no certificates are given"
    try:
        authorities = _read("ca_file", files["ca_file"])
        certificates = _read("cert", files["cert"]) if theirs is None else _read("theirs", theirs)
        wrong = _wrong_dates(authorities[0]) if len(authorities) == 1 else ""
        wrong = wrong or _wrong_dates(certificates[0])
        wrong = wrong or _wrong_authority(certificates, authorities)
        if not wrong and theirs is None:
            wrong = _wrong_key(files["key"] or files["cert"], certificates[0])
    except _Unreadable as error:
        return str(error)
    return wrong


class _Unreadable(Exception):
    """A file is not there, or is no certificate or key."""


def _text(place):
    """A file's name for a message, and its content; a Security may hold the content itself."""
    if "\n" in place:
        return "a certificate in memory", place.encode()
    try:
        return Path(place).name, Path(place).read_bytes()
    except OSError as error:
        raise _Unreadable(f"{place} cannot be read ({error.strerror})") from None


def _read(what, place):
    """The certificates in a file, each with the name for a message."""
    from cryptography import x509

    name, text = _text(place)
    name = "its certificate" if what == "theirs" else name
    try:
        return [(name, one) for one in x509.load_pem_x509_certificates(text)]
    except ValueError:
        raise _Unreadable(f"{name} holds no certificate") from None


def _wrong_dates(named):
    name, certificate = named
    now = datetime.datetime.now(datetime.UTC)
    if now > certificate.not_valid_after_utc:
        return f"{name} has expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if now < certificate.not_valid_before_utc:
        start = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        return f"{name} is valid from {start} on: does this machine's clock go wrong?"
    return ""


def _wrong_authority(certificates, authorities):
    from cryptography.exceptions import InvalidSignature

    (name, certificate), *chain = certificates
    for _, authority in [*chain, *authorities]:
        try:
            certificate.verify_directly_issued_by(authority)
            return ""
        except (InvalidSignature, TypeError, ValueError):
            pass
    return f"{name} is signed by another authority than {authorities[0][0]}"


def _wrong_key(place, named):
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    name, text = _text(place)
    try:
        key = load_pem_private_key(text, None)
    except (TypeError, ValueError):
        return f"{name} holds no key, or one with a password"
    return "" if key.public_key() == named[1].public_key() else f"{name} is no key of {named[0]}"


def _fill(folder, names, days):
    from cryptography.hazmat.primitives.asymmetric import ec

    authority = ec.generate_private_key(ec.SECP256R1())
    _write(folder, "ca", authority, _certificate("ca", authority, "ca", authority, days))
    for name in names:
        key = ec.generate_private_key(ec.SECP256R1())
        _write(folder, name, key, _certificate(name, key, "ca", authority, days))


def _certificate(name, key, issuer, signing_key, days):
    """A certificate of `key`, signed by the issuer; a name that signs itself may sign others."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    now = datetime.datetime.now(datetime.UTC)
    signs = name == issuer
    public, signing = key.public_key(), signing_key.public_key()
    usage = dict.fromkeys(
        ("content_commitment", "data_encipherment", "encipher_only", "decipher_only"), False
    )
    usage |= {"key_encipherment": False, "key_agreement": False}
    usage |= {"digital_signature": not signs, "key_cert_sign": signs, "crl_sign": signs}
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))  # clocks differ a little
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(signs, 0 if signs else None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing), critical=False)
    )
    if not signs:  # each part takes calls and makes them
        purposes = [x509.ExtendedKeyUsageOID.SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return builder.sign(signing_key, hashes.SHA256())


def _named(name):
    from cryptography import x509

    label = "my cluster's authority" if name == "ca" else name
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, label)])


def _write(folder, name, key, certificate):
    from cryptography.hazmat.primitives import serialization as form

    secret = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    for suffix, content, mode in [
        ("key", secret, 0o600),
        ("pem", certificate.public_bytes(form.Encoding.PEM), 0o644),
    ]:
        # The mode from the first moment on: a key that was open for a moment is an open key.
        place = os.open(folder / f"{name}.{suffix}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(place, "wb") as file:
            file.write(content)


def _checked(names, days):
    """The names as a list, if they and the days are as they must be."""
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if not isinstance(name, str) or not NAME.fullmatch(name) or name == "ca":
            raise ValueError(
                f"a name is made of letters, digits, - and _, and is not 'ca'; not {name!r}"
            )
    if not names or len({name.lower() for name in names}) < len(names):
        raise ValueError(f"names must be at least one, each of them once, not {names!r}")
    if not isinstance(days, Integral) or isinstance(days, bool) or not 1 <= days <= MOST_DAYS:
        raise ValueError(f"days must be a whole number from 1 to {MOST_DAYS}, not {days!r}")
    return names


def main(arguments=None):
    """Make certificates and say what goes where."""
    parser = argparse.ArgumentParser(prog="python -m helpers.certificates", description=__doc__)
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--days", type=int, default=DAYS, help=f"valid so long, default: {DAYS}")
    text = f"one certificate each, default: {' '.join(NAMES)}"
    parser.add_argument("--names", nargs="+", default=NAMES, help=text)
    options = parser.parse_args(arguments)
    try:
        folder = make_certificates(options.folder, options.names, options.days)
    except (CertificateError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    for name in options.names:
        print(f"{name + ':':<12} ca.pem {name}.pem {name}.key")
    print(f"In {folder}, valid for {options.days} days. ca.key stays on this machine.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
