import { html } from 'ghtml'
import { visible } from '../displayed-text.js'
import type { DeniedPerson } from '../oauth/authorize/next-step.js'
import { layout, type Page } from './layout.js'

export interface DeniedPageOptions {
  /** What the person is told. */
  message: string
  person: DeniedPerson
  /** Where the client is told. */
  url: string
  /** Where the form is posted. */
  action: string
  /** Also in the log. */
  errorId: string
}

/** The page for somebody who has logged in and may not use this server: they can use another account. */
export function deniedPage ({ message, person, url, action, errorId }: DeniedPageOptions): Page {
  const { loggedInAs, loginHost, resource, transaction, clientName } = person
  const name = visible(clientName ?? '') || 'the application'
  const { host } = new URL(resource)
  return {
    html: layout('You may not use this server', html`
      <h1>You may not use this server</h1>
      <p role="alert">${visible(message)}</p>
      <dl>
        !${loggedInAs === undefined ? '' : html`<dt>You logged in as</dt><dd><bdi>${visible(loggedInAs)}</bdi></dd>`}
        <dt>At</dt><dd>${loginHost}</dd>
        <dt>Server</dt><dd>${host}</dd>
      </dl>
      <p>If you have another account, use that one. If this account should have access, ask the people who run ${host}:
      tell them the name above and the id below.</p>
      <form method="post" action="${action}">
        <input type="hidden" name="transaction" value="${transaction}">
        <div class="buttons">
          <button type="submit" name="decision" value="switch" class="primary">Use another account</button>
          <a class="button" rel="noreferrer" href="${url}">Go back to <bdi>${name}</bdi></a>
        </div>
      </form>
      <p class="soft">Error access_denied, id ${errorId}</p>`)
  }
}
