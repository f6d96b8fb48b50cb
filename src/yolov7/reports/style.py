"""How a report looks: colours by day and by night, the style sheet, and the little that moves."""

from __future__ import annotations

PALETTE: dict[str, tuple[str, str]] = {
    "ink": ("#1c2230", "#e8ebf1"),
    "muted": ("#5f6b7d", "#9aa5b6"),
    "line": ("#e3e7ed", "#2a3140"),
    "faint": ("#b9c2cf", "#4a5468"),
    "ground": ("#f5f6f9", "#0e1219"),
    "paper": ("#ffffff", "#161b25"),
    "blue": ("#3556d8", "#8ea6ff"),
    "orange": ("#d9560b", "#ff9f68"),
    "teal": ("#0b7f8f", "#55d0de"),
    "magenta": ("#b8246a", "#ff86b8"),
    "green": ("#4d8410", "#a8d964"),
    "violet": ("#7340d8", "#bda6ff"),
    "gold": ("#946000", "#ebbe55"),
    "brown": ("#8a4b3a", "#d9a494"),
}
"""Colour -> (on a light page, on a dark page). Drawings are made in the light ones."""

SERIES = ("blue", "orange", "teal", "magenta", "green", "violet", "gold", "brown")
"""Colours of lines, in the order of their use."""

LIGHT = {name: light for name, (light, _) in PALETTE.items()}
VARIABLES = {light: f"var(--{name})" for name, (light, _) in PALETTE.items()}
"""Light colour -> the page's variable that stands for it."""


def style_sheet() -> str:
    """The style sheet, with the colours in it."""
    light, dark = (";".join(f"--{name}:{pair[index]}" for name, pair in PALETTE.items()) for index in (0, 1))
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{_RULES}"
    )


