"""How the page looks, on a screen and on paper, and what is around its sections."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><h1>{title}</h1><p class="lead">{lead}</p></header>
<nav aria-label="Contents"><h2>Contents</h2><ul>{contents}</ul></nav>
<main>
{main}
</main>
<footer><p>{footer}</p></footer>
</body>
</html>
"""

STYLE = """
:root { color-scheme: light; --ink: #1f2933; --faint: #566270; --line: #dfe3e8; --accent: #1f5f99; }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 64rem; color: var(--ink); background: #fff;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  overflow-wrap: break-word; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.01em; }
h2 { font-size: 1.4rem; margin: 3.2rem 0 .8rem; padding-top: 1.2rem; border-top: 2px solid var(--ink); }
h3 { font-size: 1.12rem; margin: 2.2rem 0 .4rem; }
h4 { font-size: .95rem; margin: 1.1rem 0 .2rem; }
h4 span { font-weight: normal; color: var(--faint); }
p { margin: .5rem 0; max-width: 47rem; }
a { color: var(--accent); }
.lead { font-size: 1.08rem; color: var(--faint); }
.source, .note { font-size: .87rem; color: var(--faint); }
.caveat { font-size: .92rem; padding: .45rem .8rem; background: #fdf6e7; border-left: 3px solid #d99a1c; }
.verdict { padding: .6rem .9rem; background: #eef4fa; border-left: 3px solid var(--accent); }
details { margin: .6rem 0; }
summary { cursor: pointer; font-size: .95rem; font-weight: 600; color: var(--accent); }
summary > span { font-weight: normal; color: var(--faint); }
summary > h2, summary > h3 { display: inline; margin: 0; padding: 0; border: 0; font-size: 1.12rem; color: var(--ink); }
.section { border-top: 1px solid var(--line); padding-top: .7rem; margin: 1rem 0 0; }
.section.level-2 > summary > h2 { font-size: 1.25rem; }
nav { margin: 1.4rem 0 0; padding: .2rem 1.1rem .8rem; background: #f5f7fa; font-size: .9rem; }
nav h2 { font-size: .95rem; margin: .7rem 0 .2rem; padding: 0; border: 0; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav li li { display: inline; color: var(--faint); }
nav li li:not(:last-child)::after { content: " · "; }
nav li li a { text-decoration: none; }
nav > ul > li { margin: .35rem 0 0; }
nav > ul > li > a { font-weight: 600; text-decoration: none; }
dl { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: .3rem 1.1rem; font-size: .92rem;
  margin: .6rem 0; }
dt { font-weight: 600; } dd { margin: 0; max-width: 44rem; }
.card { border: 1px solid var(--line); border-radius: 4px; padding: .2rem 1.2rem .8rem; margin: .8rem 0 1.4rem; }
.bullets { margin: .4rem 0; padding-left: 1.3rem; font-size: .95rem; max-width: 47rem; }
.table { overflow-x: auto; margin: .7rem 0 1rem; }
table { border-collapse: collapse; font-size: .88rem; line-height: 1.4; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-size: .92rem; padding: 0 0 .3rem; }
caption span { display: block; max-width: min(47rem, calc(100vw - 3rem)); }
th { text-align: left; font-weight: 600; color: var(--faint); vertical-align: bottom; }
tbody th { vertical-align: top; font-weight: normal; }
th, td { padding: .28rem .8rem .28rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; }
thead tr:last-child th { border-bottom: 1px solid var(--ink); }
.span th { border: 0; padding-bottom: 0; text-align: center; }
.n { text-align: right; white-space: nowrap; } th.n { white-space: normal; }
.part { white-space: nowrap; }
.id { overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; display: block; }
figure { margin: 0; break-inside: avoid; } figure + figure { margin-top: 1.4rem; }
.row > figure + figure, .figures > figure + figure, .pictures > figure + figure { margin-top: 0; }
.row > figure { max-width: 20rem; }
figcaption { font-size: .88rem; line-height: 1.4; color: var(--faint); max-width: 44rem; }
figcaption b { color: var(--ink); }
.row { display: flex; flex-wrap: wrap; gap: .8rem 1.8rem; align-items: flex-start; margin: .8rem 0; }
.row > .table { flex: 0 1 auto; margin: 0; }
.figures { display: flex; flex-wrap: wrap; gap: 1.2rem 2rem; margin: .8rem 0; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(11.4rem, 1fr)); gap: 1.2rem 1rem;
  margin: .9rem 0; }
.pictures figcaption { font-size: .82rem; }
.pictures img { margin: 0 auto; }
.importance { margin: 1rem 0 1.6rem; break-inside: avoid; }
.importance ol { columns: 20rem; column-gap: 2rem; font-size: .82rem; margin: .4rem 0; padding-left: 1.8rem; }
.figures { align-items: flex-start; } .figures > img { flex: 0 1 auto; }
.large { overflow-x: auto; } .large img { min-width: 34rem; }
code, pre { font: .95em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { font-size: .82rem; line-height: 1.45; background: #f5f7fa; padding: .8rem 1rem; overflow-x: auto;
  white-space: pre-wrap; overflow-wrap: anywhere; }
footer { margin-top: 3rem; border-top: 2px solid var(--ink); font-size: .87rem; color: var(--faint); }
@media (max-width: 44rem) {
  body { padding: 1.2rem 1rem 3rem; } h1 { font-size: 1.5rem; overflow-wrap: anywhere; } h2 { margin-top: 2rem; }
  dl { display: block; } dd { margin: 0 0 .4rem; } .card { padding: .1rem .7rem .6rem; }
  table { font-size: .82rem; } th, td { padding-right: .6rem; } .table td:not(.n) { min-width: 5.5rem; }
  nav li ul { display: none; } .figures { gap: .8rem; } .pictures { grid-template-columns: repeat(2, 1fr); }
}
@page { margin: 16mm 14mm; }
@media print {
  body { max-width: none; padding: 0; font-size: 9.5pt; }
  .table { overflow: visible; } table { font-size: 8pt; } th, td { padding-right: .6rem; }
  .importance ol { columns: 14rem; } .pictures { grid-template-columns: repeat(4, 1fr); }
  h2 { border: 0; } [id^="study-"] > h2, #making > h2 { break-before: page; } h2, h3, h4 { break-after: avoid; }
  tr, .caveat, .verdict, img, .card dd { break-inside: avoid; } a { color: inherit; text-decoration: none; }
  details::details-content { content-visibility: visible; block-size: auto; } summary { list-style: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
