import { randomBytes } from 'node:crypto'
import t from 'tap'
import { HandedPostSeal, type HandedPost } from '../../src/mcp/hand-overs/handed-post.js'

const post: HandedPost = {
  handOverId: 'hand-over',
  kind: 'sse',
  sessionId: 'session',
  caller: {
    token: 'a-secret-token',
    clientId: 'client',
    scopes: ['mcp'],
    expiresAt: 2_000_000_000,
    resource: new URL('https://mcp.example/mcp'),
    extra: { issuer: 'https://login.example', subject: 'alice', grantId: 'grant', claims: { name: 'Älice' } }
  },
  headers: { 'x-several': ['one', 'two'] },
  body: { jsonrpc: '2.0', id: 1, method: 'ping', params: { deep: [null, { ü: '\u2028' }] } }
}
const [old, fresh] = [randomBytes(32), randomBytes(48)]
const text = JSON.stringify(post)

t.test('a post comes out as it went in', async t => {
  const sealed = await new HandedPostSeal([fresh]).seal(text)
  t.strictSame(await new HandedPostSeal([fresh]).open(sealed), post)
  t.notMatch(Buffer.from(sealed, 'base64').toString('latin1'), /a-secret-token/)
  const { caller: { resource: _, ...caller } } = post
  const without = { ...post, caller }
  const seal = new HandedPostSeal()
  t.strictSame(await seal.open(await seal.seal(JSON.stringify(without))), without, 'a caller without a resource')
})

t.test('keys are rotated as docs/operations.md has it', async t => {
  const steps = [[old], [old, fresh], [fresh, old], [fresh]].map(keys => new HandedPostSeal(keys))
  for (const [index, seal] of steps.entries()) {
    for (const other of steps.slice(Math.max(0, index - 1), index + 2)) {
      t.strictSame(await other.open(await seal.seal(text)), post, 'replicas are one step apart at most')
    }
  }
})

t.test('what is altered, or sealed with another key, is not opened', async t => {
  const seal = new HandedPostSeal([fresh])
  const sealed = await seal.seal(text)
  const parts = sealed.split('.')
  for (const index of parts.keys()) {
    const altered = parts.map((part, at) => at === index ? `A${part.slice(1)}x` : part).join('.')
    await t.rejects(seal.open(altered), `part ${index}`)
  }
  await t.rejects(new HandedPostSeal([old]).open(sealed), /all replicas need the same/)
  await t.rejects(seal.open(''))
  await t.rejects(seal.open('eyJhbGciOiJub25lIn0....'))
})
