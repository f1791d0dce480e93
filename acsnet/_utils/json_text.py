"""JSON of files that others may have written."""

import json
from typing import Any


def parse_json(text: str) -> Any:
    """Parse JSON; all mistakes are one kind of error.

    Raises:
        json.JSONDecodeError: if the text is not JSON, is nested thousands of levels deep, or has a number of thousands
            of digits.

    Example:
        >>> parse_json('{"dice": 0.75}')
        {'dice': 0.75}
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise json.JSONDecodeError("Too many levels", text, 0) from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        raise json.JSONDecodeError(str(error), text, 0) from error
