"""Lines of receipts, invoices and letter heads: amounts, dates, tax numbers, telephones, addresses."""

from __future__ import annotations

import random
import string
from collections.abc import Callable

Word = Callable[[], str]
_CURRENCIES = ("RM", "RM ", "$", "$", "€", "£", "¥", "USD ", "MYR ", "EUR ", "Rs.", "S$")
_TOTALS = (
    "TOTAL",
    "SUB-TOTAL",
    "SUBTOTAL",
    "GRAND TOTAL",
    "NET TOTAL",
    "CASH",
    "CHANGE",
    "ROUNDING",
    "ROUNDING ADJ",
    "DISCOUNT",
    "TAX",
    "GST 6%",
    "SERVICE CHARGE 10%",
    "AMOUNT",
    "TOTAL SALES (INCL. GST)",
    "TOTAL AMOUNT",
    "BALANCE",
    "PAYMENT",
    "TENDER",
    "VISA",
    "MASTERCARD",
    "ITEMS",
    "TOTAL QTY",
    "GROSS AMT",
    "PAID AMOUNT",
    "TOTAL DUE",
    "VAT 20%",
    "TIP",
    "ROUND AMT",
    "TAXABLE AMT",
    "EXCLUDE GST",
    "TOTAL INCLUSIVE OF GST",
    "TOTAL GST",
    "CASH RECEIVED",
    "CHANGE DUE",
)
_LABELS = (
    "INVOICE NO",
    "RECEIPT #",
    "BILL NO",
    "DATE",
    "TIME",
    "CASHIER",
    "TABLE",
    "ORDER NO",
    "TEL",
    "FAX",
    "GST ID",
    "GST NO",
    "GST REG NO",
    "CO. REG",
    "TRANS",
    "COUNTER",
    "TERMINAL",
    "SALESPERSON",
    "MEMBER",
    "POS NO",
    "DOC NO.",
    "REF",
    "PAX(S)",
    "TAX INVOICE",
    "CUSTOMER",
    "APPROVAL CODE",
    "SLIP NO",
    "STAFF",
    "QTY",
    "PRICE",
    "ITEM",
    "DESCRIPTION",
    "ATTN",
    "PAGE",
)
_PHRASES = (
    "THANK YOU",
    "THANK YOU, PLEASE COME AGAIN",
    "TAX INVOICE",
    "SIMPLIFIED TAX INVOICE",
    "GST SUMMARY",
    "CUSTOMER COPY",
    "GOODS SOLD ARE NOT RETURNABLE",
    "NO REFUND",
    "ALL PRICES ARE IN",
    "PLEASE KEEP THIS RECEIPT",
    "HAVE A NICE DAY",
    "EXCHANGE ARE ALLOWED WITHIN 7 DAYS WITH RECEIPT",
    "CASH SALES",
    "OFFICIAL RECEIPT",
    "GST CODE",
    "TAX(RM)",
    "AMT(RM)",
    "PRICE INCLUSIVE OF GST",
    "DINE IN",
    "TAKE AWAY",
    "CLOSED BILL",
    "QTY   PRICE   AMOUNT",
    "END OF RECEIPT",
)
_FIRMS = (
    "SDN BHD",
    "SDN. BHD.",
    "(M) SDN BHD",
    "ENTERPRISE",
    "TRADING",
    "RESTAURANT",
    "& CO.",
    "LTD",
    "INC.",
    "GmbH",
    "S.A.",
)
_STREETS = ("JALAN", "LORONG", "TAMAN", "NO.", "LOT", "STREET", "ROAD", "AVENUE", "UNIT", "BLOCK", "P.O. BOX", "LEVEL")
_SIZES = ("{}G", "{}ML", "{}KG", "{}L", "{}'S", "{}PCS", "{}MM", "{}CM", "({})", "{}%", "{}X{}")
_FRAMES = ("***{}***", "** {} **", "*** {} ***", "<<{}>>", "- {} -", "[{}]", "({})", "*{}", "{}*", "#{}", "= {} =")
_RULES = ("-", "=", "*", "_", ".", "- ", "* ", "~")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "January", "June")
_CODES = (
    "SR",
    "ZR",
    "S",
    "Z",
    "*",
    "(S)",
    "T",
    "A",
    "x",
    "X",
    "@",
    "PCS",
    "KG",
    "EA",
    "UNIT(S)",
    "%",
    "@6%",
    "(6%)",
    "0%",
    "SR 6%",
    "(0.0%)",
)


