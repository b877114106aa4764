"""What the site needs beyond its pages: links to files of the repository, and the list of decisions.

On the repository's own pages ``../examples/registration.yaml`` leads to the file; on the site it leads to the repository.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"\]\((?P<target>(?:\.\./)+[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_page_markdown(markdown, *, page, config, files):
    """Lead to the repository where a link leaves the docs; a file that does not exist stays as it is, and fails the build."""

    def led(match):
        target = (Path(page.file.abs_src_path).parent / match["target"]).resolve()
        if target.is_relative_to(ROOT / "docs") or not target.exists():
            return match[0]
        kind = "tree" if target.is_dir() else "blob"
        return f"]({config.repo_url}/{kind}/main/{target.relative_to(ROOT).as_posix()}{match['anchor'] or ''})"

    return _LINK.sub(led, markdown)


def on_config(config):
    """Give the decisions their place in the navigation, in the order of their numbers."""
    names = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    for section in config.nav:
        for pages in section.values():
            for place, page in enumerate(pages):
                if page == {"Decisions": "decisions/"}:
                    pages[place] = {"Decisions": ["decisions/index.md", *(f"decisions/{name}" for name in names if name != "index.md")]}
    return config
