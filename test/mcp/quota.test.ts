import t from 'tap'
import { TooManyRequestsError } from '../../src/errors.js'
import { Quota } from '../../src/mcp/admission/quota.js'

const options = { limit: 'requests_in_flight', things: 'requests', perPerson: 100, inAll: 10 } as const

t.test('who asks for more than there can be is not told to try again', async t => {
  for (
    const [amount, isWeight, retries] of [
      [101, false, false],
      [11, false, false],
      [6, false, false],
      [5, false, undefined],
      [11, true, false],
      [10, true, undefined]
    ] as const
  ) {
    const quota = new Quota({ ...options, isWeight })
    const check = () => { quota.check('alice', amount) }
    const refused = (): unknown => {
      try {
        check()
      } catch (error) {
        return error
      }
      return undefined
    }
    const name = `${amount} of 10${isWeight ? ' bytes' : ''}`
    const error = refused()
    t.equal(error instanceof TooManyRequestsError, retries === false, name)
    if (error instanceof TooManyRequestsError) t.equal(error.retryAfterMs, undefined, `${name}: no time to try again`)
  }
  const taken = new Quota(options)
  taken.add('bob', 10)
  try {
    taken.check('alice', 1)
    t.fail('it is full')
  } catch (error) {
    t.match(error, { retryAfterMs: 1000 }, 'there will be room')
  }
})
