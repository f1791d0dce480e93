"""Content of the report of curation, parsed from its HTML."""

from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acsnet._utils.files import DiskFullError
from acsnet.curation.findings import FLAG_DESCRIPTIONS, Conflict, CurationFlag, Findings, ImagePair, Relation
from acsnet.curation.report.page import write_report
from acsnet.data import Record, read_busi

VOID = {"meta", "img", "input", "br", "link", "hr"}


class Node:
    """An element of a page."""

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.children: list[Node | str] = []

    def all(self, tag: str = "", of_class: str = "") -> "list[Node]":
        """Return the descendants with this tag and this class, in the order of the page."""
        found = []
        for child in self.children:
            if isinstance(child, Node):
                fits = tag in ("", child.tag) and (
                    not of_class or of_class in child.attributes.get("class", "").split()
                )
                found += [child] * fits + child.all(tag, of_class)
        return found

    def at(self, identity: str) -> "Node":
        """Return the descendant with this id."""
        (found,) = [node for node in self.all() if node.attributes.get("id") == identity]
        return found

    @property
    def text(self) -> str:
        """The text of the element, with single spaces."""
        return " ".join(" ".join(child.text if isinstance(child, Node) else child for child in self.children).split())


class Page(HTMLParser):
    """A parser that builds the tree of a page and checks that it is well-formed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root = Node("page", {})
        self.open = [self.root]
        self.feed(text)
        self.close()
        assert self.open == [self.root], f"not closed: {[node.tag for node in self.open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {key: value or "" for key, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def pair(
    first: int, second: int, relation: Relation = "copy", conflicts: tuple[Conflict, ...] = (), **changes: object
) -> ImagePair:
    unchanged = ImagePair(first, second, relation, 0.912, 0.987, (1.0, 0.83), False, np.eye(2, 3), 0.456, conflicts)
    return replace(unchanged, **changes)  # type: ignore[arg-type]


def make_findings(records: list[Record], *pairs: ImagePair, **changes: object) -> Findings:
    """Make findings of images of 64x64 pixels without flags; the sets of copies follow from the pairs."""
    copies = list(range(len(records)))
    for related in pairs:
        if related.relation != "overlap":
            first, second = copies[related.first], copies[related.second]
            copies = [first if number == second else number for number in copies]
    histograms = np.full((len(records), 256), 1 / 256)
    findings = Findings(
        records=tuple(replace(record, group=f"busi/{copy}") for record, copy in zip(records, copies, strict=True)),
        sizes=((64, 64),) * len(records),
        copy_sets=tuple(copies),
        flags=((),) * len(records),
        histograms=histograms,
        pairs=pairs,
        policy="one of each set of copies",
        kept=tuple(copy == index for index, copy in enumerate(copies)),
        leak={0.2: 0.187},
    )
    return replace(findings, **changes)  # type: ignore[arg-type]


def report(findings: Findings, folder: Path) -> Node:
    write_report(folder / "report.html", findings, progress=False)
    return Page((folder / "report.html").read_text(encoding="utf-8")).root


@pytest.fixture(scope="session")
def phantoms(phantom_root: Path) -> list[Record]:
    """Return the records of 14 benign, 12 malignant and 10 normal images, in this order."""
    return read_busi(phantom_root)


@pytest.fixture(scope="session")
def everything(phantoms: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Node:
    """Return the page of findings of all kinds; tests must not change it."""
    flags: list[tuple[CurationFlag, ...]] = [()] * len(phantoms)
    flags[0] = (CurationFlag("text", "LT 3", ((2, 3, 20, 10),)), CurationFlag("calipers", "2 marks"))
    flags[9] = (CurationFlag("text", "RT 1"),)
    findings = make_findings(
        phantoms,
        pair(0, 1, "identical"),
        pair(2, 3),
        pair(2, 14, conflicts=("class", "mask"), mirrored=True),
        pair(3, 14, conflicts=("class",)),
        pair(4, 5, conflicts=("mask",)),
        pair(6, 7, "overlap"),
        pair(7, 8, "overlap"),
        flags=tuple(flags),
    )
    return report(findings, tmp_path_factory.mktemp("report"))


def names(node: Node) -> list[str]:
    return [name.text for name in node.all("span", "name")]


def test_tiles_of_the_header(everything: Node) -> None:
    tiles = {tile.all("span", "what")[0].text: tile for tile in everything.at("summary").all("li")}
    values = {title: tile.all("strong")[0].text for title, tile in tiles.items()}
    assert values == {
        "images": "36",
        "of test images leak": "18.7 %",
        "surplus copies": "4",
        "pairs in conflict": "3",
        "groups": "32",
        "overlaps": "2",
        "images flagged": "2",
        "images kept": "32",
    }
    assert "class: 2, mask: 2" in tiles["pairs in conflict"].text
    assert "in 3 sets of copies" in tiles["surplus copies"].text
    assert "4 dropped; policy: one of each set of copies" in tiles["images kept"].text
    assert "under a plain random 80/20 split" in tiles["of test images leak"].text
    assert everything.all("h1")[0].text == "busi"


def test_classes_are_counted_before_and_after(everything: Node) -> None:
    rows = [[cell.text for cell in row.all() if cell.tag in ("th", "td")] for row in everything.at("classes").all("tr")]
    assert rows[1:] == [
        ["benign", "14", "38.9 %", "11", "3", "34.4 %"],
        ["malignant", "12", "33.3 %", "11", "1", "34.4 %"],
        ["normal", "10", "27.8 %", "10", "0", "31.2 %"],
        ["all", "36", "100.0 %", "32", "4", "100.0 %"],
    ]


def test_sizes_are_listed_by_class(everything: Node) -> None:
    rows = [[cell.text for cell in row.all() if cell.tag in ("th", "td")] for row in everything.at("sizes").all("tr")]
    assert rows[1] == ["benign", "14", "64 to 64, median 64", "64 to 64, median 64", "1"]


def test_conflicts_come_first_and_class_conflicts_before_mask_conflicts(everything: Node) -> None:
    sections = [
        section.attributes["id"]
        for section in everything.all("section")
        if "filtered" in section.attributes.get("class", "")
    ]
    assert sections[:3] == ["conflicts", "copies", "overlaps"]
    cases = everything.at("conflicts").all("article")
    assert [case.attributes["data-conflicts"] for case in cases] == ["class mask", "mask"]
    assert names(cases[0])[:3] == ["benign/benign (3).png", "benign/benign (4).png", "malignant/malignant (1).png"]
    assert names(cases[1])[:2] == ["benign/benign (5).png", "benign/benign (6).png"]
    assert not everything.at("copies").all("strong", "conflict")


def test_conflicts_are_named_at_the_case_and_at_each_pair(everything: Node) -> None:
    case = everything.at("conflicts-1")
    assert [word.text for word in case.all("h3")[0].all("strong")] == ["Conflict: class", "Conflict: mask"]
    words = [[word.text for word in compared.all("strong", "conflict")] for compared in case.all("div", "pair")]
    assert words == [["Conflict: class", "Conflict: mask"], ["Conflict: class"], []], "pairs in conflict come first"


def test_all_sets_and_pairs_are_shown(everything: Node) -> None:
    assert [case.attributes["data-relations"] for case in everything.all("article")] == [
        "copy", "copy", "identical", "overlap",
    ]  # fmt: skip
    assert names(everything.at("overlaps-1"))[:3] == [f"benign/benign ({number}).png" for number in (7, 8, 9)]
    assert len(everything.all("div", "pair")) == 7


def test_a_pair_lists_its_metrics(everything: Node) -> None:
    compared = everything.at("conflicts-1").all("div", "pair")[0]
    metrics = {entry.all("dt")[0].text: entry.all("dd")[0].text for entry in compared.all("dl")[0].all("div")}
    assert metrics == {"SSIM": "0.912", "aligned SSIM": "0.987", "overlap": "100 % / 83 %", "mask Dice": "0.456"}
    assert [word.text for word in compared.all("span", "relation")] == ["copy", "mirrored"]
    alone = everything.at("copies-1").all("div", "pair")[0]
    assert [word.text for word in alone.all("span", "relation")] == ["identical", "not mirrored"]


def test_an_image_has_a_caption(everything: Node) -> None:
    first, second = everything.at("copies-1").all("figure", "image")
    assert first.text == "benign/benign (1).png benign 64 × 64 kept text LT 3 calipers 2 marks"  # noqa: RUF001
    assert second.text == "benign/benign (2).png benign 64 × 64 dropped"  # noqa: RUF001


def test_all_pictures_are_embedded_and_have_alternative_text(everything: Node) -> None:
    pictures = everything.all("img")
    # 3 plots, 10 images and 7 pairs of cases, 3 flags.
    assert len(pictures) == 3 + 10 + 2 * 7 + 3
    assert all(picture.attributes["alt"] for picture in pictures)
    kinds = Counter(picture.attributes["src"].partition(";base64,")[0] for picture in pictures)
    assert kinds == {"data:image/svg+xml": 3, "data:image/jpeg": 27}


def test_nothing_is_loaded_from_elsewhere(everything: Node) -> None:
    addresses = [
        value
        for node in everything.all()
        for key, value in node.attributes.items()
        if key in ("src", "href", "srcset", "action", "data", "poster")
    ]
    assert len(addresses) > 30
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not everything.all("link")
    style = everything.all("style")[0].text
    assert "color" in style
    assert "url(" not in style
    assert "@import" not in style
    assert not any(word in everything.all("script")[0].text for word in ("http", "fetch", "import"))


def test_links_have_targets_and_ids_are_unique(everything: Node) -> None:
    identities = Counter(node.attributes["id"] for node in everything.all() if "id" in node.attributes)
    assert set(identities.values()) == {1}
    links = [link.attributes["href"] for link in everything.all("a")]
    assert len(links) > 15
    assert not {link.removeprefix("#") for link in links} - set(identities)


def test_flags_are_counted_and_shown(everything: Node) -> None:
    rows = {row.all("th")[0].text: row.all("td")[0].text for row in everything.at("flags").all("tr")[1:]}
    assert rows == dict.fromkeys(FLAG_DESCRIPTIONS, "0") | {"text": "2", "calipers": "1"}
    sections = {section.all("h3")[0].text: section for section in everything.all("section", "flag")}
    assert list(sections) == ["text 2", "calipers 1"]
    assert names(sections["text 2"]) == ["benign/benign (1).png", "benign/benign (10).png"]
    assert "calipers" not in sections["text 2"].text
    assert sections["text 2"].all("p", "lead")[0].text == FLAG_DESCRIPTIONS["text"]


def test_boxes_are_drawn(phantoms: list[Record], tmp_path: Path) -> None:
    def picture(*boxes: tuple[int, int, int, int]) -> str:
        page = report(make_findings(phantoms[:1], flags=((CurationFlag("text", "", boxes),),)), tmp_path)
        return page.all("section", "flag")[0].all("img")[0].attributes["src"]

    assert picture() != picture((2, 3, 20, 10)) != picture((2, 3, 20, 30))


def test_filters_are_hidden_until_the_script_runs_and_offer_every_class(everything: Node) -> None:
    form = everything.at("filters")
    assert "hidden" in form.attributes
    offered = {
        select.attributes["name"]: [option.text for option in select.all("option")] for select in form.all("select")
    }
    assert offered["label"] == ["all", "benign", "malignant", "normal"]
    assert offered["relation"] == ["all", "identical", "copy", "overlap"]
    assert len(form.all("label")) == 4


def test_empty_sections_say_so(phantoms: list[Record], tmp_path: Path) -> None:
    page = report(make_findings(phantoms[:3], leak={}), tmp_path)
    assert [line.text for line in page.all("p", "nothing")] == [
        "No two images of the same scan disagree in class or mask.",
        "No image has a copy that agrees with it.",
        "No two images that agree show overlapping areas of the same scan.",
        "No image has a flag.",
    ]
    assert not page.all("article")
    assert "leak" not in page.at("summary").text


def test_names_are_escaped(phantom_root: Path, tmp_path: Path) -> None:
    wild = "<b>x&y.png"
    image = tmp_path / "x.png"
    Image.new("L", (30, 20), 90).save(image)
    record = Record(image, (), '<i>"a"', wild, dataset="<script>alert(1)</script>")
    twin = replace(record, name="$x'y\".png")
    flags = (CurationFlag("text", "</figcaption><u>", ((1, 1, 5, 5),)),)
    page = report(make_findings([record, twin], pair(0, 1), flags=(flags, flags), policy="<p>"), tmp_path)
    assert not [node for tag in ("b", "i", "u") for node in page.all(tag) if "x&y" in node.text or node.text == "a"]
    assert names(page.at("copies-1"))[:2] == [wild, "$x'y\".png"]
    assert page.all("h1")[0].text == "<script>alert(1)</script>"
    assert len(page.all("script")) == 1
    assert "</figcaption><u>" in page.at("copies-1").text
    words = [picture.attributes["alt"] for picture in page.at("copies-1").all("img")]
    assert words[:2] == [f'{name}, <i>"a", with the outline of its mask' for name in (wild, "$x'y\".png")]
    assert page.at("copies-1").all("img")[0].attributes.keys() == {
        "src",
        "width",
        "height",
        "alt",
        "loading",
        "decoding",
    }


def test_an_unreadable_image_is_listed_without_a_picture(phantoms: list[Record], tmp_path: Path) -> None:
    histograms = np.full((3, 256), 1 / 256)
    histograms[1] = 0
    findings = make_findings(
        phantoms[:3],
        pair(0, 1),
        sizes=((64, 64), None, (64, 64)),
        flags=((), (CurationFlag("unreadable", "truncated"),), ()),
        histograms=histograms,
    )
    page = report(findings, tmp_path)
    _, broken = page.at("copies-1").all("figure", "image")
    assert not broken.all("img")
    assert (
        broken.text == "no picture benign/benign (2).png benign dropped The image cannot be read. unreadable truncated"
    )
    assert "one of them cannot be read" in page.at("copies-1").all("div", "pair")[0].text
    assert "1 cannot be read" in page.at("summary").text
    assert page.at("flag-1").all("div", "missing")


def test_a_missing_file_is_listed_without_a_picture(phantoms: list[Record], tmp_path: Path) -> None:
    missing = replace(phantoms[0], image=tmp_path / "missing.png")
    page = report(make_findings([missing, phantoms[1]], pair(0, 1)), tmp_path)
    first, second = page.at("copies-1").all("figure", "image")
    assert "The image cannot be read." in first.text
    assert second.all("img")


def test_unknown_values_are_dashes(phantoms: list[Record], tmp_path: Path) -> None:
    nothing = float("nan")
    unknown = pair(
        0,
        1,
        ssim=nothing,
        aligned_ssim=nothing,
        overlap=(nothing, 1.0),
        mask_dice=None,
        transform=np.full((2, 3), nothing),
    )
    histograms = np.full((2, 256), nothing)
    page = report(make_findings(phantoms[:2], unknown, leak={0.2: nothing}, histograms=histograms), tmp_path)
    compared = page.at("copies-1").all("div", "pair")[0]
    assert [value.text for value in compared.all("dd")] == ["–", "–", "– / 100 %", "–"]  # noqa: RUF001
    assert page.at("summary").all("li")[1].all("strong")[0].text == "–"  # noqa: RUF001
    assert "nan" not in page.at("content").text.lower()


def test_datasets_of_one_class_without_kept_images_have_a_page(phantoms: list[Record], tmp_path: Path) -> None:
    page = report(
        make_findings(phantoms[:2], kept=(False, False), sizes=(None, None), histograms=np.zeros((2, 256))), tmp_path
    )
    rows = [[cell.text for cell in row.all("td")] for row in page.at("classes").all("tr")[1:]]
    assert rows == [["2", "100.0 %", "0", "2", "–"]] * 2  # noqa: RUF001
    for section in ("sizes", "intensities"):
        assert page.at(section).all("p", "nothing")[0].text == "No image can be read."
        assert not page.at(section).all("img")


def test_leaks_of_several_splits_are_a_table(phantoms: list[Record], tmp_path: Path) -> None:
    page = report(make_findings(phantoms[:2], leak={0.5: 0.1, 0.1: 0.25, 0.2: 0.2}), tmp_path)
    assert page.at("summary").all("li")[1].all("strong")[0].text == "20.0 %"
    rows = [[row.all("th")[0].text, row.all("td")[0].text] for row in page.at("summary").all("tr")[1:]]
    assert rows == [["90/10", "25.0 %"], ["80/20", "20.0 %"], ["50/50", "10.0 %"]]


def test_names_include_the_dataset_if_there_are_several(phantoms: list[Record], tmp_path: Path) -> None:
    page = report(make_findings([phantoms[0], replace(phantoms[0], dataset="other")], pair(0, 1)), tmp_path)
    assert names(page.at("copies-1"))[:2] == ["busi/benign/benign (1).png", "other/benign/benign (1).png"]
    assert page.all("h1")[0].text == "busi, other"


def test_long_sections_are_shortened_and_say_so(
    phantoms: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acsnet.curation.report.page.MAX_CASES_PER_SECTION", 2)
    monkeypatch.setattr("acsnet.curation.report.view_models.MAX_IMAGES_PER_FLAG", 3)
    pairs = [pair(index, index + 1, conflicts=("mask",) if index == 8 else ()) for index in range(0, 10, 2)]
    flags = tuple((CurationFlag("text"),) if index < 5 else () for index in range(12))
    page = report(make_findings(phantoms[:12], *pairs, flags=flags), tmp_path)
    assert [len(page.at(section).all("article")) for section in ("conflicts", "copies")] == [1, 2]
    assert page.at("copies").all("p", "cut")[0].text == "Showing 2 of 4; all are in pairs.csv."
    assert not page.at("conflicts").all("p", "cut")
    flag = page.all("section", "flag")[0]
    assert names(flag) == [f"benign/benign ({number}).png" for number in (1, 2, 3)]
    assert "Showing 3 of 5; all are in records.csv." in flag.text
    assert [note.text for note in page.all("nav")[0].all("span", "note")] == ["1", "4", "0", "5"]


def test_large_cases_are_shortened_but_not_their_conflicts(
    phantoms: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acsnet.curation.report.view_models.MAX_IMAGES_PER_CASE", 3)
    monkeypatch.setattr("acsnet.curation.report.view_models.MAX_PAIRS_PER_CASE", 2)
    pairs = [pair(0, other, conflicts=("class",) if other == 5 else ()) for other in range(1, 6)]
    case = report(make_findings(phantoms[:6], *pairs), tmp_path).at("conflicts-1")
    assert names(case)[:3] == [f"benign/benign ({number}).png" for number in (1, 2, 6)]
    assert [cut.text for cut in case.all("p", "cut")] == [
        "Showing 3 of 6 images of this set; all are in records.csv.",
        "Showing 2 of 5 pairs of this set; all are in pairs.csv.",
    ]
    assert [bool(compared.all("strong", "conflict")) for compared in case.all("div", "pair")] == [True, False]


def test_a_flag_without_description_is_shown_last(phantoms: list[Record], tmp_path: Path) -> None:
    page = report(
        make_findings(phantoms[:2], flags=((CurationFlag("blurred", "very"),), (CurationFlag("text"),))), tmp_path
    )
    assert [section.all("h3")[0].text for section in page.all("section", "flag")] == ["text 1", "blurred 1"]


def test_a_failed_write_leaves_the_existing_page(
    phantoms: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "report.html"
    write_report(path, make_findings(phantoms[:2]), progress=False)
    before = path.read_text(encoding="utf-8")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("acsnet._utils.files._sync", full)
    with pytest.raises(DiskFullError, match=r"report\.html could not be written: the disk is full"):
        write_report(path, make_findings(phantoms[:3]), progress=False)
    assert path.read_text(encoding="utf-8") == before
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