def amount(rng: random.Random) -> str:
    """A price: 12.50, 1,204.00, 12,50, -0.02."""
    value = rng.choice([rng.uniform(0, 10), rng.uniform(0, 100), rng.uniform(0, 2000), rng.randint(0, 100)])
    text = rng.choice(["{:.2f}", "{:.2f}", "{:.2f}", "{:,.2f}", "{:.0f}", "{:.1f}"]).format(value)
    text = text.replace(".", ",") if rng.random() < 0.04 and "," not in text else text
    return rng.choice(["", "", "", "", "", "-", "+"]) + text


def date(rng: random.Random) -> str:
    """A day, a time of day or both."""
    day, month, year = rng.randint(1, 31), rng.randint(1, 12), rng.randint(1985, 2030)
    name = rng.choice(_MONTHS)
    short = f"{year % 100:02d}"
    shown = rng.choice(
        [
            f"{day:02d}/{month:02d}/{year}",
            f"{day:02d}/{month:02d}/{year}",
            f"{day:02d}-{month:02d}-{year}",
            f"{day:02d}.{month:02d}.{short}",
            f"{year}-{month:02d}-{day:02d}",
            f"{day} {name} {year}",
            f"{name} {day}, {year}",
            f"{day:02d}/{month:02d}/{short}",
            f"{day:02d}-{name.upper()}-{short}",
        ]
    )
    clock = f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}" + rng.choice(["", f":{rng.randint(0, 59):02d}"])
    clock += rng.choice(["", "", " PM", " AM", "pm"])
    return rng.choice([shown, shown, clock, f"{shown} {clock}"])


def identifier(rng: random.Random) -> str:
    """A number that stands for something: tax, telephone, registration, article."""
    digits = "".join(rng.choices(string.digits, k=rng.randint(3, 14)))
    letters = "".join(rng.choices(string.ascii_uppercase, k=rng.randint(1, 4)))
    return rng.choice(
        [
            digits,
            digits,
            f"{rng.choice(['03', '07', '012', '+60 3', '1-800', '+49'])}-{digits[:8]}",
            f"{letters}{digits}",
            f"({digits[:7]}-{letters[0]})",
            f"{digits[:6]}-{letters[0]}",
            f"{letters}-{digits[:5]}/{digits[-2:]}",
            f"#{digits[:4]}",
            f"{digits[:3]} {digits[:4]} {digits[-4:]}",
            f"{letters}{digits[:2]}{letters}{digits[:5]}",
            digits[:3],
            digits[:2],
        ]
    )


def number(rng: random.Random) -> str:
    """Any number of a text or a table."""
    return rng.choice(
        [
            str(rng.randint(0, 9)),
            str(rng.randint(10, 99)),
            str(rng.randint(100, 9999)),
            f"{rng.randint(1000, 9999999):,}",
            f"{rng.uniform(0, 1):.3f}",
            f"{rng.uniform(0, 100):.1f}",
            f"{rng.uniform(-10, 10):.2f}",
            f"{rng.randint(0, 100)}%",
            f"{rng.randint(1, 9)}/{rng.randint(2, 9)}",
            f"{rng.randint(1850, 2030)}",
            f"{rng.randint(1, 9)}.{rng.randint(1, 9)}.{rng.randint(1, 9)}",
            f"({rng.randint(1, 99)})",
            f"{rng.uniform(1, 10):.2f}e-{rng.randint(1, 12)}",
            amount(rng),
            date(rng),
        ]
    )


