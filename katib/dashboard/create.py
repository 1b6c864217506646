"""The page on which a study is made: from nothing, from an example, or from a study that is there."""

import secrets
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from katib.dashboard.context import context_of, render
from katib.domain.errors import NotFoundError
from katib.domain.study_file_writer import dump_study

EXAMPLES: Final = {
    "random": "Random search",
    "bayesian": "Bayesian optimisation",
    "early-stopping": "Early stopping",
    "grid": "Grid search",
    "pod": "Pods with a GPU",
}


def create(request: Request) -> Response:
    words = request.query_params
    example, clone = words.get("example", ""), words.get("from", "")
    if clone:
        text = dump_study(context_of(request).client.get_study(clone).spec)
    elif example and example not in EXAMPLES:
        raise NotFoundError(f"there is no example of this name; there are {', '.join(EXAMPLES)}")
    else:
        text = example_text(example or "random")
    return render(
        request,
        "create.html",
        file=text,
        examples=EXAMPLES,
        example="" if clone else example or "random",
        clone=clone,
        # The same page sent twice creates one study.
        request_id=f"page-{secrets.token_hex(12)}",
    )


def example_text(name: str) -> str:
    return files("katib.dashboard").joinpath("examples", f"{name}.yaml").read_text()
