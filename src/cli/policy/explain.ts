import { UriTemplate } from '@modelcontextprotocol/server'
import type { CallerInfo } from '../../caller.js'
import { getMember } from '../../members.js'
import type { Primitive, PrimitiveKind, Verdict } from '../../policy/access.js'
import { formatPosition } from '../../policy/file/faults.js'
import type { PolicyFile } from '../../policy/file/parse.js'
import { matchPerson, type Claims } from '../../policy/people.js'
import { Policy } from '../../policy/policy.js'
import type { PeopleRule, PolicyRules, PrimitivePatterns } from '../../policy/rules.js'
import { limitLines } from './explain-limits.js'

/** Where the rules are that a person is judged by. */
export interface Sources {
  /** All rules together. */
  rules: PolicyRules
  environment: PolicyRules | undefined
  file: PolicyFile | undefined
}

interface Question {
  claims: Claims
  clientId: string
  /** What the client asks for. */
  scopes: readonly string[]
  /** The scope without which nobody logs in. */
  baseScope: string
  /** What is asked about. Absent: every name and pattern of the rules. */
  tool: string | undefined
}

const VARIABLES: Readonly<Record<string, string>> = {
  emails: 'ALLOWED_EMAILS',
  emailDomains: 'ALLOWED_EMAIL_DOMAINS',
  subjects: 'ALLOWED_SUBJECTS',
  groups: 'ALLOWED_GROUPS',
  claims: 'REQUIRED_CLAIMS'
}
const MEMBER_VARIABLES: Readonly<Record<string, string>> = {
  'clients.allowed': 'ALLOWED_CLIENTS',
  'limits.callsPerMinute': 'RATE_LIMIT_CALLS_PER_MINUTE',
  'limits.callsPerDay': 'RATE_LIMIT_CALLS_PER_DAY',
  'limits.concurrentCalls': 'CONCURRENT_CALLS_PER_PERSON'
}
const KINDS: readonly PrimitiveKind[] = ['tools', 'resources', 'prompts']
const MARKS: Readonly<Record<Verdict['kind'], string>> = { allowed: '✓', login: '!', scopes: '!', refused: '✗' }

/** What a person gets, and by which rules, as lines of text. */
export function explain (sources: Sources, question: Question): { allowed: boolean, lines: string[] } {
  const policy = new Policy(sources.rules)
  const decision = policy.decideLogin(question.claims, question.scopes)
  const refusal = findRefusal(policy, question)
  const login = [
    refusal === undefined ? 'May log in.' : `May not log in: ${refusal}`,
    ...loginLines(sources, question.claims),
    ...roleLines(sources, question.claims)
  ]
  if (refusal !== undefined || !decision.allow) return { allowed: false, lines: login }
  const caller: CallerInfo = {
    token: '',
    clientId: question.clientId,
    scopes: [...decision.scopes],
    extra: { issuer: '', subject: String(getMember(question.claims, 'sub') ?? ''), claims: question.claims }
  }
  const client = explainClient(sources, policy, question.clientId)
  const primitives = primitiveLines(sources, policy, caller, question.tool)
  return {
    allowed: primitives.allowed && client.allowed,
    lines: [
      ...login,
      ...client.lines,
      `Scopes: ${decision.scopes.join(' ') || 'none'} (asked for: ${question.scopes.join(' ')})`,
      ...primitives.lines,
      ...limitLines(sources.rules, policy, caller, whereIn(sources))
    ]
  }
}

/** Whether a client may be used, by its id; where it redirects to is not known here. */
function explainClient (sources: Sources, policy: Policy, clientId: string): { allowed: boolean, lines: string[] } {
  if (clientId === '' || sources.rules.clients?.allowed === undefined) return { allowed: true, lines: [] }
  const kind = /^https?:/.test(clientId) && URL.canParse(clientId) ? 'document' : 'registered'
  const mayBeUsed = policy.allowsClient({ clientId, kind, redirectUris: [] })
  const where = whereIn(sources)(['clients', 'allowed'])
  if (mayBeUsed) return { allowed: true, lines: ['Client:', line(true, where, 'may be used')] }
  const refusal = 'may not be used: neither its host nor its id is listed'
  return kind === 'document'
    ? { allowed: false, lines: ['Client:', line(false, where, refusal)] }
    : { allowed: true, lines: ['Client:', `  ! ${where}  may be used only if one of its redirect URIs is listed`] }
}

/** Why a person may not log in. */
function findRefusal (policy: Policy, { claims, baseScope }: Question): string | undefined {
  const decision = policy.decideLogin(claims, [baseScope])
  if (!decision.allow) return decision.why
  return decision.scopes.includes(baseScope) ? undefined : `no role gives the scope ${baseScope}`
}

function line (holds: boolean, where: string, says: string): string {
  return `  ${holds ? '✓' : '✗'} ${where}  ${says}`
}

