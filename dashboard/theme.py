"""The look that Streamlit's own theme does not give: one sheet, with the palette as variables."""

from __future__ import annotations

from dashboard.palette import Palette

_SHEET = """
[data-testid="stMainBlockContainer"] { padding: 3.6rem 2rem 3rem; max-width: 1240px; }
[data-stale="true"] { opacity: 1 !important; transition: none !important; }
[data-testid="stElementContainer"]:has(> [data-testid="stHtml"] style) { display: none; }
[data-testid="stHeader"] > div { max-width: 1240px; margin: 0 auto; padding-left: 1.35rem; padding-right: 1.35rem; }
[data-testid="stButtonGroup"] button[kind*="Active"], [data-testid="stButtonGroup"] button[aria-checked="true"] { color: var(--dl-text) !important; font-weight: 600; }
.dl-head { display: flex; flex-wrap: wrap; gap: .15rem 1.4rem; align-items: baseline; font-size: .93rem; color: var(--dl-faint);
  border-bottom: 1px solid var(--dl-grid); padding: .1rem 0 .6rem; }
.dl-head b { color: var(--dl-text); font-weight: 600; }
.dl-head .dl-name { font-size: 1.05rem; }
.dl-state { font-weight: 600; white-space: nowrap; }
.dl-state::before { content: ""; display: inline-block; width: .62rem; height: .62rem; margin-right: .42rem; background: currentColor; border-radius: 50%; }
.dl-state.dl-watch::before { border-radius: 2px; transform: rotate(45deg) scale(.9); }
.dl-state.dl-alarm::before { border-radius: 0; clip-path: polygon(50% 0, 100% 100%, 0 100%); }
.dl-state.dl-empty::before { background: none; border: 2px solid currentColor; width: .45rem; height: .45rem; }
.dl-quiet { color: var(--dl-quiet); } .dl-watch { color: var(--dl-watch); } .dl-alarm { color: var(--dl-alarm); } .dl-empty { color: var(--dl-faint); }
.dl-sentence { font-size: 1.65rem; line-height: 1.28; font-weight: 500; letter-spacing: -.01em; color: var(--dl-text); margin: .5rem 0 .1rem; text-wrap: pretty; max-width: 62rem; }
.dl-note { color: var(--dl-faint); font-size: .93rem; margin: 0; }
.dl-title { font-weight: 600; font-size: 1.02rem; color: var(--dl-text); margin: 1rem 0 0; }
.dl-title span { font-weight: 400; color: var(--dl-faint); font-size: .93rem; margin-left: .5rem; }
.dl-box { border: 1px solid var(--dl-grid); border-left: 4px solid var(--dl-side, var(--dl-grid)); border-radius: 8px; padding: .75rem 1rem; margin: .3rem 0; color: var(--dl-text); }
.dl-box h4 { margin: 0 0 .2rem; padding: 0; font-size: 1.02rem; font-weight: 600; }
.dl-box p { margin: .15rem 0; }
.dl-box code, .dl-note code { font-size: .88em; background: var(--dl-soft); color: var(--dl-text); padding: .1rem .35rem; border-radius: 4px; overflow-wrap: anywhere; }
.dl-box pre { background: var(--dl-soft); color: var(--dl-text); padding: .6rem .8rem; border-radius: 6px; overflow-x: auto; font-size: .84rem; margin: .45rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.dl-way { display: grid; grid-template-columns: repeat(auto-fit, minmax(138px, 1fr)); gap: .9rem; margin: .5rem 0; }
.dl-stage { border: 1px solid var(--dl-grid); border-radius: 8px; padding: .6rem .75rem .55rem; position: relative; min-width: 0; }
.dl-stage h4 { margin: 0; padding: 0; font-size: .93rem; font-weight: 600; color: var(--dl-text); text-transform: capitalize; }
.dl-stage .dl-rate { font-size: 1.35rem; font-weight: 500; color: var(--dl-text); line-height: 1.3; font-variant-numeric: tabular-nums; }
.dl-stage .dl-rate small { font-size: .8rem; color: var(--dl-faint); font-weight: 400; }
.dl-stage p { margin: 0; font-size: .83rem; color: var(--dl-faint); font-variant-numeric: tabular-nums; }
.dl-stage p.dl-behind { color: var(--dl-watch); font-weight: 600; }
.dl-line { display: flex; align-items: flex-end; gap: 1px; height: 26px; margin-top: .4rem; }
.dl-line i { flex: 1; background: var(--dl-current); opacity: .55; min-width: 1px; }
.dl-page { display: none; }
.dl-stage:not(:last-child)::after { content: ""; position: absolute; right: -.72rem; top: 1.1rem; border: .32rem solid transparent; border-left-color: var(--dl-faint); }
.dl-states { display: flex; flex-wrap: wrap; gap: .4rem; margin: .5rem 0; }
.dl-step { flex: 1 1 110px; border-top: 4px solid var(--dl-grid); padding: .35rem .1rem 0; color: var(--dl-faint); font-size: .88rem; }
.dl-step b { display: block; color: var(--dl-faint); font-weight: 600; font-size: .95rem; }
.dl-step b::first-letter { text-transform: uppercase; }
.dl-step.dl-done { border-color: var(--dl-challenger); } .dl-step.dl-done b, .dl-step.dl-now b { color: var(--dl-text); }
.dl-step.dl-now { border-color: var(--dl-challenger); border-top-style: dashed; }
.dl-step.dl-bad { border-color: var(--dl-alarm); } .dl-step.dl-bad b { color: var(--dl-alarm); }
.dl-facts { display: flex; flex-wrap: wrap; gap: .2rem 1.6rem; font-size: .93rem; color: var(--dl-faint); margin: .2rem 0; }
.dl-facts b { color: var(--dl-text); font-weight: 600; font-variant-numeric: tabular-nums; }
.dl-tree, .dl-tree ul { list-style: none; margin: 0; padding-left: 1.1rem; border-left: 1px solid var(--dl-grid); color: var(--dl-text); font-size: .93rem; }
.dl-tree { border: 0; padding-left: 0; }
.dl-key { display: inline-flex; align-items: center; gap: .35rem; margin-right: 1rem; color: var(--dl-faint); font-size: .86rem; }
.dl-key i { width: 1.1rem; height: 0; border-top: 3px solid currentColor; display: inline-block; }
.dl-key i.dl-dash { border-top-style: dashed; border-top-width: 2px; } .dl-key i.dl-band { height: .7rem; border: 0; background: currentColor; opacity: .25; }
@media (max-width: 640px) {
  [data-testid="stMainBlockContainer"] { padding: 3.4rem .9rem 2rem; }
  .dl-sentence { font-size: 1.28rem; }
  .dl-page { display: inline; }
  .dl-head { row-gap: .1rem; column-gap: .9rem; }
  .dl-way { grid-template-columns: 1fr 1fr; }
  .dl-stage:not(:last-child)::after { display: none; }
}
"""


def sheet(palette: Palette) -> str:
    names = ("text", "faint", "grid", "quiet", "watch", "alarm", "champion", "challenger", "current", "reference", "ground")
    variables = "".join(f"--dl-{name}: {getattr(palette, name)}; " for name in names)
    return f"<style>:root {{ {variables}--dl-soft: {palette.ramp[0]}; }} {_SHEET}</style>"
