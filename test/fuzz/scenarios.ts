import fc from 'fast-check'
import { mcpRequest, mcpSession, modernDialogue } from './mcp-requests.js'
import { anyRequest, connectionsVisit, oauthLogin, oauthRequest } from './oauth-requests.js'
import type { Scenario, Step } from './steps.js'

const single = fc.oneof(
  { arbitrary: mcpRequest, weight: 5 },
  { arbitrary: oauthRequest, weight: 2 },
  { arbitrary: anyRequest, weight: 2 }
)

/** Whatever a stranger may do. */
export const scenario: fc.Arbitrary<Scenario> = fc.record({
  steps: fc.oneof<fc.Arbitrary<Step[]>[]>(
    fc.array(single, { minLength: 1, maxLength: 6 }),
    fc.array(mcpRequest, { minLength: 1, maxLength: 6 }),
    mcpSession,
    mcpSession,
    modernDialogue,
    oauthLogin,
    connectionsVisit
  ),
  atOnce: fc.oneof({ arbitrary: fc.constant(false), weight: 6 }, { arbitrary: fc.constant(true), weight: 1 })
})
