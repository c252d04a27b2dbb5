import { isObject } from '../../members.js'
import type { Verdict } from '../../policy/access.js'

/**
 * A result of `tools/list` in which each tool says what a call needs: nothing (`noauth`), or a token with scopes
 * (`oauth2`; OpenAI, Apps SDK, Authentication). Also in `_meta`: some clients read nothing else that is not in the
 * specification.
 * @param judge what nobody may do with a tool
 */
export function withSecuritySchemes (
  result: Record<string, unknown>,
  baseScopes: readonly string[],
  judge: (name: string) => Verdict
): Record<string, unknown> {
  const { tools } = result
  if (!Array.isArray(tools)) return result
  return {
    ...result,
    tools: tools.map((tool: unknown) => {
      if (!isObject(tool)) return tool
      const verdict = judge(String(tool.name))
      const needed = verdict.kind === 'login' ? verdict.scopes : []
      const securitySchemes = [
        ...verdict.kind === 'allowed' ? [{ type: 'noauth' }] : [],
        { type: 'oauth2', scopes: [...new Set([...baseScopes, ...needed])] }
      ]
      return { ...tool, securitySchemes, _meta: { ...isObject(tool._meta) && tool._meta, securitySchemes } }
    })
  }
}
