"""Pages of the site that are made from files outside ``docs/``."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
#: Page of the site -> its file in the repository.
PAGES_FROM_FILES = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "networks/released.md": "checkpoints/README.md",
}
