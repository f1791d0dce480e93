"""What is burned into an image: text, caliper marks, color, a second scan."""

from acsnet.curation._calipers import caliper_flags, drop_letters, find_crosses
from acsnet.curation._color import color_flags
from acsnet.curation._ink import find_strokes
from acsnet.curation._seam import split_screen_flags
from acsnet.curation._text import find_rows, text_flags
from acsnet.curation.findings import Flag
from acsnet.data.images import UInt8Array


def image_flags(image: UInt8Array) -> tuple[Flag, ...]:
    """Find text, calipers, color overlays and split screens in an image.

    Text is two characters or more in a row; one alone, such as the rest of a logo that was cropped away or the number
    of a caliper, is not counted. Color is anything colored in a gray image: Doppler, its frame, colored marks.

    Args:
        image: (H, W, 3) uint8, RGB, as :func:`acsnet.data.images.read_image` gives it.

    Returns:
        At most one flag of each of the kinds "text", "calipers", "color" and "split-screen", with the boxes of the
        rows of text, of the caliper marks, of the colored patches and of the seam.
    """
    strokes = find_strokes(image)
    crosses = find_crosses(strokes)
    # An X in a word is a cross too, and the number beside a caliper's cross would make a row with it.
    crosses = drop_letters(crosses, find_rows(strokes, [cross.box for cross in crosses]))
    rows = find_rows(strokes, [cross.box for cross in crosses])
    flags = text_flags(rows, image.shape[:2]) + caliper_flags(crosses)
    return (*flags, *color_flags(image), *split_screen_flags(image))
