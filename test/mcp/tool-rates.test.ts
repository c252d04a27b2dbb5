import t from 'tap'
import { ToolRates } from '../../src/mcp/admission/tool-rates.js'

function refusalOf (take: () => void): unknown {
  try {
    take()
  } catch (error) {
    return error
  }
  return undefined
}

t.test('a bucket holds the calls of a minute, and fills evenly', async t => {
  let now = 0
  const rates = new ToolRates(60, () => now)
  rates.take('alice', Array.from({ length: 60 }, () => 'add'))
  t.match(
    refusalOf(() => {
      rates.take('alice', ['add'])
    }),
    { limit: 'tool_calls', retryAfterMs: 1000 }
  )
  t.match(
    refusalOf(() => {
      rates.take('bob', Array.from({ length: 61 }, () => 'add'))
    }),
    { limit: 'tool_calls', retryAfterMs: undefined },
    'a batch that never fits'
  )
  now = 1000
  rates.take('alice', ['add'])
  t.match(refusalOf(() => { rates.take('alice', ['other', 'add']) }), { limit: 'tool_calls' }, 'all or none')
  rates.take('alice', Array.from({ length: 60 }, () => 'other'))
})

t.test('neither made-up names nor many persons reset a bucket, or take room without bound', async t => {
  const rates = new ToolRates(2, () => 0)
  rates.take('alice', ['add', 'add'])
  for (let name = 0; name < 98; name++) rates.take('alice', [`made-up-${name}`])
  for (let person = 0; person < 60_000; person++) {
    try {
      rates.take(`person-${person}`, ['add'])
    } catch {}
  }
  t.match(refusalOf(() => { rates.take('alice', ['add']) }), { limit: 'tool_calls' })
  t.ok(rates.persons <= 50_001, `${rates.persons} persons`)
})