def receipt(rng: random.Random, word: Word, length: int) -> str:
    """One field or line of a receipt of about `length` characters at most."""
    kind = rng.random()
    if kind < 0.22:
        text = amount(rng) if rng.random() < 0.7 else rng.choice(_CURRENCIES) + amount(rng)
    elif kind < 0.36:
        text = (
            rng.choice(_TOTALS) + rng.choice(["", "", " :", ":", " (RM)", ": RM"]) + rng.choice(["", " " + amount(rng)])
        )
    elif kind < 0.50:
        text = rng.choice(_LABELS) + rng.choice(["", " :", ":", ": ", ".:", " : "])
        text += rng.choice(["", "", " "]) + rng.choice(["", identifier(rng), date(rng)])
    elif kind < 0.58:
        text = rng.choice(_PHRASES)
    elif kind < 0.66:
        text = rng.choice([date(rng), identifier(rng)])
    elif kind < 0.69:
        text = rng.choice(_RULES) * rng.randint(3, 24) if rng.random() < 0.25 else _framed(rng, word)
    elif kind < 0.73:
        text = rng.choice([*_CODES, str(rng.randint(0, 30)), f"{rng.randint(1, 9)} {rng.choice(_CODES)}"])
    else:
        text = _item(rng, word, length)
    style = rng.random()
    return text.upper() if style < 0.55 else text.title() if style < 0.72 else text


def _framed(rng: random.Random, word: Word) -> str:
    """A heading between stars or brackets."""
    return rng.choice(_FRAMES).format(rng.choice([rng.choice(_PHRASES), word(), rng.choice(_TOTALS)]))


def _item(rng: random.Random, word: Word, length: int) -> str:
    """An article with quantity, size, price, code."""
    text = " ".join(word() for _ in range(rng.randint(1, 4)))[: max(4, length)].strip()
    text = rng.choice([text, text.upper(), text.upper()])
    if rng.random() < 0.3:
        text += " " + rng.choice(_SIZES).format(rng.randint(1, 999), rng.randint(1, 99))
    if rng.random() < 0.3:
        text = rng.choice([f"{rng.randint(1, 12)} ", f"{rng.randint(1, 9)} x ", f"{identifier(rng)} ", "(R05) "]) + text
    if rng.random() < 0.3:
        text += " " + rng.choice(
            [amount(rng), f"{rng.randint(1, 9)} @ {amount(rng)}", f"{amount(rng)} {rng.choice(_CODES)}"]
        )
    return text


def contact(rng: random.Random, word: Word, length: int) -> str:
    """A line of an address, a firm, a person, a mail address or a page of the web."""
    kind, name = rng.random(), word().capitalize()
    if kind < 0.3:
        text = f"{word()} {word()} {rng.choice(_FIRMS)}".upper()
    elif kind < 0.65:
        text = f"{rng.choice(_STREETS)} {rng.choice([identifier(rng)[:5], name])} {name}, "
        text += f"{rng.randint(1000, 99999):05d} {word().upper()}"
        text += rng.choice(["", ".", ","])
    elif kind < 0.75:
        text = f"{word().lower()}.{word().lower()}@{word().lower()}.{rng.choice(['com', 'org', 'de', 'edu', 'com.my'])}"
    elif kind < 0.85:
        text = rng.choice(["www.", "http://www.", "https://"]) + word().lower()
        text += rng.choice([".com", ".org", ".net", ".my"])
        text += rng.choice(["", "/", f"/{word().lower()}", f"/{word()}.html"])
    else:
        title, line = rng.choice(["Mr.", "Ms.", "Dr.", "Prof.", ""]), rng.choice(["Tel.", "Fax", "Phone:"])
        text = f"{title} {name} {word().capitalize()}, {line} {identifier(rng)}"
    return text.upper() if rng.random() < 0.4 else text
