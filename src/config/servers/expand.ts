import { isTemplate } from '../../hosted/stdio/options/templates.js'

// ${NAME}, ${NAME:-default}, ${env:NAME}; what has a dot is a template: ${claims.email}
const REFERENCE = /\$\{(?:([a-z]+):)?([A-Za-z_]\w*)(?::-([^}]*))?\}/g

/**
 * Puts variables of the environment into a text, as MCP clients do in their configuration.
 * @throws {Error} that says which one is missing
 */
export function expandVariables (text: string, variables: NodeJS.ProcessEnv): string {
  return text.replace(
    REFERENCE,
    (reference: string, kind: string | undefined, name: string, fallback: string | undefined) => {
      if (kind === undefined && isTemplate(name)) return reference
      if (kind !== undefined && kind !== 'env') {
        throw new Error(`has ${reference}, which a client would ask a person for; it takes \${NAME}, a variable`)
      }
      const value = variables[name] ?? ''
      if (value !== '') return value
      if (fallback !== undefined) return fallback
      throw new Error(`has ${reference}, but the variable ${name} is not set`)
    }
  )
}
