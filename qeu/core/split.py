"""Split records into train, validation and test: seeded, stratified, what belongs together stays.

Groups (near-duplicates, rows parallel in several languages) are never torn apart.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

PARTS = ("train", "validation", "test")


def assign_parts(
    groups: Sequence[int],
    strata: Sequence[str],
    shares: Mapping[str, float],
    seed: int = 0,
) -> list[str]:
    """The part of each record, by its group and stratum (category × language).

    Same input and seed, same split on every machine. `shares` are of all records and add up to 1;
    within every stratum the parts come as near to them as whole groups allow.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        members[group].append(place)
    totals = Counter(strata)
    wanted = {
        (part, stratum): share * count
        for part, share in shares.items()
        for stratum, count in totals.items()
    }
    have: Counter[tuple[str, str]] = Counter()
    parts = [""] * len(groups)
    # large groups first: small ones can even out what they leave
    order = sorted(members, key=lambda group: (-len(members[group]), _draw(seed, group)))
    small = [part for part in PARTS if shares.get(part)]
    for group in order:
        mix = Counter(strata[place] for place in members[group])
        size = len(members[group])

        def missing(part: str, mix: Counter[str] = mix, size: int = size) -> float:
            """How much of its share the part still lacks, where this group would help."""
            return sum(
                count * (wanted[part, s] - have[part, s]) / max(wanted[part, s], 1e-9)
                for s, count in mix.items()
            ) / size  # fmt: skip

        part = max(small, key=missing)
        for place in members[group]:
            parts[place] = part
        for stratum, count in mix.items():
            have[part, stratum] += count
    return parts


def _draw(seed: int, group: int) -> bytes:
    return hashlib.sha256(f"{seed}:{group}".encode()).digest()
