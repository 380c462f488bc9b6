"""What values look like: patterns, with check digits wherever the format has them.

Formats and their checks come from python-stdnum, telephone numbers from phonenumbers: both are kept
by people who follow the registries. Addresses of networks are read by Python itself.
"""

from __future__ import annotations

import functools
import importlib
import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from affidavit.errors import MissingDependencyError

__all__ = ["Pattern", "patterns"]


class Pattern(NamedTuple):
    """One form that values may have.

    Args:
        what: What it is, as people call it.
        tag: The tag that it speaks for.
        strength: How strongly, from 0 to 1, where every value has the form.
        shape: What a value must look like before it is checked.
        holds: The check.
    """

    what: str
    tag: str
    strength: float
    shape: re.Pattern[str]
    holds: Callable[[str], bool]


def _shape(text: str) -> re.Pattern[str]:
    return re.compile(text, re.ASCII)


def _always(_: str) -> bool:
    return True


def _address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


# (what, module of python-stdnum, strength, shape). Where a number has no check digit, or one that a
# tenth of all numbers pass, its own separators are asked for, or the strength is small.
_NATIONAL: Sequence[tuple[str, str, float, str]] = (
    ("US social security number", "us.ssn", 0.9, r"\d{3}-\d{2}-\d{4}"),
    ("UK NHS number", "gb.nhs", 0.8, r"\d{3} ?\d{3} ?\d{4}"),
    ("German tax identification number", "de.idnr", 0.9, r"\d{2} ?\d{3} ?\d{3} ?\d{3}"),
    ("French social security number", "fr.nir", 0.95, r"[12][ \dAB]{12,20}"),
    ("Spanish identity number", "es.dni", 0.9, r"\d{8}-?[A-Z]"),
    ("Spanish foreigner's number", "es.nie", 0.9, r"[XYZ]-?\d{7}-?[A-Z]"),
    ("Italian tax code", "it.codicefiscale", 0.95, r"[A-Z]{6}[0-9A-Z]{10}"),
    ("Dutch citizen number", "nl.bsn", 0.8, r"\d{9}"),
    ("Belgian national number", "be.nn", 0.9, r"\d{2}\.?\d{2}\.?\d{2}-?\d{3}\.?\d{2}"),
    ("Polish national number", "pl.pesel", 0.9, r"\d{11}"),
    ("Swedish personal number", "se.personnummer", 0.9, r"(\d{2})?\d{6}[-+]?\d{4}"),
    ("Finnish identity code", "fi.hetu", 0.95, r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]"),
    ("Danish personal number", "dk.cpr", 0.75, r"\d{6}-\d{4}"),
    ("Norwegian birth number", "no.fodselsnummer", 0.9, r"\d{6} ?\d{5}"),
    ("Swiss social security number", "ch.ssn", 0.95, r"756\.?\d{4}\.?\d{4}\.?\d{2}"),
    ("Czech or Slovak birth number", "cz.rc", 0.85, r"\d{6}/\d{3,4}"),
    ("Romanian personal code", "ro.cnp", 0.9, r"\d{13}"),
    ("Portuguese identity number", "pt.cc", 0.95, r"\d{8} ?\d ?[A-Z0-9]{2}\d"),
    ("Brazilian taxpayer number", "br.cpf", 0.9, r"\d{3}\.?\d{3}\.?\d{3}-?\d{2}"),
    ("Mexican population code", "mx.curp", 0.95, r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z0-9]\d"),
    ("Indian Aadhaar number", "in_.aadhaar", 0.85, r"\d{4}[ -]?\d{4}[ -]?\d{4}"),
    ("Canadian social insurance number", "ca.sin", 0.8, r"\d{3}[ -]?\d{3}[ -]?\d{3}"),
    ("South African identity number", "za.idnr", 0.85, r"\d{13}"),
    ("Chinese identity number", "cn.ric", 0.95, r"\d{17}[\dX]"),
    ("Turkish identity number", "tr.tckimlik", 0.9, r"[1-9]\d{10}"),
    ("Korean registration number", "kr.rrn", 0.9, r"\d{6}-\d{7}"),
)
_TOKENS = (
    r"(?:eyJ[\w-]{8,}\.[\w-]+\.[\w-]*|AKIA[0-9A-Z]{16}|gh[pousr]_\w{30,}|sk_(?:live|test)_\w{16,}"
    r"|xox[abprs]-[\w-]{10,}|\$2[aby]\$\d\d\$[./\w]{53}|\$argon2\w*\$.+|-----BEGIN .*KEY-----.*)"
)


@functools.cache
def patterns() -> tuple[Pattern, ...]:
    """Every form that is looked for.

    Raises:
        MissingDependencyError: The extra ``detect`` is not installed.
    """
    try:
        import phonenumbers
        from stdnum import iban, luhn
    except ImportError as error:
        raise MissingDependencyError(error.name or "python-stdnum", "detect") from error

    def telephone(text: str) -> bool:
        try:
            return bool(phonenumbers.is_valid_number(phonenumbers.parse(text, None)))
        except phonenumbers.NumberParseException:
            return False

    def card(text: str) -> bool:
        return bool(luhn.is_valid(re.sub(r"[ -]", "", text)))

    def checked(module: str) -> Callable[[str], bool]:
        loaded: Any = importlib.import_module(f"stdnum.{module}")
        return lambda text: bool(loaded.is_valid(text))

    general = (
        Pattern(
            "e-mail address", "contact", 0.97, _shape(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+"), _always
        ),
        Pattern("telephone number", "contact", 0.9, _shape(r"\+[\d ()./-]{7,22}"), telephone),
        Pattern(
            "telephone number as written in North America",
            "contact",
            0.75,
            _shape(r"(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}"),
            _always,
        ),
        Pattern(
            "IBAN with its check digits (ISO 13616)",
            "identifier",
            0.97,
            _shape(r"[A-Z]{2}\d{2}[A-Z0-9 ]{11,40}"),
            lambda text: bool(iban.is_valid(text)),
        ),
        Pattern(
            "payment card number with its check digit (ISO/IEC 7812)",
            "secret",
            0.9,
            _shape(r"[2-6]\d{3}(?:[ -]?\d){9,15}"),
            card,
        ),
        Pattern("network address", "identifier", 0.85, _shape(r"[0-9a-fA-F.:]{3,45}"), _address),
        Pattern(
            "hardware address",
            "identifier",
            0.85,
            _shape(r"(?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}"),
            _always,
        ),
        Pattern(
            "UUID (RFC 9562)",
            "identifier",
            0.75,
            _shape(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
            _always,
        ),
        Pattern("token, key or password hash", "secret", 0.97, _shape(_TOKENS), _always),
    )
    national = tuple(
        Pattern(what, "identifier", strength, _shape(shape), checked(module))
        for what, module, strength, shape in _NATIONAL
    )
    return (*general, *national)
