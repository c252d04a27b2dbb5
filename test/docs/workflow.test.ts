import t from 'tap'
import { parse } from 'yaml'
import * as z from 'zod'
import { read } from './pages.js'

const WORKFLOW = z.object({
  on: z.record(z.string(), z.unknown()),
  permissions: z.record(z.string(), z.string()),
  jobs: z.record(z.string(), z.looseObject({ steps: z.array(z.looseObject({ run: z.string().optional() })) }))
})

t.test('the workflow audits what is installed, also when nobody pushes, and may only read', async t => {
  const { on, permissions, jobs } = WORKFLOW.parse(parse(read('.github/workflows/ci.yml')))
  t.ok('push' in on && 'pull_request' in on && 'schedule' in on)
  t.same(permissions, { contents: 'read' })
  const commands = Object.values(jobs).flatMap(({ steps }) => steps.flatMap(({ run = [] }) => run))
  for (
    const command of ['npm audit --omit=dev', 'npm audit --audit-level=high', 'npm audit signatures', 'bash .ci/run']
  ) {
    t.ok(commands.includes(command), command)
  }
  for (const [name, job] of Object.entries(jobs)) {
    t.type(job['timeout-minutes'], 'number', `${name} ends`)
    t.notOk('permissions' in job, `${name} may no more than all`)
  }
})
