import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import t from 'tap'
import { Person } from '../support/person.js'
import { parseObject } from '../support/json.js'
import { startService } from '../support/service.js'

const basic = (name: string, secret: string) => `Basic ${btoa(`${name}:${secret}`)}`

t.test('the operator\'s own services may ask what a token is worth', async t => {
  const service = await startService(
    t,
    {
      INTROSPECTION_SERVICES: 'reports:a-secret-of-the-reports',
      GRANT_TTL_SECONDS: '600',
      REFRESH_TOKEN_TTL_SECONDS: '86400'
    }
  )
  const person = new Person('alice')
  const transport = new StreamableHTTPClientTransport(new URL(`${service.url}/mcp`), { authProvider: person })
  await t.rejects(new Client({ name: 'test', version: '1' }).connect(transport), /Unauthorized/)
  await transport.finishAuth((await person.logIn()).get('code') ?? '')
  const { refresh_token: refreshToken = '' } = person.tokens() ?? {}
  const clientId = person.clientInformation()?.client_id ?? ''
  const ask = async (path: string, form: Record<string, string>, authorization?: string) => {
    const response = await fetch(`${service.url}${path}`, {
      method: 'POST',
      body: new URLSearchParams(form),
      headers: { ...authorization !== undefined && { authorization } }
    })
    const text = await response.text()
    return {
      status: response.status,
      body: text === '' ? undefined : parseObject(text),
      challenge: response.headers.get('www-authenticate')
    }
  }
  const reports = basic('reports', 'a-secret-of-the-reports')

  const access = await ask('/introspect', { token: person.accessToken }, reports)
  t.match(access, {
    status: 200,
    body: {
      active: true,
      client_id: clientId,
      scope: 'mcp',
      sub: 'alice',
      aud: `${service.url}/mcp`,
      token_type: 'Bearer'
    }
  })
  const refresh = await ask('/introspect', { token: refreshToken }, reports)
  t.match(refresh.body, { active: true, client_id: clientId })
  t.ok(Number(refresh.body?.exp) - Date.now() / 1000 <= 600, 'no token outlives its grant')
  for (const token of ['unknown', '__proto__', clientId]) {
    t.same((await ask('/introspect', { token }, reports)).body, { active: false }, token)
  }

  t.match(await ask('/introspect', { token: person.accessToken }, basic('reports', 'wrong')), {
    status: 401,
    body: { error: 'invalid_client' },
    challenge: /^Basic/
  })
  t.match(
    await ask('/introspect', { token: person.accessToken, client_id: clientId }),
    { status: 401 },
    'a client is no service of the operator'
  )
  t.match(await ask('/introspect', {}, reports), { status: 400, body: { error: 'invalid_request' } })

  t.match(await ask('/revoke', { token: refreshToken, client_id: clientId }), { status: 200 })
  for (const token of [person.accessToken, refreshToken]) {
    t.same((await ask('/introspect', { token }, reports)).body, { active: false }, 'revocation ends the family')
  }
  t.match(
    await ask('/revoke', { token: 'unknown', client_id: clientId }),
    { status: 200 },
    'an unknown token is no error (RFC 7009 2.2)'
  )
})
