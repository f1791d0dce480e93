"""What is burnt into an image: text, calliper marks, colour, a second scan."""

from acsnet.curation._callipers import calliper_flags, drop_letters, find_crosses
from acsnet.curation._colour import colour_flags
from acsnet.curation._ink import find_strokes
from acsnet.curation._seam import split_screen_flags
from acsnet.curation._text import find_rows, text_flags
from acsnet.curation.findings import Flag
from acsnet.data.images import UInt8Array


def image_flags(image: UInt8Array) -> tuple[Flag, ...]:
    """Find text, callipers, colour overlays and split screens in an image.

    Text is two characters or more in a row; one alone, such as the rest of a logo that was cropped away or the number
    of a calliper, is not counted. Colour is anything coloured in a grey image: Doppler, its frame, coloured marks.

    Args:
        image: (H, W, 3) uint8, RGB, as :func:`acsnet.data.images.read_image` gives it.

    Returns:
        At most one flag of each of the kinds "text", "callipers", "colour" and "split-screen", with the boxes of the
        rows of text, of the calliper marks, of the coloured patches and of the seam.
    """
    strokes = find_strokes(image)
    crosses = find_crosses(strokes)
    # An X in a word is a cross too, and the number beside a calliper's cross would make a row with it.
    crosses = drop_letters(crosses, find_rows(strokes, [cross.box for cross in crosses]))
    rows = find_rows(strokes, [cross.box for cross in crosses])
    flags = text_flags(rows, image.shape[:2]) + calliper_flags(crosses)
    return (*flags, *colour_flags(image), *split_screen_flags(image))