_RULES = """
*, ::before, ::after { box-sizing: border-box }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
header, main, footer { max-width: 76rem; margin: 0 auto; padding: 0 clamp(1rem, 4vw, 2.5rem) }
header { padding-top: clamp(2rem, 6vw, 4rem) }
h1 { margin: 0; font-size: clamp(1.7rem, 1.1rem + 2.6vw, 2.9rem); line-height: 1.12;
  letter-spacing: -.025em; font-weight: 700; overflow-wrap: anywhere }
.over { margin: 0 0 .6rem; color: var(--blue); font-size: .8rem; font-weight: 650;
  letter-spacing: .09em; text-transform: uppercase }
.subtitle { margin: .7rem 0 0; color: var(--muted); font-size: 1.08rem; max-width: 48rem;
  overflow-wrap: anywhere }
nav { display: flex; flex-wrap: wrap; gap: .4rem; margin: 1.5rem 0 0 }
nav a { color: var(--ink); text-decoration: none; font-size: .88rem; padding: .3rem .8rem;
  border: 1px solid var(--line); border-radius: 99px; background: var(--paper) }
nav a:hover, nav a:focus-visible { border-color: var(--blue); color: var(--blue) }
section { margin: 3.2rem 0; scroll-margin-top: 1rem }
h2 { margin: 0; font-size: 1.5rem; letter-spacing: -.015em; line-height: 1.25 }
.lead { margin: .45rem 0 0; color: var(--muted); max-width: 48rem }
.grid { display: grid; gap: 1.1rem; margin-top: 1.2rem;
  align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)) }
.gallery { columns: 2 27rem; column-gap: 1.1rem; margin-top: 1.2rem }
.card { min-width: 0; margin: 0; background: var(--paper); border: 1px solid var(--line);
  border-radius: 14px; padding: 1.1rem }
.wide { grid-column: 1 / -1 }
.gallery > * { break-inside: avoid; margin-bottom: 1.1rem }
.gallery > .wide { column-span: all }
.tiles { display: flex; flex-wrap: wrap; gap: 1px; overflow: hidden; padding: 0; background: var(--line) }
.tile { flex: 1 0 9.2rem; background: var(--paper); padding: 1.1rem 1.2rem }
.tile dt { color: var(--muted); font-size: .84rem }
.tile dd:not(.note) { margin: .1rem 0 0; font-size: clamp(1.7rem, 1.3rem + 1.4vw, 2.4rem); font-weight: 680;
  letter-spacing: -.03em; line-height: 1.15; font-variant-numeric: tabular-nums }
.tile:first-child dd:not(.note) { color: var(--blue) }
.tile small { font-size: .5em; font-weight: 550; letter-spacing: 0; color: var(--muted); white-space: pre }
.tile .note { margin: .2rem 0 0; color: var(--muted); font-size: .82rem; line-height: 1.35 }
dl { margin: 0 }
.facts { display: grid; gap: 0 2rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)) }
.fact { display: flex; justify-content: space-between; gap: 1rem; padding: .38rem 0; font-size: .92rem;
  border-bottom: 1px solid var(--line) }
.fact dt { color: var(--muted); flex: none; max-width: 60% }
.fact dd { margin: 0; text-align: right; overflow-wrap: anywhere; font-variant-numeric: tabular-nums }
figcaption { margin-top: .7rem; color: var(--muted); font-size: .9rem; line-height: 1.45;
  overflow-wrap: anywhere; unicode-bidi: isolate }
figcaption strong, .lead strong { color: var(--ink); font-weight: 620 }
.picture { overflow-x: auto }
.picture img, .picture svg { display: block; width: 100%; height: auto; border-radius: 6px }
.picture svg { overflow: visible; stroke-linejoin: round }
.picture svg text { font-family: inherit !important }
.fine svg { min-width: 60rem }
[data-large] { cursor: zoom-in }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums }
.caption { margin: .7rem 0 0; color: var(--muted); font-size: .9rem; line-height: 1.45 }
.scroll { overflow: auto }
.tall { max-height: 36rem }
th { position: sticky; top: 0; background: var(--paper); color: var(--muted); font-weight: 600;
  font-size: .82rem; text-align: left; white-space: nowrap; box-shadow: inset 0 -1px var(--line) }
th, td { padding: .42rem .7rem; vertical-align: baseline }
th:first-child, td:first-child { padding-left: .1rem }
th:last-child, td:last-child { padding-right: .1rem }
td { max-width: 28rem; border-bottom: 1px solid var(--line); overflow-wrap: break-word;
  unicode-bidi: isolate }
td:last-child:not(.number, .bar) { min-width: 10rem }
tr:last-child td { border-bottom: 0 }
.number { text-align: right; white-space: nowrap }
.bar { width: 22%; min-width: 4rem }
.bar i { display: block; height: .5rem; border-radius: 3px; background: var(--line); overflow: hidden }
.bar i::before { content: ""; display: block; height: 100%; width: var(--w); border-radius: 3px;
  background: var(--blue) }
th button { all: unset; cursor: pointer }
th button:hover, th button:focus-visible { color: var(--blue); text-decoration: underline }
th[aria-sort] button::after { content: " \\2191" }
th[aria-sort=descending] button::after { content: " \\2193" }
.key { display: flex; flex-wrap: wrap; gap: .3rem 1.3rem; margin: 0 0 1.1rem; padding: 0; list-style: none;
  font-size: .9rem }
.key li { display: flex; align-items: center; gap: .5rem }
.key i { width: 1.5rem; height: 1rem; border: 3px solid var(--c); border-radius: 3px }
.key i.dashed { border-style: dashed }
dialog { border: 0; padding: 0; width: 100vw; height: 100vh; max-width: none; max-height: none;
  background: var(--paper); overflow: auto; cursor: zoom-out }
dialog::backdrop { background: var(--ground) }
dialog > * { display: block; margin: auto; width: auto; height: auto; min-width: 96vw; max-height: none }
dialog > svg, dialog > img { min-width: 0; width: min(100vw, max(100vh, 60rem)); padding: 1vmin }
dialog svg text { font-family: inherit !important }
footer { color: var(--muted); font-size: .85rem; padding-bottom: 3rem }
:focus-visible { outline: 2px solid var(--blue); outline-offset: 2px }
@media screen and (max-width: 40rem) { .bar { display: none } .card:not(.tiles) { padding: .9rem } }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto } }
@media print {
  @page { margin: 14mm }
  body { background: none; font-size: 10.5pt }
  header, main, footer { max-width: none; padding: 0 }
  nav, dialog { display: none }
  section { margin: 1.6rem 0 }
  .grid { display: block }
  .grid > * { margin-bottom: .7rem }
  .grid > :not(.wide) { display: inline-block; width: 49%; vertical-align: top }
  .gallery { columns: 2 }
  .card { break-inside: avoid; border-radius: 4px }
  .card:not(.tiles) { padding: .7rem }
  .tile { padding: .6rem .8rem }
  .card:has(tr:nth-child(24)) { break-inside: auto }
  h2, .lead { break-after: avoid }
  tr { break-inside: avoid }
  .scroll, .picture { overflow: visible; max-height: none }
  .fine svg { min-width: 0 }
  .picture img { width: auto; max-width: 100%; max-height: 215mm; margin: auto }
  table { font-size: 8.5pt }
  th { position: static }
  th, td { padding-block: .14rem }
  .bar i, .tiles { print-color-adjust: exact; -webkit-print-color-adjust: exact }
}
"""

SCRIPT = """
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    if (!head.textContent) return;
    const button = document.createElement("button");
    button.append(...head.childNodes);
    button.title = "sort";
    head.append(button);
    button.onclick = () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = row => row.cells[column].dataset.value;
      const rows = [...body.rows].sort((a, b) => {
        const x = key(a), y = key(b);
        if (x === undefined || y === undefined)
          return a.cells[column].textContent.localeCompare(b.cells[column].textContent) * (down ? 1 : -1);
        if (x === "" || y === "") return (x === "") - (y === "");
        return (x - y) * (down ? -1 : 1);
      });
      body.append(...rows);
    };
  });
}
const large = document.createElement("dialog");
large.setAttribute("aria-label", "picture");
large.onclick = () => large.close();
document.body.append(large);
for (const picture of document.querySelectorAll(".picture > *")) {
  const open = () => { large.replaceChildren(picture.cloneNode(true)); large.showModal(); };
  picture.dataset.large = "";
  picture.setAttribute("tabindex", "0");
  picture.onclick = open;
  picture.onkeydown = event => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); }
  };
}
"""
