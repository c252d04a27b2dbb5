import { html } from 'ghtml'
import { layout, type Page } from './layout.js'
import { visible } from '../displayed-text.js'
import type { FailureReason } from '../errors.js'
import type { ConsentRequest } from '../oauth/authorize/next-step.js'

export interface ConsentPageOptions {
  request: ConsentRequest
  /** Where the form is posted. */
  action: string
  /** Where people disconnect applications. */
  connections: string
  texts: {
    scopeDescriptions: Readonly<Record<string, string>>
    /** How long a login lasts. */
    grantSeconds: number
  }
}

/** What we ask the login server for, in plain words. */
const UPSTREAM_SCOPES: Readonly<Record<string, string>> = {
  openid: 'Who you are',
  profile: 'Your name and profile',
  email: 'Your email address',
  offline_access: 'Access while you are away'
}

/** The page that asks a person whether a client may act for them. */
export function consentPage ({ request, action, connections, texts }: ConsentPageOptions): Page {
  const { client, redirectKind, scopes, baseScope = '', transaction, memorable, loggedInAs, tooSoon } = request
  const name = visible(client.metadata.client_name ?? '') ||
    (client.kind === 'document' ? new URL(client.clientId).host : 'an application without a name')
  const days = Math.max(1, Math.round(texts.grantSeconds / 86_400))
  const body = html`
    <h1>Allow <bdi>${name}</bdi> to use this server?</h1>
    !${tooSoon === true ? '<p class="warning" role="alert">That was too fast. Please read this first, then decide.</p>' : ''}
    <dl>
      !${origin(request)}
      <dt>Server</dt><dd>${describeServer(request)}</dd>
      <dt>Access goes to</dt><dd>${destination(request)}</dd>
      !${
    loggedInAs === undefined
      ? html`<dt>You log in at</dt><dd>${request.loginHost}</dd>`
      : html`<dt>You logged in as</dt><dd><bdi>${visible(loggedInAs)}</bdi></dd>`
  }
    </dl>
    <h2>It will be able to</h2>
    <ul>!${scopes.map(scope => html`<li>${texts.scopeDescriptions[scope] ?? `use “${scope}”`}</li>`)}</ul>
    !${
    scopes.includes(baseScope)
      ? '<p class="soft">This includes every tool, resource and prompt that does not need a permission of its own.</p>'
      : ''
  }
    !${upstreamPart(request)}
    !${warning(request)}
    <form method="post" action="${action}">
      <input type="hidden" name="transaction" value="${transaction}">
      !${
    memorable ? html`<p><label><input type="checkbox" name="remember" value="yes"> Do not ask me again</label></p>` : ''
  }
      <div class="buttons">
        <button type="submit" name="decision" value="allow" class="primary arm" !${
    redirectKind === 'web' ? '' : 'aria-describedby="warning"'
  }>Allow access</button>
        <button type="submit" name="decision" value="deny">Deny</button>
      </div>
      <div class="buttons">
        <button type="submit" name="decision" value="switch">Use another account</button>
      </div>
    </form>
    <p class="soft">The application chose its name itself. Only allow access that you started yourself.</p>
    <p class="soft">It stays connected for up to ${days} ${
    days === 1 ? 'day' : 'days'
  }, or until you disconnect it at <a href="${connections}">your connected apps</a>.</p>`
  return { html: layout(`Allow ${name}?`, body) }
}

/** The server that the client may then use. */
function describeServer ({ resource, serverTitle }: ConsentRequest): string {
  const { host, pathname } = new URL(resource)
  return serverTitle === undefined ? host : `${visible(serverTitle)} (${host}${pathname})`
}

/** Where the client comes from: the site that vouches for it, or the one that it names. */
function origin ({ client }: ConsentRequest): string {
  if (client.kind === 'document') return html`<dt>Verified site</dt><dd>${new URL(client.clientId).host}</dd>`
  const website = client.metadata.client_uri
  return website === undefined ? '' : html`<dt>Says it is from</dt><dd>${new URL(website).host}</dd>`
}