function loginLines ({ rules, environment, file }: Sources, claims: Claims): string[] {
  const options = { trustEmails: rules.trustEmails ?? false }
  const byVariable = [environment?.login ?? []].flat().map(rule => ({ rule, locate: toVariables }))
  const inFile = file?.rules.login
  const byFile = file === undefined || inFile === undefined
    ? []
    : [inFile].flat().map((rule, index) => ({
        rule,
        locate: inFileAt(file, Array.isArray(inFile) ? ['login', index] : ['login'])
      }))
  const lines = [...byVariable, ...byFile].map(({ rule, locate }) => personLine(rule, claims, options, locate))
  return lines.length > 0 || rules.roles !== undefined ? lines : ['  there is no rule about who may log in']
}

type Locate = (parts: ReadonlyArray<readonly string[]>) => string

const toVariables: Locate = parts => [...new Set(parts.map(([part = '']) => VARIABLES[part] ?? part))].join(', ')

/** The places of parts of a rule, or else of the rule itself. */
function inFileAt (file: PolicyFile, path: ReadonlyArray<string | number>): Locate {
  return parts => (parts.length === 0 ? [[]] : parts)
    .map(part => formatPosition(file.name, file.locate([...path, ...part])))
    .join(', ')
}

function personLine (rule: PeopleRule, claims: Claims, options: { trustEmails: boolean }, locate: Locate): string {
  const { holds, why, at } = matchPerson(rule, claims, options)
  return line(holds, locate(at), why)
}

function roleLines ({ rules, file }: Sources, claims: Claims): string[] {
  if (rules.roles === undefined || file === undefined) return []
  const options = { trustEmails: rules.trustEmails ?? false }
  return [
    'Roles:',
    ...Object.entries(rules.roles).map(([name, { people }]) => {
      const { holds, why, at } = matchPerson(people ?? {}, claims, options)
      const path = people === undefined ? ['roles', name] : ['roles', name, 'people']
      return line(holds, inFileAt(file, path)(at), `${name}: ${why}`)
    })
  ]
}

/** Where a rule stands, for people. */
function whereIn ({ file }: Sources): (at: readonly string[]) => string {
  return at => {
    const [rule = '', member = ''] = at
    const variable = MEMBER_VARIABLES[`${rule}.${member}`]
    if (variable !== undefined && getMember(getMember(file?.rules, rule), member) === undefined) return variable
    return file === undefined ? 'the environment' : inFileAt(file, at)([])
  }
}

/** Everything that the rules name, or one tool. */
function primitiveLines (
  { rules, file }: Sources,
  policy: Policy,
  caller: CallerInfo,
  tool: string | undefined
): { allowed: boolean, lines: string[] } {
  const access = policy.accessOf(caller)
  const primitives = tool === undefined ? namedPrimitives(rules) : [{ kind: 'tools' as const, name: tool }]
  const verdicts = primitives.map(primitive => ({ primitive, verdict: access.judge(primitive) }))
  const section = (kind: PrimitiveKind) => {
    const own = verdicts.filter(({ primitive }) => primitive.kind === kind)
    const lines = own.map(({ primitive: { name }, verdict }) =>
      `  ${MARKS[verdict.kind]} ${name}  ${describeVerdict(verdict, rules)}${whereOf(file, verdict)}`
    )
    return lines.length === 0 ? [] : [`${kind[0]?.toUpperCase()}${kind.slice(1)}:`, ...lines]
  }
  const lines = KINDS.flatMap(section)
  if (rules.roles === undefined && tool === undefined) lines.push('Everything else is allowed: there are no roles.')
  return { allowed: tool === undefined || verdicts.every(({ verdict }) => verdict.kind === 'allowed'), lines }
}

function describeVerdict (verdict: Verdict, { refusal = 'unknown' }: PolicyRules): string {
  if (verdict.kind === 'allowed') return 'allowed'
  if (verdict.kind === 'scopes') return `needs the scopes ${verdict.scopes.join(' ')}, which the client can ask for`
  if (verdict.kind === 'login') return 'needs a login'
  return `refused as ${refusal}: ${verdict.why}`
}

function whereOf (file: PolicyFile | undefined, { at }: Verdict): string {
  return file === undefined || at === undefined ? '' : `, by ${inFileAt(file, at)([])}`
}

/** The names and patterns of the rules, each once; a pattern stands for what it names. */
function namedPrimitives ({ roles = {}, scopes = {}, public: open = {} }: PolicyRules): Primitive[] {
  const sets: PrimitivePatterns[] = [...Object.values(roles), ...Object.values(scopes), open]
  return KINDS.flatMap(kind => {
    const names = new Set(sets.flatMap(set => set[kind] ?? []).map(pattern => pattern.replace(/^!/, '')))
    return [...names].map(name => ({
      kind,
      name,
      isTemplate: kind === 'resources' && UriTemplate.isTemplate(name)
    }))
  })
}
