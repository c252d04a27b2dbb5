import { html } from 'ghtml'
import { layout, type Page } from './layout.js'
import { visible } from '../displayed-text.js'
import type { Connection } from '../oauth/connections/connections.js'
import type { Person } from '../caller.js'
import { classifyRedirectUri } from '../oauth/clients/redirect-uris.js'

/** The page for somebody who is not signed in. */
export function signInPage (issuer: string): Page {
  return {
    html: layout('Connected apps', html`
      <h1>Your connected apps</h1>
      <p>Sign in to see which applications use ${new URL(issuer).host} for you, and to disconnect them.</p>
      <div class="buttons"><a class="button" href="${issuer}/oauth/connections/login">Sign in</a></div>`
    )
  }
}

export interface ConnectionsPageOptions {
  issuer: string
  person: Person
  connections: readonly Connection[]
  /** Whether one was just disconnected. */
  ended: boolean
}

/** The page that shows a person what they are connected with. */
export function connectionsPage ({ issuer, person, connections, ended }: ConnectionsPageOptions): Page {
  return {
    html: layout('Connected apps', html`
      <h1>Your connected apps</h1>
      <p class="soft">Signed in as <bdi>${visible(person.name ?? '') || visible(person.subject)}</bdi></p>
      !${ended ? '<p role="status">The application is disconnected, and everything it was running has been stopped.</p>' : ''}
      !${
        connections.length === 0
          ? '<p>No application is connected.</p>'
          : connections.map(connection => entry(issuer, connection))
      }
      <form method="post" action="${issuer}/oauth/connections/logout">
        <div class="buttons"><button type="submit">Sign out</button></div>
      </form>`
    )
  }
}

function entry (issuer: string, { grant, client }: Connection): string {
  const name = visible(client?.metadata.client_name ?? '') || 'An application without a name'
  const [target] = client?.metadata.redirect_uris ?? []
  const day = new Date(grant.expiresAt * 1000).toISOString().slice(0, 10)
  return html`
    <section class="entry">
      <h2><bdi>${name}</bdi></h2>
      <p class="soft">!${target === undefined ? '' : html`Access goes to ${describePlace(target)}. `}May use: ${
    grant.scopes.join(', ')
  }. Expires on <time datetime="${day}">${day}</time>.</p>
      <form method="post" action="${issuer}/oauth/connections/end">
        <input type="hidden" name="grant" value="${grant.grantId}">
        <div class="buttons"><button type="submit" aria-label="Disconnect ${name}">Disconnect</button></div>
      </form>
    </section>`
}

function describePlace (redirectUri: string): string {
  const { host, protocol } = new URL(redirectUri)
  switch (classifyRedirectUri(redirectUri)) {
    case 'web': return host
    case 'loopback': return 'a program on your computer'
    case 'private-use': return `an app on your device (${protocol})`
  }
}
