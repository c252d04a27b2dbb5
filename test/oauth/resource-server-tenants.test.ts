import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import t from 'tap'
import { createTokenVerifier } from '../../src/oauth/resource-server/resource-server.js'

const CONTOSO = '6f1d2c3b-4a59-4e68-8f70-1b2c3d4e5f60'
const STRANGER = '00112233-4455-4677-8899-aabbccddeeff'
const RESOURCE = 'https://mcp.example.com/mcp'
const at = (tenant: string) => `https://login.microsoftonline.com/${tenant}/v2.0`

/** Entra's `common`: whether a token is taken, by its claims and the issuer that its key names. */
async function makeIssuer () {
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  let keyIssuer: string | undefined
  const answers = async (url: string) => url.endsWith('/keys')
    ? { keys: [{ ...await exportJWK(publicKey), kid: 'k', issuer: keyIssuer }] }
    : { issuer: at('{tenantid}'), jwks_uri: 'https://login.microsoftonline.com/common/discovery/v2.0/keys' }
  return async (claims: Record<string, unknown>, allowedTenants: string[], signsFor?: string) => {
    keyIssuer = signsFor
    const verify = createTokenVerifier({
      issuer: at('common'),
      audiences: [RESOURCE],
      allowedTenants,
      fetch: async input => Response.json(await answers(String(input)))
    })
    const token = await new SignJWT({ aud: RESOURCE, sub: 'alice', iss: at(CONTOSO), tid: CONTOSO, ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: 'k' }).setIssuedAt().setExpirationTime('5m').sign(privateKey)
    return await verify(token)
  }
}

t.test('access tokens of several tenants', async t => {
  const verify = await makeIssuer()
  const upper = CONTOSO.toUpperCase()
  for (const [claims, allowed, key] of [
    [{}, CONTOSO],
    [{}, CONTOSO, at('{tenantid}')],
    [{}, upper, at(CONTOSO)],
    [{ tid: upper, iss: at(upper) }, CONTOSO],
    [{}, '*']
  ] as const) {
    const { extra } = await verify(claims, [allowed], key)
    t.match(extra, { issuer: at(CONTOSO), subject: 'alice' }, JSON.stringify([claims, allowed, key]))
  }
})

t.test('access tokens of others', async t => {
  const verify = await makeIssuer()
  const cases: Array<[claims: Record<string, unknown>, detail: RegExp, key?: string]> = [
    [{ tid: undefined }, /no tid/],
    [{ tid: `${CONTOSO}/../${STRANGER}` }, /its tid is/],
    [{ tid: STRANGER }, /its iss is/],
    [{ iss: at(STRANGER) }, /its iss is/],
    [{ iss: at('{tenantid}') }, /its iss is/],
    [{ iss: at('common') }, /its iss is/],
    [{ iss: undefined }, /its iss is/],
    [{}, /its key signs for/, at(STRANGER)],
    [{}, /its key signs for/, 'https://sts.windows.net/{tenantid}/']
  ]
  for (const [claims, detail, key] of cases) {
    for (const allowed of [CONTOSO, '*']) {
      await t.rejects(verify(claims, [allowed], key), { code: 'invalid_token', detail }, JSON.stringify([claims, key]))
    }
  }
  await t.rejects(verify({ tid: STRANGER, iss: at(STRANGER) }, [CONTOSO]), {
    code: 'invalid_token',
    detail: `the tenant ${STRANGER} is not in OAUTH_ALLOWED_TENANTS`
  })
})