/** Where the browser goes with the code, as a person would say it. */
function destination ({ redirectUri, redirectKind }: ConsentRequest): string {
  const target = new URL(redirectUri)
  if (redirectKind === 'web') return target.host
  return redirectKind === 'loopback' ? `this computer (${target.host})` : `an app on this device (${target.protocol})`
}

/** What this server asks the login server for: the person will also be asked there, in other words. */
function upstreamPart ({ upstreamScopes, loginHost }: ConsentRequest): string {
  if (upstreamScopes.length === 0) return ''
  return html`
    <h2>For this, the server asks ${loginHost} for</h2>
    <ul>!${upstreamScopes.map(scope => html`<li>${UPSTREAM_SCOPES[scope] ?? `“${scope}”`}</li>`)}</ul>
    <p class="soft">Only this server gets that, not the application.</p>`
}

/** The same for every host and reason, or the page would map our network for any caller. */
const NO_DOCUMENT = 'This application is described by a document on the internet, and this server could not read it. ' +
  'If that stays so, tell the operator of this server: the log says why, under the id below. A server behind a proxy ' +
  'needs HTTPS_PROXY; one without a way to the internet needs CLIENT_METADATA_DOCUMENTS=off, so that applications ' +
  'register instead.'
const ADVICE: Partial<Record<FailureReason, string>> = {
  document_unreachable: NO_DOCUMENT,
  document_unusable: NO_DOCUMENT,
  documents_off: 'In the application, remove this server and add it again: it then registers. If it does not, the ' +
    'operator of this server can name it in PREREGISTERED_CLIENTS.'
}

/** The page of an error that cannot be returned to a client. `errorId` is also in the log. */
export function errorPage (
  error: { message: string, code: string, reason?: FailureReason | undefined },
  errorId: string
): Page {
  const advice = error.reason === undefined ? undefined : ADVICE[error.reason]
  return {
    html: layout('This did not work', html`
      <h1>This did not work</h1>
      <p role="alert">${error.message}</p>
      !${advice === undefined ? '' : html`<p>${advice}</p>`}
      <p class="soft">Error ${error.code}, id ${errorId}</p>`)
  }
}

/** The page of an error for an unverified client: the person decides whether to return to it. */
export function refusalPage (error: { message: string, code: string }, url: string, errorId: string): Page {
  return {
    html: layout('The request was refused', html`
      <h1>The request was refused</h1>
      <p role="alert">${error.message}</p>
      <p>An application requested access in a way that does not work. You can return to it with this error, or close
      this page.</p>
      <div class="buttons"><a class="button" rel="noreferrer" href="${url}">Go back to ${new URL(url).host}</a></div>
      <p class="soft">Error ${error.code}, id ${errorId}</p>`)
  }
}

/** The page for somebody whose account may not be used here: they can use another, or return to the application. */
export function otherAccountPage (
  { error, url, transaction }: { error: { message: string, code: string }, url: string, transaction: string },
  action: string,
  errorId: string
): Page {
  const target = new URL(url)
  const isWeb = ['http:', 'https:'].includes(target.protocol)
  return {
    html: layout('This account cannot be used', html`
      <h1>This account cannot be used</h1>
      <p role="alert">${error.message}</p>
      <p>If you have an account of another organization, use that one. Otherwise, ask the operator of this server.</p>
      <form method="post" action="${action}">
        <input type="hidden" name="transaction" value="${transaction}">
        <div class="buttons">
          <button type="submit" name="decision" value="switch" class="primary">Use another account</button>
          <a class="button" rel="noreferrer" href="${url}">Go back to ${isWeb ? target.host : 'the application'}</a>
        </div>
      </form>
      <p class="soft">Error ${error.code}, id ${errorId}</p>`)
  }
}

function warning ({ redirectKind, client }: ConsentRequest): string {
  if (redirectKind === 'web') return ''
  const text = redirectKind === 'loopback'
    ? 'Access goes to a program on this computer. Any program can use any name: ' +
      'allow it only if you just started the login there.'
    : 'Access goes to whichever app on this device opens this kind of link. ' +
      'Allow it only if you just started the login there.'
  return html`<p class="warning" role="note" id="warning"><strong>Check this.</strong> ${text}${
    client.kind === 'document' ? ' The site is verified, the program is not.' : ''
  }</p>`
}
