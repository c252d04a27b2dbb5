import { html } from 'ghtml'
import { layout, visible, type Page } from '../page.js'
import type { ConsentRequest } from './authorization.js'

export interface ConsentPageOptions {
  request: ConsentRequest
  /** Where the form is posted. */
  action: string
  scopeDescriptions: Readonly<Record<string, string>>
}

/** The page that asks a person whether a client may act for them. */
export function consentPage ({ request, action, scopeDescriptions }: ConsentPageOptions): Page {
  const { client, redirectUri, redirectKind, scopes, resource, loginHost, transactionId } = request
  const { client_name: givenName, logo_uri: logo, client_uri: website } = client.metadata
  const name = visible(givenName ?? '') || 'an application without a name'
  const target = new URL(redirectUri)
  const logoUrl = logo?.startsWith('https://') === true ? new URL(logo) : undefined
  const body = html`
    !${logoUrl === undefined ? '' : html`<img src="${logoUrl.href}" alt="" referrerpolicy="no-referrer">`}
    <h1>Allow <bdi>${name}</bdi> to use this server?</h1>
    <dl>
      !${client.kind === 'document' ? html`<dt>Verified site</dt><dd>${new URL(client.clientId).host}</dd>` : ''}
      !${client.kind !== 'document' && website !== undefined ? html`<dt>Says it is from</dt><dd>${new URL(website).host}</dd>` : ''}
      <dt>Server</dt><dd>${new URL(resource).host}</dd>
      <dt>Answer goes to</dt><dd>${redirectKind === 'web' ? target.host : redirectKind === 'loopback' ? `this computer (${target.host})` : `an app on this device (${target.protocol})`}</dd>
      <dt>You log in at</dt><dd>${loginHost}</dd>
    </dl>
    <h2>It will be able to</h2>
    <ul>!${scopes.map(scope => html`<li>${scopeDescriptions[scope] ?? `use “${scope}”`}</li>`)}</ul>
    !${warning(request)}
    <form method="post" action="${action}">
      <input type="hidden" name="transaction" value="${transactionId}">
      !${client.kind !== 'document' && redirectKind === 'web' ? html`<p><label><input type="checkbox" name="remember" value="yes"> Do not ask again in this browser</label></p>` : ''}
      <div class="buttons">
        <button type="submit" name="decision" value="allow" class="primary" !${redirectKind === 'web' ? '' : 'aria-describedby="warning"'}>Allow access</button>
        <button type="submit" name="decision" value="deny">Deny</button>
      </div>
    </form>
    <p class="soft">The application's name is its own claim. Allow only what you started yourself.</p>`
  return { html: layout(`Allow ${name}?`, body), ...logoUrl !== undefined && { imageOrigin: logoUrl.origin } }
}

/** The page of an error that cannot be told to a client. `errorId` is in the log, too. */
export function errorPage (error: { message: string, code: string }, errorId: string): Page {
  return {
    html: layout('This did not work', html`
      <h1>This did not work</h1>
      <p role="alert">${error.message}</p>
      <p class="soft">Error ${error.code}, id ${errorId}</p>`)
  }
}

/** The page of an error for a client that nobody vouches for: the person may take it there. */
export function refusalPage (error: { message: string, code: string }, url: string, errorId: string): Page {
  return {
    html: layout('The request was refused', html`
      <h1>The request was refused</h1>
      <p role="alert">${error.message}</p>
      <p>An application asked for access in a way that does not work. You can tell it so, or close this page.</p>
      <div class="buttons"><a class="button" rel="noreferrer" href="${url}">Go back to ${new URL(url).host}</a></div>
      <p class="soft">Error ${error.code}, id ${errorId}</p>`)
  }
}

function warning ({ redirectKind, client }: ConsentRequest): string {
  if (redirectKind === 'web') return ''
  const text = redirectKind === 'loopback'
    ? 'The answer goes to a program on this computer. Any program can give itself any name: allow it only if you have just started the login there.'
    : 'The answer goes to whichever app on this device has claimed this kind of link. Allow it only if you have just started the login there.'
  return html`<p class="warning" role="note" id="warning"><strong>Check this.</strong> ${text}${client.kind === 'document' ? ' The site is verified, the program is not.' : ''}</p>`
}
