"""Makes data/payments.jsonl and data/chargebacks.jsonl: thirty days of payments, in which fraud changes its face after three weeks.

Only to have something to look at; your own data go in the same way.  python sample.py
"""

import json
import random
from pathlib import Path

DAYS, CARDS, A_DAY = 30, 2_000, 3_000
HOUR = 3_600_000
START = 1_767_225_600_000  # 2026-01-01 UTC
MERCHANTS = ["books", "electronics", "fashion", "food", "games", "gift-cards", "travel"]


def main() -> None:
    draw = random.Random(1)
    payments, chargebacks = [], []
    for day in range(DAYS):
        changed = day >= 21
        for _ in range(A_DAY):
            at = START + day * 24 * HOUR + int(draw.random() * 24 * HOUR)
            fraud = draw.random() < (0.04 if changed else 0.02)
            card = f"card-{draw.randrange(20 if fraud else CARDS):04d}"
            risky = ("games", "food") if changed else ("gift-cards", "electronics")
            merchant = draw.choice(risky if fraud and draw.random() < 0.7 else MERCHANTS)
            amount = round(draw.lognormvariate(3.0 if changed else 5.0, 0.6) if fraud else draw.lognormvariate(3.4, 0.9), 2)
            id = f"{at:x}-{draw.randrange(1 << 20):05x}"
            payments.append({"payment_id": id, "paid_at": at, "card": card, "merchant": merchant, "amount": amount})
            if fraud or draw.random() < 0.001:
                chargebacks.append({"payment_id": id, "reported_at": at + int(draw.uniform(4, 60) * HOUR), "charged_back": True})
            elif draw.random() < 0.5:
                chargebacks.append({"payment_id": id, "reported_at": at + int(draw.uniform(4, 60) * HOUR), "charged_back": False})
    write("payments", payments, "paid_at")
    write("chargebacks", chargebacks, "reported_at")


def write(name: str, rows: list[dict[str, object]], time: str) -> None:
    file = Path(__file__).parent / "data" / f"{name}.jsonl"
    file.parent.mkdir(exist_ok=True)
    rows.sort(key=lambda row: str(row[time]))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(f"{file}: {len(rows):,} rows")


if __name__ == "__main__":
    main()
