"""Numbers of things, in sentences."""


def counted(number: int, noun: str, verb: str = "", before: str = "") -> str:
    """`1 trial` or `2 trials`; with the verb of many, `have` or `run`, also `1 trial has` and `1 trial runs`, and what stands
    `before` the verb, as `still`."""
    one = number == 1
    words = [str(number), noun if one else f"{noun}s", before]
    if verb:
        words.append(verb if not one else "has" if verb == "have" else f"{verb}s")
    return " ".join(word for word in words if word)
