import { html } from 'ghtml'
import { layout, type Page } from './layout.js'
import type { AttemptsReport, ReportedStep } from '../oauth/login-attempts/report.js'
import type { Verdict } from '../oauth/login-attempts/verdict.js'

/** The page that shows operators how the last logins went. */
export function attemptsPage ({ at, publicUrl, loginHost, upstreamMode, attempts, visits }: AttemptsReport): Page {
  return {
    html: layout('Logins', html`
      <h1>The last logins</h1>
      <p class="soft">${publicUrl}, ${
        time(at)
      }. People log in at ${loginHost} (${upstreamMode} mode). Kept for a day.</p>
      !${attempts.length === 0 ? html`<p>Nobody has tried to log in.</p>` : ''}
      !${attempts.map(({ client, redirectHost, steps, verdict }) => entry({
        title: client.name ?? client.id ?? 'A client without a name',
        facts: [['Client', client.id], ['Known by', client.kind], ['Redirects to', redirectHost]],
        steps,
        verdict
      }))}
      <h2>Before a login</h2>
      <p class="soft">Requests by address and program. They cannot be matched to a login. Programs that got tokens are left
      out.</p>
      !${visits.length === 0 ? html`<p>None.</p>` : ''}
      !${
        visits.map(({ address, userAgent, steps, verdict }) =>
          entry({
            title: userAgent === '' ? 'A program without a name' : userAgent,
            facts: [['Address', address]],
            steps,
            verdict
          })
        )
      }`,
    'wide'
    )
  }
}

interface Entry {
  title: string
  facts: Array<[name: string, value: string | undefined]>
  steps: ReportedStep[]
  verdict: Verdict
}

const MARKS = { good: '✓', waiting: '…', failed: '✗' }

function entry ({ title, facts, steps, verdict: { outcome, text, advice } }: Entry): string {
  return html`
    <details !${outcome === 'good' ? '' : 'open'}>
      <summary>${MARKS[outcome]} <strong><bdi>${title}</bdi></strong>, ${time(steps[0]?.at ?? '')}: ${text}</summary>
      !${advice === undefined ? '' : html`<p class="warning">${advice}</p>`}
      <dl>!${facts.map(([name, value]) => value === undefined ? '' : html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
      <ol>!${
    steps.map(({ name, at, ok, text }) =>
      html`<li>${ok ? '✓' : '✗'} ${name} <span class="soft">${time(at)}</span>!${
        text === undefined ? '' : html`: ${text}`
      }</li>`
    )
  }</ol>
    </details>`
}

// to the second: 2026-11-24 15:02:11 UTC
function time (iso: string): string {
  return `${iso.slice(0, 19).replace('T', ' ')} UTC`
}
