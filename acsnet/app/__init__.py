"""The web page: images in, outline, probabilities, uncertainty, heat map and sizes of lesions out."""

from acsnet._utils.extras import require_extra

require_extra("app", "the web page")

from acsnet.app.networks import Networks
from acsnet.app.server import PageServer

__all__ = ["Networks", "PageServer"]
