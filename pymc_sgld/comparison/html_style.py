"""How the HTML report looks. Words go with the colours, for those who do not see them."""

STYLE = """
:root { --ink: #1d2433; --soft: #5b6577; --line: #dfe3ea; --paper: #ffffff; --ground: #f5f6f9;
  --close: #dcf3e3; --close-ink: #14633a; --unsure: #fdf1cf; --unsure-ink: #7a5200;
  --off: #fbdcdc; --off-ink: #9b1c1c; --reference: #e3e9f7; --reference-ink: #27407f; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: var(--ground);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
header { background: var(--paper); border-bottom: 1px solid var(--line);
  padding: 2rem 1.5rem 1rem; }
header > *, main > * { max-width: 70rem; margin-left: auto; margin-right: auto; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 auto .4rem; }
header p { color: var(--soft); margin-top: 0; }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1rem; font-size: .87rem; }
nav a { color: var(--reference-ink); text-decoration: none; }
nav a:hover { text-decoration: underline; }
main { padding: 1rem 1.5rem 3rem; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: .6rem;
  padding: .4rem 1.4rem 1.2rem; margin-top: 1.2rem; }
h2 { font-size: 1.25rem; margin: .9rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: .8rem; }
.card { border-radius: .5rem; padding: .7rem 1rem .5rem; }
.card h3 { margin: 0 .5rem .3rem 0; display: inline-block; overflow-wrap: anywhere; }
.card p { margin: .2rem 0; font-size: .87rem; }
.pill { display: inline-block; border: 1px solid currentColor; border-radius: 1rem;
  padding: 0 .6rem; font-size: .8rem; font-weight: 600; }
.close { background: var(--close); color: var(--close-ink); }
.unsure { background: var(--unsure); color: var(--unsure-ink); }
.off { background: var(--off); color: var(--off-ink); }
.reference { background: var(--reference); color: var(--reference-ink); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .89rem; font-variant-numeric: tabular-nums;
  width: 100%; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; }
tbody th { text-align: left; font-weight: 500; }
thead th:first-child { text-align: left; }
thead th { border-bottom: 2px solid var(--line); color: var(--soft); font-weight: 600; }
td small { display: block; opacity: .75; font-size: .75rem; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: minmax(11rem, 17rem) 1fr; gap: .35rem 1.2rem;
  font-size: .89rem; }
dt { font-weight: 600; } dd { margin: 0; color: var(--soft); }
figure { margin: 0 0 1.6rem; }
img { max-width: 100%; height: auto; display: block; margin: 0 auto; }
figcaption { color: var(--soft); font-size: .89rem; margin-top: .6rem; }
details { border-top: 1px solid var(--line); padding: .4rem 0; }
summary { cursor: pointer; font-weight: 600; }
li { margin: .25rem 0; overflow-wrap: anywhere; }
.alarm { color: var(--off-ink); }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .5rem; } }
@media print { body { background: none; } section { break-inside: avoid; border: none; } }
"""
