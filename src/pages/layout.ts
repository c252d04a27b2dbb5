import { html } from 'ghtml'

/** A page for people. It loads nothing from elsewhere. */
export interface Page {
  html: string
  /** The page's only script, verbatim: the page also works without it. */
  script?: string
}

/** The style of every page. */
export const STYLE = `
:root { color-scheme: light dark; --text: #1c2430; --soft: #55606f; --line: #d5dae1; --page: #f4f6f8; --card: #fff; --accent: #1550b0; --on-accent: #fff; --warn: #fff4d6; --warn-text: #5c4300 }
@media (prefers-color-scheme: dark) { :root { --text: #e8ecf1; --soft: #a9b4c2; --line: #3a4453; --page: #12161c; --card: #1c222b; --accent: #8ab4ff; --on-accent: #0b1a33; --warn: #3a2f10; --warn-text: #ffe2a0 } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: var(--page); color: var(--text); font: 1rem/1.5 system-ui, sans-serif }
main { width: 100%; max-width: 30rem; padding: 1.5rem; background: var(--card); border: 1px solid var(--line); border-radius: .75rem; overflow-wrap: anywhere }
main.wide { max-width: 64rem; align-self: start }
h1 { margin: 0 0 1rem; font-size: 1.35rem; line-height: 1.3; text-wrap: balance }
h2 { margin: 1.25rem 0 .25rem; font-size: 1rem } h2 + p { margin: 0 }
main > :last-child { margin-bottom: 0 }
dl { display: grid; grid-template-columns: auto 1fr; gap: .25rem 1rem; margin: 0 }
dt { color: var(--soft) } dd { margin: 0; font-weight: 600 } ul { margin: .25rem 0; padding-left: 1.25rem }
@media (max-width: 30rem) { dl { display: block } dd + dt { margin-top: .5rem } }
pre { margin: .5rem 0 0; padding: .5rem .75rem; background: var(--page); border-radius: .5rem; font-size: .9rem; white-space: pre-wrap }
.warning { margin: 1rem 0; padding: .75rem 1rem; border-radius: .5rem; background: var(--warn); color: var(--warn-text) }
.soft { color: var(--soft); font-size: .9rem }
details { margin: .75rem 0; padding: .75rem 1rem; border: 1px solid var(--line); border-radius: .5rem }
summary { cursor: pointer } ol { margin: .5rem 0 0; padding-left: 1.5rem }
section.entry { border-top: 1px solid var(--line); margin-top: 1.25rem } section.entry .buttons { margin-top: .75rem }
.buttons { display: flex; flex-wrap: wrap; gap: .75rem; margin-top: 1.25rem }
button, .button { flex: 1 1 8rem; padding: .65rem 1rem; font: inherit; font-weight: 600; text-align: center; text-decoration: none; color: var(--text); background: transparent; border: 1px solid var(--soft); border-radius: .5rem; cursor: pointer }
button { white-space: nowrap }
/*
 * a press that was meant for what was there before must not count; the server does not take one that came too soon, by
 * key either
 */
@keyframes arm { from { pointer-events: none } }
button.arm { animation: arm .7s step-end }
button.primary { background: var(--accent); color: var(--on-accent); border-color: var(--accent) }
button:focus-visible, a:focus-visible, input:focus-visible, summary:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
a { color: var(--accent) }
`

/** A whole page. `body` is HTML; `wide` leaves room for lists. */
export function layout (title: string, body: string, width: 'narrow' | 'wide' = 'narrow'): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title}</title>
<style>!${STYLE}</style>
</head>
<body><main class="${width}">!${body}</main></body>
</html>
`
}
