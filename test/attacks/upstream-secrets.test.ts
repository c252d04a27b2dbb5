import { randomUUID } from 'node:crypto'
import type { Configuration, KoaContextWithOIDC } from 'oidc-provider'
import t from 'tap'
import { logIn } from '../support/browser.js'
import { freePort } from '../support/free-port.js'
import { startService } from '../support/service.js'
import {
  ask,
  askToRegister,
  authorizationUrl,
  bearer,
  callMcp,
  isAt,
  LOOPBACK_URI,
  openBrowser,
  redeem,
  refresh,
  revoke,
  parseTokens,
  type Answer,
  type Client
} from '../support/oauth-flow.js'

const STATIC = { clientId: 'static-client-upstream', clientSecret: 'static-secret-upstream-0123456789abcdef' }

/** What the upstream gives to the broker, seen at the upstream. */
class UpstreamSecrets {
  readonly found = new Map<string, Set<string>>()
  readonly configuration: Configuration
  #watched = false

  constructor (callbackUrl: string, isStatic: boolean) {
    this.configuration = {
      clients: isStatic
        ? [{
            client_id: STATIC.clientId,
            client_secret: STATIC.clientSecret,
            redirect_uris: [callbackUrl],
            grant_types: ['authorization_code', 'refresh_token']
          }]
        : [],
      features: {
        devInteractions: { enabled: true },
        registration: { enabled: !isStatic, idFactory: context => { this.#watch(context); return randomUUID() } },
        registrationManagement: { enabled: !isStatic },
        revocation: { enabled: true }
      },
      findAccount: (context, subject) => {
        this.#watch(context)
        return { accountId: subject, claims: () => ({ sub: subject, name: subject, email: `${subject}@example.com` }) }
      },
      ttl: {
        AccessToken: 300,
        AuthorizationCode: 60,
        IdToken: 600,
        Interaction: 600,
        Session: 600,
        Grant: 600,
        RefreshToken: 600
      }
    }
  }

  #watch ({ oidc: { provider } }: KoaContextWithOIDC): void {
    if (this.#watched) return
    this.#watched = true
    provider.on('registration_create.success', (context, client) => {
      this.add('client id', client.clientId)
      this.add('client secret', client.clientSecret)
      this.#addBody(context.body)
    })
    provider.on('authorization_code.saved', code => this.add('authorization code', code.jti))
    provider.on('grant.success', ({ body, oidc: { client } }) => {
      this.add('client id', client?.clientId)
      this.add('client secret', client?.clientSecret)
      this.#addBody(body)
    })
  }

  #addBody (body: unknown): void {
    if (typeof body !== 'object' || body === null) throw new Error('The upstream gave nothing')
    for (const [name, value] of Object.entries(body)) {
      if (/_token$/.test(name) || name === 'registration_client_uri') this.add(name, value)
    }
  }

  add (kind: string, value: unknown): void {
    if (typeof value === 'string' && value !== '') this.found.set(kind, (this.found.get(kind) ?? new Set()).add(value))
  }
}

for (const mode of ['dynamic', 'static']) {
  t.test(`a client never gets anything of the upstream's, in ${mode} mode`, async t => {
    const clock = { ahead: 0, now: Date.now }
    t.intercept(Date, 'now', { value: () => clock.now() + clock.ahead })
    const isStatic = mode === 'static'
    const port = await freePort()
    const secrets = new UpstreamSecrets(`http://localhost:${port}/oauth/callback`, isStatic)
    const target = await startService(t, {
      PORT: String(port), ...isStatic && { OAUTH_CLIENT_ID: STATIC.clientId, OAUTH_CLIENT_SECRET: STATIC.clientSecret }
    }, secrets.configuration)

    const received: string[] = []
    const keep = (answer: Answer) => { received.push(answer.bytes); return answer }

    for (
      const path of [
        'oauth-protected-resource',
        'oauth-protected-resource/mcp',
        'oauth-authorization-server',
        'openid-configuration',
        'jwks.json'
      ]
    ) {
      keep(await ask(target, `${target.url}/.well-known/${path}`))
    }
    keep(await callMcp(target, {}))
    keep(await ask(target, `${target.url}/readyz`))
    const registration = keep(await askToRegister(target, { client_name: 'Curious', redirect_uris: [LOOPBACK_URI] }))
    const client: Client = {
      clientId: registration.member('client_id') ?? '',
      clientSecret: registration.member('client_secret') ?? '',
      redirectUri: LOOPBACK_URI
    }

    const browser = openBrowser(target)
    const journey = async (as: string) => {
      const end = await logIn(browser, authorizationUrl(target, client), as)
      t.ok(isAt(end, client.redirectUri), 'the journey ends at the client')
      received.push(end.url.href, ...[...end.headers].map(([name, value]) => `${name}: ${value}`))
      return end.url.searchParams.get('code') ?? ''
    }
    const code = await journey('alice')

    keep(await redeem(target, client, code, { code_verifier: 'x'.repeat(43) }))
    const first = parseTokens(keep(await redeem(target, client, code)))
    // near the end of the upstream's access token a refresh of ours is one there, too
    clock.ahead = 290_000
    const second = parseTokens(keep(await refresh(target, client, first.refreshToken)))
    keep(await refresh(target, client, 'unknown'))

    const initialized = keep(await callMcp(target, bearer(second.accessToken)))
    const session = { ...bearer(second.accessToken), 'mcp-session-id': initialized.headers.get('mcp-session-id') ?? '' }
    keep(await callMcp(target, session, { jsonrpc: '2.0', method: 'notifications/initialized' }))
    const whoami = keep(
      await callMcp(target, session, {
        jsonrpc: '2.0',
        id: 2,
        method: 'tools/call',
        params: { name: 'whoami', arguments: {} }
      })
    )
    t.match(whoami.text, 'alice')

    keep(await revoke(target, client, second.refreshToken))
    keep(await callMcp(target, bearer(second.accessToken)))
    keep(await redeem(target, client, code))

    // an error of the upstream's, and the way back from it
    const page = await browser.open(authorizationUrl(target, client))
    const asked = await browser.submit(page, {}, 'Allow access')
    const refused = await browser.open(
      `${target.url}/oauth/callback?${new URLSearchParams({
        error: 'server_error',
        error_description: 'secret',
        iss: target.upstream.issuer,
        state: stateSentTo(target.upstream.issuer, browser.visited)
      })}`
    )
    t.equal(asked.status, 200, 'the upstream asks to log in')
    t.ok(isAt(refused, client.redirectUri), 'its error ends at the client')
    received.push(refused.url.href)

    for (const url of browser.visited.filter(url => url.href.startsWith(target.upstream.issuer))) {
      secrets.add('client id', url.searchParams.get('client_id'))
    }
    const kinds = [
      'client id',
      'client secret',
      'authorization code',
      'access_token',
      'refresh_token',
      'id_token',
      ...isStatic ? [] : ['registration_access_token', 'registration_client_uri']
    ]
    t.same([...secrets.found.keys()].sort(), kinds.sort(), 'the upstream gave all of these to the broker')
    t.ok((secrets.found.get('access_token')?.size ?? 0) >= 2, 'and refreshed them')

    const everything = received.join('\n')
    t.ok(received.length > 15 && everything.includes(second.accessToken), 'what the client got was recorded')
    for (const [kind, values] of secrets.found) {
      for (const value of values) {
        t.notOk(
          [value, encodeURIComponent(value), Buffer.from(value).toString('base64')].some(form =>
            everything.includes(form)
          ),
          `the client got no ${kind} of the upstream's`
        )
      }
    }
    t.notOk(everything.includes(target.upstream.issuer + '/auth'), 'nor is it led to the upstream itself')
  })
}

function stateSentTo (issuer: string, visited: readonly URL[]): string {
  return visited.filter(url => url.href.startsWith(`${issuer}/auth?`)).at(-1)?.searchParams.get('state') ?? ''
}
