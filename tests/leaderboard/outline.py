"""What every page must be: read back as a browser would, and checked."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

from leaderboard.pages import page

VOID = {"meta", "br", "link", "img", "hr", "input", "wbr"}
LOCAL = re.compile(r"#[a-z0-9_~-]+|[a-z0-9_~.-]+\.(html(#[a-z0-9_~-]+)?|csv|parquet|xml|bib)")
ABROAD = re.compile(r"https?://[^\s\"'<>]+")
SCRIPT = (Path(page.__file__).parent / "templates" / "site.js").read_text()
HASH = "sha256-" + base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()


class Outline(HTMLParser):
    """Checks that tags nest, and keeps each table as rows of (tag, attributes, text)."""

    def __init__(self, html):
        super().__init__()
        self.stack, self.tables, self.tags, self.text = [], [], [], []
        self.script, self.cell = "", None
        self.feed(html)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)
        if tag == "table":
            self.tables.append({"caption": "", "rows": []})
        elif tag == "tr":
            assert self.stack[-2] in ("thead", "tbody")
            self.tables[-1]["rows"].append([])
        elif tag in ("td", "th"):
            self.cell = [tag, dict(attrs), ""]
            self.tables[-1]["rows"][-1].append(self.cell)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag
        if tag in ("td", "th"):
            self.cell = None

    def handle_data(self, data):
        if "script" in self.stack:
            self.script += data
        self.text.append(data)
        if "style" in self.stack or "script" in self.stack:
            return
        if "caption" in self.stack:
            self.tables[-1]["caption"] += data
        if self.cell:
            self.cell[2] += data


def check(html):
    """Well-formed, real tables, no script but ours, nothing loaded from anywhere."""
    outline = Outline(html)
    for found in outline.tables:
        assert found["caption"].strip()
        widths = {sum(int(a.get("colspan", 1)) for _, a, _ in row) for row in found["rows"]}
        assert len(widths) == 1
        assert all(a["scope"] == "col" for tag, a, _ in found["rows"][0] if tag == "th")
        for row in found["rows"][1:]:
            assert sum(tag == "th" for tag, _, _ in row) == 1
            assert all(a["scope"] in ("row", "rowgroup") for tag, a, _ in row if tag == "th")
    identifiers = [a["id"] for _, a in outline.tags if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    for tag, attributes in outline.tags:
        assert tag not in ("img", "iframe", "object", "form", "base")
        assert tag != "link" or attributes["rel"] == "alternate"
        assert tag != "script" or attributes == {}
        assert not any(name.startswith("on") for name in attributes)
        assert "src" not in attributes
        if "href" in attributes:
            known = LOCAL if attributes.get("rel") != "noreferrer" else ABROAD
            assert known.fullmatch(attributes["href"]), attributes["href"]
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in identifiers
    assert sum(tag == "script" for tag, _ in outline.tags) == 1
    assert outline.script == SCRIPT
    assert f"script-src '{HASH}'" in html
    return outline
