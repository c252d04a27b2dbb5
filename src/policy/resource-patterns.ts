import { UriTemplate } from '@modelcontextprotocol/server'
import { ConfigError } from '../errors.js'
import { toTextFit, type Fit } from './patterns.js'
import { decodePercents, normalizeUri, toFolded } from './spellings.js'

/**
 * How a pattern of resources is read: a URI template (RFC 6570) names itself, as a server lists it, and every URI that
 * it matches; anything else names URIs and templates, with `*` for any characters.
 * @param isStrict see `ToFit`
 * @throws {ConfigError} for a pattern that mixes the two
 */
export function toResourceFit (pattern: string, isStrict: boolean): Fit {
  if (UriTemplate.isTemplate(pattern)) return toTemplateFit(pattern, isStrict)
  const decoded = decodePercents(pattern)
  const spellings = isStrict ? [pattern, decoded, toFolded(decoded)] : [pattern]
  return toTextFit(pattern.includes('*') ? spellings : [...spellings, normalizeUri(pattern)])
}

function toTemplateFit (pattern: string, isStrict: boolean): Fit {
  if (pattern.replaceAll(/\{[^{}]*\}/g, '').includes('*')) {
    throw new ConfigError(
      `The pattern of resources ${JSON.stringify(pattern)} has both a * and a URI template: use one of the two.`
    )
  }
  const templates = [...new Set(isStrict ? [pattern, toFolded(pattern)] : [pattern])].map(parseTemplate)
  return spelling => spelling === pattern || templates.some(template => matches(template, spelling, isStrict))
}

/** @throws {ConfigError} */
function parseTemplate (pattern: string): UriTemplate {
  try {
    return new UriTemplate(pattern)
  } catch (error) {
    throw new ConfigError(
      `The pattern of resources ${JSON.stringify(pattern)} is not a URI template: ${
        error instanceof Error ? error.message : String(error)
      }.`
    )
  }
}

/** What cannot be compared, as it is too long, is not allowed, and is taken back. */
function matches (template: UriTemplate, uri: string, isStrict: boolean): boolean {
  try {
    return template.match(uri) !== null
  } catch {
    return isStrict
  }
}
